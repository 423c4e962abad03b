"""The caps: how many rows a run may have, what share of a point's lines it may change, how many are sent an hour.

What gives access back is bound by none of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import connection
from django.db.models import Count, Exists, OuterRef, Q

from ..choices import AccessModeChoices, LineStatusChoices, RunKindChoices, RunStatusChoices
from ..models import (
    AccessLine,
    EnforcementChange,
    EnforcementPoint,
    EnforcementRun,
    EnforcementSettings,
    Restriction,
    RunPoint,
)
from ..reasons import Reason, ReasonCode
from .locks import ENFORCE, kinds_in_queue

__all__ = ('HOUR', 'PointPart', 'budget', 'caps_exceeded', 'is_bound', 'parts_of', 'refusals_of')

HOUR = timedelta(hours=1)
CAP_LOCK = 0x64656C63  # "delc": who counts rows against a cap does it alone
SHARE_COUNTS_FROM = 20  # active lines of a point; a share of fewer says nothing


@dataclass(frozen=True, slots=True)
class PointPart:
    """A run's rows at one point; `lines` are the point's active ones, `sessions` what was last known of it."""

    pk: int | None  # `None`: the reader may not see it
    name: str
    status: str
    throttle: int = 0
    block: int = 0
    restore: int = 0
    values: int = 0
    lines: int = 0
    taken: int = 0  # of its lines, by others: what is open there, was taken within the hour, or is in open plans
    sessions: int | None = None
    max_share_percent: int = 100
    max_rows_per_hour: int | None = None

    @property
    def rows(self) -> int:
        return self.throttle + self.block + self.restore + self.values

    @property
    def share(self) -> float:
        """Percent of the point's active lines."""
        return self.rows * 100 / self.lines if self.lines else 0.0

    @property
    def taken_share(self) -> float:
        """Percent of the point's active lines that are restricted once this is done, by whatever run."""
        return (self.rows + self.taken) * 100 / self.lines if self.lines else 0.0

    @property
    def session_share(self) -> float | None:
        """Rows in percent of the point's sessions; `None`: nobody knows how many it has."""
        return self.rows * 100 / self.sessions if self.sessions else None

    @property
    def exceeds_share(self) -> bool:
        return self.lines >= SHARE_COUNTS_FROM and self.taken_share > self.max_share_percent


def is_bound(run: EnforcementRun) -> bool:
    """Whether caps, four eyes and the kill switch bind it: what gives access back is bound by none of them."""
    return run.kind != RunKindChoices.RESTORE


def caps_exceeded(run: EnforcementRun, settings: EnforcementSettings, now: datetime) -> list[Reason]:
    """Why the run may not be approved by its size; empty where it may."""
    return refusals_of(parts_of(run, settings, now)[0], settings) if is_bound(run) else []


def refusals_of(parts: Sequence[PointPart], settings: EnforcementSettings) -> list[Reason]:
    """The caps that these rows exceed, and the switch."""
    reasons: list[Reason] = []
    if settings.stopped:
        reasons.append(Reason.of(ReasonCode.KILL_SWITCH, why=settings.stop_reason))
    rows = sum(part.rows for part in parts)
    if settings.max_rows_per_run is not None and rows > settings.max_rows_per_run:
        reasons.append(Reason.of(ReasonCode.RUN_TOO_LARGE, rows=rows, cap=settings.max_rows_per_run))
    for part in parts:
        if part.exceeds_share:
            share = {'share': round(part.taken_share, 1), 'lines': part.lines, 'cap': part.max_share_percent}
            code = ReasonCode.SHARE_TOO_LARGE
            if part.taken:
                code, share['taken'] = ReasonCode.TAKEN_SHARE_TOO_LARGE, part.taken
            reasons.append(Reason.of(code, point=part.name, **share))
    return reasons


# What a row does, by the mode it brings a line to; in a run that restores, every row gives access back.
DOES = {
    AccessModeChoices.NORMAL: 'restore',
    AccessModeChoices.THROTTLED: 'throttle',
    AccessModeChoices.BLOCKED: 'block',
    '': 'values',
}


def parts_of(
    run: EnforcementRun, settings: EnforcementSettings, now: datetime
) -> tuple[list[PointPart], dict[int, int]]:
    """The run's rows by point, by name, and how many each wave has."""
    done: dict[int, Counter[str]] = {}
    waves: Counter[int] = Counter()
    groups = run.changes.order_by().values_list('point', 'wave', 'desired_mode').annotate(count=Count('pk'))
    for point, wave, mode, count in groups:
        does = DOES[mode] if mode == '' or is_bound(run) else 'restore'
        done.setdefault(point, Counter())[does] += count
        waves[wave] += count
    active = AccessLine.objects.filter(status=LineStatusChoices.ACTIVE).order_by()
    lines: Counter[int] = Counter()
    # A line has one of each; a point that were both of one line would count it twice, and nobody has such a one.
    for side in ('bras', 'acs'):
        lines.update(dict(active.filter(**{f'{side}__in': list(done)}).values_list(side).annotate(count=Count('pk'))))
    known = RunPoint.objects.filter(point__in=list(done), sessions_now__isnull=False)
    sessions = dict(known.order_by('point', '-heartbeat_at').distinct('point').values_list('point', 'sessions_now'))
    taking = [point for point, does in done.items() if does['throttle'] or does['block']]
    taken = _taken_by_others(run, taking, now)
    parts = [
        PointPart(
            pk=point.pk,
            name=point.name,
            status=point.status,
            **done[point.pk],
            lines=lines[point.pk],
            taken=taken[point.pk],
            sessions=sessions.get(point.pk),
            max_share_percent=point.max_share_percent or settings.max_share_percent,
            max_rows_per_hour=point.max_rows_per_hour,
        )
        for point in EnforcementPoint.objects.filter(pk__in=list(done)).order_by('name')
    ]
    return parts, dict(sorted(waves.items()))


def _taken_by_others(run: EnforcementRun, points: list[int], now: datetime) -> Counter[int]:
    """By point, the places of which something is taken, or planned to be, beside those of this run's own rows."""
    here = {'point': OuterRef('point'), 'identity': OuterRef('identity')}
    restrictions = Restriction.objects.filter(point__in=points).order_by()
    recent = Q(lifted_at__isnull=True) | Q(taken_at__gt=now - HOUR)
    mine = run.changes.order_by()
    restricted = restrictions.filter(recent).exclude(Exists(mine.filter(**here, channel=OuterRef('side'))))
    planned = EnforcementChange.objects.filter(
        point__in=points,
        outcome='',
        run__status__in=RunStatusChoices.OPEN,
        desired_mode__in=(AccessModeChoices.THROTTLED, AccessModeChoices.BLOCKED),
    )
    planned = planned.exclude(run=run).exclude(Exists(mine.filter(**here, channel=OuterRef('channel')))).order_by()
    planned = planned.exclude(Exists(restrictions.filter(recent, **here, side=OuterRef('channel'))))
    found: Counter[int] = Counter()
    for rows in (restricted, planned):
        found.update(dict(rows.values_list('point').annotate(count=Count('identity', distinct=True))))
    return found


def budget(settings: EnforcementSettings, point: EnforcementPoint, now: datetime) -> tuple[int | None, str]:
    """How many more rows may be sent at this point within the hour (`None`: no cap), and which cap says so.

    Counts what was sent within the last hour, and what is claimed to be sent, over all runs that take access away.
    In a transaction, others that count wait until it ends.
    """
    caps = []
    if settings.max_rows_per_hour or point.max_rows_per_hour:
        with connection.cursor() as cursor:
            cursor.execute('SELECT pg_advisory_xact_lock(%s, 0)', [CAP_LOCK])
    if cap := settings.max_rows_per_hour:
        # By point, since the index is: the log of five years is not read for the last hour of it.
        points = list(EnforcementPoint.objects.order_by().values_list('pk', flat=True))
        sentence = Reason.of(ReasonCode.CAP_PER_HOUR, cap=cap)
        caps.append((max(0, cap - _rows_since(points, now)), sentence))
    if cap := point.max_rows_per_hour:
        sentence = Reason.of(ReasonCode.POINT_CAP_PER_HOUR, point=point, cap=cap)
        caps.append((max(0, cap - _rows_since([point.pk], now)), sentence))
    return min(caps, default=(None, ''))


def _rows_since(points: list[int], now: datetime) -> int:
    since = now - HOUR
    rows = EnforcementChange.objects.filter(point__in=points, run__kind__in=kinds_in_queue(ENFORCE))
    claimed = Q(claimed_at__gt=since, sent_at__isnull=True, outcome='', run__status=RunStatusChoices.RUNNING)
    return rows.filter(sent_at__gt=since).count() + rows.filter(claimed).count()
