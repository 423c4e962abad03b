import django_tables2 as tables
from netbox.tables import PrimaryModelTable, columns

from ..models import PlanChangeOrder
from .columns import tags
from .rights import RightsMixin

__all__ = ('PlanChangeOrderTable',)


class PlanChangeOrderTable(RightsMixin, PrimaryModelTable):
    contract = tables.Column(linkify=True)
    from_plan = tables.Column(linkify=True)
    to_plan = tables.Column(linkify=True)
    reason = tables.Column(linkify=True)
    status = columns.ChoiceFieldColumn()
    tags = tags(PlanChangeOrder)

    class Meta(PrimaryModelTable.Meta):
        model = PlanChangeOrder
        fields = (
            'pk', 'id', 'contract', 'from_plan', 'to_plan', 'reason', 'offered_until', 'status', 'decided_at',
            'description', 'owner_group', 'owner', 'comments', 'tags', 'created', 'last_updated', 'actions',
        )  # fmt: skip
        default_columns = ('pk', 'contract', 'from_plan', 'to_plan', 'reason', 'offered_until', 'status')
