"""One small provider for each dialect: groups in FreeRADIUS, a NAS with its console where one is simulated, and what
that NAS must then hold for each state of a line. Contracted at 20/10 Mbit/s, throttled to 1000/512 kbit/s.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from nornir_tasks.change import AccessState, Mode
from nornir_tasks.credentials import get_credential
from tests.simulators.console import Box, ConsoleSimulation, Terminal
from tests.simulators.iosxr import IOSXRTerminal
from tests.simulators.junos import JunosTerminal
from tests.simulators.nas import Nas, nas
from tests.simulators.radius_sql import RadiusDatabase
from tests.simulators.sros import SROSTerminal
from tests.simulators.vrp import VRPTerminal

SLOW = AccessState.throttled(1000, 512)
STATES = (SLOW, AccessState.blocked(), AccessState.normal())
GROUPS = {Mode.NORMAL: 'home', Mode.THROTTLED: 'slow', Mode.BLOCKED: 'nbd-restricted'}
FULL, REDUCED = (20_000, 10_000), (1000, 512)
Replies = list[tuple[str, str]]


@dataclass(frozen=True)
class Provider:
    """`replies` are the groups' by mode; `holds` is (policies, rates) of a session in each mode, as the NAS has it."""

    dialect: str
    replies: Mapping[Mode, Replies]
    holds: Mapping[Mode, tuple[tuple[str, ...], tuple[int, int] | None]]
    names: Mapping[str, str] = field(default_factory=dict)
    profiles: frozenset[str] = frozenset()
    reconnects: frozenset[Mode] = frozenset()  # modes that are entered or left by a reconnect only
    console: str = ''
    terminal: type[Terminal] | None = None
    console_parameters: Mapping[str, Any] = field(default_factory=dict)

    def fill(self, db: RadiusDatabase) -> None:
        db.empty()
        for mode, replies in self.replies.items():
            for number, (attribute, value) in enumerate(replies):
                seen = attribute in [name for name, _ in replies[:number]]
                db.execute(
                    'INSERT INTO radgroupreply (groupname, attribute, op, value) VALUES (:g, :a, :o, :v)',
                    {'g': GROUPS[mode], 'a': attribute, 'o': '+=' if seen else ':=', 'v': value},
                )

    def parameters(self, db: RadiusDatabase, at: Running, **values: Any) -> dict[str, Any]:
        """Of the enforcement point; a NAS without a console is trusted."""
        known: dict[str, Any] = {
            **db.parameters, 'dialect': self.dialect, 'coa_port': at.nas.port, 'names': dict(self.names),
            'throttled_group': 'slow', 'group_rates': {'slow': '1000/512'}, 'settle_seconds': 3,
        }  # fmt: skip
        if self.console:
            known['console'] = at.console_parameters(self)
        else:
            known['trust_acknowledgement'] = True
        return known | values


@dataclass
class Running:
    nas: Nas
    console: ConsoleSimulation | None

    def console_parameters(self, provider: Provider) -> dict[str, Any]:
        assert self.console
        listening = self.console.listening
        slow, wall = (provider.holds[mode][0][0] for mode in (Mode.THROTTLED, Mode.BLOCKED))
        policies = {slow: {'mode': 'throttled', 'down_kbps': 1000, 'up_kbps': 512}, wall: {'mode': 'blocked'}}
        return {
            'driver': provider.console, 'port': listening.port, 'host_key': listening.host_key,
            'credential': 'console', 'timeout': 5,
            'parameters': {'policies': policies, 'clears_sessions': True, **provider.console_parameters},
        }  # fmt: skip


@contextlib.contextmanager
def provider_network(provider: Provider, server: tuple[int, int] | None, *names: str) -> Iterator[Running]:
    """The provider's NAS, with these subscribers online, and its console, with the login of credential `console`."""
    password = get_credential('console').password
    box = Box(profiles=set(provider.profiles), users={'admin': password.get_secret_value() if password else ''})
    with contextlib.ExitStack() as stack:
        running = stack.enter_context(nas(provider.dialect, box, server=server))
        running.add(*names)
        console = ConsoleSimulation(box, provider.terminal) if provider.terminal else None
        if console:
            stack.callback(console.close)
        yield Running(running, console)


def by_name(attribute: str, form: str, normal: str, throttled: str, blocked: str, **values: Any) -> dict[str, Any]:
    """A provider whose states are names; `form` makes the reply's value of a name."""
    names = {Mode.NORMAL: normal, Mode.THROTTLED: throttled, Mode.BLOCKED: blocked}
    return {
        'replies': {mode: [(attribute, form.format(name))] for mode, name in names.items()},
        'holds': {mode: ((name,), None) for mode, name in names.items()},
        'names': {str(mode): name for mode, name in names.items()},
        'profiles': frozenset(names.values()),
        **values,
    }


def huawei_rates(down: int, up: int) -> Replies:
    kinds = (('Input', up), ('Output', down))
    return [(f'Huawei-{way}-{kind}-Rate', str(kbps * 1000)) for way, kbps in kinds for kind in ('Average', 'Peak')]


JUNIPER = by_name('ERX-Service-Activate:1', '{}', 'fast(20m,10m)', 'slow(1000k,512k)', 'garden')
JUNIPER['names'] |= {'throttled': 'slow({down}k,{up}k)'}

PROVIDERS = {
    provider.dialect: provider
    for provider in (
        Provider('generic', **by_name('Filter-Id', '{}', 'home-in', 'slow-in', 'wall-in')),
        Provider(
            'accel_ppp',
            {
                Mode.NORMAL: [('Filter-Id', '20000/10000')],
                Mode.THROTTLED: [('Filter-Id', '1000/512')],
                Mode.BLOCKED: [('Framed-Pool', 'garden')],
            },
            {Mode.NORMAL: ((), FULL), Mode.THROTTLED: ((), REDUCED), Mode.BLOCKED: (('garden',), None)},
            {'blocked': 'garden'},
            reconnects=frozenset({Mode.BLOCKED}),
        ),
        Provider(
            'huawei',
            {
                Mode.NORMAL: huawei_rates(*FULL),
                Mode.THROTTLED: huawei_rates(*REDUCED),
                Mode.BLOCKED: [('Filter-Id', 'ug-wall')],
            },
            {Mode.NORMAL: ((), FULL), Mode.THROTTLED: ((), REDUCED), Mode.BLOCKED: (('ug-wall',), None)},
            {'blocked': 'ug-wall'},
            frozenset({'ug-wall'}),
            frozenset({Mode.BLOCKED}),
        ),
        Provider(
            'huawei_profile',
            **by_name('Huawei-Qos-Profile-Name', '{}', 'fast', 'slow-1m', 'walled'),
            console='huawei_vrp', terminal=VRPTerminal,
        ),
        Provider('cisco_isg', **by_name('Cisco-Account-Info', 'A{}', 'FAST', 'SLOW', 'WALL')),
        Provider(
            'cisco_iosxr',
            **by_name('Cisco-AVPair', 'subscriber:sa={}', 'FAST', 'SLOW', 'WALL'),
            console='cisco_iosxr', terminal=IOSXRTerminal,
        ),
        Provider('juniper', **JUNIPER, console='junos', terminal=JunosTerminal),
        Provider(
            'nokia',
            **by_name('Alc-SLA-Prof-Str', '{}', 'sla-fast', 'sla-slow', 'sla-wall'),
            console='nokia_sros', terminal=SROSTerminal, console_parameters={'service_id': 100},
        ),
        Provider(
            'nokia_override',
            {
                Mode.NORMAL: [('Alc-SLA-Prof-Str', 'sla-fast')],
                Mode.THROTTLED: [
                    ('Alc-SLA-Prof-Str', 'sla-fast'),
                    ('Alc-Subscriber-QoS-Override', 'E:Q:1:pir=1000,cir=1000'),
                    ('Alc-Subscriber-QoS-Override', 'I:Q:1:pir=512,cir=512'),
                ],
                Mode.BLOCKED: [('Alc-SLA-Prof-Str', 'sla-wall')],
            },
            {
                Mode.NORMAL: (('sla-fast',), None),
                Mode.THROTTLED: (('sla-fast',), REDUCED),
                Mode.BLOCKED: (('sla-wall',), None),
            },
            {'blocked': 'sla-wall'},
            frozenset({'sla-fast', 'sla-wall'}),
            frozenset({Mode.BLOCKED}),
        ),
    )
}  # fmt: skip
