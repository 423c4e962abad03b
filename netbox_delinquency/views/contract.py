from utilities.query import count_related
from utilities.views import register_model_view

from ..models import AccessLine, Contract
from ..object_actions import RequestReview, TrustUnlock
from ..ui import panels
from ..ui.base import page, table_of
from .base import DetailView, ListView, register_crud


@register_model_view(Contract)
class ContractView(DetailView):
    queryset = Contract.objects.select_related('policy', 'stage__policy')
    actions = (TrustUnlock, RequestReview, *DetailView.actions)
    layout = page(
        panels.ContractPanel(),
        panels.ContractFactsPanel(),
        under=('subscriber',),
        right=(panels.ContractStandingPanel(), panels.BalancePanel()),
        bottom=(
            table_of('accessline', 'contract_id', add='contract', exclude=('contract', 'subscriber')),
            table_of('notice', 'contract_id', add='contract', exclude=('contract',)),
            table_of('hold', 'contract_id', add='contract', exclude=('contract',)),
            table_of('planchangeorder', 'contract_id', add='contract', exclude=('contract',)),
            table_of('billingevent', 'contract_id', exclude=('contract',)),
        ),
    )


class BalanceListView(ListView):
    def get_queryset(self, request):
        return super().get_queryset(request).with_visible_balance(request.user)


__all__ = (
    'ContractView',
    *register_crud(
        __name__,
        Contract,
        Contract.objects.select_related('stage__policy', 'next_stage__policy').annotate(
            line_count=count_related(AccessLine, 'contract')
        ),
        bases={'List': BalanceListView},
    ),
)
