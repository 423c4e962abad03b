"""Nornir tasks: read the lines of an enforcement point, and drive them to where they should be.

The unit of both is the point: its lines are rows handed to it, one session carries them all, and what fails for one
row is data in that row's result.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from itertools import batched
from types import MappingProxyType

from nornir.core.task import Result, Task

from nornir_tasks.change import AccessChange, AccessTarget, ChangeResult, Outcome, Reading, Reply, judge
from nornir_tasks.drivers import Driver, get_driver
from nornir_tasks.engine.breaker import Health
from nornir_tasks.engine.cancellation import Stop
from nornir_tasks.engine.journal import Journal
from nornir_tasks.engine.rate_limit import Pace
from nornir_tasks.errors import EnforcementError, is_interruption
from nornir_tasks.points import Point

SETTLE_SECONDS = 5.0  # how long a session that we dropped may take to come back before it counts as offline
SETTLE_PAUSE = 0.25
BUSY_SECONDS = 60.0  # how long a line held by another run is waited for, unless the caller says otherwise
BUSY_PAUSE = 0.1
ASK_SECONDS = 1.0  # how often the journal is asked, while rows are being sent, whether to stop


def open_driver(task: Task) -> Driver:
    """The driver of the task's host, connected. Raises `EnforcementError`."""
    point: Point = task.host.data['point']
    driver = get_driver(point.driver)
    return driver(task.host.get_connection(driver.connection_name, task.nornir.config), point.parameters)


def read_lines(task: Task, targets: Mapping[str, Sequence[AccessTarget]]) -> Result:
    """Read this point's lines out of `targets` (by point name). `result` is `dict[str, Reading]` by target key."""
    wanted = targets[task.host.name]
    try:
        readings = open_driver(task).read(wanted)
    except EnforcementError as error:
        readings = {target.key: Reading(error=str(error)) for target in wanted}
    return Result(host=task.host, result=readings, failed=any(reading.error for reading in readings.values()))


def probe_health(driver: Driver) -> Health | None:
    """How the point is; `None` where its driver cannot say. That the point failed to say is data: `Health()`."""
    started = time.monotonic()
    try:
        sessions = driver.sessions()
    except EnforcementError:
        return Health()
    return None if sessions is None else Health(sessions, time.monotonic() - started)


def probe_point(task: Task, journal: Journal) -> Result:
    """Take the point's health and journal them; changes nothing. `result` is `Health`, or `None`."""
    try:
        health = probe_health(open_driver(task))
    except EnforcementError:
        health = Health()
    try:
        if health is not None:
            journal.health(task.host.name, health)
    finally:
        journal.close()
    return Result(host=task.host, result=health)


def enforce(
    task: Task,
    changes: Mapping[str, Sequence[AccessChange]],
    journal: Journal,
    stop: Stop | None = None,
    patience_s: float | None = None,
) -> Result:
    """Drive this point's lines out of `changes` (by point name) to where they should be, journaling to `journal`.

    `result` is `list[ChangeResult]`, one a row that was closed; `stop_reason` says why others were left open, where
    they were, and `busy` how many of them because another run did not let go of their lines within `patience_s` seconds
    (`None`: `BUSY_SECONDS`). A crash of the driver (not an `EnforcementError`, which is a point's failure) closes the
    open rows as unknown and then reaches Nornir.
    """
    point: Point = task.host.data['point']
    work = PointWork(
        lambda: open_driver(task),
        point.batch_size,
        journal,
        task.is_dry_run(),
        name=point.name,
        rate_per_s=point.rate_per_s,
        stop=stop,
        patience_s=patience_s,
    )
    try:
        work.run(changes[task.host.name])
    finally:
        journal.close()
    return Result(
        host=task.host,
        result=work.results,
        changed=any(result.outcome is Outcome.APPLIED for result in work.results),
        failed=not all(result.outcome.is_success for result in work.results),
        stop_reason=work.stop_reason,
        busy=work.busy,
    )


class PointWork:
    """read → compare → apply → read back for the rows of one point, in batches, each journaled before it is sent.

    `stop_reason` says why the work ended before its rows did: those without a result are open, and nothing was sent to
    them.
    """

    def __init__(
        self,
        connect: Callable[[], Driver],
        batch_size: int,
        journal: Journal,
        dry_run: bool = False,
        *,
        name: str = '',
        rate_per_s: float | None = None,
        stop: Stop | None = None,
        patience_s: float | None = None,
    ) -> None:
        self.connect = connect
        self.batch_size = batch_size
        self.journal = journal
        self.dry_run = dry_run
        self.name = name
        self.pace = Pace(rate_per_s)
        self.stop = stop or Stop()
        self.patience_s = BUSY_SECONDS if patience_s is None else patience_s
        self.results: list[ChangeResult] = []
        self.dead: EnforcementError | None = None
        self.stop_reason = ''
        self.busy = 0  # rows left open because another run is changing their lines
        self._left: set[str] = set()  # given back: surely not sent
        self._probed = False
        self._asked_at = 0.0

    def run(self, changes: Sequence[AccessChange]) -> None:
        """Process the rows, and leave none open unless stopped: what a crash interrupts is unknown."""
        try:
            self._work(changes)
        except BaseException:
            known = self._left | {result.key for result in self.results}
            text = 'the run broke off at this point: read the line before trying again'
            self._close(
                [
                    ChangeResult(change.key, Outcome.UNKNOWN, message=text)
                    for change in changes
                    if change.key not in known
                ]
            )
            raise

    def _work(self, changes: Sequence[AccessChange]) -> None:
        """Batch after batch. Rows whose line another run holds are tried again for `patience_s`, then left open."""
        waiting, patience = list(changes), None
        while waiting:
            busy: list[AccessChange] = []
            for batch in batched(waiting, self.pace.size(self.batch_size)):
                if not self.stop.wait(self.pace.due_in):
                    self.stop_reason = self.stop.reason
                    return
                busy.extend(self._batch(batch))
                if self.stop_reason:
                    return
            waiting = busy
            patience = patience or time.monotonic() + self.patience_s
            if waiting and time.monotonic() > patience:
                self.busy = len(waiting)
                self.stop_reason = f'another run is changing {self.busy} of these lines: they wait until it lets go'
                return
            if waiting:
                self.stop.wait(BUSY_PAUSE)

    def _batch(self, batch: Sequence[AccessChange]) -> list[AccessChange]:
        """Work one batch off; returns the rows that were busy."""
        claim = self.journal.claim(batch)
        self._asked_at = time.monotonic()
        self.stop_reason = claim.stop_reason
        if self.stop_reason:
            return []
        self._refuse(claim.refused)
        ours = [change for change in batch if change.key not in claim.refused and change.key not in claim.busy]
        if ours:
            self._enforce(ours)
        return [change for change in batch if change.key in claim.busy]

    def _enforce(self, changes: Sequence[AccessChange]) -> None:
        try:
            if self.dead:
                raise self.dead
            driver = self.connect()
            driver.stop = self._must_stop
            if not self._probed:
                self._probe(driver)
            before = driver.read([change.target for change in changes])
        except EnforcementError as error:
            if not self.dead and self._must_stop():  # it broke off its reading for that
                self._give_back(changes)
                return
            # A point that cannot be read now would cost every further batch the same timeout.
            self.dead = error
            text = f'nothing was sent: {error}'
            self._close([ChangeResult(change.key, Outcome.FAILED, message=text) for change in changes])
            return
        to_send = self._compare(driver, changes, before)
        if to_send and self._must_stop():
            self._give_back(to_send)
            return
        if to_send:
            refused = self.journal.sending(to_send, before)
            # Nothing was sent to them: as they were read, so they are.
            readings = {change.key: before[change.target.key] for change in to_send}
            self._refuse(refused, readings)
            to_send = [change for change in to_send if change.key not in refused]
        if not to_send:
            return
        replies = self._send(driver, to_send, before)
        sent = [change for change in to_send if replies[change.key].sent]
        self._give_back([change for change in to_send if not replies[change.key].sent])
        self.pace.spend(len(sent))
        after = self._read_back(sent, before)
        self._close(
            [
                judge(change, before[change.target.key], replies[change.key], after.get(change.target.key))
                for change in sent
            ]
        )
        if not self.dead:
            self._probe(driver)

    def _compare(
        self, driver: Driver, changes: Sequence[AccessChange], before: Mapping[str, Reading]
    ) -> list[AccessChange]:
        """Close the rows that need or allow no sending; returns the others."""
        closed, to_send = [], []
        for change in changes:
            reading = before[change.target.key]
            if change.target.values and not driver.abilities.cpe_values:
                text = f'the driver "{driver.name}" sets no parameters of a CPE: nothing was sent'
                closed.append(ChangeResult(change.key, Outcome.FAILED, reading, message=text))
            elif reading.error:
                closed.append(ChangeResult(change.key, Outcome.FAILED, reading, message=reading.error))
            elif reading.is_(change.desired) and (not change.exact or dict(change.exact) == dict(reading.detail)):
                closed.append(ChangeResult(change.key, Outcome.NOOP, reading, reading))
            elif self.dry_run:
                text = f'dry run: {reading.observed} would become {change.desired}'
                closed.append(ChangeResult(change.key, Outcome.SKIPPED, reading, message=text))
            else:
                to_send.append(change)
        self._close(closed)
        return to_send

    def _send(self, driver: Driver, changes: Sequence[AccessChange], before: Mapping[str, Reading]) -> dict[str, Reply]:
        try:
            return driver.apply(changes, before)
        except EnforcementError as error:
            return {change.key: Reply(None, str(error)) for change in changes}

    def _read_back(self, changes: Sequence[AccessChange], before: Mapping[str, Reading]) -> dict[str, Reading]:
        """Readings by target key; empty where the point cannot be read, which leaves every row unknown."""
        after: dict[str, Reading] = {}
        wanted = {change.target.key: change.target for change in changes}
        deadline = time.monotonic() + SETTLE_SECONDS
        while wanted:
            try:
                driver = self.connect()
                after |= driver.read(list(wanted.values()))
            except EnforcementError as error:
                self.dead = error
                return after | {key: Reading(error=f'read-back failed: {error}') for key in wanted}
            # A dropped session redials by itself: wait for those that were up.
            wanted = {key: wanted[key] for key in wanted if before[key].live is not None and _is_down(after[key])}
            if not wanted or not driver.redials or time.monotonic() > deadline:
                return after
            time.sleep(SETTLE_PAUSE)
        return after

    def _must_stop(self) -> bool:
        """Asked between two rows: the run's own stop at once, the journal (paused, cancelled) every now and then."""
        if not self.stop_reason and time.monotonic() >= self._asked_at + ASK_SECONDS:
            try:
                self.stop_reason = self.journal.claim(()).stop_reason
            except Exception as error:
                # It may be any journal's; what is in flight must still be read.
                if is_interruption(error):
                    raise
                self.stop_reason = f'the journal cannot be asked whether to go on: {error}'
            self._asked_at = time.monotonic()
        self.stop_reason = self.stop_reason or self.stop.reason
        return bool(self.stop_reason)

    def _give_back(self, changes: Sequence[AccessChange]) -> None:
        if changes:
            self.stop_reason = self.stop_reason or 'the driver stopped by itself'
            self.journal.unsent(changes)
            self._left.update(change.key for change in changes)

    def _probe(self, driver: Driver) -> None:
        """Before the first row, and after each batch: what is lost beside our own rows must be seen at once."""
        self._probed = True
        health = None if self.dry_run or self.stop_reason else probe_health(driver)
        if health is not None:
            self.journal.health(self.name, health)

    def _refuse(self, reasons: Mapping[str, str], readings: Mapping[str, Reading] = MappingProxyType({})) -> None:
        self._close(
            [
                ChangeResult(key, Outcome.SKIPPED, readings.get(key), readings.get(key), reason)
                for key, reason in reasons.items()
            ]
        )

    def _close(self, results: Sequence[ChangeResult]) -> None:
        if results:
            self.journal.finished(results)
            self.results.extend(results)


def _is_down(reading: Reading) -> bool:
    return not reading.error and reading.live is None
