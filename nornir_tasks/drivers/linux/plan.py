"""From what a line is and how it stands to what is sent for it: all decisions of the `linux` driver. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from ipaddress import ip_network
from typing import Any

from nornir_tasks.change import AccessChange, AccessState, AccessTarget, Mode, Reading
from nornir_tasks.drivers.linux import tc
from nornir_tasks.drivers.linux.nft import Network, WalledLines
from nornir_tasks.drivers.linux.tc import LineError, Shaper

TABLE = re.compile(r'[a-z][a-z0-9_]{0,30}')  # names of ours; they end up in commands


@dataclass(frozen=True, slots=True)
class LinuxLine:
    """A line as found on the box. `obstacle` says why it cannot be shaped, though it can be walled.

    A walled line whose session is down has no interface: `interface` and `upload` are empty. `former` are networks that
    are still walled in a table that the point named before, with that table.
    """

    interface: str
    upload: str
    networks: tuple[Network, ...] = ()
    down: Shaper | None = None
    up: Shaper | None = None
    walled: tuple[Network, ...] = ()
    obstacle: str = ''
    former: tuple[tuple[str, Network], ...] = ()

    def as_detail(self) -> dict[str, Any]:
        return {
            **({'former': [[table, str(network)] for table, network in self.former]} if self.former else {}),
            'interface': self.interface,
            'upload': self.upload,
            'down': self.down and self.down.as_dict(),
            'up': self.up and self.up.as_dict(),
            'walled': [str(network) for network in self.walled],
            'obstacle': self.obstacle,
        }

    @classmethod
    def from_detail(cls, detail: Mapping[str, Any], networks: tuple[Network, ...]) -> LinuxLine:
        """Raises `LineError` for anything but what `as_detail` gave: it ends up in commands."""
        try:
            names = (detail['interface'], detail['upload'])
            walled = tuple(ip_network(text) for text in detail['walled'])
            down, up = saved_shaper(detail, 'down'), saved_shaper(detail, 'up')
            former = tuple((str(table), ip_network(text)) for table, text in detail.get('former', ()))
        except (KeyError, ValueError, TypeError):
            names, walled, down, up, former = ('', ''), (), None, None, ()
        if not all(TABLE.fullmatch(table) for table, _ in former):
            raise LineError('the reading is not in the form of this driver: read the line again')
        is_down = names == ('', '') and (walled or former) and detail.get('obstacle') and not (down or up)
        if not is_down and not all(isinstance(name, str) and tc.INTERFACE.fullmatch(name) for name in names):
            raise LineError('the reading is not in the form of this driver: read the line again')
        return cls(*names, networks, down, up, walled, detail.get('obstacle', ''), former)


def saved_shaper(detail: Mapping[str, Any], direction: str) -> Shaper | None:
    """The shaping that a `Reading.detail` recorded. Raises `LineError`."""
    saved = detail.get(direction)
    return Shaper.from_dict(saved) if saved else None


def contracted(target: AccessTarget, direction: str) -> int | None:
    """The rate in kbit/s below which a line is throttled: the contract's, else what was there while it was normal."""
    kbps = target.down_kbps if direction == 'down' else target.up_kbps
    if kbps is None:
        saved = saved_shaper(target.baseline, direction)
        kbps = saved.ceil // 1000 if saved else None
    return kbps


def speed_of(target: AccessTarget, line: LinuxLine) -> AccessState:
    """`normal` where the line is shaped to its contract, above it, or not at all; else `throttled`. `LineError`."""
    rates, below = [], False
    for direction, shaper in (('down', line.down), ('up', line.up)):
        contract = contracted(target, direction)
        if shaper and contract is None and shaper.is_ours:
            below = True  # ours is there for nothing else, whatever the plan has forgotten since
        elif shaper and contract is None and not (line.walled or line.former):
            raise LineError(f'it is shaped to {shaper.ceil // 1000} kbit/s {direction}, and has no contracted rate')
        now = shaper.ceil // 1000 if shaper else contract
        below = below or bool(shaper and contract and shaper.ceil // 1000 < tc.shown(contract))
        rates.append(now or 1)
    return AccessState.throttled(*rates) if below else AccessState.normal()


def reading_of(target: AccessTarget, line: LinuxLine, walled_lines: WalledLines) -> Reading:
    """What the box says of a line in the common language. Raises `LineError`."""
    detail = line.as_detail()
    speed = speed_of(target, line)
    if line.former:
        kept = {network for _, network in line.former} | set(line.walled)
        if kept >= set(line.networks) and line.interface:
            return Reading(live=AccessState.blocked(), detail=detail)
        return Reading(stored=AccessState.blocked(), live=speed if line.interface else None, detail=detail)
    if not line.walled:
        return Reading(live=speed, detail=detail)
    if len(line.walled) == len(line.networks) and walled_lines.is_intact:
        if not line.interface:
            return Reading(stored=AccessState.blocked(), detail=detail)
        return Reading(live=AccessState.blocked(), detail=detail)
    # Half of the addresses, or no rules behind the list: neither state is wholly true, and either can be repaired.
    return Reading(stored=AccessState.blocked(), live=speed, detail=detail)


def wanted_shaper(change: AccessChange, line: LinuxLine, direction: str) -> Shaper | None:
    """The class that `change` asks for in one direction; `None`: no shaping. Raises `LineError`."""
    target, have = change.target, line.down if direction == 'down' else line.up
    contract = contracted(target, direction)
    if change.desired.mode is Mode.THROTTLED:
        kbps = change.desired.down_kbps if direction == 'down' else change.desired.up_kbps
        assert kbps is not None
        if contract is None:
            raise LineError('the line has no contracted rates to come back to: set them in its plan')
        if tc.shown(kbps) != kbps:
            raise LineError(f'{kbps} kbit/s cannot be read back: from 1 Gbit/s on, use whole Mbit/s')
        return tc.shaped_to(kbps, have)
    recorded = change.exact or target.baseline
    saved = saved_shaper(recorded, direction)
    if change.desired.mode is Mode.BLOCKED:
        return saved if change.exact and saved and have else have
    if saved and (contract is None or saved.ceil // 1000 >= tc.shown(contract)):
        if have is None:
            return saved if saved.is_ours else None  # what others shape is theirs to set up again
        return replace(saved, classid=have.classid, parent=have.parent)
    if recorded and not saved and (have is None or have.is_ours):
        return None
    if contract is None:
        if have is None or have.is_ours:
            return None
        if line.walled or line.former:
            return have  # what others shape must not stand between a line and its being let out
        raise LineError('neither a contracted rate nor a normal reading says what to restore: set them in its plan')
    return tc.shaped_to(contract, have)


@dataclass(frozen=True, slots=True)
class Row:
    """What one change sends."""

    ip: tuple[str, ...] = ()
    tc: tuple[str, ...] = ()
    wall: tuple[Network, ...] = ()
    unwall: tuple[Network, ...] = ()
    former: tuple[tuple[str, Network], ...] = ()


def plan_row(change: AccessChange, line: LinuxLine) -> Row:
    """Pure: from a line as read to the batch lines of one change. Raises `LineError` where it must not be sent."""
    blocks = change.desired.mode is Mode.BLOCKED
    if blocks and not line.networks:
        raise LineError('the line has no address to put behind the wall')
    down, up = (wanted_shaper(change, line, direction) for direction in ('down', 'up'))
    if change.desired.mode is Mode.THROTTLED:
        rates = [(change.desired.down_kbps, 'down'), (change.desired.up_kbps, 'up')]
        if all((kbps or 0) >= tc.shown(contracted(change.target, direction) or 0) for kbps, direction in rates):
            raise LineError(f'{change.desired} is not below the contracted rates')
    if line.obstacle:
        if change.desired.mode is Mode.THROTTLED:
            raise LineError(line.obstacle)
        # Shaping that others do must not stand between a line and its being let out from the wall.
        down, up = line.down and down, line.up and up
    ip_lines: list[str] = []
    tc_lines: list[str] = []
    if down != line.down:
        tc_lines += tc.download_lines(line.interface, line.down, down)
    if up != line.up:
        if line.up is None:
            ip_lines += tc.device_lines(line.upload)
        tc_lines += tc.upload_lines(line.interface, line.upload, line.up, up)
    if blocks:
        return Row(tuple(ip_lines), tuple(tc_lines), wall=line.networks)
    return Row(tuple(ip_lines), tuple(tc_lines), unwall=line.walled, former=line.former)
