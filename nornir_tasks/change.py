"""The one language of the network side: what a line is, how it stands, what should change, what came of it.

Every border (plugin → tasks → driver, and back) is crossed by these frozen values and by nothing else.
Rates are kbit/s, seen from the subscriber: *down* is towards the home, *up* is from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Generic

from typing_extensions import TypeVar

from nornir_tasks.storable import UnstorableError, sentence, storable

FASTEST_KBPS = 2**31 - 1  # what a database's integer holds; two terabits a second


class Mode(StrEnum):
    """How a line stands. There is no fourth way: a line being paid off is `NORMAL`, a warned one too."""

    NORMAL = 'normal'
    THROTTLED = 'throttled'
    BLOCKED = 'blocked'


class Outcome(StrEnum):
    """What became of one change, judged by what was read back, never by an acknowledgement alone."""

    APPLIED = 'applied'  # sent, and read back as desired on the live session
    NOOP = 'noop'  # it already was so; nothing was sent
    OFFLINE = 'offline'  # stored policy is as desired; there is no session to change
    PARTIAL = 'partial'  # stored and live disagree after the change
    FAILED = 'failed'  # read back as not desired, or refused before anything was sent
    UNKNOWN = 'unknown'  # no answer and no read-back: read before any retry
    SKIPPED = 'skipped'  # the facts moved after approval (paid, held, retired); nothing was sent

    @property
    def is_success(self) -> bool:
        """True where the line is as desired, or will be at its next session."""
        return self in (Outcome.APPLIED, Outcome.NOOP, Outcome.OFFLINE)


@dataclass(frozen=True, slots=True)
class AccessState:
    """`normal`, `blocked`, or `throttled` with its rates in kbit/s (both at least 1)."""

    mode: Mode
    down_kbps: int | None = None
    up_kbps: int | None = None

    def __post_init__(self) -> None:
        rates = (self.down_kbps, self.up_kbps)
        if self.mode is Mode.THROTTLED:
            if any(rate is None or rate < 1 for rate in rates):
                raise ValueError(f'a throttled state needs down and up rates of at least 1 kbit/s, not {rates}')
        elif any(rate is not None for rate in rates):
            raise ValueError(f'a {self.mode} state has no rates: {rates}')

    @classmethod
    def normal(cls) -> AccessState:
        return cls(Mode.NORMAL)

    @classmethod
    def throttled(cls, down_kbps: int, up_kbps: int) -> AccessState:
        return cls(Mode.THROTTLED, down_kbps, up_kbps)

    @classmethod
    def blocked(cls) -> AccessState:
        return cls(Mode.BLOCKED)

    def is_more_restrictive_than(self, other: AccessState) -> bool:
        """True where this state takes access away from `other`: such a change waits for law and approval."""
        order = list(Mode)
        if self.mode is not other.mode:
            return order.index(self.mode) > order.index(other.mode)
        if self.mode is Mode.THROTTLED:
            return (self.down_kbps or 0) < (other.down_kbps or 0) or (self.up_kbps or 0) < (other.up_kbps or 0)
        return False

    def as_dict(self) -> dict[str, Any]:
        """`{"mode": …, "down_kbps": …, "up_kbps": …}`, fit for JSON; `from_dict` is its inverse."""
        return {'mode': str(self.mode), 'down_kbps': self.down_kbps, 'up_kbps': self.up_kbps}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> AccessState:
        """Raises `ValueError` for an unknown mode or rates that do not fit it."""
        return cls(Mode(data['mode']), data.get('down_kbps'), data.get('up_kbps'))

    def __str__(self) -> str:
        if self.mode is Mode.THROTTLED:
            return f'throttled {self.down_kbps}/{self.up_kbps} kbit/s'
        return str(self.mode)


@dataclass(frozen=True, slots=True)
class CpeValue:
    """One parameter of a CPE: its full path, its value as text, its XML Schema type (`xsd:unsignedInt`, …)."""

    name: str
    value: str
    type: str = 'xsd:string'


@dataclass(frozen=True, slots=True)
class ValueSet:
    """Which of a row's CPE values hold: what a profile run has in place of an `AccessState`. Their order is the names'.

    The empty set is "as it was": none of them is asked of the device, which has what it had before.
    """

    values: tuple[CpeValue, ...] = ()

    def __post_init__(self) -> None:
        names = [item.name for item in self.values]
        if len(set(names)) != len(names):
            raise ValueError('each CPE parameter comes once')
        object.__setattr__(self, 'values', tuple(sorted(self.values, key=lambda item: item.name)))

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(item.name for item in self.values)

    def as_dict(self) -> dict[str, Any]:
        """`{"values": [[name, value, type], …]}`, fit for JSON; `from_dict` is its inverse."""
        return {'values': [[item.name, item.value, item.type] for item in self.values]}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ValueSet:
        """Raises `ValueError` where a parameter comes twice."""
        return cls(tuple(CpeValue(*item) for item in data['values']))

    def __str__(self) -> str:
        if len(self.values) == 1:
            return f'{self.values[0].name}={self.values[0].value}'
        return f'{len(self.values)} CPE values' if self.values else 'as it was'


# What a row is about: nearly always access, which is what every driver but those of CPEs knows.
State = TypeVar('State', bound=AccessState | ValueSet, default=AccessState)


def state_from_dict(data: Mapping[str, Any]) -> Any:
    """The inverse of either's `as_dict`. Raises `ValueError`, `KeyError`."""
    return ValueSet.from_dict(data) if 'values' in data else AccessState.from_dict(data)


def _storable_state(state: State | None) -> State | None:
    """A rate that no database holds is as good as the fastest; texts of a CPE are escaped."""
    if isinstance(state, AccessState):
        down, up = state.down_kbps or 0, state.up_kbps or 0
        if max(down, up) > FASTEST_KBPS:
            return replace(state, down_kbps=min(down, FASTEST_KBPS), up_kbps=min(up, FASTEST_KBPS))
    elif isinstance(state, ValueSet):
        kept = storable([(item.name, item.value, item.type) for item in state.values])
        return replace(state, values=tuple(CpeValue(*item) for item in kept))
    return state


@dataclass(frozen=True, slots=True)
class AccessTarget:
    """One access line, as an enforcement point knows it.

    `key` is the line's own (NetBox's primary key as text) and never leaves our side. A driver selects by the wire
    identities that suit it; an empty one is not known. `parameters` are the plan's and the line's for this driver.
    `baseline` is the `Reading.detail` taken while the line was last seen normal: what restoring puts back exactly.
    `restricted` is what was noted of a restriction of ours that is still open at this place; empty where there is none.
    By it a driver knows its own work again after the point's or the plan's names were changed: `point` and `line` are
    the parameters of both as they were when it was taken, `before` the `Reading.detail` of just before where another
    restricted the line then (it is theirs, and stays), `after` the one last read back, and `foreign` what a person
    adopted of another's (as in `Reading.foreign`). `unexplained` is true where the point refused a change of the
    session without saying why, and may have done a part of it. Each may be missing.
    `values`, where there are any, are the CPE parameters to be read in place of the line's access: see `ValueSet`.
    """

    key: str
    username: str = ''
    circuit_id: str = ''
    ipv4: str = ''
    ipv6: str = ''
    mac: str = ''
    cwmp_id: str = ''
    down_kbps: int | None = None
    up_kbps: int | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    baseline: Mapping[str, Any] = field(default_factory=dict)
    restricted: Mapping[str, Any] = field(default_factory=dict)
    values: tuple[CpeValue, ...] = ()


@dataclass(frozen=True, slots=True)
class Reading(Generic[State]):
    """What a point says of one line, or why it cannot say.

    `stored` is what the next session will get (`None`: the point keeps no stored policy); `live` is what the present
    session gets (`None`: no session). `detail` is what it takes to put the line back to exactly this, in the driver's
    own JSON-able terms. With `error` set nothing else counts, and nothing may be changed.

    `foreign` names what somebody else restricts on this line (`list bloqueados`, `secret disabled`): `stored` and
    `live` then tell our own part alone, which is normal where only the other one restricts. `absent` says, beside the
    error, that the point was read well and has no line of this identity: what was restricted there is gone with it.

    Whatever a box printed, a reading can be stored: see `nornir_tasks.storable`, whose `unescape` a driver uses where
    it puts a recorded name into a command. A reading that is too large to be kept is an error.
    """

    stored: State | None = None
    live: State | None = None
    detail: Mapping[str, Any] = field(default_factory=dict)
    error: str = ''
    foreign: tuple[str, ...] = ()
    absent: bool = False

    def __post_init__(self) -> None:
        if self.absent and not self.error:
            raise ValueError('a line that is absent was not read: say so in the error')
        object.__setattr__(self, 'error', sentence(self.error))
        object.__setattr__(self, 'foreign', tuple(sentence(name) for name in self.foreign))
        try:
            object.__setattr__(self, 'detail', storable(self.detail))
            object.__setattr__(self, 'stored', _storable_state(self.stored))
            object.__setattr__(self, 'live', _storable_state(self.live))
        except UnstorableError as error:
            for name in ('stored', 'live'):
                object.__setattr__(self, name, None)
            object.__setattr__(self, 'detail', {})
            text = self.error or f'what the point says of this line is too much to be kept: {error}'
            object.__setattr__(self, 'error', text)

    @property
    def observed(self) -> State | None:
        """The line's state in one word: the session's where there is one, else the stored one."""
        return None if self.error else self.live or self.stored

    def is_(self, desired: State) -> bool:
        """True where everything that can be read is as `desired`."""
        present = [state for state in (self.stored, self.live) if state is not None]
        return not self.error and bool(present) and all(state == desired for state in present)

    @property
    def is_baseline(self) -> bool:
        """True where `detail` is worth coming back to: nobody restricts this line, neither we nor another."""
        present: list[object] = [state for state in (self.stored, self.live) if state is not None]
        is_normal = bool(present) and all(state == AccessState.normal() for state in present)
        return is_normal and not self.error and not self.foreign and bool(self.detail)

    def as_dict(self) -> dict[str, Any]:
        """Fit for JSON; `from_dict` is its inverse."""
        return {
            'stored': self.stored.as_dict() if self.stored else None,
            'live': self.live.as_dict() if self.live else None,
            'detail': dict(self.detail),
            'error': self.error,
            'foreign': list(self.foreign),
            'absent': self.absent,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Reading[State]:
        stored, live = data.get('stored'), data.get('live')
        return cls(
            stored=state_from_dict(stored) if stored else None,
            live=state_from_dict(live) if live else None,
            detail=dict(data.get('detail') or {}),
            error=data.get('error', ''),
            foreign=tuple(data.get('foreign') or ()),
            absent=bool(data.get('absent')),
        )


@dataclass(frozen=True, slots=True)
class AccessChange(Generic[State]):
    """One row of a plan.

    `key` is its idempotency key; `exact`, when set, is the `Reading.detail` to return to. `wave` counts from 1
    (`nornir_tasks.engine.waves`); 0 is a row outside of all waves, such as one that gives access back.
    A row of a profile run desires a `ValueSet`: all of the target's `values`, or (as they were before) none of them.
    """

    key: str
    target: AccessTarget
    desired: State
    reason: str = ''
    exact: Mapping[str, Any] = field(default_factory=dict)
    wave: int = 0


@dataclass(frozen=True, slots=True)
class Reply:
    """What the point said to one change. An acknowledgement is not a proof and a refusal is not "unchanged"."""

    accepted: bool | None  # None: it said nothing in time
    message: str = ''
    sent: bool = True  # False: the driver was stopped (`Driver.stop`) before this row; the point knows nothing of it

    def __post_init__(self) -> None:
        object.__setattr__(self, 'message', sentence(self.message))


@dataclass(frozen=True, slots=True)
class ChangeResult:
    """What came of one `AccessChange`; `message` is a sentence for the operator, empty where there is nothing to tell.

    `refused` is True where the point said no, whatever was read back: the breaker watches how often it does.
    """

    key: str
    outcome: Outcome
    before: Reading | None = None
    after: Reading | None = None
    message: str = ''
    refused: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, 'message', sentence(self.message))


def judge(change: AccessChange, before: Reading, reply: Reply, after: Reading | None) -> ChangeResult:
    """Name the outcome of a change that was sent, from what was read back (`after`; `None`: it could not be read)."""

    def result(outcome: Outcome, message: str = '') -> ChangeResult:
        return ChangeResult(change.key, outcome, before, after, message, refused=reply.accepted is False)

    said = reply.message or ('no answer in time' if reply.accepted is None else '')
    if after is None or after.error:
        why = after.error if after else 'it could not be read back'
        return result(Outcome.UNKNOWN, f'{said}; {why}' if said else why)
    if after.is_(change.desired):
        note = reply.message if reply.accepted else ''
        return result(Outcome.OFFLINE if after.live is None else Outcome.APPLIED, note)
    if change.desired in (after.stored, after.live):
        where = f'stored {after.stored}, live {after.live}'
        return result(Outcome.PARTIAL, f'{where}: {said}' if said else where)
    if reply.accepted and after.observed == before.observed:
        return result(Outcome.FAILED, f'accepted, but the line is still {after.observed}')
    return result(Outcome.FAILED, said or f'the line reads {after.observed}')
