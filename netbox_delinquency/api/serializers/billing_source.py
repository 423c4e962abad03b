from netbox.api.fields import RelatedObjectCountField
from netbox.api.serializers import PrimaryModelSerializer
from rest_framework import serializers

from ...models import BillingSource
from .fields import SeenMixin

__all__ = ('BillingSourceSerializer',)


class BillingSourceSerializer(SeenMixin, PrimaryModelSerializer):
    late = serializers.BooleanField(read_only=True, help_text='No word of payments for longer than its heartbeat')
    contract_count = RelatedObjectCountField('contracts')

    class Meta:
        model = BillingSource
        fields = (
            'id', 'url', 'display_url', 'display', 'name', 'slug', 'enabled', 'credential', 'adapter',
            'parameters', 'heartbeat_minutes', 'known_in_full', 'last_event_at', 'payments_known_at',
            'late', 'description', 'owner', 'comments', 'tags', 'custom_fields', 'created',
            'last_updated', 'contract_count',
        )  # fmt: skip
        brief_fields = ('id', 'url', 'display', 'name', 'slug', 'description')
