from netbox.api.fields import ChoiceField, RelatedObjectCountField
from netbox.api.serializers import NetBoxModelSerializer, PrimaryModelSerializer
from users.api.serializers import UserSerializer

from ...choices import LineChannelChoices, OutcomeChoices, RunKindChoices, RunStatusChoices
from ...models import EnforcementChange, EnforcementRun
from .access import AccessLineSerializer
from .fields import AccessStateSerializer, SeenMixin, TargetField
from .point import EnforcementPointSerializer

__all__ = ('EnforcementChangeSerializer', 'EnforcementRunSerializer')


class EnforcementRunSerializer(SeenMixin, PrimaryModelSerializer):
    kind = ChoiceField(choices=RunKindChoices, read_only=True)
    status = ChoiceField(choices=RunStatusChoices, read_only=True)
    author = UserSerializer(nested=True, read_only=True, allow_null=True)
    approver = UserSerializer(nested=True, read_only=True, allow_null=True)
    change_count = RelatedObjectCountField('changes')

    class Meta:
        model = EnforcementRun
        fields = (
            'id', 'url', 'display_url', 'display', 'name', 'kind', 'status', 'executor', 'plan_hash', 'author',
            'approver', 'approved_hash', 'approved_at', 'started_at', 'resumed_at', 'heartbeat_at', 'finished_at',
            'wave', 'wave_done_at', 'stop_reason', 'stop_code', 'stop_params', 'reverts', 'description',
            'owner', 'comments', 'tags', 'custom_fields', 'created', 'last_updated', 'change_count',
        )  # fmt: skip
        brief_fields = ('id', 'url', 'display', 'name', 'kind', 'status', 'description')

    def create(self, validated_data):
        return super().create({**validated_data, 'author': self.context['request'].user})


class EnforcementChangeSerializer(SeenMixin, NetBoxModelSerializer):
    run = EnforcementRunSerializer(nested=True)
    line = AccessLineSerializer(nested=True, allow_null=True)
    point = EnforcementPointSerializer(nested=True, read_only=True)
    expected = AccessStateSerializer(read_only=True, allow_null=True)
    channel = ChoiceField(choices=LineChannelChoices, read_only=True)
    desired = AccessStateSerializer(allow_null=True)
    target = TargetField()
    outcome = ChoiceField(choices=OutcomeChoices, read_only=True)

    class Meta:
        model = EnforcementChange
        fields = (
            'id', 'url', 'display_url', 'display', 'run', 'line', 'identity', 'names', 'restriction', 'point',
            'channel', 'wave', 'expected', 'desired',
            'values', 'exact', 'reason', 'authors', 'target', 'claimed_at', 'sent_at', 'finished_at', 'outcome',
            'refused', 'message', 'message_code', 'message_params', 'before', 'after', 'tags',
            'custom_fields', 'created', 'last_updated',
        )  # fmt: skip
        read_only_fields = ('identity', 'names', 'restriction', 'authors')
        brief_fields = ('id', 'url', 'display', 'desired', 'outcome')
