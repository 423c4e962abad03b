"""`delinquency plan / approve / apply / watch / revert` against routers that keep real state, and NetBox's journal."""

import os
import signal
import threading

from nornir_tasks.change import AccessState
from nornir_tasks.engine import tasks
from nornir_tasks.netbox import NetBox
from tests.simulators.fixtures import THROTTLED
from tests.waiting import wait_until

BLOCKED, NORMAL = AccessState.blocked(), AccessState.normal()


def test_a_run_is_applied_in_the_waves_of_its_plan(world):
    run = world.approved()
    assert 'waves: 1, 1, 1, 5 lines' in world.shown
    order = []
    world.netbox.before_action = lambda run, action: order.append((action, run['wave']))
    result = world.cli('apply', run, '--soak', '0')
    assert result.exit_code == 0, result.output
    assert '8 applied' in result.output
    assert len(world.blocked) == 8
    assert world.netbox.runs[0]['status'] == 'completed'
    assert [wave for action, wave in order if action == 'sending'] == sorted(
        wave for action, wave in order if action == 'sending'
    )
    assert world.netbox.runs[0]['wave'] == 4
    assert {(seen['point'], seen['sessions']) for seen in world.netbox.seen} == {('bras-1', 4), ('bras-2', 4)}
    assert all(seen['latency_s'] > 0 for seen in world.netbox.seen)


def test_a_plan_shows_what_one_should_know_before_approving_it(world):
    world.netbox.cap = 5
    world.netbox.want(BLOCKED)
    shown = world.cli('plan').output
    assert 'look: 8 homes are cut' in shown
    assert 'cannot be approved: 8 rows are more than the cap of 5' in shown
    run = world.netbox.runs[0]
    assert 'more than the cap' in world.cli('approve', run['id'], run['plan_hash']).output
    assert run['status'] == 'planned'


def test_a_dry_run_sends_and_journals_nothing(world):
    run = world.approved()
    result = world.cli('apply', run, '--dry-run')
    assert '8 skipped' in result.output
    assert 'normal would become blocked' in result.output
    assert world.blocked == []
    assert not any(request.startswith(f'POST runs/{run}/begin') for request in world.netbox.requests)


def test_a_pause_in_netbox_stops_it_and_it_says_how_to_go_on(world):
    run = world.approved()

    def pause(run, action):
        if action == 'finished':
            run['status'], run['stop_reason'] = 'paused', 'the night shift looks at it'

    world.netbox.before_action = pause
    result = world.cli('apply', run, '--soak', '0')
    assert result.exit_code == 1
    assert 'paused: the night shift looks at it' in result.output
    assert '7 rows are left open, and nothing was sent to them' in result.output
    assert f'The run is paused: go on with "delinquency apply {run} --resume"' in result.output
    assert len(world.blocked) == 1
    assert sum(row['sent'] for row in world.netbox.changes) == 1

    world.netbox.before_action = lambda run, action: None
    assert world.cli('apply', run, '--soak', '0', '--resume').exit_code == 0
    assert len(world.blocked) == 8


def test_a_first_line_that_goes_wrong_is_the_only_one(world):
    for router in world.routers.values():
        router.remove('ppp profile', router.tables['ppp profile'].where('name', 'nbd-restricted'))
    run = world.approved()
    result = world.cli('apply', run, '--soak', '0')
    assert result.exit_code == 1
    assert 'the whole first wave went wrong: 1 of 1 rows' in result.output
    assert list(world.netbox.outcomes(run).values()).count('') == 7
    assert world.blocked == []
    assert world.netbox.runs[0]['status'] == 'paused'
    assert 'the whole first wave went wrong' in world.netbox.runs[0]['stop_reason']


def test_a_line_that_another_run_does_not_let_go_of_ends_it_before_its_next_wave(world, monkeypatch):
    monkeypatch.setattr(tasks, 'BUSY_SECONDS', 0.0)
    run = world.approved()
    held, claim = next(str(row['id']) for row in world.netbox.changes if row['wave'] == 2), world.netbox.do_claim

    def claim_others(run, body):
        return claim(run, body) | {'busy': [key for key in body['keys'] if key == held]}

    world.netbox.do_claim = claim_others
    result = world.cli('apply', run, '--soak', '0')
    assert result.exit_code == 1
    assert 'another run is changing 1 of these lines' in result.output
    assert '7 rows are left open' in result.output
    assert len(world.blocked) == 1
    assert world.netbox.runs[0]['status'] == 'paused'

    world.netbox.do_claim = claim
    assert world.cli('apply', run, '--soak', '0', '--resume').exit_code == 0
    assert len(world.blocked) == 8


def test_a_runbook_may_keep_its_name_and_else_has_one_of_its_own(world):
    def name(**options):
        return NetBox.from_environment(**options)._api.http_session.headers['Runbook-Id']

    assert name(runbook_id='night-shift') == 'night-shift'
    assert name() != name()


def test_ctrl_c_ends_it_cleanly_and_applying_again_goes_on(world):
    run = world.approved()

    def interrupt(run, action):
        if action == 'finished' and not interrupted.is_set():
            interrupted.set()
            os.kill(os.getpid(), signal.SIGINT)

    interrupted = threading.Event()
    world.netbox.before_action = interrupt
    result = world.cli('apply', run, '--soak', '60')
    assert result.exit_code == 1
    assert 'once more to break off' in result.output
    assert 'it was cancelled' in result.output
    assert len(world.blocked) == 1
    assert (world.netbox.runs[0]['status'], world.netbox.runs[0]['stop_reason']) == ('paused', 'it was cancelled')
    refused = world.cli('apply', run, '--soak', '0')
    assert refused.exit_code == 2
    assert 'only an approved one can be started' in refused.output
    assert len(world.blocked) == 1
    assert world.cli('apply', run, '--soak', '0', '--resume').exit_code == 0
    assert len(world.blocked) == 8
    assert set(world.netbox.outcomes(run).values()) == {'applied'}


def test_a_second_ctrl_c_breaks_off_and_the_run_is_paused_all_the_same(world):
    run = world.approved()

    def interrupt(run, action):
        if action == 'finished' and not interrupted.is_set():
            interrupted.set()
            os.kill(os.getpid(), signal.SIGINT)
            wait_until(lambda: signal.getsignal(signal.SIGINT) is handler)  # the first was heard
            os.kill(os.getpid(), signal.SIGINT)

    interrupted, handler = threading.Event(), signal.getsignal(signal.SIGINT)
    world.netbox.before_action = interrupt
    assert world.cli('apply', run, '--soak', '60').exit_code != 0
    assert len(world.blocked) == 1
    assert world.netbox.runs[0]['status'] == 'paused'
    assert world.netbox.runs[0]['stop_reason'] in ('it was broken off', 'it was cancelled')  # wherever it was struck


def test_what_is_not_begun_at_the_deadline_stays_open(world):
    run = world.approved()
    world.netbox.soak_seconds = 60  # as NetBox is set
    result = world.cli('apply', run, '--deadline', '5')
    assert result.exit_code == 1
    assert 'its deadline of 5 s has passed' in result.output
    assert len(world.blocked) == 1


def test_restoring_has_neither_waves_nor_a_breaker(world):
    world.cli('apply', world.approved(), '--soak', '0')
    for username in ('bras-1-1', 'bras-1-2', 'bras-2-1'):
        router = world.routers[username[:6]]
        router.remove('ppp secret', router.tables['ppp secret'].where('name', username))
    run = world.approved(NORMAL)
    result = world.cli('apply', run, '--soak', '60')
    assert result.exit_code == 1
    assert '5 applied, 3 failed' in result.output


def test_rows_of_a_point_that_one_may_not_see_stay_open_and_it_is_named(world):
    run = world.approved()
    del world.netbox.points[1]
    result = world.cli('apply', run, '--soak', '0')
    assert result.exit_code == 1
    assert 'stopped at bras-2: NetBox has no such enforcement point, or you may not see it' in result.output
    assert '4 rows are left open' in result.output
    assert len(world.blocked) == 4


def test_whoever_paid_since_the_approval_is_skipped(world):
    run = world.approved()
    world.netbox.want(NORMAL, 'bras-1-2')
    result = world.cli('apply', run, '--soak', '0')
    assert result.exit_code == 0, result.output
    assert 'paid: policy now wants this line normal' in result.output
    assert world.netbox.outcomes(run)['bras-1-2'] == 'skipped'
    assert 'bras-1-2' not in world.blocked


def test_a_run_goes_back_to_exactly_what_it_was(world):
    before = world.services
    run = world.approved(THROTTLED)
    world.cli('apply', run, '--soak', '0')
    assert world.services != before

    shown = world.cli('revert', run)
    made = world.netbox.runs[-1]
    assert made['plan_hash'] in shown.output
    assert shown.exit_code == 0
    assert made['status'] == 'planned', 'a revert is looked at and approved like any plan'
    world.cli('approve', made['id'], made['plan_hash'])
    assert world.cli('apply', made['id']).exit_code == 0
    assert world.services == before


def test_some_rows_of_a_run_go_back(world):
    run = world.approved(THROTTLED)
    world.cli('apply', run, '--soak', '0')
    world.cli('revert', run, '--row', 2, '--row', 3)
    assert {row['line'] for row in world.netbox.changes if row['run'] == world.netbox.runs[-1]['id']} == {2, 3}


def test_a_revert_of_what_was_not_sent_makes_no_run(world):
    run = world.approved()
    assert world.cli('revert', run).exit_code == 1


def test_watching_a_run_that_others_work_ends_with_it(world):
    run = world.approved()
    world.netbox.runs[0] |= {'status': 'running', 'wave': 2}

    def end():
        world.netbox.runs[0] |= {'status': 'paused', 'stop_reason': 'too many rows went wrong'}

    threading.Timer(0.3, end).start()
    result = world.cli('watch', run)
    assert result.exit_code == 1
    assert 'run 1 is paused: too many rows went wrong' in result.output
    assert 'wave 2 of 4' in result.output
    world.netbox.runs[0] |= {'status': 'completed', 'stop_reason': ''}
    assert world.cli('watch', run).exit_code == 0


def test_what_netbox_refuses_is_a_sentence(world):
    assert 'there is no run 1' in world.cli('apply', 1).output
    run = world.approved()
    refused = world.cli('approve', run, 'x' * 64)
    assert refused.exit_code == 2
    assert 'NetBox refused (409)' in refused.output
