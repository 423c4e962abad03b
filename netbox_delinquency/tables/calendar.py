import django_tables2 as tables
from django.utils.translation import gettext_lazy as _
from netbox.tables import NetBoxTable, PrimaryModelTable, columns

from ..models import Calendar, CalendarDate, Contract
from .columns import counted, tags
from .rights import RightsMixin

__all__ = ('CalendarDateTable', 'CalendarTable')


class CalendarTable(RightsMixin, PrimaryModelTable):
    name = tables.Column(linkify=True)
    date_count = counted(CalendarDate, _('Own dates'), calendar_id='pk')
    contract_count = counted(Contract, _('Contracts'), calendar_id='pk')
    tags = tags(Calendar)

    class Meta(PrimaryModelTable.Meta):
        model = Calendar
        fields = (
            'pk',
            'id',
            'name',
            'country',
            'subdivision',
            'city',
            'time_zone',
            'date_count',
            'contract_count',
            'description',
            'owner_group',
            'owner',
            'comments',
            'tags',
            'created',
            'last_updated',
            'actions',
        )
        default_columns = ('pk', 'name', 'country', 'subdivision', 'city', 'time_zone', 'date_count')


class CalendarDateTable(RightsMixin, NetBoxTable):
    calendar = tables.Column(linkify=True)
    date = tables.Column(linkify=True)
    is_holiday = columns.BooleanColumn()
    tags = tags(CalendarDate)

    class Meta(NetBoxTable.Meta):
        model = CalendarDate
        fields = (
            'pk',
            'id',
            'calendar',
            'date',
            'name',
            'is_holiday',
            'tags',
            'created',
            'last_updated',
            'actions',
        )
        default_columns = ('pk', 'calendar', 'date', 'name', 'is_holiday')
