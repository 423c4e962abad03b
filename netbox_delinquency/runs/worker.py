"""One point of a run: from its rows to the network and back. Called by jobs; knows nothing of how they are queued."""

from __future__ import annotations

import logging
import os
import socket
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import datetime

from django.db.models import QuerySet
from django.utils import timezone
from nornir.plugins.runners import SerialRunner, ThreadedRunner

from nornir_tasks.change import AccessChange, ChangeResult, Outcome, Reading, Reply, judge
from nornir_tasks.engine.journal import MemoryJournal, ReportingJournal
from nornir_tasks.engine.tasks import enforce, probe_point
from nornir_tasks.inventory.hosts import nornir_for
from nornir_tasks.run import read_all

from ..choices import RunStatusChoices
from ..models import EnforcementChange, EnforcementPoint, EnforcementRun, EnforcementSettings, RunPoint
from ..reasons import Reason, ReasonCode
from .caps import budget
from .journal import DatabaseJournal, forget_dead_claims
from .locks import ENFORCE, hold_point, queue_of_kind
from .stop_conditions import clear_stop_reason, note_stop_reason, stop_reason_of

__all__ = ('PointResult', 'probe_points', 'process_point')

# How long a worker waits for lines that another run is changing: it comes again, and others may want it, or the point.
PATIENCE_SECONDS = 5.0

logger = logging.getLogger('netbox_delinquency.runs')


@dataclass(frozen=True, slots=True)
class PointResult:
    """What came of a job at a point: `taken` by another worker, or rows by outcome; `stop_reason`: why others are left.

    With `busy` another run is changing their lines: it is of no use to come again at once.
    """

    taken: bool = False
    outcomes: Counter[str] = field(default_factory=Counter)
    stop_reason: str = ''
    busy: bool = False


def process_point(run_pk: int, point_pk: int) -> PointResult:
    """Process the rows of a point that are due, or read back those that a dead worker of a cancelled run had sent.

    Raises whatever broke the journal; the rows are open then, and the next worker reads them first.
    """
    queue = queue_of_kind(EnforcementRun.objects.values_list('kind', flat=True).get(pk=run_pk))
    with hold_point(point_pk, queue) as is_mine:
        if not is_mine:
            return PointResult(taken=True)
        now = timezone.now()
        forget_dead_claims(point_pk, queue)
        run = EnforcementRun.objects.get(pk=run_pk)
        point = EnforcementPoint.objects.select_related('device', 'virtual_machine').get(pk=point_pk)
        if run.status == RunStatusChoices.CANCELLED:
            return _read_back(run, point)
        if run.status != RunStatusChoices.RUNNING or run.executor:
            not_running = Reason.of(ReasonCode.RUN_NOT_RUNNING, status=run.status)
            stop_reason = run.being_worked_on if run.executor else not_running
            return PointResult(stop_reason=stop_reason_of(run, EnforcementSettings.load()) or stop_reason)
        RunPoint.objects.update_or_create(
            run=run, point=point, defaults={'executor': f'{socket.gethostname()}/{os.getpid()}', 'heartbeat_at': now}
        )
        return _process(run, point, now)


def _process(run: EnforcementRun, point: EnforcementPoint, now: datetime) -> PointResult:
    settings = EnforcementSettings.load()
    if stop_reason := stop_reason_of(run, settings):
        return _stopped(run, stop_reason)
    left, sentence = budget(settings, point, now) if queue_of_kind(run.kind) == ENFORCE else (None, '')
    due = run.changes.filter(outcome='', point=point, wave__lte=run.wave).order_by('line_id', 'pk')
    # What a dead worker had sent is read first of all, and no cap holds that.
    rows = [*_with_lines(due.filter(sent_at__isnull=False)), *_with_lines(due.filter(sent_at__isnull=True)[:left])]
    if not rows:
        return _stopped(run, sentence) if due.exists() else PointResult()
    where = point.as_point()
    if left is not None:
        where = replace(where, batch_size=max(1, min(where.batch_size, left)))
    journal = DatabaseJournal(run, points={where.name: point.pk}, reached={point.pk: point.connection})
    results: list[ChangeResult] = []
    # One point stays in this thread, and so with the database session that holds the lock on it.
    with nornir_for([where], SerialRunner()) as nornir:
        (answer,) = nornir.run(
            task=enforce,
            changes={where.name: [row.as_change() for row in rows]},
            journal=ReportingJournal(journal, results.append),
            patience_s=PATIENCE_SECONDS,
        ).values()
    if journal.lost is not None:
        raise journal.lost
    if answer.exception is not None:
        logger.error('point %s: driver crashed', point, exc_info=answer.exception)
    busy = bool(getattr(answer[0], 'busy', 0))
    waits = Reason.of(ReasonCode.LINES_BUSY, point=point)
    note = note_stop_reason if busy else clear_stop_reason
    note(run, waits)
    return PointResult(
        outcomes=Counter(str(result.outcome) for result in results), stop_reason=waits if busy else '', busy=busy
    )


def _stopped(run: EnforcementRun, stop_reason: str) -> PointResult:
    note_stop_reason(run, stop_reason)
    return PointResult(stop_reason=stop_reason)


def _with_lines(rows: QuerySet[EnforcementChange]) -> QuerySet[EnforcementChange]:
    return rows.select_related(
        'run',
        'point',
        'restriction',
        'line__contract__plan',
        'line__bras',
        'line__acs',
        'line__restriction',
        'line__cpe_restriction',
    )


def _read_back(run: EnforcementRun, point: EnforcementPoint) -> PointResult:
    """Close the rows of a cancelled run that were sent, by the state of their lines; nothing is sent."""
    rows = list(_with_lines(run.changes.filter(outcome='', point=point, sent_at__isnull=False)))
    changes = [row.as_change() for row in rows]
    where = point.as_point()
    readings = read_all([where], {where.name: [change.target for change in changes]}, parallel=1) if changes else {}
    results = [
        _judge_cancelled(change, Reading.from_dict(row.before or {}), readings[change.target.key])
        for row, change in zip(rows, changes, strict=True)
    ]
    DatabaseJournal(run).finished(results)
    return PointResult(outcomes=Counter(str(result.outcome) for result in results))


def _judge_cancelled(change: AccessChange, before: Reading, after: Reading) -> ChangeResult:
    result = judge(change, before, Reply(None, 'cancelled while it was under way'), after)
    if result.outcome is Outcome.FAILED and after.observed == before.observed:
        return replace(result, outcome=Outcome.SKIPPED, message='cancelled: the line is as it was before')
    return result


def probe_points(run: EnforcementRun, parallel: int = 10) -> None:
    """Probe the points of a run once more, after a wave has soaked: have they lost sessions, or become slow?

    Only those that could say when the run came to them; one that cannot be reached now says nothing.
    """
    known = run.points.filter(sessions_before__isnull=False).select_related('point__device', 'point__virtual_machine')
    points = [each.point.as_point() for each in known]
    # Read in threads, written here: each thread of a worker would open a database session of its own.
    seen = MemoryJournal()
    with nornir_for(points, ThreadedRunner(parallel)) as nornir:
        nornir.run(task=probe_point, journal=seen)
    names = {each.point.name: each.point_id for each in known}
    for name, health in seen.seen.items():
        DatabaseJournal(run, points=names).health(name, health[-1])
