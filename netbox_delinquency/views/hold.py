from utilities.views import register_model_view

from ..models import Hold
from ..object_actions import EndHold
from ..ui import panels
from ..ui.base import page
from .base import DetailView, register_crud


@register_model_view(Hold)
class HoldView(DetailView):
    queryset = Hold.objects.all()
    actions = (EndHold, *DetailView.actions)
    layout = page(panels.HoldPanel())


__all__ = ('HoldView', *register_crud(__name__, Hold, Hold.objects.select_related('successor__policy')))
