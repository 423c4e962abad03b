"""Every background job. The queues are served by
`netbox rqworker netbox_delinquency.enforce netbox_delinquency.restore`; the system jobs by NetBox's own worker."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from datetime import timedelta

from core.choices import JobNotificationChoices
from core.exceptions import JobFailed
from django.utils import timezone
from netbox.jobs import JobRunner, system_job

from nornir_tasks.cpes import list_cpes, look_at
from nornir_tasks.drivers.base import lines_of
from nornir_tasks.errors import EnforcementError
from nornir_tasks.preparing import check_point

from .billing.ingest import work_inbox
from .choices import EventStatusChoices, RunKindChoices, RunStatusChoices
from .enforcement.errors import RunRefusedError
from .enforcement.execute import execute_run, is_abandoned
from .enforcement.learn import learn_cpes
from .enforcement.plan import plan_runs, unplanned_lines
from .models import AccessLine, BillingEvent, EnforcementPoint, EnforcementRun
from .policy.days import ensure_start_days
from .policy.evaluate import evaluate
from .retention import purge
from .settings import get_settings

ENFORCE_QUEUE = 'netbox_delinquency.enforce'
RESTORE_QUEUE = 'netbox_delinquency.restore'

# An event that lies in the inbox for so long was stored while the queue was down.
FORGOTTEN_AFTER = timedelta(minutes=1)


class WorkInbox(JobRunner):
    """Work billing's events off, all that wait; where they give access back, give it back before anything else."""

    class Meta:
        name = 'Billing inbox'

    def run(self, *args, **kwargs) -> None:
        now = timezone.now()
        contracts = work_inbox(now)
        # What takes access away waits for the evaluation of all contracts: one plan, not one for each event.
        for run in plan_runs(unplanned_lines().filter(contract__in=contracts), now, restores_only=True):
            work_run(self, run.pk)


class ExecuteRun(JobRunner):
    """Execute an approved run."""

    class Meta:
        name = 'Enforcement run'

    def run(self, run: int, **kwargs) -> None:
        work_run(self, run)


class CheckPoint(JobRunner):
    """Look whether an enforcement point is fit to be used, from where it will be used; changes nothing."""

    class Meta:
        name = 'Enforcement point check'

    def run(self, point: int, **kwargs) -> None:
        findings = check_point(EnforcementPoint.objects.get(pk=point).as_point(), timezone.now())
        for finding in findings:
            log = self.logger.info if finding.ok else self.logger.error if finding.required else self.logger.warning
            log('%s: %s', finding.subject, finding.message)
        self.job.data = {'findings': [asdict(finding) for finding in findings], 'lines': lines_of(findings)}
        if any(finding.required and not finding.ok for finding in findings):
            raise JobFailed


class LearnCpes(JobRunner):
    """Match the devices of an ACS to lines by serial number."""

    class Meta:
        name = 'Learn CPEs'

    def run(self, point: int, **kwargs) -> None:
        acs = EnforcementPoint.objects.get(pk=point)
        try:
            devices = list_cpes(acs.as_point())
        except EnforcementError as error:
            self.logger.warning(str(error))
            raise JobFailed from None
        mine = AccessLine.objects.restrict(self.job.user, 'change') if self.job.user else None
        learned = learn_cpes(acs, devices, mine)
        self.job.data = learned.as_dict()
        for kind in ('ambiguous', 'unmatched'):
            if found := len(getattr(learned, kind)):
                self.logger.warning('%d %s: see the data of this job', found, kind)
        self.logger.info('%d lines have their CPE now, %d had it', len(learned.filled), learned.known)


class LookAtCpe(JobRunner):
    """Ask a line's ACS how its CPE is; what came of it is in the job's data, for the page of the device."""

    class Meta:
        name = 'CPE'

    def run(self, line: int, **kwargs) -> None:
        found = AccessLine.objects.select_related('acs').get(pk=line)
        try:
            self.job.data = look_at(found.acs.as_point(), found.cwmp_id).as_dict()
        except EnforcementError as error:
            self.job.data = {'failure': str(error)}
            self.logger.warning(str(error))
            raise JobFailed from None


@system_job(interval=1)
class Housekeeping(JobRunner):
    """Take up what a dead worker or a queue that was down left behind."""

    class Meta:
        name = 'Delinquency: housekeeping'

    def run(self, *args, **kwargs) -> None:
        now = timezone.now()
        waiting = BillingEvent.objects.filter(status=EventStatusChoices.RECEIVED)
        if waiting.filter(received_at__lt=now - FORGOTTEN_AFTER).exists():
            enqueue_inbox()
        for run in EnforcementRun.objects.filter(status=RunStatusChoices.RUNNING):
            if is_abandoned(run, now):
                self.logger.warning('run "%s" was left by its worker: resuming it', run)
                enqueue_run(run)


@system_job(interval=1_440)
class Retention(JobRunner):
    """Forget what was settled long ago; the log of what was done to lines is kept for its own term."""

    class Meta:
        name = 'Delinquency: retention'

    def run(self, *args, **kwargs) -> None:
        settings = get_settings()
        self.logger.info('purged: %s', purge(timezone.now(), settings.retention_days, settings.action_log_days))


@system_job(interval=1_440)
class RenewCalendars(JobRunner):
    """Write the days on which something may start anew, from the calendars and holidays as they are now."""

    class Meta:
        name = 'Delinquency: calendars'

    def run(self, *args, **kwargs) -> None:
        self.logger.info('%d days written', ensure_start_days(timezone.localdate(), anew=True))


@system_job(interval=get_settings().evaluate_minutes)
class Evaluate(JobRunner):
    """Put every contract where it belongs today, and plan what follows from it."""

    class Meta:
        name = 'Delinquency: evaluate'

    def run(self, *args, **kwargs) -> None:
        now = timezone.now()
        evaluation = evaluate(now)
        self.logger.info('standing of %d contracts and %d lines changed', evaluation.contracts, evaluation.lines)
        for run in plan_runs(unplanned_lines(), now):
            self.logger.info('%s: %s, %s', run, run.kind, run.status)
            if run.status == RunStatusChoices.APPROVED:
                enqueue_run(run)


def work_run(job: JobRunner, pk: int) -> None:
    """Execute a run within a job; its rows carry what happened, the job only the sums."""
    outcomes: Counter[str] = Counter()
    try:
        run = execute_run(pk, lambda result: outcomes.update([str(result.outcome)]))
    except RunRefusedError as error:
        job.logger.warning(str(error))
        raise JobFailed from None
    job.logger.info('%s: %s', run, ', '.join(f'{count} {outcome}' for outcome, count in sorted(outcomes.items())))
    if run.status != RunStatusChoices.COMPLETED:
        raise JobFailed


def enqueue_run(run: EnforcementRun, user=None):
    """Queue an approved run on the lane of its kind. Raises `RunRefusedError` for one that is not approved."""
    if run.status not in (RunStatusChoices.APPROVED, RunStatusChoices.RUNNING):
        raise RunRefusedError(f'run "{run}" is {run.status}: only an approved one can be started')
    queue = RESTORE_QUEUE if run.kind == RunKindChoices.RESTORE else ENFORCE_QUEUE
    return ExecuteRun.enqueue(
        instance=run,
        user=user,
        queue_name=queue,
        notifications=JobNotificationChoices.NOTIFICATION_ON_FAILURE,
        job_timeout=get_settings().job_timeout_seconds,
        run=run.pk,
    )


def enqueue_check(point: EnforcementPoint, user=None):
    """Have a worker check a point: credentials, and the way to it, are the workers', not the web server's."""
    return CheckPoint.enqueue(
        instance=point,
        user=user,
        queue_name=ENFORCE_QUEUE,
        notifications=JobNotificationChoices.NOTIFICATION_NEVER,
        job_timeout=get_settings().job_timeout_seconds,
        point=point.pk,
    )


def enqueue_learn(point: EnforcementPoint, user=None):
    """Have a worker learn an ACS's devices."""
    return _enqueue_asking(LearnCpes, point, user, point=point.pk)


def enqueue_look(line: AccessLine, user=None):
    """Have a worker ask a line's CPE."""
    return _enqueue_asking(LookAtCpe, line, user, line=line.pk)


def _enqueue_asking(job: type[JobRunner], instance, user, **arguments):
    return job.enqueue(
        instance=instance,
        user=user,
        queue_name=ENFORCE_QUEUE,
        notifications=JobNotificationChoices.NOTIFICATION_NEVER,
        job_timeout=get_settings().job_timeout_seconds,
        **arguments,
    )


def enqueue_inbox():
    """Queue the inbox; every event may turn out to restore, so all take the fast lane."""
    return WorkInbox.enqueue(
        queue_name=RESTORE_QUEUE,
        notifications=JobNotificationChoices.NOTIFICATION_NEVER,
        job_timeout=get_settings().job_timeout_seconds,
    )
