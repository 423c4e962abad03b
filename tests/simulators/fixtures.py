"""Ready-made RouterOS routers for tests: profiles of one plan and its throttled and restricted forms."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

from nornir_tasks.change import AccessChange, AccessState, AccessTarget, Reading, Reply
from nornir_tasks.connections.ssh import SSHSession
from nornir_tasks.credentials import Credential
from nornir_tasks.drivers.routeros.driver import RouterOSDriver
from tests.simulators.routeros import Listening, RouterConfig, Simulation, simulation
from tests.simulators.routeros_script import Interpreter
from tests.simulators.routeros_state import Router

PROFILES: tuple[dict[str, Any], ...] = (
    {'name': 'home', 'rate-limit': '5M/20M', 'remote-address': 'pool-a'},
    {'name': 'slow', 'rate-limit': '512k/1M', 'remote-address': 'pool-a'},
    {'name': 'nbd-restricted', 'address-list': 'nbd-restricted', 'remote-address': 'pool-a'},
)
THROTTLED = AccessState.throttled(1000, 512)
LINE = {'profile': 'home', 'throttled_profile': 'slow'}


def open_session(listening: Listening, timeout: float = 5.0) -> SSHSession:
    return SSHSession.connect(
        '127.0.0.1',
        listening.port,
        Credential(username='admin', password='admin'),
        listening.host_key,
        timeout,
        login_suffix=RouterOSDriver.login_suffix,
    )


class Bench:
    """A router, the driver at it, and short words for what tests do all the time."""

    def __init__(self, running: Simulation, timeout: float, parameters: dict[str, Any]) -> None:
        (self.listening,) = running.routers.values()
        self.running = running
        self.router: Router = self.listening.router
        self.session = open_session(self.listening, timeout)
        self.driver = RouterOSDriver(self.session, parameters)

    def target(self, name: str = '', **values: Any) -> AccessTarget:
        """A line whose key is its user name."""
        return AccessTarget(name or values['ipv4'], username=name, **({'parameters': LINE} | values))

    def read(self, *targets: AccessTarget | str) -> list[Reading]:
        wanted = [self.target(item) if isinstance(item, str) else item for item in targets]
        readings = self.driver.read(wanted)
        return [readings[item.key] for item in wanted]

    def apply(self, desired: AccessState, *targets: AccessTarget | str, **values: Any) -> list[Reply]:
        """Read, then change; every reading must be without error."""
        wanted = [self.target(item) if isinstance(item, str) else item for item in targets]
        before = self.driver.read(wanted)
        assert not [reading.error for reading in before.values() if reading.error]
        changes = [AccessChange(f'change-{item.key}', item, desired, **values) for item in wanted]
        replies = self.driver.apply(changes, before)
        assert set(replies) == {change.key for change in changes}
        return [replies[change.key] for change in changes]

    def run(self, line: str) -> list[str]:
        """A console line of the operator's own."""
        return Interpreter(self.router).run(line)

    def truth(self) -> dict[str, Any]:
        """What a comparison of before and after needs: every row but those that come and go with sessions or time."""
        return truth_of(self.router)


def truth_of(router: Router) -> dict[str, Any]:
    """All rows of a router, but those that come and go with sessions or time."""
    router.tick()
    gone = ('ppp active', 'ip firewall connection', 'system clock')
    return {
        menu: {row['.id']: dict(row) for row in router.rows(menu) if not (row.get('dynamic') and 'timeout' not in row)}
        for menu in router.tables
        if menu not in gone
    }


@contextlib.contextmanager
def routeros_bench(
    subscribers: Sequence[dict[str, Any]] = ({'name': 'ana', 'profile': 'home'},),
    *,
    timeout: float = 5.0,
    parameters: dict[str, Any] | None = None,
    **config: Any,
) -> Iterator[Bench]:
    router = RouterConfig('bras-1', **({'profiles': PROFILES, 'subscribers': subscribers} | config))
    with simulation(router) as running:
        bench = Bench(running, timeout, parameters or {})
        try:
            yield bench
        finally:
            bench.session.close()
