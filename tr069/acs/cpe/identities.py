"""Two devices with one identity: copied configurations, forged serial numbers, a factory's mistake.

Their Informs come by turns from two places. Whatever is asked of the one is done at whichever comes next, so nothing
new is asked of either; what is owed back is given back. This is what one process saw of them; what all did together is
in the store (`store.places`).
"""

from __future__ import annotations

from typing import NamedTuple

from tr069.acs.store.places import TURNS, WITHIN_S, conflict_of, place_of

_MAX_DEVICES = 1_000_000


class _Turns(NamedTuple):
    here: str
    there: str
    there_hash: int
    turns: int
    at: float


class Identities:
    """What the Informs of each device say of where it is."""

    def __init__(self) -> None:
        self._places: dict[str, int] = {}  # a hash each: there may be very many
        self._turns: dict[str, _Turns] = {}  # of the few that have changed their place

    def seen(self, device_id: str, address: str, url: str, software_version: str, now: float) -> bool:
        """Take note of an Inform. True where this is the moment at which one device turns out to be two."""
        place = place_of(address, url, software_version)
        known = self._places.get(device_id)
        self._places[device_id] = hash(place)
        if known is None or known == hash(place):
            if len(self._places) > _MAX_DEVICES:
                self._places.clear()
            return False
        before = self._turns.get(device_id)
        if before is None or now - before.at > WITHIN_S:
            self._turns[device_id] = _Turns(place, '', known, 1, now)
            return False
        # A turn is a return to where it came from the time before; a third place begins the count anew.
        count = before.turns + 1 if before.there_hash == hash(place) else 1
        self._turns[device_id] = _Turns(place, before.here, known, count, now)
        return count == TURNS

    def conflict(self, device_id: str, now: float) -> str:
        """A sentence that names both places; empty where there is one device, as far as we know."""
        turns = self._turns.get(device_id)
        if turns is None or turns.turns < TURNS or now - turns.at > WITHIN_S:
            return ''
        return conflict_of(device_id, turns.here, turns.there)
