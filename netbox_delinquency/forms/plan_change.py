from django import forms
from django.utils.translation import gettext_lazy as _
from netbox.forms import PrimaryModelBulkEditForm, PrimaryModelFilterSetForm, PrimaryModelForm
from utilities.forms.fields import TagFilterField
from utilities.forms.rendering import FieldSet
from utilities.forms.widgets import DatePicker

from ..models import PlanChangeOrder
from .base import OWNERSHIP, SEARCH, PrimaryImportForm, choose, edit, filter_by, refer

__all__ = (
    'PlanChangeOrderBulkEditForm',
    'PlanChangeOrderFilterForm',
    'PlanChangeOrderForm',
    'PlanChangeOrderImportForm',
)

ORDER_FIELDS = ('contract', 'to_plan', 'reason', 'offered_until', 'description', 'owner', 'comments', 'tags')


class PlanChangeOrderForm(PrimaryModelForm):
    fieldsets = (
        FieldSet('contract', 'to_plan', 'reason', 'offered_until', 'description', 'tags', name=_('Plan change order')),
    )
    contract = choose(PlanChangeOrder, 'contract')
    to_plan = choose(PlanChangeOrder, 'to_plan')

    class Meta:
        model = PlanChangeOrder
        fields = ORDER_FIELDS
        widgets = {'offered_until': DatePicker()}


class PlanChangeOrderImportForm(PrimaryImportForm):
    contract = refer(PlanChangeOrder, 'contract')
    to_plan = refer(PlanChangeOrder, 'to_plan', 'name')

    class Meta:
        model = PlanChangeOrder
        fields = ORDER_FIELDS


class PlanChangeOrderBulkEditForm(PrimaryModelBulkEditForm):
    model = PlanChangeOrder
    fieldsets = (FieldSet('reason', 'offered_until', 'description'),)
    nullable_fields = ('description', 'comments')

    reason = edit(PlanChangeOrder, 'reason')
    offered_until = forms.DateField(label=_('Offered until'), required=False, widget=DatePicker())


class PlanChangeOrderFilterForm(PrimaryModelFilterSetForm):
    model = PlanChangeOrder
    fieldsets = (
        SEARCH,
        FieldSet('contract_id', 'status', 'from_plan_id', 'to_plan_id', name=_('Plan change order')),
        OWNERSHIP,
    )

    contract_id = filter_by(PlanChangeOrder, 'contract')
    status = filter_by(PlanChangeOrder, 'status')
    from_plan_id = filter_by(PlanChangeOrder, 'from_plan')
    to_plan_id = filter_by(PlanChangeOrder, 'to_plan')
    tag = TagFilterField(model)
