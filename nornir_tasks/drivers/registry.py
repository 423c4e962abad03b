"""Which drivers are installed: found by entry point, so that third parties can add their own."""

from __future__ import annotations

from functools import cache
from importlib.metadata import entry_points

from nornir_tasks.drivers.base import Driver
from nornir_tasks.errors import ConfigurationError

ENTRY_POINT_GROUP = 'netbox_delinquency.drivers'


@cache
def available_drivers() -> tuple[str, ...]:
    """Names of all installed drivers, sorted; none of them is imported for it."""
    return tuple(sorted({entry.name for entry in entry_points(group=ENTRY_POINT_GROUP)}))


@cache
def get_driver(name: str) -> type[Driver]:
    """The driver class of that name. Raises `ConfigurationError` where none is installed."""
    for entry in entry_points(group=ENTRY_POINT_GROUP, name=name):
        driver: type[Driver] = entry.load()
        return driver
    raise ConfigurationError(f'no driver "{name}" is installed; there are: {", ".join(available_drivers())}')
