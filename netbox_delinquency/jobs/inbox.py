"""Billing's inbox, processed: what gives access back is given back before anything else."""

from __future__ import annotations

from typing import Any

import django_rq
from core.choices import JobNotificationChoices, JobStatusChoices
from core.models import Job
from django.utils import timezone
from netbox.jobs import JobRunner

from ..settings import get_settings
from ..workflow import process_inbox
from .lost import is_lost, is_waiting, mark_lost
from .queues import RESTORE_QUEUE

__all__ = ('ProcessInbox', 'enqueue_inbox', 'enqueue_inbox_soon')

# In Redis beside the queue, and lost with it: a job is queued that nobody has taken. It lapses, in case that is wrong.
QUEUED = {urgent: f'netbox_delinquency:inbox:{"urgent" if urgent else "other"}' for urgent in (True, False)}
QUEUED_S = 20


class ProcessInbox(JobRunner):
    """Process billing's events, all that wait; where they give access back, give it back before anything else."""

    class Meta:
        name = 'Billing inbox'

    def run(self, *args: Any, **kwargs: Any) -> None:
        _forget_queued()
        for runs in process_inbox():
            if runs:
                # Their points are queued; where this worker is the only one, they are not to wait for the whole inbox.
                enqueue_inbox()
                return


def enqueue_inbox_soon(urgent: bool) -> None:
    """The same for one event of many, at the price of one question to Redis. Raises `RedisError`.

    What may relieve somebody goes before all that is queued: it is seconds, and it makes the queue's own jobs fewer.
    """
    connection = django_rq.get_queue(RESTORE_QUEUE).connection
    if not connection.set(QUEUED[urgent], 1, nx=True, ex=QUEUED_S):
        return
    if urgent:
        _enqueue(at_front=True)
    else:
        enqueue_inbox()


def _forget_queued() -> None:
    """Before the inbox is read: whoever stores an event from now on queues a job of their own."""
    django_rq.get_queue(RESTORE_QUEUE).connection.delete(*QUEUED.values())


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
    return _enqueue()


def _enqueue(**options: Any) -> Job:
    return ProcessInbox.enqueue(
        queue_name=RESTORE_QUEUE,
        notifications=JobNotificationChoices.NOTIFICATION_NEVER,
        job_timeout=get_settings().job_timeout_seconds,
        **options,
    )
