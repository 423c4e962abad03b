"""The pages of runs and their rows."""

from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy
from netbox.ui import attrs
from netbox.ui.panels import ObjectPanel

from ...choices import RunStatusChoices
from ...models import EnforcementChange, EnforcementRun
from ...runs.caps import is_bound
from ...runs.preview import preview_run
from ..base import ModelPanel, StateAttr
from ..progress import is_live, run_view

__all__ = (
    'ChangePanel',
    'ChangeResultPanel',
    'PreviewPanel',
    'ProgressPanel',
    'RunApprovalPanel',
    'RunPanel',
)


class RunPanel(ModelPanel):
    model = EnforcementRun
    name = attrs.TextAttr('name')
    kind = attrs.ChoiceAttr('kind')
    status = attrs.ChoiceAttr('status')
    stop_reason = attrs.TextAttr('stop_sentence', label=_('Why it waits'))
    reverts = attrs.RelatedObjectAttr('reverts', linkify=True)
    author = attrs.RelatedObjectAttr('author')
    executor = attrs.TextAttr('executor')
    resumed_at = attrs.DateTimeAttr('resumed_at')
    started_at = attrs.DateTimeAttr('started_at')
    heartbeat_at = attrs.DateTimeAttr('heartbeat_at')
    finished_at = attrs.DateTimeAttr('finished_at')
    description = attrs.TextAttr('description')


class RunApprovalPanel(ModelPanel):
    model = EnforcementRun
    title = _('Approval')
    plan_hash = attrs.TextAttr('plan_hash', style='font-monospace text-break', copy_button=True)
    approved_hash = attrs.TextAttr('approved_hash', style='font-monospace text-break')
    approver = attrs.RelatedObjectAttr('approver')
    approved_at = attrs.DateTimeAttr('approved_at')


class PreviewPanel(ObjectPanel):
    """What the run would do, before it has begun."""

    title = pgettext_lazy('run', 'Preview')
    template_name = 'netbox_delinquency/panels/preview.html'

    def get_context(self, context):
        run, found = context['object'], super().get_context(context)
        if run.started_at is not None or run.status not in RunStatusChoices.OPEN:
            return found
        return {**found, 'preview': preview_run(run, timezone.now(), context['request'].user), 'bound': is_bound(run)}

    def should_render(self, context):
        return 'preview' in context and bool(context['preview'].rows)


class ProgressPanel(ObjectPanel):
    """How far the run is; refreshes itself while it is under way."""

    title = _('Progress')
    template_name = 'netbox_delinquency/panels/progress.html'

    def get_context(self, context):
        run = context['object']
        view = run_view(run, timezone.now(), context['request'].user)
        return {**super().get_context(context), 'view': view, 'live': is_live(run)}

    def should_render(self, context):
        return context['object'].started_at is not None or context['live'] or not context['view'].total.rows


class ChangePanel(ModelPanel):
    model = EnforcementChange
    run = attrs.RelatedObjectAttr('run', linkify=True)
    line = attrs.RelatedObjectAttr('line', linkify=True)
    contract = attrs.RelatedObjectAttr('line.contract', linkify=True, label=_('Contract'))
    point = attrs.RelatedObjectAttr('point', linkify=True)
    channel = attrs.ChoiceAttr('channel')
    wave = attrs.NumericAttr('wave')
    expected = StateAttr('expected', label=_('Expected state'))
    desired = StateAttr('desired', label=_('Desired state'))
    reason = attrs.TextAttr('reason')


class ChangeResultPanel(ModelPanel):
    model = EnforcementChange
    title = _('Outcome')
    outcome = attrs.ChoiceAttr('outcome')
    message = attrs.TextAttr('sentence', label=_('Message'))
    claimed_at = attrs.DateTimeAttr('claimed_at')
    sent_at = attrs.DateTimeAttr('sent_at')
    finished_at = attrs.DateTimeAttr('finished_at')
