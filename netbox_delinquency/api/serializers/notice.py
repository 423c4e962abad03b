from netbox.api.fields import ChoiceField
from netbox.api.serializers import PrimaryModelSerializer

from ...choices import NoticeChannelChoices, NoticeKindChoices
from ...models import Notice
from .contract import ContractSerializer
from .fields import AwareDateTimeField, SeenMixin

__all__ = ('NoticeSerializer',)


class NoticeSerializer(SeenMixin, PrimaryModelSerializer):
    contract = ContractSerializer(nested=True)
    kind = ChoiceField(choices=NoticeKindChoices)
    channel = ChoiceField(choices=NoticeChannelChoices, required=False)
    sent_at = AwareDateTimeField(required=False, allow_null=True)
    delivered_at = AwareDateTimeField(required=False, allow_null=True)

    class Meta:
        model = Notice
        fields = (
            'id', 'url', 'display_url', 'display', 'contract', 'kind', 'reference', 'channel', 'sent_at',
            'delivered_at', 'asserted_by', 'description', 'owner', 'comments', 'tags', 'custom_fields', 'created',
            'last_updated',
        )  # fmt: skip
        read_only_fields = ('asserted_by',)
        brief_fields = ('id', 'url', 'display', 'kind', 'reference', 'delivered_at', 'description')
