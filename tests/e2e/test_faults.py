"""The fault matrix: whatever breaks, no line is wrong that is not named, and what can be finished is finished.

Real workers, a real PostgreSQL and Redis, and simulated routers that keep state and are asked for the truth. Lines are
given their intended state in the database: what policy makes of a debt is tested elsewhere.
"""

import subprocess
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from dev.demo import state_of
from dev.lab import Lab
from dev.services import free_port, program
from dev.stack import QUEUES, wait_until
from tests.e2e.dying_worker import STEPS
from tests.e2e.points import take_for_checked

ROUTERS = ('bras-1', 'bras-2', 'bras-3', 'bras-4')
SLOW = 0.15  # seconds a router takes for a console line
STATES = {'normal': "'normal', NULL, NULL", 'throttled': "'throttled', 1000, 500", 'blocked': "'blocked', NULL, NULL"}
INTENDED = '(intended_mode, intended_down_kbps, intended_up_kbps)'
OBSERVED = '(observed_mode, observed_down_kbps, observed_up_kbps)'


class Network:
    """The lines of one test: some of the subscribers of one or more routers, all normal before it and after it."""

    def __init__(self, stack):
        self.stack = stack
        self.die_file = Path(stack.env['DELINQUENCY_TEST_DIE'])

    def die_at(self, step):
        """The next worker that comes to this step dies there."""
        self.die_file.write_text(step)

    # What is wanted, and how it stands

    def intend(self, state, *names):
        self.stack.sql(f'UPDATE netbox_delinquency_accessline SET {INTENDED} = ({STATES[state]}) WHERE {among(names)}')
        due = 'NULL' if state == 'normal' else "date '2026-10-01'"
        self.stack.sql(
            f'UPDATE netbox_delinquency_contract contract SET oldest_due_date = {due}'
            f' FROM netbox_delinquency_accessline line WHERE line.contract_id = contract.id AND {among(names)}'
        )

    def truth(self):
        """Every subscriber's state in one word, by the routers' own state."""
        return {
            name: state_of(service)
            for router in ROUTERS
            for name, service in self.stack.services(router).items()
            if name.startswith('bras-') and '-user' in name
        }

    def not_normal(self):
        return {name: state for name, state in self.truth().items() if state != 'normal'}

    def believed(self, *names):
        """The observed state of these lines in NetBox, and whether it is unverified."""
        rows = self.stack.sql(
            f'SELECT username, observed_mode, unverified FROM netbox_delinquency_accessline WHERE {among(names)}'
        )
        return {name: (mode, doubt == 't') for name, mode, doubt in (row.split('|') for row in rows.splitlines())}

    # Runs

    def approved(self, state, *names):
        self.intend(state, *names)
        return self.plan(*names)

    def plan(self, *names):
        (run,) = self.stack.netbox.plan('faults', username=list(names))
        if run['status']['value'] == 'planned':
            self.stack.netbox.act(run['id'], 'approve', {'plan_hash': run['plan_hash']})
        return run['id']

    def start(self, run):
        self.stack.netbox.act(run, 'start')

    def run(self, run):
        return self.stack.netbox.run(run)

    def progress(self, run):
        url = f'{self.stack.url}/api/plugins/delinquency/runs/{run}/progress/'
        return requests.get(url, headers={'authorization': f'Bearer {self.stack.token}'}, timeout=30).json()

    # What is waited for is asked of the database: NetBox's web server has better things to do.

    def status(self, run):
        return self.stack.sql(f'SELECT status FROM netbox_delinquency_enforcementrun WHERE id = {run}')

    def stop_reason(self, run):
        return self.stack.sql(f'SELECT stop_reason FROM netbox_delinquency_enforcementrun WHERE id = {run}')

    def ends(self, run, seconds=240):
        ended = ('completed', 'failed', 'cancelled')
        return wait_until(f'run {run} ends', lambda: (s := self.status(run)) in ended and s, seconds, 0.1)

    def recovers(self, run):
        """The status of a run after `delinquency_recover`, as cron would call it a while after what was queued last."""
        self.stack.sql("UPDATE core_job SET created = created - interval '1 minute' WHERE completed IS NULL")
        self.stack.manage('delinquency_recover')
        return self.ends(run)

    def nobody_is_at_a_router(self):
        """No worker holds a point: from here on nothing is sent, and what died has let go."""
        wait_until('nobody is at a router', lambda: self.stack.sql(HELD) == '0', 240)

    def reaches(self, run, status, seconds=240):
        wait_until(f'run {run} is {status}', lambda: self.status(run) == status, seconds, 0.05)

    def rows(self, run):
        rows = self.stack.get('changes', run_id=run)
        return {row['target']['username']: row for row in rows}

    def outcomes(self, run):
        rows = self.stack.sql(
            "SELECT names->>'username', outcome FROM netbox_delinquency_enforcementchange"
            f' WHERE run_id = {run} ORDER BY id'
        )
        return dict(row.split('|') for row in rows.splitlines())

    def applies(self, run, count=1):
        """Wait until so many rows are applied."""
        wait_until(
            f'{count} rows applied',
            lambda: list(self.outcomes(run).values()).count('applied') >= count, 240, 0.05,
        )  # fmt: skip

    def restores(self, *names, seconds=240):
        """Pay: plan, start, and wait until the routers say so."""
        self.intend('normal', *names)
        run = self.plan(*names)
        self.start(run)
        wait_until(f'{names} are back', lambda: not set(names) & set(self.not_normal()), seconds, 0.05)

    # Routers

    def control(self, router, **settings):
        requests.post(f'{self.stack.control}/{router}/settings', json=settings, timeout=10).raise_for_status()

    def lines_in_work(self):
        """How many console lines the routers have received and not carried out; one that hangs is so for ever."""
        routers = requests.get(self.stack.control, timeout=10).json()
        return {router['name']: router['counters']['outstanding'] for router in routers}

    def do(self, router, action, **body):
        requests.post(f'{self.stack.control}/{router}/do', json={'action': action, **body}, timeout=10)

    def sent(self, name):
        """How often a router was told to change this subscriber, and the seven after it with a longer number."""
        lines = requests.get(f'{self.stack.control}/{name.split("-user")[0]}/commands', timeout=10).json()
        return sum(f'"{name}"' in line and 'secret set' in line for line in lines)

    @contextmanager
    def point(self, router, **values):
        """The enforcement point with other values for a while."""
        (point,) = self.stack.get('enforcement-points', name=router)
        url = f'{self.stack.url}/api/plugins/delinquency/enforcement-points/{point["id"]}/'
        headers = {'authorization': f'Bearer {self.stack.token}'}
        requests.patch(url, json=values, headers=headers, timeout=30).raise_for_status()
        take_for_checked(self.stack, router)
        try:
            yield
        finally:
            old = {name: point[name] for name in values}
            requests.patch(url, json=old, headers=headers, timeout=30).raise_for_status()
            take_for_checked(self.stack, router)

    @contextmanager
    def cut(self, *routers):
        """Nothing comes through between these routers and anybody, and nobody is told."""
        ports = ', '.join(str(self.stack.get('enforcement-points', name=router)[0]['port']) for router in routers)
        rules = f'tcp dport {{ {ports} }} drop; tcp sport {{ {ports} }} drop;'
        table = f'table inet {CUT} {{ chain gone {{ type filter hook input priority raw; {rules} }}; }}'
        subprocess.run([program('nft'), '-f', '-'], input=table, text=True, check=True)
        try:
            yield
        finally:
            subprocess.run([program('nft'), 'delete', 'table', 'inet', CUT], check=True)


CUT = 'delinquency-test-cut'
NO_LAB = Lab.available()


def among(names):
    return 'username IN (' + ', '.join(f"'{name}'" for name in names) + ')'


def users(router, *numbers):
    return [f'{router}-user{number}' for number in numbers]


@pytest.fixture
def net(running):
    """A clean network, and the settings as the other tests want them, whatever this test did."""
    network = Network(running)
    running.configure(max_share_percent=100)
    # Nobody is blocked on a feed that fell silent, and no billing speaks here.
    running.sql('UPDATE netbox_delinquency_billingsource SET payments_known_at = now()')
    assert network.not_normal() == {}
    yield network
    if running.redis.server is None:
        running.redis.start()
    running.revive()
    running.configure(waves='rest', soak_seconds=0, stopped='f', stop_reason='', max_rows_per_hour=10_000, min_rows=20)
    running.sql(
        "UPDATE netbox_delinquency_enforcementrun SET status = 'cancelled', finished_at = now()"
        " WHERE status IN ('planned', 'approved', 'running', 'paused')"
    )
    running.sql("UPDATE netbox_delinquency_enforcementchange SET outcome = 'skipped', finished_at = now()"
                " WHERE outcome = ''")  # fmt: skip
    for router in ROUTERS:
        network.control(router, delay=0, faults=[])
        for name, service in running.services(router).items():
            if service['live'] is None:
                network.do(router, 'connect', name=name)
    left = sorted(network.not_normal())
    running.sql(
        f'UPDATE netbox_delinquency_accessline SET {INTENDED} = ({STATES["normal"]}), pinned = false,'
        f" unverified = unverified OR intended_mode <> 'normal'"
        f" WHERE intended_mode <> 'normal' OR {among(left or ['-'])}"
    )
    if left:
        network.restores(*left, seconds=240)
    running.sql(
        f'UPDATE netbox_delinquency_accessline SET {OBSERVED} = ({STATES["normal"]}), observed_at = now(),'
        ' unverified = false'
    )


@pytest.mark.parametrize('step', STEPS)
def test_a_worker_killed_at_any_step_loses_and_repeats_nothing(net, step):
    names = users('bras-1', 1, 2, 3, 4)
    with net.point('bras-1', batch_size=2):
        run = net.approved('blocked', *names)
        net.die_at(step)
        net.start(run)
        wait_until('the worker is dead', lambda: not net.die_file.exists(), 240)
        net.nobody_is_at_a_router()
        before = net.rows(run)
        sent = {name for name in names if before[name]['sent_at']}
        blocked = set(net.not_normal())
        if step == 'claimed':
            assert (sent, blocked) == (set(), set())
        else:
            assert len(sent) == 2
            assert blocked == (set() if step == 'journaled' else sent)
            expected = {('blocked', False)} if step == 'closed' else {('', True), ('normal', True)}
            assert set(net.believed(*sent).values()) <= expected
        times = {name: net.sent(name) for name in names}

        net.start(run)

        assert net.ends(run) == 'completed'
    rows = net.rows(run)
    assert net.not_normal() == dict.fromkeys(names, 'blocked'), [row['message'] for row in rows.values()]
    assert {row['outcome']['value'] for row in rows.values()} == {'applied'}
    assert all(row['before']['live']['mode'] == 'normal' for row in rows.values()), 'what a revert returns to'
    again = {name for name in names if net.sent(name) > times[name]}
    assert not again & blocked, 'what had been done was not done again'


def test_the_line_of_a_killed_worker_is_restored_before_its_run_goes_on(net):
    names = users('bras-1', 5, 6)
    run = net.approved('blocked', *names)
    net.die_at('applied')
    net.start(run)
    wait_until('the worker is dead', lambda: not net.die_file.exists(), 240)
    assert set(net.not_normal()) == set(names)
    net.restores(names[0])
    net.start(run)
    net.ends(run)
    assert net.not_normal() == {names[1]: 'blocked'}
    assert net.outcomes(run) == {names[0]: 'skipped', names[1]: 'applied'}
    assert 'paid' in net.rows(run)[names[0]]['message']


def test_four_workers_of_which_two_are_killed(net):
    net.stack.configure(waves='1, 10%, rest')
    names = [name for router in ROUTERS for name in users(router, *range(1, 11))]
    workers = [net.stack.start_worker(QUEUES[1]) for _ in range(3)]
    for router in ROUTERS:
        net.control(router, delay=SLOW / 3)
    run = net.approved('blocked', *names)
    net.start(run)
    net.applies(run, 6)
    for worker in workers[:2]:
        net.stack.kill(worker)
    done = {name for name, outcome in net.outcomes(run).items() if outcome}
    assert len(done) < len(names), 'they were to die in the middle'
    wait_until('the dead have let go', lambda: int(net.stack.sql(HELD)) <= 2, 240)
    net.start(run)
    assert net.ends(run) == 'completed'
    net.stack.kill(workers[2])
    assert net.not_normal() == dict.fromkeys(names, 'blocked')
    assert set(net.outcomes(run).values()) == {'applied'}
    assert [wave['done'] for wave in net.progress(run)['by_wave']] == [1, 4, 35]


def test_redis_dies_in_the_middle_and_comes_back_empty(net):
    net.stack.configure(waves='2, rest')
    names = users('bras-2', *range(1, 7))
    net.control('bras-2', delay=SLOW)
    run = net.approved('blocked', *names)
    net.start(run)
    net.applies(run)
    net.stack.redis.stop()
    answer = net.stack.post_event('invoice.paid', 'C-bras-2-50')
    assert answer.status_code == 500, 'NetBox itself answers nothing without its cache: the sender sends again'
    net.control('bras-2', delay=0)
    net.stack.redis.start()
    net.stack.revive()
    assert net.stack.post_event('invoice.paid', 'C-bras-2-50').status_code == 200
    assert net.recovers(run) == 'completed'
    assert net.not_normal() == dict.fromkeys(names, 'blocked')
    assert set(net.outcomes(run).values()) == {'applied'}
    waiting = "SELECT count(*) FROM core_job WHERE name LIKE 'Delinquency: %' AND status IN ('pending', 'scheduled')"
    assert int(net.stack.sql(waiting)) >= 3


def test_postgresql_is_restarted_in_the_middle(net):
    names = users('bras-3', *range(1, 13))
    net.control('bras-3', delay=SLOW)
    with net.point('bras-3', batch_size=3):
        run = net.approved('blocked', *names)
        net.start(run)
        net.applies(run)
        net.stack.restart_postgres()
        net.control('bras-3', delay=0)
        net.nobody_is_at_a_router()
        blocked = set(net.not_normal())
        rows = net.rows(run)
        assert {name for name in names if not rows[name]['sent_at']} & blocked == set(), 'nothing is sent unjournaled'
        net.start(run)
        assert net.ends(run) == 'completed'
    assert net.not_normal() == dict.fromkeys(names, 'blocked')
    assert set(net.outcomes(run).values()) == {'applied'}


HELD = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND classid = 1684368497"


def test_a_dead_router_costs_its_own_lines_only(net):
    dead, alive = users('bras-1', 7), users('bras-4', 7)
    with net.point('bras-1', port=free_port(), timeout=2):
        run = net.approved('blocked', *dead, *alive)
        net.start(run)
        assert net.ends(run) == 'failed'
    assert net.outcomes(run) == {dead[0]: 'failed', alive[0]: 'applied'}
    assert 'nothing was sent' in net.rows(run)[dead[0]]['message']
    assert net.not_normal() == {alive[0]: 'blocked'}


def test_a_router_that_hangs_leaves_rows_that_say_so_and_its_restores_are_read_first(net):
    names = users('bras-1', 8, 9)
    net.control('bras-1', faults=[{'action': 'hang', 'match': 'secret set'}])
    with net.point('bras-1', timeout=2):
        run = net.approved('blocked', *names)
        net.start(run)
        assert net.ends(run) in ('failed', 'paused')
    outcomes = net.outcomes(run)
    assert set(outcomes.values()) <= {'unknown', 'failed'}
    truth = net.not_normal()
    assert not [name for name, outcome in outcomes.items() if outcome == 'applied' and name not in truth]
    assert all(net.rows(run)[name]['message'] for name in names)


@pytest.mark.root
@pytest.mark.skipif(bool(NO_LAB), reason=NO_LAB)
def test_the_network_is_cut_in_the_middle_and_comes_back(net):
    names = users('bras-1', *range(41, 49)) + users('bras-2', *range(41, 49))
    before = net.lines_in_work()
    with net.point('bras-1', batch_size=3, timeout=2), net.point('bras-2', batch_size=3, timeout=2):
        for router in ('bras-1', 'bras-2'):
            net.control(router, delay=SLOW)
        run = net.approved('blocked', *names)
        net.start(run)
        net.applies(run)
        with net.cut('bras-1', 'bras-2'):
            wait_until('it stops', lambda: net.status(run) in ('paused', 'failed'), 240, 0.2)
            net.nobody_is_at_a_router()
        for router in ('bras-1', 'bras-2'):
            net.control(router, delay=0)
            net.do(router, 'drop')  # what was not received by now never will be
        wait_until('the lines that were received are carried out', lambda: net.lines_in_work() == before, 240)
        blocked, rows = set(net.not_normal()), net.rows(run)
        applied = {name for name, row in rows.items() if row['outcome'] and row['outcome']['value'] == 'applied'}
        assert 0 < len(applied) < len(names)
        assert applied <= blocked
        unsure = {name for name in names if rows[name]['sent_at']} - applied
        assert blocked - applied <= unsure, 'whatever may have been done says so'
        assert all(net.believed(*unsure)[name][1] for name in unsure), 'and is unverified'
        if net.status(run) == 'paused':
            net.stack.netbox.act(run, 'cancel')
            wait_until('what was sent is read back', lambda: all(net.outcomes(run).values()), 240)
        again = net.plan(*names)
        net.start(again)
        assert net.ends(again) == 'completed'
    assert net.not_normal() == dict.fromkeys(names, 'blocked')
    assert net.believed(*names) == dict.fromkeys(names, ('blocked', False))


def test_a_router_that_lies_trips_the_breaker_and_a_person_goes_on(net):
    net.stack.configure(waves='1, 2, rest')
    names = users('bras-2', *range(11, 17))
    net.control('bras-2', faults=[{'action': 'lie', 'match': 'secret set'}])
    run = net.approved('blocked', *names)
    net.start(run)
    net.reaches(run, 'paused')
    assert 'the whole first wave went wrong: 1 of 1' in net.run(run)['stop_reason']
    assert net.not_normal() == {}
    assert list(net.outcomes(run).values()).count('failed') == 1
    net.control('bras-2', faults=[])
    net.stack.netbox.act(run, 'resume')
    assert net.ends(run) == 'failed'
    outcomes = net.outcomes(run)
    assert sorted(outcomes.values()) == ['applied'] * 5 + ['failed']
    assert net.not_normal() == {name: 'blocked' for name, outcome in outcomes.items() if outcome == 'applied'}


def test_sessions_lost_beside_the_run_trip_the_breaker(net):
    net.stack.configure(waves='1, rest', soak_seconds=2)
    names = users('bras-3', *range(21, 25))
    run = net.approved('blocked', *names)
    net.start(run)
    net.applies(run)
    for number in range(40, 50):
        net.do('bras-3', 'disconnect', name=f'bras-3-user{number}')
    net.reaches(run, 'paused')
    assert 'bras-3 lost sessions that the run did not end' in net.run(run)['stop_reason']
    assert list(net.outcomes(run).values()).count('applied') == 1
    assert [name for name, state in net.not_normal().items() if state == 'blocked'] == names[:1]


def test_a_cap_lets_through_as_many_as_it_says(net):
    names = users('bras-4', *range(11, 17))
    recent = int(net.stack.sql(RECENT))
    net.stack.configure(max_rows_per_hour=recent + 3)
    run = net.approved('blocked', *names)
    net.start(run)
    net.applies(run, 3)
    wait_until('it waits', lambda: 'rows an hour is reached' in net.stop_reason(run), 240)
    assert len(net.not_normal()) == 3
    assert net.status(run) == 'running'
    net.restores(next(iter(net.not_normal())))  # no cap holds a restore
    net.stack.configure(max_rows_per_hour=10_000)
    net.start(run)
    assert net.ends(run) == 'completed'
    assert len(net.not_normal()) == 5


RECENT = (
    'SELECT count(*) FROM netbox_delinquency_enforcementchange c JOIN netbox_delinquency_enforcementrun r'
    " ON r.id = c.run_id WHERE r.kind <> 'restore' AND c.sent_at > now() - interval '1 hour'"
)


def test_a_cancelled_run_stops_between_two_rows_and_every_row_says_what_became_of_it(net):
    names = users('bras-1', *range(11, 31))
    net.control('bras-1', delay=SLOW)
    # What a batch has put into the router's session is not called back: batches are small here, as a run's share is.
    with net.point('bras-1', batch_size=3):
        run = net.approved('blocked', *names)
        net.start(run)
        wait_until('it is under way', lambda: len(net.not_normal()) >= 2, 240)
        net.stack.netbox.act(run, 'cancel')
        wait_until('every row is closed', lambda: all(net.outcomes(run).values()), 240)
        net.nobody_is_at_a_router()
    blocked = set(net.not_normal())
    assert 2 <= len(blocked) < 20
    assert {name for name, outcome in net.outcomes(run).items() if outcome == 'applied'} == blocked
    assert set(net.outcomes(run).values()) == {'applied', 'skipped'}
    assert net.status(run) == 'cancelled'


def test_the_kill_switch_stops_blocking_between_rows_and_restores_go_on(net):
    names = users('bras-2', *range(21, 41))
    net.control('bras-2', delay=SLOW)
    with net.point('bras-2', batch_size=3):
        run = net.approved('blocked', *names)
        net.start(run)
        wait_until('it is under way', lambda: len(net.not_normal()) >= 2, 240)
        net.stack.configure(stopped='t', stop_reason='storm')
        wait_until('it holds', lambda: 'storm' in net.stop_reason(run), 240)
        net.nobody_is_at_a_router()
        blocked = set(net.not_normal())
        assert len(blocked) < 20
        assert net.status(run) == 'running'
        net.control('bras-2', delay=0)
        paid = min(blocked)
        net.restores(paid)
        net.stack.configure(stopped='f', stop_reason='')
        net.start(run)
        assert net.ends(run) == 'completed'
    assert net.not_normal() == {name: 'blocked' for name in names if name != paid}


def test_whoever_paid_moved_or_left_after_the_approval_is_not_touched(net):
    names = users('bras-4', *range(21, 26))
    run = net.approved('blocked', *names)
    net.intend('normal', names[0])
    net.stack.sql(f"UPDATE netbox_delinquency_accessline SET status = 'retired' WHERE {among(names[1:2])}")
    net.stack.sql(f'UPDATE netbox_delinquency_accessline SET bras_id = ({OTHER}) WHERE {among(names[2:3])}')
    net.start(run)
    assert net.ends(run) == 'completed'
    net.stack.sql(f"UPDATE netbox_delinquency_accessline SET status = 'active' WHERE {among(names[1:2])}")
    net.stack.sql(f'UPDATE netbox_delinquency_accessline SET bras_id = ({OWN}) WHERE {among(names[2:3])}')
    assert net.outcomes(run) == dict(zip(names, ['skipped'] * 3 + ['applied'] * 2, strict=True))
    assert [net.rows(run)[name]['message'].split(':')[0] for name in names[:3]] == ['paid', 'retired', 'moved']
    assert net.not_normal() == dict.fromkeys(names[3:], 'blocked')


OWN = "SELECT id FROM netbox_delinquency_enforcementpoint WHERE name = 'bras-4'"
OTHER = "SELECT id FROM netbox_delinquency_enforcementpoint WHERE name = 'bras-1'"


def test_two_runs_on_one_line_never_hold_it_together(net):
    names = users('bras-3', *range(31, 37))
    net.control('bras-3', delay=SLOW)
    slow = net.approved('throttled', *names)
    net.start(slow)
    wait_until('it is under way', lambda: net.not_normal(), 240)
    # Paid while its batch is under way: the restore waits for that batch, and for nothing else.
    paid = next(iter(net.not_normal()))
    net.control('bras-3', delay=0)
    net.restores(paid)
    net.ends(slow)
    further = net.approved('blocked', *[name for name in names if name != paid])
    net.start(further)
    assert net.ends(further) == 'completed'
    assert net.not_normal() == {name: 'blocked' for name in names if name != paid}
    assert net.believed(*names) == {name: ('normal' if name == paid else 'blocked', False) for name in names}
