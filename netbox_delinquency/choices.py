from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy
from utilities.choices import Choice, ChoiceSet

__all__ = (
    'AccessModeChoices',
    'ContractStatusChoices',
    'EventStatusChoices',
    'LineStatusChoices',
    'OutcomeChoices',
    'PointStatusChoices',
    'RunKindChoices',
    'RunStatusChoices',
    'StageActionChoices',
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


class ContractStatusChoices(ChoiceSet):
    ACTIVE = 'active'
    TERMINATED = 'terminated'

    CHOICES = [
        Choice(ACTIVE, _('Active'), color='green'),
        Choice(TERMINATED, _('Terminated'), color='gray'),
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
    THROTTLE = 'throttle'
    BLOCK = 'block'

    CHOICES = [
        Choice(THROTTLE, _('Throttle'), color='orange'),
        Choice(BLOCK, _('Block'), color='red'),
    ]


class RunKindChoices(ChoiceSet):
    ENFORCE = 'enforce'
    RESTORE = 'restore'

    CHOICES = [
        Choice(ENFORCE, _('Enforce'), color='orange', description=_('Takes access away; waits for approval')),
        Choice(
            RESTORE, pgettext_lazy('run', 'Restore'), color='green', description=_('Gives access back; never waits')
        ),
    ]


class RunStatusChoices(ChoiceSet):
    PLANNED = 'planned'
    APPROVED = 'approved'
    RUNNING = 'running'
    COMPLETED = 'completed'
    FAILED = 'failed'
    CANCELLED = 'cancelled'

    CHOICES = [
        Choice(PLANNED, _('Planned'), color='cyan'),
        Choice(APPROVED, _('Approved'), color='blue'),
        Choice(RUNNING, _('Running'), color='purple'),
        Choice(COMPLETED, _('Completed'), color='green'),
        Choice(FAILED, _('Failed'), color='red', description=_('Some rows are not as desired; each says why')),
        Choice(CANCELLED, _('Cancelled'), color='gray'),
    ]

    OPEN = (PLANNED, APPROVED, RUNNING)
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
    FAILED = 'failed'

    CHOICES = [
        Choice(RECEIVED, _('Received'), color='cyan', description=_('Stored; not processed yet')),
        Choice(PROCESSED, _('Processed'), color='green'),
        Choice(IGNORED, _('Ignored'), color='gray', description=_('Nothing to do for this kind of event')),
        Choice(UNMATCHED, _('Unmatched'), color='orange', description=_('Names a contract that is not known')),
        Choice(FAILED, _('Failed'), color='red', description=_('Its data cannot be used; the message says why')),
    ]
