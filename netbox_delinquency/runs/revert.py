"""Going back: a run, or some of its rows, put back to what was read before they were sent. Itself a run, with a plan.

A revert never takes access away that policy does not want taken: who paid meanwhile is left out, and named.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from django.db import transaction
from django.db.models import QuerySet
from django.utils.translation import gettext as _

from nornir_tasks.change import AccessState, Reading

from ..choices import LineStatusChoices, OutcomeChoices, RunKindChoices, RunStatusChoices
from ..errors import DelinquencyError, RunRefusedError
from ..models import AccessLine, EnforcementChange, EnforcementRun
from ..models.state import most_restrictive, set_state
from ..reasons import Reason, ReasonCode, stored, translated
from .locks import RESTORE, queue_of_kind
from .plan import make_run

if TYPE_CHECKING:
    from users.models import User


__all__ = ('LeftOut', 'Reverting', 'is_revertible', 'may_revert_to', 'plan_revert', 'should_pin', 'unpin')

# What may have changed something. An offline line has the stored policy of its next session changed.
SENT = (
    OutcomeChoices.APPLIED, OutcomeChoices.OFFLINE, OutcomeChoices.PARTIAL, OutcomeChoices.FAILED,
    OutcomeChoices.UNKNOWN,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A row that is not put back, and why."""

    row: int
    line: str
    reason: str

    @property
    def sentence(self) -> str:
        """The reason, in the reader's language."""
        return translated(self.reason)

    @property
    def code(self) -> str:
        return stored(self.reason)[0]


@dataclass(frozen=True, slots=True)
class Reverting:
    """The runs planned, what gives access back first, and the rows left out of them."""

    runs: tuple[EnforcementRun, ...]
    left_out: tuple[LeftOut, ...]


def is_revertible(run: EnforcementRun) -> bool:
    """Something may have been sent, and nothing is being sent now."""
    return run.started_at is not None and run.status != RunStatusChoices.RUNNING


@transaction.atomic
def plan_revert(
    run: EnforcementRun,
    now: datetime,
    rows: Iterable[int] | None = None,
    *,
    author: User | None = None,
    lines: QuerySet[AccessLine] | None = None,
) -> Reverting:
    """Plan to put the run's rows that were sent (of them those in `rows`, by primary key) back as they were before.

    What gives access back is a run of the restore queue; what takes more than the line has now, and no more than policy
    wants, is one with waves; values of CPEs are a third. Each waits to be reviewed and approved. `lines` restricts it
    to these lines (those a user may enforce). Raises `RunRefusedError` while the run is under way, where one of `rows`
    is not a row of the run, and where it sent nothing.
    """
    if not is_revertible(run):
        raise RunRefusedError(Reason.of(ReasonCode.NOT_REVERTIBLE, run=run, status=run.status))
    chosen = run.changes.filter(sent_at__isnull=False, outcome__in=SENT)
    if rows is not None:
        wanted = set(rows)
        if strange := wanted - set(run.changes.filter(pk__in=wanted).values_list('pk', flat=True)):
            unknown = ', '.join(map(str, sorted(strange)))
            raise RunRefusedError(Reason.of(ReasonCode.NO_SUCH_ROWS, run=run, rows=unknown))
        chosen = chosen.filter(pk__in=wanted)
    barred: set[int] = set()
    if lines is not None:
        barred = set(chosen.exclude(line__in=lines.order_by().values('pk')).values_list('pk', flat=True))
    planned: dict[str, list[EnforcementChange]] = {}
    left_out = []
    for row in chosen.select_related('line__contract', 'line__bras', 'line__acs', 'point').order_by('pk'):
        if row.pk in barred:
            left_out.append(LeftOut(row.pk, '', Reason.of(ReasonCode.LINE_NOT_YOURS)))
            continue
        try:
            reverting = _reverting(row)
        except _LeftOutError as error:
            left_out.append(LeftOut(row.pk, row.subject, error.args[0]))
            continue
        planned.setdefault(_kind(reverting), []).append(reverting)
    if not planned and not left_out:
        raise RunRefusedError(Reason.of(ReasonCode.NOTHING_TO_REVERT, run=run))
    order = (RunKindChoices.RESTORE, RunKindChoices.ENFORCE, RunKindChoices.PROFILE)
    name = _('Revert of {run}').format(run=run)[:100]
    runs = [make_run(planned[kind], kind, name, author=author, reverts=run) for kind in order if kind in planned]
    return Reverting(tuple(runs), tuple(left_out))


class _LeftOutError(DelinquencyError):
    pass


def _reverting(row: EnforcementChange) -> EnforcementChange:
    """The row that puts this one back. Raises `_LeftOutError` where it may or can not be put back."""
    line, side = row.line, row.channel
    if line is None:
        raise _LeftOutError(_('no line has this place any more'))
    before = row.before or {}
    state = before.get('live') or before.get('stored')
    if state is None or before.get('error'):
        raise _LeftOutError(Reason.of(ReasonCode.NOT_READ_BEFORE))
    if before.get('live') and before.get('stored') and before['live'] != before['stored']:
        raise _LeftOutError(Reason.of(ReasonCode.PARTIALLY_APPLIED_BEFORE))
    if line.status != LineStatusChoices.ACTIVE:
        raise _LeftOutError(Reason.of(ReasonCode.LINE_NOT_ACTIVE))
    if line.point_at(side) != row.point:
        raise _LeftOutError(Reason.of(ReasonCode.LINE_MOVED, point=line.point_at(side)))
    if line.identity_at(side) != row.identity:
        text = _('the line is now called {name}, and was {identity}')
        raise _LeftOutError(text.format(name=line.identity_at(side), identity=row.identity))
    reverting = EnforcementChange(exact=before.get('detail') or None, reason=f'revert of run {row.run_id}')
    reverting.be_about(line, side)
    set_state(reverting, 'expected', line.known_at(side))
    if 'values' in state:
        reverting.values = state['values']
        return reverting
    desired = AccessState.from_dict(state)
    if not may_revert_to(desired, line, side):
        raise _LeftOutError(Reason.of(ReasonCode.REVERT_TAKES_ACCESS, before=desired, intended=line.intended_at(side)))
    set_state(reverting, 'desired', desired)
    return reverting


def _kind(row: EnforcementChange) -> str:
    if row.values is not None:
        return RunKindChoices.PROFILE
    assert row.desired is not None
    takes = row.desired.is_more_restrictive_than(row.expected or AccessState.normal())
    return RunKindChoices.ENFORCE if takes else RunKindChoices.RESTORE


def may_revert_to(desired: AccessState, line: AccessLine, side: str) -> bool:
    """Whether a reverting row may still bring its line to `desired`: nothing more restrictive than policy wants now."""
    return not desired.is_more_restrictive_than(line.intended_at(side))


def should_pin(row: EnforcementChange, line: AccessLine) -> bool:
    """Whether a line is pinned as this row of a run is closed: reverted by hand to less than policy wants.

    Without it the next evaluation would do again what was just undone; so a revert that did not quite succeed pins too,
    and one that was not sent because its line was found with more access than it would have given back.
    """
    if row.run.reverts_id is None or row.desired is None:
        return False
    if row.outcome == OutcomeChoices.SKIPPED and not _was_found_less_restricted(row):
        return False
    return line.intended_at(row.channel).is_more_restrictive_than(row.desired)


def _was_found_less_restricted(row: EnforcementChange) -> bool:
    """Whether what was to give access back would have taken it from how its line was found."""
    found = most_restrictive(Reading.from_dict(row.after)) if row.after else None
    assert row.desired is not None
    return found is not None and queue_of_kind(row.run.kind) == RESTORE and row.desired.is_more_restrictive_than(found)


@transaction.atomic
def unpin(lines: QuerySet[AccessLine]) -> int:
    """Let policy take hold of these pinned lines again; answers how many there were."""
    chosen = AccessLine.objects.filter(pk__in=lines.order_by().values('pk'), pinned=True)
    pinned = list(chosen.select_for_update(of=('self',)).order_by('pk'))
    for line in pinned:
        line.advance(pinned=False)
    return len(pinned)
