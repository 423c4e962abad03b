"""The ladder as a pure function of one contract's facts. `evaluate.py` is the same in SQL; a test holds them equal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from nornir_tasks.change import AccessState

FEED_IS_LATE = 'The billing feed is late: no step up is taken until it is heard again.'


@dataclass(frozen=True, slots=True)
class Stage:
    """A rung: from `after_days` whole days after the oldest open due date on."""

    pk: int
    after_days: int
    action: str  # a value of StageActionChoices


@dataclass(frozen=True, slots=True)
class ContractFacts:
    """What policy may look at. `stages` are the policy's, in any order; none where the contract has no policy."""

    oldest_due_date: date | None
    awaiting_clearing: bool
    feed_is_late: bool
    stages: Sequence[Stage]
    stage: Stage | None  # where the contract stands now


@dataclass(frozen=True, slots=True)
class Standing:
    """Where the contract belongs, and what comes next when nothing is paid."""

    stage: Stage | None
    next_stage: Stage | None
    next_action_on: date | None
    note: str = ''


def stand(facts: ContractFacts, today: date) -> Standing:
    """Where a contract stands on `today`, in the time zone of the installation.

    A late feed never lets it climb: what would be the next step is held until billing is heard again. A step down is
    taken at once, and so is all the way down where nothing is owed or the payment only awaits clearing.
    """
    if facts.oldest_due_date is None or facts.awaiting_clearing:
        return Standing(None, None, None)
    ladder = sorted(facts.stages, key=lambda stage: stage.after_days)
    days = (today - facts.oldest_due_date).days
    due = [stage for stage in ladder if stage.after_days <= days]
    target = due[-1] if due else None
    if facts.feed_is_late and _is_harder(target, facts.stage):
        assert target is not None
        held_on = facts.oldest_due_date + timedelta(days=target.after_days)
        return Standing(facts.stage, target, held_on, FEED_IS_LATE)
    later = [stage for stage in ladder if stage.after_days > days]
    if not later:
        return Standing(target, None, None)
    return Standing(target, later[0], facts.oldest_due_date + timedelta(days=later[0].after_days))


def _is_harder(target: Stage | None, present: Stage | None) -> bool:
    return target is not None and (present is None or target.after_days > present.after_days)


def intended_state(action: str | None, throttled: AccessState) -> AccessState:
    """How a line of a contract on a stage with that action should be; `throttled` is its plan's reduced state."""
    if action == 'throttle':
        return throttled
    return AccessState.blocked() if action == 'block' else AccessState.normal()
