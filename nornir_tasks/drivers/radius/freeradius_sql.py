"""Stored policy in FreeRADIUS's SQL tables: the group that the next session of a user is put into.

A state is a group. What a user's groups and own rate replies were is remembered (in the reading, and in the table
`nbd_line` beside FreeRADIUS's own) and put back exactly. A session that is up keeps what it has: `radius` changes that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import ClassVar

from pydantic import Field, ValidationError, field_validator
from sqlalchemy.exc import DBAPIError

from nornir_tasks.change import AccessChange, AccessState, AccessTarget, Mode, Reading, Reply
from nornir_tasks.connections.freeradius import DatabaseParameters, FreeRADIUSSession
from nornir_tasks.drivers.base import (
    Abilities,
    Driver,
    DriverParameters,
    Finding,
    fields_of,
    line_parameters,
    lines_of,
    unsent,
)
from nornir_tasks.drivers.radius import freeradius_tables as tables
from nornir_tasks.drivers.radius.coa import check_dialect
from nornir_tasks.drivers.radius.freeradius_check import check_database, check_group, check_members
from nornir_tasks.drivers.radius.freeradius_tables import Memory, Rewrite, SessionNote, User
from nornir_tasks.drivers.radius.policy_judge import Judge
from nornir_tasks.drivers.radius.server_decision import GroupRows
from nornir_tasks.drivers.radius.sessions import NasSession
from nornir_tasks.drivers.radius.stored_policy import (
    MAX_NAME,
    REJECTS,
    NewGroup,
    PolicyError,
    PolicyNames,
    Stored,
    Written,
    most_restrictive_but,
    with_operators,
)
from nornir_tasks.radius.dialects import CONTROL, DialectError, dialect_choices
from nornir_tasks.storable import storable, unescape

SAME_USER = 'another row of this batch is of the same user'
DEFAULT_BLOCKED = 'nbd-restricted'
NOBODY, NO_MEMORY = AccessTarget(''), Memory()


class FreeRADIUSPoint(DatabaseParameters):
    """Parameters of a FreeRADIUS database."""

    dialect: str = Field(
        'generic',
        description="Whose attributes the groups' replies are: see the table of dialects",
        json_schema_extra=dialect_choices,
    )
    blocked_group: str = Field(DEFAULT_BLOCKED, max_length=MAX_NAME, description='Group that leads to the notice page')
    throttled_group: str = Field(
        '', max_length=MAX_NAME, description='Group of throttled lines, where the plan has none'
    )
    create_groups: bool = Field(False, description="Add a group per rate (copied from the plan's) where none fits")
    group_rates: Mapping[str, str] = Field(
        {}, description='"down/up" in kbit/s of throttled groups whose replies do not tell, by group'
    )

    foreign_groups: tuple[str, ...] = Field(
        (), description='Groups by which somebody else (the ERP, a person) restricts: shown, and never written'
    )
    foreign_lists: tuple[str, ...] = Field(
        (), description='Values of lists, filters or pools by which somebody else restricts, as the replies have them'
    )
    harmless_lists: tuple[str, ...] = Field(
        (), description="Address lists in a user's own replies that restrict nobody; any other is taken for a block"
    )

    _known = field_validator('dialect')(check_dialect)

    @field_validator('group_rates')
    @classmethod
    def _are_rates(cls, value: Mapping[str, str]) -> Mapping[str, str]:
        for group, rates in value.items():
            down, _, up = rates.partition('/')
            if not (down.isdigit() and up.isdigit() and int(down) and int(up)):
                raise ValueError(f'"{group}" has "{rates}": write "down/up" in kbit/s')
        return value


class FreeRADIUSLine(DriverParameters):
    """Parameters of a plan or a line in FreeRADIUS."""

    group: str = Field('', max_length=MAX_NAME, description='Group of the plan when all is normal')
    throttled_group: str = Field('', max_length=MAX_NAME, description='Group of the plan when throttled')
    names: Mapping[str, str] = Field({}, description="Names of this plan's normal, throttled, blocked services (CoA)")


class FreeRADIUSDriver(Driver):
    """See the module. `connection` is a `FreeRADIUSSession`."""

    name: ClassVar[str] = 'freeradius_sql'
    abilities: ClassVar[Abilities] = Abilities(
        throttle=True, block=True, stored=True, live=False, redirect=True, ipv6=True, check=True
    )
    connection_name: ClassVar[str] = 'netbox_delinquency_freeradius'

    class PointParameters(FreeRADIUSPoint):
        """See `FreeRADIUSPoint`."""

    class LineParameters(FreeRADIUSLine):
        """See `FreeRADIUSLine`."""

    connection: FreeRADIUSSession
    parameters: FreeRADIUSPoint

    # Reading

    def read(self, targets: Sequence[AccessTarget]) -> dict[str, Reading]:
        readings: dict[str, Reading] = {}
        own: dict[str, FreeRADIUSLine] = {}
        targets = list(map(as_in_database, targets))
        for target in targets:
            try:
                own[target.key], _ = self._own(target)
            except ValidationError as error:
                readings[target.key] = Reading(error=f'its parameters are wrong: {fields_of(error)}')
            except PolicyError as error:
                readings[target.key] = Reading(error=str(error))
        asked = [target for target in targets if target.key in own]
        with self.connection.errors(), self.connection.begin() as connection:
            users = tables.read_users(connection, (target.username for target in asked))
            groups = tables.read_groups(connection, self._group_names(users, asked, own))
        self._read_consoles(asked, users)
        for target in asked:
            user = users[target.username]
            try:
                readings[target.key] = self._read(target, user, self._judge(target, own[target.key], user, groups))
            except PolicyError as error:
                # Read well, and nothing there: what was restricted is gone with it.
                readings[target.key] = Reading(error=str(error), absent=not (user.known or user.twins))
        return readings

    def _own(self, target: AccessTarget) -> tuple[FreeRADIUSLine, str]:
        """As `line_parameters`. Raises `PolicyError`, `ValidationError`."""
        if not target.username:
            raise PolicyError('it has no user name, which is what FreeRADIUS knows a line by')
        if CONTROL.search(target.username):
            raise PolicyError('its user name holds a control character')
        if len(target.username) > MAX_NAME:
            raise PolicyError(f'its user name is longer than {MAX_NAME} characters, the most the tables hold')
        if not self.connection.holds(target.username):
            raise PolicyError("its user name has letters that the database's encoding does not have")
        return line_parameters(FreeRADIUSLine, target)

    def _read(self, target: AccessTarget, user: User, judge: Judge) -> Reading:
        if user.twins:
            raise PolicyError(f'the database takes {", ".join(map(repr, sorted(user.twins)))} for the same user name')
        if not user.known:
            raise PolicyError('no such user in radcheck, radreply or radusergroup')
        stored = judge.stored(user.rows(target.username))
        live = self._live(user, stored.state)
        return Reading(
            stored.state, live, stored.policy.as_detail(), self._unverified_reason(user), foreign=stored.foreign
        )

    def _read_consoles(self, targets: Sequence[AccessTarget], users: Mapping[str, User]) -> None:
        """Ask elsewhere how the sessions stand; never here, where nothing but the database is known."""

    def _live(self, user: User, stored: AccessState) -> AccessState | None:
        """How the user's sessions are: as stored only where all of them are; else the most restrictive of the others.

        A session that we saw when we last wrote is as we left it; any other came up under the stored policy.
        """
        states = [state for session in user.sessions if (state := self._session(user, session, stored)) is not None]
        if not states:
            return None
        return most_restrictive_but(stored, *states) if any(state != stored for state in states) else stored

    def _session(self, user: User, session: NasSession, stored: AccessState) -> AccessState | None:
        """One of them; `None` where its NAS had it no more. One unverified is never as stored: neither is "it is done"
        true of it, nor "there is nothing to do".
        """
        note = user.memory.sessions.get(session.unique)
        if note is None:
            return stored
        return most_restrictive_but(stored, note.state) if note.unverified else note.state

    def _unverified_reason(self, user: User) -> str:
        """Why the session's state cannot be said; never here, where nothing is sent to sessions."""
        return ''

    # Changing

    def apply(self, changes: Sequence[AccessChange], before: Mapping[str, Reading]) -> dict[str, Reply]:
        """One transaction for all: either every row that is accepted is stored, or (an exception) none is.

        `stop` is asked once, before it.
        """
        if self.stop():
            return unsent(changes)
        changes = [replace(change, target=as_in_database(change.target)) for change in changes]
        replies: dict[str, Reply] = {}
        rewrites: dict[str, Rewrite] = {}
        memories: dict[str, Memory] = {}
        made: dict[str, NewGroup] = {}
        given = {change.target.key: self._own(change.target) for change in changes}
        own = {key: line for key, (line, _) in given.items()}
        with self.connection.errors(), self.connection.begin() as connection:
            users = tables.read_users(connection, sorted(change.target.username for change in changes), lock=True)
            names = self._group_names(users, [change.target for change in changes], own, changes)
            groups = tables.read_groups(connection, names)
            for change in changes:
                name, target = change.target.username, change.target
                known = groups | {new.name: GroupRows(reply=_with_operator(new)) for new in made.values()}
                judge = self._judge(target, own[target.key], users[name], known)
                try:
                    if name in rewrites:
                        raise PolicyError(SAME_USER)  # noqa: TRY301
                    if (wrong := given[target.key][1]) and change.desired.mode is not Mode.NORMAL:
                        raise PolicyError(wrong)  # noqa: TRY301
                    rewrites[name], group, memories[name] = self._plan(change, before[target.key], users[name], judge)
                except (PolicyError, DialectError) as error:
                    replies[change.key] = Reply(False, f'nothing was stored: {error}')
                    continue
                if group:
                    made[group.name] = group
                replies[change.key] = Reply(True)
            for group in made.values():
                tables.write_group(connection, group)
            tables.write_policies(connection, rewrites, users)
            tables.write_memories(connection, memories)
        return replies

    def _plan(
        self, change: AccessChange, reading: Reading, user: User, judge: Judge
    ) -> tuple[Rewrite, NewGroup | None, Memory]:
        rows = user.rows(change.target.username)
        now = judge.stored(rows)
        if storable(now.policy.as_detail()) != dict(reading.detail):
            raise PolicyError('its rows were changed by somebody else since they were read')
        memory = user.memory
        if memory.unreadable and change.desired.mode is not Mode.NORMAL:
            raise PolicyError(memory.unreadable)
        wanted, group = judge.wanted(now, change, memory.replaced)
        if lost := [name for name, _ in wanted.groups if not self.connection.holds(name)]:
            raise PolicyError(f'group "{lost[0]}" has letters that the database\'s encoding does not have')
        judge.verify(rows, now, wanted, group, change)
        is_normal = now.state.mode is Mode.NORMAL
        restricts = change.desired.mode is not Mode.NORMAL and bool(wanted.groups)
        return (
            Rewrite(now.policy, wanted),
            group,
            Memory(
                now.policy if is_normal else memory.replaced,
                Written(wanted.groups[0][0], change.desired) if restricts else None,
                self._session_notes(change, user, now),
            ),
        )

    def _session_notes(self, change: AccessChange, user: User, now: Stored) -> dict[str, SessionNote]:
        """How each open session is as this change finds it; one unverified may be as it finds the policy, too."""
        notes: dict[str, SessionNote] = {}
        for session in user.sessions:
            state = self._session(user, session, now.state)
            old = user.memory.sessions.get(session.unique)
            unverified = self._is_unverified(session, old)
            if unverified:
                state = most_restrictive_but(change.desired, state, now.state)
            notes[session.unique] = SessionNote(state, unverified, old is not None and old.refused)
        return notes

    def _is_unverified(self, session: NasSession, note: SessionNote | None) -> bool:
        """Something was sent to the session, by whichever process, and what it did is not known."""
        return note is not None and note.unverified

    # What decides

    def _judge(self, target: AccessTarget, own: FreeRADIUSLine, user: User, groups: Mapping[str, GroupRows]) -> Judge:
        return Judge(self._names(own, target, user.memory), groups, datetime.now(UTC))

    def _names(self, own: FreeRADIUSLine, target: AccessTarget = NOBODY, memory: Memory = NO_MEMORY) -> PolicyNames:
        point = self.parameters
        rates = {group: tuple(map(int, text.split('/'))) for group, text in point.group_rates.items()}
        ours = _noted_names(target)
        if memory.written:
            ours[memory.written.group] = memory.written.state
        return PolicyNames(
            blocked=point.blocked_group,
            throttled=own.throttled_group or point.throttled_group,
            normal=own.group,
            create=point.create_groups,
            rates={group: (pair[0], pair[1]) for group, pair in rates.items()},
            dialect=point.dialect,
            ours=ours,
            foreign_groups=frozenset(point.foreign_groups),
            foreign_lists=frozenset(point.foreign_lists),
            harmless_lists=frozenset(point.harmless_lists),
            recorded=frozenset(_recorded_groups(target, memory)),
            restricted=bool(target.restricted),
            touched=bool(target.restricted) or memory != NO_MEMORY,
        )

    def _group_names(
        self,
        users: Mapping[str, User],
        targets: Sequence[AccessTarget],
        own: Mapping[str, FreeRADIUSLine],
        changes: Sequence[AccessChange] = (),
    ) -> set[str]:
        """Every group whose rows may decide."""
        names = {self.parameters.blocked_group, self.parameters.throttled_group}
        details = [change.exact for change in changes]
        for target in targets:
            names |= {own[target.key].group, own[target.key].throttled_group, *_noted_names(target)}
            details.append(target.baseline)
        for detail in details:
            names |= {unescape(group) for group, _ in detail.get('groups', ())}
        for user in users.values():
            names |= {group for _, group, _ in user.groups}
            if user.memory.replaced:
                names |= {group for group, _ in user.memory.replaced.groups}
        if self.parameters.create_groups:
            for change in changes:
                if change.desired.mode is Mode.THROTTLED:
                    suffix = f'-{change.desired.down_kbps}k-{change.desired.up_kbps}k'
                    names |= {f'{name or "nbd"}{suffix}' for name in tuple(names)}
        return {name for name in names if name and self.connection.holds(name)}

    def sessions(self) -> int | None:
        """Sessions that are open in `radacct`, on all NASes."""
        with self.connection.errors(), self.connection.begin() as connection:
            return tables.count_sessions(connection)

    # Check and prepare

    def check(self, now: datetime) -> list[Finding]:
        """The database, what the login may do there, the tables, and the groups that lines need; reads only."""
        point = self.parameters
        with self.connection.errors(), self.connection.engine.connect() as connection:
            findings, is_fit = check_database(connection, self.connection.where, point.create_groups)
            if not is_fit:
                return findings
            groups = tables.read_groups(connection, {point.blocked_group, point.throttled_group} - {''})
            members = tables.count_members(connection)
        names = self._names(FreeRADIUSLine.model_validate({}))
        findings += check_members(members, {*point.foreign_groups, point.blocked_group, point.throttled_group})
        line = Judge(names, groups).missing_blocked_group()
        findings.append(check_group(point.blocked_group, groups, (line,) if line else ()))
        if point.throttled_group:
            findings.append(check_group(point.throttled_group, groups, ()))
        return findings

    def prepare(self, findings: Sequence[Finding]) -> list[Reply]:
        replies: list[Reply] = []
        for line in lines_of(findings):
            try:
                with self.connection.begin() as connection:
                    connection.exec_driver_sql(line)
            except DBAPIError as error:
                return [*replies, Reply(False, f'the database refused "{line}": {error.orig}')]
            replies.append(Reply(True))
        return replies


def as_in_database(target: AccessTarget) -> AccessTarget:
    """The line by its user name as the database has it: bytes that are no UTF-8 were escaped where it was kept."""
    return replace(target, username=unescape(target.username))


def _recorded_groups(target: AccessTarget, memory: Memory) -> set[str]:
    recorded = {unescape(group) for group, _ in target.baseline.get('groups', ())}
    return recorded | ({group for group, _ in memory.replaced.groups} if memory.replaced else set())


def _noted_names(target: AccessTarget) -> dict[str, AccessState | None]:
    """The names of our groups as they were when the open restriction of this line was taken."""
    noted = target.restricted
    if not noted:
        return {}
    point, line = (noted.get(part) or {} for part in ('point', 'line'))
    ours: dict[str, AccessState | None] = {}
    for name in (line.get('throttled_group'), point.get('throttled_group')):
        if name:
            ours[str(name)] = None
    if 'point' in noted:
        ours[str(point.get('blocked_group') or DEFAULT_BLOCKED)] = AccessState.blocked()
    # What a person adopted of another's is ours to give back: its groups are; a row of radcheck is never written.
    adopted = (str(label) for label in noted.get('foreign') or ())
    groups = (label.removeprefix('group ').removesuffix(REJECTS) for label in adopted if label.startswith('group '))
    return ours | dict.fromkeys(groups, AccessState.blocked())


def _with_operator(group: NewGroup) -> tuple[tuple[str, str, str], ...]:
    return tuple(with_operators(group.reply))
