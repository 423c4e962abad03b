from __future__ import annotations

from typing import Any

from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy
from utilities.choices import Choice, ChoiceSet

from .policy.actions import STAGE_ACTIONS
from .text import Text

__all__ = (
    'AccessModeChoices',
    'ApprovalChoices',
    'BillingStatusChoices',
    'ChannelChoices',
    'ClockChoices',
    'ContractStatusChoices',
    'EnforcementModeChoices',
    'EventStatusChoices',
    'HoldKind',
    'HoldKindChoices',
    'LiftedChoices',
    'LineChannelChoices',
    'LineStatusChoices',
    'NoticeChannelChoices',
    'NoticeKindChoices',
    'ObservedModeChoices',
    'OutcomeChoices',
    'PlanChangeStatusChoices',
    'PointStatusChoices',
    'RunKindChoices',
    'RunStatusChoices',
    'StageActionChoices',
    'ThrottleToChoices',
)


class AccessModeChoices(ChoiceSet):
    """The values are those of `nornir_tasks.change.Mode`."""

    NORMAL = 'normal'
    THROTTLED = 'throttled'
    BLOCKED = 'blocked'

    CHOICES = [
        Choice(NORMAL, _('Normal'), color='green'),
        Choice(THROTTLED, _('Throttled'), color='orange'),
        Choice(BLOCKED, _('Blocked'), color='red'),
    ]


class ObservedModeChoices(ChoiceSet):
    """How a line is seen at a place: what is ours there, or that it is another's alone."""

    FOREIGN = 'foreign'

    CHOICES = [
        *AccessModeChoices.CHOICES,
        Choice(FOREIGN, _('Foreign block'), color='pink', description=_('Restricted there, and not by us')),
    ]


class LiftedChoices(ChoiceSet):
    """How a restriction came to its end."""

    NORMAL = 'normal'
    GONE = 'gone'
    DISOWNED = 'disowned'

    CHOICES = [
        Choice(NORMAL, _('Lifted'), color='green', description=_('Read back, and nothing of ours is there')),
        Choice(GONE, _('Gone'), color='gray', description=_('The point has no line of this identity any more')),
        Choice(DISOWNED, _('Let go'), color='yellow', description=_('A person said that it is no longer ours')),
    ]


class EnforcementModeChoices(ChoiceSet):
    """How far enforcement goes, at a point and by a policy: the lesser of the two holds."""

    OBSERVE = 'observe'
    ASSIST = 'assist'
    ENFORCE = 'enforce'

    CHOICES = [
        Choice(OBSERVE, _('Observe'), color='gray', description=_('Reads and compares; sends what is owed back alone')),
        Choice(ASSIST, _('Assist'), color='cyan', description=_('A person approves and starts all that restricts')),
        Choice(ENFORCE, _('Enforce'), color='orange', description=_('As the policy says')),
    ]


class ContractStatusChoices(ChoiceSet):
    ACTIVE = 'active'
    TERMINATED = 'terminated'

    CHOICES = [
        Choice(ACTIVE, _('Active'), color='green'),
        Choice(TERMINATED, _('Terminated'), color='gray'),
    ]


class BillingStatusChoices(ChoiceSet):
    """What billing last said of a contract itself."""

    OPEN = 'open'
    SUSPENDED = 'suspended'
    CLOSED = 'closed'

    CHOICES = [
        Choice(OPEN, pgettext_lazy('contract', 'Open'), color='green'),
        Choice(SUSPENDED, _('Suspended by billing'), color='orange'),
        Choice(CLOSED, _('Closed'), color='gray'),
    ]


class LineStatusChoices(ChoiceSet):
    PLANNED = 'planned'
    ACTIVE = 'active'
    RETIRED = 'retired'

    CHOICES = [
        Choice(PLANNED, _('Planned'), color='cyan'),
        Choice(ACTIVE, _('Active'), color='green'),
        Choice(RETIRED, _('Retired'), color='gray'),
    ]


class PointStatusChoices(ChoiceSet):
    ACTIVE = 'active'
    MAINTENANCE = 'maintenance'
    RETIRED = 'retired'

    CHOICES = [
        Choice(ACTIVE, _('Active'), color='green'),
        Choice(MAINTENANCE, _('Maintenance'), color='orange', description=_('Lines are planned, nothing is sent')),
        Choice(RETIRED, _('Retired'), color='gray'),
    ]


class StageActionChoices(ChoiceSet):
    """In the order of their weight; all of it stands in `policy.actions`."""

    THROTTLE = 'throttle'
    BLOCK = 'block'

    CHOICES = [
        Choice(action.name, action.label, color=action.color, description=action.description or None)
        for action in STAGE_ACTIONS
    ]


class ClockChoices(ChoiceSet):
    """What a stage counts its days from."""

    DUE = 'due'
    NOTICE = 'notice'
    PREVIOUS = 'previous'

    CHOICES = [
        Choice(DUE, _('Oldest due date')),
        Choice(NOTICE, _('Delivered notice')),
        Choice(PREVIOUS, _('Previous stage')),
    ]


class ThrottleToChoices(ChoiceSet):
    PLAN = 'plan'
    PERCENT = 'percent'
    RATE = 'rate'

    CHOICES = [
        Choice(PLAN, _("The plan's throttled rates")),
        Choice(PERCENT, _('A percentage of the contracted rates')),
        Choice(RATE, _('Rates of its own')),
    ]


class ChannelChoices(ChoiceSet):
    """Where a stage is enforced."""

    ANY = 'any'
    BRAS = 'bras'
    CPE = 'cpe'
    BOTH = 'both'
    CPE_ELSE_BRAS = 'cpe_else_bras'

    CHOICES = [
        Choice(ANY, _('BRAS, else CPE')),
        Choice(BRAS, _('BRAS only')),
        Choice(CPE, _('CPE only')),
        Choice(BOTH, _('BRAS and CPE')),
        Choice(CPE_ELSE_BRAS, _('CPE, else BRAS')),
    ]


class LineChannelChoices(ChoiceSet):
    """Where a line is enforced: what a stage's channel comes to, with the points that this line has."""

    BRAS = 'bras'
    CPE = 'cpe'
    BOTH = 'both'

    CHOICES = [
        Choice(BRAS, _('BRAS'), color='blue'),
        Choice(CPE, _('CPE'), color='teal'),
        Choice(BOTH, _('BRAS and CPE'), color='purple'),
    ]

    # A row of a run is sent to one of the two.
    SIDES = (BRAS, CPE)


class ApprovalChoices(ChoiceSet):
    POLICY = 'policy'
    AUTO = 'auto'
    HUMAN = 'human'

    CHOICES = [
        Choice(POLICY, _('As the policy says')),
        Choice(AUTO, _('Automatic'), color='green'),
        Choice(HUMAN, _('By a person'), color='orange'),
    ]


class NoticeKindChoices(ChoiceSet):
    REMINDER = 'reminder'
    SUSPENSION = 'suspension'
    TERMINATION = 'termination'

    CHOICES = [
        Choice(REMINDER, _('Reminder'), color='cyan'),
        Choice(SUSPENSION, _('Notice of suspension'), color='orange'),
        Choice(TERMINATION, _('Notice of termination'), color='red'),
    ]


class NoticeChannelChoices(ChoiceSet):
    LETTER = 'letter'
    EMAIL = 'email'
    SMS = 'sms'
    APP = 'app'
    PORTAL = 'portal'
    INVOICE = 'invoice'
    OTHER = 'other'

    CHOICES = [
        Choice(LETTER, _('Letter')),
        Choice(EMAIL, _('E-mail')),
        Choice(SMS, _('SMS')),
        Choice(APP, _('Application')),
        Choice(PORTAL, _('Portal')),
        Choice(INVOICE, _('Printed on the invoice')),
        Choice(OTHER, _('Other')),
    ]


class HoldKind(Choice):
    """Why a contract is exempted for a time. One that `gives_relief` gives access back while it is active; the others
    keep what is done, and only stop escalation."""

    gives_relief: bool

    def __new__(
        cls, value: str, label: Text, gives_relief: bool, color: str | None = None, description: Text | None = None
    ) -> HoldKind:
        kind = super().__new__(cls, value, label, color, description)
        kind.gives_relief = gives_relief
        return kind

    def __getnewargs__(self) -> tuple[Any, ...]:
        return self.value, self.label, self.gives_relief, self.color, self.description


class HoldKindChoices(ChoiceSet):
    """A kind is added here and nowhere else: see docs/extending/hold-kind.md."""

    DISPUTE = 'dispute'
    TICKET = 'open_ticket'
    OUTAGE = 'outage'
    AGREEMENT = 'payment_agreement'
    PROMISE = 'promise_to_pay'
    TRUST = 'trust_unlock'
    COURT = 'court_order'
    ESSENTIAL = 'essential_service'
    CLEARING = 'awaiting_clearing'

    CHOICES = [
        HoldKind(DISPUTE, _('Dispute'), True, 'orange'),
        HoldKind(TICKET, _('Open ticket'), False, 'blue', _('No escalation; what is done stays')),
        HoldKind(OUTAGE, _('Outage'), False, 'purple', _('No escalation; what is done stays')),
        HoldKind(AGREEMENT, _('Payment agreement'), True, 'teal'),
        HoldKind(PROMISE, _('Promise to pay'), False, 'cyan', _('No escalation; what is done stays')),
        HoldKind(TRUST, _('Trust unlock'), True, 'green', _('Afterwards the stage it was given at')),
        HoldKind(COURT, _('Court order'), True, 'red'),
        HoldKind(ESSENTIAL, _('Essential service'), True, 'indigo'),
        HoldKind(CLEARING, _('Awaiting clearing'), True, 'yellow'),
    ]

    RELIEVING = tuple(kind.value for kind in CHOICES if kind.gives_relief)


class PlanChangeStatusChoices(ChoiceSet):
    OFFERED = 'offered'
    ACCEPTED = 'accepted'
    DECLINED = 'declined'

    CHOICES = [
        Choice(OFFERED, _('Offered'), color='cyan'),
        Choice(ACCEPTED, _('Accepted'), color='green'),
        Choice(DECLINED, _('Declined'), color='gray'),
    ]


class RunKindChoices(ChoiceSet):
    ENFORCE = 'enforce'
    RESTORE = 'restore'
    PROFILE = 'profile'

    CHOICES = [
        Choice(ENFORCE, _('Enforce'), color='orange', description=_('Takes access away; waits for approval')),
        Choice(
            RESTORE, pgettext_lazy('run', 'Restore'), color='green', description=_('Gives access back; never waits')
        ),
        Choice(PROFILE, _('CPE profile'), color='teal', description=_('Sets parameters of CPEs; access stays')),
    ]


class RunStatusChoices(ChoiceSet):
    PLANNED = 'planned'
    APPROVED = 'approved'
    RUNNING = 'running'
    PAUSED = 'paused'
    COMPLETED = 'completed'
    FAILED = 'failed'
    CANCELLED = 'cancelled'

    CHOICES = [
        Choice(PLANNED, _('Planned'), color='cyan'),
        Choice(APPROVED, _('Approved'), color='blue'),
        Choice(RUNNING, _('Running'), color='purple'),
        Choice(PAUSED, _('Paused'), color='orange', description=_('Nothing is sent until a person resumes it')),
        Choice(COMPLETED, _('Completed'), color='green'),
        Choice(FAILED, _('Failed'), color='red', description=_('Some rows are not as desired; each says why')),
        Choice(CANCELLED, _('Cancelled'), color='gray'),
    ]

    OPEN = (PLANNED, APPROVED, RUNNING, PAUSED)
    ENDED = (COMPLETED, FAILED, CANCELLED)


class OutcomeChoices(ChoiceSet):
    """The values are those of `nornir_tasks.change.Outcome`; a row without one has not been closed yet."""

    APPLIED = 'applied'
    NOOP = 'noop'
    OFFLINE = 'offline'
    PARTIAL = 'partial'
    FAILED = 'failed'
    UNKNOWN = 'unknown'
    SKIPPED = 'skipped'

    CHOICES = [
        Choice(APPLIED, _('Applied'), color='green', description=_('Sent, and read back as desired')),
        Choice(NOOP, _('No change'), color='gray', description=_('It already was so; nothing was sent')),
        Choice(OFFLINE, _('Offline'), color='cyan', description=_('Stored; there is no session to change')),
        Choice(PARTIAL, _('Partial'), color='orange', description=_('Stored policy and session disagree')),
        Choice(FAILED, _('Failed'), color='red', description=_('Refused, or read back as not desired')),
        Choice(UNKNOWN, _('Unknown'), color='purple', description=_('No answer and no read-back')),
        Choice(SKIPPED, _('Skipped'), color='yellow', description=_('The facts moved after approval')),
    ]

    SUCCESS = (APPLIED, NOOP, OFFLINE)


class EventStatusChoices(ChoiceSet):
    RECEIVED = 'received'
    PROCESSED = 'processed'
    IGNORED = 'ignored'
    UNMATCHED = 'unmatched'
    UNRECOGNISED = 'unrecognised'
    CONFLICT = 'conflict'
    FAILED = 'failed'

    CHOICES = [
        Choice(RECEIVED, _('Received'), color='cyan', description=_('Stored; not processed yet')),
        Choice(PROCESSED, _('Processed'), color='green'),
        Choice(IGNORED, _('Ignored'), color='gray', description=_('Nothing to do for this kind of event')),
        Choice(UNMATCHED, _('Unmatched'), color='orange', description=_('Names a contract that is not known')),
        Choice(
            UNRECOGNISED, _('Unrecognised'), color='red', description=_('About money, and of a type that is not known')
        ),
        Choice(CONFLICT, _('Conflict'), color='red', description=_('Sent under the ID of another event')),
        Choice(FAILED, _('Failed'), color='red', description=_('Its data cannot be used; the message says why')),
    ]

    # Worth another try: by now the contract may be known, or the cause of the failure gone.
    RETRYABLE = (UNMATCHED, UNRECOGNISED, FAILED)
