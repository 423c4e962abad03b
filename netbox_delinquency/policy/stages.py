"""The stages of a policy as a pure function of one contract's facts. `sql/` has the same rules; a test compares them.

What binds it: law, calendar and holds only delay or relax; giving access back never waits for any of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Protocol
from zoneinfo import ZoneInfo

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from ..errors import DelinquencyError
from .actions import action_of, is_restricting, weight_of
from .calendar import NextDay, Window, any_day, moment_of, next_allowed

# Notes are kept in this wording, whatever the language, and translated where they are shown.
FEED_IS_LATE = gettext_noop('Word of payments is missing, late or not understood: no escalation until it is put right.')
ON_HOLD = gettext_noop('A hold is active: no escalation until it ends.')
IN_REVIEW = gettext_noop('A person was asked to review it: no escalation until then.')
IS_EXEMPT = gettext_noop('Exempt by a grace rule: nothing is restricted.')
NO_NOTICE = gettext_noop('No valid notice is known to be delivered: nothing is restricted without one.')
TOO_LITTLE = gettext_noop('Less is owed than the stage asks for.')
NO_CALENDAR = gettext_noop('The calendar does not reach that day: nothing is restricted without it.')


class StageError(DelinquencyError, ValidationError):
    """Stages that overlap, are out of order, or skip a notice; the text names the rule and the remedy."""


@dataclass(frozen=True, slots=True)
class Stage:
    """From `after_days` whole days by its clock on, `action` is what a line should have."""

    pk: int
    after_days: int
    action: str  # a name of `actions.STAGE_ACTIONS`
    position: int = 0
    clock: str = 'due'
    min_arrears: Decimal | None = None
    min_invoices: int | None = None
    start_from: time | None = None
    start_until: time | None = None


@dataclass(frozen=True, slots=True)
class Rules:
    """What a policy asks for besides its stages. The `next_…_day` know the place's calendar."""

    min_notice_days: int | None = None
    throttle_is_suspension: bool = True
    min_arrears: Decimal | None = None
    min_invoices: int | None = None
    start_from: time | None = None
    start_until: time | None = None
    contact_from: time | None = None
    contact_until: time | None = None
    next_start_day: NextDay = any_day
    next_contact_day: NextDay = any_day

    def is_suspension(self, stage: Stage) -> bool:
        return action_of(stage.action).is_suspension(self.throttle_is_suspension)

    def needs_notice(self, stage: Stage) -> bool:
        return self.min_notice_days is not None and self.is_suspension(stage)


@dataclass(frozen=True, slots=True)
class ContractFacts:
    """What policy may look at. `stages` are the policy's, in any order; none where the contract has no policy."""

    oldest_due_date: date | None
    awaiting_clearing: bool
    feed_is_late: bool
    stages: Sequence[Stage]
    stage: Stage | None  # the one that the contract has reached so far
    stage_since: datetime | None = None
    took_effect_at: datetime | None = None  # None: some line is not as the stage wants it yet
    in_relief: bool = False
    open_balance: Decimal | None = None
    unpaid_invoices: int = 0
    notice_at: datetime | None = None  # the earliest delivered notice of suspension about this debt
    extra_days: int = 0
    exempt: bool = False
    in_review: bool = False
    relief_until: datetime | None = None  # the end of the longest active hold that gives access back
    freeze_until: datetime | None = None  # the same of those that only keep it from getting worse
    zone: str = 'UTC'


@dataclass(frozen=True, slots=True)
class DunningPosition:
    """The stage where a contract belongs, and what comes next when nothing is paid."""

    stage: Stage | None
    next_stage: Stage | None
    next_action_on: date | None
    note: str = ''
    next_action_at: datetime | None = None
    in_relief: bool = False


class AnyStage(Protocol):
    """What `check_stages` reads: a `Stage`, or the model of one."""

    @property
    def position(self) -> int: ...
    @property
    def clock(self) -> str: ...
    @property
    def after_days(self) -> int: ...
    @property
    def action(self) -> str: ...


def check_stages(min_notice_days: int | None, throttle_is_suspension: bool, stages: Iterable[AnyStage]) -> None:
    """Raises `StageError` where stages overlap, are out of order, or skip a notice the policy asks for."""
    heaviest, days = '', {'due': 0, 'notice': 0}
    for place, stage in enumerate(sorted(stages, key=lambda stage: stage.position)):
        if stage.clock == 'previous' and place == 0:
            raise StageError(_('The first stage has no previous one: count its days from the due date or the notice.'))
        if stage.clock in days:
            last = days[stage.clock]
            if stage.after_days == last:
                text = _('The policy already has a stage on that day ({days}): give one of them another.')
                raise StageError(text.format(days=last))
            if stage.after_days < last:
                text = _('Stages are out of order: {days} days come after {last}. Order them by their days.')
                raise StageError(text.format(days=stage.after_days, last=last))
            days[stage.clock] = stage.after_days
        action = action_of(stage.action)
        if action.is_restricting:
            if heaviest and weight_of(action.name) < weight_of(heaviest):
                text = _('Stages are out of order: "{action}" restricts less than "{other}" before it. Swap them.')
                raise StageError(text.format(action=action.label, other=action_of(heaviest).label))
            heaviest = action.name
        if stage.clock == 'notice' and action.is_suspension(throttle_is_suspension):
            if min_notice_days is None:
                raise StageError(
                    _('A stage counts from the notice, but the policy asks for none: set its notice days.')
                )
            if stage.after_days < min_notice_days:
                text = _(
                    '"{action}" {days} days after the notice skips the lawful {lawful}: set {lawful} days or more.'
                )
                raise StageError(text.format(action=action.label, days=stage.after_days, lawful=min_notice_days))


def local_day(moment: datetime, zone: str) -> date:
    return moment.astimezone(ZoneInfo(zone)).date()


def owes(facts: ContractFacts, rules: Rules) -> bool:
    if facts.oldest_due_date is None or facts.awaiting_clearing:
        return False
    return enough(facts, rules.min_arrears, rules.min_invoices)


def enough(facts: ContractFacts, arrears: Decimal | None, invoices: int | None) -> bool:
    """An unknown balance is none: what is not known restricts nobody."""
    if arrears is not None and (facts.open_balance or 0) < arrears:
        return False
    return invoices is None or facts.unpaid_invoices >= invoices


def clock_day(facts: ContractFacts, rules: Rules, stage: Stage, rank: int, present: int, today: date) -> date | None:
    """The first day on which a stage may be taken by its clock and its notice; None where that is not known.

    `rank` is the stage's place in the policy, `present` that of the one reached so far (0: none). What counts from a
    stage that is reached only now, or has not taken effect yet, counts from today at the earliest.
    """
    assert facts.oldest_due_date
    after = timedelta(days=stage.after_days)
    # Grace is time: neither of the two clocks that begin with the debt comes sooner than the debt's own with it.
    day = facts.oldest_due_date + after + timedelta(days=facts.extra_days)
    notice = local_day(facts.notice_at, facts.zone) if facts.notice_at else None
    if stage.clock == 'notice':
        if notice is None:
            return None
        day = max(day, notice + after)
    elif stage.clock == 'previous':
        since = facts.took_effect_at if rank == present + 1 and not facts.in_relief else None
        day = (local_day(since, facts.zone) if since else today) + after
    return _noticed(rules, stage, notice, day)


def _noticed(rules: Rules, stage: Stage, notice: date | None, day: date) -> date | None:
    if not rules.needs_notice(stage):
        return day
    return max(day, notice + timedelta(days=rules.min_notice_days or 0)) if notice else None


def _kept_day(facts: ContractFacts, rules: Rules, stage: Stage, rank: int, present: int, today: date) -> date | None:
    """The same, of a stage that is held already: what once counted from the previous one has run out."""
    if stage.clock == 'previous' and rank <= present and facts.oldest_due_date:
        notice = local_day(facts.notice_at, facts.zone) if facts.notice_at else None
        return _noticed(rules, stage, notice, facts.oldest_due_date)
    return clock_day(facts, rules, stage, rank, present, today)


def window_of(facts: ContractFacts, rules: Rules, stage: Stage) -> tuple[Window, NextDay]:
    start: time | None = None
    until: time | None = None
    next_day: NextDay = any_day
    if rules.is_suspension(stage):
        start, until, next_day = rules.start_from, rules.start_until, rules.next_start_day
    elif action_of(stage.action).is_contact:
        start, until, next_day = rules.contact_from, rules.contact_until, rules.next_contact_day
    starts = [moment for moment in (start, stage.start_from) if moment is not None]
    ends = [moment for moment in (until, stage.start_until) if moment is not None]
    return Window(facts.zone, max(starts, default=None), min(ends, default=None)), next_day


def is_frozen(facts: ContractFacts) -> bool:
    on_hold = facts.relief_until is not None or facts.freeze_until is not None
    return facts.feed_is_late or facts.exempt or facts.in_review or on_hold


def dunning_position(facts: ContractFacts, rules: Rules, now: datetime) -> DunningPosition:
    """Where a contract belongs at `now`.

    It is escalated stage by stage, over as many as are due at once, and never past one that is not. A stage above the
    present one is only reached on an open day, within its hours, and while nothing freezes the contract; a stage that
    is kept, or a lower one, asks for none of that. A hold that gives access back leaves the stage as it is
    (`in_relief`), so that what comes after it is fixed; taking the access away again is an escalation like any other.
    """
    stages = sorted(facts.stages, key=lambda stage: stage.position)
    if not owes(facts, rules) or not stages:
        return DunningPosition(None, None, None)
    present = next((rank for rank, stage in enumerate(stages, 1) if stage == facts.stage), 0)
    today = local_day(now, facts.zone)
    may_escalate = not is_frozen(facts) and not facts.in_relief

    def is_open(stage: Stage) -> bool:
        return next_allowed(now, *window_of(facts, rules, stage)) == now

    def is_reached(rank: int, stage: Stage) -> bool:
        day = _kept_day(facts, rules, stage, rank, present, today)
        if day is None or day > today or not enough(facts, stage.min_arrears, stage.min_invoices):
            return False
        return rank <= present or (may_escalate and is_open(stage))

    first = next((rank for rank, stage in enumerate(stages, 1) if not is_reached(rank, stage)), len(stages) + 1)
    target = stages[first - 2] if first > 1 else None
    restricted = any(is_restricting(stage.action) for stage in stages[: first - 1])
    in_relief = False
    if target is not None and restricted:
        gives_back = facts.exempt or facts.relief_until is not None
        in_relief = gives_back or (facts.in_relief and (is_frozen(facts) or not is_open(target)))
    if in_relief:
        assert target is not None
        return _next(facts, rules, now, target, target, today, in_relief=True)
    if first > len(stages):
        return DunningPosition(target, None, None)
    following = stages[first - 1]
    return _next(facts, rules, now, target, following, clock_day(facts, rules, following, first, present, today))


def _next(
    facts: ContractFacts, rules: Rules, now: datetime, target: Stage | None, following: Stage, day: date | None,
    in_relief: bool = False,
) -> DunningPosition:  # fmt: skip
    """The position with the earliest moment of the next stage, or why it has none."""
    today = local_day(now, facts.zone)

    def position(note: str, at: datetime | None = None) -> DunningPosition:
        on = local_day(at, facts.zone) if at else None if in_relief else day
        return DunningPosition(target, following, on, note, at, in_relief)

    if not in_relief:
        if not enough(facts, following.min_arrears, following.min_invoices):
            return position(TOO_LITTLE)
        if (rules.needs_notice(following) or following.clock == 'notice') and facts.notice_at is None:
            return position(NO_NOTICE)
        if day is None:
            return position('')
    if facts.exempt:
        return position(IS_EXEMPT)
    if facts.in_review:
        return position(IN_REVIEW)
    assert day is not None
    if facts.feed_is_late and day <= today:
        return position(FEED_IS_LATE)
    ends = [end for end in (facts.relief_until, facts.freeze_until) if end is not None]
    moment = max(ends, default=now)
    if local_day(moment, facts.zone) < day:
        moment = moment_of(day, None, facts.zone)
    at = next_allowed(moment, *window_of(facts, rules, following))
    note = ON_HOLD if ends else NO_CALENDAR if at is None else ''
    return position(note, at)
