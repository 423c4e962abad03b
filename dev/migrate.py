"""`netbox migrate` of the plugin on a NetBox that is migrated already: quickly, and with its progress printed.

Run as `python -m dev.migrate`, in the environment of an instance. After each operation Django renders anew every model
that is connected to the changed one, which in NetBox is every model, half a second each time. NetBox's models do not
change here, so only the plugin's are rendered anew. `python -m dev schema --check` holds the outcome equal to that of
NetBox's own command.
"""

from __future__ import annotations

import importlib
import time
from typing import Any

import django
from django.core.management import call_command
from django.db.migrations.state import ProjectState

APP = 'netbox_delinquency'
EVERY_S = 2.0  # between two lines of progress


def render_only_the_plugin() -> None:
    """Leave the models of other apps as they were rendered first."""
    connected = ProjectState._find_reload_model  # noqa: SLF001 Django has no hook for it

    def of_the_plugin(self: ProjectState, app_label: str, model_name: str, delay: bool = False) -> set[tuple[str, str]]:
        changed = (app_label, model_name)
        return {model for model in connected(self, *changed, delay) if model[0] == APP or model == changed}

    ProjectState._find_reload_model = of_the_plugin  # noqa: SLF001


def operations() -> list[Any]:
    """Every operation of the plugin's migrations; a loader copies the list, and runs these same objects."""
    from django.db import connection
    from django.db.migrations.loader import MigrationLoader

    names = sorted(name for app, name in MigrationLoader(connection).disk_migrations if app == APP)
    modules = [importlib.import_module(f'{APP}.migrations.{name}') for name in names]
    return [operation for module in modules for operation in module.Migration.operations]


def print_progress(planned: list[Any]) -> None:
    """Have each operation say how far they are, at most every `EVERY_S`."""
    started = said = time.monotonic()
    done = 0

    def counted(forwards: Any) -> Any:
        def run(*arguments: Any) -> None:
            nonlocal done, said
            forwards(*arguments)
            done += 1
            if time.monotonic() - said >= EVERY_S or done == len(planned):
                said = time.monotonic()
                print(f'  {done} of {len(planned)} operations, {said - started:.0f} s', flush=True)

        return run

    for operation in planned:
        operation.database_forwards = counted(operation.database_forwards)


if __name__ == '__main__':
    django.setup()
    render_only_the_plugin()
    print_progress(operations())
    call_command('migrate', interactive=False, verbosity=0)
