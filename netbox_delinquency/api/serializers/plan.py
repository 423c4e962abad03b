from netbox.api.fields import RelatedObjectCountField
from netbox.api.serializers import PrimaryModelSerializer

from ...models import ServicePlan
from .fields import SeenMixin

__all__ = ('ServicePlanSerializer',)


class ServicePlanSerializer(SeenMixin, PrimaryModelSerializer):
    contract_count = RelatedObjectCountField('contracts')

    class Meta:
        model = ServicePlan
        fields = (
            'id', 'url', 'display_url', 'display', 'name', 'down_kbps', 'up_kbps', 'throttled_down_kbps',
            'throttled_up_kbps', 'parameters', 'description', 'owner', 'comments', 'tags', 'custom_fields', 'created',
            'last_updated', 'contract_count',
        )  # fmt: skip
        brief_fields = (
            'id', 'url', 'display', 'name', 'down_kbps', 'up_kbps', 'throttled_down_kbps', 'throttled_up_kbps',
            'description',
        )  # fmt: skip
