"""When a step may start: pure functions of a moment, a zone and a place's holidays."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import holidays

from ..errors import DelinquencyError

WEEKDAYS = ('mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun')
DAYS = (*WEEKDAYS, 'holiday', 'holiday_eve')
DAY = timedelta(days=1)

# The next day on which a step may start, this one included; None where the calendar does not reach so far.
NextDay = Callable[[date], date | None]


class UnknownRegionError(DelinquencyError, ValueError):
    """There are no holidays for that country or state; `field` says which of the two is wrong."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


def normal_days(text: str) -> str:
    """The names of closed days, once each and in one order. Raises `ValueError` that names an unknown one."""
    names = {name.strip() for name in text.lower().split(',') if name.strip()}
    if unknown := names - set(DAYS):
        raise ValueError(f'there is no day {", ".join(sorted(unknown))}: there are {", ".join(DAYS)}')
    if names >= set(WEEKDAYS):
        raise ValueError('with every weekday closed nothing could ever start: leave one open')
    return ','.join(name for name in DAYS if name in names)


def public_holidays(country: str, subdivision: str, years: Iterable[int]) -> frozenset[date]:
    """A country's and its state's holidays in these years. Raises `UnknownRegionError`."""
    regions = holidays.list_supported_countries()
    if country not in regions:
        raise UnknownRegionError(
            'country', f'no holidays are known for the country "{country}": give its ISO 3166-1 code, such as BR'
        )
    if subdivision and subdivision not in regions[country]:
        known = ', '.join(regions[country]) or 'none'
        raise UnknownRegionError(
            'subdivision', f'no holidays are known for "{subdivision}" in {country}: known are {known}'
        )
    return frozenset(holidays.country_holidays(country, subdiv=subdivision or None, years=list(years)))


def is_closed(day: date, closed: Collection[str], public: Collection[date]) -> bool:
    if WEEKDAYS[day.weekday()] in closed:
        return True
    return ('holiday' in closed and day in public) or ('holiday_eve' in closed and day + DAY in public)


def next_open_day(day: date, closed: Collection[str], public: Collection[date]) -> date:
    """The first day from `day` on that is not closed."""
    while is_closed(day, closed, public):
        day += DAY
    return day


@dataclass(frozen=True, slots=True)
class Window:
    """Local hours in which something may start, in the zone of the contract; None is the day's own end."""

    zone: str
    start: time | None = None
    until: time | None = None


def moment_of(day: date, at: time | None, zone: str) -> datetime:
    """A local time as a moment in UTC. An hour that a clock change leaves out is the one after it; one that comes
    twice is the second, so that nothing ever starts too early. PostgreSQL's `AT TIME ZONE` does the same."""
    local = datetime.combine(day, at or time(), ZoneInfo(zone))
    second = local.replace(fold=1)
    twice = local.utcoffset() > second.utcoffset()  # type: ignore[operator]
    return (second if twice else local).astimezone(UTC)


def next_allowed(moment: datetime, window: Window, next_day: NextDay) -> datetime | None:
    """The earliest moment from `moment` on that is within the window on an open day; None where none is known."""
    local = moment.astimezone(ZoneInfo(window.zone))
    today, clock = local.date(), local.time()
    is_over = window.until is not None and clock >= window.until
    day = next_day(today + DAY if is_over else today)
    if day is None:
        return None
    if day == today and (window.start is None or clock >= window.start):
        return moment
    return moment_of(day, window.start, window.zone)


def any_day(day: date) -> date:
    """`NextDay` of a place where no day is closed."""
    return day
