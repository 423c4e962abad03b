"""`delinquency`: what a network engineer does from a shell, with NetBox over REST and the points over their own ways.

`NETBOX_URL` and `NETBOX_TOKEN` say which NetBox; credentials of points are found as `nornir_tasks.credentials` says.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from nornir_tasks.change import AccessTarget, Reading
from nornir_tasks.cli.point import app as point_app
from nornir_tasks.cli.run import Bras, Filters, Parallel, chosen, name_of, register
from nornir_tasks.cli.terminal import console, error_messages
from nornir_tasks.netbox import Line, NetBox
from nornir_tasks.run import read_all

app = typer.Typer(no_args_is_help=True, help=__doc__, pretty_exceptions_enable=False)
app.add_typer(point_app, name='point')
register(app)


@app.command()
def lines(filters: Filters = None, bras: Bras = None, drifting: Annotated[bool, typer.Option()] = False) -> None:
    """List access lines as NetBox holds them: where, how they should be, how they were last seen."""
    with error_messages():
        wanted = chosen(filters, bras) | ({'drifting': 'true'} if drifting else {})
        found = NetBox.from_environment().lines(**wanted)
    table = Table('line', 'point', 'intended', 'observed', '')
    for line in found:
        mark = '[red]drift[/red]' if line.drifting else ''
        table.add_row(name_of(line.target), escape(line.point), str(line.intended), str(line.observed or '–'), mark)
    console.print(table)
    console.print(f'{len(found)} lines, {sum(line.drifting for line in found)} drifting')


@app.command()
def verify(filters: Filters = None, bras: Bras = None, parallel: Parallel = 10) -> None:
    """Read lines at their points and compare with what is intended; exits with 1 where any differs."""
    with error_messages():
        netbox = NetBox.from_environment()
        found = [line for line in netbox.lines(**chosen(filters, bras)) if line.point]
        targets: dict[str, list[AccessTarget]] = {}
        for line in found:
            targets.setdefault(line.point, []).append(line.target)
        readings = read_all(netbox.points(name=list(targets)) if targets else [], targets, parallel=parallel)
    wrong = [(line, reading) for line in found if not (reading := readings[line.target.key]).is_(line.intended)]
    _show_drift(wrong)
    console.print(f'{len(found)} lines read, {len(wrong)} not as intended')
    if wrong:
        raise typer.Exit(1)


def _show_drift(wrong: Sequence[tuple[Line, Reading]]) -> None:
    table = Table('line', 'point', 'intended', 'stored', 'live', 'why')
    for line, reading in wrong:
        states = (str(state or '–') for state in (line.intended, reading.stored, reading.live))
        table.add_row(name_of(line.target), escape(line.point), *states, escape(reading.error))
    if wrong:
        console.print(table)


if __name__ == '__main__':
    app()
