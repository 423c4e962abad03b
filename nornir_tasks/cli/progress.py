"""A run's progress in a terminal: the wave, rows done of all, what came of them, rate and time left."""

from __future__ import annotations

import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from nornir_tasks.change import AccessChange, ChangeResult
from nornir_tasks.cli.terminal import console


class RunBar:
    """One line that is drawn over and over. Safe in the threads of the points."""

    def __init__(self) -> None:
        self._progress = Progress(
            TextColumn('{task.description}'),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn('{task.fields[pace]}'),
            TextColumn('{task.fields[outcomes]}'),
            console=console,
        )
        self._task = self._progress.add_task('', pace='', outcomes='')

    def __enter__(self) -> RunBar:
        self._progress.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._progress.stop()

    def show(self, state: Mapping[str, Any]) -> None:
        """Draw a state as `runs/{id}/progress/` gives it: wave, waves, rows, done, outcomes, rate_per_s, eta_s."""
        self._progress.update(
            self._task,
            description=f'wave {state["wave"]} of {state["waves"]}' if state['waves'] > 1 else 'rows',
            total=state['rows'],
            completed=state['done'],
            pace=_pace(state['rate_per_s'], state['eta_s']),
            outcomes=', '.join(f'{count} {outcome}' for outcome, count in sorted(state['outcomes'].items())),
        )


class Counting:
    """The progress of a run that is worked from here, kept by its own results."""

    def __init__(self, changes: Mapping[str, Sequence[AccessChange]], bar: RunBar) -> None:
        self.bar = bar
        self._waves = {row.key: row.wave for rows in changes.values() for row in rows}
        self._numbers = sorted(set(self._waves.values()))
        self._open = Counter(self._waves.values())
        self._outcomes: Counter[str] = Counter()
        self._began = time.monotonic()
        self._lock = threading.Lock()
        self._draw()

    def count(self, result: ChangeResult) -> None:
        with self._lock:
            self._open[self._waves[result.key]] -= 1
            self._outcomes[str(result.outcome)] += 1
            self._draw()

    def _draw(self) -> None:
        done, rows = self._outcomes.total(), len(self._waves)
        rate = done / max(time.monotonic() - self._began, 0.001)
        under_way = next((number for number in self._numbers if self._open[number]), max(self._numbers, default=0))
        state = {
            'wave': under_way,
            'waves': max(self._numbers, default=0),
            'rows': rows,
            'done': done,
            'outcomes': self._outcomes,
            'rate_per_s': rate if done else None,
            'eta_s': (rows - done) / rate if done else None,
        }
        self.bar.show(state)


def _pace(rate_per_s: float | None, eta_s: float | None) -> str:
    if not rate_per_s:
        return ''
    minutes, seconds = divmod(round(eta_s or 0), 60)
    return f'{rate_per_s:.1f} rows/s, {minutes}:{seconds:02} left'


@contextmanager
def cancelled_by_ctrl_c() -> Iterator[threading.Event]:
    """The first Ctrl-C (or SIGTERM) sets the event; a second one breaks off, as it always does."""
    cancel = threading.Event()
    before: dict[int, Any] = {}

    def stop(number: int, frame: FrameType | None) -> None:
        cancel.set()
        console.print('stopping: what is in flight is read back, nothing more is sent; once more to break off')
        for known, handler in before.items():
            signal.signal(known, handler)

    for number in (signal.SIGINT, signal.SIGTERM):
        before[number] = signal.signal(number, stop)
    try:
        yield cancel
    finally:
        for known, handler in before.items():
            signal.signal(known, handler)
