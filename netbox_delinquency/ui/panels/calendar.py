"""The pages of calendars and their dates."""

from netbox.ui import attrs

from ...models import Calendar, CalendarDate
from ..base import ModelPanel

__all__ = (
    'CalendarDatePanel',
    'CalendarPanel',
)


class CalendarPanel(ModelPanel):
    model = Calendar
    name = attrs.TextAttr('name')
    country = attrs.TextAttr('country')
    subdivision = attrs.TextAttr('subdivision')
    city = attrs.TextAttr('city')
    time_zone = attrs.TextAttr('time_zone')
    description = attrs.TextAttr('description')


class CalendarDatePanel(ModelPanel):
    model = CalendarDate
    calendar = attrs.RelatedObjectAttr('calendar', linkify=True)
    date = attrs.DateTimeAttr('date', spec='date')
    name = attrs.TextAttr('name')
    is_holiday = attrs.BooleanAttr('is_holiday')
