import django_tables2 as tables
from django.utils.translation import gettext_lazy as _
from netbox.tables import NetBoxTable, PrimaryModelTable, columns

from ..models import Contract, DelinquencyPolicy, PolicyStage
from .columns import counted, tags

__all__ = ('DelinquencyPolicyTable', 'PolicyStageTable')


class DelinquencyPolicyTable(PrimaryModelTable):
    name = tables.Column(linkify=True)
    auto_approve = columns.BooleanColumn()
    stage_count = counted(PolicyStage, _('Stages'), policy_id='pk')
    contract_count = counted(Contract, _('Contracts'), policy_id='pk')
    tags = tags(DelinquencyPolicy)

    class Meta(PrimaryModelTable.Meta):
        model = DelinquencyPolicy
        fields = (
            'pk',
            'id',
            'name',
            'auto_approve',
            'stage_count',
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
        default_columns = ('pk', 'name', 'auto_approve', 'stage_count', 'contract_count', 'description')


class PolicyStageTable(NetBoxTable):
    policy = tables.Column(linkify=True)
    after_days = tables.Column(linkify=True)
    action = columns.ChoiceFieldColumn()
    tags = tags(PolicyStage)

    class Meta(NetBoxTable.Meta):
        model = PolicyStage
        fields = ('pk', 'id', 'policy', 'after_days', 'action', 'tags', 'created', 'last_updated', 'actions')
        default_columns = ('pk', 'policy', 'after_days', 'action')
