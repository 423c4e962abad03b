"""What may be asked. Not the open balance, the body of an event, nor anything that leads to them."""

from decimal import Decimal

import strawberry_django
from dcim.graphql.filters import DeviceFilter
from django.db.models import Q
from extras.graphql.filters import TagFilter
from netbox.graphql.filter_lookups import IntegerLookup, JSONFilter
from netbox.graphql.filters import NetBoxModelFilter, PrimaryModelFilter, register_filter
from strawberry.scalars import ID
from strawberry_django import (
    BaseFilterLookup,
    ComparisonFilterLookup,
    DateFilterLookup,
    DatetimeFilterLookup,
    FilterLookup,
    StrFilterLookup,
    TimeFilterLookup,
    filter_field,
)
from users.graphql.filters import UserFilter
from virtualization.graphql.filters import VirtualMachineFilter

from .. import models
from . import enums
from .names import graphql_name
from .related import related, related_id

__all__ = (
    'AccessLineFilter',
    'BillingEventFilter',
    'BillingSourceFilter',
    'CalendarDateFilter',
    'CalendarFilter',
    'ContractFilter',
    'DelinquencyPolicyFilter',
    'EnforcementChangeFilter',
    'EnforcementPointFilter',
    'EnforcementRunFilter',
    'EnforcementSettingsFilter',
    'GraceRuleFilter',
    'HoldFilter',
    'NoticeFilter',
    'PlanChangeOrderFilter',
    'PolicyStageFilter',
    'ServicePlanFilter',
    'SubscriberFilter',
)


def model_filter(model):
    return register_filter(model, lookups=True, name=graphql_name(f'{model.__name__}Filter'))


@model_filter(models.Subscriber)
class SubscriberFilter(PrimaryModelFilter):
    external_id: StrFilterLookup | None = filter_field()
    name: StrFilterLookup | None = filter_field()


@model_filter(models.ServicePlan)
class ServicePlanFilter(PrimaryModelFilter):
    name: StrFilterLookup | None = filter_field()
    down_kbps: IntegerLookup | None = filter_field()
    up_kbps: IntegerLookup | None = filter_field()
    throttled_down_kbps: IntegerLookup | None = filter_field()
    throttled_up_kbps: IntegerLookup | None = filter_field()
    parameters: JSONFilter | None = filter_field()


@model_filter(models.Calendar)
class CalendarFilter(PrimaryModelFilter):
    name: StrFilterLookup | None = filter_field()
    country: StrFilterLookup | None = filter_field()
    subdivision: StrFilterLookup | None = filter_field()
    city: StrFilterLookup | None = filter_field()
    time_zone: StrFilterLookup | None = filter_field()


@model_filter(models.DelinquencyPolicy)
class DelinquencyPolicyFilter(PrimaryModelFilter):
    name: StrFilterLookup | None = filter_field()
    auto_approve: FilterLookup[bool] | None = filter_field()
    repair_drift: FilterLookup[bool] | None = filter_field()
    preset: StrFilterLookup | None = filter_field()
    preset_version: IntegerLookup | None = filter_field()
    articles: JSONFilter | None = filter_field()
    min_notice_days: IntegerLookup | None = filter_field()
    throttle_is_suspension: FilterLookup[bool] | None = filter_field()
    notice_outlasts_relief: FilterLookup[bool] | None = filter_field()
    min_arrears: ComparisonFilterLookup[Decimal] | None = filter_field()
    min_invoices: IntegerLookup | None = filter_field()
    calendar = related('calendar', CalendarFilter)
    calendar_id = related_id('calendar', CalendarFilter)
    no_start_days: StrFilterLookup | None = filter_field()
    start_from: TimeFilterLookup | None = filter_field()
    start_until: TimeFilterLookup | None = filter_field()
    no_contact_days: StrFilterLookup | None = filter_field()
    contact_from: TimeFilterLookup | None = filter_field()
    contact_until: TimeFilterLookup | None = filter_field()
    restore_hours: IntegerLookup | None = filter_field()
    fee_cap: ComparisonFilterLookup[Decimal] | None = filter_field()
    trust_days: IntegerLookup | None = filter_field()
    trust_gap_days: IntegerLookup | None = filter_field()
    trust_uses_a_year: IntegerLookup | None = filter_field()


@model_filter(models.PolicyStage)
class PolicyStageFilter(NetBoxModelFilter):
    policy = related('policy', DelinquencyPolicyFilter)
    policy_id = related_id('policy', DelinquencyPolicyFilter)
    after_days: IntegerLookup | None = filter_field()
    action: BaseFilterLookup[enums.StageActionEnum] | None = filter_field()
    position: IntegerLookup | None = filter_field()
    clock: BaseFilterLookup[enums.ClockEnum] | None = filter_field()
    min_arrears: ComparisonFilterLookup[Decimal] | None = filter_field()
    min_invoices: IntegerLookup | None = filter_field()
    throttle_to: BaseFilterLookup[enums.ThrottleToEnum] | None = filter_field()
    throttle_percent: IntegerLookup | None = filter_field()
    throttle_down_kbps: IntegerLookup | None = filter_field()
    throttle_up_kbps: IntegerLookup | None = filter_field()
    channel: BaseFilterLookup[enums.ChannelEnum] | None = filter_field()
    approval: BaseFilterLookup[enums.ApprovalEnum] | None = filter_field()
    start_from: TimeFilterLookup | None = filter_field()
    start_until: TimeFilterLookup | None = filter_field()


@model_filter(models.BillingSource)
class BillingSourceFilter(PrimaryModelFilter):
    name: StrFilterLookup | None = filter_field()
    slug: StrFilterLookup | None = filter_field()
    enabled: FilterLookup[bool] | None = filter_field()
    credential: StrFilterLookup | None = filter_field()
    adapter: StrFilterLookup | None = filter_field()
    heartbeat_minutes: IntegerLookup | None = filter_field()
    known_in_full: FilterLookup[bool] | None = filter_field()
    payments_known_at: DatetimeFilterLookup | None = filter_field()
    last_event_at: DatetimeFilterLookup | None = filter_field()


@model_filter(models.Contract)
class ContractFilter(PrimaryModelFilter):
    subscriber = related('subscriber', SubscriberFilter)
    subscriber_id = related_id('subscriber', SubscriberFilter)
    source = related('source', BillingSourceFilter)
    source_id = related_id('source', BillingSourceFilter)
    external_id: StrFilterLookup | None = filter_field()
    plan = related('plan', ServicePlanFilter)
    plan_id = related_id('plan', ServicePlanFilter)
    policy = related('policy', DelinquencyPolicyFilter)
    policy_id = related_id('policy', DelinquencyPolicyFilter)
    status: BaseFilterLookup[enums.ContractStatusEnum] | None = filter_field()
    calendar = related('calendar', CalendarFilter)
    calendar_id = related_id('calendar', CalendarFilter)
    time_zone: StrFilterLookup | None = filter_field()
    tier: StrFilterLookup | None = filter_field()
    oldest_due_date: DateFilterLookup | None = filter_field()
    unpaid_invoices: IntegerLookup | None = filter_field()
    awaiting_clearing: FilterLookup[bool] | None = filter_field()
    notices_from: DatetimeFilterLookup | None = filter_field()
    relief_ended_at: DatetimeFilterLookup | None = filter_field()
    billing_status: StrFilterLookup | None = filter_field()
    reference: StrFilterLookup | None = filter_field()
    facts_at: DatetimeFilterLookup | None = filter_field()
    stage = related('stage', PolicyStageFilter)
    stage_id = related_id('stage', PolicyStageFilter)
    stage_since: DatetimeFilterLookup | None = filter_field()
    took_effect_at: DatetimeFilterLookup | None = filter_field()
    next_stage = related('next_stage', PolicyStageFilter)
    next_stage_id = related_id('next_stage', PolicyStageFilter)
    next_action_on: DateFilterLookup | None = filter_field()
    next_action_at: DatetimeFilterLookup | None = filter_field()
    in_relief: FilterLookup[bool] | None = filter_field()
    review_requested_at: DatetimeFilterLookup | None = filter_field()
    dunning_note: StrFilterLookup | None = filter_field()


@model_filter(models.EnforcementPoint)
class EnforcementPointFilter(PrimaryModelFilter):
    name: StrFilterLookup | None = filter_field()
    status: BaseFilterLookup[enums.PointStatusEnum] | None = filter_field()
    mode: BaseFilterLookup[enums.EnforcementModeEnum] | None = filter_field()
    checked_at: DatetimeFilterLookup | None = filter_field()
    driver: StrFilterLookup | None = filter_field()
    device = related('device', DeviceFilter)
    device_id = related_id('device', DeviceFilter)
    virtual_machine = related('virtual_machine', VirtualMachineFilter)
    virtual_machine_id = related_id('virtual_machine', VirtualMachineFilter)
    address: StrFilterLookup | None = filter_field()
    port: IntegerLookup | None = filter_field()
    credential: StrFilterLookup | None = filter_field()
    parameters: JSONFilter | None = filter_field()
    timeout: IntegerLookup | None = filter_field()
    batch_size: IntegerLookup | None = filter_field()
    max_rows_per_second: IntegerLookup | None = filter_field()
    max_rows_per_hour: IntegerLookup | None = filter_field()
    max_share_percent: IntegerLookup | None = filter_field()


@model_filter(models.AccessLine)
class AccessLineFilter(PrimaryModelFilter):
    contract = related('contract', ContractFilter)
    contract_id = related_id('contract', ContractFilter)
    status: BaseFilterLookup[enums.LineStatusEnum] | None = filter_field()
    cpe = related('cpe', DeviceFilter)
    cpe_id = related_id('cpe', DeviceFilter)
    bras = related('bras', EnforcementPointFilter)
    bras_id = related_id('bras', EnforcementPointFilter)
    acs = related('acs', EnforcementPointFilter)
    acs_id = related_id('acs', EnforcementPointFilter)
    username: StrFilterLookup | None = filter_field()
    circuit_id: StrFilterLookup | None = filter_field()
    ipv4: StrFilterLookup | None = filter_field()
    ipv6: StrFilterLookup | None = filter_field()
    mac: StrFilterLookup | None = filter_field()
    cwmp_id: StrFilterLookup | None = filter_field()
    intended_mode: BaseFilterLookup[enums.AccessModeEnum] | None = filter_field()
    intended_down_kbps: IntegerLookup | None = filter_field()
    intended_up_kbps: IntegerLookup | None = filter_field()
    channel: BaseFilterLookup[enums.LineChannelEnum] | None = filter_field()
    pinned: FilterLookup[bool] | None = filter_field()
    observed_mode: BaseFilterLookup[enums.ObservedModeEnum] | None = filter_field()
    observed_down_kbps: IntegerLookup | None = filter_field()
    observed_up_kbps: IntegerLookup | None = filter_field()
    observed_at: DatetimeFilterLookup | None = filter_field()
    unverified: FilterLookup[bool] | None = filter_field()
    cpe_observed_mode: BaseFilterLookup[enums.ObservedModeEnum] | None = filter_field()
    cpe_observed_down_kbps: IntegerLookup | None = filter_field()
    cpe_observed_up_kbps: IntegerLookup | None = filter_field()
    cpe_observed_at: DatetimeFilterLookup | None = filter_field()
    cpe_unverified: FilterLookup[bool] | None = filter_field()

    @strawberry_django.filter_field()
    def drifting(self, value: bool, prefix) -> Q:
        lines = Q(**{f'{prefix}pk__in': models.AccessLine.objects.drifting().order_by().values('pk')})
        return lines if value else ~lines

    @strawberry_django.filter_field()
    def is_foreign(self, value: bool, prefix) -> Q:
        lines = Q(**{f'{prefix}pk__in': models.AccessLine.objects.foreign().order_by().values('pk')})
        return lines if value else ~lines


@model_filter(models.EnforcementRun)
class EnforcementRunFilter(PrimaryModelFilter):
    name: StrFilterLookup | None = filter_field()
    kind: BaseFilterLookup[enums.RunKindEnum] | None = filter_field()
    status: BaseFilterLookup[enums.RunStatusEnum] | None = filter_field()
    executor: StrFilterLookup | None = filter_field()
    resumed_at: DatetimeFilterLookup | None = filter_field()
    plan_hash: StrFilterLookup | None = filter_field()
    author: UserFilter | None = filter_field()
    author_id: ID | None = filter_field()
    approver: UserFilter | None = filter_field()
    approver_id: ID | None = filter_field()
    approved_at: DatetimeFilterLookup | None = filter_field()
    started_at: DatetimeFilterLookup | None = filter_field()
    heartbeat_at: DatetimeFilterLookup | None = filter_field()
    finished_at: DatetimeFilterLookup | None = filter_field()
    wave: IntegerLookup | None = filter_field()
    wave_done_at: DatetimeFilterLookup | None = filter_field()
    stop_reason: StrFilterLookup | None = filter_field()
    stop_code: StrFilterLookup | None = filter_field()
    reverts_id: ID | None = filter_field()


@model_filter(models.EnforcementSettings)
class EnforcementSettingsFilter(PrimaryModelFilter):
    stopped: FilterLookup[bool] | None = filter_field()


@model_filter(models.Restriction)
class RestrictionFilter(NetBoxModelFilter):
    point = related('point', EnforcementPointFilter)
    point_id = related_id('point', EnforcementPointFilter)
    identity: StrFilterLookup | None = filter_field()
    side: BaseFilterLookup[enums.LineChannelEnum] | None = filter_field()
    line = related('line', AccessLineFilter)
    line_id = related_id('line', AccessLineFilter)
    contract = related('contract', ContractFilter)
    contract_id = related_id('contract', ContractFilter)
    taken_at: DatetimeFilterLookup | None = filter_field()
    owed_since: DatetimeFilterLookup | None = filter_field()
    late_at: DatetimeFilterLookup | None = filter_field()
    lifted_at: DatetimeFilterLookup | None = filter_field()
    lifted_how: BaseFilterLookup[enums.LiftedEnum] | None = filter_field()


@model_filter(models.EnforcementChange)
class EnforcementChangeFilter(NetBoxModelFilter):
    run = related('run', EnforcementRunFilter)
    run_id = related_id('run', EnforcementRunFilter)
    line = related('line', AccessLineFilter)
    line_id = related_id('line', AccessLineFilter)
    point = related('point', EnforcementPointFilter)
    point_id = related_id('point', EnforcementPointFilter)
    channel: BaseFilterLookup[enums.LineChannelEnum] | None = filter_field()
    wave: IntegerLookup | None = filter_field()
    expected_mode: BaseFilterLookup[enums.AccessModeEnum] | None = filter_field()
    desired_mode: BaseFilterLookup[enums.AccessModeEnum] | None = filter_field()
    desired_down_kbps: IntegerLookup | None = filter_field()
    desired_up_kbps: IntegerLookup | None = filter_field()
    reason: StrFilterLookup | None = filter_field()
    claimed_at: DatetimeFilterLookup | None = filter_field()
    sent_at: DatetimeFilterLookup | None = filter_field()
    finished_at: DatetimeFilterLookup | None = filter_field()
    outcome: BaseFilterLookup[enums.OutcomeEnum] | None = filter_field()
    refused: FilterLookup[bool] | None = filter_field()
    message: StrFilterLookup | None = filter_field()


@model_filter(models.BillingEvent)
class BillingEventFilter(NetBoxModelFilter):
    source = related('source', BillingSourceFilter)
    source_id = related_id('source', BillingSourceFilter)
    event_id: StrFilterLookup | None = filter_field()
    event_type: StrFilterLookup | None = filter_field()
    status: BaseFilterLookup[enums.EventStatusEnum] | None = filter_field()
    message: StrFilterLookup | None = filter_field()
    contract = related('contract', ContractFilter)
    contract_id = related_id('contract', ContractFilter)
    needs_attention: FilterLookup[bool] | None = filter_field()
    is_urgent: FilterLookup[bool] | None = filter_field()
    meaning: StrFilterLookup | None = filter_field()
    reference: StrFilterLookup | None = filter_field()
    reviewed_at: DatetimeFilterLookup | None = filter_field()
    received_at: DatetimeFilterLookup | None = filter_field()
    processed_at: DatetimeFilterLookup | None = filter_field()


@model_filter(models.CalendarDate)
class CalendarDateFilter(NetBoxModelFilter):
    calendar = related('calendar', CalendarFilter)
    calendar_id = related_id('calendar', CalendarFilter)
    date: DateFilterLookup | None = filter_field()
    name: StrFilterLookup | None = filter_field()
    is_holiday: FilterLookup[bool] | None = filter_field()


@model_filter(models.Notice)
class NoticeFilter(PrimaryModelFilter):
    contract = related('contract', ContractFilter)
    contract_id = related_id('contract', ContractFilter)
    kind: BaseFilterLookup[enums.NoticeKindEnum] | None = filter_field()
    reference: StrFilterLookup | None = filter_field()
    channel: BaseFilterLookup[enums.NoticeChannelEnum] | None = filter_field()
    sent_at: DatetimeFilterLookup | None = filter_field()
    delivered_at: DatetimeFilterLookup | None = filter_field()
    asserted_by: StrFilterLookup | None = filter_field()


@model_filter(models.Hold)
class HoldFilter(PrimaryModelFilter):
    contract = related('contract', ContractFilter)
    contract_id = related_id('contract', ContractFilter)
    kind: BaseFilterLookup[enums.HoldKindEnum] | None = filter_field()
    reason: StrFilterLookup | None = filter_field()
    reference: StrFilterLookup | None = filter_field()
    approver: UserFilter | None = filter_field()
    approver_id: ID | None = filter_field()
    starts_at: DatetimeFilterLookup | None = filter_field()
    ends_at: DatetimeFilterLookup | None = filter_field()
    instalments: IntegerLookup | None = filter_field()
    ended_at: DatetimeFilterLookup | None = filter_field()
    end_reason: StrFilterLookup | None = filter_field()
    asserted_by: StrFilterLookup | None = filter_field()
    successor = related('successor', PolicyStageFilter)
    successor_id = related_id('successor', PolicyStageFilter)


@model_filter(models.GraceRule)
class GraceRuleFilter(NetBoxModelFilter):
    policy = related('policy', DelinquencyPolicyFilter)
    policy_id = related_id('policy', DelinquencyPolicyFilter)
    tier: StrFilterLookup | None = filter_field()
    for_tag: TagFilter | None = filter_field()
    for_tag_id: ID | None = filter_field()
    extra_days: IntegerLookup | None = filter_field()
    exempt: FilterLookup[bool] | None = filter_field()


@model_filter(models.PlanChangeOrder)
class PlanChangeOrderFilter(PrimaryModelFilter):
    contract = related('contract', ContractFilter)
    contract_id = related_id('contract', ContractFilter)
    from_plan = related('from_plan', ServicePlanFilter)
    from_plan_id = related_id('from_plan', ServicePlanFilter)
    to_plan = related('to_plan', ServicePlanFilter)
    to_plan_id = related_id('to_plan', ServicePlanFilter)
    reason: StrFilterLookup | None = filter_field()
    offered_until: DateFilterLookup | None = filter_field()
    status: BaseFilterLookup[enums.PlanChangeStatusEnum] | None = filter_field()
    decided_at: DatetimeFilterLookup | None = filter_field()
