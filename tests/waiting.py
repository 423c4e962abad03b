"""Tests and time: they wait for what is to happen, and where a clock is the subject, move it by hand.

No test measures the clock on the wall: how long something took says how busy the machine was (`tests/test_time.py`).
What must end by itself is given hours to take, so that its end is the proof; `tests/conftest.py` ends what hangs.
"""

import asyncio
import threading
import time

HOURS = 10_000.0  # seconds that no test waits for


def wait_until(condition, seconds=20.0):
    """Ask until the answer is true, and return it. The limit says that something is broken, not that it is slow."""
    end = time.monotonic() + seconds
    while not (answer := condition()):
        assert time.monotonic() < end, 'it did not come to pass'
        time.sleep(0.01)
    return answer


async def soon(condition, seconds=20.0):
    """The same among other tasks of one loop."""
    end = time.monotonic() + seconds
    while not (answer := condition()):
        assert time.monotonic() < end, 'it did not come to pass'
        await asyncio.sleep(0.005)
    return answer


class HandClock:
    """In place of the module `time`: it passes only where somebody sleeps, or where a test moves it."""

    def __init__(self):
        self.now = 1_000.0
        self.slept = 0.0
        self._lock = threading.Lock()

    def monotonic(self):
        return self.now

    def move(self, seconds):
        with self._lock:
            self.now += seconds

    def sleep(self, seconds):
        with self._lock:
            self.now += seconds
            self.slept += seconds

    @classmethod
    def of(cls, monkeypatch, *modules):
        """One clock for these modules."""
        clock = cls()
        for module in modules:
            monkeypatch.setattr(module, 'time', clock)
        return clock
