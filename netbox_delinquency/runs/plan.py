"""Plans: which lines need a change, in immutable rows, and the runs and waves that these go into."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.db import connection, transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.db.models.functions import Now

from nornir_tasks.change import AccessState
from nornir_tasks.engine.waves import Waves, assign_waves

from ..choices import (
    AccessModeChoices,
    ApprovalChoices,
    EnforcementModeChoices,
    LineChannelChoices,
    LineStatusChoices,
    OutcomeChoices,
    PointStatusChoices,
    RunKindChoices,
    RunStatusChoices,
)
from ..errors import RunRefusedError
from ..models import AccessLine, Contract, EnforcementChange, EnforcementRun, EnforcementSettings
from ..models.sides import IDENTITY, POINT, RESTRICTION, is_covered, is_free, is_over_enforced, is_right
from ..models.state import is_state, set_state
from ..reasons import stop_columns
from .approval import RESTRICTING, approve_run, plan_hash
from .modes import is_observed, mode_at

if TYPE_CHECKING:
    from users.models import User


__all__ = ('make_run', 'plan_row', 'plan_runs', 'unplanned_lines')

# From so many rows on a plan is made known to the database's planner.
MANY = 500


def unplanned_lines() -> QuerySet[AccessLine]:
    """Drifting lines that no open run already brings to where they should be; without those pinned by hand.

    What gives access back waits for nobody: a plan of a person's, which they may never start, does not count. But it is
    not tried again and again where its point refused it lately, is not reached, or is not worked: it is owed, and shown
    so. Where a point or a policy only observes, nothing is taken.
    """
    goes_on = Q(run__status__in=(RunStatusChoices.RUNNING, RunStatusChoices.PAUSED)) | Q(
        run__status=RunStatusChoices.APPROVED, run__author=None, run__approver=None
    )
    wanting = Q()
    for side in LineChannelChoices.SIDES:
        rows = EnforcementChange.objects.filter(
            goes_on | RESTRICTING,
            line=OuterRef('pk'),
            point=OuterRef(POINT[side]),
            identity=OuterRef(IDENTITY[side]),
            channel=side,
            outcome='',
            run__status__in=RunStatusChoices.OPEN,
        )
        as_intended = rows.filter(
            Q(desired_down_kbps=OuterRef('intended_down_kbps')) | Q(desired_down_kbps__isnull=True),
            Q(desired_up_kbps=OuterRef('intended_up_kbps')) | Q(desired_up_kbps__isnull=True),
            desired_mode=OuterRef('intended_mode'),
        )
        as_normal = rows.filter(is_state('desired', AccessState.normal()))
        planned = is_covered(side) & Exists(as_intended) | ~is_covered(side) & Exists(as_normal)
        is_given_back = is_free(side) | is_over_enforced(side)
        waits = Q(**{f'{RESTRICTION[side]}__retry_at__gt': Now()}) | ~Q(
            **{f'{POINT[side]}__status': PointStatusChoices.ACTIVE}
        )
        may = is_given_back & ~waits | ~is_given_back & ~is_observed(side)
        wanting |= ~is_right(side) & ~planned & may
    # Whatever was pinned, access that policy gives back is given back.
    unpinned = Q(pinned=False) | Q(intended_mode=AccessModeChoices.NORMAL)
    return AccessLine.objects.drifting().filter(wanting, unpinned)


@transaction.atomic
def plan_runs(
    lines: QuerySet[AccessLine],
    now: datetime,
    *,
    author: User | None = None,
    name: str = '',
    restores_only: bool = False,
) -> list[EnforcementRun]:
    """Plan to bring the active ones of `lines` to their intended state; those that already are there get no row.

    What gives access back and what takes it away go into runs of their own: the first is approved as it is made, for
    a restore waits for nobody; the second waits for `approve_run`, unless the policy of every one of its contracts
    approves by itself, or lets drift from an approved change be repaired (those that do and those that do
    not are runs of their own, too). A run that its policy approves and a cap does not stays planned, for a person.
    Returns the runs, restores first; none where there is nothing to do. With `restores_only` what takes access away
    is left for later.
    """
    rows: dict[tuple[str, bool], list[EnforcementChange]] = {}
    lines = lines.filter(status=LineStatusChoices.ACTIVE).prefetch_related('contract__policy__stages')
    for line in lines.select_related('contract__policy', 'contract__stage', 'contract__plan', 'bras', 'acs'):
        for side in filter(line.drifts_at, line.sides):
            row = plan_row(line, side, line.intended_at(side), _reason(line))
            assert row.desired is not None
            is_restore = not row.desired.is_more_restrictive_than(row.expected or AccessState.normal())
            mode = mode_at(line, side)
            if not is_restore and (restores_only or mode == EnforcementModeChoices.OBSERVE):
                continue
            kind = RunKindChoices.RESTORE if is_restore else RunKindChoices.ENFORCE
            by_itself = mode == EnforcementModeChoices.ENFORCE and _approves_itself(line.contract)
            rows.setdefault((kind, is_restore or by_itself), []).append(row)
    _move_repairs(rows)

    runs = []
    for (kind, automatic), changes in sorted(rows.items(), reverse=True):
        run = make_run(changes, kind, name or f'{kind} {now:%Y-%m-%d %H:%M}', author=author)
        if automatic:
            _approve_by_policy(run, now)
        runs.append(run)
    return runs


def _move_repairs(rows: dict[tuple[str, bool], list[EnforcementChange]]) -> None:
    """Of the rows that wait for a person, those that repair what was once approved need none where policy says so."""
    waiting = rows.pop((RunKindChoices.ENFORCE, False), [])
    may = [row for row in waiting if row.line.contract.policy and row.line.contract.policy.repair_drift]
    reached = _last_reached(may) if may else {}
    for row in waiting:
        repairs = (row.line_id, row.channel) in reached and reached[row.line_id, row.channel] == row.desired
        repairs = repairs and mode_at(row.line, row.channel) == EnforcementModeChoices.ENFORCE
        rows.setdefault((RunKindChoices.ENFORCE, repairs), []).append(row)


def _last_reached(rows: list[EnforcementChange]) -> dict[tuple[int, str], AccessState]:
    """The state that the last closed change of each row's line reached on that side, where it did reach it.

    A skipped row changed nothing and counts for nothing; one that went wrong, or set values of a CPE, reached none.
    """
    closed = EnforcementChange.objects.filter(line__in=[row.line_id for row in rows], finished_at__isnull=False)
    access = closed.exclude(outcome=OutcomeChoices.SKIPPED).exclude(desired_mode='')
    last = access.order_by('line_id', 'channel', '-finished_at', '-pk').distinct('line_id', 'channel')
    return {(row.line_id, row.channel): row.desired for row in last if row.outcome in OutcomeChoices.SUCCESS}


def _approve_by_policy(run: EnforcementRun, now: datetime) -> None:
    """What a cap or the switch holds is kept as planned, with the reason on it: a person decides."""
    try:
        approve_run(run, run.plan_hash, now)
    except RunRefusedError as error:
        run.advance(**stop_columns(error.reason))


def plan_row(line: AccessLine, side: str, desired: AccessState, reason: str) -> EnforcementChange:
    """A row, not saved yet and without a run, that brings a line to a state on one of its sides."""
    row = EnforcementChange(reason=reason[:200])
    row.be_about(line, side)
    set_state(row, 'expected', line.known_at(side))
    set_state(row, 'desired', desired)
    return row


def make_run(rows: list[EnforcementChange], kind: str, name: str, **fields: Any) -> EnforcementRun:
    """A planned run of these rows: in waves (what gives access back goes in one), and with the hash over them."""
    run = EnforcementRun.objects.create(name=name, kind=kind, **fields)
    waves = {}
    if kind != RunKindChoices.RESTORE:
        by_point: dict[str, list[tuple[int, str]]] = {}
        for row in rows:
            by_point.setdefault(row.point.name, []).append((row.line_id, row.channel))
        waves = assign_waves(by_point, Waves.parse(EnforcementSettings.load().waves))
    for row in rows:
        row.run = run
        row.wave = waves.get((row.line_id, row.channel), 1)
    EnforcementChange.objects.bulk_create(rows, batch_size=2000)
    if len(rows) >= MANY:
        # Its page is opened now, and the database's own statistics follow minutes later: what it would make of
        # rows that it knows nothing of takes as long.
        with connection.cursor() as cursor:
            cursor.execute(f'ANALYZE {EnforcementChange._meta.db_table}')
    run.advance(plan_hash=plan_hash(run))
    return run


def _approves_itself(contract: Contract) -> bool:
    """The stage in force may ask for a person, or do without one; else it is as the policy says."""
    if contract.policy is None:
        return False
    force = contract.policy.in_force(contract.stage)
    if force is not None and force.approval != ApprovalChoices.POLICY:
        return force.approval == ApprovalChoices.AUTO
    return contract.policy.auto_approve


def _reason(line: AccessLine) -> str:
    stage = line.contract.stage
    if stage is None:
        return 'nothing is due'
    return f'{line.contract.policy}: {stage.action} after {stage.after_days} days, due {line.contract.oldest_due_date}'
