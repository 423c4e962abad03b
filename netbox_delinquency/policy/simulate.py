"""What a policy would do from day to day, on a copy of its contracts: nothing is written, no live row is locked."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

from django.db import connection, transaction
from django.utils import timezone

from nornir_tasks.change import Mode

from ..errors import DelinquencyError
from ..models import Contract, DelinquencyPolicy
from .actions import action_of
from .calendar import moment_of
from .days import ensure_start_days
from .evaluate import parameters, plan_for_all
from .sql import compose

__all__ = ('MOST_DAYS', 'Day', 'SimulationError', 'simulate')

MOST_DAYS = 366
SECOND = timedelta(seconds=1)


class SimulationError(DelinquencyError, ValueError):
    """The span of days cannot be simulated; the text says which can."""


@dataclass(frozen=True, slots=True)
class Day:
    day: date
    throttled: int = 0
    blocked: int = 0
    restored: int = 0


def simulate(policy: DelinquencyPolicy, now: datetime, until: date) -> list[Day]:
    """How many contracts would be throttled, blocked and restored on each day, if nothing is paid and billing is
    heard in time. Raises `SimulationError` for a span that is past or longer than a year."""
    today = timezone.localdate(now)
    if not today <= until <= today + timedelta(days=MOST_DAYS):
        raise SimulationError(f'until: give a day from {today} to {today + timedelta(days=MOST_DAYS)}')
    days = {today + timedelta(days=offset): Counter[Mode]() for offset in range((until - today).days + 1)}
    with transaction.atomic(), connection.cursor() as cursor:
        ensure_start_days(today)
        cursor.execute('DROP TABLE IF EXISTS simulated_contract')
        cursor.execute(compose('copy_contracts'), {'policy': policy.pk})
        # What is done is taken to succeed, here and below.
        cursor.execute(compose('take_effect'))
        cursor.execute('ANALYZE simulated_contract')

        def step(moment: datetime, contracts: str, since: datetime) -> datetime | None:
            """Evaluate the copies at a moment; returns when the next of them is due."""
            given = {**parameters(moment, effect=moment), 'since': since}
            statement = compose(
                'simulate_contracts', contract='simulated_contract', contracts=contracts, late='feed_is_in_time'
            )
            cursor.execute(statement, given)
            for old, new, count in cursor.fetchall():
                if _mode(old) is not _mode(new):
                    days[timezone.localdate(moment)][_mode(new)] += count
            cursor.execute(compose('next_due'), given)
            due: datetime | None = cursor.fetchone()[0]
            return due

        plan_for_all(cursor, True)
        due, last = step(now, 'every_contract', now), now
        plan_for_all(cursor, False)
        cursor.execute('CREATE INDEX ON simulated_contract (next_action_at)')
        cursor.execute('ANALYZE simulated_contract')
        for moment in _moments(policy, now, until):
            if due is not None and due <= moment:
                due, last = step(moment, 'due_contracts', last), moment
        cursor.execute('DROP TABLE simulated_contract')
    return [Day(day, count[Mode.THROTTLED], count[Mode.BLOCKED], count[Mode.NORMAL]) for day, count in days.items()]


def _mode(action: str) -> Mode:
    """What of a stage's action is seen from outside."""
    return action_of(action).mode if action else Mode.NORMAL


def _moments(policy: DelinquencyPolicy, now: datetime, until: date) -> list[datetime]:
    """The moments up to that day's end at which something may have begun or come to its end, in every zone in use:
    midnights, the openings of windows, and the last second of each."""
    contracts = Contract.objects.filter(policy=policy, status='active').order_by()
    zones = {timezone.get_default_timezone_name(), policy.calendar and policy.calendar.time_zone}
    zones |= set(contracts.values_list('calendar__time_zone', flat=True).distinct())
    zones |= set(contracts.values_list('time_zone', flat=True).distinct())
    opens = {time(), policy.start_from, policy.contact_from, *policy.stages.values_list('start_from', flat=True)}
    shuts = {time(), policy.start_until, policy.contact_until, *policy.stages.values_list('start_until', flat=True)}
    today = timezone.localdate(now)
    days = [today + timedelta(days=offset) for offset in range((until - today).days + 2)]
    moments = {
        moment_of(day, at, zone) - before
        for zone in zones - {None, ''}
        for times, before in ((opens, timedelta()), (shuts, SECOND))
        for at in times - {None}
        for day in days
    }
    return sorted(moment for moment in moments if now < moment and timezone.localdate(moment) <= until)
