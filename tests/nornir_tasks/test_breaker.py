"""The breaker: what it lets pass, what it stops, and that worse figures never let more pass."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nornir_tasks.change import AccessState, ChangeResult, Outcome, Reading
from nornir_tasks.engine.breaker import BreakerLimits, Health, PointHealth, Tally, may_have_ended, verdict

LIMITS = BreakerLimits(max_failed_percent=10, max_latency_factor=5)
NORMAL, BLOCKED = AccessState.normal(), AccessState.blocked()

limits = st.builds(
    BreakerLimits,
    max_failed_percent=st.floats(0, 100),
    min_rows=st.integers(1, 50),
    max_session_drop_percent=st.floats(0, 100),
    min_session_drop=st.integers(1, 20),
    max_refused_percent=st.floats(0, 100),
    max_latency_factor=st.floats(1, 20),
    min_latency_s=st.floats(0, 5),
)
tallies = st.lists(st.integers(0, 200), min_size=4, max_size=4).map(
    lambda drawn: Tally(drawn[0], min(drawn[1], drawn[0]), min(drawn[2], drawn[0]), min(drawn[3], drawn[1], drawn[0]))
)
totals = st.integers(0, 400)
health = st.builds(Health, st.none() | st.integers(0, 2000), st.none() | st.floats(0, 60))
healths = st.lists(st.builds(PointHealth, st.just('bras-1'), health, health, st.integers(0, 300)), max_size=3)


@given(limits, tallies, healths, totals, st.sampled_from(['wrong', 'refused']))
def test_once_tripped_it_stays_tripped_when_more_goes_wrong(given_limits, tally, points, total, what):
    if verdict(given_limits, tally, points, total=total) and getattr(tally, what) < tally.tried:
        worse = replace(tally, **{what: getattr(tally, what) + 1})
        assert verdict(given_limits, worse, points, total=total)


@given(limits, tallies, healths, st.data())
def test_once_tripped_it_stays_tripped_when_a_point_gets_worse(given_limits, tally, points, data):
    if points and verdict(given_limits, tally, points):
        worse = [
            replace(
                health,
                now=Health(
                    health.now.sessions and data.draw(st.integers(0, health.now.sessions)),
                    health.now.latency_s and health.now.latency_s + data.draw(st.floats(0, 10)),
                ),
            )
            for health in points
        ]
        assert verdict(given_limits, tally, worse)


@given(limits, tallies, healths)
def test_looser_limits_never_stop_what_tighter_ones_let_pass(given_limits, tally, points):
    looser = BreakerLimits(100, given_limits.min_rows, 100, given_limits.min_session_drop, 100, 1e9, 1e9)
    if not verdict(given_limits, tally, points):
        assert not verdict(looser, tally, points)


def test_a_share_of_wrong_rows_counts_from_enough_rows_on():
    assert verdict(LIMITS, Tally(tried=19, wrong=10)) == ''
    assert verdict(LIMITS, Tally(tried=20, wrong=2)) == ''
    said = verdict(LIMITS, Tally(tried=20, wrong=3))
    assert said == 'too many rows went wrong: 3 of 20, 15.0 %; at most 10 %'


def test_a_first_wave_that_went_wrong_altogether_stops_at_once():
    assert verdict(LIMITS, Tally(1, 1), first_wave=Tally(1, 1)) == 'the whole first wave went wrong: 1 of 1 rows'
    assert verdict(LIMITS, Tally(2, 1), first_wave=Tally(2, 1)) == ''
    assert verdict(LIMITS, Tally(), first_wave=Tally()) == ''


@pytest.mark.parametrize(
    ('outcome', 'tally'),
    [
        (Outcome.APPLIED, Tally(1)),
        (Outcome.NOOP, Tally(1)),
        (Outcome.OFFLINE, Tally(1)),
        (Outcome.PARTIAL, Tally(1, 1)),
        (Outcome.FAILED, Tally(1, 1, untouched=1)),
        (Outcome.UNKNOWN, Tally(1, 1)),
        (Outcome.SKIPPED, Tally()),
    ],
)
def test_what_counts_as_wrong(outcome, tally):
    assert Tally.of(ChangeResult('1', outcome)) == tally
    assert Tally.of(ChangeResult('1', outcome)) + Tally(9, 1, 1) == Tally(
        9 + tally.tried, 1 + tally.wrong, 1, tally.untouched
    )


def test_a_failure_that_was_read_back_was_sent():
    assert Tally.of(ChangeResult('1', Outcome.FAILED, after=Reading(stored=NORMAL))) == Tally(1, 1)


def test_a_dead_router_does_not_stop_the_others_until_there_are_too_many():
    half_way = Tally(tried=600, wrong=500, untouched=500)
    assert verdict(LIMITS, half_way, total=10_000) == ''
    assert 'went wrong: 500 of 600' in verdict(LIMITS, half_way)
    more = Tally(tried=1600, wrong=1500, untouched=1500)
    assert verdict(LIMITS, more, total=10_000) == (
        'too many rows could not be tried: 1500 of 10000, 15.0 %; at most 10 %'
    )
    assert 'went wrong: 11 of 100, 11.0 %' in verdict(LIMITS, Tally(600, 511, untouched=500), total=10_000)


def test_refusals_stop_a_run_even_where_the_lines_read_well():
    row = ChangeResult('1', Outcome.OFFLINE, refused=True)
    tally = sum((Tally.of(row) for _ in range(30)), Tally())
    assert tally == Tally(tried=30, wrong=0, refused=30)
    assert 'refused by their points: 30 of 30, 100.0 %' in verdict(LIMITS, tally)


def test_sessions_lost_beyond_those_that_the_run_ended_stop_it():
    before = Health(sessions=500)
    assert verdict(LIMITS, Tally(), [PointHealth('bras-1', before, Health(sessions=400), ended=80)]) == ''
    said = verdict(LIMITS, Tally(), [PointHealth('bras-1', before, Health(sessions=400), ended=70)])
    assert said == 'bras-1 lost sessions that the run did not end: 30 of 500, 6.0 %; at most 5 %'


def test_a_home_that_redials_is_no_collateral():
    assert verdict(LIMITS, Tally(), [PointHealth('bras-1', Health(sessions=10), Health(sessions=6))]) == ''


def test_a_point_that_has_become_slow_stops_the_run():
    slow = PointHealth('bras-1', Health(latency_s=0.5), Health(latency_s=2.6))
    assert verdict(LIMITS, Tally(), [slow]).startswith('bras-1 has become slow: it answers in 2.6 s, in 0.5 s before')
    still_fast = PointHealth('bras-1', Health(latency_s=0.01), Health(latency_s=0.9))
    assert verdict(LIMITS, Tally(), [still_fast]) == ''


def test_a_point_that_cannot_say_trips_nothing():
    mute = PointHealth('bras-1', Health(), Health(sessions=3, latency_s=50))
    assert verdict(LIMITS, Tally(), [mute, PointHealth('bras-2', Health(500, 0.1), Health())]) == ''


def test_which_rows_may_have_ended_a_session():
    up, down = Reading(stored=NORMAL, live=NORMAL), Reading(stored=NORMAL)
    assert not may_have_ended(up, Reading(stored=BLOCKED, live=BLOCKED))
    assert may_have_ended(up, Reading(stored=BLOCKED))
    assert may_have_ended(up, None)
    assert may_have_ended(up, Reading(error='no answer'))
    assert not may_have_ended(down, down)
    assert not may_have_ended(None, None)
