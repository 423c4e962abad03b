from django.utils.translation import gettext_lazy as _
from netbox.filtersets import PrimaryModelFilterSet
from utilities.filtersets import register_filterset

from ..choices import PlanChangeStatusChoices
from ..models import Contract, PlanChangeOrder, ServicePlan
from .base import SearchMixin, StrictMixin, choices, related

__all__ = ('PlanChangeOrderFilterSet',)


@register_filterset
class PlanChangeOrderFilterSet(StrictMixin, SearchMixin, PrimaryModelFilterSet):
    search_fields = ('contract__external_id', 'to_plan__name', 'reason', 'description', 'comments')

    contract_id = related(Contract, 'contract', _('Contract (ID)'))
    contract = related(Contract, 'contract', _('Contract (external id)'), by='external_id')
    from_plan_id = related(ServicePlan, 'from_plan', _('From plan (ID)'))
    from_plan = related(ServicePlan, 'from_plan', _('From plan (name)'), by='name')
    to_plan_id = related(ServicePlan, 'to_plan', _('To plan (ID)'))
    to_plan = related(ServicePlan, 'to_plan', _('To plan (name)'), by='name')
    status = choices(PlanChangeStatusChoices)

    class Meta:
        model = PlanChangeOrder
        fields = ('id', 'reason', 'offered_until', 'decided_at', 'description')
