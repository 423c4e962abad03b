"""What a policy would do from day to day, on a copy of its contracts: nothing is written, no live row is locked."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

from django.db import connection, transaction
from django.utils import timezone

from ..models import Calendar, Contract, DelinquencyPolicy
from .calendar import moment_of
from .days import ensure_start_days
from .evaluate import CONTRACTS, TABLES, parameters

__all__ = ('MOST_DAYS', 'Day', 'SimulationError', 'simulate')

MOST_DAYS = 366
MOVES = """SELECT coalesce(old_state, 'normal'), coalesce(new_state, 'normal'), count(*)
             FROM moved WHERE old_state IS DISTINCT FROM new_state GROUP BY 1, 2"""


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
    with transaction.atomic(), connection.cursor() as cursor:
        ensure_start_days(today)
        cursor.execute('DROP TABLE IF EXISTS simulated_contract')
        cursor.execute(
            f'CREATE TEMP TABLE simulated_contract ON COMMIT DROP AS SELECT * FROM {TABLES["contract"]}'  # noqa: S608
            " WHERE status = 'active' AND policy_id = %s",
            [policy.pk],
        )
        cursor.execute('ANALYZE simulated_contract')
        tables = {**TABLES, 'contract': 'simulated_contract', 'late': 'false'}
        statement = (CONTRACTS + MOVES).format(only_contracts='', **tables)
        days = []
        for offset in range((until - today).days + 1):
            day = today + timedelta(days=offset)
            moved = {'throttle': 0, 'block': 0, 'normal': 0}
            for moment in sorted(_moments(policy, day) | ({now} if day == today else set())):
                if moment < now:
                    continue
                cursor.execute(statement, parameters(moment))
                for old, new, count in cursor.fetchall():
                    if old != 'propose_termination' or new == 'normal':
                        moved['block' if new == 'propose_termination' and old != 'block' else new] = (
                            moved.get(new, 0) + count
                        )
            days.append(Day(day, moved['throttle'], moved['block'], moved['normal']))
        cursor.execute('DROP TABLE simulated_contract')
    return days


def _moments(policy: DelinquencyPolicy, day: date) -> set[datetime]:
    """The moments of a day at which something can begin: midnights and the openings of windows, in every zone."""
    times = {time(), policy.start_from, policy.contact_from, *policy.stages.values_list('start_from', flat=True)} - {
        None
    }
    zones = {timezone.get_default_timezone_name(), *Calendar.objects.values_list('time_zone', flat=True)}
    own = Contract.objects.filter(policy=policy).exclude(time_zone='').order_by()
    zones |= set(own.values_list('time_zone', flat=True).distinct())
    return {moment_of(day, at, zone) for zone in zones for at in times}
