"""What a person, the breaker or a deadline does to a run that is under way: pause, resume, cancel.

All take effect between two rows: whoever works a point asks the journal, and that asks the run's status.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from core.models import Job, ObjectType
from django.db import transaction
from extras.models import Notification

from ..choices import OutcomeChoices, RunStatusChoices
from ..events import RUN_COMPLETED, RUN_PAUSED, send_run_event
from ..models import EnforcementRun
from .errors import RunRefusedError
from .lanes import held_points, lane_of

__all__ = ('START', 'cancel_run', 'is_alive', 'notify_starter', 'pause_run', 'resume_run')

START = 'Enforcement run'  # name of the job by which a person starts a run

# A runbook that gave no sign of life for so long is taken for dead, and its claims with it.
DEAD_AFTER = timedelta(seconds=90)


def is_alive(run: EnforcementRun, now: datetime) -> bool:
    """Whether the runbook that has the run gave a sign of life lately; workers show theirs by the locks they hold."""
    return bool(run.executor) and run.heartbeat_at is not None and run.heartbeat_at > now - DEAD_AFTER


@transaction.atomic
def pause_run(run: EnforcementRun, reason: str, now: datetime) -> None:
    """Nothing more is sent until a person resumes it; what was sent is read back. Raises `RunRefusedError`."""
    locked = EnforcementRun.objects.select_for_update().get(pk=run.pk)
    if locked.status == RunStatusChoices.PAUSED:
        return
    if locked.status != RunStatusChoices.RUNNING:
        raise RunRefusedError(f'run "{run}" is {locked.status}: only a running one can be paused')
    locked.advance(status=RunStatusChoices.PAUSED, halt_reason=reason[:500])
    send_run_event(locked, RUN_PAUSED)
    notify_starter(locked, RUN_PAUSED)


@transaction.atomic
def resume_run(run: EnforcementRun, now: datetime, executor: str = '') -> EnforcementRun:
    """Go on where it was paused, by NetBox's workers or a runbook. Raises `RunRefusedError`.

    Whoever resumes has seen what was wrong: the breaker counts, and the deadline runs, from now; the points' state now
    is what later losses are measured by.
    """
    locked = EnforcementRun.objects.select_for_update().get(pk=run.pk)
    if locked.status != RunStatusChoices.PAUSED:
        raise RunRefusedError(f'run "{run}" is {locked.status}: only a paused one can be resumed')
    if executor:
        # Workers take rows up where they stand; a runbook would send those that one has in hand once more.
        in_hand = locked.changes.filter(outcome='', claimed_at__isnull=False)
        busy = in_hand.filter(point__in=held_points(lane_of(run.kind))).values_list('point__name', flat=True)
        if points := ', '.join(sorted(set(busy))):
            raise RunRefusedError(f'a worker is still at {points}: try again in a moment')
    elif is_alive(locked, now) and locked.changes.filter(outcome='', claimed_at__isnull=False).exists():
        raise RunRefusedError(f'{locked.executor} still has rows in hand: try again in a moment')
    locked.points.update(sessions_before=None, latency_before_s=None, sessions_now=None, latency_now_s=None)
    locked.advance(
        status=RunStatusChoices.RUNNING, executor=executor, taken_up_at=now, heartbeat_at=now, halt_reason=''
    )
    return locked


@transaction.atomic
def cancel_run(run: EnforcementRun, now: datetime) -> None:
    """End a run, whether it has begun or not. Raises `RunRefusedError` for one that has ended.

    Rows that were not sent are closed here and now; those that were are read back by whoever sent them, or, where that
    worker is dead, by the next.
    """
    locked = EnforcementRun.objects.select_for_update().get(pk=run.pk)
    if locked.status not in RunStatusChoices.OPEN:
        raise RunRefusedError(f'run "{run}" is {locked.status}: it can no longer be cancelled')
    if locked.started_at:
        locked.changes.filter(outcome='', sent_at__isnull=True).update(
            outcome=OutcomeChoices.SKIPPED, message='cancelled', finished_at=now
        )
    run.advance(status=RunStatusChoices.CANCELLED, finished_at=now, halt_reason='')
    if locked.started_at:
        send_run_event(run, RUN_COMPLETED)


def notify_starter(run: EnforcementRun, event_type: str) -> None:
    """Tell the person who started this run, if one did: once a run, whatever its points' jobs did."""
    object_type = ObjectType.objects.get_for_model(run)
    jobs = Job.objects.filter(object_type=object_type, object_id=run.pk, name=START, user__isnull=False)
    started = jobs.order_by('-created').first()
    if started is not None:
        known = {'user': started.user, 'object_type': object_type, 'object_id': run.pk}
        # NetBox keeps one notification for each user and object.
        Notification.objects.filter(**known).delete()
        Notification(user=started.user, object=run, event_type=event_type).save()
