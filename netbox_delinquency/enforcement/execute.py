"""An approved run, executed: from its rows to the network and back. Called by jobs; knows nothing of queues."""

from __future__ import annotations

import os
import socket
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime

from django.db import connection, transaction
from django.utils import timezone

from nornir_tasks.change import AccessChange, ChangeResult
from nornir_tasks.journal import ReportingJournal
from nornir_tasks.runner import run_changes

from ..choices import OutcomeChoices, RunStatusChoices
from ..models import EnforcementPoint, EnforcementRun
from ..settings import get_settings
from .errors import RunRefusedError
from .journal import DEAD_AFTER, DatabaseJournal
from .plan import plan_hash

LOCK_CLASS = 0x64656C71  # "delq": our own space of advisory locks
WORKER = 'worker'


def execute_run(pk: int, report: Callable[[ChangeResult], None] = lambda result: None) -> EnforcementRun:
    """Work the open rows of an approved run off, or go on where a dead worker left it.

    Raises `RunRefusedError` where the run is not approved, its rows are not those approved, or somebody else has it.
    """
    with _only_worker(pk):
        run = begin_run(pk, f'{WORKER} {socket.gethostname()}/{os.getpid()}', timezone.now())
        points, changes = open_rows(run)
        journal = ReportingJournal(DatabaseJournal(run), report)
        run_changes(points, changes, journal, parallel=get_settings().parallel_points)
        return finish_run(run, timezone.now())


@contextmanager
def _only_worker(pk: int) -> Iterator[None]:
    """Held for as long as this process lives: a lock that a `kill -9` gives back."""
    with connection.cursor() as cursor:
        cursor.execute('SELECT pg_try_advisory_lock(%s, %s)', [LOCK_CLASS, pk])
        if not cursor.fetchone()[0]:
            raise RunRefusedError(f'run {pk} is being worked on by another worker')
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute('SELECT pg_advisory_unlock(%s, %s)', [LOCK_CLASS, pk])


def is_abandoned(run: EnforcementRun, now: datetime) -> bool:
    """True for a running run that nobody works on any more.

    A worker holds a lock for as long as it lives; a runbook, which has no database session, shows by its heartbeat.
    """
    if run.status != RunStatusChoices.RUNNING:
        return False
    if not run.executor.startswith(WORKER):
        return run.heartbeat_at < now - DEAD_AFTER
    with connection.cursor() as cursor:
        cursor.execute(
            'SELECT 1 FROM pg_locks JOIN pg_database ON pg_database.oid = pg_locks.database'
            " WHERE locktype = 'advisory' AND classid = %s AND objid = %s AND datname = current_database()"
            ' AND pid <> pg_backend_pid()',
            [LOCK_CLASS, run.pk],
        )
        return cursor.fetchone() is None


@transaction.atomic
def begin_run(pk: int, executor: str, now: datetime) -> EnforcementRun:
    """Start an approved run, or take over an abandoned one. Raises `RunRefusedError`."""
    run = EnforcementRun.objects.select_for_update().get(pk=pk)
    if run.status not in (RunStatusChoices.APPROVED, RunStatusChoices.RUNNING):
        raise RunRefusedError(f'run "{run}" is {run.status}: only an approved one can be started')
    if run.status == RunStatusChoices.RUNNING and not is_abandoned(run, now):
        raise RunRefusedError(f'run "{run}" is being worked on by {run.executor}')
    if plan_hash(run) != run.approved_hash:
        raise RunRefusedError(f'the rows of run "{run}" are not those that were approved: cancel it and plan anew')
    run.advance(status=RunStatusChoices.RUNNING, executor=executor, started_at=run.started_at or now, heartbeat_at=now)
    return run


def open_rows(run: EnforcementRun) -> tuple[list, dict[str, list[AccessChange]]]:
    """The run's points and its open rows by point name, as the network side takes them."""
    changes: dict[str, list[AccessChange]] = defaultdict(list)
    rows = run.changes.filter(outcome='').select_related('line__contract__plan', 'line__bras', 'line__acs', 'point')
    for row in rows.order_by('line_id'):
        changes[row.point.name].append(row.as_change())
    points = EnforcementPoint.objects.filter(name__in=changes).select_related('device', 'virtual_machine')
    return [point.as_point() for point in points], changes


@transaction.atomic
def finish_run(run: EnforcementRun, now: datetime) -> EnforcementRun:
    """Close a run whose rows are all closed; one with open rows (its journal failed) stays running, to be resumed."""
    run = EnforcementRun.objects.select_for_update().get(pk=run.pk)
    outcomes = run.outcomes()
    if outcomes.get(''):
        return run
    wrong = set(outcomes) - set(OutcomeChoices.SUCCESS) - {OutcomeChoices.SKIPPED}
    run.advance(status=RunStatusChoices.FAILED if wrong else RunStatusChoices.COMPLETED, finished_at=now)
    return run
