from netbox.api.fields import RelatedObjectCountField
from netbox.api.serializers import PrimaryModelSerializer

from ...models import Subscriber
from .fields import SeenMixin

__all__ = ('SubscriberSerializer',)


class SubscriberSerializer(SeenMixin, PrimaryModelSerializer):
    contract_count = RelatedObjectCountField('contracts')

    class Meta:
        model = Subscriber
        fields = (
            'id', 'url', 'display_url', 'display', 'external_id', 'name', 'description', 'owner', 'comments', 'tags',
            'custom_fields', 'created', 'last_updated', 'contract_count',
        )  # fmt: skip
        brief_fields = ('id', 'url', 'display', 'external_id', 'name', 'description')
