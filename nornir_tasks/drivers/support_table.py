"""The support table of the docs, made from what the drivers declare: `python -m nornir_tasks.drivers.support_table`."""

from __future__ import annotations

import sys
from collections.abc import Iterable

from nornir_tasks.drivers import available_drivers, get_driver
from nornir_tasks.drivers.base import Driver

COLUMNS = {
    'throttle': 'throttle',
    'block': 'block',
    'redirect': 'notice page',
    'stored': 'stored policy',
    'live': 'live session',
    'clear': 'ends sessions',
    'read_back': 'read back',
    'ttl': 'time limit',
    'ipv6': 'IPv6',
    'cpe_values': 'CPE values',
    'check': 'check',
}


def support_table(drivers: Iterable[type[Driver]]) -> str:
    """A Markdown table, one row a driver, in their order."""
    rows = [['driver', *COLUMNS.values()], ['---', *[':-:'] * len(COLUMNS)]]
    for driver in drivers:
        marks = ['yes' if getattr(driver.abilities, name) else '–' for name in COLUMNS]
        rows.append([f'[`{driver.name}`]({driver.name}.md)', *marks])
    return '\n'.join(f'| {" | ".join(row)} |' for row in rows) + '\n'


def own_drivers() -> list[type[Driver]]:
    """Those of this project, by name; what others installed beside them is not ours to document."""
    drivers = [get_driver(name) for name in available_drivers()]
    return [driver for driver in drivers if driver.__module__.startswith('nornir_tasks.')]


if __name__ == '__main__':
    sys.stdout.write(support_table(own_drivers()))
