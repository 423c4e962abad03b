"""When a request is sent again, and when it is given up (RFC 5080 section 2.2.1). Pure: chance is an argument."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

JITTER = 0.1


@dataclass(frozen=True, slots=True)
class Retransmission:
    """Times in seconds: `initial` (IRT), `longest` (MRT), `count` (MRC: transmissions in all), `duration` (MRD).

    `fresh` is how old an Event-Timestamp may be when a request is sent again: an older one gets a new timestamp, and
    with it a new identifier. RFC 5176 section 6.3 has servers drop what is older than 300 s by default.
    """

    initial: float = 2.0
    longest: float = 16.0
    count: int = 5
    duration: float = 30.0
    fresh: float = 150.0

    def first(self, chance: Callable[[], float]) -> float:
        """Seconds until the first retransmission; `chance` yields -1…1."""
        return self.initial * (1 + JITTER * chance())

    def next(self, previous: float, chance: Callable[[], float]) -> float:
        """Seconds until the retransmission after one that came after `previous` seconds."""
        wait = previous * (2 + JITTER * chance())
        return self.longest * (1 + JITTER * chance()) if wait > self.longest else wait
