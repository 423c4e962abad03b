"""The table that evaluation joins for its calendar: for each day the next one on which something may start."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, timedelta

from django.db import connection, transaction

from ..models import Calendar, Contract, DelinquencyPolicy, StartDay
from .calendar import DAY, next_open_day, normal_days, public_holidays

__all__ = ('ensure_start_days', 'holidays_of')

BACK, AHEAD = timedelta(days=40), timedelta(days=800)
_LOCK = 7_650_201  # any number, the same everywhere


def holidays_of(calendar: Calendar, years: Iterable[int]) -> set[date]:
    public = set(public_holidays(calendar.country, calendar.subdivision, years))
    for own in calendar.dates.all():
        (public.add if own.is_holiday else public.discard)(own.date)
    return public


@transaction.atomic
def ensure_start_days(today: date, anew: bool = False) -> int:
    """Write what is missing, for every calendar and set of closed days in use; all of it `anew` where asked.

    Returns the number of days written. One call at a time writes. A newer `holidays` library may know of a holiday
    that was made law since: so they are written anew from time to time.
    """
    if anew:
        StartDay.objects.all().delete()
    closed = {
        days
        for pair in DelinquencyPolicy.objects.values_list('no_start_days', 'no_contact_days')
        for days in pair
        if days
    }
    if not closed:
        return 0
    wanted_from, wanted_to = today - DAY, today + timedelta(days=400)
    there = StartDay.objects.filter(day__in=(wanted_from, wanted_to)).values_list('calendar', 'closed', 'day')
    known = set(there)
    used = set(Contract.objects.order_by().values_list('calendar', flat=True).distinct())
    used |= set(DelinquencyPolicy.objects.order_by().values_list('calendar', flat=True).distinct())
    missing = [
        (calendar, days)
        for calendar in Calendar.objects.filter(pk__in=used - {None})
        for days in sorted(closed)
        if not {(calendar.pk, days, wanted_from), (calendar.pk, days, wanted_to)} <= known
    ]
    if not missing:
        return 0
    with connection.cursor() as cursor:
        cursor.execute('SELECT pg_advisory_xact_lock(%s)', [_LOCK])
    rows = []
    first, last = today - BACK, today + AHEAD
    for calendar, days in missing:
        public = holidays_of(calendar, range(first.year, last.year + 2))
        names = normal_days(days).split(',')
        day = first
        while day <= last:
            rows.append(StartDay(calendar=calendar, closed=days, day=day, next_day=next_open_day(day, names, public)))
            day += DAY
    StartDay.objects.bulk_create(rows, batch_size=5000, ignore_conflicts=True)
    return len(rows)
