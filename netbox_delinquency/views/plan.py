from django.utils.translation import gettext_lazy as _
from netbox.ui.panels import JSONPanel
from utilities.query import count_related
from utilities.views import register_model_view

from ..models import Contract, ServicePlan
from ..ui import panels
from ..ui.base import page, table_of
from .base import DetailView, register_crud


@register_model_view(ServicePlan)
class ServicePlanView(DetailView):
    queryset = ServicePlan.objects.all()
    layout = page(
        panels.PlanPanel(),
        right=(JSONPanel('parameters', title=_('Driver parameters')),),
        bottom=(table_of('contract', 'plan_id', add='plan', exclude=('plan',)),),
    )


__all__ = (
    'ServicePlanView',
    *register_crud(__name__, ServicePlan, ServicePlan.objects.annotate(contract_count=count_related(Contract, 'plan'))),
)
