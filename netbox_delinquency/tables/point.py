import django_tables2 as tables
from django.utils.translation import gettext_lazy as _
from netbox.tables import PrimaryModelTable, columns

from ..models import AccessLine, EnforcementPoint
from .columns import counted, tags
from .rights import RightsMixin

__all__ = ('EnforcementPointTable',)


class EnforcementPointTable(RightsMixin, PrimaryModelTable):
    name = tables.Column(linkify=True)
    status = columns.ChoiceFieldColumn()
    mode = columns.ChoiceFieldColumn()
    device = tables.Column(linkify=True)
    virtual_machine = tables.Column(linkify=True)
    parameters = columns.DictColumn()
    bras_line_count = counted(AccessLine, _('Lines as BRAS'), bras_id='pk')
    acs_line_count = counted(AccessLine, _('Lines as ACS'), acs_id='pk')
    tags = tags(EnforcementPoint)

    class Meta(PrimaryModelTable.Meta):
        model = EnforcementPoint
        fields = (
            'pk',
            'id',
            'name',
            'status',
            'mode',
            'driver',
            'device',
            'virtual_machine',
            'address',
            'port',
            'credential',
            'host_key',
            'parameters',
            'timeout',
            'batch_size',
            'max_rows_per_second',
            'max_rows_per_hour',
            'max_share_percent',
            'checked_at',
            'check_failure',
            'checked_as',
            'bras_line_count',
            'acs_line_count',
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
            'status',
            'mode',
            'driver',
            'device',
            'address',
            'bras_line_count',
            'acs_line_count',
        )
