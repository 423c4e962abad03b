"""The breaker: when a run must stop by itself, by what came of its rows and by what happened beside them.

Pure: whoever works a run keeps the counts (in memory, or NetBox in its database) and asks `verdict`. A verdict is a
sentence with figures, and is meant to be shown: why the run was paused.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from nornir_tasks.change import ChangeResult, Outcome, Reading

WRONG = frozenset({Outcome.FAILED, Outcome.PARTIAL, Outcome.UNKNOWN})


@dataclass(frozen=True, slots=True)
class BreakerLimits:
    """What a run may do at most before it stops itself. Percentages are 0 to 100; 100 never trips."""

    max_failed_percent: float = 5.0  # wrong rows among those tried
    min_rows: int = 20  # rows tried before a share means anything
    max_session_drop_percent: float = 5.0  # of a point's sessions, beyond those that the run itself ended
    min_session_drop: int = 5  # fewer are homes that redial
    max_refused_percent: float = 20.0  # rows the point said no to (NAK) among those tried
    max_latency_factor: float = 10.0  # how much slower a point may become
    min_latency_s: float = 1.0  # answers faster than this (seconds) are never slow


@dataclass(frozen=True, slots=True)
class Health:
    """How an enforcement point is: the `sessions` it has, and the seconds it took to say so. `None`: it cannot say."""

    sessions: int | None = None
    latency_s: float | None = None


@dataclass(frozen=True, slots=True)
class Tally:
    """Rows closed so far: `tried` are those not skipped, of which `wrong` (failed, partial, unknown) and `refused`.

    `untouched` are those of the wrong ones to which nothing was sent (the point is dead, the line is not there).
    """

    tried: int = 0
    wrong: int = 0
    refused: int = 0
    untouched: int = 0

    def __add__(self, other: Tally) -> Tally:
        return Tally(
            self.tried + other.tried,
            self.wrong + other.wrong,
            self.refused + other.refused,
            self.untouched + other.untouched,
        )

    @classmethod
    def of(cls, result: ChangeResult) -> Tally:
        """A row that was skipped says nothing: counting it would water the share of wrong ones down."""
        if result.outcome is Outcome.SKIPPED:
            return cls()
        # What was sent and cannot be read back is unknown, so a failure without a reading after was never sent.
        untouched = result.outcome is Outcome.FAILED and result.after is None
        return cls(1, int(result.outcome in WRONG), int(result.refused), int(untouched))


@dataclass(frozen=True, slots=True)
class PointHealth:
    """A point before its first row and `now`; `ended` is how many of its sessions the run may have ended itself."""

    point: str
    before: Health
    now: Health
    ended: int = 0


class BreakerVerdict(str):
    """Why the run must not go on: a sentence, with a `code` and its `figures` for programs. Empty where it may."""

    __slots__ = ('code', 'figures')

    code: str
    figures: dict[str, str | int]

    @classmethod
    def of(cls, code: str, text: str, **figures: str | int) -> BreakerVerdict:
        verdict = cls(text)
        verdict.code, verdict.figures = code, figures
        return verdict


def may_have_ended(before: Reading | None, after: Reading | None) -> bool:
    """True where a row that was sent may have cost its line the session that it had: gone, or not read since."""
    return before is not None and before.live is not None and (after is None or after.live is None)


def verdict(
    limits: BreakerLimits,
    tally: Tally,
    points: Iterable[PointHealth] = (),
    first_wave: Tally | None = None,
    *,
    total: int = 0,
    unit: str = 'rows',
) -> BreakerVerdict:
    """Why the run must not go on; empty where it may.

    `tally` is over all closed rows of the run; `first_wave` over those of its first wave, given once all are closed.
    `total` is how many rows the run has. With it, rows that were not touched count by themselves, as a share of all:
    the lines of one dead router fail in a moment, and would else be most of what is closed while the others work.
    `unit` is what is counted, for the sentence.
    """
    if first_wave and 0 < first_wave.tried == first_wave.wrong:
        text = f'the whole first wave went wrong: {first_wave.wrong} of {first_wave.tried} {unit}'
        return BreakerVerdict.of('first_wave_wrong', text, part=first_wave.wrong, whole=first_wave.tried, unit=unit)
    untouched = tally.untouched if total else 0
    if tally.tried - untouched >= limits.min_rows:
        if _exceeds(tally.wrong - untouched, tally.tried - untouched, limits.max_failed_percent):
            share = Share(tally.wrong - untouched, tally.tried - untouched, limits.max_failed_percent)
            return share.verdict('too_many_wrong', f'too many {unit} went wrong', unit=unit)
        if _exceeds(tally.refused, tally.tried, limits.max_refused_percent):
            share = Share(tally.refused, tally.tried, limits.max_refused_percent)
            return share.verdict('too_many_refused', f'too many {unit} were refused by their points', unit=unit)
    if untouched and tally.tried >= limits.min_rows and _exceeds(untouched, total, limits.max_failed_percent):
        share = Share(untouched, total, limits.max_failed_percent)
        return share.verdict('too_many_untried', f'too many {unit} could not be tried', unit=unit)
    return next(filter(None, (_collateral(limits, health) for health in points)), BreakerVerdict())


def _collateral(limits: BreakerLimits, health: PointHealth) -> BreakerVerdict:
    before, now = health.before, health.now
    if before.sessions is not None and now.sessions is not None:
        lost = before.sessions - now.sessions - health.ended
        if lost >= limits.min_session_drop and _exceeds(lost, before.sessions, limits.max_session_drop_percent):
            share = Share(lost, before.sessions, limits.max_session_drop_percent)
            text = f'{health.point} lost sessions that the run did not end'
            return share.verdict('sessions_lost', text, point=health.point)
    if before.latency_s is not None and now.latency_s is not None:
        limit = max(before.latency_s * limits.max_latency_factor, limits.min_latency_s)
        if now.latency_s > limit:
            text = (
                f'{health.point} has become slow: it answers in {now.latency_s:.1f} s, in {before.latency_s:.1f} s '
                f'before the run; at most {limit:.1f} s'
            )
            figures = {'now': f'{now.latency_s:.1f}', 'before': f'{before.latency_s:.1f}', 'limit': f'{limit:.1f}'}
            return BreakerVerdict.of('point_slow', text, point=health.point, **figures)
    return BreakerVerdict()


def _exceeds(part: int, whole: int, percent: float) -> bool:
    return part * 100 > whole * percent


@dataclass(frozen=True, slots=True)
class Share:
    """So many of so many, and the percentage that is too many."""

    part: int
    whole: int
    limit: float

    def verdict(self, code: str, what: str, **figures: str) -> BreakerVerdict:
        percent = f'{self.part * 100 / self.whole:.1f}'
        text = f'{what}: {self.part} of {self.whole}, {percent} %; at most {self.limit:g} %'
        limit = f'{self.limit:g}'
        return BreakerVerdict.of(code, text, part=self.part, whole=self.whole, percent=percent, limit=limit, **figures)
