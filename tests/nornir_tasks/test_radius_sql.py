"""Stored policy in FreeRADIUS's own schema, on PostgreSQL and on MariaDB."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from nornir_tasks.change import AccessChange, AccessState, Outcome
from nornir_tasks.connections.freeradius import DatabaseParameters, FreeRADIUSSession
from nornir_tasks.credentials import Credential
from nornir_tasks.drivers.radius.freeradius_sql import FreeRADIUSDriver
from nornir_tasks.engine.journal import MemoryJournal
from nornir_tasks.engine.tasks import PointWork
from nornir_tasks.errors import LoginRefusedError, PointUnreachableError
from tests.simulators.freeradius import missing
from tests.simulators.radius_sql import load_schema, mariadb_database, mariadb_missing, postgres_database, target

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing())

NORMAL, BLOCKED, SLOW = AccessState.normal(), AccessState.blocked(), AccessState.throttled(1000, 512)


@pytest.fixture(scope='module', params=['postgresql', 'mysql'])
def server(request, tmp_path_factory):
    if request.param == 'postgresql':
        with postgres_database() as database:
            yield database
        return
    if mariadb_missing():
        pytest.skip(mariadb_missing())
    with mariadb_database(tmp_path_factory.mktemp('mariadb')) as database:
        yield database


@pytest.fixture
def db(server):
    server.empty()
    server.group('home', Mikrotik_Rate_Limit='10M/20M', Framed_Pool='pool-a')
    server.group('slow', Mikrotik_Rate_Limit='512k/1M')
    server.group('nbd-restricted', Mikrotik_Address_List='nbd-restricted')
    return server


def driver(db, **parameters):
    return FreeRADIUSDriver(db.session(), db.parameters | {'dialect': 'mikrotik'} | parameters)


def enforce(db, desired, *targets, exact=None, **parameters):
    work = PointWork(lambda: driver(db, **parameters), 100, MemoryJournal())
    work.run([AccessChange(f'c-{each.key}', each, desired, exact=exact or {}) for each in targets])
    return [(result.outcome, result.message) for result in work.results]


OFFLINE = [(Outcome.OFFLINE, '')]


def test_a_user_is_throttled_blocked_and_put_back_exactly(db):
    db.user('ana', 'home', 'vip', Mikrotik_Rate_Limit='11M/22M', Framed_Route='192.0.2.0/24')
    db.user('bob', 'home')
    before = db.truth()
    assert enforce(db, SLOW, target('ana')) == OFFLINE
    assert db.groups_of('ana') == [('slow', 1)]
    # The user's own rate would have won over the group's.
    assert db.execute("SELECT attribute FROM radreply WHERE username = 'ana'") == [('Framed-Route',)]
    assert enforce(db, BLOCKED, target('ana')) == OFFLINE
    assert db.groups_of('ana') == [('nbd-restricted', 1)]
    assert db.groups_of('bob') == [('home', 1)]
    assert enforce(db, NORMAL, target('ana')) == OFFLINE
    assert db.truth() == before


def test_a_second_run_changes_nothing(db):
    db.user('ana', 'home')
    assert enforce(db, BLOCKED, target('ana')) == OFFLINE
    assert enforce(db, BLOCKED, target('ana')) == [(Outcome.NOOP, '')]


def test_a_session_that_is_up_is_told_from_one_that_came_up_later(db):
    db.user('ana', 'home')
    db.dial('ana', 'first')
    assert enforce(db, BLOCKED, target('ana')) == [(Outcome.PARTIAL, 'stored blocked, live normal')]
    db.hang_up('ana')
    db.dial('ana', 'second')
    reading = driver(db).read([target('ana')])['ana']
    assert (reading.stored, reading.live) == (BLOCKED, BLOCKED)


def test_nothing_is_stored_where_a_group_would_restrict_nothing(db):
    db.user('ana', 'home')
    db.execute("DELETE FROM radgroupreply WHERE groupname = 'nbd-restricted'")
    before = db.truth()
    ((outcome, message),) = enforce(db, BLOCKED, target('ana'))
    assert outcome is Outcome.FAILED
    assert "VALUES ('nbd-restricted', 'Mikrotik-Address-List', ':=', 'nbd-restricted')" in message
    assert db.truth() == before


def test_a_group_of_other_rates_is_not_taken_for_the_wanted_one(db):
    db.user('ana', 'home')
    ((outcome, message),) = enforce(db, AccessState.throttled(2000, 512), target('ana'))
    assert outcome is Outcome.FAILED
    assert "'512k/2000k'" in message
    assert db.groups_of('ana') == [('home', 1)]


def test_a_group_is_made_from_the_plans_where_allowed(db):
    db.user('ana', 'home')
    state = AccessState.throttled(2000, 300)
    assert enforce(db, state, target('ana'), create_groups=True) == OFFLINE
    assert db.groups_of('ana') == [('home-2000k-300k', 1)]
    rows = db.execute("SELECT attribute, value FROM radgroupreply WHERE groupname = 'home-2000k-300k'")
    assert sorted(rows) == [('Framed-Pool', 'pool-a'), ('Mikrotik-Rate-Limit', '300k/2000k')]
    assert driver(db, create_groups=True).read([target('ana')])['ana'].stored == state
    assert enforce(db, NORMAL, target('ana'), create_groups=True) == OFFLINE
    assert db.groups_of('ana') == [('home', 1)]


@pytest.mark.parametrize('name', ['a"b', "a'; DELETE FROM radcheck; --", 'a b', 'José', '$(x)', '%s', '\\', 'ü' * 64])
def test_a_user_name_is_only_ever_a_value(db, name):
    db.user(name, 'home')
    db.user('other', 'home')
    assert enforce(db, BLOCKED, target(name)) == OFFLINE
    assert db.groups_of(name) == [('nbd-restricted', 1)]
    assert db.groups_of('other') == [('home', 1)]


@pytest.mark.parametrize('name', ['', 'a\x00b', 'a\nb', 'x' * 65])
def test_a_user_name_that_the_tables_cannot_hold_is_refused(db, name):
    ((outcome, message),) = enforce(db, BLOCKED, target(name))
    assert outcome is Outcome.FAILED
    assert 'user name' in message


@pytest.mark.parametrize('server', ['postgresql'], indirect=True)
@pytest.mark.parametrize('encoding', ['SQL_ASCII', 'LATIN1'])
def test_a_database_in_another_encoding_is_written_to_the_byte(db, encoding):
    """An old PostgreSQL has Latin-1, or bytes without any encoding, which psycopg alone hands out as bytes."""
    name = f'radius_{encoding.lower()}'
    db.execute(f"CREATE DATABASE {name} ENCODING '{encoding}' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0")
    other = replace(db, database=name)
    load_schema(other)
    with other.session().engine.begin() as connection:
        connection.exec_driver_sql("SET client_encoding TO 'SQL_ASCII'")
        for user, group in (("E'jo\\xe3o'", "E'padr\\xe3o'"), ("'bob'", "'home'")):
            connection.exec_driver_sql(
                f"INSERT INTO radcheck (username, attribute, op, value) VALUES ({user}, 'User-Password', ':=', 'pw');"
                f'INSERT INTO radusergroup (username, groupname, priority) VALUES ({user}, {group}, 1);'
            )
        connection.exec_driver_sql(
            'INSERT INTO radgroupreply (groupname, attribute, op, value) '
            "VALUES ('nbd-restricted', 'Mikrotik-Address-List', ':=', 'x')"
        )
        truth = 'SELECT username::bytea, groupname::bytea FROM radusergroup ORDER BY 1'
        before = connection.exec_driver_sql(truth).all()
    login = 'joão' if encoding == 'LATIN1' else 'jo␛DCE3o'
    ana, bob, alien = target(login), target('bob'), target('zé€\ud800')
    assert sorted(outcome for outcome, _ in enforce(other, BLOCKED, ana, bob, alien)) == [
        'failed',
        'offline',
        'offline',
    ]
    assert driver(other).read([ana])[login].stored == BLOCKED
    with other.session().engine.begin() as connection:
        assert b'jo\xe3o' in [bytes(row[0]) for row in connection.exec_driver_sql(truth)]
    assert sorted(outcome for outcome, _ in enforce(other, NORMAL, ana, bob, alien)) == ['failed', 'offline', 'offline']
    with other.session().engine.begin() as connection:
        assert connection.exec_driver_sql(truth).all() == before


def test_a_note_that_cannot_be_read_stops_nobody_and_no_way_back(db):
    texts = ('{', 'null', '[1]', '{"a": 1}', '{"x": {"state": {"mode": "no"}}}', 'NaN', '"\\u0000"')
    names = [f'u{number}' for number in range(len(texts))]
    for name in (*names, 'bob'):
        db.user(name, 'home')
    assert enforce(db, BLOCKED, *map(target, names)) == OFFLINE * len(names)
    for name, text in zip(names, texts, strict=True):
        kept = {'k': text, 'u': name}
        db.execute('UPDATE nbd_line SET replaced = :k, written = :k, sessions = :k WHERE username = :u', kept)
    plans = [target(name, parameters={'group': 'home'}) for name in names]
    assert enforce(db, BLOCKED, target('bob'), *plans)[-1] == OFFLINE[0]
    assert enforce(db, NORMAL, *plans) == OFFLINE * len(names)
    assert [db.groups_of(name) for name in names] == [[('home', 1)]] * len(names)


def test_parameters_that_do_not_fit_hold_up_no_way_back(db):
    db.user('ana', 'home')
    db.user('bob', 'home')
    assert enforce(db, BLOCKED, target('ana')) == OFFLINE
    wrong = {'parameters': {'typo': 1}, 'baseline': {'groups': [['home', 1]], 'reply': []}}
    (ana, bob) = enforce(db, SLOW, target('ana', **wrong), target('bob'))
    assert (ana[0], 'typo' in ana[1], bob) == (Outcome.FAILED, True, OFFLINE[0])
    assert enforce(db, NORMAL, target('ana', **wrong)) == OFFLINE
    assert db.groups_of('ana') == [('home', 1)]


def test_a_user_that_is_not_there_is_not_made(db):
    before = db.truth()
    ((outcome, message),) = enforce(db, BLOCKED, target('nobody'))
    assert (outcome, message) == (Outcome.FAILED, 'no such user in radcheck, radreply or radusergroup')
    assert db.truth() == before


def test_names_that_differ_only_in_case_or_accents_are_never_mixed_up(db):
    db.user('Ana', 'home')
    db.user('aná', 'home')
    before = db.truth()
    ((outcome, message),) = enforce(db, BLOCKED, target('ana'))
    assert outcome is Outcome.FAILED
    assert db.truth() == before
    if db.kind == 'mysql':
        assert "'Ana'" in message
        ((outcome, _),) = enforce(db, BLOCKED, target('Ana'))
        assert outcome is Outcome.FAILED  # FreeRADIUS itself would take the rows of both
        assert db.truth() == before
    else:
        assert enforce(db, BLOCKED, target('Ana')) == OFFLINE
        assert db.groups_of('aná') == [('home', 1)]


def test_two_open_sessions_do_not_keep_the_policy_from_being_stored(db):
    db.user('ana', 'home')
    db.dial('ana', 'one')
    db.dial('ana', 'two')
    assert enforce(db, BLOCKED, target('ana')) == [(Outcome.PARTIAL, 'stored blocked, live normal')]
    db.dial('ana', 'three')  # came up blocked; the others did not
    assert driver(db).read([target('ana')])['ana'].live == NORMAL
    ((outcome, _),) = enforce(db, NORMAL, target('ana'))
    assert outcome is Outcome.PARTIAL  # the third is still blocked
    assert db.groups_of('ana') == [('home', 1)]


def test_rows_changed_since_they_were_read_are_left_alone(db):
    db.user('ana', 'home')
    db.user('bob', 'home')
    at = driver(db)
    before = at.read([target('ana'), target('bob')])
    db.execute("UPDATE radusergroup SET groupname = 'vip' WHERE username = 'ana'")
    changes = [AccessChange(name, target(name), BLOCKED) for name in ('ana', 'bob')]
    replies = at.apply(changes, before)
    assert 'changed by somebody else' in replies['ana'].message
    assert replies['bob'].accepted
    assert db.groups_of('ana') == [('vip', 1)]


def test_a_batch_is_stored_whole_or_not_at_all(db):
    db.user('ana', 'home')
    db.user('bob', 'home')
    at = driver(db)
    before = at.read([target('ana'), target('bob')])
    truth = db.truth()
    db.execute('ALTER TABLE nbd_line RENAME TO elsewhere')
    try:
        with pytest.raises(PointUnreachableError, match='nbd_line'):
            at.apply([AccessChange(name, target(name), BLOCKED) for name in ('ana', 'bob')], before)
    finally:
        db.execute('ALTER TABLE elsewhere RENAME TO nbd_line')
    assert db.truth() == truth


def test_what_was_replaced_is_remembered_without_any_help(db):
    """Even where the run that blocked died before it could tell anybody what it replaced."""
    db.user('ana', 'vip', 'home')
    at = driver(db)
    at.apply([AccessChange('c', target('ana'), BLOCKED)], at.read([target('ana')]))
    assert enforce(db, NORMAL, target('ana', parameters={}, baseline={})) == OFFLINE
    assert db.groups_of('ana') == [('vip', 1), ('home', 2)]


def test_without_a_memory_the_plans_group_is_gone_back_to_if_it_is_there(db):
    db.user('ana', 'nbd-restricted')
    ((outcome, message),) = enforce(db, NORMAL, target('ana'))
    assert (outcome, 'none was recorded' in message) == (Outcome.FAILED, True)
    ((outcome, message),) = enforce(db, NORMAL, target('ana', parameters={'group': 'typo'}))
    assert (outcome, '"typo" is not in the database' in message) == (Outcome.FAILED, True)
    assert enforce(db, NORMAL, target('ana', parameters={'group': 'home'})) == OFFLINE
    assert db.groups_of('ana') == [('home', 1)]


def test_hundreds_of_users_go_in_one_transaction(db):
    for number in range(120):
        db.user(f'u{number}', 'home')
    changes = [target(f'u{number}') for number in range(120)]
    assert {outcome for outcome, _ in enforce(db, SLOW, *changes)} == {Outcome.OFFLINE}
    assert db.execute("SELECT count(*) FROM radusergroup WHERE groupname = 'slow'") == [(120,)]
    assert {outcome for outcome, _ in enforce(db, NORMAL, *changes)} == {Outcome.OFFLINE}
    assert db.execute("SELECT count(*) FROM radusergroup WHERE groupname = 'home'") == [(120,)]


def test_what_is_missing_is_told_with_the_lines_to_add(db):
    db.execute('DROP TABLE nbd_line')
    db.execute("DELETE FROM radgroupreply WHERE groupname = 'nbd-restricted'")
    at = driver(db)
    findings = {finding.subject: finding for finding in at.check(datetime.now(UTC))}
    assert findings['tables'].ok
    assert not findings['group nbd-restricted'].ok
    assert not findings['memory'].ok
    assert findings['group nbd-restricted'].add == (
        'INSERT INTO radgroupreply (groupname, attribute, op, value) VALUES '
        "('nbd-restricted', 'Mikrotik-Address-List', ':=', 'nbd-restricted')",
    )
    assert [reply.accepted for reply in at.prepare(list(findings.values()))] == [True, True]
    assert all(finding.ok for finding in at.check(datetime.now(UTC)))
    db.user('ana', 'home')
    assert enforce(db, BLOCKED, target('ana')) == OFFLINE


def test_a_wrong_password_and_a_closed_port_are_sentences_without_the_secret(db):
    parameters = DatabaseParameters.model_validate(db.parameters)
    with pytest.raises(PointUnreachableError, match='cannot be reached'):
        FreeRADIUSSession.connect('127.0.0.1', 9, Credential(username='radius'), parameters, 2)
    if db.kind == 'mysql':
        credential = Credential(username='radius', password='planted-secret')
        with pytest.raises(LoginRefusedError) as caught:
            FreeRADIUSSession.connect(db.address, db.port, credential, parameters, 2)
        assert 'planted-secret' not in str(caught.value)
