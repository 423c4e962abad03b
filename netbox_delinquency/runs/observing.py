"""What came of a row, written onto the row and onto its line: only where the line still has the place that was read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

from django.db.models import QuerySet

from nornir_tasks.change import ChangeResult, Outcome, Reading

from ..choices import LineChannelChoices
from ..models import AccessLine, EnforcementChange, Restriction
from ..models.restriction import Place
from ..models.sides import BASELINE, FOREIGN, OBSERVED, POINT, RESTRICTION, UNVERIFIED
from ..models.state import state_fields
from ..reasons import message_columns, restored, stored
from .revert import should_pin

__all__ = ('OBSERVATION', 'close_row', 'is_at', 'last_said', 'note_refusals', 'observe', 'with_facts')

# The columns of a line that a read-back writes.
OBSERVATION = [
    column
    for side in LineChannelChoices.SIDES
    for column in (
        *state_fields(OBSERVED[side]),
        f'{OBSERVED[side]}_at',
        UNVERIFIED[side],
        BASELINE[side],
        FOREIGN[side],
        RESTRICTION[side],
    )
]


def with_facts(pks: Iterable[int]) -> QuerySet[AccessLine]:
    lines = AccessLine.objects.filter(pk__in=list(pks)).select_related(
        'contract__source',
        'contract__plan',
        'contract__policy__calendar',
        'contract__calendar',
        'contract__stage',
        'bras',
        'acs',
    )
    return lines.prefetch_related('contract__policy__stages')


def last_said(row: EnforcementChange, result: ChangeResult) -> Reading | None:
    """What was read of the row's place last of all, where that says how the place is now."""
    if row.values is not None:
        return None
    return result.after if result.after is not None else result.before if row.sent_at is None else None


def close_row(row: EnforcementChange, result: ChangeResult, now: datetime) -> None:
    outcome, message = result.outcome, result.message
    if outcome is Outcome.NOOP and row.sent_at is not None:
        # Sent before its worker died, and found as desired by the one that resumed it.
        outcome = Outcome.APPLIED
    said = last_said(row, result)
    if row.restriction_id and said is not None and said.absent:
        # With the identity went whatever restricted it: there is nothing left to give back.
        outcome, message = Outcome.NOOP, f'gone: {said.error}'
    row.outcome, row.finished_at = str(outcome), now
    noted = restored('', row.message_code, row.message_params)
    # A runbook's text is the sentence that it was refused with: the code that was noted then is still its code.
    for name, value in message_columns(noted if noted == message else message).items():
        setattr(row, name, value)
    if row.before is None and result.before is not None:
        row.before = result.before.as_dict()
    row.after = result.after.as_dict() if result.after else None
    row.refused = result.refused


def note_refusals(rows: Mapping[str, EnforcementChange], refused: Mapping[str, str]) -> None:
    """Keep the codes of refusals on their rows; whoever works them closes them with the sentence alone."""
    noted = [rows[key] for key in refused]
    for row in noted:
        row.message_code, row.message_params = stored(refused[str(row.pk)])
    EnforcementChange.objects.bulk_update(noted, ['message_code', 'message_params'], batch_size=500)


def is_at(line: AccessLine, row: EnforcementChange) -> bool:
    """Whether the line still has the place that the row is about: else nothing that was read there is of it."""
    return getattr(line, f'{POINT[row.channel]}_id') == row.point_id and line.identity_at(row.channel) == row.identity


def observe(
    line: AccessLine, row: EnforcementChange, result: ChangeResult, still: Mapping[Place, Restriction], now: datetime
) -> None:
    """Write what was read back onto the line; a result without a reading says nothing about it.

    The baseline is taken from the journaled reading: of a resumed row the one from before it was first sent.
    """
    if last_said(row, result) is not None and row.place not in still:
        setattr(line, RESTRICTION[row.channel], None)
    before = Reading.from_dict(row.before) if row.before else None
    if before is not None and before.is_baseline:
        setattr(line, BASELINE[row.channel], dict(before.detail))
    if result.after is not None:
        line.take(row.channel, result.after, now)
    if should_pin(row, line):
        line.pinned = True  # or the next evaluation would undo what a person wanted
