"""Watching a run while it runs: counts what comes of it, and stops it once the breaker's verdict is against it."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping, Sequence

from nornir_tasks.change import AccessChange, ChangeResult, Reading
from nornir_tasks.engine.breaker import BreakerLimits, Health, PointHealth, Tally, may_have_ended, verdict
from nornir_tasks.engine.cancellation import Stop
from nornir_tasks.engine.journal import Claim, Journal


class BreakerJournal:
    """`nornir_tasks.engine.journal.Journal`: passes everything on to another one, and judges the run by it.

    `changes` are all rows of the run, by point name, with their waves. Without `limits` nothing is judged.
    """

    def __init__(
        self,
        journal: Journal,
        changes: Mapping[str, Sequence[AccessChange]],
        limits: BreakerLimits | None,
        stop: Stop,
    ) -> None:
        self.journal = journal
        self.limits = limits
        self.stop = stop
        self.unsent = journal.unsent
        self.close = journal.close
        self._points = {row.key: name for name, rows in changes.items() for row in rows}
        first = min((row.wave for rows in changes.values() for row in rows), default=0)
        self._first_open = {row.key for rows in changes.values() for row in rows if row.wave == first}
        self._first, self._all = Tally(), Tally()
        self._ended: Counter[str] = Counter()
        self._before: dict[str, Health] = {}
        self._now: dict[str, Health] = {}
        self._lock = threading.Lock()

    def claim(self, changes: Sequence[AccessChange]) -> Claim:
        if self.stop.reason:
            return Claim(stop_reason=self.stop.reason)
        return self.journal.claim(changes)

    def sending(self, changes: Sequence[AccessChange], before: Mapping[str, Reading]) -> Mapping[str, str]:
        return self.journal.sending(changes, before)

    def finished(self, results: Sequence[ChangeResult]) -> None:
        self.journal.finished(results)
        with self._lock:
            for result in results:
                tally = Tally.of(result)
                self._all += tally
                if result.key in self._first_open:
                    self._first_open.remove(result.key)
                    self._first += tally
                self._ended[self._points[result.key]] += may_have_ended(result.before, result.after)
        self._judge()

    def health(self, point: str, health: Health) -> None:
        self.journal.health(point, health)
        with self._lock:
            self._before.setdefault(point, health)
            self._now[point] = health
        self._judge()

    def _judge(self) -> None:
        if self.limits is None:
            return
        with self._lock:
            points = [
                PointHealth(name, self._before[name], self._now[name], self._ended[name]) for name in sorted(self._now)
            ]
            first = None if self._first_open else self._first
            tally = self._all
        if reason := verdict(self.limits, tally, points, first, total=len(self._points)):
            self.stop.pull(reason)
