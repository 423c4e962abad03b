"""How many rows a second one point is sent, so that a slow control plane is not overrun."""

from __future__ import annotations

import time


class Pace:
    """Rows a second at one point: what was sent is paid off in time before more goes out. `None`: no limit."""

    def __init__(self, rate_per_s: float | None) -> None:
        self.rate_per_s = rate_per_s
        self._free_at = 0.0

    def size(self, batch_size: int) -> int:
        """How many rows may go out at once: one second's worth at most, so that a limit is no burst and a pause."""
        return batch_size if self.rate_per_s is None else max(1, min(batch_size, int(self.rate_per_s)))

    def spend(self, rows: int) -> None:
        if self.rate_per_s is not None:
            self._free_at = max(self._free_at, time.monotonic()) + rows / self.rate_per_s

    @property
    def due_in(self) -> float:
        """Seconds until the next rows may go."""
        return max(0.0, self._free_at - time.monotonic())
