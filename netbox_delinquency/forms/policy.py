from django.utils.translation import gettext_lazy as _
from netbox.forms import (
    NetBoxModelBulkEditForm,
    NetBoxModelFilterSetForm,
    NetBoxModelForm,
    PrimaryModelBulkEditForm,
    PrimaryModelFilterSetForm,
    PrimaryModelForm,
)
from utilities.forms.fields import TagFilterField
from utilities.forms.rendering import FieldSet

from ..models import DelinquencyPolicy, GraceRule, PolicyStage
from .base import (
    OWNERSHIP,
    SEARCH,
    NetBoxImportForm,
    ParametersField,
    PrimaryImportForm,
    choice,
    choose,
    edit,
    filter_by,
    refer,
)

__all__ = (
    'DelinquencyPolicyBulkEditForm',
    'DelinquencyPolicyFilterForm',
    'DelinquencyPolicyForm',
    'DelinquencyPolicyImportForm',
    'GraceRuleBulkEditForm',
    'GraceRuleFilterForm',
    'GraceRuleForm',
    'GraceRuleImportForm',
    'PolicyStageBulkEditForm',
    'PolicyStageFilterForm',
    'PolicyStageForm',
    'PolicyStageImportForm',
)

LAW = (
    'preset',
    'preset_version',
    'articles',
    'min_notice_days',
    'throttle_is_suspension',
    'notice_outlasts_relief',
    'min_arrears',
    'min_invoices',
)
CALENDAR = (
    'calendar',
    'no_start_days',
    'start_from',
    'start_until',
    'no_contact_days',
    'contact_from',
    'contact_until',
)
AFTERWARDS = ('restore_hours', 'fee_cap', 'trust_days', 'trust_gap_days', 'trust_uses_a_year')
POLICY_FIELDS = (
    'name',
    'mode',
    'auto_approve',
    'repair_drift',
    *LAW,
    *CALENDAR,
    *AFTERWARDS,
    'description',
    'owner',
    'comments',
    'tags',
)
STAGE_WHEN = ('policy', 'position', 'clock', 'after_days', 'min_arrears', 'min_invoices', 'start_from', 'start_until')
STAGE_WHAT = (
    'action',
    'throttle_to',
    'throttle_percent',
    'throttle_down_kbps',
    'throttle_up_kbps',
    'channel',
    'approval',
)
STAGE_FIELDS = (*STAGE_WHEN, *STAGE_WHAT, 'tags')
RULE_FIELDS = ('policy', 'tier', 'for_tag', 'extra_days', 'exempt', 'tags')


class DelinquencyPolicyForm(PrimaryModelForm):
    fieldsets = (
        FieldSet('name', 'mode', 'auto_approve', 'repair_drift', 'description', 'tags', name=_('Delinquency policy')),
        FieldSet(*LAW, name=_('Law')),
        FieldSet(*CALENDAR, name=_('Calendar')),
        FieldSet(*AFTERWARDS, name=_('Afterwards')),
    )
    articles = ParametersField(label=_('Articles'))
    calendar = choose(DelinquencyPolicy, 'calendar')

    class Meta:
        model = DelinquencyPolicy
        fields = POLICY_FIELDS


class DelinquencyPolicyImportForm(PrimaryImportForm):
    mode = choice(DelinquencyPolicy, 'mode')
    articles = ParametersField(label=_('Articles'))
    calendar = refer(DelinquencyPolicy, 'calendar', 'name')

    class Meta:
        model = DelinquencyPolicy
        fields = POLICY_FIELDS


class DelinquencyPolicyBulkEditForm(PrimaryModelBulkEditForm):
    model = DelinquencyPolicy
    fieldsets = (FieldSet('auto_approve', 'repair_drift', 'min_notice_days', 'calendar', 'description'),)
    nullable_fields = ('min_notice_days', 'calendar', 'description', 'comments')

    auto_approve = edit(DelinquencyPolicy, 'auto_approve')
    repair_drift = edit(DelinquencyPolicy, 'repair_drift')
    min_notice_days = edit(DelinquencyPolicy, 'min_notice_days')
    calendar = edit(DelinquencyPolicy, 'calendar')


class DelinquencyPolicyFilterForm(PrimaryModelFilterSetForm):
    model = DelinquencyPolicy
    fieldsets = (
        SEARCH,
        FieldSet('auto_approve', 'repair_drift', 'preset', 'calendar_id', name=_('Delinquency policy')),
        OWNERSHIP,
    )

    preset = filter_by(DelinquencyPolicy, 'preset')
    calendar_id = filter_by(DelinquencyPolicy, 'calendar')
    auto_approve = filter_by(DelinquencyPolicy, 'auto_approve')
    repair_drift = filter_by(DelinquencyPolicy, 'repair_drift')
    tag = TagFilterField(model)


class PolicyStageForm(NetBoxModelForm):
    fieldsets = (FieldSet(*STAGE_WHEN, name=_('When')), FieldSet(*STAGE_WHAT, 'tags', name=_('What')))
    policy = choose(PolicyStage, 'policy')

    class Meta:
        model = PolicyStage
        fields = STAGE_FIELDS


class PolicyStageImportForm(NetBoxImportForm):
    policy = refer(PolicyStage, 'policy', 'name')
    clock = choice(PolicyStage, 'clock')
    action = choice(PolicyStage, 'action')
    throttle_to = choice(PolicyStage, 'throttle_to')
    channel = choice(PolicyStage, 'channel')
    approval = choice(PolicyStage, 'approval')

    class Meta:
        model = PolicyStage
        fields = STAGE_FIELDS


class PolicyStageBulkEditForm(NetBoxModelBulkEditForm):
    model = PolicyStage
    fieldsets = (FieldSet('policy', 'clock', 'after_days', 'action', 'channel', 'approval'),)

    policy = edit(PolicyStage, 'policy')
    after_days = edit(PolicyStage, 'after_days')
    action = edit(PolicyStage, 'action')
    clock = edit(PolicyStage, 'clock')
    channel = edit(PolicyStage, 'channel')
    approval = edit(PolicyStage, 'approval')


class PolicyStageFilterForm(NetBoxModelFilterSetForm):
    model = PolicyStage
    fieldsets = (
        SEARCH,
        FieldSet('policy_id', 'clock', 'after_days', 'action', 'channel', 'approval', name=_('Policy stage')),
    )

    policy_id = filter_by(PolicyStage, 'policy')
    after_days = filter_by(PolicyStage, 'after_days')
    action = filter_by(PolicyStage, 'action')
    clock = filter_by(PolicyStage, 'clock')
    channel = filter_by(PolicyStage, 'channel')
    approval = filter_by(PolicyStage, 'approval')
    tag = TagFilterField(model)


class GraceRuleForm(NetBoxModelForm):
    fieldsets = (FieldSet(*RULE_FIELDS, name=_('Grace rule')),)
    policy = choose(GraceRule, 'policy')
    for_tag = choose(GraceRule, 'for_tag')

    class Meta:
        model = GraceRule
        fields = RULE_FIELDS


class GraceRuleImportForm(NetBoxImportForm):
    policy = refer(GraceRule, 'policy', 'name')
    for_tag = refer(GraceRule, 'for_tag', 'slug')

    class Meta:
        model = GraceRule
        fields = RULE_FIELDS


class GraceRuleBulkEditForm(NetBoxModelBulkEditForm):
    model = GraceRule
    fieldsets = (FieldSet('policy', 'extra_days', 'exempt'),)

    policy = edit(GraceRule, 'policy')
    extra_days = edit(GraceRule, 'extra_days')
    exempt = edit(GraceRule, 'exempt')


class GraceRuleFilterForm(NetBoxModelFilterSetForm):
    model = GraceRule
    fieldsets = (SEARCH, FieldSet('policy_id', 'tier', 'for_tag_id', 'exempt', name=_('Grace rule')))

    policy_id = filter_by(GraceRule, 'policy')
    tier = filter_by(GraceRule, 'tier')
    for_tag_id = filter_by(GraceRule, 'for_tag')
    exempt = filter_by(GraceRule, 'exempt')
    tag = TagFilterField(model)
