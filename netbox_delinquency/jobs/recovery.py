"""What a dead worker, or a queue that was down, left behind: found and queued anew."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from core.choices import JobStatusChoices
from django.utils import timezone
from netbox.jobs import system_job

from ..choices import EventStatusChoices, RunStatusChoices
from ..errors import RunRefusedError
from ..models import BillingEvent, EnforcementRun
from ..runs.lifecycle import begin_run, is_abandoned, waiting_points
from ..runs.stop_conditions import why_held
from .inbox import enqueue_inbox
from .lost import bury, is_lost
from .periodic import PeriodicJob, ensure_system_jobs
from .runs import ExecuteRun, bury_jobs, carry_on, enqueue_points, jobs_of, start_run

__all__ = ('Housekeeping', 'take_up')

# An event that lies in the inbox for so long was stored while the queue was down.
FORGOTTEN_AFTER = timedelta(minutes=1)


@system_job(interval=1)
class Housekeeping(PeriodicJob):
    """Take up what a dead worker or a queue that was down left behind."""

    class Meta:
        name = 'Delinquency: housekeeping'

    def run(self, *args: Any, **kwargs: Any) -> None:
        for sentence in take_up(timezone.now()):
            self.logger.warning(sentence)


def take_up(now: datetime) -> list[str]:
    """Everything that was left behind is taken up again; what was, in sentences. May be called from anywhere, any time.

    Raises `RedisError` while there is no Redis.
    """
    told = [f'system job "{name}" was lost: scheduled again' for name in ensure_system_jobs()]
    waiting = BillingEvent.objects.filter(status=EventStatusChoices.RECEIVED)
    if waiting.filter(received_at__lt=now - FORGOTTEN_AFTER).exists():
        enqueue_inbox()
        told.append('billing events lay in the inbox')
    for run in EnforcementRun.objects.filter(status=RunStatusChoices.APPROVED):
        if _was_to_start(run, now):
            told.append(f'run "{run}" was approved and never begun: starting it')
            try:
                start_run(run.pk)
            except RunRefusedError as error:
                told.append(str(error))
    for run in EnforcementRun.objects.filter(status=RunStatusChoices.RUNNING):
        if is_abandoned(run, now):
            told.append(f'run "{run}" was left by {run.executor}: the workers take it over')
            begin_run(run.pk, now)
        carry_on(run.pk)
    left = EnforcementRun.objects.filter(changes__outcome='', started_at__isnull=False)
    for run in left.filter(status__in=(RunStatusChoices.RUNNING, RunStatusChoices.CANCELLED)).distinct():
        bury_jobs(run, now)
        if points := [point for point in waiting_points(run) if not why_held(run, point)]:
            told.append(f'run "{run}" has rows left at {len(points)} points')
            enqueue_points(run, points)
    return told


def _was_to_start(run: EnforcementRun, now: datetime) -> bool:
    """True for an approved run that would have begun by now, had its job not been lost.

    Of a run that a person planned, only where a person started it: a runbook of theirs may be about to.
    """
    if run.approved_at > now - FORGOTTEN_AFTER:
        return False
    if run.author_id is None and run.approver_id is None:
        return True
    started = jobs_of(run).filter(name=ExecuteRun.name, status=JobStatusChoices.STATUS_PENDING)
    lost = [job for job in started if is_lost(job, now)]
    for job in lost:
        bury(job, now)
    return bool(lost)
