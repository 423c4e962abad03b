"""May a row be sent by the facts as they are now? Asked when it is claimed, and again right before it is sent."""

from __future__ import annotations

from datetime import datetime

from nornir_tasks.change import AccessState, Reading

from ..choices import ContractStatusChoices, LineStatusChoices, PointStatusChoices
from ..models import AccessLine, Contract, EnforcementChange, Restriction
from ..models.state import most_restrictive
from ..policy.facts import may_start
from ..reasons import Reason, ReasonCode
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
        return Reason.of(ReasonCode.RETIRED)
    if point is None or point.pk != row.point_id:
        return Reason.of(ReasonCode.MOVED, point=point)
    if (identity := line.identity_at(row.channel)) != row.identity:
        return Reason.of(ReasonCode.RENAMED, identity=identity or 'without a name there', approved=row.identity)
    if point.status != PointStatusChoices.ACTIVE:
        return Reason.of(ReasonCode.POINT_NOT_ACTIVE, point=point, point_status=point.status)
    if row.values is not None:
        if point.is_unverified and not (row.run_id and row.run.reverts_id):
            return Reason.of(ReasonCode.POINT_UNVERIFIED, point=point)
        # Parameters of a CPE, not its access: what is owed has no bearing on them.
        return why_mode(point, None, by_person=True)
    assert row.desired is not None
    intended = line.intended_at(row.channel)
    if row.run_id and row.run.reverts_id:
        if row.desired.is_more_restrictive_than(intended):
            return Reason.of(ReasonCode.REVERT_EXCEEDS_POLICY, intended=intended)
    elif row.desired != intended:
        if intended == AccessState.normal():
            return Reason.of(ReasonCode.PAID)
        return Reason.of(ReasonCode.POLICY_WANTS_OTHER, intended=intended)
    elif line.pinned and row.desired.is_more_restrictive_than(AccessState.normal()):
        return Reason.of(ReasonCode.PINNED)
    return _why_foreign(row, line, found) or _restricting_refusal(row, contract, now, frozen, found)


def lift_refusal(row: EnforcementChange, restriction: Restriction, holder: AccessLine | None, has_right: bool) -> str:
    """Why what was left behind may not be lifted by this row; empty where it may. `holder` has the place by now."""
    if not restriction.is_open:
        return Reason.of(ReasonCode.LIFTED_ALREADY, how=str(restriction.get_lifted_how_display()).lower())
    if row.point.status != PointStatusChoices.ACTIVE:
        return Reason.of(ReasonCode.POINT_NOT_ACTIVE, point=row.point, point_status=row.point.status)
    if holder is not None and holder.intended_at(row.channel) != AccessState.normal():
        return Reason.of(ReasonCode.PLACE_TAKEN, line=holder, intended=holder.intended_at(row.channel))
    if holder is None and not has_right and row.run.author_id is None:
        return Reason.of(ReasonCode.NO_RIGHT)
    return ''


def _why_foreign(row: EnforcementChange, line: AccessLine, found: Reading | None) -> str:
    """What is restricted without being ours is another's: neither lifted, nor restricted more, nor taken for ours."""
    seen = most_restrictive(found) if found is not None else None
    if seen is None or seen == AccessState.normal() or line.is_ours_at(row.channel):
        return ''
    return Reason.of(ReasonCode.FOREIGN, found=seen)


def _restricting_refusal(
    row: EnforcementChange, contract: Contract, now: datetime, frozen: str, found: Reading | None
) -> str:
    assert row.desired is not None
    source, expected = contract.source, row.expected or AccessState.normal()
    by_person = row.run_id is not None and row.run.approver_id is not None
    # By its more restrictive half: where the session is normal and the stored policy blocks, a throttle still gives
    # back.
    seen = most_restrictive(found) if found is not None else None
    was = seen if seen is not None and expected.is_more_restrictive_than(seen) else expected
    restricts = row.desired.is_more_restrictive_than(was)
    if restricts and row.point.is_unverified:
        return Reason.of(ReasonCode.POINT_UNVERIFIED, point=row.point)
    if restricts and not source.enabled:
        return Reason.of(ReasonCode.SOURCE_DISABLED, source=source)
    if restricts and source.is_silent(now):
        return Reason.of(ReasonCode.SOURCE_SILENT, source=source)
    if restricts and frozen:
        return Reason.of(ReasonCode.CONTRACT_FROZEN, why=frozen)
    # Whatever an evaluation made of it: who owes nothing loses nothing.
    if restricts and (contract.oldest_due_date is None or contract.awaiting_clearing):
        return Reason.of(ReasonCode.NOTHING_OWED)
    # What relaxes is held by nothing, so what restricts must not go that way.
    if (
        restricts
        and not row.desired.is_more_restrictive_than(expected)
        and row.run_id
        and queue_of_kind(row.run.kind) == RESTORE
    ):
        code = ReasonCode.REVERT_WOULD_RESTRICT if row.run.reverts_id else ReasonCode.RESTORE_WOULD_RESTRICT
        return Reason.of(code, found=was)
    if restricts and (reason := why_mode(row.point, contract.policy, by_person)):
        return reason
    # A run may be approved, or resumed, days after it was planned: the hour that counts is the one it is sent at.
    if restricts and not may_start(contract, row.desired_mode, now):
        return Reason.of(ReasonCode.CLOSED_HOURS)
    return ''
