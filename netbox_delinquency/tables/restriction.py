import django_tables2 as tables
from netbox.tables import NetBoxTable, columns

from ..models import Contract, Restriction
from .columns import StateColumn, tags
from .rights import RightsMixin

__all__ = ('RestrictionTable',)


class RestrictionTable(RightsMixin, NetBoxTable):
    reveals = {'contract_name': Contract}
    id = tables.Column(linkify=True)
    identity = tables.Column(linkify=True)
    point = tables.Column(linkify=True)
    side = columns.ChoiceFieldColumn()
    state_mode = StateColumn()
    line = tables.Column(linkify=True)
    contract = tables.Column(linkify=True)
    waits_for_person = columns.BooleanColumn(false_mark=None)
    lifted_how = columns.ChoiceFieldColumn()
    tags = tags(Restriction)
    actions = columns.ActionsColumn(actions=())

    class Meta(NetBoxTable.Meta):
        model = Restriction
        fields = (
            'pk',
            'id',
            'identity',
            'point',
            'side',
            'address',
            'state_mode',
            'line',
            'contract',
            'contract_name',
            'run_number',
            'change_number',
            'adopted_by',
            'taken_at',
            'last_read_at',
            'owed_since',
            'late_at',
            'finding',
            'waits_for_person',
            'attempts',
            'retry_at',
            'lifted_at',
            'lifted_how',
            'tags',
            'created',
            'last_updated',
        )
        default_columns = (
            'pk',
            'identity',
            'point',
            'state_mode',
            'contract_name',
            'taken_at',
            'owed_since',
            'finding',
            'lifted_at',
            'lifted_how',
        )
