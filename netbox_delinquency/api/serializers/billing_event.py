from django.utils.translation import gettext as _
from netbox.api.fields import ChoiceField
from netbox.api.serializers import NetBoxModelSerializer
from rest_framework import serializers
from users.api.serializers import UserSerializer

from ...choices import EventStatusChoices
from ...models import BillingEvent
from .billing_source import BillingSourceSerializer
from .contract import ContractSerializer
from .fields import SeenMixin

__all__ = ('BillingEventSerializer',)


class BillingEventSerializer(SeenMixin, NetBoxModelSerializer):
    """What came from billing is written once and its body is never shown; tags and custom fields may change."""

    RECEIVED = ('source', 'event_id', 'event_type', 'body')

    source = BillingSourceSerializer(nested=True)
    body = serializers.CharField(write_only=True, trim_whitespace=False)  # as it was signed, to the byte
    status = ChoiceField(choices=EventStatusChoices, read_only=True)
    contract = ContractSerializer(nested=True, read_only=True, allow_null=True)
    reviewed_by = UserSerializer(nested=True, read_only=True, allow_null=True)

    class Meta:
        model = BillingEvent
        fields = (
            'id', 'url', 'display_url', 'display', 'source', 'event_id', 'event_type', 'body', 'status', 'message',
            'meaning', 'is_urgent', 'reference', 'contract', 'received_at', 'processed_at', 'needs_attention',
            'reviewed_at', 'reviewed_by', 'tags', 'custom_fields', 'created', 'last_updated',
        )  # fmt: skip
        brief_fields = ('id', 'url', 'display', 'event_id', 'event_type', 'status')

    def validate(self, data):
        if self.instance and not self.nested:
            changed = [name for name in self.RECEIVED if name in data and data[name] != getattr(self.instance, name)]
            if changed:
                text = _('An event is kept as it was received. Delete it, or have billing send another.')
                raise serializers.ValidationError(dict.fromkeys(changed, text))
        return super().validate(data)
