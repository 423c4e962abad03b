"""The RouterOS simulator is itself a claim about RouterOS: what drivers lean on is held here."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from nornir_tasks.drivers.routeros.syntax import PROMPT
from tests.simulators.fixtures import open_session
from tests.simulators.routeros import RouterConfig, simulation
from tests.simulators.routeros_console import Console, LoginOptions, execute
from tests.simulators.routeros_script import Interpreter
from tests.simulators.routeros_state import Fault, Router
from tests.simulators.routeros_syntax import RouterOSSyntaxError, UnfinishedError

ROOT = Path(__file__).parents[2]


@pytest.fixture
def router():
    router = Router('bras-1')
    router.add('ppp profile', {'name': 'home', 'rate-limit': '5M/20M'})
    router.add('ppp profile', {'name': 'listed', 'address-list': 'walled'})
    for name in ('ana', 'bob'):
        router.add('ppp secret', {'name': name, 'profile': 'home'})
        router.connect(name)
    return router


def run(router, line):
    return Interpreter(router).run(line)


def profiles(router):
    return [row['profile'] for row in router.rows('ppp secret')]


def test_an_empty_find_means_everything(router):
    run(router, '/ppp secret set [find] profile=listed')
    assert profiles(router) == ['listed', 'listed']
    run(router, '/ppp secret remove [find]')
    assert profiles(router) == []


def test_a_find_that_matches_nothing_sets_nothing_and_says_nothing(router):
    assert run(router, '/ppp secret set [find name=eva] profile=listed') == []
    assert profiles(router) == ['home', 'home']


@pytest.mark.parametrize(
    ('line', 'said'),
    [
        ('/ppp secrt print', 'bad command name secrt (line 1 column 6)'),
        ('/ppp secret set [find name=ana] profil=x', 'expected end of command (line 1 column 33)'),
        (':put (1 .)', 'syntax error (line 1 column 10)'),
        (':put "\\z"', 'syntax error (line 1 column 8)'),
        ('/ppp secret remove [find]; :oops', 'bad command name oops (line 1 column 28)'),
    ],
)
def test_a_syntax_error_anywhere_in_a_line_changes_nothing(router, line, said):
    with pytest.raises(RouterOSSyntaxError) as error:
        run(router, line)
    assert str(error.value) == said
    assert profiles(router) == ['home', 'home']


@pytest.mark.parametrize(
    ('line', 'said'),
    [
        ('/ppp secret set *FF profile=home', 'no such item'),
        ('/ppp secret set [find] profile=nope', 'input does not match any value of profile'),
        ('/ppp secret add name=ana', 'failure: secret with the same name already exists'),
        ('/queue simple set [find] max-limit=1M/1M', 'failure: can not change dynamic queue'),
        ('/ppp profile remove [find name=default]', 'failure: default profile can not be removed'),
        ('/ppp secret get [find] profile', 'invalid internal item number'),
        (':error "stop"; /ppp secret remove [find]', 'stop'),
    ],
)
def test_a_failure_ends_the_line_there(router, line, said):
    assert run(router, line) == [said]
    assert profiles(router) == ['home', 'home']


@pytest.mark.parametrize('line', [':put "open', ':put (1', '/ppp secret remove [find', ':if (1=1) do={:put 1'])
def test_an_open_bracket_or_quote_waits_for_more(router, line):
    with pytest.raises(UnfinishedError):
        run(router, line)


def test_a_removed_session_comes_back_with_the_present_profile_and_another_address(router):
    before = router.service('ana')['live']
    run(router, '/ppp secret set [find name=ana] profile=listed')
    assert router.service('ana', 'walled')['live'] == before  # a session keeps what it came up with
    run(router, '/ppp active remove [find name=ana]')
    after = router.service('ana', 'walled')['live']
    assert after['blocked']
    assert after['address'] != before['address']
    assert not router.address_service(before['address'], restricted='walled')['blocked']


def test_scripts_read_rows_and_count(router):
    line = ':local n 0; :foreach r in=[/ppp secret print as-value where name!="x"] do={:set n ($n+1)}; :put $n'
    assert run(router, line) == ['2']
    assert run(router, ':put [:len [/ppp secret find name="ana" or name="bob"]]') == ['2']
    assert run(router, ':put [:len [/ppp secret find profile=home name~"^a"]]') == ['1']
    assert run(router, '/ppp secret print count-only where name=ana') == ['1']
    assert run(router, ':do {:error "x"} on-error={:put caught}') == ['caught']
    assert run(router, ':put "a\\24b\\_c$[:len "xyz"]"') == ['a$b c3']


def test_version_6_takes_a_typed_question_mark_as_a_call_for_help():
    async def typed(version):
        written = []
        console = Console(Router('r', version), LoginOptions('admin', False, False, 511), written.append)
        console.feed(b':put "a?b"\r')
        console.end()
        await console.run()
        return ''.join(written)

    assert '\r\nab\r\n' in asyncio.run(typed(6))
    assert '\r\na?b\r\n' in asyncio.run(typed(7))


def typed(router, text):
    """What the other side sees of a session in which that is typed."""

    async def session():
        written = []
        console = Console(router, LoginOptions('admin', False, False, 511), written.append)
        console.feed(text)
        await asyncio.wait_for(console.run(), 2)
        return ''.join(written)

    return asyncio.run(session())


def test_quit_ends_the_session_and_what_is_typed_behind_it_is_not_carried_out(router):
    assert 'first' in typed(router, b':put first\rquit\r/ppp secret set [find] profile=listed\r')
    assert profiles(router) == ['home', 'home']


def test_what_commands_change_is_counted_by_subscriber(router):
    assert not router.touched.total() - 2  # the two secrets that were added
    router.touched.clear()
    address = router.service('ana')['live']['address']
    run(router, f'/ip firewall address-list add list=walled address={address}')
    run(router, f'/queue simple add name=q target={address}/32 max-limit=1M/1M; /queue simple set q max-limit=2M/2M')
    run(router, '/ppp secret set [find name=ana] profile=listed; /ppp active remove [find name=ana]')
    assert router.touched == {'ana': 5}
    router.faults = [Fault('lie', 'bob')]
    asyncio.run(execute(router, Interpreter(router), '/ppp secret set [find name=bob] profile=listed'))
    run(router, '/ppp secret set [find name=nobody] profile=listed')
    assert router.touched == {'ana': 5}


def test_an_answer_is_seen_later_and_answers_to_lines_typed_together_are_seen_together():
    config = RouterConfig('bras-1', settings={'latency': 0.3})
    with simulation(config) as running:
        session = open_session(running.routers['bras-1'])
        shell = session.shell(PROMPT)
        assert shell.run([f':put {number}' for number in range(20)], 5) == [str(number) for number in range(20)]
        counters = running.routers['bras-1'].router.counters
        assert counters.max_outstanding == counters.lines > 20, 'no answer was seen before the last line was typed'
        session.close()


def test_login_options_are_told_from_the_name():
    assert LoginOptions.parse('admin+ct511w4098h') == LoginOptions('admin', False, False, 511)
    assert LoginOptions.parse('admin') == LoginOptions('admin')


@pytest.fixture
def process(tmp_path):
    """The simulator as the demo runs it: a process of its own, steered over HTTP."""
    config = {
        'routers': [
            {
                'name': f'bras-{number}',
                'profiles': [{'name': 'home', 'rate-limit': '5M/20M'}],
                'subscribers': [{'name': 'u{n}', 'profile': 'home', 'count': 3}],
            }
            for number in (1, 2)
        ]
    }
    (tmp_path / 'routers.json').write_text(json.dumps(config))
    process = subprocess.Popen(
        [sys.executable, '-m', 'tests.simulators.routeros', '--config', str(tmp_path / 'routers.json')],
        cwd=ROOT,
        env={**os.environ, 'PYTHONPATH': str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(5) == 0
        process.stdout.close()


def test_a_process_of_many_routers_tells_the_truth_and_takes_faults(process):
    ready = json.loads(process.stdout.readline())
    assert [router['name'] for router in ready['routers']] == ['bras-1', 'bras-2']
    assert all(router['host_key'].startswith('ssh-ed25519 ') for router in ready['routers'])

    def ask(path, body=None):
        data = None if body is None else json.dumps(body).encode()
        with urllib.request.urlopen(ready['control'] + path, data, timeout=5) as answer:
            return json.load(answer)

    assert ask('/bras-1/service')['u2']['live']['rate'] == [20000, 5000]
    assert list(ask('/bras-1/service?name=u2')) == ['u2']
    assert ask('/bras-1/touched') == {}
    assert ask('/bras-1/do', {'action': 'run', 'line': '/ppp secret set [find name=u1] disabled=yes'})['ok']
    assert ask('/bras-1/do', {'action': 'disconnect', 'name': 'u1'})['ok']
    assert ask('/bras-1')['service']['u1']['live'] is None
    assert ask('/bras-1/touched') == {'u1': 1}
    assert ask('/bras-2')['service']['u1']['live'] is not None
    assert ask('/bras-1/do', {'action': 'duplicate', 'name': 'u2'})['ok']
    assert len(ask('/bras-1')['tables']['ppp secret']) == 4
    assert ask('/bras-1/settings', {'delay': 0.01, 'faults': [{'action': 'hang', 'match': 'u3'}]})['ok']
    assert ask('/')[0]['counters']['logins'] == 0
    for path, body in (('/nowhere', None), ('/bras-1/settings', {'wrong': 1}), ('/bras-1/do', {'action': 'x'})):
        with pytest.raises(urllib.error.HTTPError, match='404'):
            ask(path, body)
