"""What `bench_bulk` is about: twenty routers with five hundred lines each, the plan, and what is right at its end."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

ROUTERS, LINES = 20, 500
SHARES = {'throttled': 10, 'blocked': 5, 'normal': 5}  # per cent of the lines; those to be normal again start blocked
PROFILES = (
    {'name': 'home', 'rate-limit': '5M/20M'},
    {'name': 'slow', 'rate-limit': '512k/1M'},
    {'name': 'nbd-restricted', 'address-list': 'nbd-restricted'},
)
PROFILE_OF = {'throttled': 'slow', 'blocked': 'nbd-restricted', 'normal': 'home'}
# kbit/s down and up, as the simulated router itself states them; a blocked line has no limit beside the firewall.
SERVICE_OF = {
    'throttled': {'blocked': False, 'rate': [1000, 512]},
    'blocked': {'blocked': True, 'rate': None},
    'normal': {'blocked': False, 'rate': [20000, 5000]},
}
ODD = ('ana "x" {}', "o'brien; :put {}", 'joão conceição {}', 'a$(reboot) {}', 'b\\{}', '{} [find]', 'c{{}} = {}')
SESSION_CAP = 5  # SSH sessions that a router takes at once
REDIAL_S = 0.2
TIMEOUT_S = {False: 15.0, True: 3.0}  # for one answer, without and with faults; the same for all


@dataclass(frozen=True)
class Row:
    """One change of the plan: `name` is a line's user name at `router`, `desired` one of `SHARES`."""

    router: str
    name: str
    desired: str

    @property
    def key(self) -> str:
        return f'{self.router}/{self.name}'


@dataclass(frozen=True)
class Faults:
    """What goes wrong: by row key. Names that are odd are not a fault of the router's, but go with them."""

    dead: str = ''  # router that takes connections and never says a word
    missing: frozenset[str] = frozenset()  # no session, and none comes
    hanging: frozenset[str] = frozenset()  # a command that changes the line never ends
    lying: frozenset[str] = frozenset()  # one is answered as if all went well, and does nothing

    def __bool__(self) -> bool:
        return bool(self.dead or self.missing or self.hanging or self.lying)


@dataclass(frozen=True)
class World:
    """The routers' lines and the plan; the same for every contender."""

    lines: Mapping[str, tuple[str, ...]]
    rows: tuple[Row, ...]
    faults: Faults

    def configs(self, router: str, latency: float) -> dict[str, Any]:
        """A router for the simulator; `latency` is seconds."""
        starts_blocked = {row.name for row in self.rows if row.router == router and row.desired == 'normal'}
        faults = self.faults
        return {
            'name': router,
            'profiles': PROFILES,
            'subscribers': [
                {
                    'name': name,
                    'service': 'pppoe',
                    'profile': PROFILE_OF['blocked' if name in starts_blocked else 'normal'],
                    'online': f'{router}/{name}' not in faults.missing,
                }
                for name in self.lines[router]
            ],
            'settings': {'latency': latency, 'session_cap': SESSION_CAP, 'reconnect_after': REDIAL_S},
            'faults': [*self._faults('hang', router, faults.hanging), *self._faults('lie', router, faults.lying)],
        }

    def _faults(self, action: str, router: str, keys: frozenset[str]) -> Iterator[dict[str, str]]:
        for row in self.rows:
            if row.key in keys and row.router == router:
                # Every contender names a line in quotes; those with faults have plain names.
                yield {'action': action, 'match': f'(?=.*ppp secret set).*"{row.name}"'}


def make_world(with_faults: bool = False) -> World:
    """Deterministic. With faults: one router dead, 2 % of the lines without a session, 1 % of the changes hang, 1 %
    are answered OK and do nothing, and 5 % of the lines have names that a console could trip over."""
    lines: dict[str, tuple[str, ...]] = {}
    rows: list[Row] = []
    missing: list[str] = []
    for number in range(1, ROUTERS + 1):
        router = f'bras-{number:02}'
        names = [
            ODD[line // 20 % len(ODD)].format(line) if with_faults and line % 20 == 3 else f'u{number}-{line}@isp'
            for line in range(LINES)
        ]
        lines[router] = tuple(names)
        missing += [f'{router}/{name}' for line, name in enumerate(names) if with_faults and line % 50 == 7]
        rows += [Row(router, name, desired) for line, name in enumerate(names) if (desired := _desired(line))]
    plain = [row for row in rows if with_faults and row.name.endswith('@isp')]
    struck = [row.key for row in plain if row.router != 'bras-20' and row.key not in missing][::38]
    faults = Faults(
        'bras-20' if with_faults else '', frozenset(missing), frozenset(struck[0::2][:20]), frozenset(struck[1::2][:20])
    )
    return World(lines, tuple(rows), faults)


def _desired(line: int) -> str:
    """Spread over the router, next to lines that stay as they are, some of whose names begin alike (u1-5, u1-50)."""
    place = line * 37 % 100
    for desired, share in SHARES.items():
        if place < share:
            return desired
        place -= share
    return ''


@dataclass(frozen=True)
class Truth:
    """What the routers hold at the end. `right`, `not_right` are row keys; `wrong` lines that were not in the plan."""

    right: frozenset[str]
    not_right: frozenset[str]
    wrong: frozenset[str]


def judge(world: World, services: Mapping[str, Mapping[str, Any]], touched: Mapping[str, Mapping[str, int]]) -> Truth:
    """`services` and `touched` are the simulators' own, by router and user name; a dead router has none."""
    right, planned = set(), {row.key for row in world.rows}
    for row in world.rows:
        service = services.get(row.router, {}).get(row.name)
        if service is None:
            continue
        wanted, live = SERVICE_OF[row.desired], service['live']
        stored_right = all(service['stored'][name] == value for name, value in wanted.items())
        live_right = live is None or all(live[name] == value for name, value in wanted.items())
        # Without a session, its stored policy is all there is of a line.
        if stored_right and live_right and (live is not None or row.key in world.faults.missing):
            right.add(row.key)
    hit = {f'{router}/{name}' for router, names in touched.items() for name in names}
    return Truth(frozenset(right), frozenset(planned - right), frozenset(hit - planned))
