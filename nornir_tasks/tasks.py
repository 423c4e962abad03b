"""Nornir tasks: read the lines of an enforcement point, and drive them to where they should be.

The unit of both is the point: its lines are rows handed to it, one session carries them all, and what fails for one
row is data in that row's result.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from itertools import batched

from nornir.core.task import Result, Task

from nornir_tasks.change import AccessChange, AccessTarget, ChangeResult, Outcome, Reading, Reply, judge
from nornir_tasks.drivers import Driver, get_driver
from nornir_tasks.errors import EnforcementError
from nornir_tasks.inventory import Point
from nornir_tasks.journal import Journal

SETTLE_SECONDS = 5.0  # how long a session that we dropped may take to come back before it counts as offline
SETTLE_PAUSE = 0.25
BUSY_SECONDS = 60.0  # how long a line held by another run is waited for
BUSY_PAUSE = 0.1


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


def enforce(task: Task, changes: Mapping[str, Sequence[AccessChange]], journal: Journal) -> Result:
    """Drive this point's lines out of `changes` (by point name) to where they should be, journaling to `journal`.

    `result` is `list[ChangeResult]`, one a row. A crash of the driver (not an `EnforcementError`, which is a point's
    failure) closes the open rows as unknown and then reaches Nornir.
    """
    work = PointWork(lambda: open_driver(task), task.host.data['point'].batch_size, journal, task.is_dry_run())
    try:
        work.run(changes[task.host.name])
    finally:
        journal.close()
    return Result(
        host=task.host,
        result=work.results,
        changed=any(result.outcome is Outcome.APPLIED for result in work.results),
        failed=not all(result.outcome.is_success for result in work.results),
    )


class PointWork:
    """read → compare → apply → read back for the rows of one point, in batches, each journaled before it is sent."""

    def __init__(self, connect: Callable[[], Driver], batch_size: int, journal: Journal, dry_run: bool = False) -> None:
        self.connect = connect
        self.batch_size = batch_size
        self.journal = journal
        self.dry_run = dry_run
        self.results: list[ChangeResult] = []
        self.dead: EnforcementError | None = None

    def run(self, changes: Sequence[AccessChange]) -> None:
        """Work all rows off, and leave none open: what a crash interrupts is unknown."""
        try:
            self._work(changes)
        finally:
            closed = {result.key for result in self.results}
            text = 'the run broke off at this point: read the line before trying again'
            self._close(
                [
                    ChangeResult(change.key, Outcome.UNKNOWN, message=text)
                    for change in changes
                    if change.key not in closed
                ]
            )

    def _work(self, changes: Sequence[AccessChange]) -> None:
        """Batch after batch. Rows whose line another run holds are tried again until `BUSY_SECONDS` have passed."""
        waiting, deadline = list(changes), time.monotonic() + BUSY_SECONDS
        while waiting:
            busy: list[AccessChange] = []
            for batch in batched(waiting, self.batch_size):
                busy.extend(self._batch(batch))
            waiting = busy
            if waiting and time.monotonic() > deadline:
                text = 'another run is changing this line; plan it again when that one has ended'
                self._close([ChangeResult(change.key, Outcome.SKIPPED, message=text) for change in waiting])
                return
            if waiting:
                time.sleep(BUSY_PAUSE)

    def _batch(self, batch: Sequence[AccessChange]) -> list[AccessChange]:
        """Work one batch off; returns the rows that were busy."""
        claim = self.journal.claim(batch)
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
            before = driver.read([change.target for change in changes])
        except EnforcementError as error:
            # A point that cannot be read now would cost every further batch the same timeout.
            self.dead = error
            text = f'nothing was sent: {error}'
            self._close([ChangeResult(change.key, Outcome.FAILED, message=text) for change in changes])
            return
        to_send = self._compare(driver, changes, before)
        if not to_send:
            return
        refused = self.journal.sending(to_send, before)
        self._refuse(refused)
        to_send = [change for change in to_send if change.key not in refused]
        if not to_send:
            return
        replies = self._send(driver, to_send, before)
        after = self._read_back(to_send, before)
        self._close(
            [
                judge(change, before[change.target.key], replies[change.key], after.get(change.target.key))
                for change in to_send
            ]
        )

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

    def _refuse(self, reasons: Mapping[str, str]) -> None:
        self._close([ChangeResult(key, Outcome.SKIPPED, message=reason) for key, reason in reasons.items()])

    def _close(self, results: Sequence[ChangeResult]) -> None:
        if results:
            self.journal.finished(results)
            self.results.extend(results)


def _is_down(reading: Reading) -> bool:
    return not reading.error and reading.live is None
