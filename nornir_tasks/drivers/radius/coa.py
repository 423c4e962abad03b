"""Dynamic authorization alone (RFC 5176): changes a session, and nothing else.

It keeps no policy, so a reconnect undoes it, and RADIUS has no way to ask a NAS how a session stands. What was
acknowledged is therefore *unknown* until something else reads it, unless the point says that this NAS's word is good.
Use `radius` where FreeRADIUS's database can be reached.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import ClassVar

from pydantic import Field, ValidationError, field_validator

from nornir_tasks.change import AccessChange, AccessState, AccessTarget, Mode, Reading, Reply
from nornir_tasks.connections.radius import NasParameters, RadiusSession
from nornir_tasks.drivers.base import Abilities, Driver, DriverParameters, Finding, fields_of, line_parameters
from nornir_tasks.drivers.radius.check import check_nases
from nornir_tasks.drivers.radius.sessions import (
    NasSession,
    SessionChange,
    is_gone,
    is_unexplained,
    plan_work,
    reply_of,
    send_work,
)
from nornir_tasks.errors import ConfigurationError, EnforcementError
from nornir_tasks.radius.attributes import AttributeValueError
from nornir_tasks.radius.client import AnswerKind
from nornir_tasks.radius.dialects import CONTROL, DialectError, get_dialect

UNEXPLAINED = 'unexplained'  # in a reading's detail, and in what is noted of a restriction
NOTHING_STORED = (
    'the NAS has no such session, and this driver keeps no policy for the next one: use the driver "radius"'
)


def check_dialect(name: str) -> str:
    try:
        return get_dialect(name).name
    except ConfigurationError as error:
        raise ValueError(str(error)) from None


class RadiusLine(DriverParameters):
    """Parameters of a plan or a line towards a NAS."""

    names: Mapping[str, str] = Field({}, description="Names of this plan's normal, throttled, blocked services")
    session_id: str = Field('', description='Acct-Session-Id, where something keeps it up to date')


class RadiusCoADriver(Driver):
    """See the module. `connection` is a `RadiusSession`, which remembers what its NAS said while it is open."""

    name: ClassVar[str] = 'radius_coa'
    identities = (('username',), ('ipv4',))
    abilities: ClassVar[Abilities] = Abilities(
        throttle=True, block=True, stored=False, live=True, redirect=True, ipv6=True, read_back=False, check=True
    )
    connection_name: ClassVar[str] = 'netbox_delinquency_radius'

    class PointParameters(NasParameters):
        """Parameters of a NAS."""

        _known = field_validator('dialect')(check_dialect)

    class LineParameters(RadiusLine):
        """See `RadiusLine`."""

    connection: RadiusSession
    parameters: NasParameters

    def read(self, targets: Sequence[AccessTarget]) -> dict[str, Reading]:
        readings: dict[str, Reading] = {}
        sessions: dict[str, NasSession] = {}
        for target in targets:
            try:
                sessions[target.key] = self._session(target)
            except ValidationError as error:
                readings[target.key] = Reading(error=f'its parameters are wrong: {fields_of(error)}')
            except DialectError as error:
                readings[target.key] = Reading(error=str(error))
        if (console := self.parameters.console) and sessions:
            asked = {
                sessions[target.key].key: AccessTarget(target.key, username=target.username, ipv4=target.ipv4)
                for target in targets
                if target.key in sessions
            }
            self.connection.authorization.read_console(self.connection.address, console, asked)
        return readings | {key: self._read(session) for key, session in sessions.items()}

    def _read(self, session: NasSession) -> Reading:
        """What the console shows; else what this NAS acknowledged, where its word is taken."""
        authorization = self.connection.authorization
        if shown := authorization.shown(session.key):
            return Reading(stored=shown.stored, live=shown.live)  # both only where it shows several that differ
        if text := authorization.unverified_reason(session.key):
            return Reading(error=text)
        doubt = {UNEXPLAINED: True} if session.key in self.connection.unexplained else {}
        return Reading(live=self.connection.known.get(session.key), detail=doubt)

    def _session(self, target: AccessTarget) -> NasSession:
        own, _ = line_parameters(RadiusLine, target)
        if CONTROL.search(target.username):
            raise DialectError('its user name holds a control character')
        if not (target.username or own.session_id or target.ipv4):
            raise DialectError('neither its user name, its session nor its address is known')
        return NasSession(self.connection.address, target.username, own.session_id, target.ipv4)

    def apply(self, changes: Sequence[AccessChange], before: Mapping[str, Reading]) -> dict[str, Reply]:
        replies: dict[str, Reply] = {}
        rows: list[SessionChange] = []
        nas = self._nas
        for change in changes:
            try:
                rows.append(self._work(change, before[change.target.key], nas))
            except (DialectError, AttributeValueError) as error:
                replies[change.key] = Reply(False, f'nothing was sent: {error}')
        by_key = {change.key: change for change in changes}
        answers = send_work(self.connection.authorization, {self.connection.address: nas}, rows, self.stop)
        for row in rows:
            answer = answers[row.key]
            reply = reply_of(answer)
            if is_unexplained(answer):
                self.connection.unexplained.add(row.session.key)
                self.connection.known.pop(row.session.key, None)  # it may be half of one state and half of another
            self._remember(row, by_key[row.key].desired, reply)
            replies[row.key] = Reply(False, NOTHING_STORED) if is_gone(answer) else reply
            if answer.kind is AnswerKind.SILENCE:
                self.connection.authorization.unverified[row.session.key] = 'it may or may not be changed'
        return replies

    def sessions(self) -> int | None:
        """As many as the console counts, where there is one that answers."""
        console, consoles = self.parameters.console, self.connection.authorization.consoles
        if console is None:
            return None
        try:
            return consoles.driver(self.connection.address, console).sessions()
        except EnforcementError:
            return None  # the console helps; the NAS is told of changes without it

    def check(self, now: datetime) -> list[Finding]:
        """Whether the NAS answers, to this secret and at this time; nothing is changed."""
        return check_nases(self.connection.authorization, {self.connection.address: self._nas}, now)

    @property
    def _nas(self) -> NasParameters:
        port = {'coa_port': self.connection.port} if self.connection.port else {}
        return self.parameters.model_copy(update=port)

    def _work(self, change: AccessChange, before: Reading, nas: NasParameters) -> SessionChange:
        target = change.target
        own, wrong = line_parameters(RadiusLine, target)
        if wrong and change.desired.mode is not Mode.NORMAL:
            raise DialectError(wrong)
        nas = nas.model_copy(update={'names': {**nas.names, **own.names}})
        contracted = (target.down_kbps, target.up_kbps)
        session = self._session(target)
        if target.restricted.get(UNEXPLAINED):
            self.connection.unexplained.add(session.key)  # another process was told so
        # All that we did to a session ends with it: a way back that can be proven no other way.
        ends = change.desired.mode is Mode.NORMAL and session.key in self.connection.unexplained
        if ends:
            nas = nas.model_copy(update={'live': 'disconnect'})
        return plan_work(change.key, session, nas, before.live, change.desired, contracted, stored=ends)

    def _remember(self, row: SessionChange, desired: AccessState, reply: Reply) -> None:
        authorization, session = self.connection.authorization, row.session
        if not reply.accepted:
            return
        if row.disconnects:
            self.connection.unexplained.discard(session.key)
        if session.key in self.connection.unexplained:
            authorization.unproven[session.key] = (
                'the NAS refused a change of this session before without saying why, and may have done a part of it: '
                'that it acknowledges now proves nothing; let the session end and come back'
            )
        elif self.parameters.trust_acknowledgement:
            self.connection.known[session.key] = desired
        else:
            authorization.unproven[session.key] = (
                'the NAS acknowledged it, which proves nothing, and cannot be asked: name its "console" to have it '
                'read there, or set trust_acknowledgement once you have tested this NAS'
            )
