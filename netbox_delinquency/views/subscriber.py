from utilities.query import count_related
from utilities.views import register_model_view

from ..models import Contract, Subscriber
from ..ui import panels
from ..ui.base import page, table_of
from .base import DetailView, register_crud


@register_model_view(Subscriber)
class SubscriberView(DetailView):
    queryset = Subscriber.objects.all()
    layout = page(
        panels.SubscriberPanel(),
        bottom=(
            table_of('contract', 'subscriber_id', add='subscriber', exclude=('subscriber',)),
            table_of('accessline', 'subscriber_id', exclude=('subscriber',)),
            table_of('billingevent', 'subscriber_id'),
        ),
    )


__all__ = (
    'SubscriberView',
    *register_crud(
        __name__, Subscriber, Subscriber.objects.annotate(contract_count=count_related(Contract, 'subscriber'))
    ),
)
