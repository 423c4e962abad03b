"""What `delinquency` does with a run: plan, approve, apply it from here, watch NetBox's workers at it, go back."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from nornir_tasks.change import AccessTarget, ChangeResult, Outcome
from nornir_tasks.cli.progress import Counting, RunBar, cancelled_by_ctrl_c
from nornir_tasks.cli.terminal import console, error_messages
from nornir_tasks.engine.breaker import BreakerLimits
from nornir_tasks.engine.journal import Journal, MemoryJournal, ReportingJournal
from nornir_tasks.netbox import NetBox, NetBoxJournal
from nornir_tasks.run import RunResults, run_changes

POLL_SECONDS = 1.0
ENDED = ('completed', 'failed', 'cancelled')
GIVES_BACK = 'restore'  # the kind of run that nothing holds up
UNWRITTEN = 'the journal could not be written'

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


def plan(
    filters: Filters = None, bras: Bras = None, name: Annotated[str, typer.Option(help='Of the runs made.')] = ''
) -> None:
    """Plan to bring drifting lines to their intended state; shows the runs made, and the hash to approve."""
    with error_messages():
        netbox = NetBox.from_environment()
        runs = netbox.plan(name, **chosen(filters, bras))
        for run in runs:
            show_plan(netbox, run)
    if not runs:
        console.print('nothing to do: every line is as intended, or planned already')


def approve(run: int, plan_hash: Annotated[str, typer.Argument(help='As `plan` printed it.')]) -> None:
    """Approve a run: the very rows that hash was printed for."""
    with error_messages():
        NetBox.from_environment().act(run, 'approve', {'plan_hash': plan_hash})
    console.print(f'run {run} is approved')


def apply(
    run: int,
    parallel: Parallel = 10,
    dry_run: Annotated[bool, typer.Option(help='Read and compare only; nothing is sent or journaled.')] = False,
    soak: Annotated[
        float | None, typer.Option(min=0, help="Seconds to watch the points between two waves; else NetBox's setting.")
    ] = None,
    max_failed: Annotated[
        float, typer.Option(min=0, max=100, help='Stop where more rows than this go wrong, in percent.')
    ] = BreakerLimits().max_failed_percent,
    deadline: Annotated[
        float | None, typer.Option(min=1, help='Seconds for all of it; rows not begun by then stay open.')
    ] = None,
    resume: Annotated[bool, typer.Option(help='Go on with a run that was paused.')] = False,
) -> None:
    """Execute an approved run from here, journaling to NetBox; goes on where an abandoned one was left.

    Rows go in the waves of their plan. It stops by itself where too much goes wrong, where NetBox pauses the run or
    stops enforcement, where another run does not let go of lines within a minute (no further wave is begun then), and
    cleanly on Ctrl-C: rows not begun stay open, and the run is paused. What gives access back has no waves; only lines
    that are not let go of, Ctrl-C and the deadline leave rows of it open, and NetBox's workers go on with them.
    """
    with error_messages():
        netbox = NetBox.from_environment()
        journal: Journal = MemoryJournal() if dry_run else NetBoxJournal(netbox, run)
        held = netbox.run(run)['kind']['value'] != GIVES_BACK
        careful = held and not dry_run
        if soak is None:
            soak = netbox.progress(run)['soak_seconds']
        if not dry_run:
            netbox.act(run, 'begin', {'resume': resume})
        changes = netbox.open_changes(run)
        points = netbox.points(name=list(changes)) if changes else []
        try:
            with cancelled_by_ctrl_c() as cancel, RunBar() as bar:
                results = run_changes(
                    points,
                    changes,
                    ReportingJournal(journal, Counting(changes, bar).count),
                    parallel=parallel,
                    dry_run=dry_run,
                    soak_s=soak if careful else 0.0,
                    breaker=BreakerLimits(max_failed_percent=max_failed) if careful else None,
                    cancel=cancel,
                    deadline_s=deadline,
                )
        except KeyboardInterrupt:
            if not dry_run:
                netbox.finish(run, 'it was broken off')
            raise
        for name in changes.keys() - {point.name for point in points}:
            results.stop_reasons[name] = 'NetBox has no such enforcement point, or you may not see it'
        if not dry_run:
            netbox.finish(run, *(results.stop_reasons.values() or [UNWRITTEN]))
    names = {change.key: name_of(change.target) for rows in changes.values() for change in rows}
    show_results(results, names)
    open_rows = len(names) - len(results)
    if open_rows:
        _show_open(run, open_rows, results, held)
    wrong = [result for result in results if not result.outcome.is_success and result.outcome is not Outcome.SKIPPED]
    if wrong or open_rows:
        raise typer.Exit(1)


def watch(run: int) -> None:
    """Show how far a run is until it ends or is paused, whoever works it; exits with 1 unless it ended well."""
    with error_messages():
        netbox = NetBox.from_environment()
        with RunBar() as bar:
            while True:
                state = netbox.progress(run)
                bar.show(state)
                if state['status'] in (*ENDED, 'paused'):
                    break
                time.sleep(POLL_SECONDS)
    why = f': {escape(state["stop_reason"])}' if state['stop_reason'] else ''
    console.print(f'run {run} is {state["status"]}{why}')
    if state['status'] != 'completed':
        raise typer.Exit(1)


def revert(
    run: int,
    row: Annotated[list[int] | None, typer.Option(help='Only this row of the run, by its number; repeatable.')] = None,
) -> None:
    """Plan to put a run's lines back as they were before it; shows the runs made, and the hash to approve."""
    with error_messages():
        netbox = NetBox.from_environment()
        answer = netbox.act(run, 'revert', {'rows': row} if row else {})
        for made in answer['runs']:
            show_plan(netbox, made)
    for left in answer['left_out']:
        console.print(f'left out: {escape(str(left["line"]))}: {escape(left["reason"])}')
    if not answer['runs']:
        raise typer.Exit(1)


def register(app: typer.Typer) -> None:
    for command in (plan, approve, apply, watch, revert):
        app.command()(command)


def name_of(target: AccessTarget) -> str:
    identity = target.username or target.circuit_id or target.ipv4 or target.ipv6 or target.mac or target.cwmp_id
    return escape(identity)


def show_plan(netbox: NetBox, run: Mapping[str, Any]) -> None:
    """A run that was planned: its hash, and what it would do where."""
    summary = f'{run["kind"]["value"]}, {run["status"]["value"]}'
    console.print(f'run {run["id"]} [bold]{escape(run["name"])}[/bold]: {summary}, hash {run["plan_hash"]}')
    changes = netbox.open_changes(run['id'])
    table = Table('point', 'desired', 'lines')
    for point, rows in sorted(changes.items()):
        for desired, count in sorted(Counter(str(row.desired) for row in rows).items()):
            table.add_row(escape(point), desired, str(count))
    console.print(table)
    waves = Counter(row.wave for rows in changes.values() for row in rows)
    if len(waves) > 1:
        console.print('waves: ' + ', '.join(str(count) for _, count in sorted(waves.items())) + ' lines')
    preview = netbox.preview(run['id'])
    for warning in preview['warnings']:
        console.print(f'[yellow]look[/yellow]: {escape(warning["text"])}')
    for refusal in preview['refusals']:
        console.print(f'[red]cannot be approved[/red]: {escape(refusal)}')


def show_results(results: Sequence[ChangeResult], names: Mapping[str, str]) -> None:
    table = Table('line', 'outcome', 'why')
    for result in results:
        if result.message:
            table.add_row(names[result.key], str(result.outcome), escape(result.message))
    if table.rows:
        console.print(table)
    counts = Counter(str(result.outcome) for result in results)
    console.print(', '.join(f'{count} {outcome}' for outcome, count in sorted(counts.items())) or 'no rows')


def _show_open(run: int, count: int, results: RunResults, held: bool) -> None:
    """Why rows were left, once for each reason, and how to go on."""
    by_reason: dict[str, list[str]] = {}
    for point, reason in sorted(results.stop_reasons.items()):
        by_reason.setdefault(reason, []).append(point)
    for reason, points in by_reason.items():
        console.print(f'[yellow]stopped[/yellow] at {escape(", ".join(points))}: {escape(reason)}')
    if not by_reason:
        console.print(f'[red]{UNWRITTEN}[/red]')
    command = f'"delinquency apply {run} --resume"'
    whose = f'The run is paused: go on with {command}, or there' if held else "NetBox's workers take them up"
    console.print(f'{count} rows are left open, and nothing was sent to them. {whose}, or cancel the run')
