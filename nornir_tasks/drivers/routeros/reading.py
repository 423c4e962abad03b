"""How a line stands, from what its RouterOS box holds: our part, and the names of what another restricts. No I/O."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from typing import Any

from nornir_tasks.change import AccessState, AccessTarget, Mode, Reading
from nornir_tasks.drivers.routeros.box import Box, Queue, host_target, is_address, is_true, normal_address
from nornir_tasks.drivers.routeros.line import RefusedError, RouterLine
from nornir_tasks.drivers.routeros.names import DISABLED

SHORTEST_PREFIX = 40  # no subscriber has more of IPv6 than this; a shorter one is a slip that would hit many
NORMAL, BLOCKED = AccessState.normal(), AccessState.blocked()


def read_line(line: RouterLine, box: Box) -> Reading:
    """Raises `RefusedError` where the line cannot be told from others."""
    return _read_ppp(line, box) if line.target.username else _read_static(line, box)


def obstacle_of(detail: Mapping[str, Any]) -> str:
    """Why a line that was read so must not be restricted; empty where it may."""
    return str(detail.get('obstacle', ''))


def recorded_entries(target: AccessTarget) -> list[tuple[str, str]]:
    """Family and address of what a restriction of ours listed: by now it may be somebody else's address."""
    found = (target.restricted.get('after') or {}).get('entries') or ()
    return [(str(entry[0]), normal_address(str(entry[1]))) for entry in found if len(entry) > 1]


def why_addresses_are_wrong(target: AccessTarget) -> str:
    """Why the line cannot be restricted by its addresses; empty where it can."""
    try:
        if target.ipv4:
            ipaddress.IPv4Address(target.ipv4)
        if target.ipv6 and ipaddress.IPv6Network(target.ipv6, strict=False).prefixlen < SHORTEST_PREFIX:
            return f"{target.ipv6} is more than one subscriber's prefix"
    except ValueError as error:
        return f"the line's address is wrong: {error}"
    return ''


def _read_ppp(line: RouterLine, box: Box) -> Reading:
    name = line.target.username
    secrets, sessions = box.secrets.get(name, []), box.sessions.get(name, [])
    if not secrets and not sessions:
        text = f'no PPP secrets are called "{name}" (a subscriber kept in RADIUS needs the driver of the RADIUS server)'
        return Reading(error=text, absent=True)
    if len(secrets) != 1:
        raise RefusedError(
            f'{len(secrets) or "no"} PPP secrets are called "{name}"; exactly one is needed'
            + ('' if secrets else ' (a subscriber kept in RADIUS needs the driver of the RADIUS server)')
        )
    secret = secrets[0]
    addresses = [session['address'] for session in sessions]
    queue, obstacle = _static_queue(line, box, *_queue_targets(line, box, addresses))
    obstacle = why_addresses_are_wrong(line.target) or obstacle
    fixed = secret['remote-address']  # a pool's name, or the address itself
    entries = _own_entries(line, box, *addresses, fixed)
    profile = line.profiles.get(secret['profile'])
    disabled = is_true(secret['disabled'])

    stored = BLOCKED if disabled and line.names.enables else line.profile_state(secret['profile'])
    if stored.mode is Mode.NORMAL and queue and line.throttles_by_queue:
        stored = line.rate_state(queue.rates)
    if fixed in _addresses(entries, 'ip') or _addresses(entries, 'ipv6'):
        stored = BLOCKED

    detail: dict[str, Any] = {
        'kind': 'ppp',
        'profile': secret['profile'],
        'disabled': disabled,
        'fixed_address': bool(addresses) and fixed == addresses[0],
        'queue': _queue_detail(queue),
        'entries': entries,
        'session': None,
    }
    live: AccessState | None = None
    states = [_session_state(line, box, address, stored) for address in addresses]
    if states:
        detail['session'] = {'address': addresses[0], 'state': _most_restrictive(states).as_dict()}
        by_hand = _addresses(entries, 'ip')
        live = (
            BLOCKED if any(normal_address(address) in by_hand for address in addresses) else _most_restrictive(states)
        )
        if queue and live.mode is not Mode.BLOCKED and line.rate_state(queue.rates).mode is Mode.THROTTLED:
            live = line.rate_state(queue.rates)
        if _is_half_blocked(line, live.mode is Mode.BLOCKED, entries):
            stored, live = NORMAL, BLOCKED
    if len(sessions) > 1:
        detail['sessions'] = addresses
        obstacle = obstacle or f'{len(sessions)} sessions are called "{name}": set only-one=yes, or end all but one'
    if strays := _strays(line, box, entries):
        # Of an earlier session: whoever dials in next may be given that address. Neither state is wholly true.
        detail['strays'] = strays
        stored, live = NORMAL, BLOCKED
    foreign = [DISABLED] if disabled and not line.names.enables else []
    if profile and line.names.is_foreign_profile(profile):
        foreign.append(f'profile {profile.name}')
    foreign += _foreign_lists(line, box, profile.address_list if foreign and profile else '', *addresses, fixed)
    foreign += _foreign_queues(line, box, queue, *_queue_targets(line, box, addresses))
    return _reading(stored, live, detail, obstacle, foreign)


def _read_static(line: RouterLine, box: Box) -> Reading:
    """A line without PPP: what is configured for its address is both stored and live."""
    target = line.target
    if not target.ipv4 and not target.ipv6:
        raise RefusedError('the line has neither a PPP user name nor an address')
    queue, obstacle = _static_queue(line, box, *((host_target(target.ipv4),) if target.ipv4 else ()))
    obstacle = why_addresses_are_wrong(target) or obstacle
    entries = _own_entries(line, box, target.ipv4)
    state = line.rate_state(queue.rates) if queue else NORMAL
    if queue and queue.name == line.own_queue_name and queue.rates:
        state = queue.rates.throttled()
    if entries:
        state = BLOCKED
    stored = live = state
    detail = {'kind': 'static', 'queue': _queue_detail(queue), 'entries': entries, 'session': None}
    if target.ipv4 and _is_half_blocked(line, normal_address(target.ipv4) in _addresses(entries, 'ip'), entries):
        stored, live = NORMAL, BLOCKED
    foreign = _foreign_lists(line, box, '', target.ipv4)
    foreign += _foreign_queues(line, box, queue, host_target(target.ipv4))
    return _reading(stored, live, detail, obstacle, foreign)


def _reading(
    stored: AccessState, live: AccessState | None, detail: dict[str, Any], obstacle: str, foreign: Iterable[str]
) -> Reading:
    if obstacle:
        detail['obstacle'] = obstacle  # to restricting; what relaxes can do without
    return Reading(stored, live, detail, foreign=tuple(dict.fromkeys(foreign)))


def _session_state(line: RouterLine, box: Box, address: str, stored: AccessState) -> AccessState:
    """What the session has by the profile that it came up with."""
    if any(name in line.names.lists for name in box.lists_by_profile(address)):
        return BLOCKED
    queues = [box.dynamic_queues[name] for name in box.interfaces(line.target.username) if name in box.dynamic_queues]
    return line.session_state(queues[0].rates if queues else None, stored)


def _most_restrictive(states: Iterable[AccessState]) -> AccessState:
    found = NORMAL
    for state in states:
        if state.is_more_restrictive_than(found):
            found = state
    return found


def _queue_targets(line: RouterLine, box: Box, addresses: list[str]) -> list[str]:
    targets = box.interfaces(line.target.username) if addresses else []
    return [*targets, *map(host_target, addresses)]


def _static_queue(line: RouterLine, box: Box, *targets: str) -> tuple[Queue | None, str]:
    """The line's simple queue, and why it cannot be told, which forbids to restrict and nothing else."""
    found = [queue for target in targets for queue in box.queues_by_target.get(target, [])]
    # The one that was throttled is known again, whatever the plan says by now.
    known = (line.after.get('queue') or line.target.baseline.get('queue') or {}).get('name')
    kept = next((queue for queue in found if queue.name == known), None)
    if kept and line.own.queue not in box.queues:
        return kept, ''
    if line.own.queue:
        if line.own.queue not in box.queues:
            return None, f'no simple queue is called "{line.own.queue}", which the line\'s parameters name'
        return box.queues[line.own.queue], ''
    if len(found) > 1:
        names = ', '.join(queue.name for queue in found)
        return None, f'{len(found)} simple queues have this line as their target: {names}; name its own one'
    return (found[0] if found else None), ''


def _foreign_queues(line: RouterLine, box: Box, own: Queue | None, *targets: str) -> list[str]:
    """Queues for the line beside its own that slow it down. A single one is its own, whoever made it."""
    found = [queue for target in targets for queue in box.queues_by_target.get(target, [])]
    if own is None and len(found) < 2:
        return []
    slow = [queue for queue in found if queue != own and line.rate_state(queue.rates).mode is Mode.THROTTLED]
    return [f'queue {queue.name}' for queue in slow]


def _queue_detail(queue: Queue | None) -> dict[str, Any] | None:
    return {'name': queue.name, 'limits': dict(queue.limits)} if queue else None


def _own_entries(line: RouterLine, box: Box, *addresses: str) -> list[list[str]]:
    """Our entries for these addresses, and the line's prefix, that are not a profile's doing."""
    wanted = [('ip', normal_address(address)) for address in addresses if is_address(address)]
    if line.target.ipv6 and line.point.ipv6 and not why_addresses_are_wrong(line.target):
        wanted.append(('ipv6', normal_address(line.target.ipv6)))
    return _listed(line, box, wanted)


def _strays(line: RouterLine, box: Box, entries: list[list[str]]) -> list[list[str]]:
    """Our entries for addresses that this line had, and has no more."""
    own = {(entry[0], entry[1]) for entry in entries}
    return _listed(line, box, [each for each in recorded_entries(line.target) if each not in own])


def _listed(line: RouterLine, box: Box, wanted: Iterable[tuple[str, str]]) -> list[list[str]]:
    """`[family, address]` of each that is in a list of ours; the list too, where it is not the point's of today."""
    lists = line.names.lists
    return [
        [family, address] if name == lists[0] else [family, address, name]
        for family, address in dict.fromkeys(wanted)
        for name in box.lists_by_hand(address)
        if name in lists
    ]


def _foreign_lists(line: RouterLine, box: Box, of_profile: str, *addresses: str) -> list[str]:
    """Another's lists that hold the line; the one that another's profile fills is told by the profile.

    An entry for more than the line, or for a part of it, is another's in whatever list: we make none, and to take it
    away would free others.
    """
    names: set[str] = set()
    wider: set[tuple[str, str]] = set()
    for address in (*addresses, line.target.ipv6 if line.point.ipv6 else ''):
        if address:
            names |= {*box.lists_by_hand(address), *box.lists_by_profile(address)}
            wider |= box.ranges.holding(address)
    found = [f'list {name}' for name in sorted(names) if line.names.is_foreign_list(name) and name != of_profile]
    return found + [
        f'range {text} in list {name}'
        for name, text in sorted(wider)
        if name in line.names.lists or line.names.is_foreign_list(name)
    ]


def _addresses(entries: list[list[str]], family: str) -> set[str]:
    return {entry[1] for entry in entries if entry[0] == family}


def _is_half_blocked(line: RouterLine, ipv4: bool, entries: list[list[str]]) -> bool:
    """One family passes and the other does not: neither blocked nor free, so both readings must not agree."""
    return bool(line.target.ipv6 and line.point.ipv6) and ipv4 != bool(_addresses(entries, 'ipv6'))
