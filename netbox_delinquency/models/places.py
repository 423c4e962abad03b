"""Where a line is: point and identity as sent, on each side. What was known of one place says nothing about another."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from nornir_tasks.change import AccessTarget
from nornir_tasks.drivers import Driver, available_drivers, get_driver

from ..choices import LineChannelChoices, LineStatusChoices
from .restriction import Restriction
from .sides import BASELINE, FOREIGN, IDENTITY, OBSERVED, POINT, RESTRICTION, UNVERIFIED
from .state import set_state, state_fields

if TYPE_CHECKING:
    from .access import AccessLine

__all__ = ('identities_of', 'identity_at', 'settle_new', 'settle_places')


def identities_of(line: AccessLine) -> dict[str, Any]:
    """Every name that the line has on the wire, as `AccessTarget` takes them."""
    return {
        'username': line.username,
        'circuit_id': line.circuit_id,
        'ipv4': line.ipv4 or '',
        'ipv6': line.ipv6,
        'mac': str(line.mac or ''),
        'cwmp_id': line.cwmp_id,
    }


@cache
def _driver(name: str) -> type[Driver]:
    # A point may be older than the package that brought its driver: a user name is what nearly all of them send.
    return get_driver(name) if name in available_drivers() else Driver


def identity_at(line: AccessLine, side: str) -> str:
    """The line as its point on this side is told of it; empty where it has no point, or no name for that driver."""
    point = line.point_at(side)
    return _driver(point.driver).identity(AccessTarget('', **identities_of(line))) if point is not None else ''


def settle_new(lines: Sequence[AccessLine]) -> None:
    """Give lines that are made in bulk their identities, and what is open of ours at their places."""
    for side in LineChannelChoices.SIDES:
        places = {}
        for line in lines:
            setattr(line, IDENTITY[side], identity := identity_at(line, side))
            point = getattr(line, f'{POINT[side]}_id')
            if point and identity and line.status == LineStatusChoices.ACTIVE:
                places[point, identity, side] = line
        for place, found in Restriction.objects.at(places).items():
            setattr(places[place], RESTRICTION[side], found)
            setattr(places[place], UNVERIFIED[side], True)


def settle_places(line: AccessLine, known: AccessLine | None) -> list[str]:
    """Bring a line's identities, and what is known of it, in step with its points, names and status.

    `known` is the line as it is stored. What is open of ours at a place that is left stays there; what is open at the
    place come to is the line's from now on; both are noted on the line, for whoever follows it (`signals`). Returns the
    columns that were written.
    """
    line.touched_restrictions = set()
    written: list[str] = []
    for side in LineChannelChoices.SIDES:
        point, identity = getattr(line, f'{POINT[side]}_id'), identity_at(line, side)
        is_here = line.status == LineStatusChoices.ACTIVE
        if known is not None:
            was = (getattr(known, f'{POINT[side]}_id'), getattr(known, IDENTITY[side]), known.status)
            if was == (point, identity, line.status):
                held = getattr(known, f'{RESTRICTION[side]}_id')
                if held and known.contract_id != line.contract_id:
                    line.touched_restrictions.add(held)
                continue
        held = getattr(known, f'{RESTRICTION[side]}_id') if known is not None else None
        setattr(line, IDENTITY[side], identity)
        place = (point, identity, side)
        found = Restriction.objects.at([place]).get(place) if is_here and point and identity else None
        setattr(line, RESTRICTION[side], found)
        line.touched_restrictions |= {pk for pk in (held, found and found.pk) if pk}
        written += [IDENTITY[side], RESTRICTION[side]]
        if known is None:
            setattr(line, UNVERIFIED[side], getattr(line, UNVERIFIED[side]) or found is not None)
            continue
        if was[:2] == (point, identity) and not is_here:
            continue  # retired where it is: how it was last seen there stays, as history
        set_state(line, OBSERVED[side], None)
        setattr(line, f'{OBSERVED[side]}_at', None)
        setattr(line, BASELINE[side], {})
        setattr(line, FOREIGN[side], [])
        setattr(line, UNVERIFIED[side], bool(point))
        written += [
            *state_fields(OBSERVED[side]),
            f'{OBSERVED[side]}_at',
            BASELINE[side],
            FOREIGN[side],
            UNVERIFIED[side],
        ]
    return written
