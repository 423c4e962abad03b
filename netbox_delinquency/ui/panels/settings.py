"""The page of the enforcement settings."""

from django.utils.translation import gettext_lazy as _
from netbox.ui import attrs
from netbox.ui.panels import ObjectPanel

from ...models import EnforcementSettings
from ..base import ModelPanel

__all__ = (
    'BreakerPanel',
    'CapsPanel',
    'SwitchPanel',
    'WavesPanel',
)


class SwitchPanel(ObjectPanel):
    """Whether enforcement is stopped, and the button that stops it or lets it go on."""

    title = _('Enforcement')
    template_name = 'netbox_delinquency/panels/switch.html'


class CapsPanel(ModelPanel):
    model = EnforcementSettings
    title = _('Approval and caps')
    four_eyes = attrs.BooleanAttr('four_eyes')
    max_rows_per_run = attrs.NumericAttr('max_rows_per_run')
    max_share_percent = attrs.NumericAttr('max_share_percent')
    max_rows_per_hour = attrs.NumericAttr('max_rows_per_hour')
    reconcile_percent = attrs.NumericAttr('reconcile_percent')
    check_days = attrs.NumericAttr('check_days')
    allow_unchecked = attrs.BooleanAttr('allow_unchecked')
    description = attrs.TextAttr('description')


class WavesPanel(ModelPanel):
    model = EnforcementSettings
    title = _('Waves')
    waves = attrs.TextAttr('waves', style='font-monospace')
    soak_seconds = attrs.NumericAttr('soak_seconds')
    deadline_minutes = attrs.NumericAttr('deadline_minutes')


class BreakerPanel(ModelPanel):
    model = EnforcementSettings
    title = _('Breaker')
    max_failed_percent = attrs.NumericAttr('max_failed_percent')
    min_rows = attrs.NumericAttr('min_rows')
    max_refused_percent = attrs.NumericAttr('max_refused_percent')
    max_session_drop_percent = attrs.NumericAttr('max_session_drop_percent')
    max_latency_factor = attrs.NumericAttr('max_latency_factor')
