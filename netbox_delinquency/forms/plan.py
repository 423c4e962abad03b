from django.utils.translation import gettext_lazy as _
from netbox.forms import PrimaryModelBulkEditForm, PrimaryModelFilterSetForm, PrimaryModelForm
from utilities.forms.fields import TagFilterField
from utilities.forms.rendering import FieldSet

from ..models import EnforcementPoint, ServicePlan
from .base import OWNERSHIP, SEARCH, ParametersField, PrimaryImportForm, edit, field_of, filter_by
from .parameters import ParametersFormMixin, Section

__all__ = ('ServicePlanBulkEditForm', 'ServicePlanFilterForm', 'ServicePlanForm', 'ServicePlanImportForm')

RATES = ('down_kbps', 'up_kbps', 'throttled_down_kbps', 'throttled_up_kbps')
FIELDS = ('name', *RATES, 'parameters', 'description', 'owner', 'comments', 'tags')
PARAMETERS_HELP = field_of(ServicePlan, 'parameters').help_text


class ServicePlanForm(ParametersFormMixin, PrimaryModelForm):
    """What each driver that is in use wants to know of a plan is under its name."""

    fieldsets_before = (
        FieldSet('name', 'description', 'tags', name=_('Service plan')),
        FieldSet(*RATES, name=_('Rates')),
    )
    parameters = ParametersField(label=_('Driver parameters'), help_text=PARAMETERS_HELP)

    class Meta:
        model = ServicePlan
        fields = FIELDS

    def sections(self) -> list[Section]:
        used = set(EnforcementPoint.objects.values_list('driver', flat=True)) | set(self.instance.parameters)
        return [Section(driver, 'LineParameters', driver) for driver in sorted(used)]


class ServicePlanImportForm(PrimaryImportForm):
    parameters = ParametersField(help_text=PARAMETERS_HELP)

    class Meta:
        model = ServicePlan
        fields = FIELDS


class ServicePlanBulkEditForm(PrimaryModelBulkEditForm):
    model = ServicePlan
    fieldsets = (FieldSet('description'), FieldSet(*RATES, name=_('Rates')))
    nullable_fields = ('description', 'comments')

    down_kbps = edit(ServicePlan, 'down_kbps')
    up_kbps = edit(ServicePlan, 'up_kbps')
    throttled_down_kbps = edit(ServicePlan, 'throttled_down_kbps')
    throttled_up_kbps = edit(ServicePlan, 'throttled_up_kbps')


class ServicePlanFilterForm(PrimaryModelFilterSetForm):
    model = ServicePlan
    fieldsets = (SEARCH, FieldSet(*RATES, name=_('Rates')), OWNERSHIP)

    down_kbps = filter_by(ServicePlan, 'down_kbps')
    up_kbps = filter_by(ServicePlan, 'up_kbps')
    throttled_down_kbps = filter_by(ServicePlan, 'throttled_down_kbps')
    throttled_up_kbps = filter_by(ServicePlan, 'throttled_up_kbps')
    tag = TagFilterField(model)
