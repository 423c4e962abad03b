"""The life of a run: begun, its waves opened, closed and left to soak, paused, resumed, cancelled, ended.

It holds no worker: whoever has closed the last row of a point asks what is next. Every step is taken under a lock on
the run and leaves everything in the database, so two that ask at once do no harm and a dead one is no loss. What a
person, the breaker or a deadline does takes effect between two rows: whoever works a point asks the journal, and that
asks the run's status.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from core.models import Job, ObjectType
from django.db import transaction
from django.db.models import F, Min, OuterRef, Subquery
from django.utils import timezone
from extras.models import Notification

from ..choices import OutcomeChoices, RunStatusChoices
from ..errors import RunRefusedError
from ..events import RUN_COMPLETED, RUN_PAUSED, RUN_STARTED, send_event
from ..models import EnforcementRun, EnforcementSettings, RunPoint
from ..reasons import Reason, ReasonCode, message_columns, stop_columns
from .approval import plan_hash
from .breaker import breaker_verdict
from .locks import RESTORE, held_points, queue_of_kind
from .stop_conditions import deadline_passed, note_stop_reason, stop_reason_of

__all__ = (
    'START',
    'NextSteps',
    'advance_run',
    'begin_run',
    'cancel_run',
    'is_abandoned',
    'is_alive',
    'pause_run',
    'release_run',
    'resume_run',
    'waiting_points',
    'waiting_runs',
)


START = 'Enforcement run'  # name of the job by which a person starts a run

# A runbook that gave no sign of life for so long is taken for dead, and its claims with it.
DEAD_AFTER = timedelta(seconds=90)


@dataclass(frozen=True, slots=True)
class NextSteps:
    """What is to be queued: the `points` whose rows are due, by primary key; to advance the run again at `again_at`."""

    points: tuple[int, ...] = ()
    again_at: datetime | None = None


@transaction.atomic
def begin_run(pk: int, now: datetime, executor: str = '') -> EnforcementRun:
    """Start an approved run; or take over one whose runbook fell silent. Raises `RunRefusedError`.

    Without an `executor` it is NetBox's workers that process it; `advance_run` opens its first wave.
    """
    run = EnforcementRun.objects.select_for_update().get(pk=pk)
    if run.status not in (RunStatusChoices.APPROVED, RunStatusChoices.RUNNING):
        raise RunRefusedError(Reason.of(ReasonCode.NOT_APPROVED, run=run, status=run.status))
    if run.status == RunStatusChoices.RUNNING and not is_abandoned(run, now):
        raise RunRefusedError(run.being_worked_on)
    if plan_hash(run) != run.approved_hash:
        raise RunRefusedError(Reason.of(ReasonCode.ROWS_CHANGED, run=run))
    begins = run.status == RunStatusChoices.APPROVED
    run.advance(
        status=RunStatusChoices.RUNNING,
        executor=executor,
        resumed_at=now if begins else run.resumed_at,
        started_at=run.started_at or now,
        heartbeat_at=now,
        **stop_columns(''),
    )
    if begins:
        send_event(run, RUN_STARTED)
    return run


def is_abandoned(run: EnforcementRun, now: datetime) -> bool:
    """True for a running run of a runbook that fell silent. One of the workers' is theirs, whoever of them died."""
    return run.status == RunStatusChoices.RUNNING and bool(run.executor) and not is_alive(run, now)


def is_alive(run: EnforcementRun, now: datetime) -> bool:
    """Whether the runbook that has the run gave a sign of life lately; workers show theirs by the locks they hold."""
    return bool(run.executor) and run.heartbeat_at is not None and run.heartbeat_at > now - DEAD_AFTER


@transaction.atomic
def pause_run(run: EnforcementRun, reason: str, now: datetime) -> None:
    """Nothing more is sent until a person resumes it; what was sent is read back. Raises `RunRefusedError`."""
    locked = EnforcementRun.objects.select_for_update().get(pk=run.pk)
    if locked.status == RunStatusChoices.PAUSED:
        return
    if locked.status != RunStatusChoices.RUNNING:
        raise RunRefusedError(Reason.of(ReasonCode.NOT_RUNNING, run=run, status=locked.status))
    locked.advance(status=RunStatusChoices.PAUSED, **stop_columns(reason))
    send_event(locked, RUN_PAUSED)
    _notify_starter(locked, RUN_PAUSED)


@transaction.atomic
def resume_run(run: EnforcementRun, now: datetime, executor: str = '') -> EnforcementRun:
    """Go on where it was paused, by NetBox's workers or a runbook. Raises `RunRefusedError`.

    Whoever resumes has seen what was wrong: the breaker counts, and the deadline runs, from now; the points' state now
    is what later losses are measured by.
    """
    locked = EnforcementRun.objects.select_for_update().get(pk=run.pk)
    if locked.status != RunStatusChoices.PAUSED:
        raise RunRefusedError(Reason.of(ReasonCode.NOT_PAUSED, run=run, status=locked.status))
    if executor:
        # Workers continue rows where they stand; a runbook would send those that one has in hand once more.
        in_hand = locked.changes.filter(outcome='', claimed_at__isnull=False)
        busy = in_hand.filter(point__in=held_points(queue_of_kind(run.kind))).values_list('point__name', flat=True)
        if points := ', '.join(sorted(set(busy))):
            raise RunRefusedError(Reason.of(ReasonCode.WORKERS_BUSY, points=points))
    elif is_alive(locked, now) and locked.changes.filter(outcome='', claimed_at__isnull=False).exists():
        raise RunRefusedError(Reason.of(ReasonCode.RUNBOOK_BUSY, executor=locked.executor))
    locked.points.update(sessions_before=None, latency_before_s=None, sessions_now=None, latency_now_s=None)
    locked.advance(
        status=RunStatusChoices.RUNNING, executor=executor, resumed_at=now, heartbeat_at=now, **stop_columns('')
    )
    return locked


@transaction.atomic
def cancel_run(run: EnforcementRun, now: datetime) -> None:
    """End a run, whether it has begun or not. Raises `RunRefusedError` for one that has ended.

    Rows that were not sent are closed here and now; those that were are read back by whoever sent them, or, where that
    worker is dead, by the next.
    """
    locked = EnforcementRun.objects.select_for_update().get(pk=run.pk)
    if locked.status not in RunStatusChoices.OPEN:
        raise RunRefusedError(Reason.of(ReasonCode.ENDED, run=run, status=locked.status))
    if locked.started_at:
        locked.changes.filter(outcome='', sent_at__isnull=True).update(
            outcome=OutcomeChoices.SKIPPED, **message_columns(Reason.of(ReasonCode.CANCELLED)), finished_at=now
        )
    run.advance(status=RunStatusChoices.CANCELLED, finished_at=now, **stop_columns(''))
    if locked.started_at:
        send_event(run, RUN_COMPLETED)


@transaction.atomic
def advance_run(pk: int, now: datetime, probed: bool = False) -> NextSteps:
    """Advance a run of the workers, where a step is due; returns what is to be done next.

    While rows of the wave under way are open there is nothing to do: their points are queued, or `waiting_points`.
    A wave that soaks is followed by the next only once its points were `probed` after it.
    """
    run = EnforcementRun.objects.select_for_update().get(pk=pk)
    if run.status != RunStatusChoices.RUNNING or run.executor:
        return NextSteps()
    still_open = run.changes.filter(outcome='')
    if still_open.filter(wave__lte=run.wave).exists():
        return NextSteps()
    settings = EnforcementSettings.load()
    following = still_open.aggregate(wave=Min('wave'))['wave']
    if following is None:
        _end(run, now)
        return NextSteps()
    if reason := breaker_verdict(run, settings) or deadline_passed(run, settings, now):
        pause_run(run, reason, now)
        return NextSteps()
    if run.wave and run.wave_done_at is None:
        run.advance(wave_done_at=now)
    if run.wave and queue_of_kind(run.kind) != RESTORE and settings.soak_seconds:
        soaked_at = run.wave_done_at + timedelta(seconds=settings.soak_seconds)
        if now < soaked_at or not probed:
            return NextSteps(again_at=max(now, soaked_at))
    if stop_reason := stop_reason_of(run, settings):
        note_stop_reason(run, stop_reason)
        return NextSteps()
    run.advance(wave=following, wave_done_at=None, **stop_columns(''))
    return NextSteps(tuple(still_open.filter(wave=following).order_by().values_list('point', flat=True).distinct()))


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
    held = held_points(queue_of_kind(run.kind))
    points = rows.order_by('point').values_list('point', flat=True).distinct()
    return [point for point in points if point not in held]


def waiting_runs(point: int, kinds: list[str]) -> list[EnforcementRun]:
    """The runs of these kinds with open rows at a point in the wave under way.

    First who never had the point, then who had it longest ago: one whose lines are busy, and which comes again and
    again, does not keep a newer one from it.
    """
    running = EnforcementRun.objects.filter(status=RunStatusChoices.RUNNING, kind__in=kinds)
    had_at = RunPoint.objects.filter(run=OuterRef('pk'), point=point).values('heartbeat_at')
    found = running.filter(changes__point=point, changes__outcome='').annotate(had_at=Subquery(had_at)).distinct()
    in_turn = found.order_by(F('had_at').asc(nulls_first=True), 'started_at')
    return [run for run in in_turn if point in waiting_points(run)]


@transaction.atomic
def release_run(run: EnforcementRun, reason: str, now: datetime) -> EnforcementRun:
    """A runbook releases its run: one whose rows are all closed has ended.

    One with rows left is paused, for the `reason`: the workers, who continue what falls silent, must not override what
    made the runbook stop. A run that gives access back is theirs at once.
    """
    run = EnforcementRun.objects.select_for_update().get(pk=run.pk)
    if run.status != RunStatusChoices.RUNNING:
        return run
    if not run.changes.filter(outcome='').exists():
        _end(run, now)
    elif queue_of_kind(run.kind) == RESTORE:
        run.advance(executor='')
    else:
        pause_run(run, Reason.of(ReasonCode.RELEASED, executor=run.executor, why=reason), now)
        run.refresh_from_db()
    return run


def _end(run: EnforcementRun, now: datetime) -> None:
    wrong = set(run.outcomes()) - set(OutcomeChoices.SUCCESS) - {OutcomeChoices.SKIPPED}
    status = RunStatusChoices.FAILED if wrong else RunStatusChoices.COMPLETED
    run.advance(status=status, finished_at=now, **stop_columns(''))
    send_event(run, RUN_COMPLETED)
    if wrong:
        _notify_starter(run, RUN_COMPLETED)


def _notify_starter(run: EnforcementRun, event_type: str) -> None:
    """Notify the person who started this run, if one did: once a run, whatever its points' jobs did."""
    object_type = ObjectType.objects.get_for_model(run)
    jobs = Job.objects.filter(object_type=object_type, object_id=run.pk, name=START, user__isnull=False)
    started = jobs.order_by('-created').first()
    if started is not None:
        known = {'user': started.user, 'object_type': object_type, 'object_id': run.pk}
        # NetBox keeps one notification for each user and object.
        Notification.objects.filter(**known).delete()
        Notification(user=started.user, object=run, event_type=event_type).save()
