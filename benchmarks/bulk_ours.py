"""This project's engine in `bench_bulk`, as a runbook calls it: one session a router, rows journaled in batches."""

from __future__ import annotations

import json
import os

from benchmarks.bulk_contender import PASSWORD, Job
from nornir_tasks.change import AccessChange, AccessState, AccessTarget
from nornir_tasks.connections.ssh import SSHConnection  # noqa: F401 - loaded before the clock starts, as in a worker
from nornir_tasks.drivers import get_driver
from nornir_tasks.engine.journal import MemoryJournal
from nornir_tasks.engine.waves import Waves
from nornir_tasks.points import Point
from nornir_tasks.run import run_changes

STATES = {
    'normal': AccessState.normal(),
    'blocked': AccessState.blocked(),
    'throttled': AccessState.throttled(1000, 512),
}
WAVES = '1, 1%, 10%, rest'
PLAN = {'profile': 'home', 'throttled_profile': 'slow'}

get_driver('routeros')


def all_at_once(job: Job) -> dict[str, str]:
    return _run(job, Waves.all_at_once())


def in_waves(job: Job) -> dict[str, str]:
    """The default waves, without a pause between them; the breaker off, for faults are what some runs are about."""
    return _run(job, Waves.parse(WAVES))


def _run(job: Job, waves: Waves) -> dict[str, str]:
    os.environ['DELINQUENCY_CREDENTIAL_BULK'] = json.dumps(
        {'username': 'admin', 'password': PASSWORD, 'hosts': ['127.0.0.1']}
    )
    points = [
        Point(name, 'routeros', '127.0.0.1', router['port'], 'bulk', router['host_key'], timeout=job.timeout)
        for name, router in job.routers.items()
    ]
    changes = {
        router: [
            AccessChange(row.key, AccessTarget(row.key, row.name, parameters=PLAN), STATES[row.desired]) for row in rows
        ]
        for router, rows in job.by_router().items()
    }
    results = run_changes(points, changes, MemoryJournal(), parallel=len(points), waves=waves)
    return {
        result.key: '' if result.outcome.is_success else f'{result.outcome}: {result.message}' for result in results
    }
