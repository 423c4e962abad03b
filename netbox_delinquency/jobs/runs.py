"""Runs as jobs: begun, worked point by point, and advanced to the next wave."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from core.choices import JobNotificationChoices, JobStatusChoices
from core.exceptions import JobFailed
from core.models import Job, ObjectType
from django.db.models import QuerySet
from django.utils import timezone
from netbox.jobs import JobRunner

from ..choices import OutcomeChoices, RunStatusChoices
from ..errors import RunRefusedError
from ..models import EnforcementPoint, EnforcementRun
from ..runs import lifecycle
from ..runs.lifecycle import begin_run, conduct, finish_run, waiting_points, waiting_runs
from ..runs.locks import kinds_of, lane_of
from ..runs.stop_conditions import note_halt, why_held
from ..runs.worker import watch_points, work_point
from ..settings import get_settings
from .lost import bury, is_lost
from .queues import queue_of

if TYPE_CHECKING:
    from users.models import User


__all__ = (
    'ConductRun',
    'ExecuteRun',
    'WorkPoint',
    'bury_jobs',
    'carry_on',
    'enqueue_points',
    'enqueue_run',
    'jobs_of',
    'leave_run',
    'point_job_name',
    'resume_run',
    'start_run',
)

# A point where another run holds our lines is come back to after so long.
BUSY_PAUSE = timedelta(seconds=15)


class ExecuteRun(JobRunner):
    """Begin an approved run, whose points are jobs of their own; or take one up that is under way."""

    class Meta:
        name = lifecycle.START

    def run(self, run: int, **kwargs: Any) -> None:
        try:
            start_run(run)
        except RunRefusedError as error:
            if points := waiting_points(EnforcementRun.objects.get(pk=run)):
                enqueue_points(EnforcementRun.objects.get(pk=run), points)
                return
            self.logger.warning(str(error))
            raise JobFailed from None


class WorkPoint(JobRunner):
    """Work off one point of a run, as far as the wave under way goes."""

    class Meta:
        name = 'Enforcement run at a point'

    def run(self, run: int, point: int, **kwargs: Any) -> None:
        work = work_point(run, point)
        if work.taken:
            self.logger.info('another worker holds the point: it takes these rows up next')
            return
        if work.halt:
            self.logger.info('halted: %s', work.halt)
        counts = ', '.join(f'{count} {outcome}' for outcome, count in sorted(work.outcomes.items()))
        self.logger.info('rows: %s', counts or 'none')
        self.job.data = dict(work.outcomes)
        carry_on(run)
        # Whoever found this point taken has left its rows to us.
        lane = lane_of(EnforcementRun.objects.values_list('kind', flat=True).get(pk=run))
        for waiting in waiting_runs(point, kinds_of(lane)):
            if halt := why_held(waiting, point):
                note_halt(waiting, halt)
            else:
                later = timezone.now() + BUSY_PAUSE if work.busy and waiting.pk == run else None
                enqueue_points(waiting, [point], schedule_at=later)
        if set(work.outcomes) - {*OutcomeChoices.SUCCESS, OutcomeChoices.SKIPPED}:
            raise JobFailed


class ConductRun(JobRunner):
    """After a wave has soaked: look at the points once more, and go on if they are well."""

    class Meta:
        name = 'Enforcement run: next wave'

    def run(self, run: int, **kwargs: Any) -> None:
        watched = EnforcementRun.objects.get(pk=run)
        if watched.status == RunStatusChoices.RUNNING:
            watch_points(watched)
        carry_on(run, watched=True)


def start_run(pk: int) -> EnforcementRun:
    """Begin an approved run here and now, and queue its points. Raises `RunRefusedError`."""
    run = begin_run(pk, timezone.now())
    carry_on(pk)
    return run


def resume_run(run: EnforcementRun, now: datetime) -> EnforcementRun:
    """Resume a paused run, and queue what it waits for. Raises `RunRefusedError`."""
    return _go_on(lifecycle.resume_run(run, now))


def leave_run(run: EnforcementRun, reason: str, now: datetime) -> EnforcementRun:
    """A runbook lets go of its run; what it leaves of one that gives access back is queued for the workers at once."""
    return _go_on(finish_run(run, reason, now))


def _go_on(run: EnforcementRun) -> EnforcementRun:
    carry_on(run.pk)
    enqueue_points(run, waiting_points(run))
    return run


def carry_on(pk: int, watched: bool = False) -> None:
    """Take a run a step on, and queue what follows: the points of the next wave, or a look at it once this soaked."""
    now = timezone.now()
    orders = conduct(pk, now, watched=watched)
    run = EnforcementRun.objects.get(pk=pk)
    enqueue_points(run, orders.points)
    if orders.look_at and ConductRun.name not in _queued_jobs(run):
        ConductRun.enqueue(
            instance=run,
            schedule_at=orders.look_at if orders.look_at > now else None,
            queue_name=queue_of(run),
            notifications=JobNotificationChoices.NOTIFICATION_NEVER,
            job_timeout=get_settings().job_timeout_seconds,
            run=run.pk,
        )


def enqueue_points(run: EnforcementRun, points: Iterable[int], schedule_at: datetime | None = None) -> None:
    """Queue these points of a run, by primary key, now or for later; none that a job of its own will come to anyway."""
    names = dict(EnforcementPoint.objects.filter(pk__in=list(points)).values_list('pk', 'name'))
    queued = _queued_jobs(run)
    for pk, name in names.items():
        title = point_job_name(name)
        if title in queued:
            continue
        WorkPoint.enqueue(
            instance=run,
            name=title,
            schedule_at=schedule_at,
            queue_name=queue_of(run),
            notifications=JobNotificationChoices.NOTIFICATION_NEVER,
            job_timeout=get_settings().job_timeout_seconds,
            run=run.pk,
            point=pk,
        )


def point_job_name(point: str) -> str:
    return f'{WorkPoint.name}: {point}'


def _queued_jobs(run: EnforcementRun) -> set[str]:
    """Names of this run's jobs that have not begun; those that Redis lost are closed, and do not count."""
    now, names = timezone.now(), set()
    for job in jobs_of(run).filter(status__in=(JobStatusChoices.STATUS_PENDING, JobStatusChoices.STATUS_SCHEDULED)):
        if is_lost(job, now):
            bury(job, now)
        else:
            names.add(job.name)
    return names


def bury_jobs(run: EnforcementRun, now: datetime) -> None:
    """Close the rows of this run's jobs whose workers died."""
    for job in jobs_of(run).filter(status=JobStatusChoices.STATUS_RUNNING):
        if is_lost(job, now):
            bury(job, now)


def jobs_of(run: EnforcementRun) -> QuerySet[Job]:
    return Job.objects.filter(object_type=ObjectType.objects.get_for_model(run), object_id=run.pk)


def enqueue_run(run: EnforcementRun, user: User | None = None) -> Job:
    """Queue the start of an approved run, on the lane of its kind; of a running one, that it is looked after at once.

    Raises `RunRefusedError` for any other.
    """
    if run.status not in (RunStatusChoices.APPROVED, RunStatusChoices.RUNNING):
        raise RunRefusedError(f'run "{run}" is {run.status}: only an approved one can be started')
    return ExecuteRun.enqueue(
        instance=run,
        user=user,
        queue_name=queue_of(run),
        notifications=JobNotificationChoices.NOTIFICATION_ON_FAILURE,
        job_timeout=get_settings().job_timeout_seconds,
        run=run.pk,
    )
