"""What stops a run that takes access away: a person, the kill switch, its deadline, the caps an hour.

What gives access back is held by a person alone.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from django.utils import timezone

from ..choices import RunStatusChoices
from ..models import EnforcementPoint, EnforcementRun, EnforcementSettings
from ..reasons import Reason, ReasonCode, stop_columns
from .caps import budget
from .locks import ENFORCE, RESTORE, queue_of_kind

__all__ = ('clear_stop_reason', 'deadline_passed', 'note_stop_reason', 'stop_reason_at', 'stop_reason_of')


def stop_reason_of(run: EnforcementRun, settings: EnforcementSettings) -> str:
    """Why nothing of this run may be sent at the moment; empty where it may."""
    if run.status == RunStatusChoices.PAUSED:
        return Reason.of(ReasonCode.PAUSED, why=run.stopped_because)
    if run.status == RunStatusChoices.CANCELLED:
        return Reason.of(ReasonCode.CANCELLED)
    if queue_of_kind(run.kind) == ENFORCE and settings.stopped:
        return Reason.of(ReasonCode.KILL_SWITCH, why=settings.stop_reason)
    return ''


def deadline_passed(run: EnforcementRun, settings: EnforcementSettings, now: datetime) -> str:
    """The sentence by which a run is paused once it takes too long; empty while it does not."""
    since = run.resumed_at or run.started_at
    minutes = settings.deadline_minutes
    if queue_of_kind(run.kind) == RESTORE or not minutes or since is None or now < since + timedelta(minutes=minutes):
        return ''
    return Reason.of(ReasonCode.DEADLINE, minutes=minutes)


def stop_reason_at(run: EnforcementRun, point: int) -> str:
    """Why it is of no use to queue this point of a run at the moment; empty where it is."""
    if run.status == RunStatusChoices.CANCELLED or queue_of_kind(run.kind) == RESTORE:
        return ''
    settings = EnforcementSettings.load()
    if stop_reason := stop_reason_of(run, settings):
        return stop_reason
    left, sentence = budget(settings, EnforcementPoint.objects.get(pk=point), timezone.now())
    return sentence if left == 0 else ''


def note_stop_reason(run: EnforcementRun, reason: str) -> None:
    """Show at a running run why nothing is sent."""
    running = EnforcementRun.objects.filter(pk=run.pk, status=RunStatusChoices.RUNNING)
    running.exclude(stop_reason=reason).update(**stop_columns(reason))


def clear_stop_reason(run: EnforcementRun, reason: str) -> None:
    """Take back what was noted, where it is still what is shown."""
    EnforcementRun.objects.filter(pk=run.pk, stop_reason=reason).update(**stop_columns(''))
