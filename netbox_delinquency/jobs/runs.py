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
from ..reasons import Reason, ReasonCode
from ..runs import lifecycle
from ..runs.lifecycle import begin_run, waiting_points, waiting_runs
from ..runs.locks import kinds_in_queue, queue_of_kind
from ..runs.stop_conditions import note_stop_reason, stop_reason_at
from ..runs.worker import probe_points, process_point
from ..settings import get_settings
from .lost import is_lost, mark_lost
from .queues import queue_of

if TYPE_CHECKING:
    from users.models import User


__all__ = (
    'AdvanceRun',
    'ExecuteRun',
    'ProcessPoint',
    'advance_run',
    'close_lost_jobs',
    'enqueue_points',
    'enqueue_run',
    'jobs_of',
    'point_job_name',
    'release_run',
    'resume_run',
    'start_run',
)

# A point where another run holds our lines is come back to after so long.
BUSY_PAUSE = timedelta(seconds=15)


class ExecuteRun(JobRunner):
    """Begin an approved run, whose points are jobs of their own; of one under way, queue the points that wait."""

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


class ProcessPoint(JobRunner):
    """Process one point of a run, as far as the wave under way goes."""

    class Meta:
        name = 'Enforcement run at a point'

    def run(self, run: int, point: int, **kwargs: Any) -> None:
        result = process_point(run, point)
        if result.taken:
            self.logger.info('another worker holds the point: it takes these rows up next')
            return
        if result.stop_reason:
            self.logger.info('stopped: %s', result.stop_reason)
        counts = ', '.join(f'{count} {outcome}' for outcome, count in sorted(result.outcomes.items()))
        self.logger.info('rows: %s', counts or 'none')
        self.job.data = dict(result.outcomes)
        advance_run(run)
        # Whoever found this point taken has left its rows to us.
        queue = queue_of_kind(EnforcementRun.objects.values_list('kind', flat=True).get(pk=run))
        for waiting in waiting_runs(point, kinds_in_queue(queue)):
            if stop_reason := stop_reason_at(waiting, point):
                note_stop_reason(waiting, stop_reason)
            else:
                later = timezone.now() + BUSY_PAUSE if result.busy and waiting.pk == run else None
                enqueue_points(waiting, [point], schedule_at=later)
        if set(result.outcomes) - {*OutcomeChoices.SUCCESS, OutcomeChoices.SKIPPED}:
            raise JobFailed


class AdvanceRun(JobRunner):
    """After a wave has soaked: probe the points once more, and open the next wave if they are well."""

    class Meta:
        name = 'Enforcement run: next wave'

    def run(self, run: int, **kwargs: Any) -> None:
        waiting = EnforcementRun.objects.get(pk=run)
        if waiting.status == RunStatusChoices.RUNNING:
            probe_points(waiting)
        advance_run(run, probed=True)


def start_run(pk: int) -> EnforcementRun:
    """Begin an approved run here and now, and queue its points. Raises `RunRefusedError`."""
    run = begin_run(pk, timezone.now())
    advance_run(pk)
    return run


def resume_run(run: EnforcementRun, now: datetime) -> EnforcementRun:
    """Resume a paused run, and queue what it waits for. Raises `RunRefusedError`."""
    return _queue_rest(lifecycle.resume_run(run, now))


def release_run(run: EnforcementRun, reason: str, now: datetime) -> EnforcementRun:
    """A runbook releases its run; what it leaves of one that gives access back is queued for the workers at once."""
    return _queue_rest(lifecycle.release_run(run, reason, now))


def _queue_rest(run: EnforcementRun) -> EnforcementRun:
    advance_run(run.pk)
    enqueue_points(run, waiting_points(run))
    return run


def advance_run(pk: int, probed: bool = False) -> None:
    """Advance a run, and queue its next steps: the points of the next wave, or this job again once the wave soaked."""
    now = timezone.now()
    steps = lifecycle.advance_run(pk, now, probed=probed)
    run = EnforcementRun.objects.get(pk=pk)
    enqueue_points(run, steps.points)
    if steps.again_at and AdvanceRun.name not in _queued_jobs(run):
        AdvanceRun.enqueue(
            instance=run,
            schedule_at=steps.again_at if steps.again_at > now else None,
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
        ProcessPoint.enqueue(
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
    return f'{ProcessPoint.name}: {point}'


def _queued_jobs(run: EnforcementRun) -> set[str]:
    """Names of this run's jobs that have not begun; those that Redis lost are closed, and do not count."""
    now, names = timezone.now(), set()
    for job in jobs_of(run).filter(status__in=(JobStatusChoices.STATUS_PENDING, JobStatusChoices.STATUS_SCHEDULED)):
        if is_lost(job, now):
            mark_lost(job, now)
        else:
            names.add(job.name)
    return names


def close_lost_jobs(run: EnforcementRun, now: datetime) -> None:
    """Close the rows of this run's jobs whose workers died."""
    for job in jobs_of(run).filter(status=JobStatusChoices.STATUS_RUNNING):
        if is_lost(job, now):
            mark_lost(job, now)


def jobs_of(run: EnforcementRun) -> QuerySet[Job]:
    return Job.objects.filter(object_type=ObjectType.objects.get_for_model(run), object_id=run.pk)


def enqueue_run(run: EnforcementRun, user: User | None = None) -> Job:
    """Queue the start of an approved run, on the queue of its kind; of a running one, the points that wait.

    Raises `RunRefusedError` for any other.
    """
    if run.status not in (RunStatusChoices.APPROVED, RunStatusChoices.RUNNING):
        raise RunRefusedError(Reason.of(ReasonCode.NOT_APPROVED, run=run, status=run.status))
    return ExecuteRun.enqueue(
        instance=run,
        user=user,
        queue_name=queue_of(run),
        notifications=JobNotificationChoices.NOTIFICATION_ON_FAILURE,
        job_timeout=get_settings().job_timeout_seconds,
        run=run.pk,
    )
