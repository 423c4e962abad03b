"""Generated tables, and a real FreeRADIUS on top of them: our reading is what the server does, on both databases."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import pytest

from nornir_tasks.change import AccessState
from nornir_tasks.drivers.radius.policy_judge import Judge
from nornir_tasks.drivers.radius.server_decision import GroupRows, Item, ServerAnswer, UndecidableError, answers_to
from nornir_tasks.drivers.radius.stored_policy import PolicyError, PolicyNames, UserRows
from tests.simulators.freeradius import freeradius_server, missing
from tests.simulators.radius_login import Login, log_in
from tests.simulators.radius_sql import RadiusDatabase, mariadb_database, mariadb_missing, postgres_database

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing())

WORLDS = 500  # on each database
NORMAL, BLOCKED, SLOW = AccessState.normal(), AccessState.blocked(), AccessState.throttled(1000, 512)
RATE = ('Mikrotik-Rate-Limit', ':=', '512k/1000k')
LIST = ('Mikrotik-Address-List', ':=', 'nbd-restricted')
PASSWORD_OPERATORS = (':=', ':=', ':=', ':=', '+=', '==', '=')

CHECKS: tuple[Item, ...] = (
    *(('Auth-Type', op, value) for op in (':=', '=', '==', '+=') for value in ('Reject', 'reject', 'Accept', 'PAP')),
    ('NAS-IP-Address', '==', '127.0.0.1'),
    ('NAS-IP-Address', '==', '192.0.2.9'),
    ('NAS-IP-Address', '!=', '192.0.2.9'),
    ('NAS-IP-Address', ':=', '192.0.2.9'),
    ('NAS-Port-Type', '==', 'Virtual'),
    ('Framed-Protocol', '=', 'PPP'),
    ('Called-Station-Id', '!*', 'x'),
    ('User-Name', '==', '{user}'),
    ('user-name', '==', 'nobody'),
    ('Cleartext-Password', '==', 'pw'),
    ('Simultaneous-Use', ':=', '1'),
    ('Simultaneous-Use', '==', '1'),
    ('Pool-Name', ':=', 'pool'),
)
REPLIES: tuple[Item, ...] = (
    *(
        (name, op, value)
        for name in ('Filter-Id', 'Session-Timeout', 'Mikrotik-Address-List', 'Mikrotik-Rate-Limit')
        for op in (':=', '=', '+=')
        for value in ('1', '2')
    ),
    *(3 * (('Fall-Through', '=', 'Yes'), ('Fall-Through', ':=', 'no'), ('Fall-Through', '=', '1'))),
)


@dataclass
class World:
    """Three users, and three groups: one is our block, one our throttle, one the plan's."""

    number: int
    users: dict[str, UserRows] = field(default_factory=dict)
    groups: dict[str, GroupRows] = field(default_factory=dict)

    @property
    def names(self) -> PolicyNames:
        blocked, throttled, normal = self.groups
        return PolicyNames(blocked, throttled, normal, create=False, rates={}, dialect='mikrotik')


def generated(number: int, chance: random.Random) -> World:
    def some(source: tuple[Item, ...], most: int, share: float) -> tuple[Item, ...]:
        return tuple(chance.choice(source) for _ in range(chance.randint(1, most))) if chance.random() < share else ()

    world = World(number)
    for kind, own in (('block', LIST), ('slow', RATE), ('home', None)):
        reply = some(REPLIES, 3, 0.6)
        world.groups[f'w{number}-{kind}'] = GroupRows(some(CHECKS, 2, 0.5), (own, *reply) if own else reply)
    for letter in 'abc':
        user = f'w{number}-{letter}'
        check = [('Cleartext-Password', chance.choice(PASSWORD_OPERATORS), 'pw'), *some(CHECKS, 2, 0.3)]
        chance.shuffle(check)
        if chance.random() < 0.05:
            check = []
        members = chance.sample(list(world.groups), chance.randint(0, 3))
        priorities = sorted(chance.sample(range(1, 9), len(members)))
        world.users[user] = UserRows(
            user,
            tuple((name, op, value.format(user=user)) for name, op, value in check),
            some(REPLIES, 2, 0.3),
            tuple(zip(members, priorities, strict=True)),
        )
    return world


def load(db: RadiusDatabase, worlds: list[World]) -> None:
    def rows(table: str, owner: str, entries: list[tuple[str, Item]]) -> None:
        statement = f'INSERT INTO {table} ({owner}, attribute, op, value) VALUES (:n, :a, :o, :v)'
        db.execute(statement, *({'n': name, 'a': a, 'o': o, 'v': v} for name, (a, o, v) in entries))

    users = [each for world in worlds for each in world.users.values()]
    groups = [each for world in worlds for each in world.groups.items()]
    db.empty()
    rows('radcheck', 'username', [(user.username, item) for user in users for item in user.check])
    rows('radreply', 'username', [(user.username, item) for user in users for item in user.reply])
    rows('radgroupcheck', 'groupname', [(name, item) for name, group in groups for item in group.check])
    rows('radgroupreply', 'groupname', [(name, item) for name, group in groups for item in group.reply])
    db.execute(
        'INSERT INTO radusergroup (username, groupname, priority) VALUES (:u, :g, :p)',
        *({'u': user.username, 'g': group, 'p': priority} for user in users for group, priority in user.groups),
    )


def is_let_in(answer: ServerAnswer) -> bool:
    """With a password that is right: where none is set, nobody can give it, unless any will do."""
    return not answer.rejected_by and answer.can_be_proven


def fits(answer: ServerAnswer, login: Login) -> bool:
    if not login.accepted or not is_let_in(answer):
        return login.accepted == is_let_in(answer)
    return sorted(login.pairs) == sorted(answer.pairs)


def faults_of(world: World, user: UserRows, login: Login) -> list[str]:
    """What our reading says that the server does not do."""
    try:
        names = [name for name, _ in user.groups]
        answers = answers_to(user.username, user.check, user.reply, names, world.groups)
    except UndecidableError:
        return []
    faults = []
    if not any(fits(answer, login) for answer in answers):
        faults.append(f'none of {answers} is what it answered')
    try:
        stored = Judge(world.names, world.groups).stored(user)
    except PolicyError:
        return faults
    given = dict(login.pairs)
    ours = {answer.taken for answer in answers}
    if stored.state == NORMAL and not stored.foreign:
        if not login.accepted and any(map(is_let_in, answers)):
            faults.append('read as normal, and turned away')
        if any(name in taken for taken in ours for name in list(world.groups)[:2]):
            faults.append('read as normal, and in a group of ours')
    if login.accepted and stored.state.mode is SLOW.mode and 'Mikrotik-Rate-Limit' not in given:
        faults.append('read as throttled, and given no rate')
    blocked_group = world.names.blocked
    if stored.state == BLOCKED and not any(blocked_group in taken for taken in ours) and not stored.foreign:
        faults.append('read as blocked, and not in our group')
    return faults


def check_worlds(db: RadiusDatabase, port: int) -> None:
    seed = random.SystemRandom().randrange(2**32)
    chance = random.Random(seed)
    worlds = [generated(number, chance) for number in range(WORLDS)]
    load(db, worlds)
    logins = log_in(port, [user for world in worlds for user in world.users])
    wrong = [
        f'{user}: {faults}; it answered {logins[user.username]}; groups {world.groups}'
        for world in worlds
        for user in world.users.values()
        if (faults := faults_of(world, user, logins[user.username]))
    ]
    assert not wrong, f'seed {seed}, {len(wrong)} users differ; the first:\n{wrong[0]}'
    assert sum(login.accepted for login in logins.values()) > WORLDS // 2


def test_what_is_read_is_what_the_server_does_on_postgresql(tmp_path):
    with postgres_database() as db, freeradius_server(tmp_path, db.kind, db.where, db.database) as server:
        check_worlds(db, server.auth)


def test_what_is_read_is_what_the_server_does_on_mariadb(tmp_path):
    if mariadb_missing():
        pytest.skip(mariadb_missing())
    (tmp_path / 'mariadb').mkdir()
    (tmp_path / 'radius').mkdir()
    with (
        mariadb_database(tmp_path / 'mariadb') as db,
        freeradius_server(tmp_path / 'radius', db.kind, db.where, db.database) as server,
    ):
        check_worlds(db, server.auth)
