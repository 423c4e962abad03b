"""Nornir's runner plugin `waves`: a few first, then more, and a stop by itself when it goes wrong.

`InitNornir(runner={"plugin": "waves", "options": {"waves": "1, 10%, rest", "soak_s": 60}})`. A task that takes
`changes` (rows by host name, as `nornir_tasks.engine.tasks.enforce` does) is run in waves over its rows; any other in
waves over hosts.
"""

from __future__ import annotations

import inspect
import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import replace
from typing import Any

from nornir.core.inventory import Host
from nornir.core.processor import Processors
from nornir.core.task import AggregatedResult, MultiResult, Result, Task

from nornir_tasks.change import AccessChange
from nornir_tasks.engine.breaker import BreakerLimits, Tally, verdict
from nornir_tasks.engine.breaker_journal import BreakerJournal
from nornir_tasks.engine.cancellation import Stop
from nornir_tasks.engine.tasks import probe_point
from nornir_tasks.engine.waves import Waves, assign_waves
from nornir_tasks.errors import is_interruption

logger = logging.getLogger(__name__)

ASK_SECONDS = 5.0  # how often the journal is asked, while a run soaks, whether to go on

type Wave = Sequence[tuple[Host, Task]]
type Rows = Mapping[str, Sequence[AccessChange]]


class WavesResult(AggregatedResult):
    """Nornir's results by host; `stop_reasons` says, by host name, why something was left undone there."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.stop_reasons: dict[str, str] = {}


class WavesRunner:
    """Wave after wave, `num_workers` hosts at a time; one at a time stays in the caller's thread.

    `waves` is as `Waves.parse` reads it; rows that have waves of their own keep them. After each wave but the last the
    run waits `soak_s` seconds and looks at the points once more. `breaker` are limits (as a mapping: the fields of
    `BreakerLimits`; `None`: no breaker), `deadline_s` seconds for the whole run, `cancel` an event that ends it. What
    is not begun by then is left as it is, and `WavesResult.stop_reasons` says why. Without `keep_results` only
    processors see what a host returned; whether it failed is kept.

    Every `run` starts afresh: nothing is remembered of the one before. Raises `ValueError` for options that cannot be
    read.
    """

    def __init__(
        self,
        num_workers: int = 20,
        waves: str | Waves = '1, 1%, 10%, rest',
        soak_s: float = 0.0,
        breaker: BreakerLimits | Mapping[str, Any] | None = BreakerLimits(),  # noqa: B008 - frozen
        deadline_s: float | None = None,
        keep_results: bool = True,
        cancel: threading.Event | None = None,
    ) -> None:
        self.num_workers = num_workers
        self.waves = Waves.parse(waves) if isinstance(waves, str) else waves
        self.soak_s = soak_s
        self.breaker = _limits(breaker) if isinstance(breaker, Mapping) else breaker
        self.deadline_s = deadline_s
        self.keep_results = keep_results
        self.cancel = cancel

    def run(self, task: Task, hosts: list[Host]) -> WavesResult:
        results = WavesResult(task.name)
        if task.task.__module__ == 'nornir.core':
            # Nornir closes its connections through its runner too: that happens everywhere, also after a stop.
            self._do([(host, task.copy()) for host in hosts], Stop(), results)
            return results
        stop = Stop(self.cancel, self.deadline_s)
        work = self._prepare(task, hosts, stop)
        for number, wave in enumerate(work.waves):
            if number:
                self._soak(work, [host for host in hosts if host.name in results], stop)
            self._do(wave, stop, results, work.ended)
            work.wave_ended()
        for host in hosts:
            if host.name not in results:
                # Not a failure: Nornir leaves failed hosts out of whatever comes next.
                reason = f'not begun: {stop.reason or "no rows"}'
                results[host.name] = _one(task, Result(host, reason, severity_level=logging.WARNING))
        if stop.reason:
            logger.warning('task %s was stopped: %s', task.name, stop.reason)
        return results

    def _prepare(self, task: Task, hosts: Sequence[Host], stop: Stop) -> _Work:
        params: Mapping[str, Any] = task.params
        changes = params.get('changes')
        if changes is None:
            return _Work(_over_hosts(task, hosts, self.waves), self.breaker, stop)
        rows = _with_waves(changes, self.waves)
        journal = params.get('journal')
        given: dict[str, Any] = {'stop': stop}
        if journal is None:
            return _Work(_over_rows(task, hosts, rows, given), self.breaker, stop)
        watch = BreakerJournal(journal, rows, self.breaker, stop)
        return _JournaledWork(_over_rows(task, hosts, rows, given | {'journal': watch}), self.breaker, stop, watch)

    def _soak(self, work: _Work, touched: Sequence[Host], stop: Stop) -> None:
        """Wait, and look at what the waves so far have done to their points."""
        until = time.monotonic() + self.soak_s
        work.ask()
        while (left := until - time.monotonic()) > 0 and stop.wait(min(left, ASK_SECONDS)):
            work.ask()
        if self.soak_s:
            self._do(work.probes(touched), stop, WavesResult('probe_point'))

    def _do(
        self, wave: Wave, stop: Stop, results: WavesResult, ended: Callable[[MultiResult], None] | None = None
    ) -> None:
        for host, result in self._start(wave, stop):
            if result is None:
                results.stop_reasons.setdefault(host.name, stop.reason)
                continue
            if ended:
                ended(result)
            if stop_reason := getattr(result[0], 'stop_reason', ''):
                results.stop_reasons.setdefault(host.name, stop_reason)
            self._keep(results, host, result)

    def _start(self, wave: Wave, stop: Stop) -> Iterator[tuple[Host, MultiResult | None]]:
        """Each host's result as soon as it is there; `None` where it was stopped before it began."""
        if self.num_workers == 1 or len(wave) < 2:
            for host, task in wave:
                yield host, _start_one(host, task, stop)
            return
        with ThreadPoolExecutor(min(self.num_workers, len(wave))) as pool:
            hosts = {pool.submit(_start_one, host, task, stop): host for host, task in wave}
            try:
                for future in as_completed(hosts):
                    yield hosts[future], future.result()
            except BaseException:
                stop.pull('it was interrupted')  # leaving the pool waits for its threads: they end between two rows
                raise

    def _keep(self, results: WavesResult, host: Host, new: MultiResult) -> None:
        """A host has one entry, whatever the number of its waves; lists that its task returned are joined."""
        if not self.keep_results:
            del new[1:]
            new[0].result = None
        old = results.setdefault(host.name, new)
        if old is new:
            return
        first, again = old[0], new[0]
        if isinstance(first.result, list) and isinstance(again.result, list):
            first.result = first.result + again.result
        first.changed, first.failed = first.changed or again.changed, first.failed or again.failed
        first.exception = first.exception or again.exception
        old.extend(new[1:])


class _Work:
    """Waves of a task, judged by how many of its hosts fail."""

    def __init__(self, waves: Sequence[Wave], limits: BreakerLimits | None, stop: Stop) -> None:
        self.waves = waves
        self.limits = limits
        self.stop = stop
        self._tally = Tally()
        self._first: Tally | None = None

    def ended(self, result: MultiResult) -> None:
        self._tally += Tally(tried=1, wrong=int(result.failed))
        self._judge()

    def wave_ended(self) -> None:
        self._first = self._first or self._tally
        self._judge()

    def ask(self) -> None:
        """Whether to go on, between two waves."""

    def probes(self, hosts: Sequence[Host]) -> Wave:
        """What is done at these hosts between two waves."""
        return []

    def _judge(self) -> None:
        if self.limits and (reason := verdict(self.limits, self._tally, first_wave=self._first, unit='hosts')):
            self.stop.pull(reason)


class _JournaledWork(_Work):
    """Waves of rows whose journal is watched: that one counts rows, and judges them as they are closed."""

    def __init__(self, waves: Sequence[Wave], limits: BreakerLimits | None, stop: Stop, watch: BreakerJournal) -> None:
        super().__init__(waves, limits, stop)
        self.watch = watch
        self._waits = ''

    def ended(self, result: MultiResult) -> None:
        """Its rows were judged as they were closed. Those that another run kept from us are still to be, see `ask`."""
        if getattr(result[0], 'busy', 0):
            self._waits = getattr(result[0], 'stop_reason', '')

    def wave_ended(self) -> None:
        pass

    def ask(self) -> None:
        """A run may be paused while it soaks; and whoever keeps its journal sees that it is alive.

        No wave follows one that another run's hold on its lines has left unfinished.
        """
        if self._waits:
            self.stop.pull(self._waits)
            return
        try:
            stop_reason = self.watch.claim(()).stop_reason
        except Exception as error:
            if is_interruption(error):
                raise
            stop_reason = f'the journal cannot be asked whether to go on: {error}'
        if stop_reason:
            self.stop.pull(stop_reason)

    def probes(self, hosts: Sequence[Host]) -> Wave:
        task = next((task for wave in self.waves for _, task in wave), None)
        if task is None or self.limits is None or task.is_dry_run():
            return []
        params: dict[str, Any] = {'journal': self.watch}
        return [(host, Task(probe_point, task.nornir, False, Processors(), **params)) for host in hosts]


class GuardedProcessors(Processors):
    """Processors of which one that raises is logged, and stops nothing."""

    def task_instance_started(self, task: Task, host: Host) -> None:
        self._each('task_instance_started', task, host)

    def task_instance_completed(self, task: Task, host: Host, result: MultiResult) -> None:
        self._each('task_instance_completed', task, host, result)

    def subtask_instance_started(self, task: Task, host: Host) -> None:
        self._each('subtask_instance_started', task, host)

    def subtask_instance_completed(self, task: Task, host: Host, result: MultiResult) -> None:
        self._each('subtask_instance_completed', task, host, result)

    def _each(self, method: str, task: Task, host: Host, *args: Any) -> None:
        for processor in self:
            try:
                getattr(processor, method)(task, host, *args)
            except Exception as error:
                if is_interruption(error):
                    raise
                logger.exception('%s: a processor of task %s failed', host.name, task.name)


def _limits(fields: Mapping[str, Any]) -> BreakerLimits:
    try:
        return BreakerLimits(**fields)
    except TypeError as error:
        raise ValueError(f'the breaker has no such limit: {error}') from None


def _over_hosts(task: Task, hosts: Sequence[Host], waves: Waves) -> list[Wave]:
    by_name = {host.name: host for host in hosts}
    numbers = assign_waves({'': list(by_name)}, waves)
    return [
        [(by_name[name], task.copy()) for name, number in numbers.items() if number == wanted]
        for wanted in sorted(set(numbers.values()))
    ]


def _with_waves(changes: Rows, waves: Waves) -> Rows:
    """The rows with their waves: those that they came with, or, where none has any, those that are dealt here."""
    if any(row.wave for rows in changes.values() for row in rows):
        return changes
    numbers = assign_waves({name: [row.key for row in rows] for name, rows in changes.items()}, waves)
    return {name: [replace(row, wave=numbers[row.key]) for row in rows] for name, rows in changes.items()}


def _over_rows(task: Task, hosts: Sequence[Host], changes: Rows, given: Mapping[str, Any]) -> list[Wave]:
    """Each wave has the hosts that have rows in it, and their tasks these rows and those of `given` that they take."""
    known = inspect.signature(task.task).parameters
    taken = {name: value for name, value in given.items() if name in known}
    waves: list[Wave] = []
    for number in sorted({row.wave for rows in changes.values() for row in rows}):
        rows = {name: [row for row in changes[name] if row.wave == number] for name in changes}
        jobs = [(host, task.copy()) for host in hosts if rows.get(host.name)]
        for _, copy in jobs:
            params: dict[str, Any] = copy.params  # Nornir's own annotation says text only
            params |= {**taken, 'changes': rows}
        if jobs:
            waves.append(jobs)
    return waves


def _start_one(host: Host, task: Task, stop: Stop) -> MultiResult | None:
    """Nornir catches what the task raises, and we what somebody's processor does."""
    if stop.reason:
        return None
    task.processors = GuardedProcessors(task.processors)
    return task.start(host)


def _one(task: Task, result: Result) -> MultiResult:
    results = MultiResult(task.name)
    results.append(result)
    return results
