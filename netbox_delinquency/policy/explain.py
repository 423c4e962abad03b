"""Why a contract stands where it does: each rule in turn, what it read, what it says, and what it stands on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from .calendar import next_allowed
from .ladder import ContractFacts, Rules, Standing, clock_day, is_frozen, local_day, owes, stand, window_of

__all__ = ('Explanation', 'Verdict', 'explain')


@dataclass(frozen=True, slots=True)
class Verdict:
    rule: str
    facts: str
    verdict: str  # passes, waits, spares, none
    article: str = ''


@dataclass(frozen=True, slots=True)
class Explanation:
    standing: Standing
    verdicts: tuple[Verdict, ...]


def explain(facts: ContractFacts, rules: Rules, now: datetime, articles: Mapping[str, str]) -> Explanation:
    """`articles` are the policy's: what each rule stands on, by the rule's name."""
    standing = stand(facts, rules, now)
    verdicts: list[Verdict] = []

    def say(rule: str, read: object, verdict: str) -> None:
        verdicts.append(Verdict(rule, str(read), verdict, str(articles.get(rule, ''))))

    say('debt', f'oldest due date {facts.oldest_due_date or "none"}', 'passes' if facts.oldest_due_date else 'spares')
    say('awaiting_clearing', facts.awaiting_clearing, 'spares' if facts.awaiting_clearing else 'passes')
    if rules.min_arrears is not None or rules.min_invoices is not None:
        # The sum itself stays behind its own permission.
        say('min_arrears', f'at least {rules.min_arrears or 0}, {rules.min_invoices or 1} unpaid invoices',
            'passes' if owes(facts, rules) else 'spares')  # fmt: skip
    for name, until in (('relief', facts.relief_until), ('hold', facts.freeze_until)):
        say(name, f'until {until.isoformat()}' if until else 'none', 'spares' if until else 'passes')
    say('exempt', facts.exempt, 'spares' if facts.exempt else 'passes')
    say('review', facts.in_review, 'waits' if facts.in_review else 'passes')
    say('feed', 'late' if facts.feed_is_late else 'heard in time', 'waits' if facts.feed_is_late else 'passes')
    following = standing.next_stage
    if following is None or not owes(facts, rules):
        return Explanation(standing, tuple(verdicts))
    ladder = sorted(facts.stages, key=lambda stage: stage.position)
    rank = ladder.index(following) + 1
    present = ladder.index(facts.stage) + 1 if facts.stage in ladder else 0
    today = local_day(now, facts.zone)
    day = clock_day(facts, rules, following, rank, present, today)
    if rules.needs_notice(following):
        read = facts.notice_at.isoformat() if facts.notice_at else 'none delivered'
        say('min_notice_days', f'{rules.min_notice_days} days; notice {read}', 'passes' if facts.notice_at else 'waits')
    if following.action == 'throttle':
        say('throttle_is_suspension', rules.throttle_is_suspension, 'passes')
    say('clock', f'{following.after_days} days since {following.clock}, {facts.extra_days} extra: {day or "not known"}',
        'passes' if day is not None and day <= today else 'waits')  # fmt: skip
    window, next_day = window_of(facts, rules, following)
    at = next_allowed(now, window, next_day)
    hours = f'{window.start or "00:00"} to {window.until or "24:00"} {window.zone}'
    say(
        'no_start_days',
        f'{hours}; next open {at.isoformat() if at else "not known"}',
        'passes' if at == now else 'waits',
    )
    earliest = standing.next_action_at or standing.next_action_on or 'not known'
    say('next', f'{following.action} at the earliest {earliest}',
        'waits' if is_frozen(facts) or standing.next_action_at is None else 'passes')  # fmt: skip
    return Explanation(standing, tuple(verdicts))
