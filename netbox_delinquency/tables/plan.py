import django_tables2 as tables
from django.utils.translation import gettext_lazy as _
from netbox.tables import PrimaryModelTable
from netbox.tables.columns import DictColumn

from ..models import Contract, ServicePlan
from .columns import counted, tags
from .rights import RightsMixin

__all__ = ('ServicePlanTable',)


class ServicePlanTable(RightsMixin, PrimaryModelTable):
    name = tables.Column(linkify=True)
    parameters = DictColumn()
    contract_count = counted(Contract, _('Contracts'), plan_id='pk')
    tags = tags(ServicePlan)

    class Meta(PrimaryModelTable.Meta):
        model = ServicePlan
        fields = (
            'pk',
            'id',
            'name',
            'down_kbps',
            'up_kbps',
            'throttled_down_kbps',
            'throttled_up_kbps',
            'parameters',
            'contract_count',
            'description',
            'owner_group',
            'owner',
            'comments',
            'tags',
            'created',
            'last_updated',
            'actions',
        )
        default_columns = (
            'pk',
            'name',
            'down_kbps',
            'up_kbps',
            'throttled_down_kbps',
            'throttled_up_kbps',
            'contract_count',
        )
