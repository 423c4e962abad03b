from netbox.api.fields import RelatedObjectCountField
from netbox.api.serializers import PrimaryModelSerializer

from ...models import BillingSource

__all__ = ('BillingSourceSerializer',)


class BillingSourceSerializer(PrimaryModelSerializer):
    contract_count = RelatedObjectCountField('contracts')

    class Meta:
        model = BillingSource
        fields = (
            'id', 'url', 'display_url', 'display', 'name', 'slug', 'enabled', 'credential', 'heartbeat_minutes',
            'last_event_at', 'description', 'owner', 'comments', 'tags', 'custom_fields', 'created', 'last_updated',
            'contract_count',
        )  # fmt: skip
        brief_fields = ('id', 'url', 'display', 'name', 'slug', 'description')
