"""Why a contract is at its stage: each rule in turn, what it read, what it says, and the article it rests on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from nornir_tasks.change import Mode

from ..choices import ClockChoices
from .actions import action_of
from .calendar import next_allowed
from .stages import (
    ContractFacts,
    DunningPosition,
    Rules,
    Stage,
    clock_day,
    dunning_position,
    enough,
    is_frozen,
    local_day,
    owes,
    window_of,
)

__all__ = ('RULES', 'VERDICTS', 'Explanation', 'RuleVerdict', 'explain')

# The codes that an explanation uses, and how people read them.
VERDICTS = {
    'passes': gettext_lazy('passes'),
    'waits': gettext_lazy('waits'),
    'exempts': gettext_lazy('exempts'),
}
RULES = {
    'debt': gettext_lazy('Something is due'),
    'awaiting_clearing': gettext_lazy('Awaiting clearing'),
    'min_arrears': gettext_lazy("The policy's minimum"),
    'relief': gettext_lazy('A hold that gives access back'),
    'hold': gettext_lazy('A hold against escalation'),
    'exempt': gettext_lazy('Exempt by a grace rule'),
    'review': gettext_lazy('Human review'),
    'feed': gettext_lazy('Billing is heard in time'),
    'stage': gettext_lazy('Present stage'),
    'min_notice_days': gettext_lazy('Delivered notice'),
    'throttle_is_suspension': gettext_lazy('Throttle is suspension'),
    'stage_minimum': gettext_lazy("The stage's minimum"),
    'clock': gettext_lazy('Clock of the next stage'),
    'no_start_days': gettext_lazy('Days and hours of a start'),
    'no_contact_days': gettext_lazy('Days and hours of contact'),
    'next': gettext_lazy('What happens next'),
}
CLOCKS = dict(ClockChoices)


@dataclass(frozen=True, slots=True)
class RuleVerdict:
    """`rule` is one of `RULES`, `verdict` one of `VERDICTS`; `facts` is a sentence in the language in use."""

    rule: str
    facts: str
    verdict: str
    article: str = ''


@dataclass(frozen=True, slots=True)
class Explanation:
    position: DunningPosition
    verdicts: tuple[RuleVerdict, ...]


def explain(facts: ContractFacts, rules: Rules, now: datetime, articles: Mapping[str, str]) -> Explanation:
    """`articles` are the policy's: what each rule rests on, by the rule's name."""
    position = dunning_position(facts, rules, now)
    verdicts: list[RuleVerdict] = []
    none, yes, no = _('none'), _('yes'), _('no')

    def say(rule: str, read: object, verdict: str) -> None:
        verdicts.append(RuleVerdict(rule, str(read), verdict, str(articles.get(rule, ''))))

    def local(moment: datetime | None, unknown: str = none) -> str:
        return moment.astimezone(ZoneInfo(facts.zone)).isoformat(' ', 'minutes') if moment else unknown

    def say_notice(stage: Stage) -> None:
        if rules.needs_notice(stage) or stage.clock == 'notice':
            read = _('{action}: {days} days after delivery; notice delivered: {moment}').format(
                action=action_of(stage.action).label, days=rules.min_notice_days or 0, moment=local(facts.notice_at)
            )
            say('min_notice_days', read, 'passes' if facts.notice_at else 'waits')

    due = facts.oldest_due_date
    say('debt', _('oldest due date: {day}').format(day=due or none), 'passes' if due else 'exempts')
    say('awaiting_clearing', yes if facts.awaiting_clearing else no, 'exempts' if facts.awaiting_clearing else 'passes')
    if rules.min_arrears is not None or rules.min_invoices is not None:
        # The sum itself stays behind its own permission.
        read = _minimum(rules.min_arrears, rules.min_invoices)
        say('min_arrears', read, 'passes' if enough(facts, rules.min_arrears, rules.min_invoices) else 'exempts')
    for name, until in (('relief', facts.relief_until), ('hold', facts.freeze_until)):
        read = _('until {moment}').format(moment=local(until)) if until else none
        say(name, read, ('exempts' if name == 'relief' else 'waits') if until else 'passes')
    say('exempt', yes if facts.exempt else no, 'exempts' if facts.exempt else 'passes')
    say('review', _('asked for') if facts.in_review else none, 'waits' if facts.in_review else 'passes')
    say('feed', _('late') if facts.feed_is_late else _('heard in time'), 'waits' if facts.feed_is_late else 'passes')

    following, present = position.next_stage, position.stage
    if present is not None:
        since = facts.stage_since if present == facts.stage else None
        read = _('{action}, since {moment}; in effect since: {effect}').format(
            action=action_of(present.action).label, moment=local(since, _('now')),
            effect=local(facts.took_effect_at if since else None, _('not yet')),
        )  # fmt: skip
        say('stage', read, 'exempts' if position.in_relief else 'passes')
        if present != following:
            say_notice(present)
    if following is None or not owes(facts, rules):
        return Explanation(position, tuple(verdicts))

    stages = sorted(facts.stages, key=lambda stage: stage.position)
    rank = stages.index(following) + 1
    held = stages.index(facts.stage) + 1 if facts.stage in stages else 0
    today = local_day(now, facts.zone)
    day = clock_day(facts, rules, following, rank, held, today)
    say_notice(following)
    if action_of(following.action).mode is Mode.THROTTLED:
        say('throttle_is_suspension', yes if rules.throttle_is_suspension else no, 'passes')
    if following.min_arrears is not None or following.min_invoices is not None:
        is_enough = enough(facts, following.min_arrears, following.min_invoices)
        say('stage_minimum', _minimum(following.min_arrears, following.min_invoices),
            'passes' if is_enough else 'waits')  # fmt: skip
    read = _('{action}: {days} days since {clock}, grace of {extra} days: {day}').format(
        action=action_of(following.action).label, days=following.after_days, clock=str(CLOCKS[following.clock]).lower(),
        extra=facts.extra_days, day=day or _('not known'),
    )  # fmt: skip
    say('clock', read, 'passes' if day is not None and day <= today else 'waits')
    window, next_day = window_of(facts, rules, following)
    at = next_allowed(now, window, next_day)
    read = _('{start} to {end} ({zone}); the next open moment is {moment}').format(
        start=f'{window.start or "00:00"}'[:5], end=f'{window.until or "24:00"}'[:5], zone=window.zone,
        moment=local(at, _('not known')),
    )  # fmt: skip
    rule = 'no_contact_days' if action_of(following.action).is_contact else 'no_start_days'
    say(rule, read, 'passes' if at == now else 'waits')
    earliest = local(position.next_action_at, str(position.next_action_on or _('not known')))
    read = _('{action}, at the earliest {moment}').format(action=action_of(following.action).label, moment=earliest)
    say('next', read, 'waits' if is_frozen(facts) or position.next_action_at is None else 'passes')
    return Explanation(position, tuple(verdicts))


def _minimum(arrears: object, invoices: int | None) -> str:
    return _('at least {sum}, and {count} unpaid invoices').format(sum=arrears or 0, count=invoices or 1)
