from django import forms
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy
from utilities.views import register_model_view

from ..contract_actions import decide_plan_change
from ..models import PlanChangeOrder
from ..object_actions import AcceptOrder, DeclineOrder
from ..ui import panels
from ..ui.base import page
from .base import DetailView, register_crud
from .contract_actions import AskingView


@register_model_view(PlanChangeOrder)
class PlanChangeOrderView(DetailView):
    queryset = PlanChangeOrder.objects.all()
    actions = (AcceptOrder, DeclineOrder, *DetailView.actions)
    layout = page(panels.PlanChangeOrderPanel(), under=('contract',))


class DecideView(AskingView):
    queryset = PlanChangeOrder.objects.all()
    form_class = forms.Form
    permission = 'change'
    accepted = False

    def act(self, obj, data):
        decide_plan_change(obj, self.accepted, timezone.now())
        return _('The contract has its new plan.') if self.accepted else _('The offer was declined.')


@register_model_view(PlanChangeOrder, 'accept')
class PlanChangeOrderAcceptView(DecideView):
    title = _('Accept')
    accepted = True

    def about(self, obj):
        return _('From now on the contract buys {plan} instead of {present}.').format(
            plan=obj.to_plan, present=obj.from_plan
        )


@register_model_view(PlanChangeOrder, 'decline')
class PlanChangeOrderDeclineView(DecideView):
    title = pgettext_lazy('offer', 'Decline')

    def about(self, obj):
        return _('The contract keeps its plan.')


__all__ = (
    'PlanChangeOrderAcceptView',
    'PlanChangeOrderDeclineView',
    'PlanChangeOrderView',
    *register_crud(__name__, PlanChangeOrder),
)
