"""FreeRADIUS's tables as rlm_sql deploys them, and one of our own, in SQLAlchemy Core.

Names are lower-case: PostgreSQL folds the schema's to that, MySQL does not mind.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import batched

from sqlalchemy import Column, Connection, Integer, MetaData, String, Table, Text, delete, func, insert, select
from sqlalchemy.engine import RowMapping

from nornir_tasks.change import AccessState
from nornir_tasks.drivers.radius.server_decision import GroupRows, Item
from nornir_tasks.drivers.radius.sessions import NasSession
from nornir_tasks.drivers.radius.stored_policy import NewGroup, StoredPolicy, UserRows, Written, with_operators

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
    Column('written', Text),
    Column('sessions', Text),
    mysql_charset='utf8mb4',
    mysql_collate='utf8mb4_bin',
)


@dataclass(frozen=True, slots=True)
class SessionNote:
    """How we left a session that was up when we last wrote: `state` is `None` where its NAS had it no more.

    `unverified`: something was sent to it and what that did is not known; it is so, or as the stored policy is.
    `refused`: its NAS refused without saying why, and may have carried out a part. accel-ppp compares what is asked
    with the part that it did, so that it acknowledges the same again and does nothing: only its end helps.
    """

    state: AccessState | None = None
    unverified: bool = False
    refused: bool = False


@dataclass(frozen=True, slots=True)
class Memory:
    """`replaced` is the policy of better days, `written` the group and the state that we put in its place.

    `sessions` are those that were up when we last wrote, by their accounting's unique id; any other came up under the
    stored policy.
    """

    replaced: StoredPolicy | None = None
    written: Written | None = None
    sessions: Mapping[str, SessionNote] = field(default_factory=dict)
    unreadable: str = ''  # why it cannot be read: a way back is looked for without it, its sessions are unverified


@dataclass(slots=True)
class User:
    """All that the tables hold of one user name. `twins` are other names that the database takes for the same."""

    groups: list[tuple[int, str, int]] = field(default_factory=list)  # id, name, priority
    replies: list[tuple[int, str, str, str]] = field(default_factory=list)  # id, attribute, operator, value
    checks: list[Item] = field(default_factory=list)
    known: bool = False
    sessions: list[NasSession] = field(default_factory=list)
    memory: Memory = Memory()
    twins: set[str] = field(default_factory=set)

    def rows(self, username: str) -> UserRows:
        """What the server decides by, in its order."""
        return UserRows(
            username,
            tuple(self.checks),
            tuple(row[1:] for row in sorted(self.replies)),
            tuple((name, priority) for _, name, priority in sorted(self.groups, key=lambda row: (row[2], row[0]))),
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
            user.checks.append((row['attribute'], row['op'], row['value']))
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
                user.sessions.append(
                    NasSession(nas, row['username'], row['acctsessionid'], address, row['acctuniqueid'])
                )

    def _read_memories(self) -> None:
        for row in self.connection.execute(select(memory).where(memory.c.username.in_(self.chunk))).mappings():
            user = self.users.get(row['username'])  # MySQL finds "ana " for "ana", too
            if user is None:
                continue
            try:
                user.memory = _memory_of(row)
            except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
                why = f'what nbd_line has of it cannot be read ({type(error).__name__}): correct or delete that row'
                doubts = {session.unique: SessionNote(None, unverified=True, refused=True) for session in user.sessions}
                user.memory = Memory(sessions=doubts, unreadable=why)


def _memory_of(row: RowMapping) -> Memory:
    """Raises `ValueError`, `KeyError`, `TypeError`, `AttributeError`, `RecursionError` for what nobody of us wrote."""
    replaced, written, sessions = (
        json.loads(row[name]) if row[name] else None for name in ('replaced', 'written', 'sessions')
    )
    return Memory(
        StoredPolicy.from_detail(replaced) if replaced else None,
        Written(written['group'], AccessState.from_dict(written['state'])) if written else None,
        {
            unique: SessionNote(
                AccessState.from_dict(note['state']) if note['state'] else None,
                note['unverified'],
                note['refused'],
            )
            for unique, note in (sessions or {}).items()
        },
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


def read_groups(connection: Connection, names: Collection[str]) -> dict[str, GroupRows]:
    """The rows of groups that have any (members, checks, replies).

    A group's `twins` are others that the database takes for the same name, so that the server takes their rows too.
    """
    found: dict[str, GroupRows] = {}
    is_exact = connection.dialect.name == 'postgresql'
    alike: dict[str, list[str]] = {}
    for name in names:
        alike.setdefault(_folded(name), []).append(name)

    def note(name: str, **rows: tuple[Item, ...]) -> None:
        if name in names:
            now = found.setdefault(name, GroupRows())
            found[name] = replace(now, **{kind: (*getattr(now, kind), *more) for kind, more in rows.items()})
        if not is_exact and rows:
            for other in alike.get(_folded(name), ()):
                if other != name:
                    found[other] = replace(found.get(other, GroupRows()), twins=(name,))

    for chunk in batched(sorted(names), CHUNK):
        query = select(radusergroup.c.groupname).where(radusergroup.c.groupname.in_(chunk)).distinct()
        for name in connection.execute(query).scalars():
            note(name)
        for table, kind in ((radgroupcheck, 'check'), (radgroupreply, 'reply')):
            query_all = select(table).where(table.c.groupname.in_(chunk)).order_by(table.c.id)
            for row in connection.execute(query_all).mappings():
                note(row['groupname'], **{kind: ((row['attribute'], row['op'], row['value']),)})
    return found


def count_members(connection: Connection) -> dict[str, int]:
    """How many rows of `radusergroup` each group has."""
    query = select(radusergroup.c.groupname, func.count()).group_by(radusergroup.c.groupname)
    return {name: int(count) for name, count in connection.execute(query).all()}


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


@dataclass(frozen=True, slots=True)
class Rewrite:
    """A user's rows as they are to be: `now` and `wanted` leave out what is not ours to touch."""

    now: StoredPolicy
    wanted: StoredPolicy


def write_policies(connection: Connection, rewrites: Mapping[str, Rewrite], users: Mapping[str, User]) -> None:
    """Replace the rows of these users (as just read and locked) by what is wanted; rows that fit are left alone."""
    groups = {name: each for name, each in rewrites.items() if each.wanted.groups != each.now.groups}
    replies = {name: each for name, each in rewrites.items() if each.wanted.reply != each.now.reply}
    _delete(
        connection,
        radusergroup,
        (row[0] for name, each in groups.items() for row in users[name].groups if row[1:] in each.now.groups),
    )
    _delete(
        connection,
        radreply,
        (row[0] for name, each in replies.items() for row in users[name].replies if row[1:] in each.now.reply),
    )
    _insert(
        connection,
        radusergroup,
        [
            {'username': name, 'groupname': group, 'priority': priority}
            for name, each in groups.items()
            for group, priority in each.wanted.groups
        ],
    )
    _insert(
        connection,
        radreply,
        [
            {'username': name, 'attribute': attribute, 'op': operator, 'value': value}
            for name, each in replies.items()
            for attribute, operator, value in each.wanted.reply
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
                'written': json.dumps(memo.written.as_dict()) if memo.written else None,
                'sessions': json.dumps(
                    {
                        unique: {
                            'state': note.state.as_dict() if note.state else None,
                            'unverified': note.unverified,
                            'refused': note.refused,
                        }
                        for unique, note in memo.sessions.items()
                    }
                ),
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
