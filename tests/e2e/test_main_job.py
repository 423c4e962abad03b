"""The whole way of the data, on real programs, and what must not happen on it. The order of the tests is a story."""

import requests
from nornir import InitNornir

from dev.demo import Demo, state_of
from dev.lab import Lab
from dev.stack import wait_until
from tests.e2e.points import take_for_checked


def service(running, router, number):
    return state_of(running.services(router)[f'{router}-user{number}'])


def control(running, router, what, **body):
    answer = requests.post(f'{running.control}/{router}/{what}', json=body, timeout=10)
    answer.raise_for_status()
    return answer.json()


def overdue(running, *contracts, due='2026-01-01'):
    for contract in contracts:
        running.post_event('invoice.overdue', contract, due_date=due, amount='10').raise_for_status()
    wait_until('the inbox is empty', lambda: not running.get('billing-events', status='received'), 240, 0.2)


def paid(running, *contracts):
    for contract in contracts:
        running.post_event('invoice.paid', contract).raise_for_status()
    wait_until('the inbox is empty', lambda: not running.get('billing-events', status='received'), 240, 0.2)


def plan(running, **filters):
    (run,) = running.netbox.plan('test', **filters)
    running.netbox.act(run['id'], 'approve', {'plan_hash': run['plan_hash']})
    return run['id']


def ended(running, pk):
    status = running.netbox.run(pk)['status']['value']
    return status if status in ('completed', 'failed', 'cancelled') else ''


def rows(running, pk):
    return {row['target']['username'] or row['target']['circuit_id']: row for row in running.get('changes', run_id=pk)}


def outcomes(running, pk):
    return {name: row['outcome'] and row['outcome']['value'] for name, row in rows(running, pk).items()}


def test_an_overdue_notice_throttles_and_blocks_real_lines_and_a_payment_restores_them(running):
    assert bool(running.lab) == (not Lab.available())
    story = Demo(running)
    story.run()
    assert story.wrong == []
    assert 0 < story.restore_s < 60  # on a busy machine, measured or not; `make bench-restore` has the bar


def test_the_command_line_lists_plans_applies_and_verifies(running):
    overdue(running, 'C-bras-1-20', 'C-bras-2-20')
    listed = running.cli('lines', '--drifting')
    assert '2 lines, 2 drifting' in listed.stdout, listed.stdout + listed.stderr
    run = plan(running)
    tried = running.cli('apply', str(run), '--dry-run')
    assert 'normal would become blocked' in tried.stdout
    assert service(running, 'bras-1', 20) == 'normal'
    assert running.cli('verify', '--bras', 'bras-1').returncode == 1

    applied = running.cli('apply', str(run), '--soak', '0')

    assert applied.returncode == 0, applied.stdout + applied.stderr
    assert '2 applied' in applied.stdout
    assert [service(running, name, 20) for name in ('bras-1', 'bras-2')] == ['blocked', 'blocked']
    assert running.netbox.run(run)['executor'].startswith('runbook of admin (')
    verified = running.cli('verify', '--filter', 'bras=bras-1', '--filter', 'bras=bras-2')
    assert verified.returncode == 0, verified.stdout
    assert '100 lines read, 0 not as intended' in verified.stdout
    wait_until('a worker has read what it says it did', lambda: not running.get('access-lines', unverified=True), 240)
    assert 'nothing to do' in running.cli('plan').stdout
    paid(running, 'C-bras-1-20', 'C-bras-2-20')
    wait_until(
        'both are back', lambda: service(running, 'bras-1', 20) == service(running, 'bras-2', 20) == 'normal', 240
    )


def test_the_command_line_says_what_is_wrong_in_a_sentence(running):
    refused = running.cli('apply', '999999')
    assert refused.returncode == 2
    assert 'there is no run 999999' in refused.stdout
    assert 'Traceback' not in refused.stdout + refused.stderr
    assert 'NAME=VALUE' in running.cli('lines', '--filter', 'drifting').stderr
    token, running.token = running.token, 'nbt_aaaaaaaaaaaa.bbbb'
    try:
        assert 'NetBox refused (403)' in running.cli('lines').stdout
    finally:
        running.token = token


def test_the_points_are_a_nornir_inventory(running, monkeypatch):
    monkeypatch.setenv('NETBOX_URL', running.url)
    monkeypatch.setenv('NETBOX_TOKEN', running.token)
    with InitNornir(
        inventory={'plugin': 'netbox_delinquency', 'options': {'driver': 'routeros'}}, logging={'enabled': False}
    ) as nornir:
        assert sorted(nornir.inventory.hosts) == ['bras-1', 'bras-2', 'bras-3', 'bras-4']
        host = nornir.inventory.hosts['bras-1']
        assert host['point'].credential == 'demo-routers'
        assert running.secrets['router password'] not in str(host.dict())


def test_an_event_for_an_unknown_contract_is_kept_marked_and_shown(running):
    running.post_event('invoice.overdue', 'C-nobody', due_date='2026-01-01').raise_for_status()
    (event,) = wait_until('it is marked', lambda: running.get('billing-events', status='unmatched'), 240)
    assert 'no contract "C-nobody"' in event['message']


def test_a_wrong_host_key_stops_that_router_and_no_other(running):
    (point,) = running.get('enforcement-points', name='bras-3')
    url = f'{running.url}/api/plugins/delinquency/enforcement-points/{point["id"]}/'
    headers = {'authorization': f'Bearer {running.token}'}
    foreign = running.get('enforcement-points', name='bras-4')[0]['host_key']
    requests.patch(url, json={'host_key': foreign}, headers=headers, timeout=10).raise_for_status()
    take_for_checked(running, 'bras-3')
    overdue(running, 'C-bras-3-21', 'C-bras-4-21')
    run = plan(running)

    running.netbox.act(run, 'start')
    assert wait_until('it ends', lambda: ended(running, run), 240) == 'failed'

    result = rows(running, run)
    assert outcomes(running, run) == {'bras-3-user21': 'failed', 'bras-4-user21': 'applied'}
    assert 'host key' in result['bras-3-user21']['message']
    assert service(running, 'bras-3', 21) == 'normal'
    requests.patch(url, json={'host_key': point['host_key']}, headers=headers, timeout=10).raise_for_status()
    take_for_checked(running, 'bras-3')
    paid(running, 'C-bras-3-21', 'C-bras-4-21')


def test_a_router_that_hangs_leaves_unknown_rows_and_the_others_right(running):
    (point,) = running.get('enforcement-points', name='bras-1')
    url = f'{running.url}/api/plugins/delinquency/enforcement-points/{point["id"]}/'
    headers = {'authorization': f'Bearer {running.token}'}
    requests.patch(url, json={'timeout': 2}, headers=headers, timeout=10).raise_for_status()
    control(running, 'bras-1', 'settings', faults=[{'action': 'hang', 'match': 'secret set'}])
    overdue(running, 'C-bras-1-22', 'C-bras-2-22')
    run = plan(running)

    running.netbox.act(run, 'start')
    assert wait_until('it ends', lambda: ended(running, run), 240) == 'failed'

    result = outcomes(running, run)
    assert result.pop('bras-1-user22') in ('unknown', 'failed')
    assert result == {'bras-2-user22': 'applied'}
    assert rows(running, run)['bras-1-user22']['message']
    control(running, 'bras-1', 'settings', faults=[])
    paid(running, 'C-bras-1-22', 'C-bras-2-22')
    wait_until(
        'both are normal', lambda: service(running, 'bras-1', 22) == service(running, 'bras-2', 22) == 'normal', 240
    )
    assert not running.get('access-lines', drifting='true')


def test_a_subscriber_named_like_a_command_is_blocked_alone_and_harms_nobody(running):
    name = 'a"; /ppp secret remove [find]'
    quoted = name.replace('"', '\\"')
    control(
        running, 'bras-4', 'do', action='run', line=f'/ppp secret add name="{quoted}" profile=fibre-100 service=pppoe'
    )
    control(running, 'bras-4', 'do', action='connect', name=name)
    headers = {'authorization': f'Bearer {running.token}'}
    (line,) = running.get('access-lines', username='bras-4-user50')
    url = f'{running.url}/api/plugins/delinquency/access-lines/{line["id"]}/'
    requests.patch(url, json={'username': name}, headers=headers, timeout=10).raise_for_status()
    overdue(running, 'C-bras-4-50')
    run = plan(running)

    running.netbox.act(run, 'start')
    assert wait_until('it ends', lambda: ended(running, run), 240) == 'completed'

    services = running.services('bras-4')
    assert state_of(services.pop(name)) == 'blocked'
    assert len(services) == 50
    assert {state_of(each) for each in services.values()} == {'normal'}
    assert 'a"; /ppp secret remove [find]' in running.cli('lines', '--filter', f'username={name}').stdout
    paid(running, 'C-bras-4-50')
    wait_until('it is back', lambda: state_of(running.services('bras-4')[name]) == 'normal', 240)


def test_a_name_that_matches_none_or_two_on_the_router_changes_nothing(running):
    control(running, 'bras-3', 'do', action='duplicate', name='bras-3-user30')
    control(running, 'bras-3', 'do', action='run', line='/ppp secret remove [find name="bras-3-user31"]')
    before = {name: row for name, row in running.services('bras-3').items() if name not in ('bras-3-user30',)}
    overdue(running, 'C-bras-3-30', 'C-bras-3-31')
    run = plan(running)

    running.netbox.act(run, 'start')
    assert wait_until('it ends', lambda: ended(running, run), 240) == 'failed'

    result = rows(running, run)
    assert set(outcomes(running, run).values()) == {'failed'}
    assert all(row['message'] for row in result.values())
    after = {name: row for name, row in running.services('bras-3').items() if name not in ('bras-3-user30',)}
    assert after == before
    paid(running, 'C-bras-3-30', 'C-bras-3-31')


def test_a_worker_killed_in_the_middle_of_a_run_loses_and_repeats_nothing(running):
    (point,) = running.get('enforcement-points', name='bras-2')
    url = f'{running.url}/api/plugins/delinquency/enforcement-points/{point["id"]}/'
    headers = {'authorization': f'Bearer {running.token}'}
    requests.patch(
        url, json={'batch_size': 5, 'max_share_percent': 100}, headers=headers, timeout=10
    ).raise_for_status()
    control(running, 'bras-2', 'settings', delay=0.05)
    contracts = [f'C-bras-2-{number}' for number in range(31, 46)]
    overdue(running, *contracts)
    run = plan(running)
    running.netbox.act(run, 'start')
    wait_until('a batch is done', lambda: 'applied' in outcomes(running, run).values(), 240, 0.05)

    running.kill(running.workers[1])

    left = [name for name, outcome in outcomes(running, run).items() if not outcome]
    assert 0 < len(left) < 15, 'the worker was to die in the middle'
    done_before = {name: row['after'] for name, row in rows(running, run).items() if row['outcome']}
    control(running, 'bras-2', 'settings', delay=0)
    running.start_worker('netbox_delinquency.enforce')
    running.netbox.act(run, 'start')
    assert wait_until('it ends', lambda: ended(running, run), 240) == 'completed'
    result = rows(running, run)
    assert set(outcomes(running, run).values()) == {'applied'}
    assert {name: result[name]['after'] for name in done_before} == done_before
    assert all(result[name]['before']['live']['mode'] == 'normal' for name in result)
    states = [service(running, 'bras-2', number) for number in range(1, 51)]
    assert states.count('blocked') == 15
    assert states[30:45] == ['blocked'] * 15
    paid(running, *contracts)
    wait_until('all are back', lambda: not running.get('access-lines', drifting='true', bras='bras-2'), 240, 0.5)


def test_no_secret_reaches_a_log_or_an_answer(running):
    log = running.log.read_text()
    answers = str(
        [running.get(path) for path in ('enforcement-points', 'billing-sources', 'changes', 'billing-events')]
    )
    jobs = requests.get(
        f'{running.url}/api/core/jobs/?limit=1000', headers={'authorization': f'Bearer {running.token}'}, timeout=30
    ).text
    for name, secret in running.secrets.items():
        assert secret not in log, name
        assert secret not in answers, name
        assert secret not in jobs, name
