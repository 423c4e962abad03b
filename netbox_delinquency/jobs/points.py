"""Jobs at one enforcement point or line: is it fit to be used, how are its lines, whose are an ACS's devices."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from core.exceptions import JobFailed
from core.models import Job
from django.db.models import Q, QuerySet
from django.utils import timezone
from netbox.jobs import JobRunner

from nornir_tasks.cpes import list_cpes, refresh_cpe
from nornir_tasks.drivers.base import lines_of
from nornir_tasks.errors import EnforcementError
from nornir_tasks.point_check import check_point

from ..cpe.matching import match_cpes
from ..errors import RunRefusedError
from ..models import AccessLine, EnforcementPoint
from ..runs.checks import note_check
from ..runs.reconcile import points_to_read, reconcile_point
from ..workflow import start_restores
from .queues import enqueue_reading

if TYPE_CHECKING:
    from users.models import User


__all__ = (
    'CheckPoint',
    'MatchCpes',
    'ReconcilePoint',
    'RefreshCpe',
    'enqueue_check',
    'enqueue_match_cpes',
    'enqueue_reconcile',
    'enqueue_reconcile_of',
    'enqueue_refresh_cpe',
)


class CheckPoint(JobRunner):
    """Check whether an enforcement point is fit to be used, from where it will be used; changes nothing."""

    class Meta:
        name = 'Enforcement point check'

    def run(self, point: int, **kwargs: Any) -> None:
        checked = EnforcementPoint.objects.get(pk=point)
        findings = check_point(checked.as_point(), timezone.now())
        missing = [finding for finding in findings if finding.required and not finding.ok]
        note_check(checked, [f'{finding.subject}: {finding.message}' for finding in missing], timezone.now())
        for finding in findings:
            log = self.logger.info if finding.ok else self.logger.error if finding.required else self.logger.warning
            log('%s: %s', finding.subject, finding.message)
        self.job.data = {'findings': [asdict(finding) for finding in findings], 'lines': lines_of(findings)}
        if missing:
            raise JobFailed


class ReconcilePoint(JobRunner):
    """Read lines of a point back; those that have less than they should are restored at once."""

    class Meta:
        name = 'Reconcile'

    def run(
        self,
        point: int,
        percent: int | None = None,
        lines: list[int] | None = None,
        restrictions: list[int] | None = None,
        **kwargs: Any,
    ) -> None:
        found = EnforcementPoint.objects.get(pk=point)
        try:
            report = reconcile_point(found, percent=percent, lines=lines, restrictions=restrictions)
        except RunRefusedError as error:
            self.logger.warning(str(error))
            raise JobFailed from None
        self.job.data = report.as_dict()
        self.logger.info('lines: %s', report)
        for line, problem in report.errors:
            self.logger.warning('%s: %s', line, problem)
        start_restores(report)
        if report.unreadable and not report.read:
            raise JobFailed


class MatchCpes(JobRunner):
    """Match the devices of an ACS to lines by serial number."""

    class Meta:
        name = 'Match CPEs'

    def run(self, point: int, **kwargs: Any) -> None:
        acs = EnforcementPoint.objects.get(pk=point)
        try:
            devices = list_cpes(acs.as_point())
        except EnforcementError as error:
            self.logger.warning(str(error))
            raise JobFailed from None
        mine = AccessLine.objects.restrict(self.job.user, 'change') if self.job.user else None
        report = match_cpes(acs, devices, mine)
        self.job.data = report.as_dict()
        for kind in ('ambiguous', 'unmatched'):
            if found := len(getattr(report, kind)):
                self.logger.warning('%d %s: see the data of this job', found, kind)
        self.logger.info('%d lines have their CPE now, %d had it', len(report.filled), report.known)


class RefreshCpe(JobRunner):
    """Ask a line's ACS how its CPE is; what came of it is in the job's data, for the page of the device."""

    class Meta:
        name = 'Refresh CPE'

    def run(self, line: int, **kwargs: Any) -> None:
        found = AccessLine.objects.select_related('acs').get(pk=line)
        try:
            self.job.data = refresh_cpe(found.acs.as_point(), found.cwmp_id).as_dict()
        except EnforcementError as error:
            self.job.data = {'failure': str(error)}
            self.logger.warning(str(error))
            raise JobFailed from None


def enqueue_check(point: EnforcementPoint, user: User | None = None) -> Job:
    """Have a worker check a point."""
    return enqueue_reading(CheckPoint, point, user, point=point.pk)


def enqueue_reconcile(
    point: EnforcementPoint,
    user: User | None = None,
    *,
    percent: int | None = None,
    lines: list[int] | None = None,
    restrictions: list[int] | None = None,
) -> Job:
    """Have a worker read a point's lines back: these, by primary key, or the part of them longest unseen, or all; or
    the places of these restrictions alone."""
    return enqueue_reading(
        ReconcilePoint, point, user, point=point.pk, percent=percent, lines=lines, restrictions=restrictions
    )


def enqueue_reconcile_of(lines: QuerySet[AccessLine], user: User | None = None) -> list[Job]:
    """Have these lines read back: a job for each active point that they have."""
    chosen = lines.order_by().values('pk')
    queued = []
    for point in points_to_read():
        here = AccessLine.objects.filter(Q(bras=point) | Q(acs=point), pk__in=chosen)
        if pks := list(here.order_by().values_list('pk', flat=True)):
            queued.append(enqueue_reconcile(point, user=user, lines=pks))
    return queued


def enqueue_match_cpes(point: EnforcementPoint, user: User | None = None) -> Job:
    """Have a worker match an ACS's devices to lines."""
    return enqueue_reading(MatchCpes, point, user, point=point.pk)


def enqueue_refresh_cpe(line: AccessLine, user: User | None = None) -> Job:
    """Have a worker refresh what is known of a line's CPE."""
    return enqueue_reading(RefreshCpe, line, user, line=line.pk)
