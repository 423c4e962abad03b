"""CWMP fault codes (TR-069 Amendment 6, A.5) and what each asks of us."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Advice(StrEnum):
    """What to do after a CPE's fault."""

    STOP_LEVER = 'stop lever'  # the model does not do this: use another lever
    RETRY = 'retry'  # the CPE's trouble, not ours: again later, with backoff
    QUARANTINE_MODEL = 'quarantine model'  # our map of the model is wrong: touch no more devices of it
    FIX_VALUES = 'fix values'  # the profile asks for a value the CPE does not take
    REPORT = 'report'


@dataclass(frozen=True, slots=True)
class SetFault:
    """One parameter's part in a refused `SetParameterValues`."""

    name: str
    code: int
    message: str = ''


@dataclass(frozen=True, slots=True)
class Fault:
    """A CWMP fault, either way. `parameters` may be empty even for 9003: some CPEs give no details."""

    code: int
    message: str = ''
    parameters: tuple[SetFault, ...] = ()

    def __str__(self) -> str:
        details = ', '.join(f'{item.name}: {item.code} {item.message}'.strip() for item in self.parameters)
        return f'{self.code} {self.message}'.strip() + (f' ({details})' if details else '')


class AcsFault:
    """Faults that an ACS sends."""

    METHOD_NOT_SUPPORTED = 8000
    REQUEST_DENIED = 8001
    INTERNAL_ERROR = 8002
    INVALID_ARGUMENTS = 8003
    RESOURCES_EXCEEDED = 8004
    RETRY_REQUEST = 8005
    VERSION_INCOMPATIBLE = 8006


_ADVICE = {
    9000: Advice.STOP_LEVER,
    9001: Advice.STOP_LEVER,
    9002: Advice.RETRY,
    9004: Advice.RETRY,
    9003: Advice.FIX_VALUES,
    9005: Advice.QUARANTINE_MODEL,
    9006: Advice.QUARANTINE_MODEL,
    9008: Advice.QUARANTINE_MODEL,
    9007: Advice.FIX_VALUES,
    9009: Advice.FIX_VALUES,
}
# The gravest of several per-parameter faults decides: one wrong name means the map of the model is wrong.
_GRAVITY = (Advice.QUARANTINE_MODEL, Advice.STOP_LEVER, Advice.FIX_VALUES, Advice.RETRY, Advice.REPORT)


def advise(fault: Fault) -> Advice:
    """What `fault` asks of us; a 9003 is judged by its details where the CPE gave any."""
    codes = [item.code for item in fault.parameters] or [fault.code]
    return min((_ADVICE.get(code, Advice.REPORT) for code in codes), key=_GRAVITY.index)


def guilty_path(fault: Fault) -> str:
    """The parameter a fault is about, or an empty string where the CPE did not name it."""
    grave = [item for item in fault.parameters if _ADVICE.get(item.code) is Advice.QUARANTINE_MODEL]
    named = grave or list(fault.parameters)
    return named[0].name if named else ''
