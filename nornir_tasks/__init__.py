"""The engine as a library: what a runbook needs is here, and each name is imported when it is first used.

`run_changes` and `read_all` do the work; `AccessChange`, `AccessTarget`, `AccessState` say what is wanted, `Reading`,
`ChangeResult`, `Outcome` what came of it; `Point` is where. `NetBox` is NetBox over REST, a `Journal` is where a run
is written down. `Waves` and `BreakerLimits` say how careful it is; `WavesRunner`, `NetBoxInventory`, `enforce` and
`read_lines` are the same for a Nornir of your own. Everything else is internal, and may change.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nornir_tasks.change import AccessChange, AccessState, AccessTarget, ChangeResult, Mode, Outcome, Reading
    from nornir_tasks.engine.breaker import BreakerLimits
    from nornir_tasks.engine.journal import Journal, MemoryJournal, ReportingJournal
    from nornir_tasks.engine.tasks import enforce, read_lines
    from nornir_tasks.engine.waves import Waves
    from nornir_tasks.errors import EnforcementError
    from nornir_tasks.inventory.netbox_inventory import NetBoxInventory
    from nornir_tasks.netbox import Line, NetBox, NetBoxJournal
    from nornir_tasks.points import Point
    from nornir_tasks.run import RunResults, read_all, run_changes
    from nornir_tasks.runners.waves import WavesRunner

_HOMES = {
    'engine.breaker': ('BreakerLimits',),
    'change': ('AccessChange', 'AccessState', 'AccessTarget', 'ChangeResult', 'Mode', 'Outcome', 'Reading'),
    'errors': ('EnforcementError',),
    'points': ('Point',),
    'engine.journal': ('Journal', 'MemoryJournal', 'ReportingJournal'),
    'netbox': ('Line', 'NetBox', 'NetBoxJournal'),
    'inventory.netbox_inventory': ('NetBoxInventory',),
    'run': ('RunResults', 'read_all', 'run_changes'),
    'engine.tasks': ('enforce', 'read_lines'),
    'engine.waves': ('Waves',),
    'runners.waves': ('WavesRunner',),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}

__all__ = (
    'AccessChange',
    'AccessState',
    'AccessTarget',
    'BreakerLimits',
    'ChangeResult',
    'EnforcementError',
    'Journal',
    'Line',
    'MemoryJournal',
    'Mode',
    'NetBox',
    'NetBoxInventory',
    'NetBoxJournal',
    'Outcome',
    'Point',
    'Reading',
    'ReportingJournal',
    'RunResults',
    'Waves',
    'WavesRunner',
    'enforce',
    'read_all',
    'read_lines',
    'run_changes',
)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    value = getattr(import_module(f'{__name__}.{_HOME[name]}'), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
