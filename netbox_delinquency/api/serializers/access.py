from dcim.api.serializers import DeviceSerializer
from netbox.api.fields import ChoiceField
from netbox.api.serializers import PrimaryModelSerializer
from rest_framework import serializers

from ...choices import LineChannelChoices, LineStatusChoices
from ...models import AccessLine
from .contract import ContractSerializer
from .fields import AccessStateSerializer, ObservedStateSerializer, SeenMixin, TargetField
from .point import EnforcementPointSerializer

__all__ = ('AccessLineSerializer',)


class AccessLineSerializer(SeenMixin, PrimaryModelSerializer):
    contract = ContractSerializer(nested=True)
    status = ChoiceField(choices=LineStatusChoices, required=False)
    cpe = DeviceSerializer(nested=True, required=False, allow_null=True, default=None)
    bras = EnforcementPointSerializer(nested=True, required=False, allow_null=True, default=None)
    acs = EnforcementPointSerializer(nested=True, required=False, allow_null=True, default=None)
    point = EnforcementPointSerializer(nested=True, read_only=True, allow_null=True)
    mac = serializers.CharField(required=False, allow_null=True, default=None)
    intended = AccessStateSerializer(read_only=True)
    channel = ChoiceField(choices=LineChannelChoices, read_only=True)
    observed = ObservedStateSerializer(read_only=True, allow_null=True)
    cpe_observed = ObservedStateSerializer(read_only=True, allow_null=True)
    drifting = serializers.BooleanField(source='is_drifting', read_only=True)
    foreign = serializers.ListField(child=serializers.CharField(), read_only=True)
    cpe_foreign = serializers.ListField(child=serializers.CharField(), read_only=True)
    target = TargetField()

    class Meta:
        model = AccessLine
        fields = (
            'id', 'url', 'display_url', 'display', 'contract', 'status', 'cpe', 'bras', 'acs', 'point', 'username',
            'circuit_id', 'ipv4', 'ipv6', 'mac', 'cwmp_id', 'intended', 'channel', 'pinned', 'observed', 'observed_at',
            'unverified', 'baseline', 'cpe_observed', 'cpe_observed_at', 'cpe_unverified', 'cpe_baseline', 'drifting',
            'foreign', 'cpe_foreign', 'bras_identity', 'acs_identity', 'restriction', 'cpe_restriction', 'target',
            'description', 'owner', 'comments', 'tags', 'custom_fields', 'created',
            'last_updated',
        )  # fmt: skip
        brief_fields = ('id', 'url', 'display', 'username', 'status', 'description')
        read_only_fields = ('bras_identity', 'acs_identity', 'restriction', 'cpe_restriction')
        model_clean_fields = ('ipv6',)
