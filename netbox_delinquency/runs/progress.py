"""How far a run is: for its page, for REST, for the command's progress bar."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Count, Q

from ..choices import RunStatusChoices
from ..models import EnforcementRun, EnforcementSettings
from .locks import RESTORE, queue_of_kind

__all__ = ('Progress', 'WaveProgress', 'progress')

WINDOW = timedelta(seconds=60)  # the rate is that of the last minute


@dataclass(frozen=True, slots=True)
class WaveProgress:
    wave: int
    rows: int
    done: int


@dataclass(frozen=True, slots=True)
class Progress:
    """`outcomes` are closed rows; `rate_per_s` and `eta_s` (seconds) are `None` where nothing was closed lately.

    `soak_seconds` is how long the points are watched between two waves.
    """

    status: str
    wave: int
    waves: int
    rows: int
    done: int
    outcomes: dict[str, int]
    by_wave: tuple[WaveProgress, ...]
    rate_per_s: float | None
    eta_s: int | None
    stop_reason: str
    stop_code: str
    soak_seconds: int


def progress(run: EnforcementRun, now: datetime) -> Progress:
    rows = run.changes.order_by()
    waves = [
        WaveProgress(**wave)
        for wave in rows.values('wave')
        .annotate(rows=Count('pk'), done=Count('pk', filter=~Q(outcome='')))
        .order_by('wave')
    ]
    total, done = sum(wave.rows for wave in waves), sum(wave.done for wave in waves)
    rate = _rate(run, now) if run.status == RunStatusChoices.RUNNING else None
    return Progress(
        status=run.status,
        wave=run.wave,
        waves=len(waves),
        rows=total,
        done=done,
        outcomes={outcome: count for outcome, count in run.outcomes().items() if outcome},
        by_wave=tuple(waves),
        rate_per_s=rate,
        eta_s=round((total - done) / rate) if rate else None,
        stop_reason=run.stop_reason,
        stop_code=run.stop_code,
        soak_seconds=0 if queue_of_kind(run.kind) == RESTORE else EnforcementSettings.load().soak_seconds,
    )


def _rate(run: EnforcementRun, now: datetime) -> float | None:
    """Rows closed a second, over the last minute, or since the run began where that is shorter."""
    since = max(now - WINDOW, run.started_at) if run.started_at else now - WINDOW
    count = run.changes.filter(finished_at__gt=since).count()
    seconds = (now - since).total_seconds()
    return round(count / seconds, 2) if count and seconds > 0 else None
