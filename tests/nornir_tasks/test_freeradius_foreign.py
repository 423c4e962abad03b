"""Who restricts a login in FreeRADIUS's tables: ours is given back, another's is shown and left alone."""

from datetime import UTC, datetime

import pytest

from nornir_tasks.change import AccessState, Outcome
from tests.nornir_tasks.test_radius_sql import OFFLINE, driver, enforce
from tests.simulators.freeradius import freeradius_server, missing
from tests.simulators.radius_login import log_in
from tests.simulators.radius_sql import mariadb_database, mariadb_missing, postgres_database, target

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing())

NORMAL, BLOCKED, SLOW = AccessState.normal(), AccessState.blocked(), AccessState.throttled(1000, 512)


@pytest.fixture(scope='module', params=['postgresql', 'mysql'])
def server(request, tmp_path_factory):
    """A database, and the port of a FreeRADIUS that reads it."""
    if request.param == 'mysql' and mariadb_missing():
        pytest.skip(mariadb_missing())
    made = (
        postgres_database() if request.param == 'postgresql' else mariadb_database(tmp_path_factory.mktemp('mariadb'))
    )
    with made as db, freeradius_server(tmp_path_factory.mktemp('radius'), db.kind, db.where, db.database) as radius:
        yield db, radius.auth


@pytest.fixture
def db(server):
    database, _ = server
    database.empty()
    database.group('home', Mikrotik_Rate_Limit='10M/20M')
    database.group('slow', Mikrotik_Rate_Limit='512k/1M')
    database.group('nbd-restricted', Mikrotik_Address_List='nbd-restricted')
    return database


@pytest.fixture
def login(server):
    """What the server answers that user: None where it turns the login away."""

    def ask(name):
        answer = log_in(server[1], [name])[name]
        return dict(answer.pairs) if answer.accepted else None

    return ask


def check(db, table, owner, name, attribute, op, value):
    db.execute(
        f'INSERT INTO {table} ({owner}, attribute, op, value) VALUES (:n, :a, :o, :v)',
        {'n': name, 'a': attribute, 'o': op, 'v': value},
    )


def reject(db, group):
    check(db, 'radgroupcheck', 'groupname', group, 'Auth-Type', ':=', 'Reject')


def by_user(db, name):
    check(db, 'radcheck', 'username', name, 'Auth-Type', ':=', 'Reject')


def read(db, line, **parameters):
    reading = driver(db, **parameters).read([line])[line.key]
    return reading.stored, reading.foreign, reading.error


FOREIGN = {
    'a group that rejects': ('group disabled (Auth-Type := Reject)',),
    'a user that is rejected': ('Auth-Type := Reject (radcheck)',),
    'a group that the point names': ('group bloqueado',),
    "a list among the user's replies": ('Mikrotik-Address-List := bloqueados (radreply)',),
}


def put_foreign(db, kind):
    if kind == 'a group that rejects':
        reject(db, 'disabled')
        db.user('ana', 'disabled', 'home')
    elif kind == 'a user that is rejected':
        db.user('ana', 'home')
        by_user(db, 'ana')
    elif kind == 'a group that the point names':
        db.group('bloqueado', Mikrotik_Address_List='bloqueados')
        db.user('ana', 'bloqueado', 'home')
    else:
        db.user('ana', 'home', Mikrotik_Address_List='bloqueados')


NAMED = {'foreign_groups': ['bloqueado']}


@pytest.mark.parametrize('kind', FOREIGN)
def test_what_somebody_else_restricts_is_never_normal_and_never_a_baseline(db, kind):
    put_foreign(db, kind)
    reading = driver(db, **NAMED).read([target('ana')])['ana']
    assert (reading.stored, reading.foreign, reading.error) == (NORMAL, FOREIGN[kind], '')
    assert not reading.is_baseline


@pytest.mark.parametrize('desired', [SLOW, BLOCKED], ids=str)
@pytest.mark.parametrize('kind', FOREIGN)
def test_ours_on_top_of_theirs_lets_nobody_in_and_only_ours_is_lifted(db, login, kind, desired):
    put_foreign(db, kind)
    before, answered = db.truth(), login('ana')
    assert enforce(db, desired, target('ana'), **NAMED) == OFFLINE
    stored, foreign, _ = read(db, target('ana'), **NAMED)
    assert (stored, foreign) == (desired, FOREIGN[kind])
    if answered is None:
        assert login('ana') is None
    elif kind == 'a group that the point names':
        assert login('ana') == answered
    assert enforce(db, NORMAL, target('ana'), **NAMED) == OFFLINE
    assert db.truth() == before
    assert login('ana') == answered
    assert read(db, target('ana'), **NAMED)[:2] == (NORMAL, FOREIGN[kind])


def test_a_foreign_block_that_is_put_on_top_of_ours_stays_when_ours_is_lifted(db, login):
    db.user('ana', 'home')
    assert enforce(db, BLOCKED, target('ana')) == OFFLINE
    by_user(db, 'ana')
    assert read(db, target('ana'))[:2] == (BLOCKED, ('Auth-Type := Reject (radcheck)',))
    assert enforce(db, NORMAL, target('ana')) == OFFLINE
    assert db.groups_of('ana') == [('home', 1)]
    assert login('ana') is None


def test_a_foreign_group_behind_one_that_falls_through_still_turns_the_login_away(db, login):
    reject(db, 'disabled')
    check(db, 'radgroupreply', 'groupname', 'home', 'Fall-Through', '=', 'Yes')
    db.user('ana', 'home', 'disabled')
    before = db.truth()
    assert read(db, target('ana'))[1] == ('group disabled (Auth-Type := Reject)',)
    assert enforce(db, SLOW, target('ana')) == OFFLINE
    assert login('ana') is None
    assert enforce(db, NORMAL, target('ana')) == OFFLINE
    assert db.truth() == before


def test_a_rejecting_group_that_is_never_reached_restricts_nobody(db, login):
    reject(db, 'disabled')
    db.user('ana', 'home', 'disabled')
    assert login('ana') is not None
    assert read(db, target('ana')) == (NORMAL, (), '')


def test_our_blocked_group_may_be_one_that_rejects(db, login):
    db.execute("DELETE FROM radgroupreply WHERE groupname = 'nbd-restricted'")
    reject(db, 'nbd-restricted')
    db.user('ana', 'home')
    assert enforce(db, BLOCKED, target('ana')) == OFFLINE
    assert login('ana') is None
    assert read(db, target('ana')) == (BLOCKED, (), '')
    assert enforce(db, NORMAL, target('ana')) == OFFLINE
    assert login('ana') == {'Mikrotik-Rate-Limit': '10M/20M'}


def test_a_restricting_group_whose_check_does_not_match_is_not_applied(db):
    check(db, 'radgroupcheck', 'groupname', 'nbd-restricted', 'NAS-IP-Address', '==', '192.0.2.1')
    db.user('ana', 'home')
    before = db.truth()
    ((outcome, message),) = enforce(db, BLOCKED, target('ana'))
    assert (outcome, 'it depends on whether it is blocked or normal' in message) == (Outcome.FAILED, True)
    assert db.truth() == before


@pytest.mark.parametrize(
    ('attribute', 'value'),
    [('Login-Time', 'Wk0800-1800'), ('Max-Daily-Session', '3600'), ('Expiration', 'one day'), ('Auth-Type', 'Weird')],
)
def test_what_the_tables_alone_do_not_decide_is_an_error_and_not_normal(db, attribute, value):
    db.user('ana', 'home')
    check(db, 'radcheck', 'username', 'ana', attribute, ':=', value)
    stored, _, error = read(db, target('ana'))
    assert stored is None
    assert f'{attribute} := {value} (radcheck)' in error


def test_what_cannot_be_decided_keeps_nobody_from_getting_back_what_is_ours(db):
    db.user('ana', 'home')
    assert enforce(db, BLOCKED, target('ana')) == OFFLINE
    check(db, 'radcheck', 'username', 'ana', 'Login-Time', ':=', 'Wk0800-1800')
    assert read(db, target('ana'))[:2] == (BLOCKED, ('Login-Time := Wk0800-1800 (radcheck)',))
    assert enforce(db, NORMAL, target('ana')) == OFFLINE
    assert db.groups_of('ana') == [('home', 1)]
    assert read(db, target('ana'))[:2] == (NORMAL, ('Login-Time := Wk0800-1800 (radcheck)',))


def test_an_expiration_is_compared_with_the_clock(db):
    db.user('ana', 'home')
    check(db, 'radcheck', 'username', 'ana', 'Expiration', ':=', '01 Jan 2190')
    assert read(db, target('ana')) == (NORMAL, (), '')
    db.execute("UPDATE radcheck SET value = '01 Jan 2020' WHERE attribute = 'Expiration'")
    assert read(db, target('ana'))[:2] == (NORMAL, ('Expiration := 01 Jan 2020 (radcheck)',))


def test_the_usual_concurrency_limit_decides_nothing(db):
    check(db, 'radgroupcheck', 'groupname', 'home', 'Simultaneous-Use', ':=', '1')
    db.user('ana', 'home')
    assert read(db, target('ana')) == (NORMAL, (), '')


def test_a_password_that_counts_at_some_logins_only_is_no_normal_line(db):
    db.user('ana', 'home')
    check(db, 'radcheck', 'username', 'ana', 'NAS-Port-Type', '==', 'Virtual')
    stored, _, error = read(db, target('ana'))
    assert (stored, 'password' in error) == (None, True)


@pytest.mark.parametrize('kind', ['a group that rejects', 'a group that the point names'])
def test_what_a_person_adopted_is_ours_to_give_back(db, login, kind):
    put_foreign(db, kind)
    line = target('ana', parameters={'group': 'home'}, restricted={'foreign': list(FOREIGN[kind])})
    assert read(db, line, **NAMED) == (BLOCKED, (), '')
    assert enforce(db, NORMAL, line, **NAMED) == OFFLINE
    assert login('ana') == {'Mikrotik-Rate-Limit': '10M/20M'}


@pytest.mark.parametrize('remembers', ['nbd_line', 'NetBox'])
def test_a_line_in_a_group_that_was_renamed_in_the_settings_is_given_back(db, remembers):
    db.user('ana', 'home')
    assert enforce(db, BLOCKED, target('ana')) == OFFLINE
    noted = {}
    if remembers == 'NetBox':
        db.execute('DELETE FROM nbd_line')
        noted = {'point': {'blocked_group': 'nbd-restricted'}, 'line': {}}
    db.group('walled', Mikrotik_Address_List='nbd-restricted')
    line = target('ana', restricted=noted, baseline={'groups': [['home', 1]], 'reply': []})
    assert read(db, line, blocked_group='walled') == (BLOCKED, (), '')
    assert enforce(db, NORMAL, line, blocked_group='walled') == OFFLINE
    assert db.groups_of('ana') == [('home', 1)]


def test_a_throttled_line_of_a_renamed_group_is_given_back(db):
    db.user('ana', 'home')
    assert enforce(db, SLOW, target('ana')) == OFFLINE
    db.execute('DELETE FROM nbd_line')
    noted = {'point': {}, 'line': {'throttled_group': 'slow'}}
    line = target('ana', parameters={'throttled_group': 'slower', 'group': 'home'}, restricted=noted)
    assert read(db, line) == (SLOW, (), '')
    assert enforce(db, NORMAL, line) == OFFLINE
    assert db.groups_of('ana') == [('home', 1)]


def test_a_group_that_nobody_noted_is_refused_with_both_names(db):
    db.user('ana', 'nbd-old')
    db.group('nbd-old', Mikrotik_Address_List='nbd-restricted')
    line = target('ana', parameters={'group': 'home'}, restricted={'point': {'blocked_group': 'lost'}})
    stored, _, error = read(db, line)
    assert (stored, '"nbd-old"' in error, '"home"' in error) == (None, True, True)


def test_a_group_that_was_noted_as_normal_is_so_whatever_lists_it_gives(db):
    """Given back, with the restriction still open in NetBox: it is read as normal, so that it can be closed."""
    db.group('vip', Mikrotik_Address_List='vip-customers')
    db.user('ana', 'vip')
    line = target('ana', parameters={'group': 'home'}, baseline={'groups': [['vip', 1]], 'reply': []})
    assert enforce(db, BLOCKED, line) == OFFLINE
    db.execute('DELETE FROM nbd_line')
    noted = {'point': {'blocked_group': 'nbd-restricted'}, 'line': {}}
    line = target('ana', parameters={'group': 'home'}, baseline=dict(line.baseline), restricted=noted)
    assert enforce(db, NORMAL, line) == OFFLINE
    assert db.groups_of('ana') == [('vip', 1)]
    assert read(db, line) == (NORMAL, (), '')


def test_a_recorded_group_that_restricts_is_not_gone_back_to(db):
    reject(db, 'disabled')
    db.user('ana', 'nbd-restricted')
    line = target('ana', parameters={}, baseline={'groups': [['disabled', 1]], 'reply': []})
    ((outcome, message),) = enforce(db, NORMAL, line)
    assert (outcome, '"disabled", which is neither' in message) == (Outcome.FAILED, True)
    line = target('ana', parameters={'group': 'home'}, baseline={'groups': [['disabled', 1]], 'reply': []})
    assert enforce(db, NORMAL, line) == OFFLINE
    assert db.groups_of('ana') == [('home', 1)]


@pytest.mark.parametrize('rate', ['512k/1000k 1M/2M 512k/1M 8/8', '512000/1000000', '512k/1M'])
def test_a_rate_with_a_burst_or_in_plain_bits_is_read(db, rate):
    db.user('ana', 'home')
    db.execute('UPDATE radgroupreply SET value = :v WHERE groupname = :g', {'v': rate, 'g': 'slow'})
    db.execute("UPDATE radusergroup SET groupname = 'slow'")
    assert read(db, target('ana')) == (SLOW, (), '')


def test_a_rate_that_cannot_be_read_does_not_matter_on_the_way_back(db):
    db.user('ana', 'home')
    assert enforce(db, SLOW, target('ana')) == OFFLINE
    db.execute("UPDATE radgroupreply SET value = 'as fast as it goes' WHERE groupname = 'slow'")
    db.execute('DELETE FROM nbd_line')
    line = target('ana', baseline={'groups': [['home', 1]], 'reply': []})
    assert read(db, line)[0].mode is SLOW.mode
    assert enforce(db, NORMAL, line) == OFFLINE
    assert db.groups_of('ana') == [('home', 1)]


def test_a_user_that_is_gone_is_read_as_absent(db):
    reading = driver(db).read([target('nobody')])['nobody']
    assert reading.absent
    db.user('ana', 'home')
    assert not driver(db).read([target('ana')])['ana'].absent


def test_names_that_are_not_plain_letters_are_put_back_as_they_were(db, login):
    db.group('padrão', Mikrotik_Rate_Limit='10M/20M')
    db.user('ana', 'padrão')
    before = db.truth()
    assert enforce(db, BLOCKED, target('ana')) == OFFLINE
    assert enforce(db, NORMAL, target('ana')) == OFFLINE
    assert db.truth() == before
    assert login('ana') == {'Mikrotik-Rate-Limit': '10M/20M'}


def test_usual_names_of_foreign_groups_are_offered_by_the_check(db):
    db.user('ana', 'daloRADIUS-Disabled-Users')
    db.user('bob', 'bloqueado')
    findings = {finding.subject: finding for finding in driver(db).check(datetime.now(UTC))}
    found = findings['foreign groups']
    assert not found.ok
    assert not found.required
    assert 'bloqueado (1), daloRADIUS-Disabled-Users (1)' in found.message.replace('Users (1), bloqueado (1)', '')
    named = {'foreign_groups': ['bloqueado', 'daloRADIUS-Disabled-Users']}
    assert 'foreign groups' not in {finding.subject for finding in driver(db, **named).check(datetime.now(UTC))}
