"""From a payment to a line that is back: seconds, while nothing else goes on and while 10,000 lines are being blocked.

    python -m benchmarks.bench_restore [--lines 512] [--samples 120] [--pause 1] [--workers 2]

All is real but the routers, which are simulated: NetBox under gunicorn, its workers (two that restore, one that
enforces), PostgreSQL, Redis, SSH. The clock starts before the signed webhook is posted, and stops when NetBox holds the
line as read back normal; the router itself must then say so, too. Exits with 1 where a bar is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import psycopg
import requests

from dev.demo import state_of
from dev.services import ROOT
from dev.stack import GUNICORN, QUEUES, Stack, stack, wait_until

ROUTERS = tuple(f'bras-{number:02}' for number in range(1, 21))
BARS = {'idle': 2.0, 'busy': 5.0}
RESTORE_QUEUE = QUEUES[0]
DATABASE = 'netbox_bench_restore'
LATENCY_S = 0.02
POLL_S = 0.01
BLOCK_DAYS = 40
WAVES = '1, 1%, 10%, rest'
GIVE_UP_S = 60.0
NO_CAPS = {'max_share_percent': 100, 'max_rows_per_run': 10**6, 'max_rows_per_hour': 10**6}


@dataclass
class Samples:
    """Seconds from payment to read back, and what was not as it must be."""

    seconds: list[float] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def percentile(self, share: float) -> float:
        """The smallest sample that at least `share` of all do not exceed."""
        ordered = sorted(self.seconds)
        return ordered[max(0, -(-len(ordered) * int(share * 100) // 100) - 1)] if ordered else float('inf')

    def __str__(self) -> str:
        return (
            f'n={len(self.seconds)} p50={self.percentile(0.5):.2f} p90={self.percentile(0.9):.2f} '
            f'p99={self.percentile(0.99):.2f} max={max(self.seconds, default=0):.2f} s'
        )


def say(text: str) -> None:
    sys.stdout.write(text + '\n')
    sys.stdout.flush()


def block(running: Stack, numbers: Iterable[str], name: str) -> int:
    """Have these contracts owe, plan, approve and start; returns the run."""
    contracts = json.dumps([f'C-{number}' for number in numbers])
    command = [sys.executable, '-m', 'benchmarks.restore_debts', str(BLOCK_DAYS)]
    subprocess.run(command, env=running.env, cwd=ROOT, input=contracts, text=True, check=True)
    planned = running.cli('plan', '--name', name)
    match = re.search(r'run (\d+) .*hash ([0-9a-f]{64})', planned.stdout)
    if not match:
        raise RuntimeError(f'nothing was planned:\n{planned.stdout}{planned.stderr}')
    pk = int(match[1])
    running.netbox.act(pk, 'approve', {'plan_hash': match[2]})
    running.netbox.act(pk, 'start')
    return pk


class Bench:
    def __init__(self, running: Stack, lines: int, samples: int, pause: float) -> None:
        self.stack = running
        self.pause = pause
        self.url = f'{running.env["DATABASE_URL"].rstrip("/")}/{DATABASE}'
        each = -(-samples // len(ROUTERS))
        # Line after line over all routers, so that two payments in a row are never at the same one.
        numbers = [f'{router}-{number}' for number in range(1, lines + 1) for router in ROUTERS]
        paying, self.others = numbers[: 2 * each * len(ROUTERS)], numbers[2 * each * len(ROUTERS) :]
        self.idle, self.busy = paying[:samples], paying[len(paying) // 2 :][:samples]

    def block(self, numbers: Iterable[str], name: str) -> int:
        return block(self.stack, numbers, name)

    def status(self, pk: int) -> str:
        with psycopg.connect(self.url) as connection:
            sql = 'SELECT status FROM netbox_delinquency_enforcementrun WHERE id = %s'
            return str(connection.execute(sql, [pk]).fetchone()[0])

    def ended(self, pk: int) -> bool:
        return self.status(pk) in ('completed', 'failed', 'cancelled')

    def outcomes(self, pk: int) -> dict[str, int]:
        sql = 'SELECT outcome, count(*) FROM netbox_delinquency_enforcementchange WHERE run_id = %s GROUP BY outcome'
        with psycopg.connect(self.url) as connection:
            return dict(connection.execute(sql, [pk]).fetchall())

    def pay(self, numbers: Iterable[str], go_on: Callable[[], bool] = lambda: True) -> Samples:
        """A payment every `pause` seconds, whether or not the one before has led to something."""
        samples = Samples()
        with ThreadPoolExecutor(20) as pool:
            waiting = []
            for number in numbers:
                if not go_on():
                    break
                waiting.append(pool.submit(self.sample, number, samples))
                time.sleep(self.pause)
            for each in waiting:
                each.result()
        return samples

    def sample(self, number: str, samples: Samples) -> None:
        started = time.monotonic()
        self.stack.post_event('invoice.paid', f'C-{number}').raise_for_status()
        sql = (
            "SELECT observed_mode = 'normal' AND NOT unverified FROM netbox_delinquency_accessline line "
            'JOIN netbox_delinquency_contract contract ON contract.id = contract_id WHERE external_id = %s'
        )
        with psycopg.connect(self.url, autocommit=True) as connection:
            while not connection.execute(sql, [f'C-{number}']).fetchone()[0]:
                if time.monotonic() - started > GIVE_UP_S:
                    samples.wrong.append(f'{number}: not back after {GIVE_UP_S:.0f} s')
                    return
                time.sleep(POLL_S)
        samples.seconds.append(time.monotonic() - started)
        router, user = number.rsplit('-', 1)
        name = f'{router}-user{user}'
        service = requests.get(f'{self.stack.control}/{router}/service', params={'name': name}, timeout=30).json()
        if state_of(service[name]) != 'normal':
            samples.wrong.append(f'{number}: read back as normal, but the router says {service[name]}')

    def run(self) -> tuple[Samples, Samples]:
        # Nothing holds the large run back: no caps, and the default waves without a pause between them.
        self.stack.configure(**NO_CAPS, soak_seconds=0, waves='rest')
        first = self.block([*self.idle, *self.busy], 'Lines that will be paid for')
        wait_until('the first run ends', lambda: self.ended(first), 300, 0.5)
        say(f'{len(self.idle) + len(self.busy)} lines are blocked: {self.outcomes(first)}')
        idle = self.pay(self.idle)
        say(f'idle: {idle}')
        self.stack.configure(waves=WAVES)
        started = time.monotonic()
        second = self.block(self.others, 'The large one')
        wait_until('the large run starts', lambda: self.status(second) == 'running', 60, 0.2)
        say(f'{len(self.others)} lines are being blocked (planned, approved in {time.monotonic() - started:.1f} s)')
        started = time.monotonic()
        busy = self.pay(self.busy, lambda: not self.ended(second))
        say(f'busy: {busy}')
        wait_until('the large run ends', lambda: self.ended(second), 1800, 0.5)
        say(f'it took {time.monotonic() - started:.1f} s: {self.outcomes(second)}')
        return idle, busy


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--lines', type=int, default=512, help='lines at each of the 20 routers')
    parser.add_argument('--samples', type=int, default=120, help='payments, idle and busy each')
    parser.add_argument('--pause', type=float, default=1.0, help='seconds between two payments')
    parser.add_argument('--workers', type=int, default=2, help='workers that restore; one enforces')
    options = parser.parse_args()
    if (load := os.getloadavg()[0]) > 0.5:
        say(f'note: the load is {load:.1f}; figures are only good on a quiet machine')
    with stack(
        DATABASE, with_lab=False, routers=ROUTERS, lines=options.lines, latency=LATENCY_S, web=GUNICORN
    ) as running:
        for _ in range(options.workers - 1):
            running.start_worker(RESTORE_QUEUE)
        idle, busy = Bench(running, options.lines, options.samples, options.pause).run()
    missed = [*idle.wrong, *busy.wrong]
    for name, samples in (('idle', idle), ('busy', busy)):
        if len(samples.seconds) < 100:
            missed.append(f'{name}: only {len(samples.seconds)} samples: the run ended too soon for a p99')
        if samples.percentile(0.99) > BARS[name]:
            missed.append(f'{name}: p99 {samples.percentile(0.99):.2f} s > {BARS[name]:g}')
    for text in missed:
        say(f'missed: {text}')
    say(f'restore: idle_p99={idle.percentile(0.99):.2f} busy_p99={busy.percentile(0.99):.2f}')
    return 1 if missed else 0


if __name__ == '__main__':
    sys.exit(main())
