"""One contract's facts from the database, for the pure function: explanations and the tests read them here."""

from __future__ import annotations

from datetime import date, datetime, timedelta

from django.db.models import QuerySet
from django.utils import timezone

from ..choices import HoldKindChoices
from ..models import Contract, DelinquencyPolicy, Notice, StartDay
from .calendar import NextDay, any_day, moment_of, next_allowed
from .stages import ContractFacts, Rules, Stage, local_day, window_of

__all__ = ('earliest_suspension', 'facts_from', 'facts_of', 'may_start', 'rules_of', 'stages_of', 'with_facts')


def stages_of(policy: DelinquencyPolicy) -> list[Stage]:
    names = (
        'pk', 'after_days', 'action', 'position', 'clock', 'min_arrears', 'min_invoices', 'start_from', 'start_until',
    )  # fmt: skip
    return [Stage(**{name: getattr(stage, name) for name in names}) for stage in policy.stages.all()]


def _next_day(calendar: int | None, closed: str) -> NextDay:
    if not closed:
        return any_day

    def next_day(day: date) -> date | None:
        row = StartDay.objects.filter(calendar=calendar, closed=closed, day=day).first() if calendar else None
        return row.next_day if row else None

    return next_day


def rules_of(policy: DelinquencyPolicy, calendar: int | None) -> Rules:
    names = (
        'min_notice_days', 'throttle_is_suspension', 'min_arrears', 'min_invoices', 'start_from', 'start_until',
        'contact_from', 'contact_until',
    )  # fmt: skip
    return Rules(
        **{name: getattr(policy, name) for name in names},
        next_start_day=_next_day(calendar, policy.no_start_days),
        next_contact_day=_next_day(calendar, policy.no_contact_days),
    )


def facts_of(pk: int, now: datetime) -> tuple[ContractFacts, Rules]:
    """What is known of a contract at `now`, and the rules of its policy (none: rules that ask for nothing)."""
    return facts_from(with_facts(Contract.objects.all()).get(pk=pk), now)


def with_facts(contracts: QuerySet[Contract]) -> QuerySet[Contract]:
    """These contracts with all that `facts_from` reads, in a handful of queries whatever their number."""
    return contracts.select_related('policy__calendar', 'calendar', 'source').prefetch_related(
        'policy__stages', 'policy__grace_rules', 'holds', 'notices', 'tags'
    )


def facts_from(contract: Contract, now: datetime) -> tuple[ContractFacts, Rules]:
    policy = contract.policy
    calendar, zone = _place_of(contract)
    rules = rules_of(policy, calendar) if policy else Rules()
    stages = stages_of(policy) if policy else []
    tags = {tag.pk for tag in contract.tags.all()}
    grace = [
        rule
        for rule in (policy.grace_rules.all() if policy else ())
        if (rule.tier and rule.tier == contract.tier) or rule.for_tag_id in tags
    ]
    ends: dict[bool, list[datetime]] = {True: [], False: []}
    for hold in contract.holds.all():
        if hold.is_active(now):
            ends[hold.kind in HoldKindChoices.RELIEVING].append(min(hold.ends_at, hold.ended_at or hold.ends_at))
    notice = None
    if contract.oldest_due_date:
        since = moment_of(contract.oldest_due_date, None, zone)
        renewed = [contract.notices_from]
        if policy is not None and not policy.notice_outlasts_relief:
            renewed.append(contract.relief_ended_at)
        since = max([since, *(moment for moment in renewed if moment)])
        delivered = [notice.delivered_at for notice in contract.notices.all() if notice.kind == 'suspension']
        notice = min((moment for moment in delivered if moment and since <= moment <= now), default=None)
    facts = ContractFacts(
        oldest_due_date=contract.oldest_due_date,
        awaiting_clearing=contract.awaiting_clearing,
        feed_is_late=not contract.source.enabled or contract.source.is_late(now) or contract.needs_attention,
        stages=stages,
        stage=next((stage for stage in stages if stage.pk == contract.stage_id), None),
        stage_since=contract.stage_since,
        took_effect_at=contract.took_effect_at,
        in_relief=contract.in_relief,
        open_balance=contract.open_balance,
        unpaid_invoices=contract.unpaid_invoices,
        notice_at=notice,
        extra_days=max((rule.extra_days for rule in grace), default=0),
        exempt=any(rule.exempt for rule in grace),
        in_review=contract.review_requested_at is not None,
        relief_until=max(ends[True], default=None),
        freeze_until=max(ends[False], default=None),
        zone=zone,
    )
    return facts, rules


def _place_of(contract: Contract) -> tuple[int | None, str]:
    """The contract's calendar and time zone."""
    place = contract.calendar or (contract.policy and contract.policy.calendar)
    zone = contract.time_zone or (place.time_zone if place else timezone.get_default_timezone_name())
    return place.pk if place else None, zone


def earliest_suspension(notice: Notice) -> datetime | None:
    """The first open moment after the policy's days from a delivered notice of suspension."""
    contract, policy = notice.contract, notice.contract.policy
    if policy is None or policy.min_notice_days is None or notice.kind != 'suspension' or notice.delivered_at is None:
        return None
    calendar, zone = _place_of(contract)
    day = local_day(notice.delivered_at, zone) + timedelta(days=policy.min_notice_days)
    facts = ContractFacts(None, False, False, (), None, zone=zone)
    return next_allowed(moment_of(day, None, zone), *window_of(facts, rules_of(policy, calendar), Stage(0, 0, 'block')))


def may_start(contract: Contract, mode: str, now: datetime) -> bool:
    """Whether taking access away (`mode` throttled or blocked) may start at `now` by the contract's policy."""
    policy = contract.policy
    stage = policy and policy.in_force(contract.stage)
    if policy is None or stage is None:
        return True
    calendar, zone = _place_of(contract)
    start_stage = Stage(
        stage.pk, stage.after_days, 'throttle' if mode == 'throttled' else 'block',
        start_from=stage.start_from, start_until=stage.start_until,
    )  # fmt: skip
    facts = ContractFacts(contract.oldest_due_date, False, False, (), None, zone=zone)
    return next_allowed(now, *window_of(facts, rules_of(policy, calendar), start_stage)) == now
