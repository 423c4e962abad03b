"""What a runbook works on: two simulated routers with four homes each, and the NetBox that knows them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from typer.testing import CliRunner, Result

from nornir_tasks.change import AccessState
from nornir_tasks.cli.app import app
from tests.simulators.fixtures import LINE, PROFILES
from tests.simulators.netbox import NetBoxSimulator, netbox
from tests.simulators.routeros import RouterConfig, Simulation, simulation

BLOCKED = AccessState.blocked()
LINES = 4


class World:
    """Two routers with four homes each, and the NetBox that knows them."""

    def __init__(self, running: Simulation, netbox: NetBoxSimulator) -> None:
        self.netbox = netbox
        self.shown = ''  # what `plan` printed last
        self.routers = {name: listening.router for name, listening in running.routers.items()}
        for name, listening in running.routers.items():
            netbox.add_point(name, listening.port, listening.host_key)
            for number in range(1, LINES + 1):
                netbox.add_line(name, f'{name}-{number}', LINE)

    def cli(self, *arguments: object) -> Result:
        """The `delinquency` command."""
        return CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)

    def approved(self, state: AccessState = BLOCKED, *usernames: str) -> int:
        """A run that brings these lines (without any: all) to that state."""
        self.netbox.want(state, *usernames)
        self.shown = self.cli('plan').output
        run = self.netbox.runs[-1]
        assert run['plan_hash'] in self.shown
        if run['status'] == 'planned':
            assert self.cli('approve', run['id'], run['plan_hash']).exit_code == 0
        return int(run['id'])

    def service(self, username: str) -> dict[str, Any]:
        return self.routers[username.rpartition('-')[0]].service(username)

    @property
    def services(self) -> dict[str, dict[str, Any]]:
        """What each home gets, but for the address that a new session is given from the pool."""
        services = {line['username']: self.service(line['username']) for line in self.netbox.lines}
        for service in services.values():
            service['live'].pop('address')
        return services

    @property
    def blocked(self) -> list[str]:
        return sorted(
            line['username'] for line in self.netbox.lines if self.service(line['username'])['live']['blocked']
        )


@contextlib.contextmanager
def runbook_world() -> Iterator[World]:
    routers = [
        RouterConfig(
            name, profiles=PROFILES, subscribers=[{'name': f'{name}-{{n}}', 'profile': 'home', 'count': LINES}]
        )
        for name in ('bras-1', 'bras-2')
    ]
    with simulation(*routers) as running, netbox() as box:
        yield World(running, box)
