import django_tables2 as tables
from netbox.tables import PrimaryModelTable, columns

from ..models import Hold
from .columns import tags
from .rights import RightsMixin

__all__ = ('HoldTable',)


class HoldTable(RightsMixin, PrimaryModelTable):
    contract = tables.Column(linkify=True)
    successor = tables.Column(linkify=True)
    kind = columns.ChoiceFieldColumn(linkify=True)
    tags = tags(Hold)

    class Meta(PrimaryModelTable.Meta):
        model = Hold
        fields = (
            'pk',
            'id',
            'contract',
            'kind',
            'reason',
            'reference',
            'approver',
            'asserted_by',
            'starts_at',
            'ends_at',
            'instalments',
            'ended_at',
            'end_reason',
            'successor',
            'description',
            'owner_group',
            'owner',
            'comments',
            'tags',
            'created',
            'last_updated',
            'actions',
        )
        default_columns = ('pk', 'kind', 'contract', 'reason', 'approver', 'starts_at', 'ends_at', 'ended_at')
