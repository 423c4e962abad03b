"""MikroTik RouterOS 6 and 7 over SSH: PPP secrets and profiles, live sessions, simple queues, address lists.

Stored policy is the secret's profile; a session keeps what its profile gave it when it came up, so it is either listed
or shaped in place, or ended to come back. A line without PPP has its simple queue and its address-list entry. How many
lines there are hardly matters: rows are read by the box, changes are pipelined through one shell.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import ClassVar

from pydantic import ValidationError

from nornir_tasks.change import AccessChange, AccessTarget, Mode, Reading, Reply
from nornir_tasks.connections.ssh.shell import Shell, ShellClosedError, ShellTimeoutError
from nornir_tasks.drivers.base import Abilities, Driver, Finding, fields_of, line_parameters, lines_of, unsent
from nornir_tasks.drivers.routeros.box import Profile, Wanted, read_box, read_profiles
from nornir_tasks.drivers.routeros.check import check_router
from nornir_tasks.drivers.routeros.line import RefusedError, RouterLine
from nornir_tasks.drivers.routeros.names import Names
from nornir_tasks.drivers.routeros.parameters import RouterOSLine, RouterOSPoint
from nornir_tasks.drivers.routeros.reading import read_line, recorded_entries
from nornir_tasks.drivers.routeros.steps import plan_steps
from nornir_tasks.drivers.routeros.syntax import DONE, PROMPT, SAY_DONE, plain, quote
from nornir_tasks.errors import EnforcementError, PointTimeoutError, PointUnreachableError

READ_PATIENCE = 6  # times the point's timeout: a small router takes its time to print thousands of rows
SECOND_TRIES = 3  # each costs a time-out where it meets another command that hangs


class RouterOSDriver(Driver):
    """See the module. `connection` is an `SSHSession`, whose shell is kept for all calls."""

    name: ClassVar[str] = 'routeros'
    abilities: ClassVar[Abilities] = Abilities(
        throttle=True, block=True, stored=True, live=True, redirect=True, ipv6=True, ttl=True, check=True, clear=True
    )
    identities = (('username',), ('ipv4', 'ipv6'))
    # Console options after the user name: no colours, no terminal detection, as wide and high as it goes.
    login_suffix: ClassVar[str] = '+ct511w4098h'

    class PointParameters(RouterOSPoint):
        """See `RouterOSPoint`."""

    class LineParameters(RouterOSLine):
        """See `RouterOSLine`."""

    parameters: RouterOSPoint
    _profiles: Mapping[str, Profile] | None = None

    def read(self, targets: Sequence[AccessTarget]) -> dict[str, Reading]:
        readings: dict[str, Reading] = {}
        lines: dict[str, RouterOSLine] = {}
        for target in targets:
            try:
                quote(target.username)
                lines[target.key], _ = line_parameters(RouterOSLine, target)
            except ValidationError as error:
                readings[target.key] = Reading(error=f'its parameters are wrong: {fields_of(error)}')
            except ValueError as error:
                readings[target.key] = Reading(error=f'its user name cannot be sent to a console: {error}')
        asked = [target for target in targets if target.key in lines]
        if not asked:
            return readings
        names = [Names.of(self.parameters, lines[target.key], target.restricted) for target in asked]
        box = read_box(
            self._read_rows,
            [Wanted(target, lines[target.key].queue, tuple(recorded_entries(target))) for target in asked],
            {*self.parameters.foreign_lists, *(listed for each in names for listed in each.lists)},
            self.parameters.ipv6,
        )
        self._profiles = box.profiles
        for target in asked:
            line = RouterLine(target, lines[target.key], self.parameters, box.profiles)
            try:
                readings[target.key] = read_line(line, box)
            except RefusedError as error:
                readings[target.key] = Reading(error=str(error))
        return readings

    def apply(self, changes: Sequence[AccessChange], before: Mapping[str, Reading]) -> dict[str, Reply]:
        """Each change is one console line: the box counts what it matches, and stops at the first thing amiss."""
        if self.stop():
            return unsent(changes)
        # Those that `before` was read with; a driver that has read nothing yet asks now.
        profiles = self._profiles if self._profiles is not None else read_profiles(self._read_rows)
        replies: dict[str, Reply] = {}
        commands: dict[str, str] = {}
        for change in changes:
            try:
                commands[change.key] = self._command(change, before[change.target.key], profiles)
            except ValidationError as error:
                replies[change.key] = Reply(False, f'its parameters are wrong: {fields_of(error)}')
            except (RefusedError, ValueError) as error:
                replies[change.key] = Reply(False, f'nothing was sent: {error}')
        behind: list[str] = []
        replies |= self._send(commands, behind)
        for _ in range(SECOND_TRIES if behind else 0):
            waited = [change for change in changes if change.key in behind]
            behind = []
            replies |= self._send(self._untouched(waited, before, commands), behind)
            if not behind:
                break
        return replies

    def _untouched(
        self, changes: Sequence[AccessChange], before: Mapping[str, Reading], commands: Mapping[str, str]
    ) -> dict[str, str]:
        """Commands of those lines that read exactly as before: what was typed behind one that hung was never begun."""
        try:
            now = self.read([change.target for change in changes])
        except EnforcementError:
            return {}  # they stay unknown, and the engine's own reading says what there is to say
        return {
            change.key: commands[change.key]
            for change in changes
            if now[change.target.key] == before[change.target.key]
        }

    def sessions(self) -> int | None:
        """PPP sessions; lines without PPP have none."""
        (answer,) = self._read_rows(['/ppp active print count-only'])
        return int(answer) if answer.strip().isdecimal() else None

    def check(self, now: datetime) -> list[Finding]:
        return check_router(self._read_rows, self.connection.username, self.parameters, now)

    def prepare(self, findings: Sequence[Finding]) -> list[Reply]:
        replies: list[Reply] = []
        for line in lines_of(findings):
            replies += self._send({line: f'{line}; {SAY_DONE}'}, []).values()
            if not replies[-1].accepted:
                break
        return replies

    def _command(self, change: AccessChange, before: Reading, profiles: Mapping[str, Profile]) -> str:
        own, wrong = line_parameters(RouterOSLine, change.target)
        if wrong and change.desired.mode is not Mode.NORMAL:
            raise RefusedError(wrong)
        steps = plan_steps(RouterLine(change.target, own, self.parameters, profiles), change, before)
        return '; '.join([*steps, SAY_DONE])

    def _shell(self) -> Shell:
        shell: Shell = self.connection.shell(PROMPT)
        return shell

    def _read_rows(self, commands: Sequence[str]) -> list[str]:
        """Reading changes nothing, so it is done again where the shell died on us; once."""
        try:
            return self._read_once(commands)
        except ShellClosedError:
            return self._read_once(commands)

    def _read_once(self, commands: Sequence[str]) -> list[str]:
        timeout = self.connection.timeout
        answers = self._shell().run(commands, timeout, self.stop, total=timeout * READ_PATIENCE)
        if len(answers) < len(commands):
            raise PointTimeoutError(f'{self.connection.where}: told to stop while its lines were read')
        return answers

    def _send(self, commands: Mapping[str, str], behind: list[str]) -> dict[str, Reply]:
        """Rows that were under way when a shell broke are unknown; later ones go on in a new one. To `behind` are added
        those of them that had been typed ahead behind another.

        Two shells that break without an answer between them end it: the rest is not sent, and none is behind. Nor is
        what `stop` came before.
        """
        replies: dict[str, Reply] = {}
        rest = list(commands.items())
        barren = 0
        while rest:
            message = ''
            try:
                answers = tuple(self._shell().run([text for _, text in rest], self.connection.timeout, self.stop))
                sent = len(answers)
            except (ShellTimeoutError, ShellClosedError) as error:
                answers, sent, message = error.answers, error.sent, str(error)
                barren = 0 if answers else barren + 1
            except (PointUnreachableError, PointTimeoutError) as error:
                if not replies:
                    raise  # nothing at all went out: the point failed, not its rows
                answers, sent, message, barren = (), 0, str(error), 2
            for (key, _), answer in zip(rest, answers, strict=False):
                replies[key] = _reply(answer)
            for key, _ in rest[len(answers) : sent]:
                replies[key] = Reply(None, message)
            behind += [key for key, _ in rest[len(answers) + 1 : sent]]
            rest = rest[sent:]
            if rest and not message:
                return replies | {key: Reply(None, sent=False) for key, _ in rest}
            if barren > 1:
                replies |= {key: Reply(False, f'not sent: {message}') for key, _ in rest}
                behind.clear()
                break
        return replies


def _reply(answer: str) -> Reply:
    if DONE in answer.split('\n'):
        return Reply(True)
    return Reply(False, f'the router said: {plain(answer) or "nothing"}')
