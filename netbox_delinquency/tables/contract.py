import django_tables2 as tables
from django.utils.translation import gettext_lazy as _
from netbox.tables import PrimaryModelTable, columns

from ..models import AccessLine, Contract
from .columns import counted, tags
from .rights import RightsMixin

__all__ = ('ContractTable',)


class ContractTable(RightsMixin, PrimaryModelTable):
    external_id = tables.Column(linkify=True)
    subscriber = tables.Column(linkify=True)
    source = tables.Column(linkify=True)
    plan = tables.Column(linkify=True)
    policy = tables.Column(linkify=True)
    status = columns.ChoiceFieldColumn()
    # The list view's annotation, empty where the user may not see it: ordering by the field itself would reveal it.
    open_balance = tables.Column(accessor='visible_balance', verbose_name=_('Open balance'))
    calendar = tables.Column(linkify=True)
    billing_status = columns.ChoiceFieldColumn()
    aliases = columns.ArrayColumn()
    in_relief = columns.BooleanColumn()
    awaiting_clearing = columns.BooleanColumn()
    stage = tables.Column(linkify=True)
    next_stage = tables.Column(linkify=True)
    dunning_note = tables.Column(accessor='note', order_by=('dunning_note',))
    line_count = counted(AccessLine, _('Lines'), contract_id='pk')
    tags = tags(Contract)

    class Meta(PrimaryModelTable.Meta):
        model = Contract
        fields = (
            'pk',
            'id',
            'external_id',
            'aliases',
            'reference',
            'loose_reference',
            'source',
            'subscriber',
            'plan',
            'policy',
            'status',
            'calendar',
            'time_zone',
            'tier',
            'oldest_due_date',
            'open_balance',
            'unpaid_invoices',
            'awaiting_clearing',
            'notices_from',
            'relief_ended_at',
            'billing_status',
            'facts_at',
            'stage',
            'stage_since',
            'took_effect_at',
            'next_stage',
            'next_action_on',
            'next_action_at',
            'in_relief',
            'review_requested_at',
            'dunning_note',
            'line_count',
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
            'external_id',
            'subscriber',
            'plan',
            'policy',
            'status',
            'oldest_due_date',
            'stage',
            'next_action_on',
            'line_count',
        )

    def configure(self, request):
        if not request.user.has_perm('netbox_delinquency.view_balance_contract'):
            self.exclude: tuple[str, ...] = (*self.exclude, 'open_balance')
        super().configure(request)
