"""What load the embedded ACS bears on one core, beside what one core can do at all.

The server runs pinned to one core, the CPEs on the other. The same sessions (digest on a new connection, Inform, empty
POST, end) go to a bare asyncio + httptools server and a bare aiohttp server that answer canned bytes, and to the ACS
on SQLite and on PostgreSQL, where they are authenticated, parsed and recorded. Exit status 1 where a bar is missed.

How many sessions are open at a time matters to both, and differently: all of `CONCURRENCY` are measured and printed,
and the bars compare the best of each. A machine's own speed wanders, so the bare server is measured again beside each
store, taking turns with it.

    python -m benchmarks.bench_acs [--small] [--seconds 10] [--stores sqlite,postgresql]
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import uvloop

from benchmarks.acs_generator import RATE, LightCpe, Tally, drive
from tr069.acs.client import EmbeddedAcsClient
from tr069.acs.cpe.auth import derive_password
from tr069.client import ProvisioningState, ValueProfile
from tr069.cwmp.messages import ParameterValue

ROOT = Path(__file__).resolve().parent.parent

SECRET, TOKEN = 'the-secret-of-the-benchmark', 'benchmark-token'
BARS = {'vs_bare': 0.5, 'sessions_s': 1000.0}
CONCURRENCY = (64, 256, 1024)
ROUNDS = 5
BARE = ('httptools', 'asyncio', 'aiohttp')  # `asyncio`: httptools on the loop Python brings along
OPEN = 256  # sessions at a time where one number is measured
SLOW = ValueProfile('throttle', 'bench-64k', (ParameterValue(RATE, '64000', 'xsd:int'),))


@dataclass(frozen=True)
class Rate:
    """Sessions by the clock, and by the server's own CPU time (which leaves out most of what TCP costs the kernel)."""

    per_s: float
    per_cpu_s: float

    @classmethod
    def mean(cls, rates: Sequence[Rate]) -> Rate:
        return cls(fmean(rate.per_s for rate in rates), fmean(rate.per_cpu_s for rate in rates))

    def __str__(self) -> str:
        return f'{self.per_s:7.0f} sessions/s  {self.per_cpu_s:7.0f} per second of server CPU'


type Rates = dict[int, Rate]  # by how many sessions are open at a time


class Server:
    """A server in its own process, pinned to `core`."""

    def __init__(self, arguments: list[str], core: int) -> None:
        environment = os.environ | {'TR069_ACS_SECRET': SECRET, 'TR069_ACS_TOKEN': TOKEN, 'PYTHONPATH': str(ROOT)}
        self._process = subprocess.Popen(
            [sys.executable, '-m', 'benchmarks.acs_servers', *arguments],
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        os.sched_setaffinity(self._process.pid, {core})
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f'the server {arguments} did not start')
        ports = json.loads(line)
        self.port: int = ports['cpe']
        self.api: int = ports.get('api', 0)

    def cpu_s(self) -> float:
        fields = Path(f'/proc/{self._process.pid}/stat').read_text().rpartition(')')[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')

    def rss_mb(self) -> float:
        status = Path(f'/proc/{self._process.pid}/status').read_text()
        return int(status.partition('VmRSS:')[2].split()[0]) / 1024

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(30)


type Contender = tuple[Server, list[LightCpe]]


@contextmanager
def serving(*arguments: str, core: int = 0) -> Iterator[Server]:
    server = Server(list(arguments), core)
    try:
        yield server
    finally:
        server.stop()


def make_cpes(count: int) -> list[LightCpe]:
    secret = SECRET.encode()
    serials = [f'B{number:08d}' for number in range(count)]
    return [LightCpe(serial, derive_password(secret, 'cpe', f'00BE4C-Router-{serial}')) for serial in serials]


def timed(server: Server, cpes: list[LightCpe], seconds: float, concurrency: int = OPEN) -> Rate:
    """Known-device sessions for `seconds`, round and round in random order: a device has one session at a time."""
    tally = Tally()
    order = itertools.cycle(random.sample(cpes, len(cpes)))
    deadline = time.monotonic() + seconds
    before, started = server.cpu_s(), time.monotonic()
    uvloop.run(drive(server.port, order, concurrency, lambda: time.monotonic() < deadline, tally))
    elapsed, used = time.monotonic() - started, server.cpu_s() - before
    complain(tally)
    return Rate(tally.sessions / elapsed, tally.sessions / max(used, 0.01))


def through(server: Server, cpes: list[LightCpe]) -> Rate:
    """One session of each, in random order."""
    tally = Tally()
    before, started = server.cpu_s(), time.monotonic()
    order = iter(random.sample(cpes, len(cpes)))
    uvloop.run(drive(server.port, order, OPEN, lambda: True, tally))
    elapsed, used = time.monotonic() - started, server.cpu_s() - before
    complain(tally)
    return Rate(tally.sessions / elapsed, tally.sessions / max(used, 0.01))


def at_each_concurrency(contenders: dict[str, Contender], seconds: float) -> dict[str, Rates]:
    """Known-device sessions of each by how many are open at a time, `ROUNDS` turns each; after a second to warm up."""
    for server, cpes in contenders.values():
        timed(server, cpes, 1)
    rates: dict[str, Rates] = {name: {} for name in contenders}
    for concurrency in CONCURRENCY:
        turns: dict[str, list[Rate]] = {name: [] for name in contenders}
        for _ in range(ROUNDS):
            for name, (server, cpes) in contenders.items():
                turns[name].append(timed(server, cpes, seconds / ROUNDS, concurrency))
        for name, measured in turns.items():
            rates[name][concurrency] = Rate.mean(measured)
            print(f'{name:16} {concurrency:5} at a time: {rates[name][concurrency]}')
    return rates


def complain(tally: Tally) -> None:
    if tally.errors:
        raise SystemExit(f'{len(tally.errors)} sessions failed, such as: {"; ".join(tally.errors[:3])}')


async def give_profile(server: Server, cpes: list[LightCpe]) -> None:
    async with EmbeddedAcsClient(f'http://127.0.0.1:{server.api}', TOKEN, timeout_s=300) as client:
        await client.apply(SLOW, [cpe.id for cpe in cpes])


async def count_wrong(server: Server, given: list[LightCpe], others: list[LightCpe]) -> int:
    """Devices whose own state, or whose state in the ACS, is not as it must be."""
    async with EmbeddedAcsClient(f'http://127.0.0.1:{server.api}', TOKEN, timeout_s=300) as client:
        statuses = await client.read_back([cpe.id for cpe in given])
    wrong = sum(
        cpe.rate != '64000' or cpe.sets != 1 or statuses[cpe.id].state is not ProvisioningState.VERIFIED
        for cpe in given
    )
    return wrong + sum(cpe.rate != '-1' or cpe.sets > 0 for cpe in others)


@dataclass(frozen=True)
class StoreResult:
    """`bare` is the bare httptools server's share of the turns."""

    known: Rates
    bare: Rates
    spv: Rate
    mb_per_10k: float
    wrong: int


def measure_store(name: str, url: str, bare: Contender, options: argparse.Namespace) -> StoreResult:
    cpes = make_cpes(options.devices)
    given, others = cpes[: options.profile_devices], cpes[options.profile_devices :]
    started = time.monotonic()
    subprocess.run(
        [sys.executable, '-m', 'benchmarks.acs_servers', 'register', url, str(options.devices)],
        check=True,
        env=os.environ | {'PYTHONPATH': str(ROOT)},
    )
    print(f'{name}: {options.devices} devices registered in {time.monotonic() - started:.1f} s')
    with serving('acs', url) as server:
        rates = at_each_concurrency({'bare httptools': bare, name: (server, cpes)}, options.seconds)
        small = server.rss_mb()
        asyncio.run(give_profile(server, given))
        # A session with a set: read, save, send, journal; the one after it verifies.
        spv = through(server, given)
        print(f'{name}: with a set        {spv}')
        verify = through(server, cpes)
        print(f'{name}: with verification {verify}')
        memory = (server.rss_mb() - small) / max(len(given), 1) * 10_000
        wrong = asyncio.run(count_wrong(server, given, others))
        print(f'{name}: {len(given)} given a profile and verified, {len(others)} not: {wrong} wrong')
    return StoreResult(rates[name], rates['bare httptools'], spv, memory, wrong)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--seconds', type=float, default=10, help='of each measurement')
    parser.add_argument('--devices', type=int, default=100_000)
    parser.add_argument('--profile-devices', type=int, default=50_000)
    parser.add_argument('--stores', default='sqlite,postgresql')
    parser.add_argument('--small', action='store_true', help='small numbers, to see that it works')
    options = parser.parse_args()
    if options.small:
        options.seconds, options.devices, options.profile_devices = 2, 5_000, 2_000
    os.sched_setaffinity(0, {1 if (os.cpu_count() or 1) > 1 else 0})
    load = os.getloadavg()[0]
    if load > 0.5:
        print(f'note: the load is {load:.1f}; figures are only good on a quiet machine')
    sample = make_cpes(1_000)
    results: dict[str, StoreResult] = {}
    with ExitStack() as stack:
        bare = {f'bare {name}': (stack.enter_context(serving(name)), sample) for name in BARE}
        at_each_concurrency(bare, options.seconds)
        for name in options.stores.split(','):
            directory = Path(
                stack.enter_context(tempfile.TemporaryDirectory(prefix='bench-acs-', ignore_cleanup_errors=True))
            )
            if name == 'postgresql':
                from tests.tr069.postgres import own_postgres

                url = stack.enter_context(own_postgres(directory))
            else:
                url = f'sqlite:///{directory}/acs.sqlite3'
            results[name] = measure_store(name, url, bare['bare httptools'], options)
    return report(results)


def best(rates: Rates) -> float:
    return max(rate.per_s for rate in rates.values())


def report(results: dict[str, StoreResult]) -> int:
    """Print the last line from the slower store, and say which bars were missed."""
    for name, item in results.items():
        ratios = ', '.join(f'{item.known[at].per_s / item.bare[at].per_s:.2f} at {at}' for at in CONCURRENCY)
        print(f'{name} beside bare httptools: {ratios} sessions at a time')
    sessions_s = min(best(item.known) for item in results.values())
    ratio = min(best(item.known) / best(item.bare) for item in results.values())
    figures = {'vs_bare': ratio, 'sessions_s': sessions_s}
    missed = [f'{name} {figures[name]:.2f} < {bar:g}' for name, bar in BARS.items() if figures[name] < bar]
    missed += [f'{name}: {item.wrong} devices wrong' for name, item in results.items() if item.wrong]
    for text in missed:
        print(f'missed: {text}')
    spv = min(item.spv.per_s for item in results.values())
    memory = max(item.mb_per_10k for item in results.values())
    print(f'acs: sessions_s={sessions_s:.0f} vs_bare={ratio:.2f} spv_sessions_s={spv:.0f} mb_per_10k={memory:.1f}')
    return 1 if missed else 0


if __name__ == '__main__':
    raise SystemExit(main())
