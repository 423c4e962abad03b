"""The periodic jobs: evaluation, read-back, calendars, retention. Recovery has a file of its own."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from core.choices import JobStatusChoices
from django.utils import timezone
from netbox.jobs import system_job

from ..billing.clock import database_now
from ..billing.ingest import lapse_clearing
from ..models import EnforcementPoint, EnforcementSettings
from ..policy.days import ensure_start_days
from ..runs.reconcile import owed_where_silent, points_to_read
from ..settings import get_settings
from ..workflow import adopt_words, evaluate_all, process_inbox
from .lost import is_lost
from .periodic import PeriodicJob
from .points import ReconcilePoint, enqueue_reconcile
from .retention import purge

__all__ = ('Evaluate', 'Reconcile', 'RenewCalendars', 'Retention')


@system_job(interval=get_settings().evaluate_minutes)
class Evaluate(PeriodicJob):
    """Put every contract where it belongs today, and plan what follows from it."""

    class Meta:
        name = 'Delinquency: evaluate'

    def run(self, *args: Any, **kwargs: Any) -> None:
        for _ in process_inbox():
            pass  # a payment that lies there, because its own worker is dead or busy, comes before any debt
        now = timezone.now()
        adopt_words()
        if lapsed := lapse_clearing(database_now()):
            self.logger.warning('of %d contracts something was to clear and has not: it is owed again', lapsed)
        evaluation, runs = evaluate_all(now)
        self.logger.info(
            'dunning position of %d contracts and intended state of %d lines changed',
            evaluation.contracts,
            evaluation.lines,
        )
        for run in runs:
            self.logger.info('%s: %s, %s', run, run.kind, run.status)
        for point, restrictions in owed_where_silent(now).items():
            if not _is_to_be_read(point, now):
                enqueue_reconcile(point, restrictions=restrictions)


@system_job(interval=60)
class Reconcile(PeriodicJob):
    """Have a part of every point's lines read back, those longest unseen; over the hours it comes round to all."""

    class Meta:
        name = 'Delinquency: reconcile'

    def run(self, *args: Any, **kwargs: Any) -> None:
        now, percent = timezone.now(), EnforcementSettings.load().reconcile_percent
        for point in points_to_read():
            if not _is_to_be_read(point, now):
                enqueue_reconcile(point, percent=percent)


def _is_to_be_read(point: EnforcementPoint, now: datetime) -> bool:
    """While nobody processes them the jobs do not pile up; those that Redis lost are not waited for."""
    waiting = ReconcilePoint.get_jobs(point).filter(status__in=JobStatusChoices.ENQUEUED_STATE_CHOICES)
    return not all(is_lost(job, now) for job in waiting)


@system_job(interval=1_440)
class RenewCalendars(PeriodicJob):
    """Write the days on which something may start anew, from the calendars and holidays as they are now."""

    class Meta:
        name = 'Delinquency: calendars'

    def run(self, *args: Any, **kwargs: Any) -> None:
        self.logger.info('%d days written', ensure_start_days(timezone.localdate(), anew=True))


@system_job(interval=1_440)
class Retention(PeriodicJob):
    """Forget what was settled long ago; the log of what was done to lines is kept for its own term."""

    class Meta:
        name = 'Delinquency: retention'

    def run(self, *args: Any, **kwargs: Any) -> None:
        settings = get_settings()
        self.logger.info('purged: %s', purge(timezone.now(), settings.retention_days, settings.action_log_days))
