"""One contract's facts from the database, for the pure function: explanations and the tests read them here."""

from __future__ import annotations

from datetime import date, datetime

from django.db.models import Q
from django.utils import timezone

from ..models import Contract, DelinquencyPolicy, StartDay
from .calendar import NextDay, any_day, moment_of, next_allowed
from .ladder import RELIEVING, ContractFacts, Rules, Stage, window_of

__all__ = ('facts_of', 'ladder_of', 'may_start', 'rules_of')


def ladder_of(policy: DelinquencyPolicy) -> list[Stage]:
    names = (
        'pk', 'after_days', 'action', 'position', 'clock', 'min_arrears', 'min_invoices', 'start_from', 'start_until',
    )  # fmt: skip
    return [Stage(**{name: getattr(stage, name) for name in names}) for stage in policy.stages.order_by('position')]


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
    contract = Contract.objects.select_related('policy__calendar', 'calendar', 'source', 'stage').get(pk=pk)
    policy = contract.policy
    place = contract.calendar or (policy and policy.calendar)
    zone = contract.time_zone or (place.time_zone if place else timezone.get_default_timezone_name())
    rules = rules_of(policy, place.pk if place else None) if policy else Rules()
    stages = ladder_of(policy) if policy else []
    grace = []
    if policy:
        mine = Q(tier=contract.tier) & ~Q(tier='') | Q(for_tag__in=contract.tags.all())
        grace = list(policy.grace_rules.filter(mine))
    holds = [hold for hold in contract.holds.filter(starts_at__lte=now, ends_at__gt=now) if hold.is_active(now)]
    ends = {
        relieves: max(
            (
                min(hold.ends_at, hold.ended_at or hold.ends_at)
                for hold in holds
                if (hold.kind in RELIEVING) is relieves
            ),
            default=None,
        )
        for relieves in (True, False)
    }
    notice = None
    if contract.oldest_due_date:
        notices = contract.notices.filter(
            kind='suspension', delivered_at__lte=now, delivered_at__gte=moment_of(contract.oldest_due_date, None, zone)
        )
        notice = notices.order_by('delivered_at').values_list('delivered_at', flat=True).first()
    facts = ContractFacts(
        oldest_due_date=contract.oldest_due_date,
        awaiting_clearing=contract.awaiting_clearing,
        feed_is_late=not contract.source.enabled or contract.source.is_late(now),
        stages=stages,
        stage=next((stage for stage in stages if stage.pk == contract.stage_id), None),
        stage_since=contract.stage_since,
        relieved=contract.relieved,
        open_balance=contract.open_balance,
        unpaid_invoices=contract.unpaid_invoices,
        notice_at=notice,
        extra_days=max((rule.extra_days for rule in grace), default=0),
        exempt=any(rule.exempt for rule in grace),
        in_review=contract.review_requested_at is not None,
        relief_until=ends[True],
        freeze_until=ends[False],
        zone=zone,
    )
    return facts, rules


def may_start(contract: Contract, mode: str, now: datetime) -> bool:
    """Whether taking access away (`mode` throttled or blocked) may start at `now` by the contract's policy."""
    policy = contract.policy
    stage = policy and policy.in_force(contract.stage)
    if policy is None or stage is None:
        return True
    place = contract.calendar or policy.calendar
    zone = contract.time_zone or (place.time_zone if place else timezone.get_default_timezone_name())
    rung = Stage(
        stage.pk, stage.after_days, 'throttle' if mode == 'throttled' else 'block',
        start_from=stage.start_from, start_until=stage.start_until,
    )  # fmt: skip
    facts = ContractFacts(contract.oldest_due_date, False, False, (), None, zone=zone)
    return next_allowed(now, *window_of(facts, rules_of(policy, place.pk if place else None), rung)) == now
