"""What a stage may do to a line: the one table that choices, evaluation, SQL and pages read.

An action is added here, between the lighter and the heavier one, and nowhere else: see docs/extending/stage-action.md.
"""

from __future__ import annotations

from dataclasses import dataclass

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from nornir_tasks.change import Mode

__all__ = ('STAGE_ACTIONS', 'StageAction', 'action_of', 'is_restricting', 'weight_of')


@dataclass(frozen=True, slots=True)
class StageAction:
    """`mode` is the access that a line has while this is the heaviest action which its contract has reached."""

    name: str  # kept in the database: at most 30 characters, never renamed
    label: str | Promise
    mode: Mode
    color: str
    description: str | Promise = ''

    @property
    def is_restricting(self) -> bool:
        return self.mode is not Mode.NORMAL

    @property
    def is_contact(self) -> bool:
        """It only tells the subscriber something: the days and hours of contact bind it, not those of a start."""
        return not self.is_restricting

    def is_suspension(self, throttle_is_suspension: bool) -> bool:
        """Whether the law on suspending a service binds it. Of a throttle that is the policy's to say."""
        return self.mode is Mode.BLOCKED or (self.mode is Mode.THROTTLED and throttle_is_suspension)


# From the lightest to the heaviest: the order is the weight.
STAGE_ACTIONS = (
    StageAction('remind', _('Remind'), Mode.NORMAL, 'cyan', _('Billing is asked to remind; access stays')),
    StageAction('notice', _('Give notice'), Mode.NORMAL, 'blue', _('Billing is asked for the notice; access stays')),
    StageAction('warn', _('Warn page'), Mode.NORMAL, 'yellow', _('A page is to be shown; access stays')),
    StageAction('throttle', _('Throttle'), Mode.THROTTLED, 'orange'),
    StageAction('block', _('Block'), Mode.BLOCKED, 'red'),
    StageAction(
        'propose_termination', _('Propose termination'), Mode.BLOCKED, 'purple', _('A person decides; stays blocked')
    ),
)
_BY_NAME = {action.name: action for action in STAGE_ACTIONS}


def action_of(name: str) -> StageAction:
    """Raises `KeyError` for a name that is not in the table."""
    return _BY_NAME[name]


def is_restricting(name: str) -> bool:
    return _BY_NAME[name].is_restricting


def weight_of(name: str) -> int:
    """The place in the table: of two actions the heavier has the larger weight."""
    return STAGE_ACTIONS.index(_BY_NAME[name])
