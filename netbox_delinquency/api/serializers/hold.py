from netbox.api.fields import ChoiceField
from netbox.api.serializers import PrimaryModelSerializer
from users.api.serializers import UserSerializer

from ...choices import HoldKindChoices
from ...models import Hold
from .contract import ContractSerializer
from .fields import AwareDateTimeField, SeenMixin
from .policy import PolicyStageSerializer

__all__ = ('HoldSerializer',)


class HoldSerializer(SeenMixin, PrimaryModelSerializer):
    contract = ContractSerializer(nested=True)
    kind = ChoiceField(choices=HoldKindChoices)
    # Who gives it; null where billing itself asserts the hold.
    approver = UserSerializer(nested=True, read_only=True, allow_null=True)
    starts_at = AwareDateTimeField(required=False)
    ends_at = AwareDateTimeField()
    successor = PolicyStageSerializer(nested=True, read_only=True, allow_null=True)

    class Meta:
        model = Hold
        fields = (
            'id', 'url', 'display_url', 'display', 'contract', 'kind', 'reason', 'reference', 'approver', 'starts_at',
            'ends_at', 'instalments', 'ended_at', 'end_reason', 'asserted_by', 'successor',
            'description', 'owner', 'comments', 'tags',
            'custom_fields', 'created', 'last_updated',
        )  # fmt: skip
        brief_fields = ('id', 'url', 'display', 'kind', 'starts_at', 'ends_at', 'description')
