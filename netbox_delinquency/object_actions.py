"""Buttons of what can be done with lines and runs; each is shown to those who hold its permission, where it applies."""

from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy
from netbox.object_actions import ObjectAction

from .choices import EventStatusChoices, RunStatusChoices
from .runs.revert import is_revertible

__all__ = (
    'ApproveRun',
    'CancelRun',
    'PauseRun',
    'PlanLines',
    'ProcessEvent',
    'ProcessEvents',
    'ProfileLines',
    'ReconcileLines',
    'ResumeRun',
    'RevertRows',
    'RevertRun',
    'StartRun',
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


class PlanLines(ObjectAction):
    """Plan the selected lines to their intended state."""

    name = 'bulk_plan'
    label = _('Plan Selected')
    multi = True
    permissions_required = {'enforce'}
    template_name = 'netbox_delinquency/buttons/plan.html'


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


class ProcessEvents(SelectionAction):
    """Work the selected events off once more, where they came to nothing."""

    name = 'bulk_process'
    label = _('Process Selected Again')
    permissions_required = {'process'}
    color = 'cyan'
    icon = 'replay'


class ProcessEvent(ObjectAction):
    """Shown for an event that came to nothing."""

    name = 'process'
    label = _('Process again')
    permissions_required = {'process'}
    template_name = 'netbox_delinquency/buttons/point_action.html'
    url_kwargs = ('pk',)

    @classmethod
    def get_context(cls, context, obj):
        return {'csrf_token': context['csrf_token'], 'color': 'cyan', 'icon': 'replay'}

    @classmethod
    def render(cls, context, obj, **kwargs):
        return super().render(context, obj, **kwargs) if obj.status in EventStatusChoices.CAME_TO_NOTHING else ''


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


class ProfileLines(ObjectAction):
    """Set parameters at the CPEs of the selected lines: asks for them first, then plans a run."""

    name = 'bulk_profile'
    label = _('Set CPE Parameters')
    multi = True
    permissions_required = {'enforce'}
    template_name = 'netbox_delinquency/buttons/profile.html'


class RunAction(ObjectAction):
    """An action on one run, shown while the run has one of `statuses`."""

    url_kwargs = ('pk',)
    template_name = 'netbox_delinquency/buttons/run_action.html'
    statuses: tuple[str, ...] = ()
    color = 'primary'
    icon = ''

    @classmethod
    def get_context(cls, context, obj):
        return {'run': obj, 'color': cls.color, 'icon': cls.icon, 'csrf_token': context['csrf_token']}

    @classmethod
    def render(cls, context, obj, **kwargs):
        return super().render(context, obj, **kwargs) if obj.status in cls.statuses else ''


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
    """Shown for a run that sent something and stands still, to those who may change lines."""

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
    def render(cls, context, obj, **kwargs):
        may = context['request'].user.has_perm('netbox_delinquency.enforce_accessline')
        return super().render(context, obj, **kwargs) if may and is_revertible(obj) else ''


class CancelRun(RunAction):
    name = 'cancel'
    label = _('Cancel')
    permissions_required = {'cancel'}
    statuses = RunStatusChoices.OPEN
    color = 'secondary'
    icon = 'cancel'
