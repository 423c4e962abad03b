"""Every background job. The queues are served by
`netbox rqworker netbox_delinquency.enforce netbox_delinquency.restore`; the system jobs by NetBox's own worker."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from datetime import datetime, timedelta

from core.choices import JobNotificationChoices, JobStatusChoices
from core.exceptions import JobFailed
from core.models import Job, ObjectType
from django.db.models import Q, QuerySet
from django.utils import timezone
from netbox.jobs import JobRunner, system_job

from nornir_tasks.cpes import list_cpes, look_at
from nornir_tasks.drivers.base import lines_of
from nornir_tasks.errors import EnforcementError
from nornir_tasks.preparing import check_point

from .billing.ingest import lapse_clearing, work_inbox
from .choices import EventStatusChoices, OutcomeChoices, RunStatusChoices
from .cpe.matching import learn_cpes
from .errors import RunRefusedError
from .models import AccessLine, BillingEvent, EnforcementPoint, EnforcementRun, EnforcementSettings
from .policy.days import ensure_start_days
from .policy.evaluate import evaluate
from .retention import purge
from .runs import lifecycle
from .runs.lifecycle import begin_run, conduct, finish_run, is_abandoned, waiting_points, waiting_runs
from .runs.locks import RESTORE, kinds_of, lane_of
from .runs.plan import plan_runs, unplanned_lines
from .runs.reconcile import points_to_read, reconcile_point
from .runs.stop_conditions import note_halt, why_held
from .runs.worker import watch_points, work_point
from .schedule import PeriodicJob, bury, ensure_system_jobs, is_lost, is_waiting
from .settings import get_settings

ENFORCE_QUEUE = 'netbox_delinquency.enforce'
RESTORE_QUEUE = 'netbox_delinquency.restore'

# An event that lies in the inbox for so long was stored while the queue was down.
FORGOTTEN_AFTER = timedelta(minutes=1)
# A point where another run holds our lines is come back to after so long.
BUSY_PAUSE = timedelta(seconds=15)

logger = logging.getLogger('netbox_delinquency.jobs')


class WorkInbox(JobRunner):
    """Work billing's events off, all that wait; where they give access back, give it back before anything else."""

    class Meta:
        name = 'Billing inbox'

    def run(self, *args, **kwargs) -> None:
        for runs in inbox_restores():
            if runs:
                # Their points are queued; where this worker is the only one, they are not to wait for the whole inbox.
                enqueue_inbox()
                return


class ExecuteRun(JobRunner):
    """Begin an approved run, whose points are jobs of their own; or take one up that is under way."""

    class Meta:
        name = lifecycle.START

    def run(self, run: int, **kwargs) -> None:
        try:
            start_run(run)
        except RunRefusedError as error:
            if points := waiting_points(EnforcementRun.objects.get(pk=run)):
                enqueue_points(EnforcementRun.objects.get(pk=run), points)
                return
            self.logger.warning(str(error))
            raise JobFailed from None


class WorkPoint(JobRunner):
    """Work off one point of a run, as far as the wave under way goes."""

    class Meta:
        name = 'Enforcement run at a point'

    def run(self, run: int, point: int, **kwargs) -> None:
        work = work_point(run, point)
        if work.taken:
            self.logger.info('another worker holds the point: it takes these rows up next')
            return
        if work.halt:
            self.logger.info('halted: %s', work.halt)
        counts = ', '.join(f'{count} {outcome}' for outcome, count in sorted(work.outcomes.items()))
        self.logger.info('rows: %s', counts or 'none')
        self.job.data = dict(work.outcomes)
        carry_on(run)
        # Whoever found this point taken has left its rows to us.
        lane = lane_of(EnforcementRun.objects.values_list('kind', flat=True).get(pk=run))
        for waiting in waiting_runs(point, kinds_of(lane)):
            if halt := why_held(waiting, point):
                note_halt(waiting, halt)
            else:
                later = timezone.now() + BUSY_PAUSE if work.busy and waiting.pk == run else None
                enqueue_points(waiting, [point], schedule_at=later)
        if set(work.outcomes) - {*OutcomeChoices.SUCCESS, OutcomeChoices.SKIPPED}:
            raise JobFailed


class ConductRun(JobRunner):
    """After a wave has soaked: look at the points once more, and go on if they are well."""

    class Meta:
        name = 'Enforcement run: next wave'

    def run(self, run: int, **kwargs) -> None:
        watched = EnforcementRun.objects.get(pk=run)
        if watched.status == RunStatusChoices.RUNNING:
            watch_points(watched)
        carry_on(run, watched=True)


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


class ReconcilePoint(JobRunner):
    """Read lines of a point back; those that have less than they should are restored at once."""

    class Meta:
        name = 'Reconcile'

    def run(self, point: int, percent: int | None = None, lines: list[int] | None = None, **kwargs) -> None:
        try:
            report = reconcile_point(EnforcementPoint.objects.get(pk=point), percent=percent, lines=lines)
        except RunRefusedError as error:
            self.logger.warning(str(error))
            raise JobFailed from None
        self.job.data = report.as_dict()
        self.logger.info('lines: %s', report)
        for line, error in report.errors:
            self.logger.warning('%s: %s', line, error)
        for pk in report.restores:
            start_run(pk)
        if report.unreadable and not report.read:
            raise JobFailed


@system_job(interval=60)
class Reconcile(PeriodicJob):
    """Have a part of every point's lines read back, those longest unseen; over the hours it comes round to all."""

    class Meta:
        name = 'Delinquency: reconcile'

    def run(self, *args, **kwargs) -> None:
        now, percent = timezone.now(), EnforcementSettings.load().reconcile_percent
        for point in points_to_read():
            # While nobody works them off the jobs do not pile up; those that Redis lost are not waited for.
            waiting = ReconcilePoint.get_jobs(point).filter(status__in=JobStatusChoices.ENQUEUED_STATE_CHOICES)
            if all(is_lost(job, now) for job in waiting):
                enqueue_reconcile(point, percent=percent)


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
class Housekeeping(PeriodicJob):
    """Take up what a dead worker or a queue that was down left behind."""

    class Meta:
        name = 'Delinquency: housekeeping'

    def run(self, *args, **kwargs) -> None:
        for sentence in take_up(timezone.now()):
            self.logger.warning(sentence)


@system_job(interval=1_440)
class Retention(PeriodicJob):
    """Forget what was settled long ago; the log of what was done to lines is kept for its own term."""

    class Meta:
        name = 'Delinquency: retention'

    def run(self, *args, **kwargs) -> None:
        settings = get_settings()
        self.logger.info('purged: %s', purge(timezone.now(), settings.retention_days, settings.action_log_days))


@system_job(interval=1_440)
class RenewCalendars(PeriodicJob):
    """Write the days on which something may start anew, from the calendars and holidays as they are now."""

    class Meta:
        name = 'Delinquency: calendars'

    def run(self, *args, **kwargs) -> None:
        self.logger.info('%d days written', ensure_start_days(timezone.localdate(), anew=True))


@system_job(interval=get_settings().evaluate_minutes)
class Evaluate(PeriodicJob):
    """Put every contract where it belongs today, and plan what follows from it."""

    class Meta:
        name = 'Delinquency: evaluate'

    def run(self, *args, **kwargs) -> None:
        for _ in inbox_restores():
            pass  # a payment that lies there, because its own worker is dead or busy, comes before any debt
        now = timezone.now()
        if lapsed := lapse_clearing(now, get_settings().clearing_days):
            self.logger.warning('%d invoices were to clear and have not: they are owed again', lapsed)
        evaluation = evaluate(now)
        self.logger.info('standing of %d contracts and %d lines changed', evaluation.contracts, evaluation.lines)
        for run in plan_runs(unplanned_lines(), now):
            self.logger.info('%s: %s, %s', run, run.kind, run.status)
            if run.status == RunStatusChoices.APPROVED:
                start_run(run.pk)


def inbox_restores() -> Iterator[list[EnforcementRun]]:
    """Work billing's events off, batch by batch; where they give access back it is given back at once, by these runs.

    What takes access away waits for the evaluation of all contracts: one plan, not one for each event.
    """
    for contracts in work_inbox():
        lines = unplanned_lines().filter(contract__in=contracts)
        yield [start_run(run.pk) for run in plan_runs(lines, timezone.now(), restores_only=True)]


def start_run(pk: int) -> EnforcementRun:
    """Begin an approved run here and now, and queue its points. Raises `RunRefusedError`."""
    run = begin_run(pk, timezone.now())
    carry_on(pk)
    return run


def resume_run(run: EnforcementRun, now: datetime) -> EnforcementRun:
    """Resume a paused run, and queue what it waits for. Raises `RunRefusedError`."""
    return _go_on(lifecycle.resume_run(run, now))


def leave_run(run: EnforcementRun, reason: str, now: datetime) -> EnforcementRun:
    """A runbook lets go of its run; what it leaves of one that gives access back is queued for the workers at once."""
    return _go_on(finish_run(run, reason, now))


def _go_on(run: EnforcementRun) -> EnforcementRun:
    carry_on(run.pk)
    enqueue_points(run, waiting_points(run))
    return run


def carry_on(pk: int, watched: bool = False) -> None:
    """Take a run a step on, and queue what follows: the points of the next wave, or a look at it once this soaked."""
    now = timezone.now()
    orders = conduct(pk, now, watched=watched)
    run = EnforcementRun.objects.get(pk=pk)
    enqueue_points(run, orders.points)
    if orders.look_at and ConductRun.name not in _queued_jobs(run):
        ConductRun.enqueue(
            instance=run,
            schedule_at=orders.look_at if orders.look_at > now else None,
            queue_name=_queue(run),
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
        WorkPoint.enqueue(
            instance=run,
            name=title,
            schedule_at=schedule_at,
            queue_name=_queue(run),
            notifications=JobNotificationChoices.NOTIFICATION_NEVER,
            job_timeout=get_settings().job_timeout_seconds,
            run=run.pk,
            point=pk,
        )


def point_job_name(point: str) -> str:
    return f'{WorkPoint.name}: {point}'


def _queued_jobs(run: EnforcementRun) -> set[str]:
    """Names of this run's jobs that have not begun; those that Redis lost are closed, and do not count."""
    now, names = timezone.now(), set()
    for job in _jobs_of(run).filter(status__in=(JobStatusChoices.STATUS_PENDING, JobStatusChoices.STATUS_SCHEDULED)):
        if is_lost(job, now):
            bury(job, now)
        else:
            names.add(job.name)
    return names


def bury_jobs(run: EnforcementRun, now: datetime) -> None:
    """Close the rows of this run's jobs whose workers died."""
    for job in _jobs_of(run).filter(status=JobStatusChoices.STATUS_RUNNING):
        if is_lost(job, now):
            bury(job, now)


def _jobs_of(run: EnforcementRun):
    return Job.objects.filter(object_type=ObjectType.objects.get_for_model(run), object_id=run.pk)


def _queue(run: EnforcementRun) -> str:
    return RESTORE_QUEUE if lane_of(run.kind) == RESTORE else ENFORCE_QUEUE


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
    started = _jobs_of(run).filter(name=ExecuteRun.name, status=JobStatusChoices.STATUS_PENDING)
    lost = [job for job in started if is_lost(job, now)]
    for job in lost:
        bury(job, now)
    return bool(lost)


def enqueue_run(run: EnforcementRun, user=None):
    """Queue the start of an approved run, on the lane of its kind; of a running one, that it is looked after at once.

    Raises `RunRefusedError` for any other.
    """
    if run.status not in (RunStatusChoices.APPROVED, RunStatusChoices.RUNNING):
        raise RunRefusedError(f'run "{run}" is {run.status}: only an approved one can be started')
    return ExecuteRun.enqueue(
        instance=run,
        user=user,
        queue_name=_queue(run),
        notifications=JobNotificationChoices.NOTIFICATION_ON_FAILURE,
        job_timeout=get_settings().job_timeout_seconds,
        run=run.pk,
    )


def enqueue_check(point: EnforcementPoint, user=None):
    """Have a worker check a point."""
    return _enqueue_asking(CheckPoint, point, user, point=point.pk)


def enqueue_reconcile(point: EnforcementPoint, user=None, *, percent: int | None = None, lines=None):
    """Have a worker read a point's lines back: these, by primary key, or the part of them longest unseen, or all."""
    return _enqueue_asking(ReconcilePoint, point, user, point=point.pk, percent=percent, lines=lines)


def enqueue_reconcile_of(lines: QuerySet[AccessLine], user=None) -> list[Job]:
    """Have these lines read back: a job for each active point that they have."""
    chosen = lines.order_by().values('pk')
    queued = []
    for point in points_to_read():
        here = AccessLine.objects.filter(Q(bras=point) | Q(acs=point), pk__in=chosen)
        if pks := list(here.order_by().values_list('pk', flat=True)):
            queued.append(enqueue_reconcile(point, user=user, lines=pks))
    return queued


def enqueue_learn(point: EnforcementPoint, user=None):
    """Have a worker learn an ACS's devices."""
    return _enqueue_asking(LearnCpes, point, user, point=point.pk)


def enqueue_look(line: AccessLine, user=None):
    """Have a worker ask a line's CPE."""
    return _enqueue_asking(LookAtCpe, line, user, line=line.pk)


def _enqueue_asking(job: type[JobRunner], instance, user, **arguments):
    """Queue what reads at a point: credentials, and the way to it, are the workers', not the web server's."""
    return job.enqueue(
        instance=instance,
        user=user,
        queue_name=ENFORCE_QUEUE,
        notifications=JobNotificationChoices.NOTIFICATION_NEVER,
        job_timeout=get_settings().job_timeout_seconds,
        **arguments,
    )


def enqueue_inbox() -> Job:
    """Queue the inbox, unless a job is queued that nobody has taken: it will find whatever is there by then.

    Every event may turn out to restore, so all take the fast lane; thousands of debts must not fill it with empty jobs.
    """
    now = timezone.now()
    for job in WorkInbox.get_jobs().filter(status=JobStatusChoices.STATUS_PENDING):
        if is_waiting(job):
            return job
        if is_lost(job, now):
            bury(job, now)
    return WorkInbox.enqueue(
        queue_name=RESTORE_QUEUE,
        notifications=JobNotificationChoices.NOTIFICATION_NEVER,
        job_timeout=get_settings().job_timeout_seconds,
    )
