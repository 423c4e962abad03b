"""The conductor of a run: begins it, opens and closes its waves, lets them soak, and ends it.

It holds no worker: whoever has closed the last row of a point asks it what is next. Every step is taken under a lock
on the run and leaves everything in the database, so two conductors do no harm and a dead one is no loss.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import F, Min, OuterRef, Subquery
from django.utils import timezone

from ..choices import OutcomeChoices, RunStatusChoices
from ..events import RUN_COMPLETED, RUN_STARTED, send_run_event
from ..models import EnforcementRun, EnforcementSettings, RunPoint
from .control import is_alive, notify_starter, pause_run
from .errors import RunRefusedError
from .halts import deadline_passed, note_halt, why_halt
from .lanes import RESTORE, held_points, lane_of
from .plan import plan_hash
from .watch import why_break

__all__ = ('Orders', 'begin_run', 'conduct', 'finish_run', 'is_abandoned', 'waiting_points', 'waiting_runs')


@dataclass(frozen=True, slots=True)
class Orders:
    """What is to be queued: the `points`, by primary key, whose rows are due; another look at the run at `look_at`."""

    points: tuple[int, ...] = ()
    look_at: datetime | None = None


@transaction.atomic
def begin_run(pk: int, now: datetime, executor: str = '') -> EnforcementRun:
    """Start an approved run; or take over one whose runbook fell silent. Raises `RunRefusedError`.

    Without an `executor` it is NetBox's workers that work it off; then it goes on with `conduct`.
    """
    run = EnforcementRun.objects.select_for_update().get(pk=pk)
    if run.status not in (RunStatusChoices.APPROVED, RunStatusChoices.RUNNING):
        raise RunRefusedError(f'run "{run}" is {run.status}: only an approved one can be started')
    if run.status == RunStatusChoices.RUNNING and not is_abandoned(run, now):
        raise RunRefusedError(run.being_worked_on)
    if plan_hash(run) != run.approved_hash:
        raise RunRefusedError(f'the rows of run "{run}" are not those that were approved: cancel it and plan anew')
    begins = run.status == RunStatusChoices.APPROVED
    run.advance(
        status=RunStatusChoices.RUNNING,
        executor=executor,
        taken_up_at=now if begins else run.taken_up_at,
        started_at=run.started_at or now,
        heartbeat_at=now,
        halt_reason='',
    )
    if begins:
        send_run_event(run, RUN_STARTED)
    return run


def is_abandoned(run: EnforcementRun, now: datetime) -> bool:
    """True for a running run of a runbook that fell silent. One of the workers' is theirs, whoever of them died."""
    return run.status == RunStatusChoices.RUNNING and bool(run.executor) and not is_alive(run, now)


@transaction.atomic
def conduct(pk: int, now: datetime, watched: bool = False) -> Orders:
    """Take a run of the workers' a step on, where one is due; returns what follows from it.

    While rows of the wave under way are open there is nothing to do: their points are queued, or `waiting_points`.
    A wave that soaks is followed by the next only once its points were `watched` after it.
    """
    run = EnforcementRun.objects.select_for_update().get(pk=pk)
    if run.status != RunStatusChoices.RUNNING or run.executor:
        return Orders()
    still_open = run.changes.filter(outcome='')
    if still_open.filter(wave__lte=run.wave).exists():
        return Orders()
    settings = EnforcementSettings.load()
    following = still_open.aggregate(wave=Min('wave'))['wave']
    if following is None:
        _end(run, now)
        return Orders()
    if reason := why_break(run, settings) or deadline_passed(run, settings, now):
        pause_run(run, reason, now)
        return Orders()
    if run.wave and run.wave_done_at is None:
        run.advance(wave_done_at=now)
    if run.wave and lane_of(run.kind) != RESTORE and settings.soak_seconds:
        soaked_at = run.wave_done_at + timedelta(seconds=settings.soak_seconds)
        if now < soaked_at or not watched:
            return Orders(look_at=max(now, soaked_at))
    if halt := why_halt(run, settings):
        note_halt(run, halt)
        return Orders()
    run.advance(wave=following, wave_done_at=None, halt_reason='')
    return Orders(tuple(still_open.filter(wave=following).order_by().values_list('point', flat=True).distinct()))


def waiting_points(run: EnforcementRun) -> list[int]:
    """The points, by primary key, with open rows in the wave under way that nobody is working at.

    Of a cancelled run: with rows that were sent and never read back.
    """
    rows = run.changes.filter(outcome='')
    if run.status == RunStatusChoices.RUNNING:
        if run.executor:
            return []
        rows = rows.filter(wave__lte=run.wave)
    elif run.status == RunStatusChoices.CANCELLED and run.started_at and not is_alive(run, timezone.now()):
        rows = rows.filter(sent_at__isnull=False)
    else:
        return []
    held = held_points(lane_of(run.kind))
    points = rows.order_by('point').values_list('point', flat=True).distinct()
    return [point for point in points if point not in held]


def waiting_runs(point: int, lane_kinds: list[str]) -> list[EnforcementRun]:
    """The runs of these kinds with open rows at a point in the wave under way.

    First who never had the point, then who had it longest ago: one whose lines are busy, and which comes again and
    again, does not keep a newer one from it.
    """
    running = EnforcementRun.objects.filter(status=RunStatusChoices.RUNNING, kind__in=lane_kinds)
    had_at = RunPoint.objects.filter(run=OuterRef('pk'), point=point).values('heartbeat_at')
    found = running.filter(changes__point=point, changes__outcome='').annotate(had_at=Subquery(had_at)).distinct()
    in_turn = found.order_by(F('had_at').asc(nulls_first=True), 'started_at')
    return [run for run in in_turn if point in waiting_points(run)]


@transaction.atomic
def finish_run(run: EnforcementRun, reason: str, now: datetime) -> EnforcementRun:
    """A runbook lets go of its run: one whose rows are all closed has ended.

    One with rows left is paused, for the `reason`: what made the runbook stop must not be gone over by the workers, who
    take up what falls silent. A run that gives access back is theirs at once.
    """
    run = EnforcementRun.objects.select_for_update().get(pk=run.pk)
    if run.status != RunStatusChoices.RUNNING:
        return run
    if not run.changes.filter(outcome='').exists():
        _end(run, now)
    elif lane_of(run.kind) == RESTORE:
        run.advance(executor='')
    else:
        pause_run(run, f'{run.executor} left it: {reason}', now)
        run.refresh_from_db()
    return run


def _end(run: EnforcementRun, now: datetime) -> None:
    wrong = set(run.outcomes()) - set(OutcomeChoices.SUCCESS) - {OutcomeChoices.SKIPPED}
    status = RunStatusChoices.FAILED if wrong else RunStatusChoices.COMPLETED
    run.advance(status=status, finished_at=now, halt_reason='')
    send_run_event(run, RUN_COMPLETED)
    if wrong:
        notify_starter(run, RUN_COMPLETED)
