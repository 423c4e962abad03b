from netbox.api.fields import ChoiceField
from netbox.api.serializers import NetBoxModelSerializer

from ...choices import LiftedChoices, LineChannelChoices
from ...models import Restriction
from .access import AccessLineSerializer
from .contract import ContractSerializer
from .fields import AccessStateSerializer, SeenMixin
from .point import EnforcementPointSerializer

__all__ = ('RestrictionSerializer',)


class RestrictionSerializer(SeenMixin, NetBoxModelSerializer):
    """What we took at a place: written by the engine alone."""

    point = EnforcementPointSerializer(nested=True, read_only=True)
    side = ChoiceField(choices=LineChannelChoices, read_only=True)
    state = AccessStateSerializer(read_only=True)
    line = AccessLineSerializer(nested=True, read_only=True, allow_null=True)
    contract = ContractSerializer(nested=True, read_only=True, allow_null=True)
    lifted_how = ChoiceField(choices=LiftedChoices, read_only=True, allow_blank=True)

    class Meta:
        model = Restriction
        fields = (
            'id', 'url', 'display_url', 'display', 'point', 'identity', 'side', 'address', 'state', 'baseline', 'noted',
            'line', 'contract', 'contract_name', 'run_number', 'change_number', 'adopted_by', 'taken_at',
            'last_read_at', 'owed_since', 'late_at', 'finding', 'waits_for_person', 'attempts', 'retry_at', 'lifted_at',
            'lifted_how', 'tags', 'custom_fields', 'created', 'last_updated',
        )  # fmt: skip
        read_only_fields = fields
        brief_fields = ('id', 'url', 'display', 'identity', 'lifted_at')
