from django.utils.translation import gettext_lazy as _
from netbox.filtersets import NetBoxModelFilterSet, PrimaryModelFilterSet
from users.models import User
from utilities.filtersets import register_filterset

from ..choices import EventStatusChoices
from ..models import BillingEvent, BillingSource, Contract, Subscriber
from .base import SearchMixin, StrictMixin, choices, related

__all__ = ('BillingEventFilterSet', 'BillingSourceFilterSet')


@register_filterset
class BillingSourceFilterSet(StrictMixin, SearchMixin, PrimaryModelFilterSet):
    search_fields = ('name', 'slug', 'description', 'comments')

    class Meta:
        model = BillingSource
        fields = (
            'id',
            'name',
            'slug',
            'enabled',
            'credential',
            'adapter',
            'heartbeat_minutes',
            'known_in_full',
            'payments_known_at',
            'last_event_at',
            'description',
        )


@register_filterset
class BillingEventFilterSet(StrictMixin, SearchMixin, NetBoxModelFilterSet):
    """The body can neither be filtered by nor searched: it holds what billing knows of a person."""

    search_fields = ('event_id', 'event_type', 'message')

    source_id = related(BillingSource, 'source', _('Billing source (ID)'))
    source = related(BillingSource, 'source', _('Billing source (slug)'), by='slug')
    contract_id = related(Contract, 'contract', _('Contract (ID)'))
    reviewed_by_id = related(User, 'reviewed_by', _('Reviewed by (ID)'))
    reviewed_by = related(User, 'reviewed_by', _('Reviewed by (username)'), by='username')
    contract = related(Contract, 'contract', _('Contract (external ID)'), by='external_id')
    subscriber_id = related(Subscriber, 'contract__subscriber', _('Subscriber (ID)'))
    status = choices(EventStatusChoices)

    class Meta:
        model = BillingEvent
        fields = (
            'id', 'event_id', 'event_type', 'message', 'meaning', 'is_urgent', 'reference', 'received_at',
            'processed_at', 'needs_attention', 'reviewed_at',
        )  # fmt: skip
