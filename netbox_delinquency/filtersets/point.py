from dcim.models import Device
from django.utils.translation import gettext_lazy as _
from netbox.filtersets import PrimaryModelFilterSet
from utilities.filtersets import register_filterset
from virtualization.models import VirtualMachine

from ..choices import EnforcementModeChoices, PointStatusChoices
from ..models import EnforcementPoint
from .base import SearchMixin, StrictMixin, choices, related

__all__ = ('EnforcementPointFilterSet',)


@register_filterset
class EnforcementPointFilterSet(StrictMixin, SearchMixin, PrimaryModelFilterSet):
    search_fields = ('name', 'address', 'device__name', 'virtual_machine__name', 'description', 'comments')

    status = choices(PointStatusChoices)
    mode = choices(EnforcementModeChoices)
    device_id = related(Device, 'device', _('Device (ID)'))
    device = related(Device, 'device', _('Device (name)'), by='name')
    virtual_machine_id = related(VirtualMachine, 'virtual_machine', _('Virtual machine (ID)'))
    virtual_machine = related(VirtualMachine, 'virtual_machine', _('Virtual machine (name)'), by='name')

    class Meta:
        model = EnforcementPoint
        fields = (
            'id',
            'name',
            'driver',
            'address',
            'port',
            'credential',
            'host_key',
            'timeout',
            'batch_size',
            'max_rows_per_second',
            'max_rows_per_hour',
            'max_share_percent',
            'checked_at',
            'check_failure',
            'checked_as',
            'description',
        )
