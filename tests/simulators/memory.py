"""The simplest enforcement point: lines in a dictionary, with the bad manners of real ones by switch."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from nornir_tasks.change import AccessChange, AccessState, AccessTarget, Reading, Reply
from nornir_tasks.drivers import Abilities, Driver
from nornir_tasks.errors import PointTimeoutError, PointUnreachableError


@dataclass
class MemoryPoint:
    """The truth: stored and live state by user name, and a record of what was asked of it."""

    stored: dict[str, AccessState] = field(default_factory=dict)
    live: dict[str, AccessState | None] = field(default_factory=dict)
    sent: list[tuple[str, AccessState]] = field(default_factory=list)
    foreign: dict[str, tuple[str, ...]] = field(default_factory=dict)  # what somebody else restricts, by user name
    reads: int = 0
    # Bad manners
    dead: bool = False
    lies_about: set[str] = field(default_factory=set)  # says yes, does nothing
    half_applies: set[str] = field(default_factory=set)  # stores, and leaves the session as it was
    refuses: set[str] = field(default_factory=set)
    hangs_after: int | None = None  # rows applied before it stops answering, for good
    deaf_after_apply: bool = False  # applies, and loses the answer
    drops_sessions: bool = False  # a change ends the session
    mute: bool = False  # does not say how many sessions it has
    thinks_s: float = 0.0  # before it says so
    before_apply: Callable[[], None] = lambda: None
    after_row: Callable[[str], None] = lambda username: None
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, username: str, state: AccessState | None = None, online: bool = True) -> None:
        self.stored[username] = state or AccessState.normal()
        self.live[username] = self.stored[username] if online else None

    def remove(self, username: str) -> None:
        """The line is taken off the box, by hand: with it goes whatever restricted it."""
        for known in (self.stored, self.live, self.foreign):
            known.pop(username, None)

    def has_access(self, username: str) -> bool:
        """The truth: nobody restricts this line, neither we nor another."""
        return self.stored[username] == AccessState.normal() and not self.foreign.get(username)

    def driver(self) -> MemoryDriver:
        if self.dead:
            raise PointUnreachableError('the point does not answer')
        return MemoryDriver(self, {})


class MemoryDriver(Driver):
    name = 'memory'
    abilities = Abilities(throttle=True, block=True, stored=True, live=True)
    connection: MemoryPoint

    def read(self, targets: Sequence[AccessTarget]) -> dict[str, Reading]:
        if self.connection.dead:
            raise PointUnreachableError('the point does not answer')
        self.connection.reads += 1
        return {target.key: self._reading(target.username) for target in targets}

    def _reading(self, username: str) -> Reading:
        if username not in self.connection.stored:
            return Reading(error=f'no line "{username}" on this point', absent=True)
        stored = self.connection.stored[username]
        foreign = self.connection.foreign.get(username, ())
        return Reading(stored, self.connection.live[username], {'was': str(stored)}, foreign=foreign)

    def sessions(self) -> int | None:
        time.sleep(self.connection.thinks_s)
        if self.connection.dead:
            raise PointUnreachableError('the point does not answer')
        if self.connection.mute:
            return None
        return sum(state is not None for state in self.connection.live.values())

    def apply(self, changes: Sequence[AccessChange], before: Mapping[str, Reading]) -> dict[str, Reply]:
        point = self.connection
        point.before_apply()
        replies = {}
        for count, change in enumerate(changes):
            if point.hangs_after is not None and count >= point.hangs_after:
                point.dead = True
                raise PointTimeoutError('the point stopped answering')
            if self.stop():
                replies[change.key] = Reply(None, sent=False)
                continue
            username = change.target.username
            with point.lock:
                point.sent.append((username, change.desired))
            if username in point.refuses:
                replies[change.key] = Reply(False, 'refused by the point')
                continue
            if username not in point.stored:
                replies[change.key] = Reply(False, f'no line "{username}" on this point')
                continue
            if username not in point.lies_about:
                point.stored[username] = change.desired
                if point.live[username] is not None and username not in point.half_applies:
                    point.live[username] = None if point.drops_sessions else change.desired
            replies[change.key] = Reply(True)
            point.after_row(username)
        if point.deaf_after_apply:
            raise PointTimeoutError('no answer in time')
        return replies
