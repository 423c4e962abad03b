"""What the benchmarks claim rests on their worlds and on how they judge: both are held here."""

from collections import Counter
from dataclasses import replace

import pytest

from benchmarks.bench_restore import Samples
from benchmarks.bulk_contender import Job, contenders
from benchmarks.bulk_simulators import simulators
from benchmarks.bulk_world import SERVICE_OF, Faults, judge, make_world


def service(desired, live=True):
    state = SERVICE_OF[desired]
    return {'stored': state, 'live': state if live else None}


def test_the_plan_is_a_fifth_of_ten_thousand_lines():
    world = make_world()
    assert sum(map(len, world.lines.values())) == 10_000
    assert Counter(row.desired for row in world.rows) == {'throttled': 1000, 'blocked': 500, 'normal': 500}
    assert len({row.key for row in world.rows}) == 2000
    assert not world.faults


def test_faults_strike_the_shares_that_they_say():
    faults = make_world(with_faults=True).faults
    assert (len(faults.missing), len(faults.hanging), len(faults.lying)) == (200, 20, 20)
    assert faults.dead
    assert not faults.hanging & faults.lying


def test_right_is_stored_and_live_and_wrong_is_whoever_else_was_touched():
    world = make_world()
    row = next(row for row in world.rows if row.desired == 'blocked')
    world = replace(world, rows=(row,))
    for got, is_right in (
        (service('blocked'), True),
        (service('normal'), False),
        ({**service('blocked'), 'live': SERVICE_OF['normal']}, False),
        ({**service('blocked'), 'stored': SERVICE_OF['normal']}, False),
        (service('blocked', live=False), False),
    ):
        truth = judge(world, {row.router: {row.name: got}}, {row.router: {row.name: 2, 'neighbour': 1}})
        assert (truth.right == {row.key}, truth.not_right == {row.key}) == (is_right, not is_right)
        assert truth.wrong == {f'{row.router}/neighbour'}
    without_session = replace(world, faults=Faults(missing=frozenset({row.key})))
    assert judge(without_session, {row.router: {row.name: service('blocked', live=False)}}, {}).right
    assert judge(world, {}, {}).not_right == {row.key}  # a dead router's


@pytest.mark.parametrize('name', ['ours', 'ours-waves', 'per-subscriber', 'per-router', 'expert', 'expert-set'])
def test_every_contender_does_all_of_the_job_and_nothing_twice(name):
    whole = make_world()
    kept = dict(list(whole.lines.items())[:2])
    rows = tuple(row for router in kept for row in [row for row in whole.rows if row.router == router][:6])
    world = replace(whole, lines=kept, rows=rows)
    with simulators(world, 0.001) as running:
        job = Job(running.routers, list(rows), 60)  # a busy machine takes its time over a login
        for changes in (24, 24):  # a profile and a session each, the first time only
            assert contenders()[name](job) == {row.key: '' for row in rows}
            assert running.changes() == changes
        truth = judge(world, running.ask('service'), running.ask('touched'))
        assert truth.right == {row.key for row in rows}
        assert not truth.wrong


def test_a_percentile_is_a_sample():
    samples = Samples([number / 100 for number in range(1, 101)])
    assert (samples.percentile(0.5), samples.percentile(0.99)) == (0.5, 0.99)
    assert Samples([1.0, 3.0, 2.0]).percentile(0.99) == 3.0
    assert Samples().percentile(0.99) == float('inf')
