"""Two devices with one identity: copied configurations, forged serial numbers, a factory's mistake.

Their Informs come by turns from two places. Whatever is asked of the one is done at whichever comes next, so nothing
new is asked of either; what is owed back is given back.
"""

from __future__ import annotations

from typing import NamedTuple

WITHIN_S = 24 * 3600.0  # this long without another turn, and it is one device again
_TURNS = 3  # there, back, and there again: a device that has moved does not come back
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
        place = f'{address} ({url or "no URL"}, software {software_version or "?"})'
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
        return count == _TURNS

    def conflict(self, device_id: str, now: float) -> str:
        """A sentence that names both places; empty where there is one device, as far as we know."""
        turns = self._turns.get(device_id)
        if turns is None or turns.turns < _TURNS or now - turns.at > WITHIN_S:
            return ''
        return f'two devices have the identity {device_id}: {turns.here} and {turns.there} inform by turns'
