from netbox.api.fields import ChoiceField
from netbox.api.serializers import PrimaryModelSerializer

from ...choices import PlanChangeStatusChoices
from ...models import PlanChangeOrder
from .contract import ContractSerializer
from .fields import SeenMixin
from .plan import ServicePlanSerializer

__all__ = ('PlanChangeOrderSerializer',)


class PlanChangeOrderSerializer(SeenMixin, PrimaryModelSerializer):
    contract = ContractSerializer(nested=True)
    to_plan = ServicePlanSerializer(nested=True)
    from_plan = ServicePlanSerializer(nested=True, read_only=True)
    status = ChoiceField(choices=PlanChangeStatusChoices, read_only=True)

    class Meta:
        model = PlanChangeOrder
        fields = (
            'id', 'url', 'display_url', 'display', 'contract', 'from_plan', 'to_plan', 'reason', 'offered_until',
            'status', 'decided_at', 'description', 'owner', 'comments', 'tags', 'custom_fields', 'created',
            'last_updated',
        )  # fmt: skip
        brief_fields = ('id', 'url', 'display', 'status', 'offered_until', 'description')
