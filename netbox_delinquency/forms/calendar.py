from django.utils.translation import gettext_lazy as _
from netbox.forms import (
    NetBoxModelBulkEditForm,
    NetBoxModelFilterSetForm,
    NetBoxModelForm,
    PrimaryModelBulkEditForm,
    PrimaryModelFilterSetForm,
    PrimaryModelForm,
)
from utilities.forms.fields import TagFilterField
from utilities.forms.rendering import FieldSet

from ..models import Calendar, CalendarDate
from .base import OWNERSHIP, SEARCH, NetBoxImportForm, PrimaryImportForm, choose, edit, filter_by, refer

__all__ = (
    'CalendarBulkEditForm',
    'CalendarDateBulkEditForm',
    'CalendarDateFilterForm',
    'CalendarDateForm',
    'CalendarDateImportForm',
    'CalendarFilterForm',
    'CalendarForm',
    'CalendarImportForm',
)

CALENDAR_FIELDS = ('name', 'country', 'subdivision', 'city', 'time_zone', 'description', 'owner', 'comments', 'tags')


class CalendarForm(PrimaryModelForm):
    fieldsets = (
        FieldSet('name', 'country', 'subdivision', 'city', 'time_zone', 'description', 'tags', name=_('Calendar')),
    )

    class Meta:
        model = Calendar
        fields = CALENDAR_FIELDS


class CalendarImportForm(PrimaryImportForm):
    class Meta:
        model = Calendar
        fields = CALENDAR_FIELDS


class CalendarBulkEditForm(PrimaryModelBulkEditForm):
    model = Calendar
    fieldsets = (FieldSet('country', 'subdivision', 'city', 'time_zone', 'description'),)
    nullable_fields = ('subdivision', 'city', 'description', 'comments')

    country = edit(Calendar, 'country')
    subdivision = edit(Calendar, 'subdivision')
    city = edit(Calendar, 'city')
    time_zone = edit(Calendar, 'time_zone')


class CalendarFilterForm(PrimaryModelFilterSetForm):
    model = Calendar
    fieldsets = (SEARCH, FieldSet('country', 'subdivision', 'time_zone', name=_('Calendar')), OWNERSHIP)

    country = filter_by(Calendar, 'country')
    subdivision = filter_by(Calendar, 'subdivision')
    time_zone = filter_by(Calendar, 'time_zone')
    tag = TagFilterField(model)


CALENDAR_DATE_FIELDS = ('calendar', 'date', 'name', 'is_holiday', 'tags')


class CalendarDateForm(NetBoxModelForm):
    fieldsets = (FieldSet('calendar', 'date', 'name', 'is_holiday', 'tags', name=_('Calendar date')),)
    calendar = choose(CalendarDate, 'calendar')

    class Meta:
        model = CalendarDate
        fields = CALENDAR_DATE_FIELDS


class CalendarDateImportForm(NetBoxImportForm):
    calendar = refer(CalendarDate, 'calendar', 'name')

    class Meta:
        model = CalendarDate
        fields = CALENDAR_DATE_FIELDS


class CalendarDateBulkEditForm(NetBoxModelBulkEditForm):
    model = CalendarDate
    fieldsets = (FieldSet('calendar', 'name', 'is_holiday'),)

    calendar = edit(CalendarDate, 'calendar')
    name = edit(CalendarDate, 'name')
    is_holiday = edit(CalendarDate, 'is_holiday')


class CalendarDateFilterForm(NetBoxModelFilterSetForm):
    model = CalendarDate
    fieldsets = (SEARCH, FieldSet('calendar_id', 'date', 'is_holiday', name=_('Calendar date')))

    calendar_id = filter_by(CalendarDate, 'calendar')
    date = filter_by(CalendarDate, 'date')
    is_holiday = filter_by(CalendarDate, 'is_holiday')
    tag = TagFilterField(model)
