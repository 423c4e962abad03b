"""The ladder as a pure function of one contract's facts. `evaluate.py` is the same in SQL; a test holds them equal.

What binds it: law, calendar and holds only delay or soften; giving access back never waits for any of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from ..choices import StageActionChoices
from .calendar import NextDay, Window, any_day, moment_of, next_allowed

# Notes are kept as they stand here, whatever the language, and translated where they are shown.
FEED_IS_LATE = gettext_noop('The billing feed is late: no step up is taken until it is heard again.')
ON_HOLD = gettext_noop('A hold stands: no step up is taken while it does.')
IN_REVIEW = gettext_noop('A person is asked to look at it: no step up is taken until then.')
IS_EXEMPT = gettext_noop('Exempt by a grace rule: nothing is restricted.')
NO_NOTICE = gettext_noop('No valid notice is known to be delivered: nothing is restricted without one.')
TOO_LITTLE = gettext_noop('Less is owed than the stage asks for.')
NO_CALENDAR = gettext_noop('The calendar does not reach that day: nothing is restricted without it.')

ACTIONS = ('remind', 'notice', 'warn', 'throttle', 'block', 'propose_termination')
RESTRICTING = ('throttle', 'block', 'propose_termination')

# These give access back while they last; the others only keep it from getting worse.
RELIEVING = ('dispute', 'payment_agreement', 'trust_unlock', 'court_order', 'essential_service', 'awaiting_clearing')


class LadderError(ValidationError):
    """Stages that do not make a lawful ladder; the text names the rule and the remedy."""


@dataclass(frozen=True, slots=True)
class Stage:
    """A rung: from `after_days` whole days by its clock on."""

    pk: int
    after_days: int
    action: str  # one of ACTIONS
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
        return stage.action in RESTRICTING and (stage.action != 'throttle' or self.throttle_is_suspension)

    def needs_notice(self, stage: Stage) -> bool:
        return self.min_notice_days is not None and self.is_suspension(stage)


@dataclass(frozen=True, slots=True)
class ContractFacts:
    """What policy may look at. `stages` are the policy's, in any order; none where the contract has no policy."""

    oldest_due_date: date | None
    awaiting_clearing: bool
    feed_is_late: bool
    stages: Sequence[Stage]
    stage: Stage | None  # where the contract stands now
    stage_since: datetime | None = None
    took_effect_at: datetime | None = None  # None: some line is not as the stage wants it yet
    relieved: bool = False
    open_balance: Decimal | None = None
    unpaid_invoices: int = 0
    notice_at: datetime | None = None  # the earliest delivered notice of suspension about this debt
    extra_days: int = 0
    exempt: bool = False
    in_review: bool = False
    relief_until: datetime | None = None  # the end of the longest hold that stands and gives access back
    freeze_until: datetime | None = None  # the same of those that only keep it from getting worse
    zone: str = 'UTC'


@dataclass(frozen=True, slots=True)
class Standing:
    """Where the contract belongs, and what comes next when nothing is paid."""

    stage: Stage | None
    next_stage: Stage | None
    next_action_on: date | None
    note: str = ''
    next_action_at: datetime | None = None
    relieved: bool = False


def check_ladder(min_notice_days: int | None, throttle_is_suspension: bool, stages: Sequence) -> None:
    """Raises `LadderError` where stages overlap, are out of order, or skip a notice the policy asks for."""
    ladder = sorted(stages, key=lambda stage: stage.position)
    labels = dict(StageActionChoices)
    weight, days = '', {'due': 0, 'notice': 0}
    for place, stage in enumerate(ladder):
        if stage.clock == 'previous' and place == 0:
            raise LadderError(_('The first stage has no previous one: count its days from the due date or the notice.'))
        if stage.clock in days:
            last = days[stage.clock]
            if stage.after_days == last:
                text = _('The policy already has a stage on that day ({days}): give one of them another.')
                raise LadderError(text.format(days=last))
            if stage.after_days < last:
                text = _('Stages are out of order: {days} days come after {last}. Order them by their days.')
                raise LadderError(text.format(days=stage.after_days, last=last))
            days[stage.clock] = stage.after_days
        if stage.action in RESTRICTING:
            if weight and ACTIONS.index(stage.action) < ACTIONS.index(weight):
                text = _('Stages are out of order: "{action}" is softer than "{other}" before it. Swap them.')
                raise LadderError(text.format(action=labels[stage.action], other=labels[weight]))
            weight = stage.action
        is_suspension = stage.action in RESTRICTING and (stage.action != 'throttle' or throttle_is_suspension)
        if stage.clock == 'notice' and is_suspension:
            if min_notice_days is None:
                raise LadderError(
                    _('A stage counts from the notice, but the policy asks for none: set its notice days.')
                )
            if stage.after_days < min_notice_days:
                text = _(
                    '"{action}" {days} days after the notice skips the lawful {lawful}: set {lawful} days or more.'
                )
                raise LadderError(
                    text.format(action=labels[stage.action], days=stage.after_days, lawful=min_notice_days)
                )


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

    `rank` is the stage's place on the ladder, `present` that of the one where the contract stands (0: on none). What
    counts from a stage that is taken only now, or has not taken effect yet, counts from today at the earliest.
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
        since = facts.took_effect_at if rank == present + 1 and not facts.relieved else None
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
    start, until, next_day = None, None, any_day
    if rules.is_suspension(stage):
        start, until, next_day = rules.start_from, rules.start_until, rules.next_start_day
    elif stage.action not in RESTRICTING:
        start, until, next_day = rules.contact_from, rules.contact_until, rules.next_contact_day
    starts = [moment for moment in (start, stage.start_from) if moment is not None]
    ends = [moment for moment in (until, stage.start_until) if moment is not None]
    return Window(facts.zone, max(starts, default=None), min(ends, default=None)), next_day


def is_frozen(facts: ContractFacts) -> bool:
    on_hold = facts.relief_until is not None or facts.freeze_until is not None
    return facts.feed_is_late or facts.exempt or facts.in_review or on_hold


def stand(facts: ContractFacts, rules: Rules, now: datetime) -> Standing:
    """Where a contract stands at `now`.

    It climbs rung by rung, over as many as are due at once, and never past one that is not. A rung above the present
    one is only taken on an open day, within its hours, and while nothing freezes the contract; a rung that is kept, or
    a step down, asks for none of that. A hold that gives access back leaves the stage as it is (`relieved`), so that
    what follows it is fixed; taking the access away again is a step up like any other.
    """
    ladder = sorted(facts.stages, key=lambda stage: stage.position)
    if not owes(facts, rules) or not ladder:
        return Standing(None, None, None)
    present = next((rank for rank, stage in enumerate(ladder, 1) if stage == facts.stage), 0)
    today = local_day(now, facts.zone)
    may_climb = not is_frozen(facts) and not facts.relieved

    def is_open(stage: Stage) -> bool:
        return next_allowed(now, *window_of(facts, rules, stage)) == now

    def is_reached(rank: int, stage: Stage) -> bool:
        day = _kept_day(facts, rules, stage, rank, present, today)
        if day is None or day > today or not enough(facts, stage.min_arrears, stage.min_invoices):
            return False
        return rank <= present or (may_climb and is_open(stage))

    first = next((rank for rank, stage in enumerate(ladder, 1) if not is_reached(rank, stage)), len(ladder) + 1)
    target = ladder[first - 2] if first > 1 else None
    restricted = any(stage.action in RESTRICTING for stage in ladder[: first - 1])
    relieved = False
    if target is not None and restricted:
        gives_back = facts.exempt or facts.relief_until is not None
        relieved = gives_back or (facts.relieved and (is_frozen(facts) or not is_open(target)))
    if relieved:
        assert target is not None
        return _next(facts, rules, now, target, target, today, relieved=True)
    if first > len(ladder):
        return Standing(target, None, None)
    following = ladder[first - 1]
    return _next(facts, rules, now, target, following, clock_day(facts, rules, following, first, present, today))


def _next(
    facts: ContractFacts, rules: Rules, now: datetime, target: Stage | None, following: Stage, day: date | None,
    relieved: bool = False,
) -> Standing:  # fmt: skip
    """The standing with the earliest moment of what follows, or why it has none."""
    today = local_day(now, facts.zone)

    def standing(note: str, at: datetime | None = None) -> Standing:
        on = local_day(at, facts.zone) if at else None if relieved else day
        return Standing(target, following, on, note, at, relieved)

    if not relieved:
        if not enough(facts, following.min_arrears, following.min_invoices):
            return standing(TOO_LITTLE)
        if (rules.needs_notice(following) or following.clock == 'notice') and facts.notice_at is None:
            return standing(NO_NOTICE)
        if day is None:
            return standing('')
    if facts.exempt:
        return standing(IS_EXEMPT)
    if facts.in_review:
        return standing(IN_REVIEW)
    assert day is not None
    if facts.feed_is_late and day <= today:
        return standing(FEED_IS_LATE)
    ends = [end for end in (facts.relief_until, facts.freeze_until) if end is not None]
    moment = max(ends, default=now)
    if local_day(moment, facts.zone) < day:
        moment = moment_of(day, None, facts.zone)
    at = next_allowed(moment, *window_of(facts, rules, following))
    note = ON_HOLD if ends else NO_CALENDAR if at is None else ''
    return standing(note, at)
