"""`delinquency point`: is an enforcement point fit to be used, and what must be added there."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from nornir_tasks.cli.terminal import console, error_messages
from nornir_tasks.drivers import Finding
from nornir_tasks.drivers.base import lines_of
from nornir_tasks.errors import ConfigurationError
from nornir_tasks.netbox import NetBox
from nornir_tasks.point_check import check_point, prepare_point
from nornir_tasks.points import Point

app = typer.Typer(no_args_is_help=True, help='Check an enforcement point, and prepare it.')
Name = Annotated[str, typer.Argument(help='Of the enforcement point in NetBox.')]


def find_point(name: str) -> Point:
    """Raises `ConfigurationError` where NetBox has no such point, `NetBoxError`."""
    for point in NetBox.from_environment().points(name=name):
        return point
    raise ConfigurationError(f'NetBox has no enforcement point "{name}", or you may not see it')


@app.command()
def check(name: Name) -> None:
    """Test reachability, credential, host key, privileges, clock and what lines need; changes nothing.

    Exits with 1 where something required is missing.
    """
    with error_messages():
        findings = check_point(find_point(name), datetime.now(UTC))
    show(findings)
    show_lines(findings)
    end(findings)


@app.command()
def prepare(
    name: Name,
    apply: Annotated[bool, typer.Option('--apply', help='Add the lines; without it they are only printed.')] = False,
) -> None:
    """Print the lines that a point lacks, and with --apply add them there."""
    with error_messages():
        point = find_point(name)
        findings = check_point(point, datetime.now(UTC))
        if not apply or not lines_of(findings):
            show(findings)
            show_lines(findings)
            end(findings)
            return
        for line, reply in prepare_point(point, findings):
            mark = '[green]added[/green]' if reply.accepted else f'[red]{escape(reply.message or "no answer")}[/red]'
            console.print(f'{escape(line)}\n  {mark}', soft_wrap=True)
        findings = check_point(point, datetime.now(UTC))
    show(findings)
    end(findings)


def show(findings: Sequence[Finding]) -> None:
    table = Table('what', '', 'why')
    for finding in findings:
        mark = (
            '[green]ok[/green]' if finding.ok else '[red]missing[/red]' if finding.required else '[yellow]look[/yellow]'
        )
        table.add_row(escape(finding.subject), mark, escape(finding.message))
    console.print(table)


def show_lines(findings: Sequence[Finding]) -> None:
    """As they are, one a line and unwrapped: they are meant to be copied."""
    lines = lines_of(findings)
    if lines:
        console.print('lines to add (delinquency point prepare … --apply does):')
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def end(findings: Sequence[Finding]) -> None:
    if any(finding.required and not finding.ok for finding in findings):
        raise typer.Exit(1)
