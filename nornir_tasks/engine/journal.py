"""Where a run writes down what it is about to do and what came of it, so that a death in between loses nothing.

The engine calls `claim`, `sending` and `finished` in order for every batch of every point, from the thread of that
point. NetBox's workers pass a journal in the database, a runbook one over REST.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from nornir_tasks.change import AccessChange, ChangeResult, Reading
from nornir_tasks.engine.breaker import Health
from nornir_tasks.errors import is_interruption

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Claim:
    """Which rows of a batch may go on. Both are by `AccessChange.key`.

    `refused` rows are closed as skipped, with the reason given; `busy` ones belong to a line that another run is
    changing right now, and are tried again later, or left open. Every other row is ours until its result is written.
    With `stop_reason` (paused, cancelled, the kill switch, a cap: a sentence) nothing was claimed: this point's work
    stops at once, and its rows stay open.
    """

    refused: Mapping[str, str] = field(default_factory=dict)
    busy: frozenset[str] = frozenset()
    stop_reason: str = ''


class Journal(Protocol):
    """A journal may raise: the point's remaining rows are then left open, as after a death."""

    def claim(self, changes: Sequence[AccessChange]) -> Claim:
        """Take these rows, looking at the facts once more: a contract that was paid since is refused here.

        Asked with no rows at all, between two rows that are sent, it only says whether to stop.
        """
        ...

    def sending(self, changes: Sequence[AccessChange], before: Mapping[str, Reading]) -> Mapping[str, str]:
        """These rows are sent next; `before` is by `AccessTarget.key`. Durable before it returns.

        Returns, by `AccessChange.key`, why a row must not be sent after all: the last look at the facts.
        """
        ...

    def unsent(self, changes: Sequence[AccessChange]) -> None:
        """These rows were claimed, and perhaps journaled as sent, but the work stopped before them.

        They are open, unsent and nobody's again. A row that a dead worker had sent before stays as that one left it.
        """
        ...

    def finished(self, results: Sequence[ChangeResult]) -> None:
        """These rows are closed and no longer ours."""
        ...

    def health(self, point: str, health: Health) -> None:
        """How the point of that name is, before its first row and after each batch."""
        ...

    def close(self) -> None:
        """The calling thread is done with its point."""
        ...


class MemoryJournal:
    """A journal for runbooks that keep none: every row may go, and the results stay in `results`, by key.

    `seen` are the health by point name, oldest first.
    """

    def __init__(self) -> None:
        self.results: dict[str, ChangeResult] = {}
        self.sent: dict[str, Reading] = {}
        self.seen: dict[str, list[Health]] = {}

    def claim(self, changes: Sequence[AccessChange]) -> Claim:
        return Claim()

    def sending(self, changes: Sequence[AccessChange], before: Mapping[str, Reading]) -> Mapping[str, str]:
        self.sent.update({change.key: before[change.target.key] for change in changes})
        return {}

    def unsent(self, changes: Sequence[AccessChange]) -> None:
        for change in changes:
            self.sent.pop(change.key, None)

    def finished(self, results: Sequence[ChangeResult]) -> None:
        self.results.update({result.key: result for result in results})

    def health(self, point: str, health: Health) -> None:
        self.seen.setdefault(point, []).append(health)

    def close(self) -> None:
        pass


class ReportingJournal:
    """Another journal, and a callback with every result once it is journaled (a progress bar).

    The callback comes from the threads of the points. One that raises is logged, and stops nothing.
    """

    def __init__(self, journal: Journal, report: Callable[[ChangeResult], None]) -> None:
        self.journal = journal
        self.report = report
        self.claim = journal.claim
        self.sending = journal.sending
        self.unsent = journal.unsent
        self.health = journal.health
        self.close = journal.close

    def finished(self, results: Sequence[ChangeResult]) -> None:
        self.journal.finished(results)
        for result in results:
            try:
                self.report(result)
            except Exception as error:
                if is_interruption(error):
                    raise
                logger.exception('row %s: what it came to could not be reported', result.key)
