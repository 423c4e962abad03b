from utilities.views import register_model_view

from ..models import AccessLine
from ..object_actions import AdoptLines, PlanLines, ProfileLines, ReconcileLines, UnpinLines
from ..ui import panels
from ..ui.base import page, table_of
from .base import DetailView, ListView, named_devices, register_crud


@register_model_view(AccessLine)
class AccessLineView(DetailView):
    queryset = AccessLine.objects.all()
    layout = page(
        panels.LinePanel(),
        under=('contract.subscriber', 'contract'),
        right=(panels.LineStatePanel(), panels.LineIdentityPanel()),
        bottom=(
            table_of('restriction', 'line_id', exclude=('line',)),
            table_of('enforcementchange', 'line_id', exclude=('line',)),
        ),
    )


class LineListView(ListView):
    actions = (*ListView.actions, PlanLines, ProfileLines, ReconcileLines, UnpinLines, AdoptLines)


__all__ = (
    'AccessLineView',
    *register_crud(
        __name__,
        AccessLine,
        AccessLine.objects.select_related('contract__stage__policy', *named_devices('cpe')),
        bases={'List': LineListView},
    ),
)
