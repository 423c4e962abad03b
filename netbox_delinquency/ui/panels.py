"""What each detail page says of its object."""

from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy
from netbox.ui import attrs
from netbox.ui.panels import ObjectPanel

from ..choices import RunStatusChoices
from ..models import (
    AccessLine,
    BillingEvent,
    BillingSource,
    Calendar,
    CalendarDate,
    Contract,
    DelinquencyPolicy,
    EnforcementChange,
    EnforcementPoint,
    EnforcementRun,
    EnforcementSettings,
    GraceRule,
    Hold,
    Notice,
    PlanChangeOrder,
    PolicyStage,
    ServicePlan,
    Subscriber,
)
from ..runs.caps import is_bound
from ..runs.preview import preview_run
from . import counts
from .base import ModelPanel, SelfAttr, StateAttr, WarningAttr
from .progress import is_live, run_view

__all__ = (
    'BalancePanel',
    'BillingEventPanel',
    'BillingSourcePanel',
    'BreakerPanel',
    'CalendarDatePanel',
    'CalendarPanel',
    'CapsPanel',
    'ChangePanel',
    'ChangeResultPanel',
    'ContractFactsPanel',
    'ContractPanel',
    'ContractStandingPanel',
    'CpePanel',
    'DriftPanel',
    'GraceRulePanel',
    'HoldPanel',
    'LineIdentityPanel',
    'LinePanel',
    'LineStatePanel',
    'NoticePanel',
    'PlanChangeOrderPanel',
    'PlanPanel',
    'PointConnectionPanel',
    'PointPanel',
    'PolicyCalendarPanel',
    'PolicyLawPanel',
    'PolicyPanel',
    'PreviewPanel',
    'ProgressPanel',
    'RunApprovalPanel',
    'RunPanel',
    'StagePanel',
    'SubscriberPanel',
    'SwitchPanel',
    'WavesPanel',
)


class SubscriberPanel(ModelPanel):
    model = Subscriber
    external_id = attrs.TextAttr('external_id', copy_button=True)
    name = attrs.TextAttr('name')
    description = attrs.TextAttr('description')


class PlanPanel(ModelPanel):
    model = ServicePlan
    name = attrs.TextAttr('name')
    down_kbps = attrs.NumericAttr('down_kbps')
    up_kbps = attrs.NumericAttr('up_kbps')
    throttled_down_kbps = attrs.NumericAttr('throttled_down_kbps')
    throttled_up_kbps = attrs.NumericAttr('throttled_up_kbps')
    description = attrs.TextAttr('description')


class ContractPanel(ModelPanel):
    model = Contract
    source = attrs.RelatedObjectAttr('source', linkify=True)
    external_id = attrs.TextAttr('external_id', copy_button=True)
    subscriber = attrs.RelatedObjectAttr('subscriber', linkify=True)
    plan = attrs.RelatedObjectAttr('plan', linkify=True)
    policy = attrs.RelatedObjectAttr('policy', linkify=True)
    status = attrs.ChoiceAttr('status')
    calendar = attrs.RelatedObjectAttr('calendar', linkify=True)
    time_zone = attrs.TextAttr('time_zone')
    tier = attrs.TextAttr('tier')
    description = attrs.TextAttr('description')


class ContractFactsPanel(ModelPanel):
    model = Contract
    title = _('Billing')
    oldest_due_date = attrs.DateTimeAttr('oldest_due_date', spec='date')
    unpaid_invoices = attrs.NumericAttr('unpaid_invoices')
    awaiting_clearing = attrs.BooleanAttr('awaiting_clearing')
    notices_from = attrs.DateTimeAttr('notices_from')
    facts_at = attrs.DateTimeAttr('facts_at')


class BalancePanel(ModelPanel):
    """Its own panel, since fewer may see it than may see the contract."""

    model = Contract
    title = _('Balance')
    open_balance = attrs.NumericAttr('open_balance')

    def should_render(self, context):
        return context['request'].user.has_perm('netbox_delinquency.view_balance_contract', context['object'])


class ContractStandingPanel(ModelPanel):
    model = Contract
    title = _('Standing')
    stage = attrs.RelatedObjectAttr('stage', linkify=True)
    stage_since = attrs.DateTimeAttr('stage_since')
    took_effect_at = attrs.DateTimeAttr('took_effect_at')
    next_stage = attrs.RelatedObjectAttr('next_stage', linkify=True)
    next_action_on = attrs.DateTimeAttr('next_action_on', spec='date')
    next_action_at = attrs.DateTimeAttr('next_action_at')
    relieved = attrs.BooleanAttr('relieved')
    review_requested_at = attrs.DateTimeAttr('review_requested_at')
    note = attrs.TextAttr('note', label=_('Standing note'))


class LinePanel(ModelPanel):
    model = AccessLine
    contract = attrs.RelatedObjectAttr('contract', linkify=True)
    subscriber = attrs.RelatedObjectAttr('contract.subscriber', linkify=True, label=_('Subscriber'))
    plan = attrs.RelatedObjectAttr('contract.plan', linkify=True, label=_('Service plan'))
    stage = attrs.RelatedObjectAttr('contract.stage', linkify=True, label=_('Stage'))
    status = attrs.ChoiceAttr('status')
    cpe = attrs.RelatedObjectAttr('cpe', linkify=True)
    bras = attrs.RelatedObjectAttr('bras', linkify=True)
    acs = attrs.RelatedObjectAttr('acs', linkify=True)
    description = attrs.TextAttr('description')


class LineIdentityPanel(ModelPanel):
    model = AccessLine
    title = _('Identity on the wire')
    username = attrs.TextAttr('username', style='font-monospace', copy_button=True)
    circuit_id = attrs.TextAttr('circuit_id', style='font-monospace', copy_button=True)
    ipv4 = attrs.TextAttr('ipv4', style='font-monospace', copy_button=True)
    ipv6 = attrs.TextAttr('ipv6', style='font-monospace', copy_button=True)
    mac = attrs.TextAttr('mac', style='font-monospace', copy_button=True)
    cwmp_id = attrs.TextAttr('cwmp_id', style='font-monospace', copy_button=True)


class LineStatePanel(ModelPanel):
    model = AccessLine
    title = _('State')
    intended = StateAttr('intended', label=_('Intended'))
    channel = attrs.ChoiceAttr('channel')
    pinned = attrs.BooleanAttr('pinned')
    observed = StateAttr('observed', label=_('Observed'))
    observed_at = attrs.DateTimeAttr('observed_at')
    in_doubt = WarningAttr('in_doubt')
    cpe_observed = StateAttr('cpe_observed', label=_('Observed at the CPE'))
    cpe_observed_at = attrs.DateTimeAttr('cpe_observed_at')
    cpe_in_doubt = WarningAttr('cpe_in_doubt')
    drift = WarningAttr('is_drifting', label=_('Drift'))


class CpePanel(ModelPanel):
    """A line on the page of the device in the subscriber's home."""

    model = AccessLine
    title = _('Access line')
    line = SelfAttr(label=_('Line'))
    contract = attrs.RelatedObjectAttr('contract', linkify=True)
    subscriber = attrs.RelatedObjectAttr('contract.subscriber', linkify=True, label=_('Subscriber'))
    stage = attrs.RelatedObjectAttr('contract.stage', linkify=True, label=_('Stage'))
    status = attrs.ChoiceAttr('status')
    intended = StateAttr('intended', label=_('Intended'))
    observed = StateAttr('observed', label=_('Observed'))
    observed_at = attrs.DateTimeAttr('observed_at')
    in_doubt = WarningAttr('in_doubt')
    cpe_observed = StateAttr('cpe_observed', label=_('Observed at the CPE'))
    cpe_observed_at = attrs.DateTimeAttr('cpe_observed_at')
    drift = WarningAttr('is_drifting', label=_('Drift'))


class PointPanel(ModelPanel):
    model = EnforcementPoint
    name = attrs.TextAttr('name')
    status = attrs.ChoiceAttr('status')
    device = attrs.RelatedObjectAttr('device', linkify=True)
    virtual_machine = attrs.RelatedObjectAttr('virtual_machine', linkify=True)
    timeout = attrs.NumericAttr('timeout')
    batch_size = attrs.NumericAttr('batch_size')
    max_rows_per_second = attrs.NumericAttr('max_rows_per_second')
    max_rows_per_hour = attrs.NumericAttr('max_rows_per_hour')
    max_share_percent = attrs.NumericAttr('max_share_percent')
    description = attrs.TextAttr('description')


class PointConnectionPanel(ModelPanel):
    model = EnforcementPoint
    title = _('Connection')
    driver = attrs.TextAttr('driver')
    address = attrs.TextAttr('host', label=_('Address'), style='font-monospace', copy_button=True)
    port = attrs.NumericAttr('port')
    credential = attrs.TextAttr('credential')
    host_key = attrs.TextAttr('host_key', style='font-monospace text-break')


class PolicyPanel(ModelPanel):
    model = DelinquencyPolicy
    name = attrs.TextAttr('name')
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


class RunPanel(ModelPanel):
    model = EnforcementRun
    name = attrs.TextAttr('name')
    kind = attrs.ChoiceAttr('kind')
    status = attrs.ChoiceAttr('status')
    halt_reason = attrs.TextAttr('halt_reason')
    reverts = attrs.RelatedObjectAttr('reverts', linkify=True)
    author = attrs.RelatedObjectAttr('author')
    executor = attrs.TextAttr('executor')
    taken_up_at = attrs.DateTimeAttr('taken_up_at')
    started_at = attrs.DateTimeAttr('started_at')
    heartbeat_at = attrs.DateTimeAttr('heartbeat_at')
    finished_at = attrs.DateTimeAttr('finished_at')
    description = attrs.TextAttr('description')


class ProgressPanel(ObjectPanel):
    """How far the run is; looks again by itself while it is under way."""

    title = _('Progress')
    template_name = 'netbox_delinquency/panels/progress.html'

    def get_context(self, context):
        run = context['object']
        view = run_view(run, timezone.now())
        return {**super().get_context(context), 'view': view, 'live': is_live(run)}

    def should_render(self, context):
        return context['object'].started_at is not None or context['live'] or not context['view'].total.rows


class PreviewPanel(ObjectPanel):
    """What the run would do, before it has begun."""

    title = pgettext_lazy('run', 'Preview')
    template_name = 'netbox_delinquency/panels/preview.html'

    def get_context(self, context):
        run, found = context['object'], super().get_context(context)
        if run.started_at is not None or run.status not in RunStatusChoices.OPEN:
            return found
        return {**found, 'preview': preview_run(run, timezone.now()), 'bound': is_bound(run)}

    def should_render(self, context):
        return 'preview' in context and bool(context['preview'].rows)


class DriftPanel(ObjectPanel):
    """How the lines of a point drift, for those who may see lines."""

    title = _('Drift')
    template_name = 'netbox_delinquency/panels/drift.html'

    def get_context(self, context):
        drift = counts.drift_by_point(context['request'].user, context['object'])
        return {**super().get_context(context), 'drift': drift}

    def should_render(self, context):
        return context['request'].user.has_perm('netbox_delinquency.view_accessline')


class RunApprovalPanel(ModelPanel):
    model = EnforcementRun
    title = _('Approval')
    plan_hash = attrs.TextAttr('plan_hash', style='font-monospace text-break', copy_button=True)
    approved_hash = attrs.TextAttr('approved_hash', style='font-monospace text-break')
    approver = attrs.RelatedObjectAttr('approver')
    approved_at = attrs.DateTimeAttr('approved_at')


class SwitchPanel(ObjectPanel):
    """Whether enforcement is stopped, and the button that stops it or lets it go on."""

    title = _('Enforcement')
    template_name = 'netbox_delinquency/panels/switch.html'


class CapsPanel(ModelPanel):
    model = EnforcementSettings
    title = _('Approval and caps')
    four_eyes = attrs.BooleanAttr('four_eyes')
    max_rows_per_run = attrs.NumericAttr('max_rows_per_run')
    max_share_percent = attrs.NumericAttr('max_share_percent')
    max_rows_per_hour = attrs.NumericAttr('max_rows_per_hour')
    reconcile_percent = attrs.NumericAttr('reconcile_percent')
    description = attrs.TextAttr('description')


class WavesPanel(ModelPanel):
    model = EnforcementSettings
    title = _('Waves')
    waves = attrs.TextAttr('waves', style='font-monospace')
    soak_seconds = attrs.NumericAttr('soak_seconds')
    deadline_minutes = attrs.NumericAttr('deadline_minutes')


class BreakerPanel(ModelPanel):
    model = EnforcementSettings
    title = _('Breaker')
    max_failed_percent = attrs.NumericAttr('max_failed_percent')
    min_rows = attrs.NumericAttr('min_rows')
    max_refused_percent = attrs.NumericAttr('max_refused_percent')
    max_session_drop_percent = attrs.NumericAttr('max_session_drop_percent')
    max_latency_factor = attrs.NumericAttr('max_latency_factor')


class ChangePanel(ModelPanel):
    model = EnforcementChange
    run = attrs.RelatedObjectAttr('run', linkify=True)
    line = attrs.RelatedObjectAttr('line', linkify=True)
    contract = attrs.RelatedObjectAttr('line.contract', linkify=True, label=_('Contract'))
    point = attrs.RelatedObjectAttr('point', linkify=True)
    channel = attrs.ChoiceAttr('channel')
    wave = attrs.NumericAttr('wave')
    expected = StateAttr('expected', label=_('Expected state'))
    desired = StateAttr('desired', label=_('Desired state'))
    reason = attrs.TextAttr('reason')


class ChangeResultPanel(ModelPanel):
    model = EnforcementChange
    title = _('Outcome')
    outcome = attrs.ChoiceAttr('outcome')
    message = attrs.TextAttr('message')
    claimed_at = attrs.DateTimeAttr('claimed_at')
    sent_at = attrs.DateTimeAttr('sent_at')
    finished_at = attrs.DateTimeAttr('finished_at')


class BillingSourcePanel(ModelPanel):
    model = BillingSource
    name = attrs.TextAttr('name')
    slug = attrs.TextAttr('slug', copy_button=True)
    enabled = attrs.BooleanAttr('enabled')
    credential = attrs.TextAttr('credential')
    heartbeat_minutes = attrs.NumericAttr('heartbeat_minutes')
    last_event_at = attrs.DateTimeAttr('last_event_at')
    late = WarningAttr('late', label=_('Late: no step up is taken'))
    description = attrs.TextAttr('description')


class BillingEventPanel(ModelPanel):
    """Without the body: it says more of a person than those who watch the feed need."""

    model = BillingEvent
    source = attrs.RelatedObjectAttr('source', linkify=True)
    event_id = attrs.TextAttr('event_id', copy_button=True)
    event_type = attrs.TextAttr('event_type')
    contract = attrs.RelatedObjectAttr('contract', linkify=True)
    received_at = attrs.DateTimeAttr('received_at')
    status = attrs.ChoiceAttr('status')
    message = attrs.TextAttr('message')
    processed_at = attrs.DateTimeAttr('processed_at')


class CalendarPanel(ModelPanel):
    model = Calendar
    name = attrs.TextAttr('name')
    country = attrs.TextAttr('country')
    subdivision = attrs.TextAttr('subdivision')
    city = attrs.TextAttr('city')
    time_zone = attrs.TextAttr('time_zone')
    description = attrs.TextAttr('description')


class CalendarDatePanel(ModelPanel):
    model = CalendarDate
    calendar = attrs.RelatedObjectAttr('calendar', linkify=True)
    date = attrs.DateTimeAttr('date', spec='date')
    name = attrs.TextAttr('name')
    is_holiday = attrs.BooleanAttr('is_holiday')


class NoticePanel(ModelPanel):
    model = Notice
    contract = attrs.RelatedObjectAttr('contract', linkify=True)
    kind = attrs.ChoiceAttr('kind')
    reference = attrs.TextAttr('reference')
    channel = attrs.ChoiceAttr('channel')
    sent_at = attrs.DateTimeAttr('sent_at')
    delivered_at = attrs.DateTimeAttr('delivered_at')
    earliest = attrs.DateTimeAttr('earliest_suspension', label=_('Earliest lawful suspension'))
    asserted_by = attrs.TextAttr('asserted_by')
    description = attrs.TextAttr('description')


class HoldPanel(ModelPanel):
    model = Hold
    contract = attrs.RelatedObjectAttr('contract', linkify=True)
    kind = attrs.ChoiceAttr('kind')
    reason = attrs.TextAttr('reason')
    reference = attrs.TextAttr('reference')
    approver = attrs.RelatedObjectAttr('approver')
    starts_at = attrs.DateTimeAttr('starts_at')
    ends_at = attrs.DateTimeAttr('ends_at')
    instalments = attrs.NumericAttr('instalments')
    ended_at = attrs.DateTimeAttr('ended_at')
    end_reason = attrs.TextAttr('end_reason')
    successor = attrs.RelatedObjectAttr('successor', linkify=True)
    description = attrs.TextAttr('description')


class PlanChangeOrderPanel(ModelPanel):
    model = PlanChangeOrder
    contract = attrs.RelatedObjectAttr('contract', linkify=True)
    from_plan = attrs.RelatedObjectAttr('from_plan', linkify=True)
    to_plan = attrs.RelatedObjectAttr('to_plan', linkify=True)
    reason = attrs.TextAttr('reason')
    offered_until = attrs.DateTimeAttr('offered_until', spec='date')
    status = attrs.ChoiceAttr('status')
    decided_at = attrs.DateTimeAttr('decided_at')
    description = attrs.TextAttr('description')


class GraceRulePanel(ModelPanel):
    model = GraceRule
    policy = attrs.RelatedObjectAttr('policy', linkify=True)
    tier = attrs.TextAttr('tier')
    for_tag = attrs.RelatedObjectAttr('for_tag', linkify=True)
    extra_days = attrs.NumericAttr('extra_days')
    exempt = attrs.BooleanAttr('exempt')
