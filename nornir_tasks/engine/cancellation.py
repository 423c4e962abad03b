"""What ends a run before its end: cancelled, its deadline, the breaker. Asked between two rows, so it is cheap."""

from __future__ import annotations

import threading
import time

PAUSE = 0.1  # how long a wait may overlook that it was stopped


class Stop:
    """Why a run must not go on; one for all of its points, and safe in their threads.

    `cancel` is set by whoever wants the run to end. `deadline_s` is in seconds from now.
    """

    def __init__(self, cancel: threading.Event | None = None, deadline_s: float | None = None) -> None:
        self._cancel = cancel or threading.Event()
        self._deadline_s = deadline_s
        self._ends_at = None if deadline_s is None else time.monotonic() + deadline_s
        self._pulled = ''
        self._lock = threading.Lock()

    def pull(self, reason: str) -> None:
        """Stop everything, for the first reason given."""
        with self._lock:
            self._pulled = self._pulled or reason

    @property
    def reason(self) -> str:
        """A sentence; '' where the run may go on."""
        if not self._pulled:
            if self._cancel.is_set():
                self.pull('it was cancelled')
            elif self._ends_at is not None and time.monotonic() >= self._ends_at:
                self.pull(f'its deadline of {self._deadline_s:g} s has passed')
        return self._pulled

    def wait(self, seconds: float) -> bool:
        """Sleep, but not beyond a stop. True where there was none."""
        until = time.monotonic() + seconds
        while not self.reason:
            left = until - time.monotonic()
            if left <= 0:
                return True
            time.sleep(min(left, PAUSE))
        return False
