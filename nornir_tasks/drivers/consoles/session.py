"""Sessions of BRAS consoles: names that may be sent, what names of policies mean, what a session has. No I/O."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Self

from pydantic import Field, field_validator, model_validator

from nornir_tasks.change import AccessChange, AccessState, Mode, Reading
from nornir_tasks.drivers.base import DriverParameters, SSHPointParameters
from nornir_tasks.drivers.usual_names import USUAL_NAMES
from nornir_tasks.storable import unescape

# Whatever is put into a command is made of these. Consoles give a meaning to `| ; ? ! # * " \\` and to spaces, and do
# not agree on how to quote them: a name that has them is refused, never escaped.
USERNAME = re.compile(r'[A-Za-z0-9][A-Za-z0-9._@:/+=-]{0,252}')
RECORDED = re.compile(r'[A-Za-z0-9\u0080-\uffff][A-Za-z0-9._:/+=,()\u0080-\uffff-]{0,126}')
MOST_REPEATS = 3  # in a prompt: with more, one long line could keep a worker busy for hours
POLICY_NAME = r'^[A-Za-z0-9][A-Za-z0-9._:/+=,()-]{0,126}$'


class PolicyMeaning(DriverParameters):
    """What a policy name on the box does to a line."""

    mode: Mode
    down_kbps: int | None = Field(None, ge=1, description='Of a throttled line, kbit/s')
    up_kbps: int | None = Field(None, ge=1, description='Of a throttled line, kbit/s')

    @model_validator(mode='after')
    def _is_a_state(self) -> Self:
        self.state()
        return self

    def state(self) -> AccessState:
        return AccessState(self.mode, self.down_kbps, self.up_kbps)


class ConsolePoint(SSHPointParameters):
    """Parameters of a BRAS whose lines get their policy from RADIUS."""

    policies: Mapping[str, PolicyMeaning] = Field(
        default_factory=dict,
        description='What the names of profiles and services mean, such as {"slow-1m": {"mode": "throttled", '
        '"down_kbps": 1000, "up_kbps": 512}, "walled": {"mode": "blocked"}}; names not listed are normal',
    )
    foreign_policies: tuple[Annotated[str, Field(pattern=POLICY_NAME)], ...] = Field(
        USUAL_NAMES,
        description='Names by which somebody else (an ERP) restricts: shown, never touched, never normal; those in '
        '"policies" are ours',
    )
    clears_sessions: bool = Field(
        False,
        description='End a session that is not as wanted, so that it comes back with the policy RADIUS holds. Only '
        'where RADIUS is written first: it would come back as it was',
    )
    prompt: str = Field(
        '',
        max_length=200,
        description='What the prompt looks like, as a regular expression from the start of the line, where it is not '
        'one that the driver knows; all views that commands are sent in',
    )

    @field_validator('prompt')
    @classmethod
    def _is_a_prompt(cls, text: str) -> str:
        return check_prompt(text)

    @model_validator(mode='after')
    def _names_can_be_sent(self) -> Self:
        wrong = [name for name in self.policies if not re.fullmatch(POLICY_NAME.strip('^$'), name)]
        if wrong:
            raise ValueError(f'"{wrong[0]}" cannot be the name of a policy on a console')
        return self


class ConsoleLine(DriverParameters):
    """Parameters of a plan or line there: none, for its user name says all."""


@dataclass(frozen=True, slots=True)
class ConsoleSession:
    """One session as a box shows it. `handle` is what the box ends it by; `policies` are names, in the box's order."""

    username: str
    handle: str
    address: str = ''
    policies: tuple[str, ...] = ()
    extra: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Commands:
    """What is sent for a row: `first`, up to the first that is refused; then `ends`, each of which ends a session."""

    first: tuple[str, ...] = ()
    ends: tuple[str, ...] = ()


class NotSentError(Exception):
    """A line is left alone; `str()` says why and what to do."""


def check_prompt(text: str) -> str:
    """The pattern itself. Raises `ValueError` for one that is none, matches nothing at all, or could take for ever."""
    if not text:
        return text
    try:
        pattern = re.compile(text)
    except re.error as error:
        raise ValueError(f'it is no regular expression: {error}') from None
    if pattern.match(''):
        raise ValueError('it also matches an empty line: every answer would end at once')
    plain = re.sub(r'\\.|\[\^?\]?(?:\\.|[^\]\\])*\]', 'x', text)
    if re.search(r'\)[*+{?]|\(\?[^:P]|\(\?P[=>]', plain) or re.search(r'\\[1-9]', text):
        raise ValueError('it may repeat characters and sets, but no groups, and refer to nothing')
    if len(re.findall(r'[*+]|\{\d*,\}', plain)) > MOST_REPEATS:
        raise ValueError(f'it may hold * and + {MOST_REPEATS} times together')
    return text


def check_username(name: str) -> str:
    """The name itself. Raises `NotSentError` for one that a console would not take as one word of text."""
    if not name:
        raise NotSentError('the line has no user name, by which alone a session is found here')
    if not USERNAME.fullmatch(name):
        raise NotSentError(
            f'its user name {name!r} holds what a console would act upon: only letters, digits and ._@:/+=- are sent'
        )
    return name


def check_recorded(name: str) -> str:
    """A name that was read from the box, to be put back there as one word: letters of any character set may be in it.

    Raises `NotSentError` for one that holds what a console would act upon.
    """
    if not RECORDED.fullmatch(unescape(name)):
        raise NotSentError(f'the name {name!r}, as it was read before, holds what a console would act upon')
    return name


def state_of(policies: Sequence[str], meanings: Mapping[str, PolicyMeaning], fold: Callable[[str], str]) -> AccessState:
    """The most restrictive state among the policies; what no meaning is listed for is normal."""
    known = {fold(name): meaning.state() for name, meaning in meanings.items()}
    state = AccessState.normal()
    for name in policies:
        found = known.get(fold(name), state)
        if found.is_more_restrictive_than(state):
            state = found
    return state


def sessions_of(reading: Reading) -> list[ConsoleSession]:
    """The sessions that a reading's detail holds."""
    found = reading.detail.get('sessions') or filter(None, [reading.detail.get('session')])
    return [
        ConsoleSession(one['username'], one['handle'], one['address'], tuple(one['policies']), dict(one['extra']))
        for one in found
    ]


def check_obstacle(change: AccessChange, before: Reading) -> None:
    """Raises `NotSentError` where a line must not be restricted as it was read; what relaxes can do without."""
    if change.desired.mode is not Mode.NORMAL and (obstacle := before.detail.get('obstacle')):
        raise NotSentError(str(obstacle))


def require_shell_text(answer: str, what: re.Pattern[str]) -> None:
    """Raises `ValueError` where an answer that must hold something does not: an empty one is not "no session"."""
    if not what.search(answer):
        raise ValueError(f'"{" ".join(answer.split())[:120]}"' if answer.strip() else 'it printed nothing')
