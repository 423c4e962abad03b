from utilities.views import register_model_view

from ..models import Notice
from ..ui import panels
from ..ui.base import page
from .base import DetailView, register_crud


@register_model_view(Notice)
class NoticeView(DetailView):
    queryset = Notice.objects.all()
    layout = page(panels.NoticePanel())


__all__ = ('NoticeView', *register_crud(__name__, Notice))
