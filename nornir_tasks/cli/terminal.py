"""What the commands of `delinquency` share: where they print, and how an error of ours looks there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import typer
from rich.console import Console
from rich.markup import escape

from nornir_tasks.errors import EnforcementError

console = Console()


@contextmanager
def error_messages() -> Iterator[None]:
    """An error of ours ends the command with its sentence, without a traceback."""
    try:
        yield
    except EnforcementError as error:
        console.print(f'[red]{escape(str(error))}[/red]')
        raise typer.Exit(2) from None
