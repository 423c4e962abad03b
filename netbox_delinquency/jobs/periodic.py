"""Makes sure that our periodic jobs exist, whatever happened to Redis or to a worker."""

from __future__ import annotations

import logging
import time
from typing import Any

from core.choices import JobStatusChoices
from core.models import Job
from django.utils import timezone
from netbox.jobs import JobRunner
from netbox.registry import registry

from .lost import is_lost, mark_lost

__all__ = ('PeriodicJob', 'ensure_now_and_then', 'ensure_system_jobs')

logger = logging.getLogger('netbox_delinquency.jobs')

EVERY_S = 60.0
_ensured_at = -EVERY_S


class PeriodicJob(JobRunner):
    """A system job that a worker which starts schedules anew where it was lost, and not only where it has no row."""

    @classmethod
    def enqueue_once(cls, *args: Any, **kwargs: Any) -> Job:
        now = timezone.now()
        for row in Job.objects.filter(name=cls.name, status__in=JobStatusChoices.ENQUEUED_STATE_CHOICES):
            if is_lost(row, now):
                mark_lost(row, now)
        return super().enqueue_once(*args, **kwargs)


def ensure_system_jobs() -> list[str]:
    """Schedule anew those of our system jobs that were lost; their names. Raises `RedisError`."""
    renewed = []
    for runner, options in registry['system_jobs'].items():
        if issubclass(runner, PeriodicJob):
            known = set(Job.objects.filter(name=runner.name).order_by('-pk').values_list('pk', flat=True)[:1])
            if runner.enqueue_once(**options).pk not in known:
                renewed.append(str(runner.name))
    return renewed


def ensure_now_and_then() -> None:
    """The same, at most once a minute in this process. Raises `RedisError`."""
    global _ensured_at
    if time.monotonic() > _ensured_at + EVERY_S:
        _ensured_at = time.monotonic()
        for name in ensure_system_jobs():
            logger.warning('system job "%s" was lost: scheduled again', name)
