"""The check of RADIUS points: way, secret and clock of a NAS, rights in the database; and that nothing is changed."""

import json
import re
from datetime import UTC, datetime

import pytest

from nornir_tasks.change import AccessChange, AccessState, Outcome
from nornir_tasks.connections.freeradius import DatabaseParameters, FreeRADIUSSession
from nornir_tasks.credentials import Credential
from nornir_tasks.drivers.radius.freeradius_sql import FreeRADIUSDriver
from nornir_tasks.engine.journal import MemoryJournal
from nornir_tasks.engine.tasks import PointWork
from nornir_tasks.point_check import check_point
from nornir_tasks.points import Point
from tests.simulators.bng import bng
from tests.simulators.freeradius import SECRET, free_udp_port, freeradius_nas, missing
from tests.simulators.radius_sql import postgres_database, target

NAS, CLOCK = 'NAS 127.0.0.1', 'clock of NAS 127.0.0.1'


@pytest.fixture(autouse=True)
def credentials(monkeypatch):
    monkeypatch.setenv('DELINQUENCY_CREDENTIAL_NAS', json.dumps({'secret': SECRET}))
    monkeypatch.setenv('DELINQUENCY_CREDENTIAL_OTHER', json.dumps({'secret': 'planted-secret'}))
    monkeypatch.setenv('DELINQUENCY_CREDENTIAL_NONE', json.dumps({'username': 'radius'}))


def check(port, credential='nas', **parameters):
    point = Point('nas-1', 'radius_coa', '127.0.0.1', port, credential, parameters=parameters)
    findings = check_point(point, datetime.now(UTC))
    assert 'planted-secret' not in repr(findings)
    return {finding.subject: finding for finding in findings}


def test_a_nas_that_answers_is_reached_and_its_clock_is_near():
    with bng() as box:
        box.add('ana')
        found = check(box.port)
        assert {subject: finding.ok for subject, finding in found.items()} == {NAS: True, CLOCK: True}
        assert 'no such session' in found[NAS].message
        assert 'yesterday is dropped' in found[CLOCK].message
        assert (box.lines['ana'].changes, set(box.dropped)) == (0, {'Event-Timestamp'})


def test_answers_that_nobody_signed_are_told_from_silence():
    """As accel-ppp's: it sends no Message-Authenticator."""
    with bng(unsigned=True) as box:
        found = check(box.port, require_message_authenticator=True)
        assert not found[NAS].ok
        assert 'sends no Message-Authenticator' in found[NAS].message
        assert check(box.port)[NAS].ok


def test_a_nas_that_wants_to_be_named_in_each_request_says_how():
    with bng(refuse={'': 403}) as box:
        found = check(box.port)
        assert not found[NAS].ok
        assert 'add "NAS-IP-Address" to "identity"' in found[NAS].message


@pytest.mark.parametrize(
    ('skew', 'words'),
    [(3 * 3600, '18[0-9] minutes ahead'), (-3600, '(5[5-9]|6[0-5]) minutes behind'), (400, '[5-9] minutes ahead')],
)
def test_a_clock_that_is_off_is_told_from_a_way_that_is_closed(skew, words):
    with bng(clock_skew=skew) as box:
        found = check(box.port)
        assert found[NAS].ok
        assert not found[CLOCK].ok
        assert found[CLOCK].required
        assert re.search(words, found[CLOCK].message), found[CLOCK].message


def test_a_clock_that_was_never_set_is_found_where_a_request_without_time_passes():
    with bng(clock_skew=-50 * 365 * 86400, wants_timestamp=False) as box:
        found = check(box.port)
        assert (found[NAS].ok, found[CLOCK].ok) == (True, False)
        assert 'never set' in found[CLOCK].message


def test_lost_datagrams_are_not_taken_for_a_clock():
    """A NAS that does not look at the time, and a way that loses the first eight datagrams."""
    with bng(clock_window=10**9) as box:
        lost = iter([True] * 8)
        box.lose = lambda: next(lost, False)
        found = check(box.port)
        assert found[NAS].ok
        assert (found[CLOCK].ok, found[CLOCK].required) == (False, False)
        assert 'lost on the way' in found[CLOCK].message


@pytest.mark.parametrize('credential', ['other', 'none'])
def test_a_wrong_or_missing_secret_is_named(credential):
    with bng() as box:
        found = check(box.port, credential)
        assert [finding.ok for finding in found.values()] == [False]
        words = 'with this secret' if credential == 'other' else 'no "secret"'
        assert words in next(iter(found.values())).message
        assert box.requests == []


def test_a_closed_port_is_named():
    (finding,) = check(free_udp_port()).values()
    assert not finding.ok
    assert 'Connection refused' in finding.message


def test_a_nas_that_prohibits_it_is_not_fit():
    with bng(refuse={'': 501}) as box:
        found = check(box.port)
        assert (found[NAS].ok, found[CLOCK].ok) == (False, True)
        assert 'administratively prohibited' in found[NAS].message


@pytest.mark.skipif(bool(missing()), reason=missing())
@pytest.mark.parametrize('trust', [False, True])
def test_a_nas_that_acknowledges_anything_may_not_be_trusted(tmp_path, trust):
    """FreeRADIUS does by default, and it does not look at the clock."""
    with freeradius_nas(tmp_path) as server:
        found = check(server.coa, trust_acknowledgement=trust)
        assert found[NAS].ok is not trust
        assert 'its word proves nothing' in found[NAS].message
        assert 'can be played to it again' in found[CLOCK].message


@pytest.fixture(scope='module')
def database():
    with postgres_database() as database:
        yield database


@pytest.mark.skipif(bool(missing()), reason=missing())
class TestDatabase:
    @pytest.fixture
    def db(self, database, monkeypatch):
        database.empty()
        database.group('nbd-restricted', Mikrotik_Address_List='nbd-restricted')
        secret = {'username': database.username, 'password': database.password, 'secret': SECRET}
        monkeypatch.setenv('DELINQUENCY_CREDENTIAL_RADIUS', json.dumps(secret))
        return database

    def check(self, db, driver, credential='radius', **parameters):
        known = db.parameters | {'dialect': 'mikrotik'} | parameters
        point = Point('radius-1', driver, '127.0.0.1', db.port, credential, parameters=known)
        return {finding.subject: finding for finding in check_point(point, datetime.now(UTC))}

    def test_every_nas_that_has_sessions_or_a_name_is_asked(self, db):
        with bng() as box:
            db.user('ana', 'home')
            db.dial('ana', 'one')
            named = {'address': '127.0.0.9', 'coa_port': free_udp_port()}
            before = db.truth()
            found = self.check(db, 'radius', coa_port=box.port, nas=[named])
            assert {subject for subject, finding in found.items() if not finding.ok} == {'NAS 127.0.0.9'}
            assert found[NAS].ok
            assert found[CLOCK].ok
            assert found['reachability'].ok
            assert db.truth() == before
            box.clock_skew = 7200
            assert not self.check(db, 'radius', coa_port=box.port)[CLOCK].ok

    def test_accounting_that_shows_nothing_is_a_warning(self, db):
        found = self.check(db, 'radius')
        assert (found['accounting'].ok, found['accounting'].required) == (False, False)

    def test_the_rights_that_are_named_are_all_it_takes(self, db, monkeypatch):
        monkeypatch.setenv('DELINQUENCY_CREDENTIAL_NARROW', json.dumps({'username': 'narrow'}))
        db.execute('CREATE ROLE narrow LOGIN')
        finding = self.check(db, 'freeradius_sql', 'narrow')['privileges']
        assert 'GRANT SELECT, INSERT, UPDATE, DELETE ON radusergroup TO narrow' in finding.message
        assert 'GRANT SELECT ON radcheck TO narrow' in finding.message
        while not finding.ok:
            for grant in finding.message.partition(': ')[2].split('; '):
                db.execute(grant)
            finding, last = self.check(db, 'freeradius_sql', 'narrow')['privileges'], finding
            assert finding != last
        db.group('home', Mikrotik_Rate_Limit='10M/20M')
        db.group('slow', Mikrotik_Rate_Limit='512k/1M')
        db.user('ana', 'home')
        credential = Credential(username='narrow')
        session = FreeRADIUSSession.connect(
            '127.0.0.1', db.port, credential, DatabaseParameters.model_validate(db.parameters), 5
        )
        driver = FreeRADIUSDriver(session, {'dialect': 'mikrotik', 'database': db.database})
        work = PointWork(lambda: driver, 100, MemoryJournal())
        work.run([AccessChange('ana', target('ana'), AccessState.throttled(1000, 512))])
        assert [(row.outcome, row.message) for row in work.results] == [(Outcome.OFFLINE, '')]
        db.execute('DROP OWNED BY narrow')
        db.execute('DROP ROLE narrow')
