"""A plan of 2,000 changes over 10,000 lines of 20 routers: this project beside netmiko and plain Nornir.

    python -m benchmarks.bench_bulk [--delays 0,20,100] [--contenders ours,per-router,…] [--sample 200] [--no-faults]

Every contender starts on new simulated routers, all alike, runs in a process of its own, and has to bring the plan's
lines to where they should be: stored profile and live session, read back. What is right and what was touched is asked
of the routers. See docs/benchmarks.md. Exits with 1 where a bar is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from benchmarks.bulk_contender import Report
from benchmarks.bulk_netmiko import TUNING
from benchmarks.bulk_simulators import ROOT, Simulators, simulators
from benchmarks.bulk_world import SESSION_CAP, TIMEOUT_S, Truth, World, judge, make_world

BAR_DELAY_MS = 20
BARS = {'per-subscriber': 50.0, 'per-router': 5.0}
ABOUT = {
    'ours': 'run_changes with a journal in memory, 20 points at a time',
    'ours-waves': 'the same in the waves 1, 1%, 10%, rest, without a pause between them',
    'per-subscriber': 'netmiko, one connection a subscriber, 50 threads',
    'per-router': 'netmiko, one session a router, row by row, 20 threads',
    'nornir': 'the same in a Nornir task, ThreadedRunner(20)',
    'expert': "netmiko, one session a router, this project's reading of all lines at once",
    'expert-set': 'the same, changes in one send_config_set',
}
OURS = ('ours', 'ours-waves')
WITH_FAULTS = ('ours', 'ours-waves', 'per-subscriber', 'per-router', 'expert')


@dataclass(frozen=True)
class Measured:
    """One contender's run on one world. `rows` is how many of the plan's rows it was given."""

    contender: str
    rows: int
    of: int
    report: Report
    simulators_cpu_s: float
    logins: int  # most at one router
    truth: Truth
    false_applied: frozenset[str]  # taken for right, and are not
    second_run_changes: int | None

    @property
    def wall_s(self) -> float:
        """Of the whole plan; extrapolated where only a sample was run."""
        return self.report.wall_s * self.of / self.rows

    def line(self) -> str:
        right = 100 * len(self.truth.right) / self.rows
        sample = '' if self.rows == self.of else f'  <- {self.rows} rows in {self.report.wall_s:.1f} s, extrapolated'
        second = '-' if self.second_run_changes is None else str(self.second_run_changes)
        return (
            f'{self.contender:<15}{self.wall_s:8.2f}{self.report.cpu_s:8.2f}{self.simulators_cpu_s:8.2f}'
            f'{self.report.memory_mb:7.0f}{self.logins:8}{right:9.2f}{len(self.truth.wrong):7}'
            f'{len(self.false_applied):7}{second:>8}{sample}'
        )


HEADER = (
    f'{"":<15}{"wall s":>8}{"CPU s":>8}{"sim CPU":>8}{"MB":>7}{"logins":>8}{"right %":>9}{"wrong":>7}{"false":>7}'
    f'{"2nd run":>8}'
)


def measure(world: World, contender: str, delay_ms: int, sample: int = 0, second_run: bool = True) -> Measured:
    """Run a contender on new routers; with `sample` on about so many rows, spread evenly over the plan."""
    rows = world.rows[:: max(1, len(world.rows) // sample)] if sample else world.rows
    with simulators(world, delay_ms / 1000) as running:
        busy = running.cpu_s()
        report = run(contender, running, rows, TIMEOUT_S[bool(world.faults)])
        busy = running.cpu_s() - busy
        logins = max(counters['logins'] for counters in running.counters().values())
        truth = judge(replace(world, rows=tuple(rows)), running.ask('service'), running.ask('touched'))
        second = None
        if second_run:
            changes = running.changes()
            run(contender, running, rows, TIMEOUT_S[bool(world.faults)])
            second = running.changes() - changes
    false_applied = frozenset(key for key in truth.not_right if not report.said.get(key))
    return Measured(contender, len(rows), len(world.rows), report, busy, logins, truth, false_applied, second)


def run(contender: str, running: Simulators, rows: Sequence, timeout: float) -> Report:
    job = {
        'routers': running.routers,
        'rows': [[row.router, row.name, row.desired] for row in rows],
        'timeout': timeout,
    }
    command = [sys.executable, '-m', 'benchmarks.bulk_contender', contender]
    done = subprocess.run(command, cwd=ROOT, input=json.dumps(job), text=True, stdout=subprocess.PIPE, check=True)
    return Report(**json.loads(done.stdout))


def say(text: str) -> None:
    sys.stdout.write(text + '\n')
    sys.stdout.flush()


def without_faults(delay_ms: int, contenders: Sequence[str], sample: int, repeat: int) -> dict[str, Measured]:
    """The better of `repeat` runs of each; a connection a subscriber takes minutes, and is run once."""
    world = make_world()
    say(f'\nanswers after {delay_ms} ms; no faults\n{HEADER}')
    results = {}
    for contender in contenders:
        slow = contender == 'per-subscriber'
        sampled = sample if slow and delay_ms != BAR_DELAY_MS else 0
        runs = [measure(world, contender, delay_ms, sampled) for _ in range(1 if slow else repeat)]
        results[contender] = min(runs, key=lambda item: item.wall_s)
        say(results[contender].line())
    return results


def with_faults(contenders: Sequence[str], sample: int) -> dict[str, Measured]:
    world = make_world(with_faults=True)
    faults = world.faults
    say(
        f'\nanswers after {BAR_DELAY_MS} ms; one router dead, {len(faults.missing)} lines without a session, '
        f'{len(faults.hanging)} changes hang, {len(faults.lying)} are answered OK and do nothing, odd names\n{HEADER}'
    )
    results = {}
    for contender in (name for name in contenders if name in WITH_FAULTS):
        sampled = sample if contender == 'per-subscriber' else 0
        result = measure(world, contender, BAR_DELAY_MS, sampled, second_run=False)
        results[contender] = result
        say(result.line())
        named = Counter(result.report.said[key] for key in result.truth.not_right if result.report.said.get(key))
        say(f'  not right: {len(result.truth.not_right)}, of these named: {sum(named.values())}')
        for message, count in sorted(named.items(), key=lambda item: -item[1])[:6]:
            say(f'    {count:4} x {message[:140]}')
        alarms = [key for key in result.truth.right if result.report.said.get(key)]
        if alarms:
            say(f'  right, and yet named: {len(alarms)}, such as {alarms[0]}: {result.report.said[alarms[0]][:100]}')
    return results


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--delays', default='0,20,100', help='milliseconds until an answer is seen')
    parser.add_argument('--contenders', default=','.join(ABOUT))
    parser.add_argument('--sample', type=int, default=200, help='rows of one connection a subscriber, where not all')
    parser.add_argument('--repeat', type=int, default=2, help='runs of each (the best counts), but for that one')
    parser.add_argument('--no-faults', action='store_true')
    options = parser.parse_args()
    contenders = options.contenders.split(',')
    if (load := os.getloadavg()[0]) > 0.5:
        say(f'note: the load is {load:.1f}; figures are only good on a quiet machine')
    for name in contenders:
        say(f'{name:<15}{ABOUT[name]}')
    say(f'netmiko: {TUNING}, sockets with TCP_NODELAY; at most {SESSION_CAP} sessions a router')
    results = {
        delay: without_faults(delay, contenders, options.sample, options.repeat)
        for delay in map(int, options.delays.split(','))
    }
    faulty = {} if options.no_faults else with_faults(contenders, options.sample)
    return report(results, faulty)


def report(results: dict[int, dict[str, Measured]], faulty: dict[str, Measured]) -> int:
    """Print the last line, and which bars were missed before it."""
    at_bar = results.get(BAR_DELAY_MS, {})
    ratios = {
        name: at_bar[name].wall_s / at_bar['ours'].wall_s for name in at_bar if name not in OURS and 'ours' in at_bar
    }
    clean = [item for found in results.values() for name, item in found.items() if name in OURS]
    ours = [*clean, *(item for name, item in faulty.items() if name in OURS)]
    right = 100 * min((len(item.truth.right) / item.rows for item in clean), default=0)
    wrong = sum(len(item.truth.wrong) for item in ours)
    false_applied = sum(len(item.false_applied) for item in ours)
    second = sum(item.second_run_changes or 0 for item in ours)
    for name, ratio in ratios.items():
        say(f'ours is {ratio:5.1f} x as fast as {name}')
    missed = [f'{ratios[name]:.1f} x {name} < {bar:g}' for name, bar in BARS.items() if ratios.get(name, bar) < bar]
    if right < 100:
        missed.append(f'{right:.2f} % right without faults')
    counts = {'wrong lines': wrong, 'false "applied"': false_applied, 'changes of a second run': second}
    missed += [f'{count} {what}' for what, count in counts.items() if count]
    for text in missed:
        say(f'missed: {text}')
    lines = sum(map(len, make_world().lines.values()))
    say(
        f'bulk: n={lines} vs_per_subscriber={ratios.get("per-subscriber", 0):.1f} '
        f'vs_per_router={ratios.get("per-router", 0):.1f} right={right:.2f} wrong={wrong} '
        f'false_applied={false_applied} second_run_changes={second}'
    )
    return 1 if missed else 0


if __name__ == '__main__':
    sys.exit(main())
