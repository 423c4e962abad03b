"""The clock of a box, compared with ours."""

from __future__ import annotations

from datetime import UTC, datetime

from nornir_tasks.drivers.base import Finding

CLOCK_SKEW = 300  # seconds; RFC 5176 §3.3 has a NAS drop a CoA whose Event-Timestamp is off by more, without a word
ENGLISH_MONTHS = ('Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec')


def clock_finding(seen: datetime | None, now: datetime) -> Finding:
    """Whether a box's clock is near enough to ours for CoA."""
    if seen is None:
        text = 'its clock could not be read: compare it with NTP, for CoA with a wrong time is dropped silently'
        return Finding('clock', ok=False, message=text, required=False)
    skew = (seen - now).total_seconds()
    if abs(skew) < CLOCK_SKEW:
        return Finding('clock', ok=True, message=f'{abs(skew):.0f} s apart')
    text = (
        f'its clock is {abs(skew):.0f} s {"ahead" if skew > 0 else "behind"}: from {CLOCK_SKEW} s on it drops CoA '
        'without an answer (Event-Timestamp); set up NTP'
    )
    return Finding('clock', ok=False, message=text)


def clock_of(year: str, month: str, day: str, clock: str, offset_minutes: int = 0) -> datetime | None:
    """`month` is a number or an English name's first three letters; `clock` is `HH:MM:SS`, with or without parts."""
    try:
        number = ENGLISH_MONTHS.index(month[:3].title()) + 1 if month.isalpha() else int(month)
        hour, minute, second = (int(part) for part in clock.split('.')[0].split(':'))
        local = datetime(int(year), number, int(day), hour, minute, second, tzinfo=UTC)
    except ValueError:
        return None
    return datetime.fromtimestamp(local.timestamp() - offset_minutes * 60, UTC)
