from netbox.api.fields import RelatedObjectCountField
from netbox.api.serializers import NetBoxModelSerializer, PrimaryModelSerializer

from ...models import Calendar, CalendarDate
from .fields import SeenMixin

__all__ = ('CalendarDateSerializer', 'CalendarSerializer')


class CalendarSerializer(SeenMixin, PrimaryModelSerializer):
    date_count = RelatedObjectCountField('dates')
    contract_count = RelatedObjectCountField('contracts')

    class Meta:
        model = Calendar
        fields = (
            'id', 'url', 'display_url', 'display', 'name', 'country', 'subdivision', 'city', 'time_zone', 'description',
            'owner', 'comments', 'tags', 'custom_fields', 'created', 'last_updated', 'date_count', 'contract_count',
        )  # fmt: skip
        brief_fields = ('id', 'url', 'display', 'name', 'description')


class CalendarDateSerializer(SeenMixin, NetBoxModelSerializer):
    calendar = CalendarSerializer(nested=True)

    class Meta:
        model = CalendarDate
        fields = (
            'id', 'url', 'display_url', 'display', 'calendar', 'date', 'name', 'is_holiday', 'tags', 'custom_fields',
            'created', 'last_updated',
        )  # fmt: skip
        brief_fields = ('id', 'url', 'display', 'date', 'name', 'is_holiday')
