"""Reading lines back though nothing was sent to them: what is under-enforced is found, what is over-enforced put right.

Reading never races with a run: a line that is being changed is left alone, and what was read is written only where
nobody has read or done anything newer meanwhile.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from itertools import batched
from typing import Any

from django.db import transaction
from django.db.models import F, Q, QuerySet
from django.utils import timezone

from nornir_tasks.change import Reading
from nornir_tasks.run import read_all

from ..choices import AccessModeChoices, LineChannelChoices, LineStatusChoices, PointStatusChoices, RunStatusChoices
from ..errors import RunRefusedError
from ..models import AccessLine, EnforcementChange, EnforcementPoint, Restriction
from ..models.restriction import Place
from ..models.sides import BASELINE, FOREIGN, OBSERVED, POINT, RESTRICTION, UNVERIFIED, is_covered, is_foreign, is_ours
from ..models.state import state_fields
from ..reasons import Reason, ReasonCode
from .lifts import plan_lifts, unplanned_lifts
from .ownership import note_readings, was_reached
from .plan import plan_runs, unplanned_lines

__all__ = ('Report', 'lines_to_read', 'owed_where_silent', 'points_to_read', 'reconcile_point')

SHOWN_ERRORS = 20


@dataclass(frozen=True, slots=True)
class Report:
    """What came of reading a point's lines.

    `read` were read and written down, of which `over_enforced` have less access than policy wants, `under_enforced`
    more. `busy` were being changed, or something newer is known of them; `absent` have no session and no stored policy
    to read; `unreadable` gave the errors, of which the first are kept by line. `foreign` are restricted by
    somebody else. Of what was left behind where no line is, `left_behind` is still there, and `lifted` is not.
    """

    read: int = 0
    over_enforced: int = 0
    under_enforced: int = 0
    busy: int = 0
    absent: int = 0
    unreadable: int = 0
    foreign: int = 0
    left_behind: int = 0
    lifted: int = 0
    errors: tuple[tuple[str, str], ...] = ()
    restores: tuple[int, ...] = ()  # runs planned, approved and to be queued: primary keys

    def __add__(self, other: Report) -> Report:
        summed = {name: getattr(self, name) + getattr(other, name) for name in self.__slots__}
        return Report(**{**summed, 'errors': summed['errors'][:SHOWN_ERRORS]})

    def as_dict(self) -> dict[str, Any]:
        """Fit for JSON."""
        return {**asdict(self), 'errors': dict(self.errors), 'restores': list(self.restores)}

    def __str__(self) -> str:
        counts = {name: getattr(self, name) for name in self.__slots__ if name not in ('errors', 'restores')}
        return ', '.join(f'{count} {name.replace("_", " ")}' for name, count in counts.items() if count) or 'nothing'


def points_to_read() -> QuerySet[EnforcementPoint]:
    """Active points that have active lines, or where something was left behind."""
    lines = AccessLine.objects.filter(status=LineStatusChoices.ACTIVE).order_by()
    at_either = Q(pk__in=lines.values('bras')) | Q(pk__in=lines.values('acs'))
    at_either |= Q(pk__in=Restriction.objects.open().order_by().values('point'))
    return EnforcementPoint.objects.filter(at_either, status=PointStatusChoices.ACTIVE)


def owed_where_silent(now: datetime) -> dict[EnforcementPoint, list[int]]:
    """What is owed back at points that did not answer, and that are not due to be tried again: restrictions by point.

    Reading these alone says whether the point is back: nobody who has paid waits for the hour at which all is read.
    """
    owed = Restriction.objects.open().filter(owed_since__isnull=False, waits_for_person=False, retry_at__gt=now)
    owed = owed.filter(point__status=PointStatusChoices.ACTIVE).select_related('point')
    found: dict[EnforcementPoint, list[int]] = {}
    for restriction in owed.order_by('pk'):
        if not was_reached(restriction):
            found.setdefault(restriction.point, []).append(restriction.pk)
    return found


def lines_to_read(point: EnforcementPoint, side: str) -> QuerySet[AccessLine]:
    """The active lines of a point that are read on this side, longest unseen first.

    A CPE is asked only where it was to have something: a session would be asked for in vain.
    """
    lines = AccessLine.objects.filter(**{POINT[side]: point}, status=LineStatusChoices.ACTIVE)
    if side == LineChannelChoices.CPE:
        was_set = Q(**{f'{OBSERVED[side]}_mode__in': (AccessModeChoices.THROTTLED, AccessModeChoices.BLOCKED)})
        lines = lines.filter(
            is_covered(side) | was_set | Q(**{UNVERIFIED[side]: True}) | is_ours(side) | is_foreign(side)
        )
    return lines.order_by(F(f'{OBSERVED[side]}_at').asc(nulls_first=True), 'pk')


def reconcile_point(
    point: EnforcementPoint,
    *,
    percent: int | None = None,
    lines: Iterable[int] | None = None,
    restrictions: Iterable[int] | None = None,
) -> Report:
    """Read a point's lines (those in `lines`, by primary key; else all, or the `percent` of them longest unseen).

    With `restrictions`, by primary key, no more than the places of these: of lines, and where none is any more.

    What is over-enforced is planned and approved as a restore at once: `Report.restores`, for the caller to queue. What
    is under-enforced is left to the evaluation, which plans it for all points in one run, through waves: approved by
    itself where the policy repairs drift, else for a person. Raises `RunRefusedError` for a point that is not active.
    """
    if point.status != PointStatusChoices.ACTIVE:
        raise RunRefusedError(Reason.of(ReasonCode.POINT_NOT_READ, point=point, point_status=point.status))
    report, seen = Report(), []
    only = None if restrictions is None else list(restrictions)
    for side in LineChannelChoices.SIDES:
        wanted = lines_to_read(point, side)
        if lines is not None:
            wanted = wanted.filter(pk__in=list(lines))
        if only is not None:
            wanted = wanted.filter(**{f'{RESTRICTION[side]}__in': only})
        if percent is not None:
            wanted = wanted[: math.ceil(wanted.count() * percent / 100)]
        pks = list(wanted.values_list('pk', flat=True))
        for batch in batched(pks, point.batch_size):
            found = _reconcile(point, side, batch)
            report += found
            if found.unreadable > 1 and found.unreadable == len(batch):
                break  # the point does not answer: each further batch would cost the same timeout
        seen += pks
    if lines is None:
        report += reconcile_left_behind(point, only)
    now = timezone.now()
    runs = plan_runs(unplanned_lines().filter(pk__in=seen), now, restores_only=True)
    runs += plan_lifts(unplanned_lifts().filter(point=point), now)
    return report + Report(restores=tuple(run.pk for run in runs if run.status == RunStatusChoices.APPROVED))


def reconcile_left_behind(point: EnforcementPoint, only: Sequence[int] | None = None) -> Report:
    """Read what was left behind at a point: what is lifted, or gone, is closed; what answers again may be tried."""
    report = Report()
    left = Restriction.objects.left_behind().filter(point=point)
    if only is not None:
        left = left.filter(pk__in=only)
    for batch in batched(left.order_by(F('last_read_at').asc(nulls_first=True), 'pk'), point.batch_size):
        started = timezone.now()
        targets = {restriction.place: restriction.as_target() for restriction in batch}
        readings = read_all([point.as_point()], {point.name: list(targets.values())}, parallel=1)
        with transaction.atomic():
            said = {place: readings[target.key] for place, target in targets.items()}
            still = note_readings(_undisturbed(said, started), started)
        report += Report(left_behind=len(still), lifted=len(batch) - len(still))
        if len(batch) > 1 and all(reading.error and not reading.absent for reading in readings.values()):
            break
    return report


def _undisturbed(said: Mapping[Place, Reading], since: datetime) -> dict[Place, Reading]:
    """Without the places that a run holds, or has sent something to or read since."""
    rows = EnforcementChange.objects.filter(
        _is_held() | Q(sent_at__gte=since) | Q(finished_at__gte=since),
        point__in={point for point, _, _ in said},
        identity__in={identity for _, identity, _ in said},
    )
    busy = {row.place for row in rows}
    return {place: reading for place, reading in said.items() if place not in busy}


def _reconcile(point: EnforcementPoint, side: str, pks: Sequence[int]) -> Report:
    started = timezone.now()
    busy = _being_changed(pks, side, started)
    lines = AccessLine.objects.filter(pk__in=pks).exclude(pk__in=busy)
    lines = lines.select_related('contract__plan', 'bras', 'acs', 'restriction', 'cpe_restriction')
    # A line may have moved since it was chosen.
    lines = [line for line in lines if line.point_at(side) == point]
    targets = [line.as_target(side) for line in lines]
    readings = read_all([point.as_point()], {point.name: targets}, parallel=1) if targets else {}
    known = {line.pk: _knowledge(line, side) for line in lines}
    return _write(side, known, {int(key): reading for key, reading in readings.items()}, started) + Report(
        busy=len(pks) - len(lines)
    )


@transaction.atomic
def _write(side: str, known: dict[int, tuple[Any, ...]], readings: dict[int, Reading], started: datetime) -> Report:
    """Write what was read of each line, as of before it was read, where nothing newer is known of it."""
    lines = AccessLine.objects.filter(pk__in=list(known)).order_by('pk').select_related('bras', 'acs')
    locked = {line.pk: line for line in lines.select_for_update(of=('self',))}
    busy = _being_changed(list(known), side, started)
    busy |= {pk for pk, line in locked.items() if _knowledge(line, side) != known[pk]}
    places = {pk: (getattr(line, f'{POINT[side]}_id'), line.identity_at(side), side) for pk, line in locked.items()}
    still = note_readings({places[pk]: readings[pk] for pk in locked if pk not in busy}, started)
    report, written = Report(), []
    for pk, line in locked.items():
        reading = readings[pk]
        if pk in busy:
            report += Report(busy=1)
            continue
        setattr(line, RESTRICTION[side], still.get(places[pk]))
        written.append(line)
        if reading.error:
            report += Report(unreadable=1, errors=((str(line), reading.error),))
        elif reading.observed is None:
            report += Report(absent=1)
        else:
            intended = line.intended_at(side)
            line.take(side, reading, started)
            drifts = line.drifts_at(side)
            over_enforced = drifts and line.seen_at(side).is_more_restrictive_than(intended)
            foreign = bool(line.foreign_at(side))
            report += Report(
                read=1,
                over_enforced=int(over_enforced),
                under_enforced=int(drifts and not over_enforced),
                foreign=int(foreign),
            )
    columns = [*state_fields(OBSERVED[side]), f'{OBSERVED[side]}_at', UNVERIFIED[side], BASELINE[side]]
    AccessLine.objects.bulk_update(written, [*columns, FOREIGN[side], RESTRICTION[side]], batch_size=500)
    return report


def _knowledge(line: AccessLine, side: str) -> tuple[Any, ...]:
    return (
        getattr(line, f'{OBSERVED[side]}_at'),
        getattr(line, UNVERIFIED[side]),
        line.point_at(side),
        line.identity_at(side),
        getattr(line, f'{RESTRICTION[side]}_id'),
    )


def _is_held() -> Q:
    return Q(claimed_at__isnull=False, outcome='') & (
        Q(run__status=RunStatusChoices.RUNNING) | Q(sent_at__isnull=False)
    )


def _being_changed(pks: Sequence[int], side: str, since: datetime) -> set[int]:
    """Lines that a run holds on this side, or has sent something to or read since."""
    rows = EnforcementChange.objects.filter(
        _is_held() | Q(sent_at__gte=since) | Q(finished_at__gte=since), line__in=list(pks), channel=side
    )
    return set(rows.order_by().values_list('line', flat=True))
