"""RADIUS as a whole: the stored policy first, then the live session, then both read back.

The policy is written to FreeRADIUS's tables (see `freeradius_sql`), so that whatever happens next, the following
session is right. Then the session that `radacct` shows is changed at its own NAS by CoA, or ended to come back.
"""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import batched
from typing import ClassVar

from pydantic import Field, field_validator

from nornir_tasks.change import AccessChange, AccessState, AccessTarget, Mode, Reading, Reply
from nornir_tasks.connections.radius import NasParameters
from nornir_tasks.drivers.base import Abilities, Finding, line_parameters
from nornir_tasks.drivers.radius import freeradius_tables as tables
from nornir_tasks.drivers.radius.check import check_nases
from nornir_tasks.drivers.radius.coa import check_dialect
from nornir_tasks.drivers.radius.freeradius_sql import (
    FreeRADIUSDriver,
    FreeRADIUSLine,
    FreeRADIUSPoint,
    as_in_database,
)
from nornir_tasks.drivers.radius.freeradius_tables import Memory, SessionNote, User
from nornir_tasks.drivers.radius.sessions import (
    NasSession,
    SessionChange,
    is_gone,
    is_unexplained,
    plan_work,
    reply_of_all,
    send_work,
)
from nornir_tasks.drivers.radius.stored_policy import most_restrictive_but
from nornir_tasks.radius.attributes import AttributeValueError, nas_address
from nornir_tasks.radius.client import Answer, AnswerKind
from nornir_tasks.radius.dialects import DialectError, values_for

SETTLE_PAUSE = 0.2
GROUP = 100  # rows that are stored in one transaction and whose sessions are told together


class NamedNas(NasParameters):
    """A NAS that differs from the point's others."""

    address: str = Field(description='Its address in radacct (NAS-IP-Address or NAS-IPv6-Address)')

    _known = field_validator('dialect')(check_dialect)

    @field_validator('address')
    @classmethod
    def _is_address(cls, value: str) -> str:
        return str(ipaddress.ip_address(value))


class RadiusPoint(FreeRADIUSPoint, NasParameters):
    """Parameters of a FreeRADIUS database and of the NASes whose sessions it accounts."""

    nas: tuple[NamedNas, ...] = Field((), description='NASes that differ from what is said here for all')
    settle_seconds: float = Field(5.0, ge=0, le=60, description='How long accounting may take to show a session ended')

    def of(self, address: str) -> NasParameters:
        """How the NAS of that address is told."""
        for nas in self.nas:
            if nas.address == address:
                return nas
        return self


class RadiusDriver(FreeRADIUSDriver):
    """See the module."""

    name: ClassVar[str] = 'radius'
    abilities: ClassVar[Abilities] = Abilities(
        throttle=True, block=True, stored=True, live=True, redirect=True, ipv6=True, check=True, clear=True
    )

    class PointParameters(RadiusPoint):
        """See `RadiusPoint`."""

    parameters: RadiusPoint

    # What a NAS's console says of a session goes before what we wrote down of it, and before all that is unverified.

    def _read_consoles(self, targets: Sequence[AccessTarget], users: Mapping[str, User]) -> None:
        wanted: dict[str, dict[str, AccessTarget]] = {}
        for target in targets:
            # Of several open in accounting all but one may be dead: the console of each one's NAS knows.
            asked: dict[str, AccessTarget] = {}
            for session in users[target.username].sessions:
                if self.parameters.of(session.nas).console:
                    own = AccessTarget(target.key, username=target.username, ipv4=session.ipv4)
                    wanted.setdefault(session.nas, {})[session.key] = asked.setdefault(session.nas, own)
        for nas, asked_of in wanted.items():
            console = self.parameters.of(nas).console
            assert console is not None
            self.connection.authorization.read_console(nas, console, asked_of)

    def _session(self, user: User, session: NasSession, stored: AccessState) -> AccessState | None:
        shown = self.connection.authorization.shown(session.key)
        if shown is None:
            return super()._session(user, session, stored)
        # Where the console shows several that differ, `stored` is what the best of them has.
        return shown.live if shown.stored is None else most_restrictive_but(stored, shown.live, shown.stored)

    def _is_unverified(self, session: NasSession, note: SessionNote | None) -> bool:
        return self.connection.authorization.shown(session.key) is None and super()._is_unverified(session, note)

    def _unverified_reason(self, user: User) -> str:
        reasons = (self.connection.authorization.unverified_reason(session.key) for session in user.sessions)
        return '; '.join(dict.fromkeys(filter(None, reasons)))

    def apply(self, changes: Sequence[AccessChange], before: Mapping[str, Reading]) -> dict[str, Reply]:
        """In groups of `GROUP`: a row whose policy is stored has its session told too, whatever `stop` says by then."""
        replies: dict[str, Reply] = {}
        changes = [replace(change, target=as_in_database(change.target)) for change in changes]
        for group in batched(changes, GROUP):
            replies |= self._apply(group, before)
        return replies

    def _apply(self, changes: Sequence[AccessChange], before: Mapping[str, Reading]) -> dict[str, Reply]:
        replies = self._refused(changes)
        replies |= super().apply([change for change in changes if change.key not in replies], before)
        stored = {change.key: change for change in changes if replies[change.key].accepted}
        # Looked up after the policy was committed: whoever comes up from now on comes up right.
        with self.connection.errors(), self.connection.begin() as connection:
            users = tables.read_users(connection, (change.target.username for change in stored.values()))
        rows: list[SessionChange] = []
        told: dict[str, list[str]] = {}  # keys of the sessions' work by change
        memories: dict[str, Memory] = {}
        at_console: dict[str, dict[str, NasSession]] = {}  # by change, then by NAS: a console ends all that it shows
        for change in stored.values():
            user, reading = users[change.target.username], before[change.target.key]
            notes = dict(user.memory.sessions)
            # A session whose Stop was lost is open in radacct, too: its NAS answers 503, and the others are changed.
            for session in user.sessions:
                note = notes.get(session.unique)
                live = reading.live if note is None else note.state
                if live == change.desired and not change.exact and not (note and note.unverified):
                    continue
                if self._ends_at_console(change, session):
                    at_console.setdefault(change.key, {})[session.nas] = session
                    continue
                try:
                    row = self._work(change, session, live, ends=note is not None and note.refused)
                except (DialectError, AttributeValueError) as error:
                    replies[change.key] = Reply(False, f'stored, but nothing was sent to the session: {error}')
                    continue
                rows.append(row)
                told.setdefault(change.key, []).append(row.key)
                if live != change.desired and not row.disconnects:
                    notes[session.unique] = SessionNote(most_restrictive_but(change.desired, live), unverified=True)
            if notes != user.memory.sessions:
                memories[change.target.username] = replace(user.memory, sessions=notes)
        self._remember(memories)  # before it is sent: what comes of this process, or of the answer, nobody knows
        nases = {row.session.nas: self.parameters.of(row.session.nas) for row in rows}
        answers = send_work(self.connection.authorization, nases, rows)
        by_key = {row.key: row for row in rows}
        for key, keys in told.items():
            name = stored[key].target.username
            memory = memories.get(name, users[name].memory)
            notes = dict(memory.sessions)
            for row in (by_key[each] for each in keys):
                unique = row.session.unique
                if (note := self._note_of(row, answers[row.key], stored[key].desired, users[name].memory)) is not None:
                    notes[unique] = note
                elif is_unexplained(answers[row.key]) and unique in notes:
                    notes[unique] = replace(notes[unique], refused=True)
            memories[name] = replace(memory, sessions=notes)
            failed = replies[key] if not replies[key].accepted else None  # another session could not be told
            replies[key] = failed or reply_of_all([answers[each] for each in keys])
        self._remember(memories)
        ended = self._end_at_console(at_console, stored, replies, told)
        ended += [row.session for row in rows if row.disconnects and answers[row.key].kind is AnswerKind.ACK]
        self._settle(ended)
        return replies

    def _remember(self, memories: Mapping[str, Memory]) -> None:
        if memories:
            with self.connection.errors(), self.connection.begin() as connection:
                tables.write_memories(connection, memories)

    def _refused(self, changes: Sequence[AccessChange]) -> dict[str, Reply]:
        """Rows whose NAS has no such profile, where its console can tell: some put a line with such one offline."""
        if not any(nas.console for nas in (self.parameters, *self.parameters.nas)):
            return {}
        with self.connection.errors(), self.connection.begin() as connection:
            users = tables.read_users(connection, (change.target.username for change in changes))
        wanted: dict[str, dict[str, str]] = {}
        for change in changes:
            for session in users[change.target.username].sessions:
                if name := self._name(change, session.nas):
                    wanted.setdefault(session.nas, {})[change.key] = name
        replies: dict[str, Reply] = {}
        for nas, names in wanted.items():
            if console := self.parameters.of(nas).console:
                missing = self.connection.authorization.consoles.missing(nas, console, set(names.values()))
                text = 'nothing was stored or sent: NAS {} has no "{}"; add it there, or correct "names"'
                replies |= {key: Reply(False, text.format(nas, name)) for key, name in names.items() if name in missing}
        return replies

    def _ends_at_console(self, change: AccessChange, session: NasSession) -> bool:
        """What relaxes does not need the console: where it did not show the session, RADIUS is to end it."""
        if self.parameters.of(session.nas).live != 'console':
            return False
        is_shown = self.connection.authorization.shown(session.key) is not None
        return is_shown or change.desired.mode is not Mode.NORMAL

    def _end_at_console(
        self,
        sessions: Mapping[str, Mapping[str, NasSession]],
        changes: Mapping[str, AccessChange],
        replies: dict[str, Reply],
        told: Collection[str],
    ) -> list[NasSession]:
        """End sessions (by key of the change, then by NAS) at their consoles; the worst of what was said of a row goes
        into `replies`. `told` are the rows whose other sessions were told by RADIUS. Returns the sessions ended.
        """
        ended: list[NasSession] = []
        for key, answered in self._at_consoles(sessions, changes).items():
            ended += [sessions[key][nas] for nas, reply in answered.items() if reply.accepted]
            also = [replies[key]] if key in told or not replies[key].accepted else []
            order = (False, None, True)
            replies[key] = min([*also, *answered.values()], key=lambda reply: order.index(reply.accepted))
        return ended

    def _at_consoles(
        self, sessions: Mapping[str, Mapping[str, NasSession]], changes: Mapping[str, AccessChange]
    ) -> dict[str, dict[str, Reply]]:
        """What the consoles that just showed these sessions said to ending them, by row and NAS."""
        authorization = self.connection.authorization
        replies: dict[str, dict[str, Reply]] = {key: {} for key in sessions}
        wanted: dict[str, list[AccessChange]] = {}
        before: dict[str, Reading] = {}
        for key, nas, session in ((key, nas, each[nas]) for key, each in sessions.items() for nas in each):
            shown = authorization.shown(session.key)
            if shown is None:
                why = authorization.seen[session.key].error if session.key in authorization.seen else 'it is a new one'
                text = f'stored; the session was not ended, its console did not show it: {why}'
                replies[key][nas] = Reply(False, text)
                continue
            if shown.live is None:
                replies[key][nas] = Reply(True)  # open in accounting alone: its NAS has it no more
                continue
            target = AccessTarget(f'{changes[key].target.key} {nas}', username=session.username)
            wanted.setdefault(nas, []).append(AccessChange(key, target, changes[key].desired))
            before[target.key] = shown
        for nas, rows in wanted.items():
            console = self.parameters.of(nas).console
            assert console is not None
            for key, reply in authorization.consoles.end(nas, console, rows, before).items():
                replies[key][nas] = reply
        return replies

    def _nas_of(self, change: AccessChange, address: str) -> NasParameters:
        """How the NAS is told of this line: what its plan calls the states goes before what the point does."""
        own, _ = line_parameters(FreeRADIUSLine, change.target)  # stored by now, so they fit or do not matter
        nas = self.parameters.of(address)
        return nas.model_copy(update={'names': {**nas.names, **own.names}})

    def _name(self, change: AccessChange, address: str) -> str:
        names = {str(mode): name for mode, name in self._nas_of(change, address).names.items()}
        contracted = (change.target.down_kbps, change.target.up_kbps)
        try:
            return values_for(change.desired, contracted, names.get(str(change.desired.mode), '')).get('name', '')
        except DialectError:
            return ''  # it is refused, with the reason, where it is to be sent

    def _work(self, change: AccessChange, session: NasSession, live: AccessState | None, ends: bool) -> SessionChange:
        contracted = (change.target.down_kbps, change.target.up_kbps)
        nas = self._nas_of(change, session.nas)
        if not nas.coa_address:
            nas_address(session.nas)  # an old schema has text there, and whatever was sent as text
        if ends:
            nas = nas.model_copy(update={'live': 'disconnect'})
        key = f'{change.key} {session.unique}'
        return plan_work(key, session, nas, live, change.desired, contracted, stored=True)

    def _note_of(self, row: SessionChange, answer: Answer, desired: AccessState, memory: Memory) -> SessionNote | None:
        """What the answer lets us write down of the session; `None` where it lets us nothing: it stays unverified."""
        authorization, key = self.connection.authorization, row.session.key
        if is_gone(answer):
            return SessionNote(None)
        if answer.kind is AnswerKind.SILENCE:
            authorization.unverified[key] = f'stored; the session may or may not be changed: {answer.message}'
        if answer.kind is AnswerKind.NOT_SENT and len(row.requests) == 1:  # of several, one may have been
            return memory.sessions.get(row.session.unique)
        if answer.kind is not AnswerKind.ACK or row.disconnects:
            return None
        if self.parameters.of(row.session.nas).trust_acknowledgement:
            return SessionNote(desired)
        authorization.unproven[key] = (
            f'stored; NAS {row.session.nas} acknowledged the change of its session, which accounting cannot show: '
            'name its "console" to have it read, set trust_acknowledgement once you have tested this NAS, or "live" '
            'to "disconnect"'
        )
        return None

    def _settle(self, ended: Sequence[NasSession]) -> None:
        """A Disconnect-ACK may come before the teardown: wait for accounting to show the end, for a while."""
        wanted = {session.unique for session in ended}
        names = sorted({session.username for session in ended})
        deadline = time.monotonic() + self.parameters.settle_seconds
        while wanted:
            with self.connection.errors(), self.connection.begin() as connection:
                users = tables.read_users(connection, names)
            wanted &= {session.unique for user in users.values() for session in user.sessions}
            if not wanted or time.monotonic() > deadline:
                return
            time.sleep(SETTLE_PAUSE)

    def check(self, now: datetime) -> list[Finding]:
        """The database, and every NAS that has sessions in `radacct` or is named in the parameters."""
        findings = super().check(now)
        if any(finding.subject == 'tables' and not finding.ok for finding in findings):
            return findings
        with self.connection.errors(), self.connection.begin() as connection:
            seen = tables.read_nases(connection)
        if not seen:
            text = 'radacct shows no open session, so no session can be changed: does accounting get there?'
            findings.append(Finding('accounting', ok=False, message=text, required=False))
        named = [nas.address for nas in self.parameters.nas]
        nases = {address: self.parameters.of(address) for address in dict.fromkeys([*seen, *named])}
        return findings + check_nases(self.connection.authorization, nases, now)
