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

from nornir_tasks.change import AccessChange, AccessState, Reading, Reply
from nornir_tasks.connections.radius import NasParameters
from nornir_tasks.drivers.base import Abilities, Finding
from nornir_tasks.drivers.freeradius_sql import FreeRADIUSDriver, FreeRADIUSLine, FreeRADIUSPoint
from nornir_tasks.drivers.radius_check import check_nases
from nornir_tasks.drivers.radius_coa import check_dialect
from nornir_tasks.radius import tables
from nornir_tasks.radius.attributes import AttributeValueError
from nornir_tasks.radius.client import Answer, Verdict
from nornir_tasks.radius.dialects import DialectError
from nornir_tasks.radius.sessions import Session, Work, is_gone, plan_work, reply_of, send_work
from nornir_tasks.radius.tables import Memory

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
        throttle=True, block=True, stored=True, live=True, redirect=True, ipv6=True, check=True
    )

    class PointParameters(RadiusPoint):
        """See `RadiusPoint`."""

    parameters: RadiusPoint

    def _doubt(self, user: tables.User) -> str:
        authorization = self.connection.authorization
        key = user.sessions[0].key if user.sessions else ''
        return authorization.in_doubt.get(key) or authorization.unproven.get(key) or ''

    def apply(self, changes: Sequence[AccessChange], before: Mapping[str, Reading]) -> dict[str, Reply]:
        """In groups of `GROUP`: a row whose policy is stored has its session told too, whatever `stop` says by then."""
        replies: dict[str, Reply] = {}
        for group in batched(changes, GROUP):
            replies |= self._apply(group, before)
        return replies

    def _apply(self, changes: Sequence[AccessChange], before: Mapping[str, Reading]) -> dict[str, Reply]:
        replies = super().apply(changes, before)
        stored = [change for change in changes if replies[change.key].accepted]
        # Looked up after the policy was committed: whoever comes up from now on comes up right.
        with self.connection.errors(), self.connection.begin() as connection:
            users = tables.read_users(connection, (change.target.username for change in stored))
        rows: list[Work] = []
        memories: dict[str, Memory] = {}
        nases: dict[str, NasParameters] = {}
        for change in stored:
            user, reading = users[change.target.username], before[change.target.key]
            if not user.sessions:
                continue
            if len(user.sessions) > 1:
                text = f'stored; {len(user.sessions)} sessions are open in radacct, so none was touched'
                replies[change.key] = Reply(False, text)
                continue
            session = user.sessions[0]
            live = user.memory.state if session.unique == user.memory.session else reading.live
            if live == change.desired and not change.exact:
                continue
            nases[session.nas] = self.parameters.of(session.nas)
            try:
                rows.append(self._work(change, session, live))
            except (DialectError, AttributeValueError) as error:
                replies[change.key] = Reply(False, f'stored, but nothing was sent to the session: {error}')
        answers = send_work(self.connection.authorization, nases, rows)
        states = {change.key: change for change in stored}
        for row in rows:
            change, answer = states[row.key], answers[row.key]
            replies[row.key] = reply_of(answer)
            if (memo := self._learn(row, answer, change.desired, users[change.target.username].memory)) is not None:
                memories[change.target.username] = memo
        if memories:
            with self.connection.errors(), self.connection.begin() as connection:
                tables.write_memories(connection, memories)
        self._settle([row.session for row in rows if row.disconnects and answers[row.key].verdict is Verdict.ACK])
        return replies

    def _work(self, change: AccessChange, session: Session, live: AccessState | None) -> Work:
        target = change.target
        own = FreeRADIUSLine.model_validate(dict(target.parameters))
        nas = self.parameters.of(session.nas)
        nas = nas.model_copy(update={'names': {**nas.names, **own.names}})
        contracted = (target.down_kbps, target.up_kbps)
        return plan_work(change.key, session, nas, live, change.desired, contracted, stored=True)

    def _learn(self, row: Work, answer: Answer, desired: AccessState, memo: Memory) -> Memory | None:
        """What the answer lets us write down of the session; `None` where it lets us nothing."""
        authorization, key = self.connection.authorization, row.session.key
        if is_gone(answer):
            return replace(memo, session=row.session.unique, state=None)
        if answer.verdict is Verdict.SILENCE:
            authorization.in_doubt[key] = f'stored; the session may or may not be changed: {answer.message}'
        if answer.verdict is not Verdict.ACK or row.disconnects:
            return None
        if self.parameters.of(row.session.nas).trust_acknowledgement:
            return replace(memo, session=row.session.unique, state=desired)
        authorization.unproven[key] = (
            f'stored; NAS {row.session.nas} acknowledged the change of its session, which accounting cannot show: '
            'set trust_acknowledgement once you have tested this NAS, or "live" to "disconnect"'
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
        return findings + check_nases(self.connection.authorization, nases)
