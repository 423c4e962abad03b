from netbox.filtersets import PrimaryModelFilterSet
from utilities.filtersets import register_filterset

from ..models import ServicePlan
from .base import SearchMixin, StrictMixin

__all__ = ('ServicePlanFilterSet',)


@register_filterset
class ServicePlanFilterSet(StrictMixin, SearchMixin, PrimaryModelFilterSet):
    search_fields = ('name', 'description', 'comments')

    class Meta:
        model = ServicePlan
        fields = (
            'id',
            'name',
            'down_kbps',
            'up_kbps',
            'throttled_down_kbps',
            'throttled_up_kbps',
            'description',
        )
