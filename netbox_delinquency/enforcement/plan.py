"""Plans: immutable rows with a hash over them, and the approval of that hash."""

from __future__ import annotations

import hashlib
import json
from datetime import datetime

from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet

from nornir_tasks.change import AccessState

from ..choices import ApprovalChoices, LineStatusChoices, RunKindChoices, RunStatusChoices
from ..models import AccessLine, EnforcementChange, EnforcementRun
from ..models.state import set_state
from .errors import RunRefusedError

__all__ = ('approve_run', 'cancel_run', 'plan_hash', 'plan_runs', 'unplanned_lines')

ROW_FIELDS = (
    'line_id',
    'point_id',
    'expected_mode',
    'expected_down_kbps',
    'expected_up_kbps',
    'desired_mode',
    'desired_down_kbps',
    'desired_up_kbps',
    'reason',
)


def plan_hash(run: EnforcementRun) -> str:
    """SHA-256 over the run's rows as they stand in the database, in the order of their lines."""
    digest = hashlib.sha256()
    for row in run.changes.order_by('line_id').values_list(*ROW_FIELDS).iterator(chunk_size=2000):
        digest.update(json.dumps(row).encode() + b'\n')
    return digest.hexdigest()


def unplanned_lines() -> QuerySet[AccessLine]:
    """Drifting lines that no open run already brings to where they should be."""
    planned = EnforcementChange.objects.filter(
        Q(desired_down_kbps=OuterRef('intended_down_kbps')) | Q(desired_down_kbps__isnull=True),
        Q(desired_up_kbps=OuterRef('intended_up_kbps')) | Q(desired_up_kbps__isnull=True),
        line=OuterRef('pk'),
        desired_mode=OuterRef('intended_mode'),
        outcome='',
        run__status__in=RunStatusChoices.OPEN,
    )
    return AccessLine.objects.drifting().filter(~Exists(planned))


@transaction.atomic
def plan_runs(
    lines: QuerySet[AccessLine], now: datetime, *, author=None, name: str = '', restores_only: bool = False
) -> list[EnforcementRun]:
    """Plan to bring the active ones of `lines` to their intended state; those that already are there get no row.

    What gives access back and what takes it away go into runs of their own: the first is approved as it is made, for
    a restore waits for nobody; the second waits for `approve_run`, unless the policy of every one of its contracts
    approves by itself (those that do and those that do not are runs of their own, too). Returns the runs, restores
    first; none where there is nothing to do. With `restores_only` what takes access away is left for later.
    """
    rows: dict[tuple[str, bool], list[EnforcementChange]] = {}
    lines = lines.filter(status=LineStatusChoices.ACTIVE)
    for line in lines.select_related('contract__policy', 'contract__stage', 'contract__plan', 'bras', 'acs'):
        desired, expected = line.intended, line.observed
        if line.point is None or not line.is_drifting:
            continue
        is_restore = not desired.is_harder_than(expected or AccessState.normal())
        if restores_only and not is_restore:
            continue
        automatic = is_restore or _approves_itself(line.contract)
        row = EnforcementChange(line=line, point=line.point, reason=_reason(line))
        set_state(row, 'expected', expected)
        set_state(row, 'desired', desired)
        kind = RunKindChoices.RESTORE if is_restore else RunKindChoices.ENFORCE
        rows.setdefault((kind, automatic), []).append(row)

    runs = []
    for (kind, automatic), changes in sorted(rows.items(), reverse=True):
        run = EnforcementRun.objects.create(name=name or f'{kind} {now:%Y-%m-%d %H:%M}', kind=kind, author=author)
        for change in changes:
            change.run = run
        EnforcementChange.objects.bulk_create(changes, batch_size=2000)
        run.advance(plan_hash=plan_hash(run))
        if automatic:
            approve_run(run, run.plan_hash, now)
        runs.append(run)
    return runs


def _approves_itself(contract) -> bool:
    """The stage may ask for a person, or do without one; else it is as the policy says."""
    if contract.stage is not None and contract.stage.approval != ApprovalChoices.POLICY:
        return contract.stage.approval == ApprovalChoices.AUTO
    return bool(contract.policy and contract.policy.auto_approve)


def _reason(line: AccessLine) -> str:
    stage = line.contract.stage
    if stage is None:
        return 'nothing is due'
    return f'{line.contract.policy}: {stage.action} after {stage.after_days} days, due {line.contract.oldest_due_date}'


@transaction.atomic
def approve_run(run: EnforcementRun, approved_hash: str, now: datetime, approver=None) -> None:
    """Approve the plan with that hash. Raises `RunRefusedError` where the run's rows are no longer those."""
    locked = EnforcementRun.objects.select_for_update().get(pk=run.pk)
    if locked.status != RunStatusChoices.PLANNED:
        raise RunRefusedError(f'run "{run}" is {locked.status}, only a planned one can be approved')
    present = plan_hash(locked)
    if approved_hash != present:
        raise RunRefusedError(
            f'the rows of run "{run}" are not those of the plan you saw (now {present[:12]}): look at them again'
        )
    if not locked.changes.exists():
        raise RunRefusedError(f'run "{run}" has no rows')
    run.advance(
        status=RunStatusChoices.APPROVED,
        plan_hash=present,
        approved_hash=present,
        approved_at=now,
        approver=approver,
    )


@transaction.atomic
def cancel_run(run: EnforcementRun, now: datetime) -> None:
    """End a run that has not started. Raises `RunRefusedError` for one that has."""
    locked = EnforcementRun.objects.select_for_update().get(pk=run.pk)
    if locked.status not in (RunStatusChoices.PLANNED, RunStatusChoices.APPROVED):
        raise RunRefusedError(f'run "{run}" is {locked.status}: it can no longer be cancelled')
    run.advance(status=RunStatusChoices.CANCELLED, finished_at=now)
