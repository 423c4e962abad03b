"""May a row be sent as the facts stand now? Asked when it is claimed, and again right before it is sent."""

from __future__ import annotations

from datetime import datetime

from nornir_tasks.change import AccessState, Reading

from ..choices import ContractStatusChoices, LineStatusChoices, PointStatusChoices
from ..models import AccessLine, Contract, EnforcementChange
from ..models.state import hardest
from ..policy.facts import may_start
from .locks import RESTORE, lane_of

__all__ = ('why_not',)


def why_not(
    row: EnforcementChange, line: AccessLine, now: datetime, spared: str = '', found: Reading | None = None
) -> str:
    """Why a row may not be sent as the facts stand now; empty where it may.

    `spared` says why nothing may get harder for the contract at this moment (see `policy.evaluate.frozen`). `found` is
    how the line was just read: a box that forgot its blocks makes a way back of yesterday a restriction of today.
    """
    contract, point = line.contract, line.point_at(row.channel)
    if line.status != LineStatusChoices.ACTIVE or contract.status == ContractStatusChoices.TERMINATED:
        return 'retired: the line or its contract is no longer active'
    if point is None or point.pk != row.point_id:
        return f'moved: the line is now at {point}'
    if point.status != PointStatusChoices.ACTIVE:
        return f'{point} is in {point.get_status_display().lower()}'
    if row.values is not None:
        return ''  # parameters of a CPE, not its access: what is owed has no bearing on them
    intended = line.intended_at(row.channel)
    if row.run_id and row.run.reverts_id:
        if row.desired.is_harder_than(intended):
            return f'policy now wants this line {intended}, and a revert never takes more than policy does'
        return _why_not_harder(row, contract, now, spared, found)
    if row.desired != intended:
        if intended == AccessState.normal():
            return 'paid: policy now wants this line normal'
        return f'policy now wants this line {intended}'
    if line.pinned and row.desired.is_harder_than(AccessState.normal()):
        return 'pinned: it was reverted by hand, and policy has not changed its mind since'
    return _why_not_harder(row, contract, now, spared, found)


def _why_not_harder(
    row: EnforcementChange, contract: Contract, now: datetime, spared: str, found: Reading | None
) -> str:
    source, expected = contract.source, row.expected or AccessState.normal()
    # By its harder half: where the session is normal and the stored policy blocks, a throttle still gives back.
    seen = hardest(found) if found is not None else None
    was = seen if seen is not None and expected.is_harder_than(seen) else expected
    is_harder = row.desired.is_harder_than(was)
    if is_harder and not source.enabled:
        return f'frozen: billing source {source} is disabled'
    if is_harder and source.is_silent(now):
        return f'frozen: nothing was heard from billing source {source} for too long'
    if is_harder and spared:
        return f'frozen: {spared}'
    # Whatever an evaluation made of it: who owes nothing loses nothing.
    if is_harder and (contract.oldest_due_date is None or contract.awaiting_clearing):
        return 'paid: nothing is owed'
    # What gives back is held by nothing, so what takes away must not go that way.
    if is_harder and not row.desired.is_harder_than(expected) and row.run_id and lane_of(row.run.kind) == RESTORE:
        then = 'and a revert takes none' if row.run.reverts_id else 'and is planned anew as that'
        return f'the line was found {was}: this would take access away, {then}'
    # A run may be approved, or resumed, days after it was planned: the hour that counts is the one it is sent at.
    if is_harder and not may_start(contract, row.desired_mode, now):
        return 'closed: by the policy nothing may start at this hour; plan it again'
    return ''
