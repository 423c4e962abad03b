"""A stop in the middle of a batch: what was sent is done, the rest is not, by the boxes' own state; and counts."""

import pytest

from nornir_tasks.change import AccessChange, AccessState, AccessTarget, Reply
from nornir_tasks.connections.radius import RadiusSession
from nornir_tasks.credentials import Credential
from nornir_tasks.drivers.linux.driver import LinuxDriver
from nornir_tasks.drivers.radius.coa import RadiusCoADriver
from nornir_tasks.drivers.radius.driver import RadiusDriver
from nornir_tasks.drivers.radius.freeradius_sql import FreeRADIUSDriver
from tests.nornir_tasks.test_consoles import VENDORS, console
from tests.simulators.bng import bng
from tests.simulators.fixtures import THROTTLED, routeros_bench
from tests.simulators.freeradius import SECRET, missing
from tests.simulators.radius_sql import postgres_database, target

BLOCKED = AccessState.blocked()
UNSENT = Reply(None, sent=False)


class After:
    """A stop that says True from its call number `calls` + 1 on."""

    def __init__(self, calls):
        self.left = calls

    def __call__(self):
        self.left -= 1
        return self.left < 0


def apply(driver, desired, targets, stop):
    """Names that were sent and accepted, and names that were not sent; there is no third."""
    before = driver.read(targets)
    driver.stop = stop
    replies = driver.apply([AccessChange(each.key, each, desired) for each in targets], before)
    driver.stop = lambda: False
    assert set(replies) == {each.key for each in targets}
    sent = {key for key, reply in replies.items() if reply.accepted}
    assert all(reply == UNSENT for key, reply in replies.items() if key not in sent), replies
    return sent, set(replies) - sent


class TestRouterOS:
    NAMES = [f'line-{number:03}' for number in range(120)]

    @pytest.mark.parametrize('seen', [0, 1, 40])
    def test_rows_under_way_are_finished_and_no_other_is_sent(self, seen):
        subscribers = [{'name': name, 'profile': 'home'} for name in self.NAMES]
        with routeros_bench(subscribers) as bench:
            targets = [bench.target(name) for name in self.NAMES]
            done = lambda: [row for row in bench.router.rows('ppp secret') if row['profile'] == 'slow']  # noqa: E731
            sent, unsent = apply(bench.driver, THROTTLED, targets, lambda: len(done()) >= seen)
            # Thirty are under way at a time, and no more are sent after each look.
            assert seen <= len(sent) <= (seen + 60 if seen else 0)
            profiles = {row['name']: row['profile'] for row in bench.router.rows('ppp secret')}
            assert {name for name, profile in profiles.items() if profile == 'slow'} == sent
            assert {profiles[name] for name in unsent} == {'home'}
            # The rest goes on where it was left, through the same shell.
            assert apply(bench.driver, THROTTLED, targets, lambda: False) == (set(self.NAMES), set())

    def test_sessions_are_counted(self):
        with routeros_bench(
            [{'name': 'ana', 'profile': 'home'}, {'name': 'off', 'profile': 'home', 'online': False}]
        ) as bench:
            assert bench.driver.sessions() == 1
            bench.run('/ppp active remove [find]')
            assert bench.driver.sessions() in (0, 1)  # it may have dialled again


class TestConsoles:
    @pytest.mark.parametrize('vendor', VENDORS, ids=repr)
    def test_no_row_after_the_stop_is_touched(self, vendor):
        names = [f'line{number}@isp' for number in range(6)]
        with console(vendor, names, parameters={'clears_sessions': True}) as bench:
            for name in names:
                bench.radius(name, BLOCKED)
            commands = len(bench.box.commands)
            targets = [bench.target(name) for name in names]
            sent, unsent = apply(bench.driver, BLOCKED, targets, lambda: len(bench.box.cleared) >= 2)
            assert len(sent) == 2
            assert set(bench.box.cleared) == sent
            assert {bench.got(name)[0] for name in unsent} == {(vendor.names[AccessState.normal()],)}
            assert not [
                line
                for line in bench.box.commands[commands:]
                if 'clear ' in line and any(name in line for name in unsent)
            ]
            # The view that was entered is left, so that the next command is understood.
            assert bench.driver.sessions() == len(names)

    @pytest.mark.parametrize('vendor', VENDORS, ids=repr)
    def test_sessions_are_counted_without_being_listed(self, vendor):
        with console(vendor, ('ana@isp', 'bob@isp', 'eva@isp')) as bench:
            assert bench.driver.sessions() == 3
            assert not any('ana@isp' in line for line in bench.box.commands)

    @pytest.mark.parametrize('vendor', VENDORS, ids=repr)
    def test_a_count_that_is_not_understood_is_not_a_number(self, vendor):
        with console(vendor) as bench:
            bench.box.may_look = False
            assert bench.driver.sessions() is None


class TestLinux:
    def test_nothing_is_run_after_a_stop(self):
        driver = LinuxDriver(None, {})  # no session: whatever it would run fails
        driver.stop = lambda: True
        change = AccessChange('ana', AccessTarget('ana', ipv4='100.64.0.1'), BLOCKED)
        assert driver.apply([change], {}) == {'ana': UNSENT}
        assert driver.sessions() is None


class TestCoA:
    def test_no_more_than_the_window_goes_out_after_a_stop(self):
        names = [f'line-{number}' for number in range(60)]
        with bng() as box:
            box.add(*names)
            session = RadiusSession('127.0.0.1', box.port, Credential(secret=SECRET))
            driver = RadiusCoADriver(session, {'dialect': 'mikrotik', 'window': 4, 'trust_acknowledgement': True})
            targets = [AccessTarget(name, username=name) for name in names]
            sent, unsent = apply(driver, AccessState.throttled(1000, 512), targets, After(11))
            assert 10 <= len(sent) <= 16
            assert {line.name for line in box.lines.values() if line.rate == '512k/1000k'} == sent
            assert {box.lines[name].changes for name in unsent} == {0}
            assert driver.sessions() is None


@pytest.mark.skipif(bool(missing()), reason=missing())
class TestFreeRADIUS:
    @pytest.fixture
    def db(self):
        with postgres_database() as db:
            db.group('home', Mikrotik_Rate_Limit='10M/20M')
            db.group('slow', Mikrotik_Rate_Limit='512k/1M')
            yield db

    @pytest.mark.parametrize('kind', [FreeRADIUSDriver, RadiusDriver])
    def test_a_transaction_is_done_or_not_begun_and_no_session_is_told_without_it(self, db, kind, monkeypatch):
        monkeypatch.setattr('nornir_tasks.drivers.radius.driver.GROUP', 4)
        names = [f'line-{number}' for number in range(10)]
        with bng() as box:
            box.add(*names)
            for name in names:
                db.user(name, 'home')
                db.dial(name, f'unique-{name}')
                db.execute('UPDATE radacct SET acctsessionid = :s WHERE username = :u',
                           {'s': box.lines[name].session_id, 'u': name})  # fmt: skip
            parameters = db.parameters | {'dialect': 'mikrotik'}
            if kind is RadiusDriver:
                parameters |= {'coa_port': box.port, 'trust_acknowledgement': True}
            driver = kind(db.session(), parameters)
            assert driver.sessions() == len(names)
            targets = [target(name) for name in names]
            sent, _ = apply(driver, AccessState.throttled(1000, 512), targets, After(2))
            assert len(sent) == (8 if kind is RadiusDriver else 10)
            assert {name for name in names if db.groups_of(name) == [('slow', 1)]} == sent
            told = {line.name for line in box.lines.values() if line.changes}
            assert told == (sent if kind is RadiusDriver else set())
            if kind is FreeRADIUSDriver:
                assert apply(driver, AccessState.normal(), targets, After(0)) == (set(), set(names))
