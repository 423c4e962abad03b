"""What a policy would do from day to day, on a copy of its contracts: nothing is written, no live row is locked."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

from django.db import connection, transaction
from django.utils import timezone

from ..models import Contract, DelinquencyPolicy
from .calendar import moment_of
from .days import ensure_start_days
from .evaluate import CONTRACTS, TABLES, parameters, plan_for_all

__all__ = ('MOST_DAYS', 'Day', 'SimulationError', 'simulate')

MOST_DAYS = 366
MOVES = """SELECT coalesce(old_state, 'normal'), coalesce(new_state, 'normal'), count(*)
             FROM moved WHERE old_state IS DISTINCT FROM new_state GROUP BY 1, 2"""

# Nothing is paid, so a contract only moves when its next action is due, or when a hold begins.
DUE = """AND (contract.next_action_at <= %(now)s OR contract.id IN (
             SELECT contract_id FROM netbox_delinquency_hold WHERE starts_at > %(since)s AND starts_at <= %(now)s))"""
NEXT = """SELECT least((SELECT min(next_action_at) FROM simulated_contract),
                      (SELECT min(hold.starts_at) FROM netbox_delinquency_hold hold
                         JOIN simulated_contract contract ON contract.id = hold.contract_id
                        WHERE hold.starts_at > %(now)s))"""
SECOND = timedelta(seconds=1)


# What of a stage's action is seen from outside: one that proposes termination stays blocked.
STATES = {'normal': 'normal', 'throttle': 'throttled', 'block': 'blocked', 'propose_termination': 'blocked'}


class SimulationError(ValueError):
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
    tables = {**TABLES, 'contract': 'simulated_contract', 'late': 'false'}
    statement = CONTRACTS + MOVES
    days = {today + timedelta(days=offset): Counter[str]() for offset in range((until - today).days + 1)}
    with transaction.atomic(), connection.cursor() as cursor:
        ensure_start_days(today)
        cursor.execute('DROP TABLE IF EXISTS simulated_contract')
        cursor.execute(
            f'CREATE TEMP TABLE simulated_contract ON COMMIT DROP AS SELECT * FROM {TABLES["contract"]}'  # noqa: S608
            " WHERE status = 'active' AND policy_id = %s",
            [policy.pk],
        )
        # What is done is taken to succeed, here and below.
        cursor.execute('UPDATE simulated_contract SET took_effect_at = coalesce(took_effect_at, stage_since)')
        cursor.execute('ANALYZE simulated_contract')

        def step(moment: datetime, only: str, since: datetime) -> datetime | None:
            """Evaluate the copies at a moment; returns when the next of them is due."""
            given = {**parameters(moment, effect=moment), 'since': since}
            cursor.execute(statement.format(only_contracts=only, **tables), given)
            for old, new, count in cursor.fetchall():
                if STATES[old] != STATES[new]:
                    days[timezone.localdate(moment)][STATES[new]] += count
            cursor.execute(NEXT, given)
            return cursor.fetchone()[0]

        plan_for_all(cursor, True)
        due, last = step(now, '', now), now
        plan_for_all(cursor, False)
        cursor.execute('CREATE INDEX ON simulated_contract (next_action_at)')
        cursor.execute('ANALYZE simulated_contract')
        for moment in _moments(policy, now, until):
            if due is not None and due <= moment:
                due, last = step(moment, DUE, last), moment
        cursor.execute('DROP TABLE simulated_contract')
    return [Day(day, count['throttled'], count['blocked'], count['normal']) for day, count in days.items()]


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
