"""`delinquency`: what a network engineer does from a shell, with NetBox over REST and the points over their own ways.

`NETBOX_URL` and `NETBOX_TOKEN` say which NetBox; credentials of points are found as `nornir_tasks.credentials` says.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from nornir_tasks.change import AccessChange, AccessTarget, ChangeResult, Outcome, Reading
from nornir_tasks.cli_point import app as point_app
from nornir_tasks.journal import Journal, MemoryJournal, ReportingJournal
from nornir_tasks.netbox import Line, NetBox, NetBoxJournal
from nornir_tasks.runner import read_all, run_changes
from nornir_tasks.terminal import console, sentences

app = typer.Typer(no_args_is_help=True, help=__doc__, pretty_exceptions_enable=False)
app.add_typer(point_app, name='point')

Filters = Annotated[
    list[str] | None,
    typer.Option('--filter', '-f', metavar='NAME=VALUE', help='A filter of the line list, repeatable.'),
]
Bras = Annotated[str | None, typer.Option(help='Only lines of the BRAS with that name.')]
Parallel = Annotated[int, typer.Option(min=1, help='Points worked at a time.')]


def chosen(filters: Iterable[str] | None, bras: str | None) -> dict[str, Any]:
    """The filters of the line list that the options ask for."""
    wanted: dict[str, Any] = {'bras': bras} if bras else {}
    for item in filters or ():
        name, separator, value = item.partition('=')
        if not separator:
            raise typer.BadParameter(f'"{item}": write NAME=VALUE')
        wanted.setdefault(name, []).append(value)
    return wanted


@app.command()
def lines(filters: Filters = None, bras: Bras = None, drifting: Annotated[bool, typer.Option()] = False) -> None:
    """List access lines as NetBox holds them: where, how they should be, how they were last seen."""
    with sentences():
        wanted = chosen(filters, bras) | ({'drifting': 'true'} if drifting else {})
        found = NetBox.from_environment().lines(**wanted)
    table = Table('line', 'point', 'intended', 'observed', '')
    for line in found:
        mark = '[red]drift[/red]' if line.drifting else ''
        table.add_row(_name(line.target), escape(line.point), str(line.intended), str(line.observed or '–'), mark)
    console.print(table)
    console.print(f'{len(found)} lines, {sum(line.drifting for line in found)} drifting')


@app.command()
def plan(
    filters: Filters = None, bras: Bras = None, name: Annotated[str, typer.Option(help='Of the runs made.')] = ''
) -> None:
    """Plan to bring drifting lines to their intended state; shows the runs made, and the hash to approve."""
    with sentences():
        netbox = NetBox.from_environment()
        runs = netbox.plan(name, **chosen(filters, bras))
        for run in runs:
            standing = f'{run["kind"]["value"]}, {run["status"]["value"]}'
            console.print(f'run {run["id"]} [bold]{escape(run["name"])}[/bold]: {standing}, hash {run["plan_hash"]}')
            _show_plan(netbox.open_changes(run['id']))
    if not runs:
        console.print('nothing to do: every line is as intended, or planned already')


@app.command()
def approve(run: int, plan_hash: Annotated[str, typer.Argument(help='As `plan` printed it.')]) -> None:
    """Approve a run: the very rows that hash was printed for."""
    with sentences():
        NetBox.from_environment().act(run, 'approve', {'plan_hash': plan_hash})
    console.print(f'run {run} is approved')


@app.command()
def apply(
    run: int,
    parallel: Parallel = 10,
    dry_run: Annotated[bool, typer.Option(help='Read and compare only; nothing is sent or journaled.')] = False,
) -> None:
    """Execute an approved run from here, journaling to NetBox; goes on where an abandoned one was left."""
    with sentences():
        netbox = NetBox.from_environment()
        journal: Journal = MemoryJournal() if dry_run else NetBoxJournal(netbox, run)
        if not dry_run:
            netbox.act(run, 'begin')
        changes = netbox.open_changes(run)
        points = netbox.points(name=list(changes)) if changes else []
        names = {change.key: _name(change.target) for rows in changes.values() for change in rows}
        with _progress(len(names)) as advance:
            results = run_changes(
                points, changes, ReportingJournal(journal, advance), parallel=parallel, dry_run=dry_run
            )
        if not dry_run:
            netbox.act(run, 'finish')
    _show_results(results, names)
    wrong = [result for result in results if not result.outcome.is_success and result.outcome is not Outcome.SKIPPED]
    if wrong or len(results) < len(names):
        raise typer.Exit(1)


@app.command()
def verify(filters: Filters = None, bras: Bras = None, parallel: Parallel = 10) -> None:
    """Read lines at their points and compare with what is intended; exits with 1 where any differs."""
    with sentences():
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


def _name(target: AccessTarget) -> str:
    identity = target.username or target.circuit_id or target.ipv4 or target.ipv6 or target.mac or target.cwmp_id
    return escape(identity)


def _show_plan(changes: Mapping[str, Sequence[AccessChange]]) -> None:
    table = Table('point', 'desired', 'lines')
    for point, rows in sorted(changes.items()):
        for desired, count in sorted(Counter(str(row.desired) for row in rows).items()):
            table.add_row(escape(point), desired, str(count))
    console.print(table)


def _show_results(results: Sequence[ChangeResult], names: Mapping[str, str]) -> None:
    table = Table('line', 'outcome', 'why')
    for result in results:
        if result.message:
            table.add_row(names[result.key], str(result.outcome), escape(result.message))
    if table.rows:
        console.print(table)
    counts = Counter(str(result.outcome) for result in results)
    open_rows = len(names) - len(results)
    left = [f'{open_rows} left open: the journal could not be written'] if open_rows else []
    console.print(', '.join([*(f'{count} {outcome}' for outcome, count in sorted(counts.items())), *left]) or 'no rows')


def _show_drift(wrong: Sequence[tuple[Line, Reading]]) -> None:
    table = Table('line', 'point', 'intended', 'stored', 'live', 'why')
    for line, reading in wrong:
        states = (str(state or '–') for state in (line.intended, reading.stored, reading.live))
        table.add_row(_name(line.target), escape(line.point), *states, escape(reading.error))
    if wrong:
        console.print(table)


@contextmanager
def _progress(total: int) -> Iterator[Any]:
    columns = (
        TextColumn('{task.description}'), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=console) as progress:
        task = progress.add_task('lines', total=total)
        yield lambda result: progress.advance(task)


if __name__ == '__main__':
    app()
