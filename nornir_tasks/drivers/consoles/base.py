"""What BRAS consoles that keep no policy of their own have in common: find a session by user name, read the names
of the policies it has, and end it.

The policy of such a line lives in RADIUS. What a session has is a set of *names* (a QoS profile, a service, a user
group); what a name means is said by the point's `policies`. A name that is not listed there is a plan's own, and
normal. Whoever changes the policy (the driver of the RADIUS server) does so first; this ends the session, and only
where it does not already have what is wanted.
"""

from __future__ import annotations

import contextlib
import re
from abc import abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from types import MappingProxyType
from typing import Any, ClassVar, cast

from pydantic import ValidationError

from nornir_tasks.change import AccessChange, AccessTarget, Mode, Reading, Reply
from nornir_tasks.connections.ssh.shell import Prompt, Shell, ShellClosedError, ShellTimeoutError
from nornir_tasks.drivers.base import Driver, Finding
from nornir_tasks.drivers.clock import clock_finding
from nornir_tasks.drivers.consoles.session import (
    Commands,
    ConsoleLine,
    ConsolePoint,
    ConsoleSession,
    NotSentError,
    PolicyMeaning,
    check_obstacle,
    check_username,
    sessions_of,
    state_of,
)
from nornir_tasks.errors import PointTimeoutError, PointUnreachableError
from nornir_tasks.storable import escape, unescape


class ConsoleDriver(Driver):
    """A driver is its prompt, its two commands, its parser and its words for failure; all of them pure."""

    prompt: ClassVar[Prompt]
    failure: ClassVar[re.Pattern[str]]  # what a refused command prints, searched line by line
    clock_command: ClassVar[str]
    count_command: ClassVar[str]  # prints how many sessions there are, without listing them
    count: ClassVar[re.Pattern[str]]  # its first group holds the number, or several to be added up
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
    def parse_sessions(self, answer: str) -> list[ConsoleSession]:
        """The sessions printed; an empty list where the box says that there is none. Raises `ValueError`."""

    @abstractmethod
    def clear_commands(self, session: ConsoleSession) -> tuple[str, ...]:
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
            return self.several(own, target)
        if not own and sessions:
            shown = ', '.join(session.username for session in sessions[:3])
            return Reading(
                error=f'asked for "{target.username}", the box shows {shown}: whose session that is, is unclear'
            )
        if not own:
            return Reading(detail={'session': None})
        return self.reading_of(own[0], target.restricted)

    def several(self, own: Sequence[ConsoleSession], target: AccessTarget) -> Reading:
        """Several sessions of the line's name (one may be dead, and not missed yet) forbid to restrict, nothing else.

        `live` is what the worst of them has; where they differ, `stored` is what the best has, so that neither "it is
        so" nor "there is nothing to do" is true of any state.
        """
        readings = [self.reading_of(session, target.restricted) for session in own]
        worst, best = readings[0], readings[0]
        for reading in readings[1:]:
            if reading.live and worst.live and reading.live.is_more_restrictive_than(worst.live):
                worst = reading
            if reading.live and best.live and best.live.is_more_restrictive_than(reading.live):
                best = reading
        return Reading(
            stored=best.live if best.live != worst.live else None,
            live=worst.live,
            detail={
                **worst.detail,
                'sessions': [reading.detail['session'] for reading in readings],
                'obstacle': f'{len(own)} sessions are called "{target.username}"; exactly one is needed to restrict it',
            },
            foreign=tuple(dict.fromkeys(name for reading in readings for name in reading.foreign)),
        )

    def is_user(self, shown: str, wanted: str) -> bool:
        """Whether the name that a box shows is the line's."""
        return shown == wanted

    def meanings(self, restricted: Mapping[str, Any]) -> Mapping[str, PolicyMeaning]:
        """What names mean: by the point of today, and of when a restriction was taken; and what a person adopted."""
        adopted = [str(name).removeprefix('policy ') for name in restricted.get('foreign') or ()]
        known = {name: PolicyMeaning(mode=Mode.BLOCKED, down_kbps=None, up_kbps=None) for name in adopted}
        with contextlib.suppress(ValidationError):
            then = self.PointParameters.model_validate(dict(restricted.get('point') or {}))
            known |= cast(ConsolePoint, then).policies
        return known | dict(self.point.policies)

    def foreign(self, names: Collection[str], restricted: Mapping[str, Any]) -> tuple[str, ...]:
        """Those of the names by which somebody else restricts."""
        ours = {self.fold(name) for name in self.meanings(restricted)}
        theirs = {name.casefold() for name in self.point.foreign_policies}
        found = [name for name in names if self.fold(name) not in ours and name.casefold() in theirs]
        return tuple(f'policy {name}' for name in dict.fromkeys(found))

    def reading_of(self, session: ConsoleSession, restricted: Mapping[str, Any] = MappingProxyType({})) -> Reading:
        live = state_of(session.policies, self.meanings(restricted), self.fold)
        detail = {
            'session': {
                'username': session.username,
                'handle': session.handle,
                'address': session.address,
                'policies': list(session.policies),
                'extra': dict(session.extra),
            }
        }
        return Reading(live=live, detail=detail, foreign=self.foreign(session.policies, restricted))

    # --- changing ---

    def apply(self, changes: Sequence[AccessChange], before: Mapping[str, Reading]) -> dict[str, Reply]:
        replies: dict[str, Reply] = {}
        commands: dict[str, Commands] = {}
        for change in changes:
            try:
                commands[change.key] = self.commands_for(change, before[change.target.key])
            except NotSentError as error:
                replies[change.key] = Reply(False, f'nothing was sent: {error}')
        return replies | self.send(commands)

    def commands_for(self, change: AccessChange, before: Reading) -> Commands:
        """What brings this line to where it should be. Raises `NotSentError`."""
        if not self.point.clears_sessions:
            raise NotSentError(
                'this point only reads: the policy of its lines is kept in RADIUS. Where a RADIUS point writes it '
                'first, set "clears_sessions" here to have sessions come back with it'
            )
        check_obstacle(change, before)
        if not sessions_of(before):
            raise NotSentError('there is no session; what RADIUS holds takes effect at the next one')
        return Commands(ends=self.ending(change, before))

    def ending(self, change: AccessChange, before: Reading) -> tuple[str, ...]:
        """The commands that end those of the line's sessions that are not as they should be, each once."""
        meanings = self.meanings(change.target.restricted)
        lines: list[str] = []
        for session in sessions_of(before):
            if state_of(session.policies, meanings, self.fold) != change.desired:
                lines += self.clear_commands(session)
        return tuple(dict.fromkeys(lines))

    def send(self, commands: Mapping[str, Commands]) -> dict[str, Reply]:
        """Send each row's commands one after another, the rest of a row not after a refused one.

        A row under way when the shell broke is unknown and never sent again; those after it are not sent, nor are those
        that `stop` came before. Raises `EnforcementError` where nothing at all went out.
        """
        replies: dict[str, Reply] = {}
        if not commands:
            return replies
        if self.stop():
            return {key: Reply(None, sent=False) for key in commands}
        refused = self._send_row(Commands(self.enter))
        if not refused.accepted:
            return {key: Reply(False, f'nothing was sent: {refused.message}') for key in commands}
        broken, stopped = '', False
        for key, lines in [*commands.items(), ('', Commands(self.leave))]:
            if broken:
                replies[key] = Reply(False, f'not sent: {broken}')
                continue
            if key and (stopped := stopped or self.stop()):
                replies[key] = Reply(None, sent=False)
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

    def _send_row(self, row: Commands) -> Reply:
        for line in row.first:
            if said := self._said_to(line):
                return Reply(False, said)
        # Of several sessions one may be dead, and refuse to be ended: the others are ended all the same.
        complaints = list(filter(None, map(self._said_to, row.ends)))
        return Reply(len(complaints) < max(len(row.ends), 1), '; '.join(complaints))

    def _said_to(self, line: str) -> str:
        """What the box complained of; empty where it took the command."""
        # Once begun, a row is sent to its end: half of one would leave its line in between.
        (answer,) = self._run([line], hurry=self.stop)
        said = self.complaint(answer)
        return f'the box said to "{line}": {said}' if said else ''

    def sessions(self) -> int | None:
        (answer,) = self._ask([self.count_command])
        found = self.count.search(answer)
        return sum(map(int, found[1].split())) if found and not self.complaint(answer) else None

    # --- talking ---

    def shell(self) -> Shell:
        own = self.point.prompt
        prompt = replace(self.prompt, pattern=re.compile(own)) if own else self.prompt
        shell: Shell = self.connection.shell(prompt)
        return shell

    def _ask(self, commands: Sequence[str]) -> list[str]:
        """Reading changes nothing, so it is done again where the shell died on us; once."""
        if not commands:
            return []
        try:
            answers = self._run(commands, stop=self.stop)
        except ShellClosedError:
            answers = self._run(commands, stop=self.stop)
        if len(answers) < len(commands):
            raise PointTimeoutError(f'{self.connection.where}: told to stop while its lines were read')
        return answers

    def _run(
        self,
        commands: Sequence[str],
        stop: Callable[[], bool] = lambda: False,
        hurry: Callable[[], bool] | None = None,
    ) -> list[str]:
        """What was answered, and is sent, in the form that names are kept in (`nornir_tasks.storable`)."""
        sent = [unescape(command) for command in commands]
        answers = self.shell().run(sent, self.connection.timeout, stop, hurry=hurry)
        return [escape(answer) for answer in answers]

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
