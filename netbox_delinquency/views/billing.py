from utilities.query import count_related
from utilities.views import register_model_view

from ..models import BillingEvent, BillingSource, Contract
from ..ui import panels
from ..ui.base import page, table_of
from .base import DetailView, register_crud


@register_model_view(BillingSource)
class BillingSourceView(DetailView):
    queryset = BillingSource.objects.all()
    layout = page(
        panels.BillingSourcePanel(),
        bottom=(
            table_of('billingevent', 'source_id', add='source', exclude=('source',)),
            table_of('contract', 'source_id', add='source', exclude=('source',)),
        ),
    )


@register_model_view(BillingEvent)
class BillingEventView(DetailView):
    queryset = BillingEvent.objects.all()
    layout = page(panels.BillingEventPanel(), under=('source',), comments=False)


__all__ = (
    'BillingEventView',
    'BillingSourceView',
    *register_crud(
        __name__, BillingSource, BillingSource.objects.annotate(contract_count=count_related(Contract, 'source'))
    ),
    *register_crud(__name__, BillingEvent),
)
