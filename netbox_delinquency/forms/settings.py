from django import forms
from django.utils.translation import gettext_lazy as _
from netbox.forms import PrimaryModelForm
from utilities.forms.rendering import FieldSet

from ..models import EnforcementSettings

__all__ = ('EnforcementSettingsForm', 'SwitchForm')

WAVES = ('waves', 'soak_seconds', 'deadline_minutes')
BREAKER = (
    'max_failed_percent', 'min_rows', 'max_refused_percent', 'max_session_drop_percent', 'max_latency_factor',
)  # fmt: skip
CAPS = ('max_rows_per_run', 'max_share_percent', 'max_rows_per_hour')


class EnforcementSettingsForm(PrimaryModelForm):
    """All but the switch, which is thrown by itself."""

    fieldsets = (
        FieldSet('four_eyes', name=_('Approval')),
        FieldSet(*CAPS, name=_('Caps')),
        FieldSet(*WAVES, name=_('Waves')),
        FieldSet(*BREAKER, name=_('Breaker')),
        FieldSet('reconcile_percent', name=_('Reconcile')),
        FieldSet('check_days', 'allow_unchecked', name=_('Checks of points')),
        FieldSet('description', 'tags', name=_('Other')),
    )

    class Meta:
        model = EnforcementSettings
        fields = (
            'four_eyes', *CAPS, *WAVES, *BREAKER, 'reconcile_percent',
            'check_days', 'allow_unchecked', 'description', 'owner', 'comments', 'tags',
        )  # fmt: skip


class SwitchForm(forms.Form):
    stopped = forms.BooleanField(required=False)
    reason = forms.CharField(max_length=200, required=False)
