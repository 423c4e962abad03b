from netbox.api.fields import ChoiceField, RelatedObjectCountField
from netbox.api.serializers import NetBoxModelSerializer, PrimaryModelSerializer

from ...choices import StageActionChoices
from ...models import DelinquencyPolicy, PolicyStage

__all__ = ('DelinquencyPolicySerializer', 'PolicyStageSerializer')


class DelinquencyPolicySerializer(PrimaryModelSerializer):
    stage_count = RelatedObjectCountField('stages')
    contract_count = RelatedObjectCountField('contracts')

    class Meta:
        model = DelinquencyPolicy
        fields = (
            'id', 'url', 'display_url', 'display', 'name', 'auto_approve', 'description', 'owner', 'comments', 'tags',
            'custom_fields', 'created', 'last_updated', 'stage_count', 'contract_count',
        )  # fmt: skip
        brief_fields = ('id', 'url', 'display', 'name', 'description')


class PolicyStageSerializer(NetBoxModelSerializer):
    policy = DelinquencyPolicySerializer(nested=True)
    action = ChoiceField(choices=StageActionChoices)

    class Meta:
        model = PolicyStage
        fields = (
            'id', 'url', 'display_url', 'display', 'policy', 'after_days', 'action', 'tags', 'custom_fields', 'created',
            'last_updated',
        )  # fmt: skip
        brief_fields = ('id', 'url', 'display', 'after_days', 'action')
