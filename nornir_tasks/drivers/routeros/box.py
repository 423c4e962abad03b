"""What a RouterOS box holds about the lines asked for, and what that means for each of them."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import batched

from nornir_tasks.change import AccessState, AccessTarget
from nornir_tasks.drivers.routeros.ranges import MANY, Ranges, ipv6_conditions
from nornir_tasks.drivers.routeros.syntax import any_of, parse_rows, rows_command

Run = Callable[[Sequence[str]], list[str]]

WHOLE_BOX = 128  # more lines than this are read by reading all rows: a batch is not, for a box may have thousands
PER_COMMAND = 16  # names in one condition
UNLIMITED = 100_000_000  # kbit/s, for a direction without a limit
MULTIPLIERS = {'': 1, 'K': 1_000, 'M': 1_000_000, 'G': 1_000_000_000}
RATES = re.compile(r'\s*(\d+(?:\.\d+)?)([kMG]?)(?:/(\d+(?:\.\d+)?)([kMG]?))?(?:\s|$)', re.IGNORECASE)
LIMITS = ('max-limit', 'limit-at', 'burst-limit', 'burst-threshold', 'burst-time')

SECRET = ('name', 'profile', 'remote-address', 'disabled')
PROFILE = ('name', 'rate-limit', 'address-list')
SESSION = ('name', 'address', 'service')
QUEUE = ('name', 'target', 'dynamic', 'disabled', *LIMITS)
ENTRY = ('list', 'address', 'timeout', 'dynamic', 'disabled')


@dataclass(frozen=True, slots=True)
class Rates:
    """kbit/s as the subscriber sees them."""

    down: int
    up: int

    def is_slower_than(self, other: Rates) -> bool:
        return self.down < other.down or self.up < other.up

    def throttled(self) -> AccessState:
        return AccessState.throttled(self.down, self.up)

    def pair(self) -> str:
        """RouterOS's `rx/tx`: the router receives what the subscriber uploads."""
        return f'{self.up}k/{self.down}k'


def parse_rates(text: str) -> Rates | None:
    """Of `rx/tx …`, `rx` for both, or bit/s; None where nothing is limited or it cannot be understood."""
    match = RATES.match(text)
    if not match:
        return None
    up = _kbps(match[1], match[2])
    down = _kbps(match[3], match[4]) if match[3] else up
    return Rates(down or UNLIMITED, up or UNLIMITED) if down or up else None


def _kbps(number: str, unit: str) -> int:
    return min(round(float(number) * MULTIPLIERS[unit.upper()]) // 1000, UNLIMITED)


@dataclass(frozen=True, slots=True)
class Profile:
    name: str
    rates: Rates | None
    address_list: str


@dataclass(frozen=True, slots=True)
class Queue:
    name: str
    limits: Mapping[str, str]

    @property
    def rates(self) -> Rates | None:
        return parse_rates(self.limits['max-limit'])


@dataclass(frozen=True, slots=True)
class Entry:
    """An address in a list: put there by hand (or for a while), or by the profile of a session that is up."""

    listed: str
    by_profile: bool


@dataclass(frozen=True, slots=True)
class Wanted:
    """A line to be read: what else is looked up for it beside what its names lead to."""

    target: AccessTarget
    queue: str = ''
    entries: tuple[tuple[str, str], ...] = ()  # family and address


@dataclass(slots=True)
class Box:
    """Rows by what they are looked up by; several of one name are all kept, for they are an error to report."""

    profiles: dict[str, Profile] = field(default_factory=dict)
    secrets: dict[str, list[dict[str, str]]] = field(default_factory=dict)
    sessions: dict[str, list[dict[str, str]]] = field(default_factory=dict)
    dynamic_queues: dict[str, Queue] = field(default_factory=dict)
    queues: dict[str, Queue] = field(default_factory=dict)  # static, by name
    queues_by_target: dict[str, list[Queue]] = field(default_factory=dict)
    entries: dict[str, list[Entry]] = field(default_factory=dict)  # by address; one may be there by hand and by profile
    ranges: Ranges = field(default_factory=Ranges)

    def interfaces(self, name: str) -> list[str]:
        """The dynamic queues of its sessions; several of one name are told apart by a number behind it."""
        kinds = dict.fromkeys(session['service'] or 'pppoe' for session in self.sessions.get(name, ()))
        return [f'<{kind}-{name}>' for kind in kinds]

    def lists_by_hand(self, address: str) -> list[str]:
        """Lists that hold the address otherwise than by a session's profile."""
        found = self.entries.get(normal_address(address), ())
        return sorted({entry.listed for entry in found if not entry.by_profile})

    def lists_by_profile(self, address: str) -> list[str]:
        found = self.entries.get(normal_address(address), ())
        return sorted({entry.listed for entry in found if entry.by_profile})


@lru_cache(maxsize=65536)
def normal_address(text: str) -> str:
    """One spelling for an address or prefix; a host has no length. What is neither stays as it is."""
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError:
        return text
    return str(network.network_address) if network.num_addresses == 1 else str(network)


def read_profiles(run: Run) -> dict[str, Profile]:
    return {row['name']: _profile(row) for _, row in _rows(run, [('ppp profile', PROFILE, '')])}


def read_box(run: Run, lines: Sequence[Wanted], lists: Iterable[str], ipv6: bool) -> Box:
    """Two rounds of a few commands: names first, then what hangs on the addresses they have.

    Up to `WHOLE_BOX` lines are asked for by name and address, more by reading everything; of address lists, those
    called `lists`. Raises `EnforcementError`.
    """
    targets = [line.target for line in lines]
    named = [('name', name) for name in sorted({target.username for target in targets if target.username})]
    whole = len(targets) > WHOLE_BOX
    box = Box()
    queries = [
        ('ppp profile', PROFILE, ''),
        *_queries('ppp secret', SECRET, named, whole),
        *_queries('ppp active', SESSION, named, whole),
    ]
    for menu, row in _rows(run, queries):
        if menu == 'ppp profile':
            box.profiles[row['name']] = _profile(row)
        else:
            rows = box.secrets if menu == 'ppp secret' else box.sessions
            rows.setdefault(row['name'], []).append(row)

    wanted = [('name', name) for name in sorted({line.queue for line in lines}) if name]
    recorded = {entry for line in lines for entry in line.entries}
    addresses = {normal_address(target.ipv4) for target in targets if target.ipv4}
    addresses |= {address for family, address in recorded if family == 'ip'}
    for _, name in named:
        sessions = box.sessions.get(name, [])
        for interface in box.interfaces(name):
            wanted += [('name', interface), ('target', interface)]
        wanted += [('target', host_target(session['address'])) for session in sessions]
        addresses |= {session['address'] for session in sessions}
        addresses |= {row['remote-address'] for row in box.secrets.get(name, ()) if is_address(row['remote-address'])}
    wanted += [('target', host_target(target.ipv4)) for target in targets if not target.username and target.ipv4]
    # The router compares exactly; another's lists are known in whatever case they are written.
    spellings = {form for name in lists for form in (name, name.casefold(), name.capitalize(), name.upper())}
    in_lists = any_of(('list', name) for name in sorted(spellings))
    asked = [('address', address) for address in sorted(addresses)]
    menu = 'ip firewall address-list'
    queries = [
        *_queries('queue simple', QUEUE, wanted, whole),
        *([(menu, ENTRY, in_lists)] if whole else _queries(menu, ENTRY, asked, whole=False)),
    ]
    if asked and not whole:
        queries.append((menu, ENTRY, f'({in_lists}) and {MANY}'))
    prefixes = {normal_address(target.ipv6) for target in targets if target.ipv6 and ipv6}
    prefixes |= {address for family, address in recorded if family == 'ipv6'}
    if prefixes:
        # A host is printed with its length, or without.
        spelled = [('address', text) for each in sorted(prefixes) for text in (each, f'{each}/128')]
        menu = 'ipv6 firewall address-list'
        queries += [(menu, ENTRY, in_lists)] if whole else _queries(menu, ENTRY, spelled, whole=False)
        held = () if whole else ipv6_conditions(filter(is_ipv6_prefix, sorted(prefixes)))
        queries += [(menu, ENTRY, f'({in_lists}) and ({condition})') for condition in held]
    for menu, row in _rows(run, queries):
        if is_true(row['disabled']):
            continue
        if menu == 'queue simple':
            _add_queue(box, row)
        else:
            entry = Entry(row['list'], is_true(row['dynamic']) and not row['timeout'])
            box.entries.setdefault(normal_address(row['address']), []).append(entry)
            box.ranges.add(row['list'], row['address'])
    return box


def is_address(text: str) -> bool:
    try:
        ipaddress.IPv4Address(text)
    except ValueError:
        return False
    return True


def is_ipv6_prefix(text: str) -> bool:
    try:
        ipaddress.IPv6Network(text)
    except ValueError:
        return False
    return True


def is_true(text: str) -> bool:
    return text in ('true', 'yes')


def host_target(address: str) -> str:
    return f'{address}/32'


def _profile(row: Mapping[str, str]) -> Profile:
    return Profile(row['name'], parse_rates(row['rate-limit']), row['address-list'])


def _add_queue(box: Box, row: Mapping[str, str]) -> None:
    queue = Queue(row['name'], {key: row[key] for key in LIMITS})
    if is_true(row['dynamic']):
        box.dynamic_queues[row['name']] = queue
    elif row['name'] not in box.queues:
        box.queues[row['name']] = queue
        box.queues_by_target.setdefault(row['target'], []).append(queue)


Query = tuple[str, tuple[str, ...], str]


def _queries(menu: str, fields: tuple[str, ...], wanted: Sequence[tuple[str, str]], whole: bool) -> list[Query]:
    if not wanted:
        return []
    if whole:
        return [(menu, fields, '')]
    return [(menu, fields, any_of(pairs)) for pairs in batched(wanted, PER_COMMAND)]


def _rows(run: Run, queries: Sequence[Query]) -> Iterator[tuple[str, dict[str, str]]]:
    answers = run([rows_command(*query) for query in queries])
    for (menu, fields, _), answer in zip(queries, answers, strict=True):
        for row in parse_rows(answer, fields, menu):
            yield menu, row
