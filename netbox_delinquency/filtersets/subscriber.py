from netbox.filtersets import PrimaryModelFilterSet
from utilities.filtersets import register_filterset

from ..models import Subscriber
from .base import SearchMixin, StrictMixin

__all__ = ('SubscriberFilterSet',)


@register_filterset
class SubscriberFilterSet(StrictMixin, SearchMixin, PrimaryModelFilterSet):
    search_fields = ('external_id', 'name', 'description', 'comments')

    class Meta:
        model = Subscriber
        fields = ('id', 'external_id', 'name', 'description')
