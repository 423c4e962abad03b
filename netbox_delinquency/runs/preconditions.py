"""May a row be sent by the facts as they are now? Asked when it is claimed, and again right before it is sent."""

from __future__ import annotations

from datetime import datetime

from nornir_tasks.change import AccessState, Reading

from ..choices import ContractStatusChoices, LineStatusChoices, PointStatusChoices
from ..models import AccessLine, Contract, EnforcementChange, Restriction
from ..models.state import most_restrictive
from ..policy.facts import may_start
from .locks import RESTORE, queue_of_kind
from .modes import why_mode

__all__ = ('lift_refusal', 'refusal_reason')


def refusal_reason(
    row: EnforcementChange, line: AccessLine, now: datetime, frozen: str = '', found: Reading | None = None
) -> str:
    """Why a row may not be sent by the facts as they are now; empty where it may.

    `frozen` says why nothing more may be taken from the contract at this moment (see `policy.evaluate.frozen`). `found`
    is how the line was just read: a box that forgot its blocks makes a way back of yesterday a restriction of today.
    """
    contract, point = line.contract, line.point_at(row.channel)
    if line.status != LineStatusChoices.ACTIVE or contract.status == ContractStatusChoices.TERMINATED:
        return 'retired: the line or its contract is no longer active'
    if point is None or point.pk != row.point_id:
        return f'moved: the line is now at {point}'
    if (identity := line.identity_at(row.channel)) != row.identity:
        return f'renamed: the line is now {identity or "without a name there"}, and {row.identity} was approved'
    if point.status != PointStatusChoices.ACTIVE:
        return f'{point} is in {point.get_status_display().lower()}'
    if row.values is not None:
        # Parameters of a CPE, not its access: what is owed has no bearing on them.
        return why_mode(point, None, by_person=True)
    assert row.desired is not None
    intended = line.intended_at(row.channel)
    if row.run_id and row.run.reverts_id:
        if row.desired.is_more_restrictive_than(intended):
            return f'policy now wants this line {intended}, and a revert never takes more than policy does'
    elif row.desired != intended:
        if intended == AccessState.normal():
            return 'paid: policy now wants this line normal'
        return f'policy now wants this line {intended}'
    elif line.pinned and row.desired.is_more_restrictive_than(AccessState.normal()):
        return 'pinned: it was reverted by hand, and policy has not changed its mind since'
    return _why_foreign(row, line, found) or _restricting_refusal(row, contract, now, frozen, found)


def lift_refusal(row: EnforcementChange, restriction: Restriction, holder: AccessLine | None, has_right: bool) -> str:
    """Why what was left behind may not be lifted by this row; empty where it may. `holder` has the place by now."""
    if not restriction.is_open:
        return f'it is {restriction.get_lifted_how_display().lower()} already'
    if row.point.status != PointStatusChoices.ACTIVE:
        return f'{row.point} is in {row.point.get_status_display().lower()}'
    if holder is not None and holder.intended_at(row.channel) != AccessState.normal():
        return f'line {holder} has this place by now, and policy wants it {holder.intended_at(row.channel)}'
    if holder is None and not has_right and row.run.author_id is None:
        return 'nobody has a right to this place any more: a person may lift it'
    return ''


def _why_foreign(row: EnforcementChange, line: AccessLine, found: Reading | None) -> str:
    """What is restricted without being ours is another's: neither lifted, nor restricted more, nor taken for ours."""
    seen = most_restrictive(found) if found is not None else None
    if seen is None or seen == AccessState.normal() or line.is_ours_at(row.channel):
        return ''
    return f'foreign: the line was found {seen}, and not by us; adopt it, or have it lifted by whoever did that'


def _restricting_refusal(
    row: EnforcementChange, contract: Contract, now: datetime, frozen: str, found: Reading | None
) -> str:
    assert row.desired is not None
    source, expected = contract.source, row.expected or AccessState.normal()
    # By its more restrictive half: where the session is normal and the stored policy blocks, a throttle still gives
    # back.
    seen = most_restrictive(found) if found is not None else None
    was = seen if seen is not None and expected.is_more_restrictive_than(seen) else expected
    restricts = row.desired.is_more_restrictive_than(was)
    if restricts and not source.enabled:
        return f'frozen: billing source {source} is disabled'
    if restricts and source.is_silent(now):
        return f'frozen: nothing was heard from billing source {source} for too long'
    if restricts and frozen:
        return f'frozen: {frozen}'
    # Whatever an evaluation made of it: who owes nothing loses nothing.
    if restricts and (contract.oldest_due_date is None or contract.awaiting_clearing):
        return 'paid: nothing is owed'
    # What gives back is held by nothing, so what takes away must not go that way.
    if (
        restricts
        and not row.desired.is_more_restrictive_than(expected)
        and row.run_id
        and queue_of_kind(row.run.kind) == RESTORE
    ):
        then = 'and a revert takes none' if row.run.reverts_id else 'and is planned anew as that'
        return f'the line was found {was}: this would take access away, {then}'
    if restricts and (reason := why_mode(row.point, contract.policy, row.run.approver_id is not None)):
        return reason
    # A run may be approved, or resumed, days after it was planned: the hour that counts is the one it is sent at.
    if restricts and not may_start(contract, row.desired_mode, now):
        return 'closed: by the policy nothing may start at this hour; plan it again'
    return ''
