"""FreeRADIUS's tables as rlm_sql deploys them, and one of our own, in SQLAlchemy Core.

Names are lower-case: PostgreSQL folds the schema's to that, MySQL does not mind.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import batched

from sqlalchemy import Column, Connection, Integer, MetaData, String, Table, Text, delete, func, insert, select
from sqlalchemy.engine import RowMapping

from nornir_tasks.change import AccessState
from nornir_tasks.drivers.radius.sessions import Session
from nornir_tasks.drivers.radius.stored_policy import NewGroup, StoredPolicy, with_operators
from nornir_tasks.radius.attributes import Pair

CHUNK = 500

metadata = MetaData()


def _rows(name: str, *owner: str) -> Table:
    columns = (Column(text, Text, nullable=False) for text in (*owner, 'attribute', 'op', 'value'))
    return Table(name, metadata, Column('id', Integer, primary_key=True), *columns)


radcheck = _rows('radcheck', 'username')
radreply = _rows('radreply', 'username')
radgroupcheck = _rows('radgroupcheck', 'groupname')
radgroupreply = _rows('radgroupreply', 'groupname')
radusergroup = Table(
    'radusergroup',
    metadata,
    Column('id', Integer, primary_key=True),
    Column('username', Text, nullable=False),
    Column('groupname', Text, nullable=False),
    Column('priority', Integer, nullable=False),
)
radacct = Table(
    'radacct',
    metadata,
    *(
        Column(name, Text)
        for name in ('acctuniqueid', 'acctsessionid', 'username', 'nasipaddress', 'framedipaddress', 'acctstoptime')
    ),
)
# What we replaced, and what we did to which session: FreeRADIUS has no place for either. Its own rows stay as they are.
memory = Table(
    'nbd_line',
    MetaData(),
    Column('username', String(253), primary_key=True),
    Column('replaced', Text),
    Column('session', String(64), nullable=False),
    Column('session_state', Text),
    mysql_charset='utf8mb4',
    mysql_collate='utf8mb4_bin',
)


@dataclass(frozen=True, slots=True)
class Memory:
    """`replaced` is the policy of better days; `session` (its accounting's unique id) was up when we last wrote.

    `state` is that session's: `None` where there was none. A session with another id came up under the stored policy.
    """

    replaced: StoredPolicy | None = None
    session: str = ''
    state: AccessState | None = None


@dataclass(slots=True)
class User:
    """All that the tables hold of one user name. `twins` are other names that the database takes for the same."""

    groups: list[tuple[int, str, int]] = field(default_factory=list)  # id, name, priority
    replies: list[tuple[int, str, str, str]] = field(default_factory=list)  # id, attribute, operator, value
    known: bool = False
    rejected: bool = False
    sessions: list[Session] = field(default_factory=list)
    memory: Memory = Memory()
    twins: set[str] = field(default_factory=set)

    def policy(self, deciding: Collection[str]) -> StoredPolicy:
        """`deciding` are the attributes among the user's own replies that decide about a state."""
        return StoredPolicy(
            tuple((name, priority) for _, name, priority in sorted(self.groups, key=lambda row: (row[2], row[0]))),
            tuple(row[1:] for row in sorted(self.replies) if row[1] in deciding),
            self.rejected,
        )


def read_users(connection: Connection, names: Iterable[str], *, lock: bool = False) -> dict[str, User]:
    """Every name's rows, also of those without any. With `lock` the rows of the policy are held for the transaction."""
    users = {name: User() for name in dict.fromkeys(names)}
    for chunk in batched(users, CHUNK):
        _Reader(connection, users, chunk, lock).read()
    return users


class _Reader:
    """Reads a chunk of users. What MySQL takes for equal to a name is not that name and must not pass for it."""

    def __init__(self, connection: Connection, users: dict[str, User], chunk: tuple[str, ...], lock: bool) -> None:
        self.connection = connection
        self.users = users
        self.chunk = chunk
        self.lock = lock
        self.is_exact = connection.dialect.name == 'postgresql'
        self.similar: dict[str, list[str]] = {}
        for name in chunk:
            self.similar.setdefault(_folded(name), []).append(name)

    def read(self) -> None:
        for user, row in self._rows(radusergroup, self.lock):
            user.groups.append((row['id'], row['groupname'], row['priority']))
        for user, row in self._rows(radreply, self.lock):
            user.replies.append((row['id'], row['attribute'], row['op'], row['value']))
        for user, row in self._rows(radcheck, lock=False):  # never written, and a lock takes the right to write
            user.rejected |= row['attribute'] == 'Auth-Type' and row['value'] == 'Reject'
        self._read_sessions()
        self._read_memories()

    def _owner(self, found: str) -> User | None:
        """The user of exactly that name; a name that is merely alike is noted at those it may be mistaken for."""
        if not self.is_exact:
            for name in self.similar.get(_folded(found), self.chunk):
                if name != found:
                    self.users[name].twins.add(found)
        return self.users.get(found)

    def _rows(self, table: Table, lock: bool) -> Iterator[tuple[User, RowMapping]]:
        query = select(table).where(table.c.username.in_(self.chunk)).order_by(table.c.id)
        for row in self.connection.execute(query.with_for_update() if lock else query).mappings():
            if (user := self._owner(row['username'])) is not None:
                user.known = True
                yield user, row

    def _read_sessions(self) -> None:
        columns = (column for column in radacct.c if column.name != 'acctstoptime')
        query = select(*columns).where(radacct.c.username.in_(self.chunk), radacct.c.acctstoptime.is_(None))
        for row in self.connection.execute(query).mappings():
            if (user := self._owner(row['username'])) is not None:
                address = str(row['framedipaddress'] or '').partition('/')[0]
                nas = str(row['nasipaddress']).partition('/')[0]
                user.sessions.append(Session(nas, row['username'], row['acctsessionid'], address, row['acctuniqueid']))

    def _read_memories(self) -> None:
        for row in self.connection.execute(select(memory).where(memory.c.username.in_(self.chunk))).mappings():
            replaced, state = row['replaced'], row['session_state']
            self.users[row['username']].memory = Memory(
                StoredPolicy.from_detail(json.loads(replaced)) if replaced else None,
                row['session'],
                AccessState.from_dict(json.loads(state)) if state else None,
            )


def _folded(name: str) -> str:
    """What MySQL's usual collations take for the same: without case, accents and trailing space."""
    bare = ''.join(mark for mark in unicodedata.normalize('NFKD', name) if not unicodedata.combining(mark))
    return bare.casefold().rstrip(' ')


def read_nases(connection: Connection) -> list[str]:
    """Addresses of the NASes that have open sessions, sorted."""
    query = select(radacct.c.nasipaddress).where(radacct.c.acctstoptime.is_(None)).distinct()
    return sorted({str(address).partition('/')[0] for address in connection.execute(query).scalars()})


def count_sessions(connection: Connection) -> int:
    """How many sessions are open in `radacct`."""
    query = select(func.count()).select_from(radacct).where(radacct.c.acctstoptime.is_(None))
    return int(connection.execute(query).scalar_one())


def read_groups(connection: Connection, names: Collection[str]) -> dict[str, tuple[Pair, ...]]:
    """The reply pairs of groups that have rows of any kind (members, checks, replies)."""
    found: dict[str, list[Pair]] = {}
    for chunk in batched(sorted(names), CHUNK):
        for table in (radusergroup, radgroupcheck):
            query = select(table.c.groupname).where(table.c.groupname.in_(chunk)).distinct()
            for name in connection.execute(query).scalars():
                found.setdefault(name, [])
        query_all = select(radgroupreply).where(radgroupreply.c.groupname.in_(chunk)).order_by(radgroupreply.c.id)
        for row in connection.execute(query_all).mappings():
            found.setdefault(row['groupname'], []).append((row['attribute'], row['value']))
    return {name: tuple(pairs) for name, pairs in found.items() if name in names}


def write_group(connection: Connection, group: NewGroup) -> None:
    """Make a group from its base: what decides about rates is replaced, all else (pools, DNS) stays."""
    replaced = {name.partition(':')[0] for name, _ in group.reply}
    for table in (radgroupcheck, radgroupreply):
        rows = connection.execute(
            select(table.c.attribute, table.c.op, table.c.value).where(table.c.groupname == group.base)
        ).all()
        copies = [
            {'groupname': group.name, 'attribute': row.attribute, 'op': row.op, 'value': row.value}
            for row in rows
            if row.attribute.partition(':')[0] not in replaced
        ]
        if copies:
            connection.execute(insert(table), copies)
    connection.execute(
        insert(radgroupreply),
        [
            {'groupname': group.name, 'attribute': name, 'op': operator, 'value': value}
            for name, operator, value in with_operators(group.reply)
        ],
    )


def write_policies(
    connection: Connection, wanted: Mapping[str, StoredPolicy], users: Mapping[str, User], deciding: Collection[str]
) -> None:
    """Replace the rows of these users (as just read and locked) by what is wanted; rows that fit are left alone."""
    groups = [name for name in wanted if wanted[name].groups != users[name].policy(deciding).groups]
    replies = [name for name in wanted if wanted[name].reply != users[name].policy(deciding).reply]
    _delete(connection, radusergroup, (row[0] for name in groups for row in users[name].groups))
    _delete(connection, radreply, (row[0] for name in replies for row in users[name].replies if row[1] in deciding))
    _insert(
        connection,
        radusergroup,
        [
            {'username': name, 'groupname': group, 'priority': priority}
            for name in groups
            for group, priority in wanted[name].groups
        ],
    )
    _insert(
        connection,
        radreply,
        [
            {'username': name, 'attribute': attribute, 'op': operator, 'value': value}
            for name in replies
            for attribute, operator, value in wanted[name].reply
        ],
    )


def write_memories(connection: Connection, memories: Mapping[str, Memory]) -> None:
    for chunk in batched(memories, CHUNK):
        connection.execute(delete(memory).where(memory.c.username.in_(chunk)))
    _insert(
        connection,
        memory,
        [
            {
                'username': name,
                'replaced': json.dumps(memo.replaced.as_detail()) if memo.replaced else None,
                'session': memo.session,
                'session_state': json.dumps(memo.state.as_dict()) if memo.state else None,
            }
            for name, memo in memories.items()
        ],
    )


def _delete(connection: Connection, table: Table, ids: Iterable[int]) -> None:
    for chunk in batched(sorted(ids), CHUNK):
        connection.execute(delete(table).where(table.c.id.in_(chunk)))


def _insert(connection: Connection, table: Table, rows: list[dict[str, object]]) -> None:
    if rows:
        connection.execute(insert(table), rows)
