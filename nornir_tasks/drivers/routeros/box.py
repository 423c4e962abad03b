"""What a RouterOS box holds about the lines asked for, and what that means for each of them."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import batched

from nornir_tasks.change import AccessState, AccessTarget
from nornir_tasks.drivers.routeros.syntax import any_of, parse_rows, quote, rows_command

Run = Callable[[Sequence[str]], list[str]]

WHOLE_BOX = 128  # more lines than this are read by reading all rows: a batch is not, for a box may have thousands
PER_COMMAND = 16  # names in one condition
UNLIMITED = 100_000_000  # kbit/s, for a direction without a limit
MULTIPLIERS = {'': 1, 'k': 1_000, 'M': 1_000_000, 'G': 1_000_000_000}
LIMITS = ('max-limit', 'limit-at', 'burst-limit', 'burst-threshold', 'burst-time')

SECRET = ('name', 'profile', 'remote-address', 'disabled')
PROFILE = ('name', 'rate-limit', 'address-list')
SESSION = ('name', 'address', 'service')
QUEUE = ('name', 'target', 'dynamic', 'disabled', *LIMITS)
ENTRY = ('address', 'timeout', 'dynamic', 'disabled')


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
    match = re.match(r'(\d+)([kMG]?)(?:/(\d+)([kMG]?))?(?: |$)', text)
    if not match:
        return None
    up = int(match[1]) * MULTIPLIERS[match[2]] // 1000
    down = int(match[3]) * MULTIPLIERS[match[4]] // 1000 if match[3] else up
    return Rates(down or UNLIMITED, up or UNLIMITED) if down or up else None


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


@dataclass(slots=True)
class Box:
    """Rows by what they are looked up by; several of one name are all kept, for they are an error to report."""

    profiles: dict[str, Profile] = field(default_factory=dict)
    secrets: dict[str, list[dict[str, str]]] = field(default_factory=dict)
    sessions: dict[str, list[dict[str, str]]] = field(default_factory=dict)
    dynamic_queues: dict[str, Queue] = field(default_factory=dict)
    queues: dict[str, Queue] = field(default_factory=dict)  # static, by name
    queues_by_target: dict[str, list[Queue]] = field(default_factory=dict)
    entries: dict[str, bool] = field(default_factory=dict)  # restricted address → True where a profile lists it

    def interface(self, name: str) -> str:
        sessions = self.sessions.get(name)
        return f'<{sessions[0]["service"] or "pppoe"}-{name}>' if sessions else ''

    def own_entry(self, address: str) -> bool:
        return self.entries.get(normal_address(address)) is False


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


def read_box(
    run: Run, targets: Sequence[AccessTarget], queue_names: Iterable[str], restricted_list: str, ipv6: bool
) -> Box:
    """Two rounds of a few commands: names first, then what hangs on the addresses they have.

    Up to `WHOLE_BOX` lines are asked for by name, more by reading everything. Raises `EnforcementError`.
    """
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

    wanted = [('name', name) for name in sorted(set(queue_names)) if name]
    for _, name in named:
        if interface := box.interface(name):
            address = box.sessions[name][0]['address']
            wanted += [('name', interface), ('target', interface), ('target', host_target(address))]
    wanted += [('target', host_target(target.ipv4)) for target in targets if not target.username and target.ipv4]
    where = f'list={quote(restricted_list)}'
    queries = [*_queries('queue simple', QUEUE, wanted, whole), ('ip firewall address-list', ENTRY, where)]
    if ipv6 and any(target.ipv6 for target in targets):
        queries.append(('ipv6 firewall address-list', ENTRY, where))
    for menu, row in _rows(run, queries):
        if is_true(row['disabled']):
            continue
        if menu == 'queue simple':
            _add_queue(box, row)
        else:
            box.entries[normal_address(row['address'])] = is_true(row['dynamic']) and not row['timeout']
    return box


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
