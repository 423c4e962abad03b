from utilities.query import count_related
from utilities.views import register_model_view

from ..models import Calendar, CalendarDate, Contract
from ..ui import panels
from ..ui.base import page, table_of
from .base import DetailView, register_crud


@register_model_view(Calendar)
class CalendarView(DetailView):
    queryset = Calendar.objects.all()
    layout = page(
        panels.CalendarPanel(),
        right=(table_of('calendardate', 'calendar_id', add='calendar', exclude=('calendar',)),),
        bottom=(table_of('contract', 'calendar_id', exclude=('calendar',)),),
    )


@register_model_view(CalendarDate)
class CalendarDateView(DetailView):
    queryset = CalendarDate.objects.all()
    layout = page(panels.CalendarDatePanel(), comments=False)


__all__ = (
    'CalendarDateView',
    'CalendarView',
    *register_crud(
        __name__,
        Calendar,
        Calendar.objects.annotate(
            date_count=count_related(CalendarDate, 'calendar'), contract_count=count_related(Contract, 'calendar')
        ),
    ),
    *register_crud(__name__, CalendarDate),
)
