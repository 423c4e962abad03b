"""The approval of a plan: of the hash over its rows, within the caps, and by four eyes where that is asked for."""

from __future__ import annotations

import hashlib
import json
from datetime import datetime
from typing import TYPE_CHECKING

from django.db import transaction
from django.db.models import F, Q

from ..choices import AccessModeChoices, RunStatusChoices
from ..errors import RunRefusedError
from ..models import EnforcementRun, EnforcementSettings
from ..reasons import Reason, ReasonCode, stop_columns
from .caps import caps_exceeded, is_bound
from .checks import unchecked_points
from .modes import why_by_person

if TYPE_CHECKING:
    from users.models import User


__all__ = ('RESTRICTING', 'approve_run', 'plan_hash')

ROW_FIELDS = (
    'line_id',
    'restriction_id',
    'point_id',
    'identity',
    'names',
    'channel',
    'wave',
    'expected_mode',
    'expected_down_kbps',
    'expected_up_kbps',
    'desired_mode',
    'desired_down_kbps',
    'desired_up_kbps',
    'values',
    'exact',
    'reason',
)

# Rows that take access away from how their line was last seen: as `AccessState.is_more_restrictive_than` says it.
RESTRICTING = (
    Q(desired_mode=AccessModeChoices.BLOCKED) & ~Q(expected_mode=AccessModeChoices.BLOCKED)
    | Q(desired_mode=AccessModeChoices.THROTTLED, expected_mode__in=('', AccessModeChoices.NORMAL))
    | Q(desired_mode=AccessModeChoices.THROTTLED, expected_mode=AccessModeChoices.THROTTLED)
    & (Q(desired_down_kbps__lt=F('expected_down_kbps')) | Q(desired_up_kbps__lt=F('expected_up_kbps')))
)


def plan_hash(run: EnforcementRun) -> str:
    """SHA-256 over the run's rows as they are in the database, in the order of their lines and channels.

    What a line is called on the wire is part of it: who is sent to is who was approved.
    """
    digest = hashlib.sha256()
    for row in run.changes.order_by('line_id', 'channel', 'pk').values_list(*ROW_FIELDS).iterator(chunk_size=2000):
        digest.update(json.dumps(row, sort_keys=True).encode() + b'\n')
    return digest.hexdigest()


def _has_written(run: EnforcementRun, user: User) -> bool:
    """Whether this user is the author of the run, or wrote any of its rows."""
    return run.author_id == user.pk or run.changes.filter(authors__contains=[user.pk]).exists()


@transaction.atomic
def approve_run(run: EnforcementRun, approved_hash: str, now: datetime, approver: User | None = None) -> None:
    """Approve the plan with that hash; without an approver it is its policy that approves.

    Raises `RunRefusedError` where the run's rows are no longer those, and, for what does not merely give access back,
    where it exceeds a cap, where enforcement is stopped, or where by four eyes somebody else has to approve. There is
    no way around a cap but to raise it, which the change log of the settings keeps.
    """
    locked = EnforcementRun.objects.select_for_update().get(pk=run.pk)
    if locked.status != RunStatusChoices.PLANNED:
        raise RunRefusedError(Reason.of(ReasonCode.NOT_PLANNED, run=run, status=locked.status))
    present = plan_hash(locked)
    if approved_hash != present:
        raise RunRefusedError(Reason.of(ReasonCode.ROWS_NOT_REVIEWED, run=run, hash=present[:12]))
    if not locked.changes.exists():
        raise RunRefusedError(Reason.of(ReasonCode.NO_ROWS, run=run))
    # A restore is bound by nothing: so it must be one, in each of the rows that a person may have added to its plan.
    if not is_bound(locked) and (takes := locked.changes.filter(RESTRICTING).count()):
        raise RunRefusedError(Reason.of(ReasonCode.RESTORE_RESTRICTS, run=run, rows=takes))
    settings = EnforcementSettings.load()
    if is_bound(locked) and settings.four_eyes and approver is not None and _has_written(locked, approver):
        raise RunRefusedError(Reason.of(ReasonCode.FOUR_EYES, run=run, approver=approver))
    if is_bound(locked) and approver is None and (why := why_by_person(locked)):
        raise RunRefusedError(Reason.of(ReasonCode.BY_PERSON, run=run, why=why))
    if reasons := [*caps_exceeded(locked, settings, now), *unchecked_points(locked, settings, now)]:
        raise RunRefusedError(Reason.of(ReasonCode.CAPS_EXCEEDED, run=run, reasons=reasons))
    run.advance(
        status=RunStatusChoices.APPROVED,
        **stop_columns(''),
        plan_hash=present,
        approved_hash=present,
        approved_at=now,
        approver=approver,
    )
