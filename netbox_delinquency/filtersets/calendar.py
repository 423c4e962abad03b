from django.utils.translation import gettext_lazy as _
from netbox.filtersets import NetBoxModelFilterSet, PrimaryModelFilterSet
from utilities.filtersets import register_filterset

from ..models import Calendar, CalendarDate
from .base import SearchMixin, StrictMixin, related

__all__ = ('CalendarDateFilterSet', 'CalendarFilterSet')


@register_filterset
class CalendarFilterSet(StrictMixin, SearchMixin, PrimaryModelFilterSet):
    search_fields = (
        'name',
        'city',
        'description',
        'comments',
    )

    class Meta:
        model = Calendar
        fields = (
            'id',
            'name',
            'country',
            'subdivision',
            'city',
            'time_zone',
            'description',
        )


@register_filterset
class CalendarDateFilterSet(StrictMixin, SearchMixin, NetBoxModelFilterSet):
    search_fields = (
        'name',
        'calendar__name',
    )

    calendar_id = related(Calendar, 'calendar', _('Calendar (ID)'))
    calendar = related(Calendar, 'calendar', _('Calendar (name)'), by='name')

    class Meta:
        model = CalendarDate
        fields = (
            'id',
            'date',
            'name',
            'is_holiday',
        )
