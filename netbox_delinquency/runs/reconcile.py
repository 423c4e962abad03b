"""Reading lines back though nothing was sent to them: what is under-enforced is found, what is over-enforced put right.

Reading never races with a run: a line that is being changed is left alone, and what was read is written only where
nobody has read or done anything newer meanwhile.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from itertools import batched
from typing import Any

from django.db import transaction
from django.db.models import F, Q, QuerySet
from django.utils import timezone

from nornir_tasks.change import AccessState, Reading
from nornir_tasks.run import read_all

from ..choices import AccessModeChoices, LineChannelChoices, LineStatusChoices, PointStatusChoices, RunStatusChoices
from ..errors import RunRefusedError
from ..models import AccessLine, EnforcementChange, EnforcementPoint
from ..models.access import BASELINE, OBSERVED, POINT, UNVERIFIED, is_covered
from ..models.state import state_fields
from ..reasons import Reason, ReasonCode
from .plan import plan_runs, unplanned_lines

__all__ = ('Report', 'lines_to_read', 'points_to_read', 'reconcile_point')

SHOWN_ERRORS = 20


@dataclass(frozen=True, slots=True)
class Report:
    """What came of reading a point's lines.

    `read` were read and written down, of which `over_enforced` have less access than policy wants, `under_enforced`
    more. `busy` were being changed, or something newer is known of them; `absent` have no session and no stored policy
    to read; `unreadable` gave the errors, of which the first are kept by line.
    """

    read: int = 0
    over_enforced: int = 0
    under_enforced: int = 0
    busy: int = 0
    absent: int = 0
    unreadable: int = 0
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
    """Active points that have active lines."""
    lines = AccessLine.objects.filter(status=LineStatusChoices.ACTIVE).order_by()
    at_either = Q(pk__in=lines.values('bras')) | Q(pk__in=lines.values('acs'))
    return EnforcementPoint.objects.filter(at_either, status=PointStatusChoices.ACTIVE)


def lines_to_read(point: EnforcementPoint, side: str) -> QuerySet[AccessLine]:
    """The active lines of a point that are read on this side, longest unseen first.

    A CPE is asked only where it was to have something: a session would be asked for in vain.
    """
    lines = AccessLine.objects.filter(**{POINT[side]: point}, status=LineStatusChoices.ACTIVE)
    if side == LineChannelChoices.CPE:
        was_set = Q(**{f'{OBSERVED[side]}_mode__in': (AccessModeChoices.THROTTLED, AccessModeChoices.BLOCKED)})
        lines = lines.filter(is_covered(side) | was_set | Q(**{UNVERIFIED[side]: True}))
    return lines.order_by(F(f'{OBSERVED[side]}_at').asc(nulls_first=True), 'pk')


def reconcile_point(
    point: EnforcementPoint, *, percent: int | None = None, lines: Iterable[int] | None = None
) -> Report:
    """Read a point's lines (those in `lines`, by primary key; else all, or the `percent` of them longest unseen).

    What is over-enforced is planned and approved as a restore at once: `Report.restores`, for the caller to queue. What
    is under-enforced is left to the evaluation, which plans it for all points in one run, through waves: approved by
    itself where the policy repairs drift, else for a person. Raises `RunRefusedError` for a point that is not active.
    """
    if point.status != PointStatusChoices.ACTIVE:
        raise RunRefusedError(Reason.of(ReasonCode.POINT_NOT_READ, point=point, point_status=point.status))
    report, seen = Report(), []
    for side in LineChannelChoices.SIDES:
        wanted = lines_to_read(point, side)
        if lines is not None:
            wanted = wanted.filter(pk__in=list(lines))
        if percent is not None:
            wanted = wanted[: math.ceil(wanted.count() * percent / 100)]
        pks = list(wanted.values_list('pk', flat=True))
        for batch in batched(pks, point.batch_size):
            found = _reconcile(point, side, batch)
            report += found
            if found.unreadable > 1 and found.unreadable == len(batch):
                break  # the point does not answer: each further batch would cost the same timeout
        seen += pks
    runs = plan_runs(unplanned_lines().filter(pk__in=seen), timezone.now(), restores_only=True)
    return report + Report(restores=tuple(run.pk for run in runs if run.status == RunStatusChoices.APPROVED))


def _reconcile(point: EnforcementPoint, side: str, pks: Sequence[int]) -> Report:
    started = timezone.now()
    busy = _being_changed(pks, side, started)
    lines = AccessLine.objects.filter(pk__in=pks).exclude(pk__in=busy).select_related('contract__plan', 'bras', 'acs')
    # A line may have moved since it was chosen.
    lines = [line for line in lines if line.point_at(side) == point]
    targets = [line.as_target(side) for line in lines]
    readings = read_all([point.as_point()], {point.name: targets}, parallel=1) if targets else {}
    known = {line.pk: _knowledge(line, side) for line in lines}
    return _write(side, known, {int(key): reading for key, reading in readings.items()}, started) + Report(
        busy=len(pks) - len(lines)
    )


@transaction.atomic
def _write(side: str, known: dict[int, tuple], readings: dict[int, Reading], started: datetime) -> Report:
    """Write what was read of each line, as of before it was read, where nothing newer is known of it."""
    lines = AccessLine.objects.filter(pk__in=list(known)).order_by('pk').select_for_update(of=('self',))
    locked = {line.pk: line for line in lines}
    busy = _being_changed(list(known), side, started)
    report, written = Report(), []
    for pk, line in locked.items():
        reading = readings[pk]
        if reading.error:
            report += Report(unreadable=1, errors=((str(line), reading.error),))
        elif reading.observed is None:
            report += Report(absent=1)
        elif pk in busy or _knowledge(line, side) != known[pk]:
            report += Report(busy=1)
        else:
            intended = line.intended_at(side)
            line.take(side, reading, started)
            if reading.is_(AccessState.normal()) and reading.detail:
                setattr(line, BASELINE[side], dict(reading.detail))
            written.append(line)
            drifts = line.drifts_at(side)
            over_enforced = drifts and line.seen_at(side).is_more_restrictive_than(intended)
            report += Report(read=1, over_enforced=int(over_enforced), under_enforced=int(drifts and not over_enforced))
    columns = [*state_fields(OBSERVED[side]), f'{OBSERVED[side]}_at', UNVERIFIED[side], BASELINE[side]]
    AccessLine.objects.bulk_update(written, columns, batch_size=500)
    return report


def _knowledge(line: AccessLine, side: str) -> tuple:
    return getattr(line, f'{OBSERVED[side]}_at'), getattr(line, UNVERIFIED[side]), line.point_at(side)


def _being_changed(pks: Sequence[int], side: str, since: datetime) -> set[int]:
    """Lines that a run holds on this side, or has sent something to or read since."""
    held = Q(claimed_at__isnull=False, outcome='') & (
        Q(run__status=RunStatusChoices.RUNNING) | Q(sent_at__isnull=False)
    )
    rows = EnforcementChange.objects.filter(
        held | Q(sent_at__gte=since) | Q(finished_at__gte=since), line__in=list(pks), channel=side
    )
    return set(rows.order_by().values_list('line', flat=True))
