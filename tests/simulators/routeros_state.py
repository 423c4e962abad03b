"""What a simulated RouterOS router holds, and what its subscribers' CPEs do about it."""

from __future__ import annotations

import asyncio
import ipaddress
import itertools
import re
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

Row = dict[str, Any]  # property name → str or bool; '.id' is always there

PROPERTIES: dict[str, str] = {
    'ppp secret': 'name password service caller-id profile local-address remote-address routes comment disabled',
    'ppp profile': 'name local-address remote-address rate-limit address-list only-one comment default',
    'ppp active': 'name service caller-id address uptime encoding session-id radius comment',
    'queue simple': 'name target max-limit burst-limit burst-threshold burst-time limit-at priority parent queue '
    'comment dynamic disabled',
    'ip firewall address-list': 'list address timeout creation-time comment dynamic disabled',
    'ipv6 firewall address-list': 'list address timeout creation-time comment dynamic disabled',
    'ip firewall connection': 'protocol src-address dst-address reply-src-address timeout',
    'ipv6 firewall connection': 'protocol src-address dst-address timeout',
    'ip firewall filter': 'chain action protocol dst-port src-address dst-address src-address-list dst-address-list '
    'connection-state in-interface out-interface jump-target hw-offload comment dynamic disabled',
    'ipv6 firewall filter': 'chain action protocol dst-port src-address dst-address src-address-list '
    'dst-address-list connection-state in-interface out-interface jump-target comment dynamic disabled',
    'ip firewall nat': 'chain action protocol dst-port src-address-list to-addresses to-ports comment dynamic disabled',
    'user': 'name group',
    'user group': 'name policy',
    'system clock': 'date time gmt-offset time-zone-name',
    'system resource': 'version uptime board-name cpu-load free-memory',
    'system identity': 'name',
}
# Rows may still be removed.
READ_ONLY = frozenset({'ppp active', 'ip firewall connection', 'ipv6 firewall connection', 'system resource'})
SINGLE = frozenset({'system resource', 'system identity', 'system clock'})
FULL = ('local', 'telnet', 'ssh', 'ftp', 'reboot', 'read', 'write', 'policy', 'test', 'password', 'sensitive')
INDEXED = ('name', 'address', 'target')
PAIRS = ('max-limit', 'burst-limit', 'burst-threshold', 'limit-at')
MULTIPLIERS = {'': 1, 'k': 1000, 'M': 1_000_000, 'G': 1_000_000_000}
QUEUE_DEFAULTS = {
    **dict.fromkeys(PAIRS, '0/0'),
    'burst-time': '0s/0s', 'priority': '8/8', 'parent': 'none', 'dynamic': False, 'disabled': False,
}  # fmt: skip


class RouterOSError(Exception):
    """A command failed; `str()` is what the console prints."""


class Table:
    """Rows of one menu, by id, with an index for what scripts search by."""

    def __init__(self) -> None:
        self.rows: dict[str, Row] = {}
        self._numbers = itertools.count(1)
        self._index: dict[str, dict[str, dict[str, Row]]] = {name: {} for name in INDEXED}

    def add(self, **values: Any) -> Row:
        row = {'.id': f'*{next(self._numbers):X}', **values}
        self.rows[row['.id']] = row
        self._enter(row)
        return row

    def update(self, row: Row, values: Mapping[str, Any]) -> None:
        self._leave(row)
        row.update(values)
        self._enter(row)

    def remove(self, row: Row) -> None:
        self._leave(row)
        del self.rows[row['.id']]

    def move(self, row: Row, before: Row) -> None:
        others = [other for other in self.rows.values() if other is not row]
        place = others.index(before)
        self.rows = {other['.id']: other for other in [*others[:place], row, *others[place:]]}

    def where(self, name: str, value: str) -> list[Row]:
        return list(self._index[name].get(value, {}).values())

    def one(self, name: str, value: str) -> Row | None:
        return next(iter(self._index[name].get(value, {}).values()), None)

    def _enter(self, row: Row) -> None:
        for name, index in self._index.items():
            if name in row:
                index.setdefault(row[name], {})[row['.id']] = row

    def _leave(self, row: Row) -> None:
        for name, index in self._index.items():
            if name in row:
                index[row[name]].pop(row['.id'], None)


@dataclass
class Fault:
    """What goes wrong with console lines that match. `action`: hang, drop, lie, error (printing `text`), delay.

    `match` is a regular expression searched in the line; `nth` counts matching lines from 1, 0 is all of them;
    `times` is how often it happens at most, -1 is always; `seconds` is for `delay`.
    """

    action: str
    match: str = ''
    nth: int = 0
    times: int = -1
    seconds: float = 0.0
    text: str = 'failure: internal error'
    seen: int = 0

    def strikes(self, line: str) -> bool:
        if self.times == 0 or not re.search(self.match, line):
            return False
        self.seen += 1
        if self.nth and self.seen != self.nth:
            return False
        self.times -= 1
        return True


@dataclass
class Counters:
    logins: int = 0
    refused_logins: int = 0
    lines: int = 0
    reconnects: int = 0
    outstanding: int = 0  # console lines received and not yet carried out
    max_outstanding: int = 0


@dataclass
class Router:
    """One router. Times come from `clock`; whatever falls due happens at the next `tick`."""

    name: str
    version: int = 7
    users: dict[str, str] = field(default_factory=lambda: {'admin': 'admin'})
    pool: str = '100.64.0.0/16'
    reconnect_after: float = 0.0  # seconds until a CPE whose session was removed dials again
    delay: float = 0.0  # seconds each console line takes, one after the other
    latency: float = 0.0  # seconds until the other side sees output
    session_cap: int = 0  # SSH connections at once; 0 is no limit
    clock: Callable[[], float] = time.monotonic
    faults: list[Fault] = field(default_factory=list)
    stays_offline: set[str] = field(default_factory=set)  # names whose CPE does not dial again
    commands: list[str] = field(default_factory=list)
    counters: Counters = field(default_factory=Counters)
    connected: int = 0
    never: asyncio.Event = field(default_factory=asyncio.Event)  # what a hanging line waits for
    clock_skew: float = 0.0  # seconds that its clock is ahead
    gmt_offset: int = 0  # seconds, of its time zone
    lying: bool = False  # the present line is answered OK and does nothing
    touched: Counter[str] = field(default_factory=Counter)  # subscriber → how often a command changed what is theirs

    def __post_init__(self) -> None:
        self.tables = {menu: Table() for menu in PROPERTIES if self.version >= 7 or not menu.startswith('ipv6')}
        self.menus = {
            menu: frozenset((*names.split(), '.id')) for menu, names in PROPERTIES.items() if menu in self.tables
        }
        network = ipaddress.ip_network(self.pool)
        self._addresses = (str(network[number]) for number in itertools.count(2))
        self._ports = itertools.count(40000)
        self._second: tuple[float, ...] = ()  # that its clock shows
        self._dialling: list[tuple[float, str]] = []
        self._connections: dict[str, list[Row]] = {}
        self._expiries: dict[tuple[str, str], float] = {}
        version = '7.16.2 (stable)' if self.version >= 7 else '6.49.18 (long-term)'
        self.tables['system resource'].add(version=version, **{'board-name': 'CHR', 'cpu-load': '3'})
        self.tables['system identity'].add(name=self.name)
        self.tables['ppp profile'].add(name='default', default=True)
        self.tables['system clock'].add(**self._clock())
        for group, missing in (('full', ()), ('write', ('policy', 'ftp')), ('read', ('policy', 'ftp', 'write'))):
            policies = [f'!{name}' if name in missing else name for name in FULL]
            self.tables['user group'].add(name=group, policy=policies)
        for name in self.users:
            self.tables['user'].add(name=name, group='full')

    # --- what the network does ---

    def _clock(self) -> Row:
        local = datetime.now(UTC) + timedelta(seconds=self.clock_skew + self.gmt_offset)
        date = local.strftime('%Y-%m-%d' if self.version >= 7 else '%b/%d/%Y').lower()
        return {'date': date, 'time': local.strftime('%H:%M:%S'), 'gmt-offset': str(self.gmt_offset % 2**32)}

    def tick(self) -> None:
        second = (int(time.time()), self.clock_skew, self.gmt_offset)
        if second != self._second:
            self._second = second
            clock = self.tables['system clock']
            clock.update(next(iter(clock.rows.values())), self._clock())
        now = self.clock()
        for key in [key for key, due in self._expiries.items() if due <= now]:
            self._expiries.pop(key)
            menu, identity = key
            if row := self.tables[menu].rows.get(identity):
                self.tables[menu].remove(row)
        due_names = [name for due, name in self._dialling if due <= now]
        self._dialling = [(due, name) for due, name in self._dialling if due > now]
        for name in due_names:
            if self.connect(name):
                self.counters.reconnects += 1

    def connect(self, name: str) -> Row | None:
        """The CPE dials in: it gets the secret's present profile, or nothing where it may not or already is in."""
        secret = self.tables['ppp secret'].one('name', name)
        if secret is None or secret.get('disabled') or self.tables['ppp active'].where('name', name):
            return None
        profile = self.tables['ppp profile'].one('name', secret['profile'])
        if profile is None:
            return None
        fixed = secret.get('remote-address', '')
        address = fixed if _is_address(fixed) else next(self._addresses)
        interface = f'<pppoe-{name}>'
        session = self.tables['ppp active'].add(
            name=name, service='pppoe', address=address, uptime='1s', radius=False, **{'caller-id': '02:00:00:00:00:01'}
        )
        rate = profile.get('rate-limit')
        if rate and is_pair(rate.split()[0]):
            self.tables['queue simple'].add(
                **(
                    QUEUE_DEFAULTS
                    | {'name': interface, 'target': interface, 'dynamic': True}
                    | {'max-limit': normal_pair(rate.split()[0])}
                )
            )
        if listed := profile.get('address-list'):
            self.tables['ip firewall address-list'].add(list=listed, address=address, dynamic=True, disabled=False)
        for host in ('203.0.113.10:443', '203.0.113.11:443'):
            row = self.tables['ip firewall connection'].add(
                protocol='tcp', **{'src-address': f'{address}:{next(self._ports)}', 'dst-address': host}
            )
            self._connections.setdefault(address, []).append(row)
        return session

    def disconnect(self, session: Row, redial: bool = True) -> None:
        name, address = session['name'], session['address']
        self.tables['ppp active'].remove(session)
        for row in self.tables['queue simple'].where('name', f'<pppoe-{name}>'):
            self.tables['queue simple'].remove(row)
        entries = self.tables['ip firewall address-list']
        for row in entries.where('address', address):
            if row['dynamic'] and 'timeout' not in row:
                entries.remove(row)
        connections = self.tables['ip firewall connection']
        for row in self._connections.pop(address, []):
            if row['.id'] in connections.rows:
                connections.remove(row)
        if redial and name not in self.stays_offline:
            self._dialling.append((self.clock() + self.reconnect_after, name))

    # --- what commands do ---

    def rows(self, menu: str) -> Iterator[Row]:
        return iter(list(self.tables[menu].rows.values()))

    def add(self, menu: str, values: Mapping[str, Any], copy_from: Row | None = None) -> Row:
        if menu in READ_ONLY or menu in SINGLE:
            raise RouterOSError('bad command name add')
        place = values.get('place-before')
        values = {key: value for key, value in values.items() if key != 'place-before'}
        before = self.tables[menu].rows.get(as_text(place)) if place is not None else None
        if place is not None and before is None:
            raise RouterOSError('no such item')
        row = {key: value for key, value in (copy_from or {}).items() if key not in ('.id', 'default', 'dynamic')}
        row |= self._checked(menu, values)
        self._check_new(menu, row)
        if self.lying:
            return {'.id': '*FFFFFF', **row}
        row = {'disabled': False, **row}
        if menu == 'queue simple':
            row = QUEUE_DEFAULTS | row
        timeout = row.get('timeout')
        entry = self.tables[menu].add(**({'dynamic': bool(timeout)} | row))
        self._touch(menu, entry)
        if before is not None:
            self.tables[menu].move(entry, before)
        if timeout:
            self._expiries[menu, entry['.id']] = self.clock() + seconds(timeout)
        return entry

    def set(self, menu: str, rows: Iterable[Row], values: Mapping[str, Any]) -> None:
        if menu in READ_ONLY:
            raise RouterOSError('bad command name set')
        checked = self._checked(menu, values)
        for row in rows:
            if row.get('dynamic') and menu == 'queue simple':
                raise RouterOSError('failure: can not change dynamic queue')
            renamed = checked.get('name', row.get('name')) != row.get('name')
            if renamed and self.tables[menu].where('name', checked['name']):
                raise RouterOSError(f'failure: {menu.split()[-1]} with the same name already exists')
            if not self.lying:
                self.tables[menu].update(row, checked)
                self._touch(menu, row)

    def remove(self, menu: str, rows: Iterable[Row]) -> None:
        for row in list(rows):
            if menu == 'ppp profile' and row.get('default'):
                raise RouterOSError('failure: default profile can not be removed')
            if menu == 'queue simple' and row.get('dynamic'):
                raise RouterOSError('failure: can not remove dynamic queue')
            if self.lying:
                continue
            self._touch(menu, row)
            if menu == 'ppp active':
                self.disconnect(row)
            else:
                self.tables[menu].remove(row)

    def _touch(self, menu: str, row: Row) -> None:
        """Count a command's change for the subscriber whose secret, session, queue or entry it is."""
        if menu in ('ppp secret', 'ppp active'):
            self.touched[row['name']] += 1
        elif menu == 'queue simple':
            address = str(row.get('target', '')).partition('/')[0]
            self.touched[self._owner(address) or address.removeprefix('<pppoe-').removesuffix('>')] += 1
        elif menu == 'ip firewall address-list':
            self.touched[self._owner(row['address']) or row['address']] += 1

    def _owner(self, address: str) -> str:
        session = self.tables['ppp active'].one('address', address)
        return session['name'] if session else ''

    def _check_new(self, menu: str, row: Row) -> None:
        table = self.tables[menu]
        if menu.endswith('address-list'):
            if 'list' not in row or 'address' not in row:
                raise RouterOSError('failure: list and address must be set')
            if any(other['list'] == row['list'] for other in table.where('address', row['address'])):
                raise RouterOSError('failure: already have such entry')
        elif menu in ('ppp secret', 'ppp profile', 'queue simple'):
            if not row.get('name'):
                raise RouterOSError('failure: name must be set')
            if table.where('name', row['name']):
                raise RouterOSError(f'failure: {menu.split()[-1]} with the same name already exists')

    def _checked(self, menu: str, values: Mapping[str, Any]) -> Row:
        checked = {}
        for name, value in values.items():
            text = as_text(value)
            if name in ('disabled', 'dynamic'):
                checked[name] = text in ('yes', 'true')
            elif menu == 'queue simple' and name in PAIRS:
                checked[name] = normal_pair(text)
            elif menu == 'ppp secret' and name == 'profile':
                if not self.tables['ppp profile'].where('name', text):
                    raise RouterOSError('input does not match any value of profile')
                checked[name] = text
            elif name == 'address' and menu.endswith('address-list'):
                checked[name] = _normal_address(text)
            else:
                checked[name] = text
        if menu == 'ppp secret' and 'profile' not in checked and 'name' in checked:
            checked['profile'] = 'default'
        return checked

    # --- the truth, for tests and benchmarks ---

    def service(self, name: str, restricted: str = 'nbd-restricted') -> dict[str, Any]:
        """What a subscriber gets at the next session (`stored`) and now (`live`, None when offline).

        Each is `{"blocked": bool, "rate": [down, up] in kbit/s or None for no limit}`.
        """
        self.tick()
        secret = self.tables['ppp secret'].one('name', name)
        session = self.tables['ppp active'].one('name', name)
        stored = live = None
        if secret is not None:
            profile = self.tables['ppp profile'].one('name', secret['profile']) or {}
            stored = {
                'blocked': bool(secret.get('disabled')) or profile.get('address-list') == restricted,
                'rate': kbps(profile.get('rate-limit', '').split(' ')[0]),
                'profile': secret['profile'],
            }
        if session is not None:
            live = self.address_service(session['address'], f'<pppoe-{name}>', restricted)
        return {'stored': stored, 'live': live}

    def address_service(self, address: str, interface: str = '', restricted: str = 'nbd-restricted') -> dict[str, Any]:
        """How packets of an address fare now; the tightest queue counts."""
        self.tick()
        listed = self.tables['ip firewall address-list'].where('address', address)
        queues = self.tables['queue simple']
        limits = [
            kbps(row['max-limit'])
            for row in [*queues.where('target', f'{address}/32'), *queues.where('target', interface)]
            if not row['disabled']
        ]
        known = [limit for limit in limits if limit]
        return {
            'blocked': any(row['list'] == restricted and not row['disabled'] for row in listed),
            'rate': [min(pair) for pair in zip(*known, strict=True)] if known else None,
            'address': address,
        }


def as_text(value: Any) -> str:
    if type(value) is str:
        return value
    if value is None:
        return ''
    if isinstance(value, bool):
        return 'true' if value else 'false'
    if isinstance(value, list):
        return ';'.join(as_text(item) for item in value)
    if isinstance(value, dict):
        return ';'.join(f'{name}={as_text(item)}' for name, item in value.items())
    return str(value)


def bits(text: str) -> int:
    match = re.fullmatch(r'(\d+)([kMG]?)', text)
    if not match:
        raise RouterOSError(f'value of max-limit must have rate, got {text}')
    return int(match[1]) * MULTIPLIERS[match[2]]


def normal_pair(text: str) -> str:
    """`1M/2M`, or `1M` for both, as the router prints it back: in bit/s."""
    first, _, second = text.partition('/')
    return f'{bits(first)}/{bits(second or first)}'


def is_pair(text: str) -> bool:
    """Whether a rate is one: a profile may hold what an old release, or a script, has left there."""
    return bool(re.fullmatch(r'\d+[kMG]?(/\d+[kMG]?)?', text))


def kbps(text: str) -> list[int] | None:
    """`[down, up]` in kbit/s of an `up/down` pair; None without a limit."""
    if not is_pair(text):
        return None
    up, down = (int(part) // 1000 for part in normal_pair(text).split('/'))
    return [down, up] if up or down else None


def seconds(text: str) -> float:
    units = {'w': 604800, 'd': 86400, 'h': 3600, 'm': 60, 's': 1}
    parts = re.findall(r'(\d+)([wdhms])', text)
    return float(sum(int(number) * units[unit] for number, unit in parts)) if parts else float(text)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _normal_address(text: str) -> str:
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError:
        return text  # RouterOS takes DNS names and ranges too
    if network.version == 4 and network.prefixlen == 32:
        return str(network.network_address)
    return str(network)
