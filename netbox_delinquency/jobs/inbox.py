"""Billing's inbox, processed: what gives access back is given back before anything else."""

from __future__ import annotations

from typing import Any

from core.choices import JobNotificationChoices, JobStatusChoices
from core.models import Job
from django.utils import timezone
from netbox.jobs import JobRunner

from ..settings import get_settings
from ..workflow import process_inbox
from .lost import is_lost, is_waiting, mark_lost
from .queues import RESTORE_QUEUE

__all__ = ('ProcessInbox', 'enqueue_inbox')


class ProcessInbox(JobRunner):
    """Process billing's events, all that wait; where they give access back, give it back before anything else."""

    class Meta:
        name = 'Billing inbox'

    def run(self, *args: Any, **kwargs: Any) -> None:
        for runs in process_inbox():
            if runs:
                # Their points are queued; where this worker is the only one, they are not to wait for the whole inbox.
                enqueue_inbox()
                return


def enqueue_inbox() -> Job:
    """Queue the inbox, unless a job is queued that nobody has taken: it will find whatever is there by then.

    Any event may turn out to restore, so all take the restore queue; thousands of debts must not fill it with empty
    jobs.
    """
    now = timezone.now()
    for job in ProcessInbox.get_jobs().filter(status=JobStatusChoices.STATUS_PENDING):
        if is_waiting(job):
            return job
        if is_lost(job, now):
            mark_lost(job, now)
    return ProcessInbox.enqueue(
        queue_name=RESTORE_QUEUE,
        notifications=JobNotificationChoices.NOTIFICATION_NEVER,
        job_timeout=get_settings().job_timeout_seconds,
    )
