"""One contender of `bench_bulk`, in a process of its own: `python -m benchmarks.bulk_contender NAME < JOB.json`.

The job is `{"routers": {name: {"port", "host_key"}}, "rows": [[router, user name, desired]], "timeout": seconds}`.
Printed is one JSON line: seconds of wall clock and CPU, peak memory, and what the contender says came of each row.
"""

from __future__ import annotations

import json
import logging
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field

from benchmarks.bulk_world import Row

PASSWORD = 'admin'


@dataclass(frozen=True)
class Job:
    routers: dict[str, dict]
    rows: list[Row]
    timeout: float

    def by_router(self) -> dict[str, list[Row]]:
        rows: dict[str, list[Row]] = {}
        for row in self.rows:
            rows.setdefault(row.router, []).append(row)
        return rows


@dataclass
class Report:
    """What a contender did. `said` is by row key: empty for a row that it takes for right, else what is wrong."""

    said: dict[str, str] = field(default_factory=dict)
    wall_s: float = 0.0
    cpu_s: float = 0.0
    memory_mb: float = 0.0
    cold_mb: float = 0.0  # of it, before any work: the interpreter and what is imported


def contenders() -> dict[str, Callable[[Job], dict[str, str]]]:
    """By name. What they import is there before the clock starts."""
    from benchmarks import bulk_netmiko, bulk_ours

    return {
        'ours': bulk_ours.all_at_once,
        'ours-waves': bulk_ours.in_waves,
        'per-subscriber': bulk_netmiko.per_subscriber,
        'per-router': bulk_netmiko.per_router,
        'nornir': bulk_netmiko.with_nornir,
        'expert': bulk_netmiko.expert,
        'expert-set': bulk_netmiko.expert_set,
    }


def main() -> None:
    given = json.load(sys.stdin)
    job = Job(given['routers'], [Row(*row) for row in given['rows']], given['timeout'])
    logging.disable(logging.CRITICAL)
    contender = contenders()[sys.argv[1]]
    report = Report(cold_mb=_peak_mb())
    cpu, started = _cpu_s(), time.perf_counter()
    report.said = contender(job)
    report.wall_s, report.cpu_s, report.memory_mb = time.perf_counter() - started, _cpu_s() - cpu, _peak_mb()
    sys.stdout.write(json.dumps(asdict(report)) + '\n')


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == '__main__':
    main()
