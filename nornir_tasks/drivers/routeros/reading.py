"""How a line stands, from what its RouterOS box holds. No I/O."""

from __future__ import annotations

import ipaddress
from typing import Any

from nornir_tasks.change import AccessState, AccessTarget, Mode, Reading
from nornir_tasks.drivers.routeros.box import Box, Queue, host_target, is_true, normal_address
from nornir_tasks.drivers.routeros.line import Line, RefusedError

SHORTEST_PREFIX = 40  # no subscriber has more of IPv6 than this; a shorter one is a slip that would hit many


def read_line(line: Line, box: Box) -> Reading:
    """Raises `RefusedError` where the line cannot be told from others."""
    _check_addresses(line.target)
    return _read_ppp(line, box) if line.target.username else _read_static(line, box)


def _check_addresses(target: AccessTarget) -> None:
    try:
        if target.ipv4:
            ipaddress.IPv4Address(target.ipv4)
        if target.ipv6 and ipaddress.IPv6Network(target.ipv6, strict=False).prefixlen < SHORTEST_PREFIX:
            raise RefusedError(f"{target.ipv6} is more than one subscriber's prefix")
    except ValueError as error:
        raise RefusedError(f"the line's address is wrong: {error}") from None


def _read_ppp(line: Line, box: Box) -> Reading:
    name = line.target.username
    secrets, sessions = box.secrets.get(name, []), box.sessions.get(name, [])
    if len(secrets) != 1:
        raise RefusedError(
            f'{len(secrets) or "no"} PPP secrets are called "{name}"; exactly one is needed'
            + ('' if secrets else ' (a subscriber kept in RADIUS needs the driver of the RADIUS server)')
        )
    if len(sessions) > 1:
        raise RefusedError(f'{len(sessions)} sessions are called "{name}": set only-one=yes, or end all but one')
    secret = secrets[0]
    session = sessions[0] if sessions else None
    address = session['address'] if session else ''
    interface = box.interface(name)
    queue = _static_queue(line, box, *((interface, host_target(address)) if session else ()))
    fixed = secret['remote-address']  # a pool's name, or the address itself
    entries = _own_entries(line, box, address, fixed)

    stored = AccessState.blocked() if is_true(secret['disabled']) else line.profile_state(secret['profile'])
    if stored.mode is Mode.NORMAL and queue and line.throttles_by_queue:
        stored = line.rate_state(queue.rates)
    if ['ip', fixed] in entries or _has_ipv6(entries):
        stored = AccessState.blocked()

    live: AccessState | None = None
    detail: dict[str, Any] = {
        'kind': 'ppp',
        'profile': secret['profile'],
        'disabled': is_true(secret['disabled']),
        'fixed_address': bool(address) and fixed == address,
        'queue': _queue_detail(queue),
        'entries': entries,
        'session': None,
    }
    if session:
        by_profile = box.entries.get(normal_address(address)) is True
        dynamic = box.dynamic_queues.get(interface)
        own = AccessState.blocked() if by_profile else line.session_state(dynamic.rates if dynamic else None, stored)
        detail['session'] = {'address': address, 'state': own.as_dict()}
        listed = own.mode is Mode.BLOCKED or ['ip', address] in entries
        live = own
        if queue and line.rate_state(queue.rates).mode is Mode.THROTTLED:
            live = line.rate_state(queue.rates)
        if listed:
            live = AccessState.blocked()
        if _is_half_blocked(line, listed, entries):
            stored, live = AccessState.normal(), AccessState.blocked()
    return Reading(stored, live, detail)


def _read_static(line: Line, box: Box) -> Reading:
    """A line without PPP: what is configured for its address is both stored and live."""
    target = line.target
    if not target.ipv4 and not target.ipv6:
        raise RefusedError('the line has neither a PPP user name nor an address')
    queue = _static_queue(line, box, *((host_target(target.ipv4),) if target.ipv4 else ()))
    entries = _own_entries(line, box, target.ipv4)
    state = line.rate_state(queue.rates) if queue else AccessState.normal()
    if queue and queue.name == line.own_queue_name and queue.rates:
        state = queue.rates.throttled()
    if entries:
        state = AccessState.blocked()
    detail = {'kind': 'static', 'queue': _queue_detail(queue), 'entries': entries, 'session': None}
    if target.ipv4 and _is_half_blocked(line, ['ip', normal_address(target.ipv4)] in entries, entries):
        return Reading(AccessState.normal(), AccessState.blocked(), detail)
    return Reading(state, state, detail)


def _static_queue(line: Line, box: Box, *targets: str) -> Queue | None:
    if line.own.queue:
        if line.own.queue not in box.queues:
            raise RefusedError(f'no simple queue is called "{line.own.queue}", which the line\'s parameters name')
        return box.queues[line.own.queue]
    found = [queue for target in targets for queue in box.queues_by_target.get(target, [])]
    if len(found) > 1:
        names = ', '.join(queue.name for queue in found)
        raise RefusedError(f'{len(found)} simple queues have this line as their target: {names}; name its own one')
    return found[0] if found else None


def _queue_detail(queue: Queue | None) -> dict[str, Any] | None:
    return {'name': queue.name, 'limits': dict(queue.limits)} if queue else None


def _own_entries(line: Line, box: Box, *addresses: str) -> list[list[str]]:
    """`[family, address]` of the list's entries that are not a profile's doing."""
    found = [['ip', address] for address in map(normal_address, dict.fromkeys(addresses)) if box.own_entry(address)]
    prefix = normal_address(line.target.ipv6)
    return [*found, ['ipv6', prefix]] if prefix and line.point.ipv6 and box.own_entry(prefix) else found


def _has_ipv6(entries: list[list[str]]) -> bool:
    return any(family == 'ipv6' for family, _ in entries)


def _is_half_blocked(line: Line, ipv4: bool, entries: list[list[str]]) -> bool:
    """One family passes and the other does not: neither blocked nor free, so both readings must not agree."""
    return bool(line.target.ipv6 and line.point.ipv6) and ipv4 != _has_ipv6(entries)
