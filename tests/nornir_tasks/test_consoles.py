"""BRAS consoles: what is sent, what is understood, and what must never happen, on boxes that keep state."""

from __future__ import annotations

import contextlib
import json
import threading
import tracemalloc
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from nornir_tasks.change import AccessChange, AccessState, AccessTarget, Mode, Outcome
from nornir_tasks.connections.ssh import SSHSession
from nornir_tasks.connections.ssh.shell import clean_line
from nornir_tasks.credentials import Credential
from nornir_tasks.drivers.clock import clock_finding
from nornir_tasks.drivers.consoles.cisco_iosxr import CiscoIOSXRDriver
from nornir_tasks.drivers.consoles.huawei_vrp import HuaweiVRPDriver
from nornir_tasks.drivers.consoles.junos import JunosDriver
from nornir_tasks.drivers.consoles.nokia_sros import NokiaSROSDriver
from nornir_tasks.drivers.consoles.session import ConsoleSession, NotSentError, check_username
from nornir_tasks.engine.cancellation import Stop
from nornir_tasks.engine.journal import MemoryJournal
from nornir_tasks.engine.tasks import PointWork
from nornir_tasks.errors import LoginRefusedError, PointTimeoutError
from tests.simulators.console import console_box
from tests.simulators.iosxr import IOSXRTerminal
from tests.simulators.junos import JunosTerminal
from tests.simulators.routeros_state import Fault
from tests.simulators.sros import SROSTerminal
from tests.simulators.vrp import VRPTerminal
from tests.waiting import HOURS, wait_until

NORMAL, BLOCKED = AccessState.normal(), AccessState.blocked()
SLOW = AccessState.throttled(1000, 512)
SLOW_MEANS = {'mode': 'throttled', 'down_kbps': 1000, 'up_kbps': 512}


class Vendor:
    def __init__(self, driver, terminal, fast, slow, wall, **parameters):
        self.driver, self.terminal = driver, terminal
        self.names = {NORMAL: fast, SLOW: slow, BLOCKED: wall}
        self.parameters = {
            'policies': {slow: SLOW_MEANS, wall: {'mode': 'blocked'}},
            'clears_sessions': True,
            **parameters,
        }

    def __repr__(self):
        return self.driver.name


VENDORS = [
    Vendor(HuaweiVRPDriver, VRPTerminal, 'fast', 'slow-1m', 'walled'),
    Vendor(CiscoIOSXRDriver, IOSXRTerminal, 'PM_FAST', 'PM_SLOW', 'WALL'),
    Vendor(JunosDriver, JunosTerminal, 'fast(100m,50m)', 'throttle(1m,512k)', 'FF-WALL'),
    Vendor(NokiaSROSDriver, SROSTerminal, 'sla-fast', 'sla-slow', 'sla-wall', service_id=100),
]


class Bench:
    def __init__(self, vendor, running, session, parameters):
        self.vendor, self.running, self.box, self.session = vendor, running, running.box, session
        self.driver = vendor.driver(session, {**vendor.parameters, **parameters})

    def target(self, name, **values):
        return AccessTarget(name, username=name, **values)

    def read(self, name):
        return self.driver.read([self.target(name)])[name]

    def enforce(self, desired, *names, **values):
        """Through the engine, as the plugin does."""
        work = PointWork(lambda: self.driver, 100, MemoryJournal())
        work.run([AccessChange(f'change-{name}', self.target(name, **values), desired) for name in names])
        return {result.key.removeprefix('change-'): result for result in work.results}

    def radius(self, name, state):
        """What the RADIUS driver does first."""
        self.box.radius[name] = (self.vendor.names[state],)

    def got(self, name):
        return [session.policies for session in self.box.of(name)]


def open_session(running, timeout=5.0):
    listening = running.listening
    credential = Credential(username='admin', password='admin')
    return SSHSession.connect('127.0.0.1', listening.port, credential, listening.host_key, timeout)


@contextlib.contextmanager
def console(vendor, names=('ana@isp', 'bob@isp'), timeout=5.0, parameters=None, **values):
    fast = vendor.names[NORMAL]
    values = {'profiles': set(vendor.names.values()), 'radius': dict.fromkeys(names, (fast,))} | values
    with console_box(vendor.terminal, **values) as running:
        session = open_session(running, timeout)
        try:
            yield Bench(vendor, running, session, parameters or {})
        finally:
            session.close()


@pytest.fixture(params=VENDORS, ids=repr)
def bench(request):
    with console(request.param) as bench:
        yield bench


class TestEveryVendor:
    def test_a_session_comes_back_with_what_radius_holds_and_nobody_elses_is_touched(self, bench):
        for state in (SLOW, BLOCKED, NORMAL):
            bench.radius('ana@isp', state)
            result = bench.enforce(state, 'ana@isp')['ana@isp']
            assert (result.outcome, result.message) == (Outcome.APPLIED, '')
            assert bench.got('ana@isp') == [(bench.vendor.names[state],)]
        assert bench.box.cleared == ['ana@isp'] * 3
        assert bench.got('bob@isp') == [(bench.vendor.names[NORMAL],)]

    def test_a_session_that_is_as_wanted_is_left_alone(self, bench):
        assert bench.enforce(NORMAL, 'ana@isp')['ana@isp'].outcome is Outcome.NOOP
        assert bench.box.cleared == []

    def test_a_radius_that_was_not_written_is_seen_in_the_reading(self, bench):
        result = bench.enforce(BLOCKED, 'ana@isp')['ana@isp']
        assert result.outcome is Outcome.FAILED
        assert 'still normal' in result.message

    def test_who_is_offline_is_read_so_and_nothing_is_sent(self, bench):
        reading = bench.read('nobody@isp')
        assert (reading.error, reading.stored, reading.live) == ('', None, None)
        result = bench.enforce(BLOCKED, 'nobody@isp')['nobody@isp']
        assert result.outcome is Outcome.FAILED
        assert 'at the next one' in result.message
        assert bench.box.cleared == []

    def test_two_sessions_of_one_name_forbid_to_restrict_and_none_is_ended(self, bench):
        bench.box.dial('ana@isp')
        reading = bench.read('ana@isp')
        assert (reading.live, len(reading.detail['sessions'])) == (NORMAL, 2)
        result = bench.enforce(BLOCKED, 'ana@isp')['ana@isp']
        assert (result.outcome, 'exactly one is needed' in result.message) == (Outcome.FAILED, True)
        assert bench.box.cleared == []
        assert bench.enforce(NORMAL, 'ana@isp')['ana@isp'].outcome is Outcome.NOOP

    def test_a_way_back_asks_for_no_single_session(self, bench):
        """One may be dead, and not missed yet by the box."""
        bench.radius('ana@isp', BLOCKED)
        bench.enforce(BLOCKED, 'ana@isp')
        bench.box.dial('ana@isp')
        bench.radius('ana@isp', NORMAL)
        result = bench.enforce(NORMAL, 'ana@isp')['ana@isp']
        assert (result.outcome, result.message) == (Outcome.APPLIED, '')
        assert bench.got('ana@isp') == [(bench.vendor.names[NORMAL],)] * 2
        assert bench.box.cleared.count('bob@isp') == 0

    def test_two_sessions_that_differ_are_neither_blocked_nor_normal(self, bench):
        bench.radius('ana@isp', BLOCKED)
        bench.box.dial('ana@isp')
        reading = bench.read('ana@isp')
        assert not any(reading.is_(state) for state in (NORMAL, SLOW, BLOCKED))
        assert reading.observed == BLOCKED
        bench.radius('ana@isp', NORMAL)
        assert bench.enforce(NORMAL, 'ana@isp')['ana@isp'].outcome is Outcome.APPLIED
        assert bench.got('ana@isp') == [(bench.vendor.names[NORMAL],)] * 2

    def test_a_session_of_a_name_like_it_is_not_taken_for_it(self, bench):
        (answer,) = bench.driver._ask([bench.driver.show_command('ana@isp')])
        bench.box.faults = [Fault('error', 'ana@isp', text=answer.replace('ana@isp', 'ana@isp2').replace('\n', '\r\n'))]
        assert 'whose session' in bench.read('ana@isp').error

    def test_by_itself_a_point_only_reads(self, bench):
        bench.radius('ana@isp', BLOCKED)
        parameters = {**bench.vendor.parameters, 'clears_sessions': False}
        bench.driver = bench.vendor.driver(bench.session, parameters)
        result = bench.enforce(BLOCKED, 'ana@isp')['ana@isp']
        assert result.outcome is Outcome.FAILED
        assert 'this point only reads' in result.message
        assert bench.box.cleared == []

    @pytest.mark.parametrize(
        'name', ['a b', 'a;b', 'a|b', 'a?', 'a*', '*', '"a"', 'a\rclear', 'é', '-a', '', 'all all', '$(x)', 'a#b', '!a']
    )
    def test_a_name_that_a_console_acts_upon_never_reaches_it(self, bench, name):
        seen = list(bench.box.commands)
        assert bench.read(name).error
        assert bench.box.commands == seen

    def test_pages_are_turned_where_a_box_pages_all_the_same(self, bench):
        bench.session.close()
        with console(bench.vendor, always_pages=True, page=5) as paged:
            assert paged.read('ana@isp').live == NORMAL
            paged.radius('ana@isp', SLOW)
            assert paged.enforce(SLOW, 'ana@isp')['ana@isp'].outcome is Outcome.APPLIED

    def test_a_hanging_box_leaves_one_row_unknown_and_the_rest_unsent(self, bench):
        bench.session.close()
        with console(bench.vendor, timeout=0.5) as hanging:
            for name in ('ana@isp', 'bob@isp'):
                hanging.radius(name, BLOCKED)
            changes = [AccessChange(name, hanging.target(name), BLOCKED) for name in ('ana@isp', 'bob@isp')]
            before = hanging.driver.read([change.target for change in changes])
            hanging.box.faults = [Fault('hang', '^(clear|cut) ')]
            replies = hanging.driver.apply(changes, before)
            assert [replies[name].accepted for name in ('ana@isp', 'bob@isp')] == [None, False]
            assert 'not sent' in replies['bob@isp'].message
            assert sum(line.startswith(('clear', 'cut')) for line in hanging.box.commands) == 1

    def test_a_box_that_hangs_on_reading_is_a_failed_point(self, bench):
        bench.session.close()
        faults = [Fault('hang', '(show|display) ')]
        with console(bench.vendor, timeout=0.5, faults=faults) as hanging, pytest.raises(PointTimeoutError):
            hanging.read('ana@isp')

    def test_a_refused_command_is_said_in_the_boxs_own_words(self, bench):
        bench.box.may_clear = False
        bench.radius('ana@isp', BLOCKED)
        result = bench.enforce(BLOCKED, 'ana@isp')['ana@isp']
        assert result.outcome is Outcome.FAILED
        assert 'the box said' in result.message

    def test_a_truncated_answer_is_never_no_session(self, bench):
        bench.box.faults = [Fault('error', 'ana@isp', text='  something else altogether')]
        reading = bench.read('ana@isp')
        assert 'not understood' in reading.error or 'said' in reading.error

    def test_a_full_house_of_sessions_is_a_refused_login(self, bench):
        bench.session.close()
        with console(bench.vendor, session_cap=1) as full, pytest.raises(LoginRefusedError):
            open_session(full.running)

    def test_a_check_finds_what_is_wrong_and_changes_nothing(self, bench):
        now = datetime.now(UTC)
        assert all(finding.ok for finding in bench.driver.check(now)), bench.driver.check(now)
        bench.box.clock_skew = timedelta(minutes=10)
        bench.box.may_look = False
        wrong = {finding.subject: finding.message for finding in bench.driver.check(now) if not finding.ok}
        assert 'ahead' in wrong['clock']
        assert 'cannot look at sessions' in wrong['privileges']
        assert bench.box.cleared == []


def unmonitored(vendor):
    """The same vendor's box, of a release that prints its log to every terminal whatever it is told."""
    return with_terminal(vendor, monitor_off=None)


def with_terminal(vendor, **looks):
    terminal = type('Terminal', (vendor.terminal,), looks)
    return Vendor(vendor.driver, terminal, *vendor.names.values(), **vendor.parameters)


HUAWEI = VENDORS[0]
ENDLESS = ['flood', 'river', 'drip', 'more']


class TestWhatTerminalsDo:
    @pytest.mark.parametrize('vendor', VENDORS, ids=repr)
    @pytest.mark.parametrize('logs', ['behind', 'below', 'twice'])
    def test_log_lines_behind_the_prompt_are_read_through(self, vendor, logs):
        with console(unmonitored(vendor), timeout=2.0, logs=logs) as bench:
            assert bench.read('ana@isp').live == NORMAL
            assert bench.read('nobody@isp').live is None
            bench.radius('ana@isp', BLOCKED)
            result = bench.enforce(BLOCKED, 'ana@isp')['ana@isp']
            assert (result.outcome, result.message) == (Outcome.APPLIED, '')
            assert bench.box.cleared == ['ana@isp']

    @pytest.mark.parametrize('vendor', VENDORS[:2], ids=repr)
    def test_a_box_that_can_is_told_to_keep_its_log_to_itself(self, vendor):
        with console(vendor, logs='below') as bench:
            bench.read('ana@isp')
            quiet = vendor.terminal.monitor_off
            assert any(quiet.match(line) for line in bench.box.commands)

    @pytest.mark.parametrize(
        ('vendor', 'values', 'looks'),
        [
            (0, {}, {'role': 'HRP_M'}),
            (0, {'host': 'BRAS Sao Paulo 1'}, {}),
            (1, {}, {'node': 'RP/B0/CB0/CPU0:'}),
            (2, {'host': '-'}, {}),
            (2, {'host': 'mx 480.centro'}, {}),
            (3, {'host': 'bng centro 1'}, {}),
        ],
    )
    def test_prompts_of_all_kinds_are_known(self, vendor, values, looks):
        with console(with_terminal(VENDORS[vendor], **looks), timeout=2.0, logs='below', **values) as bench:
            bench.radius('ana@isp', BLOCKED)
            assert bench.enforce(BLOCKED, 'ana@isp')['ana@isp'].outcome is Outcome.APPLIED

    def test_a_prompt_that_no_driver_knows_is_a_parameter_of_the_point(self):
        odd = with_terminal(VENDORS[2], prompt=lambda self: '[centro] % ')
        with console(odd, timeout=1.0) as bench, pytest.raises(PointTimeoutError):
            bench.read('ana@isp')
        with console(odd, parameters={'prompt': r'\[[a-z]+\] % '}) as bench:
            assert bench.read('ana@isp').live == NORMAL

    @pytest.mark.parametrize('prompt', ['(', 'x*', '(a+)+> ', '(?:a|b)*> ', r'(.)\1+> ', '.*.*.*.*> ', '(?=a)a> '])
    def test_a_prompt_that_is_none_or_could_take_for_ever_is_refused(self, prompt):
        with pytest.raises(ValidationError):
            JunosDriver(None, {'prompt': prompt})

    def test_a_banner_that_looks_like_a_prompt_is_not_taken_for_one(self):
        banner = '\r\n<WARNING>\r\nAuthorized access only\r\n<END>\r\n'
        with console(with_terminal(HUAWEI, banner=banner)) as bench:
            assert bench.read('ana@isp').live == NORMAL

    def test_a_line_of_an_answer_that_looks_like_another_boxs_prompt_is_part_of_it(self):
        text = 'Basic:\r\n<other>\r\n  User access index : 16\r\n  User name : ana@isp'
        with console(HUAWEI) as bench:
            bench.box.faults = [Fault('error', 'ana@isp', text=text)]
            assert bench.read('ana@isp').live == NORMAL


class TestNoEnd:
    """Whatever a box prints, a row comes to its end within the point's timeout, and as unknown."""

    @pytest.mark.parametrize('vendor', VENDORS, ids=repr)
    @pytest.mark.parametrize('action', ENDLESS)
    def test_an_answer_without_an_end_leaves_its_row_unknown_in_time(self, vendor, action):
        with console(vendor, timeout=1.0) as bench:
            targets = [bench.target(name) for name in ('ana@isp', 'bob@isp')]
            for target in targets:
                bench.radius(target.key, BLOCKED)
            before = bench.driver.read(targets)
            bench.box.faults = [Fault(action, '^(clear|cut) ')]
            replies = bench.driver.apply([AccessChange(item.key, item, BLOCKED) for item in targets], before)
            assert [replies[item.key].accepted for item in targets] == [None, False]
            message = replies['ana@isp'].message
            assert 'no end' in message or 'reads no commands' in message
            wait_until(lambda: bench.box.babbling == 0)  # the connection was given up, not left to run

    @pytest.mark.parametrize('action', ENDLESS)
    def test_a_reading_without_an_end_is_a_failed_point_in_time(self, action):
        with console(HUAWEI, timeout=1.0) as bench:
            bench.box.faults = [Fault(action, 'display access-user')]
            with pytest.raises(PointTimeoutError):
                bench.read('ana@isp')
            wait_until(lambda: bench.box.babbling == 0)

    @pytest.mark.parametrize('action', ENDLESS)
    def test_a_greeting_without_an_end_is_a_failed_point_in_time(self, action):
        with console(HUAWEI, timeout=1.0, faults=[Fault(action, '^$')]) as bench:
            with pytest.raises(PointTimeoutError):
                bench.read('ana@isp')
            wait_until(lambda: bench.box.babbling == 0)

    @pytest.mark.parametrize('action', ['flood', 'river'])
    def test_memory_stays_flat(self, action):
        with console(HUAWEI, timeout=3.0) as bench:
            bench.read('ana@isp')
            bench.box.faults = [Fault(action, 'display access-user')]
            tracemalloc.start()
            try:
                with pytest.raises(PointTimeoutError):
                    bench.read('ana@isp')
                _, peak = tracemalloc.get_traced_memory()
            finally:
                tracemalloc.stop()
            assert peak < 30_000_000

    @pytest.mark.parametrize('action', ['hang', 'drip'])
    def test_a_stop_is_heard_while_an_answer_is_waited_for(self, action):
        with console(HUAWEI, timeout=HOURS) as bench:
            targets = [bench.target(name) for name in ('ana@isp', 'bob@isp')]
            before = bench.driver.read(targets)
            for target in targets:
                bench.radius(target.key, BLOCKED)
            bench.box.faults = [Fault(action, '^cut ')]
            bench.driver.stop = lambda: any(line.startswith('cut') for line in bench.box.commands)
            replies = bench.driver.apply([AccessChange(item.key, item, BLOCKED) for item in targets], before)
            assert replies['ana@isp'].accepted is None
            assert 'told to stop' in replies['ana@isp'].message

    def test_rows_whose_reading_was_broken_off_by_a_stop_stay_open(self):
        with console(HUAWEI, timeout=HOURS) as bench:
            bench.box.faults = [Fault('hang', 'display access-user username')]
            stop = Stop()
            threading.Timer(0.5, stop.pull, ('a person stopped it',)).start()
            work = PointWork(lambda: bench.driver, 100, MemoryJournal(), stop=stop)
            work.run([AccessChange('row', bench.target('ana@isp'), BLOCKED)])
            assert work.results == []
            assert work.stop_reason == 'a person stopped it'


LOCAL = {
    'users': 'local',
    'policies': {
        'ug-slow': {**SLOW_MEANS, 'kind': 'user-group'},
        'ug-wall': {'mode': 'blocked', 'kind': 'user-group'},
    },
}


class TestHuawei:
    def test_a_profile_that_is_not_on_the_box_is_refused_before_anything_is_sent(self):
        with console(HUAWEI, profiles={'fast'}) as bench:
            bench.radius('ana@isp', BLOCKED)
            result = bench.enforce(BLOCKED, 'ana@isp')['ana@isp']
            assert result.outcome is Outcome.FAILED
            assert 'no qos-profile "walled"' in result.message
            assert bench.got('ana@isp') == [('fast',)]  # it would be offline had the session been ended
            assert not any('cut' in line for line in bench.box.commands)

    def test_that_the_simulated_box_puts_such_a_user_offline_is_why(self):
        with console(HUAWEI, profiles={'fast'}) as bench:
            bench.radius('ana@isp', BLOCKED)
            bench.box.clear(bench.box.of('ana@isp'))
            assert bench.got('ana@isp') == []

    def test_a_restore_to_a_profile_that_is_gone_is_refused(self):
        with console(HUAWEI) as bench:
            bench.radius('ana@isp', BLOCKED)
            bench.enforce(BLOCKED, 'ana@isp')
            result = bench.enforce(NORMAL, 'ana@isp', parameters={'qos_profile': 'gone'})['ana@isp']
            assert 'no qos-profile "gone"' in result.message
            assert bench.got('ana@isp') == [('walled',)]

    def test_parameters_that_do_not_fit_refuse_a_block_and_no_way_back_and_nobody_elses_row(self):
        wrong = {'qos_profile': 'a b'}
        with console(HUAWEI) as bench:
            for name in ('ana@isp', 'bob@isp'):
                bench.radius(name, BLOCKED)
            changes = [
                AccessChange('ana', bench.target('ana@isp', parameters=wrong), BLOCKED),
                AccessChange('bob', bench.target('bob@isp'), BLOCKED),
            ]
            work = PointWork(lambda: bench.driver, 100, MemoryJournal())
            work.run(changes)
            found = {result.key: result for result in work.results}
            assert (found['ana'].outcome, found['bob'].outcome) == (Outcome.FAILED, Outcome.APPLIED)
            assert 'its parameters are wrong' in found['ana'].message
            bench.radius('bob@isp', NORMAL)
            assert bench.enforce(NORMAL, 'bob@isp', parameters=wrong)['bob@isp'].outcome is Outcome.APPLIED

    def test_a_restore_does_not_need_the_box_to_know_our_question(self):
        with console(HUAWEI) as bench:
            bench.radius('ana@isp', BLOCKED)
            bench.enforce(BLOCKED, 'ana@isp')
            bench.radius('ana@isp', NORMAL)
            bench.box.faults = [Fault('error', 'display qos-profile', text='Error: Unrecognized command found')]
            plan = {'qos_profile': 'fast'}
            assert bench.enforce(NORMAL, 'ana@isp', parameters=plan)['ana@isp'].outcome is Outcome.APPLIED
            bench.radius('ana@isp', SLOW)
            result = bench.enforce(SLOW, 'ana@isp', parameters=plan)['ana@isp']
            assert (result.outcome, 'no qos-profile' in result.message) == (Outcome.FAILED, True)
            assert bench.got('ana@isp') == [('fast',)]

    def test_a_domain_is_never_cut(self):
        with console(HUAWEI) as bench:
            for state in (BLOCKED, NORMAL):
                bench.radius('ana@isp', state)
                bench.enforce(state, 'ana@isp', 'isp', 'domain', 'all')
            cuts = [line for line in bench.box.commands if 'cut' in line]
            assert cuts == ['cut access-user username ana@isp all'] * 2
            assert bench.box.cleared == ['ana@isp'] * 2

    def test_exact_commands(self):
        driver = HuaweiVRPDriver(None, {'clears_sessions': True})
        assert driver.show_command('ana@isp') == 'display access-user username ana@isp verbose'
        assert driver.clear_commands(ConsoleSession('ana@isp', '16')) == ('cut access-user username ana@isp all',)
        with pytest.raises(NotSentError):
            driver.clear_commands(ConsoleSession('ana all\ncut access-user domain isp', '16'))

    def test_names_are_compared_as_the_box_does(self):
        driver = HuaweiVRPDriver(None, {'policies': {'Slow-1M': SLOW_MEANS}, 'default_domain': 'isp'})
        assert driver.reading_of(ConsoleSession('ana@isp', '16', '', ('slow-1m',))).live == SLOW
        assert driver.is_user('ana@isp', 'ana')
        assert not driver.is_user('ana@other', 'ana')

    @pytest.mark.parametrize('two_stage', [False, True])
    def test_local_users_get_a_group_and_their_session_comes_back_with_it(self, two_stage):
        parameters = {**LOCAL, 'two_stage': two_stage}
        groups = {'ana@isp': 'ug-home', 'bob@isp': ''}
        with console(
            HUAWEI, (), 5, parameters, local_groups=groups, profiles={'ug-home', 'ug-slow', 'ug-wall'}
        ) as bench:
            baseline = bench.read('ana@isp').detail
            for state, group in ((SLOW, 'ug-slow'), (BLOCKED, 'ug-wall'), (NORMAL, 'ug-home')):
                result = bench.enforce(state, 'ana@isp', baseline=baseline)['ana@isp']
                assert (result.outcome, result.message) == (Outcome.APPLIED, '')
                assert (bench.box.local_groups['ana@isp'], bench.got('ana@isp')) == (group, [(group,)])
            assert bench.enforce(BLOCKED, 'bob@isp')['bob@isp'].outcome is Outcome.APPLIED
            assert bench.enforce(NORMAL, 'bob@isp')['bob@isp'].outcome is Outcome.APPLIED
            assert bench.box.local_groups == groups
            assert ('commit' in bench.box.commands) is two_stage

    def test_a_group_whose_name_is_latin_1_is_put_back_to_the_byte(self):
        group = b'ug-padr\xe3o'.decode('utf-8', 'surrogateescape')
        groups = {'ana@isp': group}
        with console(HUAWEI, (), 5, LOCAL, local_groups=groups, profiles={group, 'ug-slow', 'ug-wall'}) as bench:
            baseline = json.loads(json.dumps(bench.read('ana@isp').detail))
            assert baseline['group'] == 'ug-padr␛DCE3o'
            for state in (BLOCKED, NORMAL):
                result = bench.enforce(state, 'ana@isp', baseline=baseline)['ana@isp']
                assert (result.outcome, result.message) == (Outcome.APPLIED, '')
            assert bench.box.local_groups == {'ana@isp': group}

    @pytest.mark.parametrize('group', ['a b', 'a|b', 'a␛0000b', 'a\rreboot', '?'])
    def test_a_recorded_group_that_is_a_command_is_not_sent(self, group):
        with console(HUAWEI, (), 5, LOCAL, local_groups={'ana@isp': ''}, profiles={'ug-slow', 'ug-wall'}) as bench:
            bench.enforce(BLOCKED, 'ana@isp')
            seen = [line for line in bench.box.commands if line.startswith('local-user')]
            result = bench.enforce(NORMAL, 'ana@isp', baseline={'group': group})['ana@isp']
            assert result.outcome is Outcome.FAILED
            assert [line for line in bench.box.commands if line.startswith('local-user')] == seen

    @pytest.mark.parametrize('hard', [SLOW, BLOCKED])
    def test_a_group_of_anothers_is_foreign_and_gone_back_to(self, hard):
        groups = {'ana@isp': 'Bloqueados', 'bob@isp': ''}
        with console(
            HUAWEI, (), 5, LOCAL, local_groups=groups, profiles={'Bloqueados', 'ug-slow', 'ug-wall', 'ug-home'}
        ) as bench:
            before = bench.read('ana@isp')
            assert (before.is_(NORMAL), before.foreign) == (True, ('policy Bloqueados',))
            assert not before.is_baseline
            assert bench.enforce(NORMAL, 'ana@isp')['ana@isp'].outcome is Outcome.NOOP
            assert bench.enforce(hard, 'ana@isp')['ana@isp'].outcome is Outcome.APPLIED
            restricted = {'point': bench.driver.parameters.model_dump(mode='json'), 'before': before.detail}
            result = bench.enforce(NORMAL, 'ana@isp', restricted=restricted)['ana@isp']
            assert result.outcome is Outcome.APPLIED
            assert result.after.foreign == ('policy Bloqueados',)
            assert bench.box.local_groups == groups

    def test_a_policy_that_was_renamed_while_lines_are_in_it_is_known_again(self):
        groups = {'ana@isp': 'ug-home'}
        profiles = {'ug-home', 'ug-slow', 'ug-wall', 'ug-hold'}
        with console(HUAWEI, (), 5, LOCAL, local_groups=groups, profiles=profiles) as bench:
            baseline = bench.read('ana@isp').detail
            bench.enforce(BLOCKED, 'ana@isp')
            restricted = {'point': LOCAL}
            renamed = {'users': 'local', 'policies': {'ug-hold': {'mode': 'blocked', 'kind': 'user-group'}}}
            bench.driver = HuaweiVRPDriver(bench.session, renamed)
            result = bench.enforce(NORMAL, 'ana@isp', restricted=restricted, baseline=baseline)['ana@isp']
            assert (result.before.is_(BLOCKED), result.outcome) == (True, Outcome.APPLIED)
            assert bench.box.local_groups == groups

    def test_a_group_that_is_no_normal_one_is_not_gone_back_to(self):
        with console(HUAWEI, (), 5, LOCAL, local_groups={'ana@isp': 'ug-wall'}, profiles={'ug-wall', 'corte'}) as bench:
            result = bench.enforce(NORMAL, 'ana@isp', baseline={'group': 'corte'}, parameters={'user_group': 'ug-slow'})
            assert result['ana@isp'].outcome is Outcome.FAILED
            assert all(name in result['ana@isp'].message for name in ('"ug-wall"', '"corte"', '"ug-slow"'))

    def test_two_sessions_of_a_local_user_forbid_to_restrict_and_nothing_else(self):
        groups = {'ana@isp': 'ug-home'}
        profiles = {'ug-home', 'ug-slow', 'ug-wall'}
        with console(HUAWEI, (), 5, LOCAL, local_groups=groups, profiles=profiles) as bench:
            baseline = bench.read('ana@isp').detail
            bench.enforce(BLOCKED, 'ana@isp')
            bench.box.dial('ana@isp')
            result = bench.enforce(SLOW, 'ana@isp')['ana@isp']
            assert (result.outcome, '2 sessions' in result.message) == (Outcome.FAILED, True)
            assert bench.box.local_groups == {'ana@isp': 'ug-wall'}
            assert bench.enforce(NORMAL, 'ana@isp', baseline=baseline)['ana@isp'].outcome is Outcome.APPLIED
            assert bench.box.local_groups == groups
            assert bench.got('ana@isp') == [('ug-home',)] * 2

    def test_a_local_user_that_is_gone_is_told_from_a_failure(self):
        with console(HUAWEI, (), 5, LOCAL, local_groups={'ana@isp': ''}, profiles={'ug-slow', 'ug-wall'}) as bench:
            assert bench.read('nobody@isp').absent
            bench.box.faults = [Fault('error', 'display local-user', text='Error: You do not have permission')]
            assert not bench.read('nobody@isp').absent

    def test_an_offline_local_user_keeps_the_policy_for_the_next_session(self):
        with console(HUAWEI, (), 5, LOCAL, local_groups={'ana@isp': ''}, profiles={'ug-slow', 'ug-wall'}) as bench:
            bench.box.sessions.clear()
            assert bench.enforce(BLOCKED, 'ana@isp')['ana@isp'].outcome is Outcome.OFFLINE
            assert bench.box.local_groups['ana@isp'] == 'ug-wall'

    def test_a_local_user_that_is_not_there_is_an_error(self):
        with console(HUAWEI, (), 5, LOCAL, profiles={'ug-slow', 'ug-wall'}) as bench:
            assert 'does not exist' in bench.read('ana@isp').error

    def test_a_check_names_the_profiles_that_are_missing(self):
        with console(HUAWEI, profiles={'fast', 'slow-1m'}) as bench:
            wrong = [finding.subject for finding in bench.driver.check(datetime.now(UTC)) if not finding.ok]
            assert wrong == ['qos-profile "walled"']


class TestIOSXR:
    def test_a_dead_session_that_cannot_be_ended_holds_up_no_other(self):
        with console(VENDORS[1]) as bench:
            bench.radius('ana@isp', BLOCKED)
            bench.enforce(BLOCKED, 'ana@isp')
            bench.box.dial('ana@isp')
            bench.radius('ana@isp', NORMAL)
            (first, _) = bench.read('ana@isp').detail['sessions']
            bench.box.faults = [Fault('error', first['handle'], text='% Session not found')]
            result = bench.enforce(NORMAL, 'ana@isp')['ana@isp']
            assert (result.outcome, 'Session not found' in result.message) == (Outcome.PARTIAL, True)
            assert sorted(bench.got('ana@isp')) == [('PM_FAST',), ('WALL',)]


class TestPure:
    @pytest.mark.parametrize(
        'around',
        [
            '\x07{}',
            '\x00{}\x00',
            '\x0f{}',
            '\x07\r{}\x07',
            '\x1b[1;32m{}\x1b[0m',
            '\x1b]0;a title\x07{}',
            '\x1b[?2004h{}',
            '\x1b(B{}\x1b[K',
        ],
    )
    def test_a_prompt_is_known_by_what_a_person_sees_of_it(self, around):
        for driver, prompt in zip(
            (HuaweiVRPDriver, CiscoIOSXRDriver, JunosDriver, NokiaSROSDriver),
            ('<bras 1>', 'RP/0/RSP0/CPU0:bras#', 'admin@bras> ', 'A:bras# '),
            strict=True,
        ):
            found = driver.prompt.pattern.match(seen := clean_line(around.format(prompt)))
            assert found is not None
            assert not seen[found.end() :]

    def test_pagers_of_all_releases_are_known(self):
        for driver, text in (
            (HuaweiVRPDriver, '  ---- More (23%) ----'),
            (CiscoIOSXRDriver, ' --More-- '),
            (JunosDriver, '---(more 12%)---'),
            (NokiaSROSDriver, 'Press Q to quit, Enter to print next line or any other key to print next page.'),
        ):
            assert driver.prompt.more.search(text)

    def test_exact_commands(self):
        xr, junos = CiscoIOSXRDriver(None, {}), JunosDriver(None, {})
        nokia = NokiaSROSDriver(None, {'service_id': 100})
        session = ConsoleSession('ana@isp', 'Bundle-Ether1.100.pppoe16')
        assert [driver.show_command('ana@isp') for driver in (xr, junos, nokia)] == [
            'show subscriber session filter username ana@isp detail internal',
            'show subscribers user-name ana@isp extensive | no-more',
            'show service id 100 ppp session user-name ana@isp detail',
        ]
        assert [driver.clear_commands(session) for driver in (xr, junos, nokia)] == [
            ('clear subscriber session identifier interface Bundle-Ether1.100.pppoe16',),
            ('clear network-access aaa subscriber username ana@isp',),
            ('clear service id 100 ppp session user-name ana@isp',),
        ]

    @pytest.mark.parametrize('handle', ['', 'Bundle-Ether1.100', 'all', 'Bundle-Ether1.100.pppoe1 all'])
    def test_iosxr_ends_nothing_but_a_sessions_own_interface(self, handle):
        with pytest.raises(NotSentError):
            CiscoIOSXRDriver(None, {}).clear_commands(ConsoleSession('ana', handle))

    def test_clocks(self):
        noon = datetime(2026, 11, 23, 12, 0, 5, tzinfo=UTC)
        assert CiscoIOSXRDriver(None, {}).parse_clock('12:00:05.123 UTC Mon Nov 23 2026') == noon
        assert JunosDriver(None, {}).parse_clock('Current time: 2026-11-23 12:00:05 UTC') == noon
        nokia = NokiaSROSDriver(None, {'service_id': 1})
        shown = 'Current Date & Time : 2026/11/23 12:00:05\nCurrent Zone        : UTC'
        assert nokia.parse_clock(shown) == noon
        vrp = HuaweiVRPDriver(None, {})
        assert vrp.parse_clock('2026-11-23 09:00:05\nMonday\nTime Zone(BRT) : UTC-03:00') == noon
        for driver in (vrp, nokia, JunosDriver(None, {}), CiscoIOSXRDriver(None, {})):
            assert driver.parse_clock('12:00:05 -03 Mon Nov 23 2026') is None
        assert clock_finding(None, noon).required is False
        assert clock_finding(noon - timedelta(seconds=299), noon).ok
        assert not clock_finding(noon - timedelta(seconds=301), noon).ok

    def test_what_another_put_on_a_session_is_foreign_and_what_is_ours_is_not(self):
        driver = JunosDriver(None, VENDORS[2].parameters)
        reading = driver.reading_of(ConsoleSession('ana', '1', '', ('FF-WALL', 'Suspenso')))
        assert (reading.live, reading.foreign) == (BLOCKED, ('policy Suspenso',))
        named = JunosDriver(None, {'policies': {'suspenso': {'mode': 'blocked'}}, 'foreign_policies': ['suspenso']})
        assert named.reading_of(ConsoleSession('ana', '1', '', ('suspenso',))).foreign == ()

    def test_the_most_restrictive_of_several_policies_counts(self):
        driver = JunosDriver(None, VENDORS[2].parameters)
        policies = ('throttle(1m,512k)', 'FF-WALL', 'other')
        assert driver.reading_of(ConsoleSession('ana', '1', '', policies)).live == BLOCKED

    def test_a_service_that_is_not_applied_does_not_count(self):
        answer = 'Interface: BE1.pppoe1\nUser name: ana\nServices:\n  Name  : WALL\n  Status      : Failed\n'
        (session,) = CiscoIOSXRDriver(None, {}).parse_sessions(answer)
        assert session.policies == ()

    @pytest.mark.parametrize('name', ['a b', 'a;b', '', 'x\n', 'a|b'])
    def test_a_policy_name_that_is_a_command_is_refused_as_a_setting(self, name):
        with pytest.raises(ValidationError):
            JunosDriver(None, {'policies': {name: {'mode': Mode.BLOCKED}}})

    @given(st.text())
    def test_what_is_sent_as_a_user_name_is_one_word_without_any_meaning(self, name):
        try:
            sent = check_username(name)
        except NotSentError:
            return
        assert sent == name
        assert len(sent.split()) == 1
        assert not set(sent) & set('|;?!#*"\'\\$`&<>(){}[]~^%\r\n\t ')
