"""Enforcement points as Nornir hosts, whatever they were read from.

A Nornir host is an enforcement point, never a subscriber: lines are rows handed to a point's one task.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from importlib.metadata import entry_points

from nornir.core import Nornir
from nornir.core.configuration import Config
from nornir.core.inventory import ConnectionOptions, Defaults, Groups, Host, Hosts, Inventory
from nornir.core.plugins.connections import ConnectionPluginRegister
from nornir.core.plugins.runners import RunnerPlugin
from nornir.core.state import GlobalState

from nornir_tasks.drivers import available_drivers, get_driver
from nornir_tasks.errors import ConfigurationError
from nornir_tasks.points import Point

logger = logging.getLogger(__name__)


def as_host(point: Point) -> Host:
    """The Nornir host of a point; connection plugins and tasks find the point itself in `host.data["point"]`."""
    return Host(
        name=point.name,
        hostname=point.address,
        port=point.port,
        platform=point.driver,
        data={'point': point},
        connection_options=_connection_options(point),
        defaults=Defaults(),
    )


def _connection_options(point: Point) -> dict[str, ConnectionOptions]:
    """What Nornir hands a connection plugin in place of the host; the point only names its credential."""
    try:
        name = get_driver(point.driver).connection_name
    except ConfigurationError:
        return {}  # the task of this one point says so; the others are not held up by it
    return {name: ConnectionOptions(extras={'point': point})}


def preload() -> None:
    """Import every driver and what connects it, for a process that forks one for each job: those would all do it again.

    One that cannot be imported is left to the points that use it, which say so.
    """
    names = set()
    for name in available_drivers():
        try:
            names.add(get_driver(name).connection_name)
        except ImportError:
            logger.warning('the driver "%s" cannot be loaded', name, exc_info=True)
    _register(names)


def _register_connections(points: Iterable[Point]) -> None:
    """Only those that these points need: a broken plugin of somebody else's must not stop the run."""
    _register({name for point in points for name in _connection_options(point)})


def _register(names: set[str]) -> None:
    wanted = names - set(ConnectionPluginRegister.available)
    for entry in entry_points(group='nornir.plugins.connections') if wanted else ():
        if entry.name in wanted:
            ConnectionPluginRegister.register(entry.name, entry.load())


def as_inventory(points: Iterable[Point]) -> Inventory:
    return Inventory(
        hosts=Hosts({point.name: as_host(point) for point in points}), groups=Groups(), defaults=Defaults()
    )


def nornir_for(points: Iterable[Point], runner: RunnerPlugin, dry_run: bool = False) -> Nornir:
    """A Nornir of its own for one run.

    The state is fresh: Nornir's default one is shared by the whole process and would skip a host in every later run
    once it failed in one.
    """
    points = list(points)
    _register_connections(points)
    return Nornir(
        inventory=as_inventory(points),
        runner=runner,
        config=Config(),
        data=GlobalState(dry_run=dry_run),
    )
