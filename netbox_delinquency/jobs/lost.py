"""Jobs that were lost with Redis or with their worker: how one is recognised, and how its row is closed.

NetBox keeps a job twice: as a row in PostgreSQL and as an entry in Redis. Where Redis was flushed, or a worker died
with the job, the row says "scheduled" or "running" for ever, and NetBox, which looks at rows, schedules no other. So
the entries are searched for, and rows without one are closed.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import django_rq
from core.choices import JobStatusChoices
from core.models import Job
from rq.job import Job as RQJob
from rq.job import JobStatus

__all__ = ('is_lost', 'is_waiting', 'mark_lost')

# A worker tells Redis every 30 s that its job is alive (RQ's own interval).
SILENT_AFTER = timedelta(seconds=100)
# A job's entry follows its row, after the transaction.
YOUNG = timedelta(seconds=20)
GONE = (JobStatus.FAILED, JobStatus.STOPPED, JobStatus.CANCELED, JobStatus.FINISHED)


def is_lost(job: Job, now: datetime) -> bool:
    """True where a job that is queued, scheduled or running by its row will never end. Raises `RedisError`."""
    if job.created > now - YOUNG:
        return False
    queue = django_rq.get_queue(job.queue_name or 'default')
    entries = RQJob.fetch_many([str(job.job_id)], connection=queue.connection)
    if not entries or entries[0] is None:
        return True
    status = entries[0].get_status(refresh=False)
    if status == JobStatus.STARTED:
        seen = entries[0].last_heartbeat
        return seen is None or seen < now - SILENT_AFTER
    if status == JobStatus.SCHEDULED:
        # RQ's scheduler is a process of one worker: where that was killed, nobody may come for this for ten minutes.
        return job.scheduled is not None and job.scheduled < now - SILENT_AFTER
    return status in GONE


def is_waiting(job: Job) -> bool:
    """True where a job is in its queue and no worker has taken it. Raises `RedisError`."""
    queue = django_rq.get_queue(job.queue_name or 'default')
    (entry,) = RQJob.fetch_many([str(job.job_id)], connection=queue.connection)
    return entry is not None and entry.get_status(refresh=False) == JobStatus.QUEUED


def mark_lost(job: Job, now: datetime) -> None:
    """Close the row of a lost job: its worker died, or Redis forgot it."""
    Job.objects.filter(pk=job.pk, status__in=JobStatusChoices.ENQUEUED_STATE_CHOICES).update(
        status=JobStatusChoices.STATUS_ERRORED, error='its worker died, or Redis lost it', completed=now
    )
