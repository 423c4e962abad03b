"""What BRAS consoles that keep no policy of their own have in common: find one session by user name, read the names
of the policies it has, and end it.

The policy of such a line lives in RADIUS. What a session has is a set of *names* (a QoS profile, a service, a user
group); what a name means is said by the point's `policies`. A name that is not listed there is a plan's own, and
normal. Whoever changes the policy (the driver of the RADIUS server) does so first; this ends the session, and only
where it does not already have what is wanted.
"""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import ClassVar, Self, cast

from pydantic import Field, model_validator

from nornir_tasks.change import AccessChange, AccessState, AccessTarget, Mode, Reading, Reply
from nornir_tasks.connections.shell import Prompt, Shell, ShellClosedError, ShellTimeoutError
from nornir_tasks.drivers.base import Driver, DriverParameters, Finding, SSHPointParameters
from nornir_tasks.errors import PointTimeoutError, PointUnreachableError

# Whatever is put into a command is made of these. Consoles give a meaning to `| ; ? ! # * " \\` and to spaces, and do
# not agree on how to quote them: a name that has them is refused, never escaped.
USERNAME = re.compile(r'[A-Za-z0-9][A-Za-z0-9._@:/+=-]{0,252}')
POLICY_NAME = r'^[A-Za-z0-9][A-Za-z0-9._:/+=,()-]{0,126}$'
CLOCK_SKEW = 300  # seconds; RFC 5176 §3.3 has a NAS drop a CoA whose Event-Timestamp is off by more, without a word
ENGLISH_MONTHS = ('Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec')


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
    clears_sessions: bool = Field(
        False,
        description='End a session that is not as wanted, so that it comes back with the policy RADIUS holds. Only '
        'where RADIUS is written first: it would come back as it was',
    )

    @model_validator(mode='after')
    def _names_can_be_sent(self) -> Self:
        wrong = [name for name in self.policies if not re.fullmatch(POLICY_NAME.strip('^$'), name)]
        if wrong:
            raise ValueError(f'"{wrong[0]}" cannot be the name of a policy on a console')
        return self


class ConsoleLine(DriverParameters):
    """Parameters of a plan or line there: none, for its user name says all."""


@dataclass(frozen=True, slots=True)
class Session:
    """One session as a box shows it. `handle` is what the box ends it by; `policies` are names, in the box's order."""

    username: str
    handle: str
    address: str = ''
    policies: tuple[str, ...] = ()
    extra: Mapping[str, str] = field(default_factory=dict)


class NotSentError(Exception):
    """A line is left alone; `str()` says why and what to do."""


def check_username(name: str) -> str:
    """The name itself. Raises `NotSentError` for one that a console would not take as one word of text."""
    if not name:
        raise NotSentError('the line has no user name, by which alone a session is found here')
    if not USERNAME.fullmatch(name):
        raise NotSentError(
            f'its user name {name!r} holds what a console would act upon: only letters, digits and ._@:/+=- are sent'
        )
    return name


def state_of(policies: Sequence[str], meanings: Mapping[str, PolicyMeaning], fold: Callable[[str], str]) -> AccessState:
    """The hardest state among the policies; what no meaning is listed for is normal."""
    known = {fold(name): meaning.state() for name, meaning in meanings.items()}
    state = AccessState.normal()
    for name in policies:
        found = known.get(fold(name), state)
        if found.is_harder_than(state):
            state = found
    return state


class ConsoleDriver(Driver):
    """A driver is its prompt, its two commands, its parser and its words for failure; all of them pure."""

    prompt: ClassVar[Prompt]
    failure: ClassVar[re.Pattern[str]]  # what a refused command prints, searched line by line
    clock_command: ClassVar[str]
    enter: ClassVar[tuple[str, ...]] = ()  # into the view where sessions are ended, and out of it again
    leave: ClassVar[tuple[str, ...]] = ()
    clear_needs: ClassVar[str] = ''  # what the login must be allowed to do, for a person to add

    class PointParameters(ConsolePoint):
        """See `ConsolePoint`."""

    class LineParameters(ConsoleLine):
        """See `ConsoleLine`."""

    # --- what a vendor says ---

    @abstractmethod
    def show_command(self, username: str) -> str:
        """The command that prints all sessions of that user."""

    @abstractmethod
    def parse_sessions(self, answer: str) -> list[Session]:
        """The sessions printed; an empty list where the box says that there is none. Raises `ValueError`."""

    @abstractmethod
    def clear_commands(self, session: Session) -> tuple[str, ...]:
        """The commands that end this session and no other."""

    @abstractmethod
    def parse_clock(self, answer: str) -> datetime | None:
        """The box's time with its zone; None where it cannot be told."""

    def fold(self, name: str) -> str:
        """How the box compares names of policies."""
        return name

    # --- reading ---

    @property
    def point(self) -> ConsolePoint:
        return cast(ConsolePoint, self.parameters)

    def read(self, targets: Sequence[AccessTarget]) -> dict[str, Reading]:
        readings: dict[str, Reading] = {}
        commands: dict[str, str] = {}
        for target in targets:
            try:
                commands[target.key] = self.show_command(check_username(target.username))
            except NotSentError as error:
                readings[target.key] = Reading(error=str(error))
        answers = dict(zip(commands, self._ask(list(commands.values())), strict=True))
        for target in targets:
            if target.key in answers:
                readings[target.key] = self._reading(target, answers[target.key])
        return readings

    def _reading(self, target: AccessTarget, answer: str) -> Reading:
        if said := self.complaint(answer):
            return Reading(error=f'the box said: {said}')
        try:
            sessions = self.parse_sessions(answer)
        except ValueError as error:
            return Reading(error=f'what the box printed is not understood: {error}')
        # A box may match by prefix, or without regard to case; the line is the one whose very name it is.
        own = [session for session in sessions if self.is_user(session.username, target.username)]
        if len(own) > 1:
            return Reading(error=f'{len(own)} sessions are called "{target.username}"; exactly one is needed')
        if not own and sessions:
            shown = ', '.join(session.username for session in sessions[:3])
            return Reading(
                error=f'asked for "{target.username}", the box shows {shown}: whose session that is, is unclear'
            )
        if not own:
            return Reading(detail={'session': None})
        return self.reading_of(own[0])

    def is_user(self, shown: str, wanted: str) -> bool:
        """Whether the name that a box shows is the line's."""
        return shown == wanted

    def reading_of(self, session: Session) -> Reading:
        live = state_of(session.policies, self.point.policies, self.fold)
        detail = {
            'session': {
                'username': session.username,
                'handle': session.handle,
                'address': session.address,
                'policies': list(session.policies),
                'extra': dict(session.extra),
            }
        }
        return Reading(live=live, detail=detail)

    # --- changing ---

    def apply(self, changes: Sequence[AccessChange], before: Mapping[str, Reading]) -> dict[str, Reply]:
        replies: dict[str, Reply] = {}
        commands: dict[str, tuple[str, ...]] = {}
        for change in changes:
            try:
                commands[change.key] = self.commands_for(change, before[change.target.key])
            except NotSentError as error:
                replies[change.key] = Reply(False, f'nothing was sent: {error}')
        return replies | self.send(commands)

    def commands_for(self, change: AccessChange, before: Reading) -> tuple[str, ...]:
        """What brings this line to where it should be. Raises `NotSentError`."""
        if not self.point.clears_sessions:
            raise NotSentError(
                'this point only reads: the policy of its lines is kept in RADIUS. Where a RADIUS point writes it '
                'first, set "clears_sessions" here to have sessions come back with it'
            )
        session = session_of(before)
        if session is None:
            raise NotSentError('there is no session; what RADIUS holds takes effect at the next one')
        return self.clear_commands(session) if before.live != change.desired else ()

    def send(self, commands: Mapping[str, tuple[str, ...]]) -> dict[str, Reply]:
        """Send each row's commands one after another, the rest of a row not after a refused one.

        A row under way when the shell broke is unknown and never sent again; those after it are not sent. Raises
        `EnforcementError` where nothing at all went out.
        """
        replies: dict[str, Reply] = {}
        if not commands:
            return replies
        refused = self._send_row(self.enter)
        if not refused.accepted:
            return {key: Reply(False, f'nothing was sent: {refused.message}') for key in commands}
        broken = ''
        for key, lines in [*commands.items(), ('', self.leave)]:
            if broken:
                replies[key] = Reply(False, f'not sent: {broken}')
                continue
            try:
                replies[key] = self._send_row(lines)
            except (ShellTimeoutError, ShellClosedError) as error:
                replies[key] = Reply(None, str(error))
                broken = str(error)
            except (PointUnreachableError, PointTimeoutError) as error:
                if not replies:
                    raise  # nothing at all went out: the point failed, not its rows
                replies[key] = Reply(False, f'not sent: {error}')
                broken = str(error)
        del replies['']
        return replies

    def _send_row(self, lines: Sequence[str]) -> Reply:
        for line in lines:
            (answer,) = self.shell().run([line], self.connection.timeout)
            if said := self.complaint(answer):
                return Reply(False, f'the box said to "{line}": {said}')
        return Reply(True)

    # --- talking ---

    def shell(self) -> Shell:
        shell: Shell = self.connection.shell(self.prompt)
        return shell

    def _ask(self, commands: Sequence[str]) -> list[str]:
        """Reading changes nothing, so it is done again where the shell died on us; once."""
        if not commands:
            return []
        try:
            return self.shell().run(commands, self.connection.timeout)
        except ShellClosedError:
            return self.shell().run(commands, self.connection.timeout)

    def complaint(self, answer: str) -> str:
        """The box's own words where it refused a command, else nothing."""
        for line in answer.split('\n'):
            if self.failure.search(line):
                return ''.join(character if character.isprintable() else '?' for character in line.strip())[:200]
        return ''

    # --- preparing ---

    def check(self, now: datetime) -> list[Finding]:
        """The login may look at sessions; the clock is right. What else there is, a vendor's own check says."""
        (seen, clock) = self._ask([self.show_command('nbd-no-such-user'), self.clock_command])
        findings = [self._may_look(seen), clock_finding(self.parse_clock(clock), now)]
        if not self.point.policies:
            text = 'no name is listed in "policies": every session reads as normal'
            findings.append(Finding('policies', ok=False, message=text))
        if self.point.clears_sessions and self.clear_needs:
            text = f'whether the login may end sessions is not tried; it needs {self.clear_needs}'
            findings.append(Finding('clearing', ok=True, message=text))
        return findings

    def _may_look(self, answer: str) -> Finding:
        said = self.complaint(answer)
        if not said:
            try:
                self.parse_sessions(answer)
            except ValueError as error:
                said = str(error)
        text = f'the login cannot look at sessions: {said}' if said else 'the login may look at sessions'
        return Finding('privileges', ok=not said, message=text)


def session_of(reading: Reading) -> Session | None:
    """The session that a reading's detail holds."""
    found = reading.detail.get('session')
    if not found:
        return None
    return Session(found['username'], found['handle'], found['address'], tuple(found['policies']), dict(found['extra']))


def clock_finding(seen: datetime | None, now: datetime) -> Finding:
    """Whether a box's clock is near enough to ours for CoA."""
    if seen is None:
        text = 'its clock could not be read: compare it with NTP, for CoA with a wrong time is dropped silently'
        return Finding('clock', ok=False, message=text, required=False)
    skew = (seen - now).total_seconds()
    if abs(skew) < CLOCK_SKEW:
        return Finding('clock', ok=True, message=f'{abs(skew):.0f} s apart')
    text = (
        f'its clock is {abs(skew):.0f} s {"ahead" if skew > 0 else "behind"}: from {CLOCK_SKEW} s on it drops CoA '
        'without an answer (Event-Timestamp); set up NTP'
    )
    return Finding('clock', ok=False, message=text)


def clock_of(year: str, month: str, day: str, clock: str, offset_minutes: int = 0) -> datetime | None:
    """`month` is a number or an English name's first three letters; `clock` is `HH:MM:SS`, with or without parts."""
    try:
        number = ENGLISH_MONTHS.index(month[:3].title()) + 1 if month.isalpha() else int(month)
        hour, minute, second = (int(part) for part in clock.split('.')[0].split(':'))
        local = datetime(int(year), number, int(day), hour, minute, second, tzinfo=UTC)
    except ValueError:
        return None
    return datetime.fromtimestamp(local.timestamp() - offset_minutes * 60, UTC)


def require_shell_text(answer: str, what: re.Pattern[str]) -> None:
    """Raises `ValueError` where an answer that must hold something does not: an empty one is not "no session"."""
    if not what.search(answer):
        raise ValueError(f'"{" ".join(answer.split())[:120]}"' if answer.strip() else 'it printed nothing')


__all__ = (
    'ConsoleDriver',
    'ConsoleLine',
    'ConsolePoint',
    'NotSentError',
    'PolicyMeaning',
    'Session',
    'check_username',
    'clock_finding',
    'clock_of',
    'require_shell_text',
    'session_of',
    'state_of',
)
