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
from ..runs.stop_conditions import stop_reason_at
from .inbox import enqueue_inbox
from .lost import is_lost, mark_lost
from .periodic import PeriodicJob, ensure_system_jobs
from .runs import ExecuteRun, advance_run, close_lost_jobs, enqueue_points, jobs_of, start_run

__all__ = ('Housekeeping', 'recover')

# An event that lies in the inbox for so long was stored while the queue was down.
FORGOTTEN_AFTER = timedelta(minutes=1)


@system_job(interval=1)
class Housekeeping(PeriodicJob):
    """Recover what a dead worker or a queue that was down left behind."""

    class Meta:
        name = 'Delinquency: housekeeping'

    def run(self, *args: Any, **kwargs: Any) -> None:
        for sentence in recover(timezone.now()):
            self.logger.warning(sentence)


def recover(now: datetime) -> list[str]:
    """Recover whatever was left behind; what was, in words. May be called from anywhere, any time.

    Raises `RedisError` while there is no Redis.
    """
    recovered = [f'system job "{name}" was lost: scheduled again' for name in ensure_system_jobs()]
    waiting = BillingEvent.objects.filter(status=EventStatusChoices.RECEIVED)
    if waiting.filter(received_at__lt=now - FORGOTTEN_AFTER).exists():
        enqueue_inbox()
        recovered.append('billing events lay in the inbox')
    for run in EnforcementRun.objects.filter(status=RunStatusChoices.APPROVED):
        if _was_to_start(run, now):
            recovered.append(f'run "{run}" was approved and never begun: starting it')
            try:
                start_run(run.pk)
            except RunRefusedError as error:
                recovered.append(str(error))
    for run in EnforcementRun.objects.filter(status=RunStatusChoices.RUNNING):
        if is_abandoned(run, now):
            recovered.append(f'run "{run}" was left by {run.executor}: the workers take it over')
            begin_run(run.pk, now)
        advance_run(run.pk)
    left = EnforcementRun.objects.filter(changes__outcome='', started_at__isnull=False)
    for run in left.filter(status__in=(RunStatusChoices.RUNNING, RunStatusChoices.CANCELLED)).distinct():
        close_lost_jobs(run, now)
        if points := [point for point in waiting_points(run) if not stop_reason_at(run, point)]:
            recovered.append(f'run "{run}" has rows left at {len(points)} points')
            enqueue_points(run, points)
    return recovered


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
        mark_lost(job, now)
    return bool(lost)
