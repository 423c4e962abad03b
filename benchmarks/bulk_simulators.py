"""The simulated routers of `bench_bulk`, in processes of their own: new ones, all alike, for every contender."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests

from benchmarks.bulk_world import World

ROOT = Path(__file__).resolve().parent.parent
PROCESSES = 2


@dataclass
class Simulators:
    """Where the routers listen (name → port, host key), and what they say of themselves."""

    routers: dict[str, dict[str, Any]] = field(default_factory=dict)
    controls: dict[str, str] = field(default_factory=dict)  # router → control address of its process
    processes: list[subprocess.Popen[str]] = field(default_factory=list)

    def ask(self, what: str) -> dict[str, Any]:
        """`GET /ROUTER/what` of every router, by name."""
        return {name: requests.get(f'{at}/{name}/{what}', timeout=60).json() for name, at in self.controls.items()}

    def counters(self) -> dict[str, dict[str, int]]:
        return {
            item['name']: item['counters']
            for control in set(self.controls.values())
            for item in requests.get(f'{control}/', timeout=60).json()
        }

    def changes(self) -> int:
        """How often a command has changed something that is a subscriber's."""
        return sum(sum(names.values()) for names in self.ask('touched').values())

    def cpu_s(self) -> float:
        total = 0.0
        for process in self.processes:
            fields = Path(f'/proc/{process.pid}/stat').read_text().rpartition(')')[2].split()
            total += (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')
        return total


@contextlib.contextmanager
def simulators(world: World, latency: float) -> Iterator[Simulators]:
    running = Simulators()
    with contextlib.ExitStack() as open_:
        folder = Path(open_.enter_context(tempfile.TemporaryDirectory()))
        alive = [name for name in world.lines if name != world.faults.dead]
        for number in range(PROCESSES):
            config = folder / f'{number}.json'
            config.write_text(
                json.dumps({'routers': [world.configs(name, latency) for name in alive[number::PROCESSES]]})
            )
            command = [sys.executable, '-m', 'tests.simulators.routeros', '--config', str(config)]
            process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
            open_.callback(_end, process)
            running.processes.append(process)
        for process in running.processes:
            assert process.stdout
            line = process.stdout.readline()
            if not line:
                raise RuntimeError('a simulator did not start')
            ready = json.loads(line)
            for router in ready['routers']:
                running.routers[router['name']] = router
                running.controls[router['name']] = ready['control']
        if world.faults.dead:
            # The kernel accepts the connection; nobody ever answers it.
            deaf = open_.enter_context(socket.create_server(('127.0.0.1', 0), backlog=200))
            some_key = next(iter(running.routers.values()))['host_key']
            running.routers[world.faults.dead] = {'port': deaf.getsockname()[1], 'host_key': some_key}
        yield running


def _end(process: subprocess.Popen[str]) -> None:
    process.terminate()
    process.wait(10)
    if process.stdout:
        process.stdout.close()
