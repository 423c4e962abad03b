"""Every button of ours; each is shown to those who hold its permission, where it applies."""

from django.middleware.csrf import get_token
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy
from netbox.object_actions import ObjectAction

from .choices import EventStatusChoices, PlanChangeStatusChoices, RunStatusChoices
from .cpe.parameters import acs_drivers
from .runs.revert import is_revertible

__all__ = (
    'AcceptOrder',
    'AdoptLines',
    'ApproveRun',
    'CancelRun',
    'CheckPoint',
    'DeclineOrder',
    'EndHold',
    'LetGoRestrictions',
    'LiftRestrictions',
    'MatchCpes',
    'PauseRun',
    'PlanLines',
    'ProcessEvent',
    'ProcessEvents',
    'ProfileLines',
    'ReconcileLines',
    'ReconcilePoint',
    'RequestReview',
    'ResumeRun',
    'RevertRows',
    'RevertRun',
    'ReviewEvent',
    'ReviewEvents',
    'StartRun',
    'TrustUnlock',
    'UnpinLines',
)


class SelectionAction(ObjectAction):
    """An action on the objects that are selected in a list."""

    multi = True
    template_name = 'netbox_delinquency/buttons/bulk.html'
    color = 'secondary'
    icon = ''

    @classmethod
    def get_context(cls, context, obj):
        return {'color': cls.color, 'icon': cls.icon}


class OneObjectAction(ObjectAction):
    """An action on one object, shown while it `applies` to that."""

    url_kwargs = ('pk',)
    color = 'cyan'
    icon = ''

    @classmethod
    def applies(cls, obj) -> bool:
        return True

    @classmethod
    def get_context(cls, context, obj):
        return {'object': obj, 'color': cls.color, 'icon': cls.icon, 'csrf_token': get_token(context['request'])}

    @classmethod
    def render(cls, context, obj, **kwargs):
        return super().render(context, obj, **kwargs) if cls.applies(obj) else ''


class PostAction(OneObjectAction):
    """One click does it: a POST, and so a form of its own."""

    template_name = 'netbox_delinquency/buttons/post.html'


class AskingAction(OneObjectAction):
    """A link to the page that asks for what the action needs."""

    template_name = 'netbox_delinquency/buttons/link.html'


class PlanLines(SelectionAction):
    """Plan the selected lines to their intended state."""

    name = 'bulk_plan'
    label = _('Plan Selected')
    permissions_required = {'enforce'}
    color = 'orange'
    icon = 'clipboard-list-outline'


class ReconcileLines(SelectionAction):
    """Read the selected lines back."""

    name = 'bulk_reconcile'
    label = _('Read Selected')
    permissions_required = {'enforce'}
    color = 'cyan'
    icon = 'magnify-scan'


class UnpinLines(SelectionAction):
    """Let policy take hold of the selected lines again."""

    name = 'bulk_unpin'
    label = _('Unpin Selected')
    permissions_required = {'enforce'}
    color = 'secondary'
    icon = 'pin-off'


class AdoptLines(SelectionAction):
    """Take what others restrict on the selected lines for ours."""

    name = 'bulk_adopt'
    label = _('Adopt Foreign Blocks')
    permissions_required = {'enforce'}
    color = 'pink'
    icon = 'hand-extended-outline'


class LiftRestrictions(SelectionAction):
    """Have the selected restrictions lifted, where they were left behind."""

    name = 'bulk_lift'
    label = _('Lift Selected')
    permissions_required = {'lift'}
    color = 'green'
    icon = 'lock-open-variant-outline'


class LetGoRestrictions(SelectionAction):
    """Say that the selected restrictions are no longer ours to lift."""

    name = 'bulk_let_go'
    label = _('Let Go Selected')
    permissions_required = {'lift'}
    color = 'yellow'
    icon = 'link-off'


class ProfileLines(SelectionAction):
    """Set parameters at the CPEs of the selected lines: asks for them first, then plans a run."""

    name = 'bulk_profile'
    label = _('Set CPE Parameters')
    permissions_required = {'enforce'}
    color = 'teal'
    icon = 'router-wireless-settings'


class RevertRows(SelectionAction):
    """Put the lines of the selected rows back as they were before."""

    name = 'bulk_revert'
    label = _('Revert Selected')
    permissions_required = {'view'}
    color = 'orange'
    icon = 'undo-variant'

    @classmethod
    def render(cls, context, obj, **kwargs):
        may = context['request'].user.has_perm('netbox_delinquency.enforce_accessline')
        return super().render(context, obj, **kwargs) if may else ''


class ReviewEvents(SelectionAction):
    """Say of the selected events that a person has looked."""

    name = 'bulk_review'
    label = _('Review Selected')
    permissions_required = {'review'}
    color = 'warning'
    icon = 'eye-check-outline'


class ReviewEvent(PostAction):
    name = 'review'
    label = _('Reviewed')
    permissions_required = {'review'}
    color = 'warning'
    icon = 'eye-check-outline'

    @classmethod
    def applies(cls, obj):
        return obj.needs_attention


class ProcessEvents(SelectionAction):
    """Process the selected events once more, where they are retryable."""

    name = 'bulk_process'
    label = _('Process Selected Again')
    permissions_required = {'process'}
    color = 'cyan'
    icon = 'replay'


class ProcessEvent(PostAction):
    """Shown for a retryable event."""

    name = 'process'
    label = _('Process again')
    permissions_required = {'process'}
    icon = 'replay'

    @classmethod
    def applies(cls, obj):
        return obj.status in EventStatusChoices.RETRYABLE


class CheckPoint(PostAction):
    name = 'check'
    label = _('Check')
    permissions_required = {'check'}
    icon = 'stethoscope'


class ReconcilePoint(PostAction):
    name = 'reconcile'
    label = _('Read lines back')
    permissions_required = {'reconcile'}
    icon = 'magnify-scan'


class MatchCpes(PostAction):
    """Shown on an ACS."""

    name = 'match_cpes'
    label = _('Match CPEs')
    permissions_required = {'check'}
    color = 'teal'
    icon = 'router-wireless'

    @classmethod
    def applies(cls, obj):
        return obj.driver in acs_drivers()


class TrustUnlock(AskingAction):
    name = 'trust_unlock'
    label = _('Trust Unlock')
    permissions_required = {'unlock'}
    icon = 'lock-open-variant-outline'

    @classmethod
    def applies(cls, obj):
        return bool(obj.policy and obj.policy.trust_days and obj.policy.in_force(obj.stage) and not obj.in_relief)


class RequestReview(AskingAction):
    name = 'review'
    label = _('Human Review')
    permissions_required = {'review'}
    icon = 'account-eye-outline'

    @classmethod
    def applies(cls, obj):
        return obj.stage is not None or obj.review_requested_at is not None


class EndHold(AskingAction):
    name = 'end'
    label = _('End Hold')
    permissions_required = {'change'}
    icon = 'calendar-end'

    @classmethod
    def applies(cls, obj):
        return obj.is_active(timezone.now())


class DecideOrder(AskingAction):
    permissions_required = {'change'}

    @classmethod
    def applies(cls, obj):
        return obj.status == PlanChangeStatusChoices.OFFERED


class AcceptOrder(DecideOrder):
    name = 'accept'
    label = _('Accept')
    icon = 'check'


class DeclineOrder(DecideOrder):
    name = 'decline'
    label = pgettext_lazy('offer', 'Decline')
    icon = 'close'


class RunAction(PostAction):
    """An action on one run, shown while the run has one of `statuses`."""

    template_name = 'netbox_delinquency/buttons/run_action.html'
    statuses: tuple[str, ...] = ()
    color = 'primary'

    @classmethod
    def applies(cls, obj):
        return obj.status in cls.statuses


class ApproveRun(RunAction):
    name = 'approve'
    label = _('Approve')
    permissions_required = {'approve'}
    statuses = (RunStatusChoices.PLANNED,)
    color = 'success'
    icon = 'check-decagram'


class StartRun(RunAction):
    name = 'start'
    label = pgettext_lazy('button', 'Start')
    permissions_required = {'execute'}
    statuses = (RunStatusChoices.APPROVED,)
    color = 'primary'
    icon = 'play'


class PauseRun(RunAction):
    name = 'pause'
    label = _('Pause')
    permissions_required = {'execute'}
    statuses = (RunStatusChoices.RUNNING,)
    color = 'warning'
    icon = 'pause'
    template_name = 'netbox_delinquency/buttons/pause.html'


class ResumeRun(RunAction):
    name = 'resume'
    label = pgettext_lazy('button', 'Resume')
    permissions_required = {'execute'}
    statuses = (RunStatusChoices.PAUSED,)
    color = 'primary'
    icon = 'play'


class RevertRun(RunAction):
    """Shown for a run that sent something and is not running, to those who may change lines."""

    name = 'revert'
    label = _('Revert')
    permissions_required = {'view'}
    statuses = (
        RunStatusChoices.PAUSED,
        RunStatusChoices.COMPLETED,
        RunStatusChoices.FAILED,
        RunStatusChoices.CANCELLED,
    )
    color = 'orange'
    icon = 'undo-variant'

    @classmethod
    def applies(cls, obj):
        return super().applies(obj) and is_revertible(obj)

    @classmethod
    def render(cls, context, obj, **kwargs):
        may = context['request'].user.has_perm('netbox_delinquency.enforce_accessline')
        return super().render(context, obj, **kwargs) if may else ''


class CancelRun(RunAction):
    name = 'cancel'
    label = _('Cancel')
    permissions_required = {'cancel'}
    statuses = RunStatusChoices.OPEN
    color = 'secondary'
    icon = 'cancel'
