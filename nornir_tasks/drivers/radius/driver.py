"""RADIUS as a whole: the stored policy first, then the live session, then both read back.

The policy is written to FreeRADIUS's tables (see `freeradius_sql`), so that whatever happens next, the following
session is right. Then the session that `radacct` shows is changed at its own NAS by CoA, or ended to come back.
"""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import batched
from typing import ClassVar

from pydantic import Field, field_validator

from nornir_tasks.change import AccessChange, AccessState, AccessTarget, Reading, Reply
from nornir_tasks.connections.radius import NasParameters
from nornir_tasks.drivers.base import Abilities, Finding
from nornir_tasks.drivers.radius import freeradius_tables as tables
from nornir_tasks.drivers.radius.check import check_nases
from nornir_tasks.drivers.radius.coa import check_dialect
from nornir_tasks.drivers.radius.freeradius_sql import (
    DOUBT,
    FreeRADIUSDriver,
    FreeRADIUSLine,
    FreeRADIUSPoint,
    hardest_but,
)
from nornir_tasks.drivers.radius.freeradius_tables import Memory, User
from nornir_tasks.drivers.radius.sessions import Session, Work, is_gone, plan_work, reply_of, send_work
from nornir_tasks.radius.attributes import AttributeValueError
from nornir_tasks.radius.client import Answer, Verdict
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

    # What a NAS's console says of a session goes before what we wrote down of it, and before all doubt.

    def _look(self, targets: Sequence[AccessTarget], users: Mapping[str, User]) -> None:
        wanted: dict[str, dict[str, AccessTarget]] = {}
        for target in targets:
            sessions = users[target.username].sessions
            if len(sessions) == 1 and self.parameters.of(sessions[0].nas).console:
                asked = AccessTarget(target.key, username=target.username, ipv4=sessions[0].ipv4)
                wanted.setdefault(sessions[0].nas, {})[sessions[0].key] = asked
        for nas, asked_of in wanted.items():
            console = self.parameters.of(nas).console
            assert console is not None
            self.connection.authorization.look(nas, console, asked_of)

    def _live(self, user: User, stored: AccessState) -> AccessState | None:
        shown = self.connection.authorization.shown(user.sessions[0].key) if user.sessions else None
        return shown.live if shown else super()._live(user, stored)

    def _is_doubted(self, user: User) -> bool:
        shown = self.connection.authorization.shown(user.sessions[0].key) if user.sessions else None
        return shown is None and super()._is_doubted(user)

    def _doubt(self, user: User) -> str:
        return self.connection.authorization.doubt(user.sessions[0].key) if user.sessions else ''

    def apply(self, changes: Sequence[AccessChange], before: Mapping[str, Reading]) -> dict[str, Reply]:
        """In groups of `GROUP`: a row whose policy is stored has its session told too, whatever `stop` says by then."""
        replies: dict[str, Reply] = {}
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
        rows: list[Work] = []
        doubts: dict[str, Memory] = {}
        at_console: dict[str, Session] = {}
        for change in stored.values():
            user, reading = users[change.target.username], before[change.target.key]
            if not user.sessions:
                continue
            if len(user.sessions) > 1:
                text = f'stored; {len(user.sessions)} sessions are open in radacct, so none was touched'
                replies[change.key] = Reply(False, text)
                continue
            session = user.sessions[0]
            live = user.memory.state if session.unique == user.memory.session.removesuffix(DOUBT) else reading.live
            if live == change.desired and not change.exact:
                continue
            if self.parameters.of(session.nas).live == 'console':
                at_console[change.key] = session
                continue
            try:
                row = self._work(change, session, live)
            except (DialectError, AttributeValueError) as error:
                replies[change.key] = Reply(False, f'stored, but nothing was sent to the session: {error}')
                continue
            rows.append(row)
            if live != change.desired and not row.disconnects:
                state = hardest_but(change.desired, live)
                doubts[change.target.username] = replace(user.memory, session=session.unique + DOUBT, state=state)
        self._remember(doubts)  # before it is sent: what comes of this process, or of the answer, nobody knows
        nases = {row.session.nas: self.parameters.of(row.session.nas) for row in rows}
        answers = send_work(self.connection.authorization, nases, rows)
        memories: dict[str, Memory] = {}
        for row in rows:
            change, answer = stored[row.key], answers[row.key]
            replies[row.key] = reply_of(answer)
            if (memo := self._learn(row, answer, change.desired, users[change.target.username].memory)) is not None:
                memories[change.target.username] = memo
        self._remember(memories)
        replies |= self._end_at_console(at_console, stored)
        ended = [session for key, session in at_console.items() if replies[key].accepted]
        ended += [row.session for row in rows if row.disconnects and answers[row.key].verdict is Verdict.ACK]
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

    def _end_at_console(self, sessions: Mapping[str, Session], changes: Mapping[str, AccessChange]) -> dict[str, Reply]:
        """End the sessions (by key of the change) at the consoles that just showed them."""
        authorization = self.connection.authorization
        replies: dict[str, Reply] = {}
        wanted: dict[str, list[AccessChange]] = {}
        before: dict[str, Reading] = {}
        for key, session in sessions.items():
            shown = authorization.shown(session.key)
            if shown is None:
                why = authorization.seen[session.key].error if session.key in authorization.seen else 'it is a new one'
                replies[key] = Reply(False, f'stored; the session was not ended, its console did not show it: {why}')
                continue
            target = AccessTarget(changes[key].target.key, username=session.username)
            wanted.setdefault(session.nas, []).append(AccessChange(key, target, changes[key].desired))
            before[target.key] = shown
        for nas, rows in wanted.items():
            console = self.parameters.of(nas).console
            assert console is not None
            replies |= authorization.consoles.end(nas, console, rows, before)
        return replies

    def _nas_of(self, change: AccessChange, address: str) -> NasParameters:
        """How the NAS is told of this line: what its plan calls the states goes before what the point does."""
        own = FreeRADIUSLine.model_validate(dict(change.target.parameters))
        nas = self.parameters.of(address)
        return nas.model_copy(update={'names': {**nas.names, **own.names}})

    def _name(self, change: AccessChange, address: str) -> str:
        names = {str(mode): name for mode, name in self._nas_of(change, address).names.items()}
        contracted = (change.target.down_kbps, change.target.up_kbps)
        try:
            return values_for(change.desired, contracted, names.get(str(change.desired.mode), '')).get('name', '')
        except DialectError:
            return ''  # it is refused, with the reason, where it is to be sent

    def _work(self, change: AccessChange, session: Session, live: AccessState | None) -> Work:
        contracted = (change.target.down_kbps, change.target.up_kbps)
        nas = self._nas_of(change, session.nas)
        return plan_work(change.key, session, nas, live, change.desired, contracted, stored=True)

    def _learn(self, row: Work, answer: Answer, desired: AccessState, memo: Memory) -> Memory | None:
        """What the answer lets us write down of the session; `None` where it lets us nothing: it stays in doubt."""
        authorization, key = self.connection.authorization, row.session.key
        if is_gone(answer):
            return replace(memo, session=row.session.unique, state=None)
        if answer.verdict is Verdict.SILENCE:
            authorization.in_doubt[key] = f'stored; the session may or may not be changed: {answer.message}'
        if answer.verdict is Verdict.NOT_SENT and len(row.requests) == 1:  # of several, one may have been
            return memo
        if answer.verdict is not Verdict.ACK or row.disconnects:
            return None
        if self.parameters.of(row.session.nas).trust_acknowledgement:
            return replace(memo, session=row.session.unique, state=desired)
        authorization.unproven[key] = (
            f'stored; NAS {row.session.nas} acknowledged the change of its session, which accounting cannot show: '
            'name its "console" to have it read, set trust_acknowledgement once you have tested this NAS, or "live" '
            'to "disconnect"'
        )
        return None

    def _settle(self, ended: Sequence[Session]) -> None:
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
