"""`radius` and `radius_coa` through the engine: FreeRADIUS on SQL decides, a strict BNG carries the sessions."""

from collections import Counter
from dataclasses import replace

import pytest
from pydantic import ValidationError

from nornir_tasks.change import AccessChange, AccessState, AccessTarget, Outcome
from nornir_tasks.connections.radius import RadiusSession
from nornir_tasks.credentials import Credential
from nornir_tasks.drivers.radius.coa import RadiusCoADriver
from nornir_tasks.drivers.radius.driver import RadiusDriver
from nornir_tasks.drivers.radius.sessions import NasSession, send_work
from nornir_tasks.engine.journal import MemoryJournal
from nornir_tasks.engine.tasks import PointWork
from nornir_tasks.radius.attributes import AttributeValueError
from tests.simulators.bng import bng
from tests.simulators.freeradius import SECRET, freeradius_server, missing
from tests.simulators.radius_sql import postgres_database, target
from tests.waiting import wait_until

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing())

NORMAL, BLOCKED, SLOW = AccessState.normal(), AccessState.blocked(), AccessState.throttled(1000, 512)
TRUST = {'trust_acknowledgement': True}


@pytest.fixture(scope='module')
def servers(tmp_path_factory):
    with (
        postgres_database() as database,
        freeradius_server(
            tmp_path_factory.mktemp('freeradius'), database.kind, database.where, database.database
        ) as server,
    ):
        yield database, server


@pytest.fixture
def db(servers):
    database, _ = servers
    database.empty()
    database.group('home', Mikrotik_Rate_Limit='10000k/20000k')
    database.group('slow', Mikrotik_Rate_Limit='512k/1000k')
    database.group('nbd-restricted', Mikrotik_Address_List='nbd-restricted')
    for name in ('ana', 'bob'):
        database.user(name, 'home')
    return database


@pytest.fixture
def box(db, servers):
    with bng(server=(servers[1].auth, servers[1].acct)) as box:
        box.add('ana', 'bob')
        yield box


def enforce(db, box, desired, *names, session=None, **parameters):
    """Outcome and message by name; the connection is a new one, as in a new run."""
    session = session or db.session()
    known = db.parameters | {'dialect': 'mikrotik', 'coa_port': box.port} | parameters
    work = PointWork(lambda: RadiusDriver(session, known), 100, MemoryJournal())
    work.run([AccessChange(name, target(name), desired) for name in names])
    return {result.key: (result.outcome, result.message) for result in work.results}


APPLIED = (Outcome.APPLIED, '')


def test_a_line_is_throttled_live_blocked_by_a_reconnect_and_restored(db, box):
    line, other = box.lines['ana'], box.lines['bob']
    first, truth = line.session_id, db.truth()
    assert line.rate == '10000k/20000k'

    assert enforce(db, box, SLOW, 'ana', **TRUST) == {'ana': APPLIED}
    assert (line.rate, line.session_id) == ('512k/1000k', first)
    assert enforce(db, box, SLOW, 'ana', **TRUST) == {'ana': (Outcome.NOOP, '')}
    assert line.changes == 1

    assert enforce(db, box, BLOCKED, 'ana', **TRUST) == {'ana': APPLIED}
    assert (line.address_list, line.session_id != first) == ('nbd-restricted', True)

    assert enforce(db, box, NORMAL, 'ana', **TRUST) == {'ana': APPLIED}
    assert (line.rate, line.address_list) == ('10000k/20000k', '')
    assert db.truth() == truth
    assert (other.changes, other.rate, box.dropped) == (0, '10000k/20000k', [])


def test_a_throttle_survives_a_reconnect(db, box):
    assert enforce(db, box, SLOW, 'ana', **TRUST) == {'ana': APPLIED}
    box.hang_up('ana')
    box.dial('ana')
    assert box.lines['ana'].rate == '512k/1000k'
    assert enforce(db, box, SLOW, 'ana', **TRUST) == {'ana': (Outcome.NOOP, '')}


def test_an_offline_line_is_stored_and_nothing_is_sent(db, box):
    box.hang_up('ana')
    assert enforce(db, box, BLOCKED, 'ana') == {'ana': (Outcome.OFFLINE, '')}
    assert box.requests == []
    box.dial('ana')
    assert box.lines['ana'].address_list == 'nbd-restricted'


def test_a_session_that_only_accounting_still_knows_is_offline(db, box, monkeypatch):
    """Its Stop was lost: the NAS says 503, and the stored policy is right."""
    monkeypatch.setattr('nornir_tasks.engine.tasks.SETTLE_SECONDS', 0.3)
    box.lines['ana'].session_id = ''
    assert enforce(db, box, SLOW, 'ana', **TRUST) == {'ana': (Outcome.OFFLINE, '')}
    assert enforce(db, box, SLOW, 'ana', **TRUST) == {'ana': (Outcome.NOOP, '')}


def test_a_nas_that_acknowledges_and_does_nothing_is_not_called_applied(db, box):
    box.lies = {'ana'}
    outcome, message = enforce(db, box, SLOW, 'ana')['ana']
    assert outcome is Outcome.UNKNOWN
    assert 'accounting cannot show' in message
    assert box.lines['ana'].rate == '10000k/20000k'
    # The way that needs no trust: the session ends, and the next one is what FreeRADIUS says.
    box.lies = set()
    assert enforce(db, box, SLOW, 'ana', live='disconnect') == {'ana': APPLIED}
    assert box.lines['ana'].rate == '512k/1000k'


def test_a_disconnect_that_is_only_acknowledged_is_partial(db, box):
    box.lies = {'ana'}
    outcome, message = enforce(db, box, BLOCKED, 'ana', settle_seconds=0.5)['ana']
    assert (outcome, message) == (Outcome.PARTIAL, 'stored blocked, live normal')
    assert box.lines['ana'].address_list == ''


@pytest.mark.parametrize(
    ('cause', 'words'),
    [(401, 'unsupported attribute'), (403, 'NAS identification'), (504, 'Acct-Session-Id'), (506, 'again later'),
     (None, 'something may have been changed')],
)  # fmt: skip
def test_a_refusal_leaves_a_partial_row_that_says_why(db, box, cause, words, monkeypatch):
    monkeypatch.setattr('nornir_tasks.drivers.radius.sessions.RETRY_PAUSES', (0.1,))
    box.refuse = {'ana': cause}
    outcome, message = enforce(db, box, SLOW, 'ana', **TRUST)['ana']
    assert outcome is Outcome.PARTIAL
    assert words in message
    box.refuse = {}
    assert enforce(db, box, SLOW, 'ana', **TRUST) == {'ana': APPLIED}


def test_a_nas_that_lacks_resources_is_asked_again_a_few_times(db, box, monkeypatch):
    monkeypatch.setattr('nornir_tasks.drivers.radius.sessions.RETRY_PAUSES', (0.1, 0.1))
    box.busy = Counter(ana=2)
    assert enforce(db, box, SLOW, 'ana', 'bob', **TRUST) == {'ana': APPLIED, 'bob': APPLIED}
    assert (len(box.requests), box.lines['ana'].changes) == (4, 1)
    box.busy = Counter(ana=9)
    outcome, message = enforce(db, box, NORMAL, 'ana', 'bob', **TRUST)['ana']
    assert (outcome, len(box.requests)) == (Outcome.PARTIAL, 8)
    assert 'resources unavailable (506)' in message


def test_a_refusal_after_a_partial_change_is_never_called_unchanged(db, box):
    box.half = {'ana'}
    outcome, message = enforce(db, box, SLOW, 'ana', **TRUST)['ana']
    assert outcome is Outcome.PARTIAL
    assert 'something may have been changed all the same' in message


def test_after_a_refusal_without_a_reason_the_session_ends_and_comes_back_right(db, box):
    """accel-ppp would acknowledge the same again, having done half of it."""
    box.half = {'ana'}
    first = box.lines['ana'].session_id
    assert enforce(db, box, SLOW, 'ana', **TRUST)['ana'][0] is Outcome.PARTIAL
    box.half, box.lies = set(), set()
    assert enforce(db, box, SLOW, 'ana', **TRUST) == {'ana': APPLIED}
    assert box.lines['ana'].session_id != first
    assert box.lines['ana'].rate == '512k/1000k'


def test_a_stale_session_beside_the_living_one_keeps_nobody_waiting(db, box):
    """The BNG was restarted: two open rows in radacct, of which the NAS knows one."""
    db.dial('ana', 'stale')
    truth = db.truth()
    assert enforce(db, box, SLOW, 'ana', **TRUST) == {'ana': APPLIED}
    assert box.lines['ana'].rate == '512k/1000k'
    assert enforce(db, box, SLOW, 'ana', **TRUST) == {'ana': (Outcome.NOOP, '')}
    assert enforce(db, box, NORMAL, 'ana', **TRUST) == {'ana': APPLIED}
    assert (box.lines['ana'].rate, db.truth()) == ('10000k/20000k', truth)


def test_a_blocked_line_with_a_stale_session_is_stored_and_given_back(db, box):
    truth = db.truth()
    assert enforce(db, box, BLOCKED, 'ana', **TRUST) == {'ana': APPLIED}
    db.dial('ana', 'stale')
    outcome, _ = enforce(db, box, NORMAL, 'ana', **TRUST)['ana']
    assert (outcome, db.truth()) == (Outcome.APPLIED, truth)
    assert box.lines['ana'].address_list == ''


def test_a_restore_needs_neither_the_plans_rates_nor_names(db, box):
    """What the CoA would say is not known: the session ends, and comes back with what is stored."""
    assert enforce(db, box, SLOW, 'ana', **TRUST) == {'ana': APPLIED}
    first = box.lines['ana'].session_id
    known = db.parameters | {'dialect': 'mikrotik', 'coa_port': box.port} | TRUST
    work = PointWork(lambda: RadiusDriver(db.session(), known), 100, MemoryJournal())
    work.run([AccessChange('ana', target('ana', down_kbps=None, up_kbps=None, parameters={}), NORMAL)])
    assert [(result.outcome, result.message) for result in work.results] == [APPLIED]
    assert (box.lines['ana'].rate, box.lines['ana'].session_id != first) == ('10000k/20000k', True)


def test_a_timed_out_change_is_unknown_and_repeating_it_is_harmless(db, box, monkeypatch):
    monkeypatch.setattr('nornir_tasks.radius.client.Retransmission.__init__.__defaults__', (0.1, 0.2, 3, 0.5, 150.0))
    box.deaf_but_does = {'ana'}
    outcome, message = enforce(db, box, SLOW, 'ana', 'bob', **TRUST)['ana']
    assert outcome is Outcome.UNKNOWN
    assert 'may or may not be changed' in message
    assert (box.lines['ana'].changes, box.lines['bob'].changes) == (1, 1)
    box.deaf_but_does = set()
    assert enforce(db, box, SLOW, 'ana', **TRUST) == {'ana': APPLIED}


WALL = {'dialect': 'generic', 'names': {'normal': 'open', 'throttled': 'slow', 'blocked': 'wall'}}


@pytest.fixture
def walled(db, box, monkeypatch):
    """Blocks by CoA, and time runs fast."""
    rules = (0.1, 0.2, 3, 0.5, 150.0)
    monkeypatch.setattr('nornir_tasks.radius.client.Retransmission.__init__.__defaults__', rules)
    monkeypatch.setattr('nornir_tasks.drivers.radius.sessions.RETRY_PAUSES', (0.1,))
    db.group('open', Filter_Id='open')
    db.group('nbd-restricted', Filter_Id='wall')
    db.user('eve', 'open')
    box.add('eve')
    return box


def lose_the_block(db, box, manner):
    """A block that eve's NAS carries out, as we never learn."""
    if manner == 'untrusted':
        assert enforce(db, box, BLOCKED, 'eve', **WALL)['eve'][0] is Outcome.UNKNOWN
    else:
        getattr(box, manner).add('eve')
        assert enforce(db, box, BLOCKED, 'eve', **WALL, **TRUST)['eve'][0] in (Outcome.UNKNOWN, Outcome.PARTIAL)
        getattr(box, manner).clear()
    assert box.lines['eve'].filter == 'wall'


UNSURE = pytest.mark.parametrize('manner', ['deaf_but_does', 'half', 'untrusted'])


@UNSURE
def test_a_block_whose_effect_is_not_known_is_taken_back_by_another_process(db, walled, manner):
    lose_the_block(db, walled, manner)
    assert enforce(db, walled, NORMAL, 'eve', **WALL, **TRUST) == {'eve': APPLIED}
    assert walled.lines['eve'].filter == 'open'
    sent = len(walled.requests)
    assert enforce(db, walled, NORMAL, 'eve', **WALL, **TRUST) == {'eve': (Outcome.NOOP, '')}
    assert len(walled.requests) == sent


@UNSURE
def test_a_restore_that_is_lost_too_is_never_called_applied(db, walled, manner):
    lose_the_block(db, walled, manner)
    walled.deaf = {'eve'}
    for _ in range(2):
        assert enforce(db, walled, NORMAL, 'eve', **WALL, **TRUST)['eve'][0] is Outcome.UNKNOWN
    driver = RadiusDriver(db.session(), db.parameters | WALL)
    reading = driver.read([target('eve')])['eve']
    assert (reading.stored, reading.live) == (NORMAL, BLOCKED)
    walled.deaf = set()
    assert enforce(db, walled, NORMAL, 'eve', **WALL, **TRUST) == {'eve': APPLIED}
    assert walled.lines['eve'].filter == 'open'


def test_a_block_whose_effect_is_not_known_is_sent_again_and_not_called_done(db, walled):
    walled.deaf = {'eve'}
    assert enforce(db, walled, BLOCKED, 'eve', **WALL, **TRUST)['eve'][0] is Outcome.UNKNOWN
    walled.deaf = set()
    assert enforce(db, walled, BLOCKED, 'eve', **WALL, **TRUST) == {'eve': APPLIED}
    assert walled.lines['eve'].filter == 'wall'


def test_a_process_that_dies_while_it_sends_leaves_the_session_in_doubt(db, walled, monkeypatch):
    class Killed(BaseException):
        pass

    def die(authorization, nases, rows):
        send_work(authorization, nases, rows)
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr('nornir_tasks.drivers.radius.driver.send_work', die)
        with pytest.raises(Killed):
            enforce(db, walled, BLOCKED, 'eve', **WALL, **TRUST)
    assert walled.lines['eve'].filter == 'wall'
    assert enforce(db, walled, NORMAL, 'eve', **WALL, **TRUST) == {'eve': APPLIED}
    assert walled.lines['eve'].filter == 'open'


def test_what_was_not_sent_leaves_no_doubt(db, walled):
    wrong = WALL | {'nas': [{'address': '127.0.0.1', 'coa_address': '127.0.0.1.5', **WALL, **TRUST}]}
    assert enforce(db, walled, BLOCKED, 'eve', **wrong)['eve'][0] is Outcome.PARTIAL
    assert enforce(db, walled, NORMAL, 'eve', **WALL, **TRUST) == {'eve': APPLIED}
    assert walled.requests == []


def test_each_nas_may_have_its_own_dialect_and_is_reached_at_its_own_address(db, box):
    own = {'address': '127.0.0.1', 'dialect': 'accel_ppp', 'coa_port': box.port, 'trust_acknowledgement': True}
    assert enforce(db, box, SLOW, 'ana', coa_port=1, nas=[own]) == {'ana': APPLIED}
    assert box.lines['ana'].filter == '1000/512'


def test_parameters_that_cannot_work_are_refused(db):
    for wrong in ({'dialect': 'cisko'}, {'window': 0}, {'group_rates': {'slow': 'fast'}}, {'nas': [{'address': 'x'}]}):
        with pytest.raises(ValidationError):
            RadiusDriver(None, wrong)


@pytest.mark.parametrize('nas', ['', 'bras-1', '0x7f000001'])
def test_a_nas_that_accounting_has_no_address_of_is_a_refusal_of_its_own_row(db, box, nas):
    """An old schema keeps it as text; PostgreSQL's would not take it."""
    driver = RadiusDriver(db.session(), db.parameters | {'dialect': 'mikrotik', 'coa_port': box.port})
    change = AccessChange('ana', target('ana'), SLOW)
    with pytest.raises(AttributeValueError, match='no address'):
        driver._work(change, NasSession(nas, 'ana', 's-1', '', 'u-1'), NORMAL, ends=False)


# Dynamic authorization alone


def coa(box, desired, name, session=None, restricted=None, **parameters):
    session = session or RadiusSession('127.0.0.1', box.port, Credential(secret=SECRET))
    work = PointWork(lambda: RadiusCoADriver(session, {'dialect': 'mikrotik'} | parameters), 100, MemoryJournal())
    wanted = AccessTarget(name, username=name, down_kbps=20_000, up_kbps=10_000, restricted=restricted or {})
    work.run([AccessChange(name, wanted, desired)])
    return work.results[0]


def test_alone_an_acknowledgement_proves_nothing_unless_told_so():
    with bng() as box:
        box.add('ana')
        result = coa(box, SLOW, 'ana')
        assert (result.outcome, 'proves nothing' in result.message) == (Outcome.UNKNOWN, True)
        assert box.lines['ana'].rate == '512k/1000k'
        assert coa(box, NORMAL, 'ana', **TRUST).outcome is Outcome.APPLIED
        assert box.lines['ana'].rate == '10000k/20000k'


def test_alone_a_refusal_without_a_reason_is_remembered_by_the_next_process_and_the_way_back_ends_the_session():
    """accel-ppp did the half of it, and acknowledges the same again without doing anything."""
    with bng() as box:
        box.add('ana')
        first = box.lines['ana'].session_id
        box.half = {'ana'}
        refused = coa(box, SLOW, 'ana', **TRUST)
        assert (refused.outcome, refused.after.detail) == (Outcome.FAILED, {'unexplained': True})
        noted = {'point': {}, **refused.after.detail}  # what NetBox keeps of it
        box.half, box.lies = set(), {'ana'}
        again = coa(box, SLOW, 'ana', restricted=noted, **TRUST)
        assert (again.outcome, 'proves nothing' in again.message) == (Outcome.UNKNOWN, True)
        box.lies = set()
        assert coa(box, NORMAL, 'ana', restricted=noted, **TRUST).outcome is Outcome.APPLIED
        wait_until(lambda: box.lines['ana'].session_id not in ('', first))
        assert box.lines['ana'].rate == ''


def test_alone_what_was_acknowledged_before_is_not_known_after_a_refusal_without_a_reason():
    with bng() as box:
        box.add('ana')
        session = RadiusSession('127.0.0.1', box.port, Credential(secret=SECRET))
        assert coa(box, SLOW, 'ana', session, **TRUST).outcome is Outcome.APPLIED
        box.half = {'ana'}
        assert coa(box, AccessState.throttled(2000, 512), 'ana', session, **TRUST).after.live is None


def test_alone_parameters_that_do_not_fit_hold_up_no_way_back():
    with bng() as box:
        box.add('ana')
        session = RadiusSession('127.0.0.1', box.port, Credential(secret=SECRET))
        driver = RadiusCoADriver(session, {'dialect': 'mikrotik', **TRUST})
        wrong = AccessTarget('ana', username='ana', down_kbps=20_000, up_kbps=10_000, parameters={'typo': 1})
        assert 'typo' in driver.read([wrong])['ana'].error
        known = replace(wrong, restricted={'point': {}})
        for desired, accepted in ((SLOW, False), (NORMAL, True)):
            before = driver.read([known])
            assert driver.apply([AccessChange('c', known, desired)], before)['c'].accepted is accepted
        assert box.lines['ana'].rate == '10000k/20000k'


def test_alone_it_ends_no_session_that_would_come_back_unchanged():
    with bng() as box:
        box.add('ana')
        result = coa(box, BLOCKED, 'ana')
        assert (result.outcome, 'no stored policy' in result.message) == (Outcome.FAILED, True)
        assert box.requests == []


def test_alone_a_line_without_a_session_is_failed_not_offline():
    with bng() as box:
        result = coa(box, SLOW, 'ana', **TRUST)
        assert (result.outcome, 'keeps no policy' in result.message) == (Outcome.FAILED, True)


@pytest.mark.parametrize('name', ['', 'a\nb', 'x' * 254])
def test_a_name_that_cannot_be_sent_is_not(name):
    with bng() as box:
        assert coa(box, SLOW, name, **TRUST).outcome is Outcome.FAILED
        assert box.requests == []
