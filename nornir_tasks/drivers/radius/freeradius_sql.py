"""Stored policy in FreeRADIUS's SQL tables: the group that the next session of a user is put into.

A state is a group. What a user's groups and own rate replies were is remembered (in the reading, and in the table
`nbd_line` beside FreeRADIUS's own) and put back exactly. A session that is up keeps what it has: `radius` changes that.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import ClassVar

from pydantic import Field, ValidationError, field_validator
from sqlalchemy import Connection, inspect
from sqlalchemy.exc import DBAPIError
from sqlalchemy.schema import CreateTable

from nornir_tasks.change import AccessChange, AccessState, AccessTarget, Mode, Reading, Reply
from nornir_tasks.connections.freeradius import DatabaseParameters, FreeRADIUSSession
from nornir_tasks.drivers.base import Abilities, Driver, DriverParameters, Finding, lines_of, unsent
from nornir_tasks.drivers.radius import freeradius_tables as tables
from nornir_tasks.drivers.radius.coa import check_dialect, fields_of
from nornir_tasks.drivers.radius.freeradius_tables import Memory, User
from nornir_tasks.drivers.radius.stored_policy import MAX_NAME, Judge, NewGroup, PolicyError, PolicyNames, StoredPolicy
from nornir_tasks.drivers.radius.table_rights import missing_rights
from nornir_tasks.radius.attributes import Pair
from nornir_tasks.radius.dialects import CONTROL, DialectError, dialect_choices, get_dialect

SAME_USER = 'another row of this batch is of the same user'
DOUBT = '?'  # behind a session in `nbd_line`: it is as its `state` says, or as the stored policy does
NEEDED = ('radusergroup', 'radreply', 'radcheck', 'radgroupreply', 'radgroupcheck', 'radacct')


class FreeRADIUSPoint(DatabaseParameters):
    """Parameters of a FreeRADIUS database."""

    dialect: str = Field(
        'generic',
        description="Whose attributes the groups' replies are: see the table of dialects",
        json_schema_extra=dialect_choices,
    )
    blocked_group: str = Field('nbd-restricted', max_length=MAX_NAME, description='Group that leads to the notice page')
    throttled_group: str = Field(
        '', max_length=MAX_NAME, description='Group of throttled lines, where the plan has none'
    )
    create_groups: bool = Field(False, description="Add a group per rate (copied from the plan's) where none fits")
    group_rates: Mapping[str, str] = Field(
        {}, description='"down/up" in kbit/s of throttled groups whose replies do not tell, by group'
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
        for target in targets:
            try:
                own[target.key] = self._own(target)
            except ValidationError as error:
                readings[target.key] = Reading(error=f'its parameters are wrong: {fields_of(error)}')
            except PolicyError as error:
                readings[target.key] = Reading(error=str(error))
        asked = [target for target in targets if target.key in own]
        with self.connection.errors(), self.connection.begin() as connection:
            users = tables.read_users(connection, (target.username for target in asked))
            groups = tables.read_groups(connection, self._group_names(users.values(), own.values()))
        self._look(asked, users)
        for target in asked:
            judge = Judge(self._names(own[target.key]), groups)
            try:
                readings[target.key] = self._read(users[target.username], judge)
            except PolicyError as error:
                readings[target.key] = Reading(error=str(error))
        return readings

    def _own(self, target: AccessTarget) -> FreeRADIUSLine:
        if not target.username:
            raise PolicyError('it has no user name, which is what FreeRADIUS knows a line by')
        if CONTROL.search(target.username):
            raise PolicyError('its user name holds a control character')
        if len(target.username) > MAX_NAME:
            raise PolicyError(f'its user name is longer than {MAX_NAME} characters, the most the tables hold')
        return FreeRADIUSLine.model_validate(dict(target.parameters))

    def _read(self, user: User, judge: Judge) -> Reading:
        if user.twins:
            raise PolicyError(f'the database takes {", ".join(map(repr, sorted(user.twins)))} for the same user name')
        if not user.known:
            raise PolicyError('no such user in radcheck, radreply or radusergroup')
        if len(user.sessions) > 1:
            raise PolicyError(
                f'{len(user.sessions)} sessions of this user are open in radacct: end or close all but one'
            )
        policy = user.policy(self._deciding)
        stored = judge.state(policy)
        return Reading(stored, self._live(user, stored), policy.as_detail(), self._doubt(user))

    def _look(self, targets: Sequence[AccessTarget], users: Mapping[str, User]) -> None:
        """Ask elsewhere how the sessions stand; never here, where nothing but the database is known."""

    def _live(self, user: User, stored: AccessState) -> AccessState | None:
        """A session that we saw when we last wrote is as we left it; any other came up under the stored policy.

        One in doubt is never as stored: neither is "it is done" true of it, nor "there is nothing to do".
        """
        if not user.sessions:
            return None
        if user.sessions[0].unique == user.memory.session:
            return user.memory.state
        return hardest_but(stored, user.memory.state) if self._is_doubted(user) else stored

    def _is_doubted(self, user: User) -> bool:
        """Something was sent to the session, by whichever process, and what it did is not known."""
        return bool(user.sessions) and user.memory.session == user.sessions[0].unique + DOUBT

    def _doubt(self, user: User) -> str:
        """Why the session's state cannot be said; never here, where nothing is sent to sessions."""
        return ''

    # Changing

    def apply(self, changes: Sequence[AccessChange], before: Mapping[str, Reading]) -> dict[str, Reply]:
        """One transaction for all: either every row that is accepted is stored, or (an exception) none is.

        `stop` is asked once, before it.
        """
        if self.stop():
            return unsent(changes)
        deciding = self._deciding
        replies: dict[str, Reply] = {}
        wanted: dict[str, StoredPolicy] = {}
        memories: dict[str, Memory] = {}
        made: dict[str, NewGroup] = {}
        own = {change.key: self._own(change.target) for change in changes}
        with self.connection.errors(), self.connection.begin() as connection:
            users = tables.read_users(connection, sorted(change.target.username for change in changes), lock=True)
            recorded = [
                group
                for change in changes
                for source in (change.exact, change.target.baseline)
                for group, _ in source.get('groups', ())
            ]
            groups = tables.read_groups(connection, self._group_names(users.values(), own.values(), changes, recorded))
            for change in changes:
                name = change.target.username
                judge = Judge(self._names(own[change.key]), groups | {new.name: new.reply for new in made.values()})
                try:
                    if name in wanted:
                        raise PolicyError(SAME_USER)  # noqa: TRY301
                    wanted[name], group, memories[name] = self._plan(
                        change, before[change.target.key], users[name], judge
                    )
                except (PolicyError, DialectError) as error:
                    replies[change.key] = Reply(False, f'nothing was stored: {error}')
                    continue
                if group:
                    made[group.name] = group
                replies[change.key] = Reply(True)
            for group in made.values():
                tables.write_group(connection, group)
            tables.write_policies(connection, wanted, users, deciding)
            tables.write_memories(connection, memories)
        return replies

    def _plan(
        self, change: AccessChange, reading: Reading, user: User, judge: Judge
    ) -> tuple[StoredPolicy, NewGroup | None, Memory]:
        now = user.policy(self._deciding)
        if now.as_detail() != dict(reading.detail):
            raise PolicyError('its rows were changed by somebody else since they were read')
        wanted, group = judge.wanted(now, change, user.memory.replaced)
        state = judge.state(now)
        remembered = now if state.mode is Mode.NORMAL else user.memory.replaced
        session, live = user.sessions[0].unique if user.sessions else '', self._live(user, state)
        if self._is_doubted(user):  # it may be as this change finds the policy, too
            session, live = session + DOUBT, hardest_but(change.desired, live, state)
        return wanted, group, Memory(remembered, session, live)

    # What decides

    @property
    def _deciding(self) -> frozenset[str]:
        return get_dialect(self.parameters.dialect).reply_attributes

    def _names(self, own: FreeRADIUSLine) -> PolicyNames:
        point = self.parameters
        rates = {group: tuple(map(int, text.split('/'))) for group, text in point.group_rates.items()}
        return PolicyNames(
            blocked=point.blocked_group,
            throttled=own.throttled_group or point.throttled_group,
            normal=own.group,
            create=point.create_groups,
            rates={group: (pair[0], pair[1]) for group, pair in rates.items()},
            dialect=point.dialect,
        )

    def _group_names(
        self,
        users: Iterable[User],
        own: Iterable[FreeRADIUSLine],
        changes: Sequence[AccessChange] = (),
        recorded: Sequence[str] = (),
    ) -> set[str]:
        """Every group whose rows may decide."""
        names = {self.parameters.blocked_group, self.parameters.throttled_group, *recorded}
        for line in own:
            names |= {line.group, line.throttled_group}
        for user in users:
            names |= {group for _, group, _ in user.groups}
            if user.memory.replaced:
                names |= {group for group, _ in user.memory.replaced.groups}
        if self.parameters.create_groups:
            for change in changes:
                if change.desired.mode is Mode.THROTTLED:
                    suffix = f'-{change.desired.down_kbps}k-{change.desired.up_kbps}k'
                    names |= {f'{name or "nbd"}{suffix}' for name in tuple(names)}
        return names - {''}

    def sessions(self) -> int | None:
        """Sessions that are open in `radacct`, on all NASes."""
        with self.connection.errors(), self.connection.begin() as connection:
            return tables.count_sessions(connection)

    # Check and prepare

    def check(self, now: datetime) -> list[Finding]:
        """The database, what the login may do there, the tables, and the groups that lines need; reads only."""
        findings = [Finding('reachability', ok=True, message=f'{self.connection.where} answers, and took the login')]
        with self.connection.errors(), self.connection.engine.connect() as connection:
            present = set(inspect(connection).get_table_names())
            missing = [name for name in NEEDED if name not in present]
            why = f"missing: {', '.join(missing)}: load FreeRADIUS's schema" if missing else ''
            findings.append(Finding('tables', not missing, why))
            ddl = ' '.join(str(CreateTable(tables.memory).compile(connection.engine)).split())
            there = tables.memory.name in present
            why = '' if there else 'the table that remembers what was replaced is missing'
            findings.append(Finding('memory', there, why, () if there else (ddl,)))
            if missing:
                return findings
            if there:
                findings.append(self._rights(connection))
                if not findings[-1].ok:
                    return findings
            point = self.parameters
            groups = tables.read_groups(connection, {point.blocked_group, point.throttled_group} - {''})
        names = self._names(FreeRADIUSLine.model_validate({}))
        line = Judge(names, groups).missing_blocked_group()
        findings.append(_check_group(point.blocked_group, groups, (line,) if line else ()))
        if point.throttled_group:
            findings.append(_check_group(point.throttled_group, groups, ()))
        return findings

    def _rights(self, connection: Connection) -> Finding:
        lacking = missing_rights(connection, self.parameters.create_groups)
        if not lacking:
            return Finding('privileges', ok=True, message='the login may read and write what it needs to')
        login = connection.engine.url.username
        grants = '; '.join(f'GRANT {", ".join(rights)} ON {table} TO {login}' for table, rights in lacking.items())
        return Finding('privileges', ok=False, message=f'somebody with full rights must add: {grants}')

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


def hardest_but(state: AccessState, *others: AccessState | None) -> AccessState:
    """The hardest of `others` that is not `state`; where there is none, one that is as far from it as can be."""
    found: AccessState | None = None
    for other in others:
        if other is not None and other != state and (found is None or other.is_harder_than(found)):
            found = other
    return found or (AccessState.normal() if state.mode is Mode.BLOCKED else AccessState.blocked())


def _check_group(name: str, groups: Mapping[str, tuple[Pair, ...]], add: tuple[str, ...]) -> Finding:
    ok = bool(groups.get(name))
    return Finding(
        f'group {name}', ok, '' if ok else 'it has no rows in radgroupreply, so it would restrict nothing', add
    )
