"""The pages of enforcement points."""

from core.models import Job
from django.utils.translation import gettext_lazy as _
from netbox.ui import attrs, panels
from netbox.ui.panels import ObjectPanel

from ...models import EnforcementPoint
from .. import counts
from ..base import ModelPanel, WarningAttr

__all__ = (
    'DriftPanel',
    'LastCheckPanel',
    'PointConnectionPanel',
    'PointPanel',
)


class PointPanel(ModelPanel):
    model = EnforcementPoint
    name = attrs.TextAttr('name')
    status = attrs.ChoiceAttr('status')
    mode = attrs.ChoiceAttr('mode')
    checked_at = attrs.DateTimeAttr('checked_at')
    check_failure = attrs.TextAttr('check_failure')
    unverified = WarningAttr('is_unverified', label=_('Changed since its check'))
    device = attrs.RelatedObjectAttr('device', linkify=True)
    virtual_machine = attrs.RelatedObjectAttr('virtual_machine', linkify=True)
    timeout = attrs.NumericAttr('timeout')
    batch_size = attrs.NumericAttr('batch_size')
    max_rows_per_second = attrs.NumericAttr('max_rows_per_second')
    max_rows_per_hour = attrs.NumericAttr('max_rows_per_hour')
    max_share_percent = attrs.NumericAttr('max_share_percent')
    description = attrs.TextAttr('description')


class PointConnectionPanel(ModelPanel):
    model = EnforcementPoint
    title = _('Connection')
    driver = attrs.TextAttr('driver')
    address = attrs.TextAttr('host', label=_('Address'), style='font-monospace', copy_button=True)
    port = attrs.NumericAttr('port')
    credential = attrs.TextAttr('credential')
    host_key = attrs.TextAttr('host_key', style='font-monospace text-break')


class DriftPanel(ObjectPanel):
    """How the lines of a point drift, for those who may see lines."""

    title = _('Drift')
    template_name = 'netbox_delinquency/panels/drift.html'

    def get_context(self, context):
        drift = counts.drift_by_point(context['request'].user, context['object'])
        return {**super().get_context(context), 'drift': drift}

    def should_render(self, context):
        return context['request'].user.has_perm('netbox_delinquency.view_accessline')


class LastCheckPanel(panels.Panel):
    """Findings of the newest ended job of that name, with the lines to add; for who may see that job."""

    template_name = 'netbox_delinquency/panels/last_check.html'

    def __init__(self, job_name: str, **kwargs):
        super().__init__(**kwargs)
        self.job_name = job_name

    def get_context(self, context):
        jobs = context['object'].jobs.filter(name=self.job_name, data__isnull=False)
        seen = Job.objects.restrict(context['request'].user, 'view').filter(pk__in=jobs)
        return {**super().get_context(context), 'job': seen.order_by('-created').first()}

    def should_render(self, context):
        return context['job'] is not None
