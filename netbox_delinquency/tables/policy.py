import django_tables2 as tables
from django.utils.translation import gettext_lazy as _
from netbox.tables import NetBoxTable, PrimaryModelTable, columns

from ..models import Contract, DelinquencyPolicy, GraceRule, PolicyStage
from .columns import counted, tags
from .rights import RightsMixin

__all__ = ('DelinquencyPolicyTable', 'GraceRuleTable', 'PolicyStageTable')


class DelinquencyPolicyTable(RightsMixin, PrimaryModelTable):
    name = tables.Column(linkify=True)
    mode = columns.ChoiceFieldColumn()
    auto_approve = columns.BooleanColumn()
    repair_drift = columns.BooleanColumn()
    calendar = tables.Column(linkify=True)
    throttle_is_suspension = columns.BooleanColumn()
    notice_outlasts_relief = columns.BooleanColumn()
    stage_count = counted(PolicyStage, _('Stages'), policy_id='pk')
    contract_count = counted(Contract, _('Contracts'), policy_id='pk')
    tags = tags(DelinquencyPolicy)

    class Meta(PrimaryModelTable.Meta):
        model = DelinquencyPolicy
        fields = (
            'pk',
            'id',
            'name',
            'mode',
            'auto_approve',
            'repair_drift',
            'preset',
            'preset_version',
            'articles',
            'min_notice_days',
            'throttle_is_suspension',
            'notice_outlasts_relief',
            'min_arrears',
            'min_invoices',
            'calendar',
            'no_start_days',
            'start_from',
            'start_until',
            'no_contact_days',
            'contact_from',
            'contact_until',
            'restore_hours',
            'fee_cap',
            'trust_days',
            'trust_gap_days',
            'trust_uses_a_year',
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


class PolicyStageTable(RightsMixin, NetBoxTable):
    policy = tables.Column(linkify=True)
    after_days = tables.Column(linkify=True)
    action = columns.ChoiceFieldColumn()
    clock = columns.ChoiceFieldColumn()
    throttle_to = columns.ChoiceFieldColumn()
    channel = columns.ChoiceFieldColumn()
    approval = columns.ChoiceFieldColumn()
    tags = tags(PolicyStage)

    class Meta(NetBoxTable.Meta):
        model = PolicyStage
        fields = (
            'pk',
            'id',
            'policy',
            'position',
            'clock',
            'after_days',
            'min_arrears',
            'min_invoices',
            'action',
            'throttle_to',
            'throttle_percent',
            'throttle_down_kbps',
            'throttle_up_kbps',
            'channel',
            'approval',
            'start_from',
            'start_until',
            'tags',
            'created',
            'last_updated',
            'actions',
        )
        default_columns = ('pk', 'policy', 'position', 'clock', 'after_days', 'action', 'approval')


class GraceRuleTable(RightsMixin, NetBoxTable):
    policy = tables.Column(linkify=True)
    tier = tables.Column(linkify=True)
    for_tag = tables.Column(linkify=True)
    exempt = columns.BooleanColumn()
    tags = tags(GraceRule)

    class Meta(NetBoxTable.Meta):
        model = GraceRule
        fields = (
            'pk',
            'id',
            'policy',
            'tier',
            'for_tag',
            'extra_days',
            'exempt',
            'tags',
            'created',
            'last_updated',
            'actions',
        )
        default_columns = ('pk', 'policy', 'tier', 'for_tag', 'extra_days', 'exempt')
