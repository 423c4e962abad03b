"""Every dialect on a NAS that really speaks it: FreeRADIUS decides, CoA changes, the NAS's own console reads back."""

import json

import pytest

from nornir_tasks.change import AccessChange, AccessState, Mode, Outcome
from nornir_tasks.connections.radius import RadiusSession
from nornir_tasks.credentials import Credential
from nornir_tasks.drivers.radius.coa import RadiusCoADriver
from nornir_tasks.drivers.radius.driver import RadiusDriver
from nornir_tasks.engine.journal import MemoryJournal
from nornir_tasks.engine.tasks import PointWork
from nornir_tasks.radius.dialects import dialects
from tests.simulators.console import Box, Session
from tests.simulators.dialects import PROVIDERS, SLOW, STATES, provider_network
from tests.simulators.freeradius import SECRET, freeradius_server, missing
from tests.simulators.nas import DIALECTS, HuaweiRates
from tests.simulators.radius_sql import postgres_database, target

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing())

NORMAL, BLOCKED = AccessState.normal(), AccessState.blocked()
APPLIED = (Outcome.APPLIED, '')
WITH_CONSOLE = [name for name, provider in PROVIDERS.items() if provider.console]


@pytest.fixture(scope='module')
def servers(tmp_path_factory):
    folder = tmp_path_factory.mktemp('freeradius')
    with postgres_database() as db, freeradius_server(folder, db.kind, db.where, db.database) as server:
        yield db, server


class Bench:
    def __init__(self, provider, db, running):
        self.provider, self.db, self.at, self.nas = provider, db, running, running.nas

    def enforce(self, desired, *names, **parameters):
        """Through the engine, in a run of its own; outcome and message by name."""
        session = self.db.session()
        known = self.provider.parameters(self.db, self.at, **parameters)
        work = PointWork(lambda: RadiusDriver(session, known), 100, MemoryJournal())
        lines = [target(name, parameters={}) for name in names]
        work.run([AccessChange(line.key, line, desired) for line in lines])
        session.close()
        return {result.key: (result.outcome, result.message) for result in work.results}

    def holds(self, name):
        """What the NAS itself has for a subscriber."""
        return self.nas.policies(name), self.nas.rates(name)

    def stored(self, name):
        return [group for group, _ in self.db.groups_of(name)]


@pytest.fixture
def bench_of(servers, monkeypatch):
    monkeypatch.setenv('DELINQUENCY_CREDENTIAL_CONSOLE', json.dumps({'username': 'admin', 'password': 'admin'}))
    db, server = servers
    contexts = []

    def make(dialect, *names):
        provider = PROVIDERS[dialect]
        provider.fill(db)
        for name in names:
            db.user(name, 'home')
        contexts.append(provider_network(provider, (server.auth, server.acct), *names))
        return Bench(provider, db, contexts[-1].__enter__())

    yield make
    for context in contexts:
        context.__exit__(None, None, None)


def test_every_dialect_has_its_nas():
    """MikroTik's is the strict BNG of `test_radius_drivers`."""
    assert set(PROVIDERS) == set(DIALECTS) == set(dialects()) - {'mikrotik'}


@pytest.mark.parametrize('dialect', PROVIDERS)
def test_a_line_is_throttled_blocked_and_restored_and_its_neighbour_is_not_touched(bench_of, dialect):
    bench = bench_of(dialect, 'ana', 'bob')
    holds, truth = bench.provider.holds, bench.db.truth()
    assert bench.holds('ana') == holds[Mode.NORMAL]
    first = bench.nas.lines['ana'].session_id
    for number, state in enumerate(STATES):
        before = bench.nas.lines['ana'].session_id
        assert bench.enforce(state, 'ana') == {'ana': APPLIED}
        assert bench.holds('ana') == holds[state.mode], state
        modes = {state.mode, STATES[number - 1].mode if number else Mode.NORMAL}
        assert (bench.nas.lines['ana'].session_id != before) == bool(modes & bench.provider.reconnects)
        assert bench.enforce(state, 'ana') == {'ana': (Outcome.NOOP, '')}
    assert bench.db.truth() == truth
    assert (bench.nas.lines['ana'].session_id != first) == bool(bench.provider.reconnects)
    assert (bench.nas.lines['bob'].changes, bench.holds('bob')) == (0, holds[Mode.NORMAL])
    assert bench.nas.dropped == []


@pytest.mark.parametrize('dialect', PROVIDERS)
def test_what_was_set_survives_a_reconnect(bench_of, dialect):
    bench = bench_of(dialect, 'ana')
    for state in STATES:
        assert bench.enforce(state, 'ana') == {'ana': APPLIED}
        bench.nas.hang_up('ana')
        bench.nas.dial('ana')
        assert bench.holds('ana') == bench.provider.holds[state.mode], state
        assert bench.enforce(state, 'ana') == {'ana': (Outcome.NOOP, '')}


@pytest.mark.parametrize('dialect', WITH_CONSOLE)
class TestReadBack:
    """What the NAS says over RADIUS is not believed; what its console shows is."""

    def test_an_acknowledgement_without_effect_is_partial(self, bench_of, dialect):
        bench = bench_of(dialect, 'ana', 'bob')
        bench.nas.lies = {'ana'}
        found = bench.enforce(SLOW, 'ana', 'bob')
        assert found['ana'] == (Outcome.PARTIAL, f'stored {SLOW}, live normal')
        assert found['bob'] == APPLIED
        bench.nas.lies = set()
        assert bench.enforce(SLOW, 'ana') == {'ana': APPLIED}

    def test_an_attribute_that_is_silently_ignored_is_seen(self, bench_of, dialect):
        bench = bench_of(dialect, 'ana')
        bench.nas.ignores = {name for replies in bench.provider.replies.values() for name, _ in replies}
        bench.nas.ignores |= {name.partition(':')[0] for name in bench.nas.ignores} | {'ERX-Service-Deactivate'}
        assert bench.enforce(SLOW, 'ana')['ana'][0] is Outcome.PARTIAL
        assert bench.holds('ana') == bench.provider.holds[Mode.NORMAL]

    def test_a_refusal_after_the_change_is_what_the_console_shows(self, bench_of, dialect):
        """One attribute is carried out whole, of two only the deactivation: then the line has its full rate or none."""
        bench = bench_of(dialect, 'ana')
        bench.nas.half = {'ana'}
        outcome, message = bench.enforce(SLOW, 'ana')['ana']
        assert outcome is Outcome.PARTIAL
        assert 'something may have been changed all the same' in message
        bench.nas.half = set()
        bench.nas.hang_up('ana')
        bench.nas.dial('ana')
        assert bench.holds('ana') == bench.provider.holds[Mode.THROTTLED]
        assert bench.enforce(SLOW, 'ana') == {'ana': (Outcome.NOOP, '')}

    def test_an_answer_that_is_lost_is_known_all_the_same(self, bench_of, dialect, quick):
        bench = bench_of(dialect, 'ana', 'bob')
        bench.nas.deaf_but_does, bench.nas.deaf = {'ana'}, {'bob'}
        found = bench.enforce(SLOW, 'ana', 'bob')
        assert found['ana'] == APPLIED
        assert found['bob'][0] is Outcome.PARTIAL
        assert bench.nas.lines['ana'].changes == 1

    def test_a_late_answer_and_a_second_one_change_nothing_twice(self, bench_of, dialect):
        bench = bench_of(dialect, 'ana', 'bob')
        bench.nas.late, bench.nas.twice = {'ana': 2.6}, {'bob'}  # after a retransmission
        assert bench.enforce(SLOW, 'ana', 'bob') == {'ana': APPLIED, 'bob': APPLIED}
        assert [bench.nas.lines[name].changes for name in ('ana', 'bob')] == [1, 1]

    def test_a_session_that_only_accounting_knows_is_offline(self, bench_of, dialect):
        bench = bench_of(dialect, 'ana')
        bench.nas.box.sessions.clear()
        bench.nas.lines['ana'].session_id = ''
        assert bench.enforce(SLOW, 'ana') == {'ana': (Outcome.OFFLINE, '')}

    def test_drift_on_the_box_is_seen_and_repaired(self, bench_of, dialect):
        """Somebody changed the session by hand: the database says normal, the line is not."""
        bench = bench_of(dialect, 'ana')
        session = bench.nas.session('ana')
        session.policies = bench.provider.holds[Mode.BLOCKED][0]
        assert bench.enforce(NORMAL, 'ana') == {'ana': APPLIED}
        assert bench.holds('ana') == bench.provider.holds[Mode.NORMAL]

    def test_sessions_are_ended_at_the_console_where_told_so(self, bench_of, dialect):
        bench = bench_of(dialect, 'ana', 'bob')
        for state in STATES:
            assert bench.enforce(state, 'ana', live='console') == {'ana': APPLIED}
            assert bench.holds('ana') == bench.provider.holds[state.mode]
        assert bench.nas.box.cleared == ['ana'] * 3
        assert bench.nas.requests == []

    def test_a_session_that_is_open_in_accounting_alone_holds_up_no_restore(self, bench_of, dialect):
        """The NAS was killed and came back: two rows a user in radacct, one session on the box."""
        bench = bench_of(dialect, 'ana')
        assert bench.enforce(BLOCKED, 'ana', live='console') == {'ana': APPLIED}
        bench.db.execute(
            'INSERT INTO radacct (acctsessionid, acctuniqueid, username, nasipaddress, acctstarttime) '
            "VALUES ('dead', 'dead', 'ana', '127.0.0.1', now())"
        )
        assert bench.enforce(NORMAL, 'ana', live='console', settle_seconds=0.5) == {'ana': APPLIED}
        assert bench.holds('ana') == bench.provider.holds[Mode.NORMAL]
        assert bench.nas.requests == []

    def test_a_restore_does_without_the_console(self, bench_of, dialect):
        bench = bench_of(dialect, 'ana')
        assert bench.enforce(BLOCKED, 'ana', live='console') == {'ana': APPLIED}
        console = bench.at.console_parameters(bench.provider) | {'port': 9}
        bench.enforce(NORMAL, 'ana', live='console', console=console)
        assert bench.holds('ana') == bench.provider.holds[Mode.NORMAL]
        bench.enforce(SLOW, 'ana', live='console', console=console)
        assert bench.holds('ana') == bench.provider.holds[Mode.NORMAL]

    def test_a_console_that_cannot_be_reached_leaves_the_row_in_doubt(self, bench_of, dialect):
        bench = bench_of(dialect, 'ana')
        console = bench.at.console_parameters(bench.provider) | {'port': 9}
        outcome, message = bench.enforce(SLOW, 'ana', console=console)['ana']
        assert outcome is Outcome.UNKNOWN
        assert 'its console could not say either' in message
        assert bench.enforce(SLOW, 'ana') == {'ana': (Outcome.NOOP, '')}

    def test_a_check_looks_at_both_ways(self, bench_of, dialect):
        bench = bench_of(dialect, 'ana')
        bench.nas.box.may_look = False
        driver = RadiusDriver(bench.db.session(), bench.provider.parameters(bench.db, bench.at))
        found = {finding.subject: finding.ok for finding in driver.check(bench.nas.box.now())}
        assert found['NAS 127.0.0.1']
        assert found['console of NAS 127.0.0.1']
        assert not found['console of NAS 127.0.0.1: privileges']
        driver.connection.close()


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr('nornir_tasks.radius.client.Retransmission.__init__.__defaults__', (0.1, 0.2, 3, 0.5, 150.0))


class TestTraps:
    def test_huawei_keeps_a_stale_peak_rate_where_the_average_is_lowered_alone(self):
        """Why the dialect sends both: the simulated box does what the real one is known for."""
        kind, session = HuaweiRates(Box()), Session('ana', 1, '100.64.0.1', ())
        kind.change(session, [(name, '20000000') for name in HuaweiRates.FIELDS])
        kind.change(session, [('Huawei-Output-Average-Rate', '1000000'), ('Huawei-Input-Average-Rate', '512000')])
        assert kind.rates(session) == (20_000, 20_000)
        kind.change(session, [('Huawei-Output-Peak-Rate', '1000000'), ('Huawei-Input-Peak-Rate', '512000')])
        assert kind.rates(session) == (1000, 512)

    def test_huawei_drops_a_user_with_an_unknown_profile_so_it_is_looked_for_first(self, bench_of):
        bench = bench_of('huawei_profile', 'ana', 'bob')
        names = bench.provider.names | {'throttled': 'slow-2m'}
        outcome, message = bench.enforce(SLOW, 'ana', names=names)['ana']
        assert outcome is Outcome.FAILED
        assert 'NAS 127.0.0.1 has no "slow-2m"' in message
        assert (bench.stored('ana'), bench.holds('ana')) == (['home'], bench.provider.holds[Mode.NORMAL])
        assert bench.nas.requests == []
        # Without a console it cannot be known, and the user is gone.
        outcome, _ = bench.enforce(SLOW, 'bob', names=names, console=None, trust_acknowledgement=True)['bob']
        assert bench.holds('bob') == (None, None)
        assert outcome is Outcome.OFFLINE

    def test_huawei_takes_names_in_small_letters(self, bench_of):
        bench = bench_of('huawei_profile', 'ana')
        names = bench.provider.names | {'throttled': 'SLOW-1M'}
        assert bench.enforce(SLOW, 'ana', names=names) == {'ana': APPLIED}

    def test_juniper_refuses_to_deactivate_by_anything_but_the_complete_string(self, bench_of):
        """The service is up as `fast(20m,10m)`; taking down `fast` is refused, and nothing is changed."""
        bench = bench_of('juniper', 'ana')
        names = bench.provider.names | {'normal': 'fast'}
        outcome, message = bench.enforce(SLOW, 'ana', names=names)['ana']
        assert outcome is Outcome.PARTIAL
        assert 'invalid attribute value (407)' in message
        assert bench.holds('ana') == bench.provider.holds[Mode.NORMAL]

    def test_an_isg_that_took_one_of_two_commands_is_partial(self, bench_of):
        bench = bench_of('cisco_isg', 'ana')
        names = bench.provider.names | {'normal': 'FASTER'}  # the second command takes down what is not up
        outcome, message = bench.enforce(SLOW, 'ana', names=names)['ana']
        assert outcome is Outcome.PARTIAL
        assert 'request 1 to 1 were acknowledged, the next was not' in message
        assert bench.holds('ana')[0] == ('FAST', 'SLOW')

    def test_a_filter_that_is_not_there_is_acknowledged_and_changes_nothing(self, bench_of):
        """So that trust in such a NAS is misplaced, as the documentation says."""
        bench = bench_of('generic', 'ana')
        names = bench.provider.names | {'throttled': 'no-such-filter'}
        outcome, message = bench.enforce(SLOW, 'ana', names=names, trust_acknowledgement=False)['ana']
        assert outcome is Outcome.UNKNOWN
        assert 'accounting cannot show' in message
        assert bench.holds('ana') == bench.provider.holds[Mode.NORMAL]

    def test_a_group_of_our_making_gives_an_attribute_twice_where_the_dialect_does(self, bench_of):
        """Nokia's override has one for each direction; FreeRADIUS would give the last one only, were both `:=`."""
        bench = bench_of('nokia_override', 'ana')
        parameters = {'throttled_group': '', 'create_groups': True}
        assert bench.enforce(SLOW, 'ana', **parameters) == {'ana': APPLIED}
        assert bench.stored('ana') == ['home-1000k-512k']
        bench.nas.hang_up('ana')
        bench.nas.dial('ana')
        assert bench.holds('ana') == bench.provider.holds[Mode.THROTTLED]


def test_coa_alone_counts_at_the_console_and_goes_on_without_it(bench_of):
    bench = bench_of('nokia', 'ana', 'bob')
    console = bench.at.console_parameters(bench.provider)
    for port, count in ((console['port'], 2), (9, None)):
        session = RadiusSession('127.0.0.1', bench.nas.port, Credential(secret=SECRET))
        driver = RadiusCoADriver(session, {'dialect': 'nokia', 'console': console | {'port': port}})
        assert driver.sessions() == count
        session.authorization.consoles.close()


def test_accel_ppp_that_lacks_the_policer_is_ended_and_not_believed(bench_of, monkeypatch):
    bench = bench_of('accel_ppp', 'ana')
    monkeypatch.setattr(bench.nas.kind, 'lacks_policer', True)
    outcome, message = bench.enforce(SLOW, 'ana', trust_acknowledgement=True)['ana']
    assert (outcome, 'without an Error-Cause' in message) == (Outcome.PARTIAL, True)
    assert bench.enforce(SLOW, 'ana', trust_acknowledgement=True) == {'ana': APPLIED}
    assert bench.holds('ana')[1] == (SLOW.down_kbps, SLOW.up_kbps)
