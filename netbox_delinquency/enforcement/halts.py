"""What holds a run that takes access away: a person, the kill switch, its deadline, the caps an hour.

What gives access back is held by a person alone.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import connection
from django.db.models import Q
from django.utils import timezone

from ..choices import RunStatusChoices
from ..models import EnforcementChange, EnforcementPoint, EnforcementRun, EnforcementSettings
from .lanes import ENFORCE, RESTORE, kinds_of, lane_of

__all__ = ('HOUR', 'budget', 'deadline_passed', 'forget_halt', 'note_halt', 'why_halt', 'why_held')

HOUR = timedelta(hours=1)
CAP_LOCK = 0x64656C63  # "delc": who counts rows against a cap does it alone


def why_halt(run: EnforcementRun, settings: EnforcementSettings) -> str:
    """Why nothing of this run may be sent at the moment; empty where it may."""
    if run.status == RunStatusChoices.PAUSED:
        return f'paused: {run.halt_reason}'
    if run.status == RunStatusChoices.CANCELLED:
        return 'cancelled'
    if lane_of(run.kind) == ENFORCE and settings.stopped:
        return f'enforcement is stopped: {settings.stop_reason}'
    return ''


def deadline_passed(run: EnforcementRun, settings: EnforcementSettings, now: datetime) -> str:
    """The sentence by which a run is paused once it takes too long; empty while it does not."""
    since = run.taken_up_at or run.started_at
    minutes = settings.deadline_minutes
    if lane_of(run.kind) == RESTORE or not minutes or since is None or now < since + timedelta(minutes=minutes):
        return ''
    return f'it has taken longer than its deadline of {minutes} minutes'


def why_held(run: EnforcementRun, point: int) -> str:
    """Why it is of no use to queue this point of a run at the moment; empty where it is."""
    if run.status == RunStatusChoices.CANCELLED or lane_of(run.kind) == RESTORE:
        return ''
    settings = EnforcementSettings.load()
    if halt := why_halt(run, settings):
        return halt
    left, sentence = budget(settings, EnforcementPoint.objects.get(pk=point), timezone.now())
    return sentence if left == 0 else ''


def note_halt(run: EnforcementRun, reason: str) -> None:
    """Let whoever looks at a running run see why nothing is sent."""
    running = EnforcementRun.objects.filter(pk=run.pk, status=RunStatusChoices.RUNNING)
    running.exclude(halt_reason=reason).update(halt_reason=reason)


def forget_halt(run: EnforcementRun, reason: str) -> None:
    """Take back what was noted, where it is still what is shown."""
    EnforcementRun.objects.filter(pk=run.pk, halt_reason=reason).update(halt_reason='')


def budget(settings: EnforcementSettings, point: EnforcementPoint, now: datetime) -> tuple[int | None, str]:
    """How many more rows may be sent at this point within the hour (`None`: no cap), and which cap says so.

    Counts what was sent within the last hour, and what is claimed to be sent, over all runs that take access away.
    In a transaction, others that count wait until it ends.
    """
    caps = []
    if settings.max_rows_per_hour or point.max_rows_per_hour:
        with connection.cursor() as cursor:
            cursor.execute('SELECT pg_advisory_xact_lock(%s, 0)', [CAP_LOCK])
    if cap := settings.max_rows_per_hour:
        # By point, since the index is: the log of five years is not read for the last hour of it.
        points = list(EnforcementPoint.objects.order_by().values_list('pk', flat=True))
        sentence = f'the cap of {cap} rows an hour is reached: it goes on as the hour moves on'
        caps.append((max(0, cap - _rows_since(points, now)), sentence))
    if cap := point.max_rows_per_hour:
        sentence = f'the cap of {point} of {cap} rows an hour is reached: it goes on as the hour moves on'
        caps.append((max(0, cap - _rows_since([point.pk], now)), sentence))
    return min(caps, default=(None, ''))


def _rows_since(points: list[int], now: datetime) -> int:
    since = now - HOUR
    rows = EnforcementChange.objects.filter(point__in=points, run__kind__in=kinds_of(ENFORCE))
    claimed = Q(claimed_at__gt=since, sent_at__isnull=True, outcome='', run__status=RunStatusChoices.RUNNING)
    return rows.filter(sent_at__gt=since).count() + rows.filter(claimed).count()
