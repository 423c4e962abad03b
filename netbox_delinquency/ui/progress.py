"""How far a run is, as its page shows it: bars by wave and outcome, and each point with who works it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from django.db.models import Count
from django.urls import reverse
from django.utils.translation import gettext as _

from ..choices import OutcomeChoices, RunStatusChoices
from ..models import EnforcementPoint, EnforcementRun, RunPoint
from ..rights import visible
from ..runs.progress import Progress, progress

if TYPE_CHECKING:
    from users.models import User

__all__ = ('Bar', 'Part', 'PointRow', 'RunView', 'is_live', 'run_view')

# Statuses in which something may happen at any moment: the page refreshes itself.
LIVE = (RunStatusChoices.APPROVED, RunStatusChoices.RUNNING, RunStatusChoices.PAUSED)
WRONG = (OutcomeChoices.FAILED, OutcomeChoices.PARTIAL, OutcomeChoices.UNKNOWN)


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a bar: `percent` of its width."""

    label: str
    color: str
    rows: int
    percent: float


@dataclass(frozen=True, slots=True)
class Bar:
    """Closed rows by outcome among all rows of a wave, or of the run."""

    rows: int
    done: int
    parts: Sequence[Part] = field(default_factory=tuple)
    wave: int = 0
    under_way: bool = False

    @property
    def percent(self) -> int:
        return self.done * 100 // self.rows if self.rows else 0


@dataclass(frozen=True, slots=True)
class PointRow:
    name: str
    url: str
    rows: int
    done: int
    wrong: int
    health: RunPoint | None = None


@dataclass(frozen=True, slots=True)
class RunView:
    progress: Progress
    total: Bar
    waves: Sequence[Bar]
    points: Sequence[PointRow]
    left: str  # how long it will take, in words; empty where nobody knows


def is_live(run: EnforcementRun) -> bool:
    return run.status in LIVE


def run_view(run: EnforcementRun, now: datetime, user: User | None = None) -> RunView:
    found = progress(run, now)
    waves: dict[int, Counter[str]] = {}
    for wave, outcome, rows in run.changes.order_by().values_list('wave', 'outcome').annotate(rows=Count('pk')):
        waves.setdefault(wave, Counter())[outcome] += rows
    running = run.status in (RunStatusChoices.RUNNING, RunStatusChoices.PAUSED)
    bars = [_bar(counts, wave=wave, under_way=running and wave == run.wave) for wave, counts in sorted(waves.items())]
    return RunView(found, _bar(sum(waves.values(), Counter())), bars, _points(run, user), _in_words(found.eta_s))


def _bar(counts: Counter[str], **values) -> Bar:
    total = counts.total()
    parts = [
        Part(
            str(label), OutcomeChoices.colors.get(outcome, 'secondary'), counts[outcome], counts[outcome] * 100 / total
        )
        for outcome, label in OutcomeChoices()
        if counts[outcome]
    ]
    return Bar(rows=total, done=total - counts[''], parts=parts, **values)


def _points(run: EnforcementRun, user: User | None) -> list[PointRow]:
    seen = visible(user, EnforcementPoint) if user is not None else None
    named = None if seen is None else set(seen.order_by().values_list('pk', flat=True))
    health = {known.point_id: known for known in RunPoint.objects.filter(run=run)}
    counts: dict[tuple[str, int], Counter[str]] = {}
    rows = run.changes.order_by().values_list('point__name', 'point', 'outcome').annotate(rows=Count('pk'))
    for name, point, outcome, number in rows:
        counts.setdefault((name, point), Counter())[outcome] += number
    return [
        PointRow(
            name=name if named is None or point in named else f'#{point}',
            url=reverse('plugins:netbox_delinquency:enforcementpoint', args=[point]),
            rows=found.total(),
            done=found.total() - found[''],
            wrong=sum(found[outcome] for outcome in WRONG),
            health=health.get(point),
        )
        for (name, point), found in sorted(counts.items())
    ]


def _in_words(seconds: int | None) -> str:
    if seconds is None:
        return ''
    minutes, rest = divmod(seconds, 60)
    if seconds < 60:
        return _('{seconds} s').format(seconds=rest)
    if minutes < 60:
        return _('{minutes} min {seconds} s').format(minutes=minutes, seconds=rest)
    return _('{hours} h {minutes} min').format(hours=minutes // 60, minutes=minutes % 60)
