import django_tables2 as tables
from netbox.tables import PrimaryModelTable, columns

from ..models import Notice
from .columns import tags
from .rights import RightsMixin

__all__ = ('NoticeTable',)


class NoticeTable(RightsMixin, PrimaryModelTable):
    contract = tables.Column(linkify=True)
    reference = tables.Column(linkify=True)
    kind = columns.ChoiceFieldColumn()
    channel = columns.ChoiceFieldColumn()
    tags = tags(Notice)

    class Meta(PrimaryModelTable.Meta):
        model = Notice
        fields = (
            'pk',
            'id',
            'contract',
            'kind',
            'reference',
            'channel',
            'sent_at',
            'delivered_at',
            'asserted_by',
            'description',
            'owner_group',
            'owner',
            'comments',
            'tags',
            'created',
            'last_updated',
            'actions',
        )
        default_columns = ('pk', 'reference', 'contract', 'kind', 'channel', 'delivered_at', 'asserted_by')
