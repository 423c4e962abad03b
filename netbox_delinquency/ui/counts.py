"""Counts with a colour and a link, each of only what the user may see: device pages, run pages and the dashboard."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode

from django.db.models import Count as CountRows
from django.db.models import Q, QuerySet
from django.utils.translation import gettext as _
from utilities.choices import ChoiceSet
from utilities.views import get_action_url

from ..choices import AccessModeChoices, LineStatusChoices, OutcomeChoices, RunStatusChoices
from ..models import AccessLine, BillingEvent, BillingSource, EnforcementChange, EnforcementPoint, EnforcementRun
from ..models.sides import POINT, UNVERIFIED, is_ours, is_over_enforced, is_right

__all__ = (
    'Count',
    'Drift',
    'drift_by_point',
    'drifting',
    'events_to_review',
    'late_sources',
    'lines_by_intended_state',
    'open_runs',
    'rows_by_outcome',
)


@dataclass(frozen=True, slots=True)
class Count:
    label: str
    number: int
    color: str
    url: str


def _count_by(queryset: QuerySet, field: str, choices: type[ChoiceSet], link: Callable[[str], str]) -> list[Count]:
    """One `Count` for each value of the field that occurs, in the order of the choices."""
    numbers = dict(queryset.order_by().values_list(field).annotate(number=CountRows('pk')))
    return [
        Count(str(label), numbers[value], choices.colors.get(value) or 'secondary', link(value))
        for value, label in choices
        if value in numbers
    ]


def _url(model, **params) -> str:
    return f'{get_action_url(model, action="list")}?{urlencode(params, doseq=True)}'


def _active_lines(user, points: Iterable[EnforcementPoint] | None) -> tuple[QuerySet, dict]:
    """The active lines the user may see (those at `points`, where given), and the list's parameters for them."""
    lines = AccessLine.objects.restrict(user, 'view').filter(status=LineStatusChoices.ACTIVE)
    params: dict[str, Any] = {'status': LineStatusChoices.ACTIVE}
    if points is not None:
        points = list(points)
        lines = lines.filter(Q(bras__in=points) | Q(acs__in=points))
        params['point_id'] = [point.pk for point in points]
    return lines, params


def lines_by_intended_state(user, points: Iterable[EnforcementPoint] | None = None) -> list[Count]:
    lines, params = _active_lines(user, points)
    return _count_by(
        lines, 'intended_mode', AccessModeChoices, lambda mode: _url(AccessLine, **params, intended_mode=mode)
    )


def drifting(user, points: Iterable[EnforcementPoint] | None = None) -> Count:
    lines, params = _active_lines(user, points)
    number = lines.drifting().count()
    return Count(_('Drift'), number, 'yellow' if number else 'green', _url(AccessLine, **params, drifting='true'))


def foreign(user, points: Iterable[EnforcementPoint] | None = None) -> Count:
    """Lines that somebody else restricts: theirs, and never lifted by us."""
    lines, params = _active_lines(user, points)
    number = lines.foreign().count()
    return Count(_('Foreign blocks'), number, 'pink' if number else 'green', _url(AccessLine, **params, foreign='true'))


@dataclass(frozen=True, slots=True)
class Drift:
    """The drifting lines of a point; those unverified are counted as that and as nothing else."""

    point: str
    url: str
    over_enforced: int = 0
    under_enforced: int = 0
    unverified: int = 0

    @property
    def rows(self) -> int:
        return self.over_enforced + self.under_enforced + self.unverified


def drift_by_point(user, point: EnforcementPoint | None = None, most: int = 10) -> list[Drift]:
    """Where lines drift, most first, on either side; of one point where it is given."""
    lines = AccessLine.objects.restrict(user, 'view').filter(status=LineStatusChoices.ACTIVE).order_by()
    found: dict[int, Drift] = {}
    for side, name in POINT.items():
        here = lines.filter(~is_right(side), **({name: point} if point else {f'{name}__isnull': False}))
        unverified = Q(**{UNVERIFIED[side]: True})
        rows = here.values_list(name, f'{name}__name').annotate(
            over_enforced=CountRows('pk', filter=is_over_enforced(side) & is_ours(side) & ~unverified),
            unverified=CountRows('pk', filter=unverified),
            total=CountRows('pk'),
        )
        for pk, label, over_enforced, unverified, total in rows:
            known = found.get(pk) or Drift(label, _url(AccessLine, point_id=pk, drifting='true'))
            found[pk] = replace(
                known,
                over_enforced=known.over_enforced + over_enforced,
                under_enforced=known.under_enforced + total - over_enforced - unverified,
                unverified=known.unverified + unverified,
            )
    return sorted(found.values(), key=lambda drift: (-drift.rows, drift.point))[:most]


def open_runs(user) -> list[Count]:
    runs = EnforcementRun.objects.restrict(user, 'view').filter(status__in=RunStatusChoices.OPEN)
    return _count_by(runs, 'status', RunStatusChoices, lambda status: _url(EnforcementRun, status=status))


def late_sources(user) -> list[Count]:
    sources = BillingSource.objects.restrict(user, 'view').filter(enabled=True)
    number = sum(source.late for source in sources)
    return [Count(_('Late billing sources'), number, 'red', _url(BillingSource))] if number else []


def events_to_review(user) -> list[Count]:
    number = BillingEvent.objects.restrict(user, 'view').filter(needs_attention=True).count()
    url = _url(BillingEvent, needs_attention='true')
    return [Count(_('Billing events to review'), number, 'red', url)] if number else []


def rows_by_outcome(user, run: EnforcementRun) -> list[Count]:
    """The run's rows by outcome, and how many have none yet."""
    rows = EnforcementChange.objects.restrict(user, 'view').filter(run=run)
    closed = _count_by(
        rows, 'outcome', OutcomeChoices, lambda outcome: _url(EnforcementChange, run_id=run.pk, outcome=outcome)
    )
    open_ = rows.filter(finished_at__isnull=True).count()
    if not open_:
        return closed
    return [*closed, Count(_('Open'), open_, 'secondary', _url(EnforcementChange, run_id=run.pk, is_closed='false'))]
