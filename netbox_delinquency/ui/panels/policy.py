"""The pages of policies, their stages and grace rules."""

from django.utils.translation import gettext_lazy as _
from netbox.ui import attrs

from ...models import DelinquencyPolicy, GraceRule, PolicyStage
from ..base import ModelPanel

__all__ = (
    'GraceRulePanel',
    'PolicyCalendarPanel',
    'PolicyLawPanel',
    'PolicyPanel',
    'StagePanel',
)


class PolicyPanel(ModelPanel):
    model = DelinquencyPolicy
    name = attrs.TextAttr('name')
    mode = attrs.ChoiceAttr('mode')
    auto_approve = attrs.BooleanAttr('auto_approve')
    repair_drift = attrs.BooleanAttr('repair_drift')
    description = attrs.TextAttr('description')


class PolicyLawPanel(ModelPanel):
    model = DelinquencyPolicy
    title = _('Law')
    preset = attrs.TextAttr('preset')
    preset_version = attrs.NumericAttr('preset_version')
    min_notice_days = attrs.NumericAttr('min_notice_days')
    throttle_is_suspension = attrs.BooleanAttr('throttle_is_suspension')
    notice_outlasts_relief = attrs.BooleanAttr('notice_outlasts_relief')
    min_arrears = attrs.NumericAttr('min_arrears')
    min_invoices = attrs.NumericAttr('min_invoices')
    restore_hours = attrs.NumericAttr('restore_hours')
    fee_cap = attrs.NumericAttr('fee_cap')
    trust_days = attrs.NumericAttr('trust_days')
    trust_gap_days = attrs.NumericAttr('trust_gap_days')
    trust_uses_a_year = attrs.NumericAttr('trust_uses_a_year')


class PolicyCalendarPanel(ModelPanel):
    model = DelinquencyPolicy
    title = _('Calendar')
    calendar = attrs.RelatedObjectAttr('calendar', linkify=True)
    no_start_days = attrs.TextAttr('no_start_days')
    start_from = attrs.TextAttr('start_from')
    start_until = attrs.TextAttr('start_until')
    no_contact_days = attrs.TextAttr('no_contact_days')
    contact_from = attrs.TextAttr('contact_from')
    contact_until = attrs.TextAttr('contact_until')


class StagePanel(ModelPanel):
    model = PolicyStage
    policy = attrs.RelatedObjectAttr('policy', linkify=True)
    position = attrs.NumericAttr('position')
    clock = attrs.ChoiceAttr('clock')
    after_days = attrs.NumericAttr('after_days')
    min_arrears = attrs.NumericAttr('min_arrears')
    min_invoices = attrs.NumericAttr('min_invoices')
    action = attrs.ChoiceAttr('action')
    throttle_to = attrs.ChoiceAttr('throttle_to')
    throttle_percent = attrs.NumericAttr('throttle_percent')
    throttle_down_kbps = attrs.NumericAttr('throttle_down_kbps')
    throttle_up_kbps = attrs.NumericAttr('throttle_up_kbps')
    channel = attrs.ChoiceAttr('channel')
    approval = attrs.ChoiceAttr('approval')
    start_from = attrs.TextAttr('start_from')
    start_until = attrs.TextAttr('start_until')


class GraceRulePanel(ModelPanel):
    model = GraceRule
    policy = attrs.RelatedObjectAttr('policy', linkify=True)
    tier = attrs.TextAttr('tier')
    for_tag = attrs.RelatedObjectAttr('for_tag', linkify=True)
    extra_days = attrs.NumericAttr('extra_days')
    exempt = attrs.BooleanAttr('exempt')
