import django_tables2 as tables
from django.utils.translation import gettext_lazy as _
from netbox.tables import NetBoxTable, PrimaryModelTable, columns

from ..models import BillingEvent, BillingSource, Contract
from .columns import WarningColumn, counted, tags
from .rights import RightsMixin

__all__ = ('BillingEventTable', 'BillingSourceTable')


class BillingSourceTable(RightsMixin, PrimaryModelTable):
    name = tables.Column(linkify=True)
    enabled = columns.BooleanColumn()
    known_in_full = columns.BooleanColumn()
    late = WarningColumn(verbose_name=_('Late'), orderable=False)
    contract_count = counted(Contract, _('Contracts'), source_id='pk')
    tags = tags(BillingSource)

    class Meta(PrimaryModelTable.Meta):
        model = BillingSource
        fields = (
            'pk',
            'id',
            'name',
            'slug',
            'enabled',
            'credential',
            'adapter',
            'parameters',
            'heartbeat_minutes',
            'known_in_full',
            'payments_known_at',
            'last_event_at',
            'late',
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
            'pk', 'name', 'slug', 'enabled', 'heartbeat_minutes', 'payments_known_at', 'late', 'contract_count',
        )  # fmt: skip


class BillingEventTable(RightsMixin, NetBoxTable):
    """Without the body: every column of a table is exported."""

    event_id = tables.Column(linkify=True)
    source = tables.Column(linkify=True)
    status = columns.ChoiceFieldColumn()
    needs_attention = WarningColumn()
    is_urgent = columns.BooleanColumn()
    contract = tables.Column(linkify=True)
    tags = tags(BillingEvent)

    class Meta(NetBoxTable.Meta):
        model = BillingEvent
        fields = (
            'pk',
            'id',
            'event_id',
            'source',
            'event_type',
            'status',
            'message',
            'meaning',
            'is_urgent',
            'reference',
            'needs_attention',
            'reviewed_at',
            'reviewed_by',
            'contract',
            'received_at',
            'processed_at',
            'tags',
            'created',
            'last_updated',
            'actions',
        )
        default_columns = (
            'pk',
            'event_id',
            'source',
            'event_type',
            'status',
            'needs_attention',
            'contract',
            'received_at',
            'message',
        )
