"""The engine's order and its judgement, against a point that keeps real state."""

import pytest

from nornir_tasks import tasks
from nornir_tasks.change import AccessChange, AccessState, AccessTarget, Outcome
from nornir_tasks.journal import Claim, MemoryJournal
from nornir_tasks.tasks import PointWork
from tests.simulators.memory import MemoryPoint

BLOCKED, NORMAL = AccessState.blocked(), AccessState.normal()
THROTTLED = AccessState.throttled(1000, 500)


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    for name in ('SETTLE_SECONDS', 'SETTLE_PAUSE', 'BUSY_SECONDS', 'BUSY_PAUSE'):
        monkeypatch.setattr(tasks, name, 0.02)


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


def run(point, *changes, journal=None, batch_size=2, dry_run=False):
    work = PointWork(point.driver, batch_size, journal or MemoryJournal(), dry_run)
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


def test_a_busy_row_is_tried_again_and_given_up_with_a_sentence(point):
    class Held(MemoryJournal):
        tries = 0

        def claim(self, changes):
            self.tries += 1
            held = {'change-b'} if self.tries > 1 else {'change-a', 'change-b'}
            return Claim(busy=frozenset(key for key in (change.key for change in changes) if key in held))

    results = run(point, change('a'), change('b'), journal=Held())
    assert outcomes(results) == {'a': 'applied', 'b': 'skipped'}
    assert 'another run' in results['b'].message
    assert point.sent == [('a', BLOCKED)]


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
