"""Waves, breaker, cancel and deadline over many points that keep real state; and the runner with anybody's tasks."""

import threading
from collections import Counter

import pytest
from nornir import InitNornir
from nornir.core import Nornir
from nornir.core.configuration import Config
from nornir.core.inventory import ConnectionOptions, Groups, Host, Hosts, Inventory
from nornir.core.plugins.connections import ConnectionPluginRegister
from nornir.core.state import GlobalState
from nornir.core.task import Result

from nornir_tasks.change import AccessChange, AccessState, AccessTarget
from nornir_tasks.engine import cancellation, tasks
from nornir_tasks.engine.breaker import BreakerLimits
from nornir_tasks.engine.journal import Claim, MemoryJournal, ReportingJournal
from nornir_tasks.engine.waves import Waves
from nornir_tasks.inventory.hosts import as_inventory
from nornir_tasks.points import Point
from nornir_tasks.run import run_changes
from nornir_tasks.runners import waves as waves_runner
from nornir_tasks.runners.waves import WavesRunner
from tests.simulators.memory import MemoryPoint
from tests.waiting import HOURS, HandClock

BLOCKED, NORMAL = AccessState.blocked(), AccessState.normal()
WAVES = Waves.parse('1, 10%, rest')


class World:
    """Points `bras-0` … with lines `0/0` …, and what was sent to them, in order."""

    def __init__(self, points=4, lines=25):
        self.points = {f'bras-{n}': MemoryPoint() for n in range(points)}
        self.order = []
        for n, point in enumerate(self.points.values()):
            for line in range(lines):
                point.add(f'{n}/{line}')
            point.after_row = self.order.append

    def inventory(self):
        return [Point(name, 'memory', '192.0.2.1', batch_size=10) for name in self.points]

    def changes(self, desired=BLOCKED, **values):
        return {
            name: [
                AccessChange(username, AccessTarget(username, username=username), desired, **values)
                for username in point.stored
            ]
            for name, point in self.points.items()
        }

    def run(self, journal=None, changes=None, **options):
        options = {'waves': WAVES, 'breaker': BreakerLimits()} | options
        return run_changes(self.inventory(), changes or self.changes(), journal or MemoryJournal(), **options)

    @property
    def blocked(self):
        return sum(state == BLOCKED for point in self.points.values() for state in point.live.values())


@pytest.fixture
def world(monkeypatch):
    world = World()
    monkeypatch.setattr(tasks, 'open_driver', lambda task: world.points[task.host.name].driver())
    for name in ('SETTLE_SECONDS', 'SETTLE_PAUSE', 'BUSY_SECONDS', 'BUSY_PAUSE'):
        monkeypatch.setattr(tasks, name, 0.02)
    return world


class Moments(MemoryJournal):
    """Remembers the wave of each row that was sent, in order."""

    def __init__(self):
        super().__init__()
        self.waves = []

    def sending(self, changes, before):
        self.waves.extend(change.wave for change in changes)
        return super().sending(changes, before)


def test_each_wave_is_read_back_before_the_next_one_begins(world):
    journal = Moments()
    results = world.run(journal)
    assert Counter(journal.waves) == {1: 1, 2: 10, 3: 89}
    assert journal.waves == sorted(journal.waves)
    assert Counter(str(result.outcome) for result in results) == {'applied': 100}
    assert results.stop_reasons == {}
    assert world.blocked == 100
    assert {row.split('/')[0] for row in world.order[1:11]} == {'0', '1', '2', '3'}, 'a wave is mixed over the points'


def test_a_second_run_sends_nothing(world):
    world.run()
    world.order.clear()
    assert Counter(str(result.outcome) for result in world.run()) == {'noop': 100}
    assert world.order == []


def test_rows_keep_the_waves_that_they_came_with(world):
    journal = Moments()
    changes = {
        name: [AccessChange(row.key, row.target, row.desired, wave=7 - int(name[-1])) for row in rows]
        for name, rows in world.changes().items()
    }
    world.run(journal, changes)
    assert Counter(journal.waves) == {4: 25, 5: 25, 6: 25, 7: 25}
    assert world.order[0].startswith('3/')


def test_without_waves_all_rows_go_at_once(world):
    journal = Moments()
    world.run(journal, waves=None)
    assert set(journal.waves) == {1}


def test_a_first_wave_that_goes_wrong_costs_one_line(world):
    for point in world.points.values():
        point.half_applies = set(point.stored)
    results = world.run()
    assert [str(result.outcome) for result in results] == ['partial']
    assert len(world.order) == 1
    assert set(results.stop_reasons) == set(world.points)
    assert set(results.stop_reasons.values()) == {'the whole first wave went wrong: 1 of 1 rows'}


def test_the_breaker_stops_a_wave_under_way_on_every_point(world):
    for point in world.points.values():
        point.lies_about = {username for username in point.stored if int(username.split('/')[1]) > 4}
    journal = MemoryJournal()
    results = world.run(journal, breaker=BreakerLimits(max_failed_percent=10, min_rows=15))
    assert 'too many rows went wrong' in results.stop_reasons['bras-1']
    assert len(journal.results) < 100
    assert set(journal.sent) == set(journal.results), 'rows without a result were not sent'


def test_sessions_that_are_lost_beside_ours_stop_the_run_before_its_next_wave(world):
    for n in range(4):
        for line in range(25, 100):
            world.points[f'bras-{n}'].add(f'{n}/{line}')
    changes = {name: rows[:25] for name, rows in world.changes().items()}

    def collapse(username):
        world.order.append(username)
        if len(world.order) == 1:
            for line in range(50, 100):
                world.points['bras-0'].live[f'0/{line}'] = None

    world.points['bras-0'].after_row = collapse
    results = world.run(changes=changes)
    assert world.order == ['0/0']
    lost = 'bras-0 lost sessions that the run did not end: 50 of 100, 50.0 %; at most 5 %'
    assert results.stop_reasons['bras-3'] == lost


def test_what_is_lost_while_the_run_soaks_is_seen_before_the_next_wave(world):
    for line in range(25, 100):
        world.points['bras-0'].add(f'0/{line}')
    changes = {name: rows[:25] for name, rows in world.changes().items()}

    def later(username):
        world.order.append(username)
        threading.Timer(
            0.1, lambda: [world.points['bras-0'].live.update({f'0/{n}': None}) for n in range(50, 100)]
        ).start()

    world.points['bras-0'].after_row = later
    results = world.run(changes=changes, soak_s=0.4, waves=Waves.parse('1, rest'))
    assert world.order == ['0/0']
    assert 'bras-0 lost sessions' in results.stop_reasons['bras-1']


def test_sessions_that_the_run_itself_ended_are_no_collateral(world):
    for point in world.points.values():
        point.drops_sessions = True
    results = world.run()
    assert Counter(str(result.outcome) for result in results) == {'offline': 100}
    assert results.stop_reasons == {}


def test_a_point_that_becomes_slow_stops_the_run(world):
    def strain(username):
        world.points['bras-0'].thinks_s = 0.2

    world.points['bras-0'].after_row = strain
    results = world.run(breaker=BreakerLimits(min_latency_s=0.1))
    assert 'bras-0 has become slow' in results.stop_reasons['bras-3']
    assert world.blocked < 100


def test_cancel_stops_between_two_rows_and_leaves_the_rest_open(world):
    cancel = threading.Event()

    def note(username):
        world.order.append(username)
        if len(world.order) == 30:
            cancel.set()

    for point in world.points.values():
        point.after_row = note
    journal = MemoryJournal()
    results = world.run(journal, cancel=cancel)
    assert 30 <= len(results) <= 30 + len(world.points), 'the row that each point was at, and no other'
    assert results.stop_reasons['bras-0'] == 'it was cancelled'
    assert sorted(journal.results) == sorted(world.order) == sorted(journal.sent)


def test_cancel_ends_a_soak(world):
    cancel = threading.Event()

    class Soaking(MemoryJournal):
        def claim(self, changes):
            if not changes:
                threading.Timer(0.02, cancel.set).start()
            return Claim()

    assert len(world.run(Soaking(), cancel=cancel, soak_s=HOURS)) == 1


def test_the_deadline_leaves_open_what_was_not_begun(world, monkeypatch):
    clock = HandClock.of(monkeypatch, cancellation)
    for point in world.points.values():
        point.after_row = lambda username: clock.move(0.1)
    results = world.run(deadline_s=1)
    assert 0 < len(results) < 100
    assert set(results.stop_reasons.values()) == {'its deadline of 1 s has passed'}


def test_one_point_that_may_not_go_on_does_not_hold_the_others(world):
    class Capped(MemoryJournal):
        def claim(self, changes):
            ours = any(change.key.startswith('1/') for change in changes)
            return Claim(stop_reason="bras-1 has had its hour's lines") if ours else Claim()

    results = world.run(Capped())
    assert len(results) == 75
    assert results.stop_reasons == {'bras-1': "bras-1 has had its hour's lines"}


def test_a_run_that_is_paused_everywhere_begins_no_further_wave(world):
    class Paused(MemoryJournal):
        asked = 0

        def claim(self, changes):
            self.asked += 1
            return Claim(stop_reason='paused')

    journal = Paused()
    results = world.run(journal, soak_s=HOURS)
    assert (len(results), journal.asked) == (0, 2)
    assert set(results.stop_reasons.values()) == {'paused'}


def test_a_point_that_may_not_go_on_and_has_a_wave_of_its_own_does_not_hold_the_next(world):
    class Capped(MemoryJournal):
        def claim(self, changes):
            ours = any(change.key.startswith('1/') for change in changes)
            return Claim(stop_reason='its hour is full') if ours else Claim()

    changes = {
        name: [AccessChange(row.key, row.target, row.desired, wave=1 if name == 'bras-1' else 2) for row in rows]
        for name, rows in world.changes().items()
    }
    results = world.run(Capped(), changes)
    assert len(results) == 75
    assert results.stop_reasons == {'bras-1': 'its hour is full'}


class Busy(MemoryJournal):
    """Another run holds these lines."""

    def __init__(self, *held):
        super().__init__()
        self.held = frozenset(held)

    def claim(self, changes):
        return Claim(busy=self.held & {change.key for change in changes})


def test_no_wave_follows_one_that_another_run_left_unfinished(world):
    """Its breaker and its soak would judge a wave that has not been."""
    changes = {
        name: [AccessChange(row.key, row.target, row.desired, wave=1 + (n > 4)) for n, row in enumerate(rows)]
        for name, rows in world.changes().items()
    }
    results = world.run(Busy('1/0'), changes, soak_s=60)
    assert len(results) == 19
    waits = 'another run is changing 1 of these lines: they wait until it lets go'
    assert results.stop_reasons == dict.fromkeys(world.points, waits)


def test_lines_that_are_busy_in_the_last_wave_hold_nobody_else(world):
    results = world.run(Busy('1/24'))
    assert len(results) == 99
    assert list(results.stop_reasons) == ['bras-1']


def test_a_pause_while_the_run_soaks_ends_it(world, monkeypatch):
    monkeypatch.setattr(waves_runner, 'ASK_SECONDS', 0.05)
    asked = []

    class Watched(MemoryJournal):
        def claim(self, changes):
            if not changes:
                asked.append(len(asked))
            return Claim(stop_reason='paused' if len(asked) > 3 else '')

    results = world.run(Watched(), soak_s=HOURS)
    assert len(results) == 1
    assert len(asked) == 4
    assert results.stop_reasons['bras-3'] == 'paused'


def test_a_journal_that_is_gone_between_two_waves_ends_the_run(world):
    class Gone(MemoryJournal):
        def claim(self, changes):
            if not changes:
                raise ConnectionError('no route to host')
            return Claim()

    results = world.run(Gone())
    assert len(results) == 1
    assert 'no route to host' in results.stop_reasons['bras-3']


def test_a_dead_point_is_named_on_its_rows_and_the_others_go_on(world):
    world.points['bras-2'].dead = True
    results = world.run(breaker=BreakerLimits(max_failed_percent=25))
    assert Counter(str(result.outcome) for result in results) == {'applied': 75, 'failed': 25}
    assert {result.key.split('/')[0] for result in results if not result.outcome.is_success} == {'2'}


def test_too_many_dead_points_stop_the_run(world):
    world.points['bras-2'].dead = True
    stop_reason = world.run().stop_reasons
    assert any('too many rows could not be tried' in reason for reason in stop_reason.values()), stop_reason
    assert world.blocked < 75


def test_a_callback_that_raises_stops_nothing(world, caplog):
    def report(result):
        raise ZeroDivisionError

    assert len(world.run(ReportingJournal(MemoryJournal(), report))) == 100
    assert 'could not be reported' in caplog.text


def test_one_point_at_a_time_stays_in_the_callers_thread(world):
    seen = set()
    for point in world.points.values():
        point.after_row = lambda username: seen.add(threading.current_thread())
    world.run(parallel=1)
    assert seen == {threading.current_thread()}


def nornir(hosts=20, **options):
    inventory = Inventory(Hosts({f'sw-{n:02}': Host(f'sw-{n:02}') for n in range(hosts)}), Groups())
    return Nornir(inventory, Config(), GlobalState(), runner=WavesRunner(**options))


def test_anybodys_task_runs_in_waves_over_hosts():
    begun, ended, ended_before = [], [], []
    another = threading.Event()

    def show(task):
        ended_before.append(len(ended))
        begun.append(task.host.name)
        if len(begun) == 1:
            assert not another.wait(0.1), 'the first one is alone'
        another.set()
        ended.append(task.host.name)
        return Result(host=task.host, result=task.host.name.upper())

    answers = nornir(waves='1, 20%, rest', num_workers=10).run(task=show)
    assert len(begun) == 20
    assert min(ended_before[1:]) >= 1
    assert min(ended_before[5:]) >= 5, 'the second wave has ended'
    assert {name: answer.result for name, answer in answers.items()} == {f'sw-{n:02}': f'SW-{n:02}' for n in range(20)}


def test_hosts_that_fail_stop_the_rest_and_those_not_begun_are_no_failures():
    tried = []

    def upgrade(task):
        tried.append(task.host.name)
        raise ZeroDivisionError

    norn = nornir(waves='2, rest')
    answers = norn.run(task=upgrade)
    assert sorted(tried) == ['sw-00', 'sw-01']
    assert 'the whole first wave went wrong: 2 of 2 hosts' in answers['sw-19'][0].result
    assert set(answers.failed_hosts) == norn.data.failed_hosts == {'sw-00', 'sw-01'}
    assert len(answers.stop_reasons) == 18


def test_every_run_starts_afresh():
    norn = nornir(waves='2, rest')
    norn.run(task=lambda task: 1 / 0)
    answers = norn.run(task=lambda task: 'fine')
    assert len(answers) == 18, 'Nornir itself leaves failed hosts out'
    assert {answer.result for answer in answers.values()} == {'fine'}


def test_a_processor_that_raises_stops_nothing(caplog):
    class Broken:
        def task_started(self, task):
            pass

        def task_completed(self, task, result):
            pass

        def task_instance_started(self, task, host):
            raise ZeroDivisionError

        def task_instance_completed(self, task, host, result):
            raise ZeroDivisionError

        subtask_instance_started, subtask_instance_completed = task_instance_started, task_instance_completed

    answers = nornir().with_processors([Broken()]).run(task=lambda task: 'fine')
    assert {answer.result for answer in answers.values()} == {'fine'}
    assert 'a processor of task' in caplog.text


def test_results_need_not_be_kept():
    seen = []

    class Streaming:
        def task_started(self, task):
            pass

        task_completed = task_instance_started = subtask_instance_started = lambda *args: None
        subtask_instance_completed = task_instance_started

        def task_instance_completed(self, task, host, result):
            seen.append(result[0].result)

    answers = nornir(keep_results=False).with_processors([Streaming()]).run(task=lambda task: 'x' * 10)
    assert seen == ['x' * 10] * 20
    assert {answer.result for answer in answers.values()} == {None}


def test_connections_are_closed_everywhere_even_after_a_stop(monkeypatch):
    closed = []

    class Connection:
        def open(self, *args, **kwargs):
            self.connection = self

        def close(self):
            closed.append(self)

    monkeypatch.setitem(ConnectionPluginRegister.available, 'memory', Connection)
    cancel = threading.Event()
    with nornir(hosts=5, cancel=cancel, waves='rest', soak_s=60, num_workers=1) as norn:
        for host in norn.inventory.hosts.values():
            host.connection_options['memory'] = ConnectionOptions()
            host.get_connection('memory', norn.config)
        cancel.set()
    assert len(closed) == 5


def test_tasks_over_rows_that_know_no_journal_are_run_in_waves_too(world):
    seen = []

    def shape(task, changes):
        seen.append((task.host.name, len(changes[task.host.name])))
        return Result(host=task.host, result=[row.key for row in changes[task.host.name]])

    norn = Nornir(as_inventory(world.inventory()), Config(), GlobalState(), runner=WavesRunner(waves='1, rest'))
    answers = norn.run(task=shape, changes=world.changes())
    assert seen[0] == ('bras-0', 1)
    assert sorted(seen[1:]) == [('bras-0', 24), ('bras-1', 25), ('bras-2', 25), ('bras-3', 25)]
    assert len(answers['bras-0'].result) == 25


def test_it_is_nornirs_runner_plugin_by_name(tmp_path):
    (tmp_path / 'hosts.yaml').write_text('sw-1: {}\nsw-2: {}\n')
    norn = InitNornir(
        inventory={'plugin': 'SimpleInventory', 'options': {'host_file': str(tmp_path / 'hosts.yaml')}},
        runner={
            'plugin': 'waves',
            'options': {'waves': '1, rest', 'soak_s': 0, 'breaker': {'max_failed_percent': 50}, 'num_workers': 5},
        },
        logging={'enabled': False},
    )
    assert isinstance(norn.runner, WavesRunner)
    assert norn.runner.breaker == BreakerLimits(max_failed_percent=50)
    assert set(norn.run(task=lambda task: 'fine')) == {'sw-1', 'sw-2'}


@pytest.mark.parametrize('options', [{'waves': '1, 10%'}, {'breaker': {'max_fail': 3}}])
def test_options_that_cannot_be_read_are_refused(options):
    with pytest.raises(ValueError, match=r'waves "1, 10%"|no such limit'):
        WavesRunner(**options)
