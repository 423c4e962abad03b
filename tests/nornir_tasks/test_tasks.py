"""The engine's order and its judgement, against a point that keeps real state."""

import threading

import pytest

from nornir_tasks.change import AccessChange, AccessState, AccessTarget, Outcome
from nornir_tasks.engine import cancellation, rate_limit, tasks
from nornir_tasks.engine.breaker import Health
from nornir_tasks.engine.cancellation import Stop
from nornir_tasks.engine.journal import Claim, MemoryJournal
from nornir_tasks.engine.tasks import PointWork
from tests.simulators.memory import MemoryPoint
from tests.waiting import HandClock

BLOCKED, NORMAL = AccessState.blocked(), AccessState.normal()
THROTTLED = AccessState.throttled(1000, 500)


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    for name in ('SETTLE_SECONDS', 'SETTLE_PAUSE', 'BUSY_SECONDS', 'BUSY_PAUSE'):
        monkeypatch.setattr(tasks, name, 0.02)


@pytest.fixture
def clock(monkeypatch):
    return HandClock.of(monkeypatch, tasks, cancellation, rate_limit)


@pytest.fixture
def point():
    point = MemoryPoint()
    for name in 'abcde':
        point.add(name)
    return point


def change(username, desired=BLOCKED, **values):
    return AccessChange(
        f'change-{username}', AccessTarget(key=f'line-{username}', username=username), desired, **values
    )


def run(point, *changes, journal=None, batch_size=2, dry_run=False, **options):
    work = PointWork(point.driver, batch_size, journal or MemoryJournal(), dry_run, name='bras-1', **options)
    work.run(changes)
    return {result.key.removeprefix('change-'): result for result in work.results}


def outcomes(results):
    return {name: str(result.outcome) for name, result in results.items()}


def test_a_change_is_applied_and_read_back_and_a_second_run_sends_nothing(point):
    assert outcomes(run(point, *map(change, 'abc'))) == {'a': 'applied', 'b': 'applied', 'c': 'applied'}
    assert {name: point.live[name] for name in 'abcde'} == {
        'a': BLOCKED, 'b': BLOCKED, 'c': BLOCKED, 'd': NORMAL, 'e': NORMAL,
    }  # fmt: skip
    point.sent.clear()
    assert outcomes(run(point, *map(change, 'abc'))) == {'a': 'noop', 'b': 'noop', 'c': 'noop'}
    assert point.sent == []


def test_a_line_that_is_not_there_is_an_error_on_its_row_and_the_others_go_on(point):
    results = run(point, change('a'), change('ghost'), change('b'))
    assert outcomes(results) == {'a': 'applied', 'ghost': 'failed', 'b': 'applied'}
    assert 'no line "ghost"' in results['ghost'].message


def test_a_line_without_a_session_is_stored_and_offline(point):
    point.add('away', online=False)
    assert outcomes(run(point, change('away'))) == {'away': 'offline'}
    assert point.stored['away'] == BLOCKED


def test_an_acknowledgement_without_effect_is_never_called_applied(point):
    point.lies_about = {'a'}
    point.half_applies = {'b'}
    point.refuses = {'c'}
    results = run(point, *map(change, 'abc'))
    assert outcomes(results) == {'a': 'failed', 'b': 'partial', 'c': 'failed'}
    assert 'still normal' in results['a'].message
    assert 'refused by the point' in results['c'].message


def test_a_lost_answer_is_read_back_before_anything_is_said(point):
    point.deaf_after_apply = True
    assert outcomes(run(point, change('a'))) == {'a': 'applied'}


def test_a_point_that_stops_answering_leaves_its_batch_unknown_and_the_rest_untouched(point):
    point.hangs_after = 1
    results = run(point, *map(change, 'abcde'))
    assert outcomes(results) == {'a': 'unknown', 'b': 'unknown', 'c': 'failed', 'd': 'failed', 'e': 'failed'}
    assert 'nothing was sent' in results['c'].message
    assert point.sent == [('a', BLOCKED)]


def test_a_dead_point_is_tried_once_not_once_a_batch(point):
    point.dead = True
    results = run(point, *map(change, 'abcde'))
    assert set(outcomes(results).values()) == {'failed'}
    assert point.sent == []


def test_a_dry_run_sends_nothing_and_says_what_it_would(point):
    results = run(point, change('a'), dry_run=True)
    assert outcomes(results) == {'a': 'skipped'}
    assert results['a'].message == 'dry run: normal would become blocked'
    assert point.sent == []


def test_a_refused_row_is_skipped_with_its_reason_and_never_sent(point):
    class Paid(MemoryJournal):
        def claim(self, changes):
            return Claim(refused={'change-a': 'paid'})

    results = run(point, change('a'), change('b'), journal=Paid())
    assert outcomes(results) == {'a': 'skipped', 'b': 'applied'}
    assert results['a'].message == 'paid'
    assert ('a', BLOCKED) not in point.sent


def test_a_busy_row_is_tried_again_and_left_open_with_a_sentence(point):
    """Of a payment above all: it is nothing that could be dropped because a router is slow."""

    class Held(MemoryJournal):
        tries = 0

        def claim(self, changes):
            self.tries += 1
            held = {'change-b'} if self.tries > 1 else {'change-a', 'change-b'}
            return Claim(busy=frozenset(key for key in (change.key for change in changes) if key in held))

    work = PointWork(point.driver, 2, Held())
    work.run([change('a'), change('b')])
    assert [(result.key, result.outcome) for result in work.results] == [('change-a', 'applied')]
    assert work.stop_reason == 'another run is changing 1 of these lines: they wait until it lets go'
    assert work.busy == 1
    assert point.sent == [('a', BLOCKED)]


def test_how_long_a_busy_row_is_waited_for_is_for_the_caller_to_say(point, clock):
    class Held(MemoryJournal):
        def claim(self, changes):
            return Claim(busy=frozenset(change.key for change in changes))

    for patience, least in ((0.0, 0.0), (30.0, 30.0), (None, tasks.BUSY_SECONDS)):
        clock.slept = 0.0
        work = PointWork(point.driver, 2, Held(), patience_s=patience)
        work.run([change('a')])
        assert least <= clock.slept <= least + 2 * tasks.BUSY_PAUSE
        assert work.busy == 1


def test_rows_are_journaled_before_they_are_sent(point):
    journal = MemoryJournal()
    seen = []
    point.before_apply = lambda: seen.append(set(journal.sent))
    run(point, *map(change, 'abc'), journal=journal)
    assert seen == [{'change-a', 'change-b'}, {'change-a', 'change-b', 'change-c'}]
    assert journal.sent['change-a'].observed == NORMAL


def test_a_crashing_driver_closes_its_rows_as_unknown(point):
    def crash():
        raise ZeroDivisionError

    point.before_apply = crash
    journal = MemoryJournal()
    work = PointWork(point.driver, 2, journal)
    with pytest.raises(ZeroDivisionError):
        work.run([change(name) for name in 'abc'])
    assert {result.outcome for result in journal.results.values()} == {Outcome.UNKNOWN}
    assert len(journal.results) == 3


def test_an_exact_return_is_not_skipped_because_the_state_looks_right(point):
    already = change('a', NORMAL, exact={'was': 'something else'})
    assert outcomes(run(point, already)) == {'a': 'applied'}
    assert outcomes(run(point, change('a', NORMAL, exact={'was': 'normal'}))) == {'a': 'noop'}


def test_a_session_that_redials_within_the_pause_is_read_once_it_is_back(point):
    point.live['a'] = NORMAL
    redials = iter([None, BLOCKED])
    reading = type(point.driver())._reading

    class Redialling(type(point.driver())):
        def _reading(self, username):
            if point.sent:
                point.live[username] = next(redials)
            return reading(self, username)

    work = PointWork(lambda: Redialling(point, {}), 2, MemoryJournal())
    work.run([change('a')])
    assert [str(result.outcome) for result in work.results] == ['applied']


def halting(journal_type=MemoryJournal, after=1, reason='paused by the operator'):
    """A journal that says stop_reason once it was asked `after` times."""

    class Halting(journal_type):
        asked = 0

        def claim(self, changes):
            self.asked += 1
            return Claim(stop_reason=reason) if self.asked > after else Claim()

    return Halting()


def test_a_halt_ends_the_work_and_leaves_the_rows_open(point):
    journal = halting()
    work = PointWork(point.driver, 2, journal)
    work.run([change(name) for name in 'abcde'])
    assert work.stop_reason == 'paused by the operator'
    assert sorted(journal.results) == ['change-a', 'change-b']
    assert [username for username, _ in point.sent] == ['a', 'b']
    assert journal.asked == 2


def test_the_journal_is_asked_between_rows_too(point, monkeypatch):
    monkeypatch.setattr(tasks, 'ASK_SECONDS', 0.0)
    journal = halting(after=3)  # the claim, before sending, and before the first row
    work = PointWork(point.driver, 5, journal)
    work.run([change(name) for name in 'abcde'])
    assert [username for username, _ in point.sent] == ['a']
    assert sorted(journal.results) == ['change-a']
    assert sorted(journal.sent) == ['change-a'], 'the others were journaled as sent, and taken back'


def test_a_stop_between_rows_reads_back_what_was_sent_and_takes_back_the_rest(point):
    cancel = threading.Event()
    point.after_row = lambda username: cancel.set() if username == 'c' else None
    journal = MemoryJournal()
    work = PointWork(point.driver, 5, journal, stop=Stop(cancel))
    work.run([change(name) for name in 'abcde'])
    assert work.stop_reason == 'it was cancelled'
    assert {key: str(result.outcome) for key, result in journal.results.items()} == {
        'change-a': 'applied', 'change-b': 'applied', 'change-c': 'applied',
    }  # fmt: skip
    assert sorted(journal.sent) == ['change-a', 'change-b', 'change-c']
    assert point.live['d'] == NORMAL


def test_a_journal_that_cannot_be_asked_stops_the_sending_and_loses_no_answer(point, monkeypatch):
    monkeypatch.setattr(tasks, 'ASK_SECONDS', 0.0)

    class Gone(MemoryJournal):
        def claim(self, changes):
            if not changes and point.sent:
                raise ConnectionError('no route to host')
            return Claim()

    journal = Gone()
    work = PointWork(point.driver, 5, journal)
    work.run([change(name) for name in 'abc'])
    assert 'no route to host' in work.stop_reason
    assert [str(result.outcome) for result in work.results] == ['applied']
    assert sorted(journal.sent) == ['change-a']


def test_a_crash_after_a_stop_leaves_open_what_was_surely_not_sent(point):
    stop = Stop()
    point.after_row = lambda username: stop.pull('enough')

    class Crashing(MemoryJournal):
        def finished(self, results):
            if len(self.results) == 0 and not hasattr(self, 'crashed'):
                self.crashed = True
                raise ZeroDivisionError
            super().finished(results)

    journal = Crashing()
    work = PointWork(point.driver, 5, journal, stop=stop)
    with pytest.raises(ZeroDivisionError):
        work.run([change(name) for name in 'abc'])
    assert {key: str(result.outcome) for key, result in journal.results.items()} == {'change-a': 'unknown'}


def test_what_is_not_begun_at_the_deadline_stays_open(point, clock):
    point.after_row = lambda username: clock.move(0.06)
    journal = MemoryJournal()
    work = PointWork(point.driver, 1, journal, stop=Stop(deadline_s=0.1))
    work.run([change(name) for name in 'abcde'])
    assert work.stop_reason == 'its deadline of 0.1 s has passed'
    assert len(journal.results) == 2
    assert set(journal.sent) == set(journal.results)


def test_a_point_is_sent_no_more_than_its_rate(point, clock):
    sent, started = [], clock.now
    point.after_row = lambda username: sent.append(clock.now - started)
    run(point, *map(change, 'abcde'), batch_size=1, rate_per_s=20)
    assert sent == pytest.approx([0.0, 0.05, 0.1, 0.15, 0.2])


def test_a_limit_is_no_burst_and_a_pause(point, clock):
    batches = []
    point.before_apply = lambda: batches.append(len(point.sent))
    run(point, *map(change, 'abc'), batch_size=100, rate_per_s=2)
    assert batches == [0, 2]


def test_rows_that_need_no_sending_cost_no_time(point, clock):
    run(point, *(change(name, NORMAL) for name in 'abcde'), rate_per_s=0.5)
    assert clock.slept == 0


def test_a_point_that_waits_for_its_rate_still_stops_at_once(point):
    stop = Stop()
    point.after_row = lambda username: threading.Timer(0.05, lambda: stop.pull('cancelled')).start()
    run(point, *map(change, 'abc'), rate_per_s=0.0001, stop=stop)  # hours until the next one is due
    assert len(point.sent) == 1


def test_figures_are_taken_before_the_first_row_and_after_each_batch(point):
    journal = MemoryJournal()
    point.add('away', online=False)
    point.before_apply = lambda: point.live.update(e=None)
    run(point, *map(change, 'abc'), journal=journal)
    assert [health.sessions for health in journal.seen['bras-1']] == [5, 4, 4]
    assert all(health.latency_s is not None for health in journal.seen['bras-1'])


def test_a_point_that_fails_to_tell_its_figures_is_data_and_one_that_never_can_is_not_asked_about(point):
    journal = MemoryJournal()
    point.mute = True
    assert outcomes(run(point, change('a'), journal=journal)) == {'a': 'applied'}
    assert journal.seen == {}
    point.mute, point.dead = False, True
    assert tasks.probe_health(type(MemoryPoint().driver())(point, {})) == Health()


def test_a_dry_run_takes_no_figures_and_can_be_stopped(point):
    journal, stop = MemoryJournal(), Stop()
    stop.pull('enough')
    assert run(point, *map(change, 'abc'), journal=journal, dry_run=True, stop=stop) == {}
    assert journal.seen == {}


def test_the_first_reason_to_stop_is_the_one_that_counts():
    cancel = threading.Event()
    stop = Stop(cancel, deadline_s=1000)
    assert stop.reason == ''
    stop.pull('the breaker')
    cancel.set()
    assert stop.reason == 'the breaker'
    assert not stop.wait(60)
