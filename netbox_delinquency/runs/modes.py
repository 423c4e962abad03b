"""How far enforcement goes for a line: its point and its policy both must agree, so the lesser of the two holds."""

from __future__ import annotations

from django.db.models import Q

from ..choices import EnforcementModeChoices
from ..models import AccessLine, DelinquencyPolicy, EnforcementPoint, EnforcementRun
from ..models.sides import POINT
from ..reasons import Reason, ReasonCode

__all__ = ('is_observed', 'mode_at', 'mode_of', 'why_by_person', 'why_mode')

ORDER = (EnforcementModeChoices.OBSERVE, EnforcementModeChoices.ASSIST, EnforcementModeChoices.ENFORCE)


def mode_of(point: EnforcementPoint, policy: DelinquencyPolicy | None) -> str:
    """The mode that holds at a point for the contracts of a policy."""
    modes = [point.mode, policy.mode if policy is not None else EnforcementModeChoices.ENFORCE]
    return min(modes, key=ORDER.index)


def mode_at(line: AccessLine, side: str) -> str:
    point = line.point_at(side)
    assert point is not None
    return mode_of(point, line.contract.policy)


def is_observed(side: str) -> Q:
    """Lines from which nothing is taken on this side: their point, or their policy, only observes."""
    observe = EnforcementModeChoices.OBSERVE
    return Q(**{f'{POINT[side]}__mode': observe}) | Q(contract__policy__mode=observe)


def why_mode(point: EnforcementPoint, policy: DelinquencyPolicy | None, by_person: bool) -> str:
    """Why nothing may be taken here, by the mode; empty where it may. `by_person`: a person approved it."""
    mode = mode_of(point, policy)
    who = point if point.mode == mode else policy
    if mode == EnforcementModeChoices.OBSERVE:
        return Reason.of(ReasonCode.MODE_OBSERVE, who=who)
    if mode == EnforcementModeChoices.ASSIST and not by_person:
        return Reason.of(ReasonCode.MODE_ASSIST, who=who)
    return ''


def why_by_person(run: EnforcementRun) -> str:
    """Why no policy approves this run by itself; empty where the modes of all its rows let it."""
    enforce = EnforcementModeChoices.ENFORCE
    held = run.changes.exclude(
        Q(point__mode=enforce)
        & (Q(line__contract__policy__isnull=True) | Q(line__contract__policy__mode=enforce) | Q(line__isnull=True))
    )
    row = held.select_related('point', 'line__contract__policy').first()
    return why_mode(row.point, row.line.contract.policy if row.line else None, by_person=False) if row else ''
