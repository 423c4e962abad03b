"""The queues, and what every job is queued with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from core.choices import JobNotificationChoices
from netbox.jobs import JobRunner

from ..models import EnforcementRun
from ..runs.locks import RESTORE, queue_of_kind
from ..settings import get_settings

if TYPE_CHECKING:
    from core.models import Job
    from django.db.models import Model
    from users.models import User


__all__ = ('ENFORCE_QUEUE', 'RESTORE_QUEUE', 'enqueue_reading', 'queue_of')

ENFORCE_QUEUE = 'netbox_delinquency.enforce'
RESTORE_QUEUE = 'netbox_delinquency.restore'


def queue_of(run: EnforcementRun) -> str:
    return RESTORE_QUEUE if queue_of_kind(run.kind) == RESTORE else ENFORCE_QUEUE


def enqueue_reading(job: type[JobRunner], instance: Model, user: User | None, **arguments: Any) -> Job:
    """Queue what reads at a point: credentials, and the way to it, are the workers', not the web server's."""
    return job.enqueue(
        instance=instance,
        user=user,
        queue_name=ENFORCE_QUEUE,
        notifications=JobNotificationChoices.NOTIFICATION_NEVER,
        job_timeout=get_settings().job_timeout_seconds,
        **arguments,
    )
