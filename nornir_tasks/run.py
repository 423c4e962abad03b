"""Run the tasks over many points: a Nornir of its own for each call, results as values."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Mapping, Sequence

from nornir.core.plugins.runners import RunnerPlugin
from nornir.plugins.runners import SerialRunner, ThreadedRunner

from nornir_tasks.change import AccessChange, AccessTarget, ChangeResult, Reading
from nornir_tasks.engine.breaker import BreakerLimits
from nornir_tasks.engine.journal import Journal, ReportingJournal
from nornir_tasks.engine.tasks import enforce, read_lines
from nornir_tasks.engine.waves import Waves
from nornir_tasks.inventory.hosts import nornir_for
from nornir_tasks.points import Point
from nornir_tasks.runners.waves import WavesRunner

logger = logging.getLogger(__name__)


class RunResults(list[ChangeResult]):
    """One result a row that was closed; `stop_reasons` says, by point name, why the other rows were left open."""

    def __init__(self) -> None:
        super().__init__()
        self.stop_reasons: dict[str, str] = {}


def run_changes(
    points: Iterable[Point],
    changes: Mapping[str, Sequence[AccessChange]],
    journal: Journal,
    *,
    parallel: int = 10,
    dry_run: bool = False,
    waves: Waves | None = None,
    soak_s: float = 0.0,
    breaker: BreakerLimits | None = None,
    cancel: threading.Event | None = None,
    deadline_s: float | None = None,
) -> RunResults:
    """Drive all lines of `changes` (rows by point name) to where they should be; one result a row.

    `parallel` points are worked at a time, each through one session. Rows go in the waves they have; where none has
    any, in `waves` (`None`: all at once). Between two waves `soak_s` seconds pass. The `breaker` (`None`: none), the
    `cancel` event and `deadline_s` (seconds for all of it) stop the run between two rows; rows that were not sent are
    then left open in the journal, and `stop_reasons` of what is returned says why.

    Never raises for a point or a row: a point whose driver crashed has its rows closed as unknown, and the crash is in
    the log. Rows that the journal itself could not close (it raised) have no result either; they are open in it, as
    after a death.
    """
    results = RunResults()
    collecting = ReportingJournal(journal, results.append)
    wanted = [point for point in points if changes.get(point.name)]
    runner = WavesRunner(
        parallel, waves or Waves.all_at_once(), soak_s, breaker, deadline_s, keep_results=False, cancel=cancel
    )
    with nornir_for(wanted, _runner(parallel), dry_run) as nornir:
        answers = nornir.with_runner(runner).run(task=enforce, changes=changes, journal=collecting)
    for name, answer in answers.items():
        if answer.exception is not None:
            logger.error('point %s: driver crashed', name, exc_info=answer.exception)
    results.stop_reasons = dict(getattr(answers, 'stop_reasons', {}))
    return results


def read_all(
    points: Iterable[Point], targets: Mapping[str, Sequence[AccessTarget]], *, parallel: int = 10
) -> dict[str, Reading]:
    """How all lines of `targets` (by point name) stand, by target key; one that cannot be read has its error."""
    wanted = [point for point in points if targets.get(point.name)]
    with nornir_for(wanted, _runner(parallel)) as nornir:
        answers = nornir.run(task=read_lines, targets=targets)
    readings: dict[str, Reading] = {}
    for name, answer in answers.items():
        if answer.exception is None:
            readings |= answer[0].result
        else:
            logger.error('point %s: driver crashed', name, exc_info=answer.exception)
            text = f'the driver crashed ({type(answer.exception).__name__}); the log has the traceback'
            readings |= {target.key: Reading(error=text) for target in targets[name]}
    return readings


def _runner(parallel: int) -> RunnerPlugin:
    """One point at a time stays in the caller's thread (and in its database transaction, where there is one)."""
    return SerialRunner() if parallel == 1 else ThreadedRunner(parallel)
