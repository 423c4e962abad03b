"""The stages of all contracts at once: two statements, whatever their number, writing only what changed."""

from __future__ import annotations

import uuid
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.contrib.contenttypes.models import ContentType
from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper
from django.db.models import Exists, OuterRef
from django.utils import timezone

from ..choices import HoldKindChoices, LineChannelChoices, LineStatusChoices
from ..models import AccessLine, Contract
from ..models.billing import UNREAD
from ..models.sides import is_in_effect
from . import stages
from .actions import STAGE_ACTIONS
from .days import ensure_start_days
from .sql import compose

__all__ = ('Evaluation', 'evaluate', 'frozen', 'parameters', 'plan_for_all')


@dataclass(frozen=True, slots=True)
class Evaluation:
    """How many rows were written: contracts whose position changed, lines whose intended state did."""

    contracts: int
    lines: int


def parameters(
    now: datetime, contracts: Collection[int] | None = None, effect: datetime | None = None
) -> dict[str, Any]:
    """What the statements are given. `effect`: when a stage reached now takes effect; None where that shows."""
    return {
        'now': now,
        'effect': effect,
        'zone': timezone.get_default_timezone_name(),
        'contracts': list(contracts or ()),
        'actions': [action.name for action in STAGE_ACTIONS],
        'action_modes': [str(action.mode) for action in STAGE_ACTIONS],
        'relieving': list(HoldKindChoices.RELIEVING),
        'contract_type': ContentType.objects.get_for_model(Contract).pk,
        'request': uuid.uuid4(),
        'unread': UNREAD,
        'late': stages.FEED_IS_LATE,
        'on_hold': stages.ON_HOLD,
        'in_review': stages.IN_REVIEW,
        'is_exempt': stages.IS_EXEMPT,
        'no_notice': stages.NO_NOTICE,
        'too_little': stages.TOO_LITTLE,
        'no_calendar': stages.NO_CALENDAR,
    }


def frozen(now: datetime, contracts: Collection[int]) -> dict[int, str]:
    """Why nothing more may be taken from these contracts at `now`, by primary key; those that nothing freezes are
    missing.

    Asked once more before something is sent: a stage that was reached is kept while a hold is active, but what it
    wants may not have been done yet. Writes nothing.
    """
    with connection.cursor() as cursor:
        cursor.execute(compose('frozen_contracts', contracts='chosen_contracts'), parameters(now, contracts))
        return dict(cursor.fetchall())


def plan_for_all(cursor: CursorWrapper, yes: bool = True) -> None:
    """Settings of this transaction for a statement over all contracts, or back to those for few.

    The planner takes the stages and holds for far fewer than they are, and would loop where it must hash; compiling
    the statement costs more than it gains.
    """
    wanted = {'work_mem': '256MB', 'enable_nestloop': 'off', 'enable_mergejoin': 'off', 'jit': 'off'}
    for name, value in wanted.items():
        cursor.execute(f'SET LOCAL {name} = {value!r}' if yes else f'SET LOCAL {name} TO DEFAULT')


def evaluate(now: datetime, contracts: Collection[int] | None = None) -> Evaluation:
    """Put every active contract (or those with the given primary keys) where it belongs at `now`."""
    chosen = 'every_contract' if contracts is None else 'chosen_contracts'
    given = parameters(now, contracts)
    ensure_start_days(timezone.localdate(now))
    with transaction.atomic(), connection.cursor() as cursor:
        if contracts is None:
            plan_for_all(cursor)
        else:
            # Nobody else writes them now: whatever changed until here is seen by the statements below.
            cursor.execute(compose('lock_contracts'), given)
            cursor.execute(compose('lock_lines'), given)
        cursor.execute(compose('move_contracts', contracts=chosen), given)
        moved = cursor.fetchone()[0]
        cursor.execute(compose('move_lines', contracts=chosen), given)
        lines = cursor.rowcount
        _take_effect(now, contracts)
        return Evaluation(moved, lines)


def _take_effect(now: datetime, contracts: Collection[int] | None) -> None:
    """A stage has taken effect once no line of its contract is otherwise: nobody is blocked because a throttle that
    was never approved, or never reached its router, is said to have lasted long enough."""
    waiting = Contract.objects.filter(stage__isnull=False, took_effect_at=None, in_relief=False)
    if contracts is not None:
        waiting = waiting.filter(pk__in=contracts)
    lines = AccessLine.objects.filter(contract=OuterRef('pk'), status=LineStatusChoices.ACTIVE).order_by()
    elsewise = lines.exclude(*map(is_in_effect, LineChannelChoices.SIDES))
    waiting.filter(~Exists(elsewise)).update(took_effect_at=now)
