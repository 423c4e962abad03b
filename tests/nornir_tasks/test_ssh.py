"""SSH sessions against a real OpenSSH server, and against a console that misbehaves on purpose."""

import logging
import re
import socket
import traceback
from dataclasses import replace

import paramiko
import pytest
from nornir.plugins.runners import SerialRunner

from nornir_tasks.connections.ssh import (
    Prompt,
    ShellClosedError,
    ShellTimeoutError,
    SSHConnection,
    SSHSession,
)
from nornir_tasks.connections.ssh.host_keys import fingerprint, parse_pins
from nornir_tasks.connections.ssh.shell import clean_line
from nornir_tasks.credentials import Credential
from nornir_tasks.drivers.routeros.syntax import PROMPT
from nornir_tasks.errors import (
    ConfigurationError,
    CredentialMissingError,
    HostKeyRefusedError,
    LoginRefusedError,
    PointTimeoutError,
    PointUnreachableError,
)
from nornir_tasks.inventory.hosts import nornir_for
from nornir_tasks.points import Point
from tests.simulators.fixtures import PROFILES, open_session
from tests.simulators.openssh import make_key, openssh_server
from tests.simulators.routeros import RouterConfig, simulation
from tests.simulators.routeros_state import Fault
from tests.waiting import HOURS, wait_until

PLANTED = 'pl4nted-s3cret'
BASH = Prompt(
    re.compile(r'.*[$#] '),
    marked=lambda command, a, b: f'{command}; echo "{a}""{b}"' if command else f'echo "{a}""{b}"',
    newline='\n',
)


@pytest.fixture(scope='module')
def server(tmp_path_factory):
    directory = tmp_path_factory.mktemp('sshd')
    with openssh_server(directory) as server:
        yield server


@pytest.fixture
def session(server):
    with_key = Credential(username=server.username, key_file=server.key_file)
    session = SSHSession.connect('127.0.0.1', server.port, with_key, server.host_key, 5)
    yield session
    session.close()


@pytest.fixture
def router():
    with simulation(RouterConfig('bras-1', profiles=PROFILES)) as running:
        (listening,) = running.routers.values()
        yield listening


def connect(server, host_key=None, timeout=5, **credential):
    values = {'username': server.username, 'key_file': server.key_file} | credential
    return SSHSession.connect(
        '127.0.0.1', server.port, Credential(**values), server.host_key if host_key is None else host_key, timeout
    )


class TestExec:
    def test_status_and_both_streams_come_back_apart(self, session):
        result = session.exec('echo out; echo err >&2; exit 3')
        assert (result.exit_status, result.stdout, result.stderr) == (3, 'out\n', 'err\n')

    def test_large_streams_in_all_directions_do_not_block_each_other(self, session):
        data = 'x' * 3_000_000
        result = session.exec('head -c 2000000 /dev/zero | tr "\\0" e >&2; cat', stdin=data)
        assert result.stdout == data
        assert len(result.stderr) == 2_000_000

    def test_a_command_that_does_not_read_its_input_ends_all_the_same(self, session):
        assert session.exec('exit 7', stdin='x' * 5_000_000).exit_status == 7

    def test_a_hanging_command_is_given_up_in_time(self, session):
        with pytest.raises(PointTimeoutError, match='did not answer in time'):
            session.exec(f'sleep {HOURS}', timeout=0.3)
        assert session.exec('echo next').stdout == 'next\n'

    def test_an_endless_output_is_given_up_by_its_size(self, session, monkeypatch):
        monkeypatch.setattr('nornir_tasks.connections.ssh.session.MOST_OUTPUT', 1_000_000)
        for command in ('yes', 'yes >&2'):
            with pytest.raises(PointTimeoutError, match='came to no end'):
                session.exec(command)
        assert session.exec('echo alive').stdout == 'alive\n'

    def test_small_packets_do_not_wait_for_a_delayed_ack(self, session):
        assert session._transport.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert session._transport.sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)


class TestHostKeys:
    def test_another_key_is_refused_before_any_login(self, server, tmp_path):
        other = make_key(tmp_path / 'other')
        with pytest.raises(HostKeyRefusedError, match=r'SHA256:.*not the pinned one; nothing was sent'):
            connect(server, host_key=other)

    def test_no_pinned_key_is_refused_and_the_sentence_shows_what_to_pin(self, server):
        with pytest.raises(HostKeyRefusedError) as refused:
            connect(server, host_key='')
        shown = re.search(r'SHA256:\S+', str(refused.value))[0].rstrip(':')
        connect(server, host_key=shown).close()

    def test_known_hosts_lines_and_several_pins_are_understood(self, server, tmp_path):
        other = make_key(tmp_path / 'other')
        connect(server, host_key=f'# old\nbras-1 {other}\n[bras-1]:22 {server.host_key} comment\n').close()

    def test_a_server_with_several_keys_is_asked_for_the_pinned_type(self, tmp_path):
        with openssh_server(tmp_path, kinds=('ed25519', 'ecdsa', 'rsa')) as server:
            assert server.host_key.startswith('ssh-rsa ')
            connect(server).close()

    def test_a_server_without_a_key_of_the_pinned_type_is_refused(self, server, tmp_path):
        with pytest.raises(HostKeyRefusedError, match='no host key of the pinned type'):
            connect(server, host_key=make_key(tmp_path / 'other', 'rsa'))

    @pytest.mark.parametrize('text', ['nonsense', 'ssh-rsa AAAA', '@cert-authority * ssh-rsa AAAA', 'MD5:aa:bb'])
    def test_what_is_no_key_is_a_wrong_setting(self, text):
        with pytest.raises(ConfigurationError):
            parse_pins(text)

    def test_nothing_pinned_accepts_nothing(self):
        pins = parse_pins('\n# only a comment\n')
        assert not pins
        assert not pins.accepts(b'')
        assert fingerprint(b'').startswith('SHA256:')


class TestLogin:
    def test_a_wrong_password_is_a_refused_login(self, router):
        with pytest.raises(LoginRefusedError, match='refused the login of "admin" with the password') as refused:
            SSHSession.connect(
                '127.0.0.1', router.port, Credential(username='admin', password=PLANTED), router.host_key, 5
            )
        assert PLANTED not in str(refused.value)
        assert router.router.counters.logins == 0

    def test_a_key_that_is_not_authorized_is_a_refused_login(self, server, tmp_path):
        make_key(tmp_path / 'stranger')
        with pytest.raises(LoginRefusedError, match='the key file'):
            connect(server, key_file=tmp_path / 'stranger')

    def test_the_password_is_tried_after_a_key_that_is_not_wanted(self, router, tmp_path):
        make_key(tmp_path / 'stranger')
        credential = Credential(username='admin', password='admin', key_file=tmp_path / 'stranger')
        SSHSession.connect('127.0.0.1', router.port, credential, router.host_key, 5).close()

    def test_a_key_with_a_passphrase_opens_with_it_only(self, server, tmp_path):
        line = make_key(tmp_path / 'locked', passphrase=PLANTED)
        with (server.key_file.parent / 'authorized_keys').open('a') as authorized:
            authorized.write(line + '\n')
        connect(server, key_file=tmp_path / 'locked', passphrase=PLANTED).close()
        for passphrase in (None, 'wrong'):
            with pytest.raises(CredentialMissingError, match='passphrase'):
                connect(server, key_file=tmp_path / 'locked', passphrase=passphrase)

    def test_a_key_file_that_is_not_there_is_named(self, server, tmp_path):
        with pytest.raises(CredentialMissingError, match='none cannot be read'):
            connect(server, key_file=tmp_path / 'none')

    def test_nothing_to_log_in_with_says_so(self, server, monkeypatch):
        monkeypatch.delenv('SSH_AUTH_SOCK', raising=False)
        with pytest.raises(LoginRefusedError, match='holds no password and no key'):
            connect(server, key_file=None)

    def test_keyboard_interactive_takes_the_password(self, tmp_path):
        options = ('PubkeyAuthentication no', 'KbdInteractiveAuthentication yes')
        with openssh_server(tmp_path, options) as server, pytest.raises(LoginRefusedError, match='the password'):
            # Without PAM this server asks and then refuses: it must have been asked, not skipped.
            connect(server, key_file=None, password=PLANTED)


class TestUnreachable:
    def test_a_closed_port_is_unreachable(self, server):
        with socket.socket() as unused:
            unused.bind(('127.0.0.1', 0))
            port = unused.getsockname()[1]
            with pytest.raises(PointUnreachableError, match='cannot be connected to'):
                SSHSession.connect('127.0.0.1', port, Credential(username='x', password='x'), server.host_key, 2)

    def test_a_port_that_accepts_and_says_nothing_is_given_up_in_time(self, server):
        with socket.create_server(('127.0.0.1', 0)) as silent:
            port, credential = silent.getsockname()[1], Credential(username='x', password='x')
            with pytest.raises((PointTimeoutError, PointUnreachableError)) as given_up:
                SSHSession.connect('127.0.0.1', port, credential, server.host_key, 0.5)
            assert str(port) in str(given_up.value)

    @pytest.mark.filterwarnings('ignore::DeprecationWarning')
    def test_a_box_that_knows_only_sha1_needs_the_older_paramiko_and_is_told_so(self):
        with simulation(RouterConfig('old', legacy_ssh=True)) as running:
            if paramiko.__version__.startswith('4.'):
                open_session(running.routers['old']).close()
                return
            with pytest.raises(PointUnreachableError, match=r"legacy SSH: .*'paramiko<5'"):
                open_session(running.routers['old'])


class TestDeadSessions:
    def test_a_session_that_died_between_uses_is_opened_again_once(self, server, session):
        session.exec('true')
        server.drop_sessions()
        wait_until(lambda: not session.is_active)
        assert session.exec('echo back').stdout == 'back\n'
        assert session.logins == 2

    def test_a_box_that_drops_every_login_is_not_hammered(self, router):
        router.router.faults = [Fault('drop')]
        session = open_session(router)
        for _ in range(4):
            with pytest.raises(PointUnreachableError):
                session.exec(':put 1')
            wait_until(lambda: not session.is_active)
        assert router.router.counters.logins == 2
        assert len(router.router.commands) == 2

    def test_a_server_that_is_gone_is_unreachable(self, tmp_path):
        with openssh_server(tmp_path) as server:
            session = connect(server)
            session.exec('true')
            server.drop_sessions()
        wait_until(lambda: not session.is_active)
        with pytest.raises(PointUnreachableError):
            session.exec('true')

    def test_a_command_whose_connection_died_is_not_sent_again(self, server, session, tmp_path):
        with pytest.raises(PointUnreachableError):
            session.exec(f'echo once >> {tmp_path}/ran; kill -9 $PPID; sleep 5')
        wait_until(lambda: not session.is_active)
        session.exec('true')
        assert (tmp_path / 'ran').read_text() == 'once\n'

    def test_a_closed_session_stays_closed(self, session):
        session.close()
        with pytest.raises(PointUnreachableError, match='was closed'):
            session.exec('true')


class TestShell:
    def test_answers_match_their_commands_on_a_real_shell(self, session):
        commands = [f'echo "answer {number}"; printf tail' for number in range(100)]
        session.shell(BASH).run(['stty -echo'], 5)  # a tty echoes what is typed ahead in the midst of an answer
        assert session.shell(BASH).run(commands, 5) == [f'answer {number}\ntail' for number in range(100)]

    def test_without_a_marker_each_command_waits_for_its_prompt(self, session):
        prompt = Prompt(re.compile(r'\S+[$#] $'), newline='\n')
        commands = [f'echo "answer {number}"' for number in range(20)]
        assert session.shell(prompt).run(commands, 5) == [f'answer {number}' for number in range(20)]

    def test_thirty_commands_are_under_way_and_never_more(self, router):
        session = open_session(router)
        router.router.delay = 0.001
        answers = session.shell(PROMPT).run([f':put {number}' for number in range(200)], 5)
        assert answers == [str(number) for number in range(200)]
        assert router.router.counters.max_outstanding == 30
        session.close()

    def test_a_failed_command_leaves_its_words_to_itself(self, router):
        session = open_session(router)
        commands = [':put a', ':error b', '/ppp secrt print', ':put d', ':error e']
        assert session.shell(PROMPT).run(commands, 5) == [
            'a', 'b', 'bad command name secrt (line 1 column 6)', 'd', 'e',
        ]  # fmt: skip
        session.close()

    @pytest.mark.parametrize('suffix', ['', '+ct511w4098h'])
    def test_colours_redraws_and_scrolled_echoes_are_no_part_of_an_answer(self, router, suffix):
        credential = Credential(username='admin', password='admin')
        session = SSHSession.connect('127.0.0.1', router.port, credential, router.host_key, 5, login_suffix=suffix)
        text = 'x' * 700
        assert session.shell(PROMPT).run([f':put "{text}"'] * 3, 5) == [text] * 3
        session.close()

    def test_a_hang_tells_what_was_answered_and_what_is_unknown(self, router):
        session = open_session(router)
        router.router.faults = [Fault('hang', 'put 5;')]
        shell = session.shell(PROMPT)
        with pytest.raises(ShellTimeoutError) as late:
            shell.run([f':put {number}' for number in range(100)], 0.3)
        assert late.value.answers == ('0', '1', '2', '3', '4')
        assert late.value.sent == 5 + 30
        assert shell.broken
        router.router.faults = []
        assert session.shell(PROMPT).run([':put again'], 5) == ['again']
        session.close()

    def test_an_answer_that_is_too_large_ends_by_its_size_and_what_came_before_counts(self, router):
        session = open_session(router)
        prompt = replace(PROMPT, most=200_000)
        router.router.faults = [Fault('error', 'put 3;', text='x' * 1_000_000)]
        with pytest.raises(ShellTimeoutError, match='came to no end') as late:
            session.shell(prompt).run([f':put {number}' for number in range(10)], 5)
        assert late.value.answers == ('0', '1', '2')
        assert late.value.sent == 10
        session.close()

    def test_an_answer_has_a_limit_of_time_as_a_whole_beside_that_of_silence(self, session):
        drip = 'for i in $(seq 40); do printf x; sleep 0.1; done'
        with pytest.raises(ShellTimeoutError, match='no end of its answer within 1 s'):
            session.shell(BASH).run(['stty -echo', drip], 1)
        assert session.shell(BASH).run(['stty -echo', 'for i in 1 2 3 4; do sleep 0.4; echo $i; done'], 1, total=5)[
            1
        ] == ('1\n2\n3\n4')

    def test_a_dropped_connection_tells_what_was_answered(self, router):
        session = open_session(router)
        router.router.faults = [Fault('drop', 'put 5;')]
        with pytest.raises(ShellClosedError) as gone:
            session.shell(PROMPT).run([f':put {number}' for number in range(10)], 2)
        assert set(gone.value.answers) <= {'0', '1', '2', '3', '4'}
        assert gone.value.sent == 10
        session.close()

    def test_a_command_cannot_smuggle_in_a_second_line(self, router):
        session = open_session(router)
        for text in (':put 1\r:put 2', ':put 1\n', ':put \x03', ':put \x1b[A'):
            with pytest.raises(ValueError, match='control characters'):
                session.shell(PROMPT).run([text], 1)
        assert router.router.commands == []
        session.close()

    def test_lines_are_read_as_they_stand_on_the_screen(self):
        assert clean_line('[a@b] > \r[a@b] > :put\x1b[K\r') == '[a@b] > :put'
        assert clean_line('\x1b[1;32mgreen\x1b[m\r') == 'green'
        assert clean_line('\x1b]0;title\x07text') == 'text'


class TestNornir:
    def test_the_plugin_finds_the_point_and_looks_the_secret_up_by_name(self, router, monkeypatch):
        monkeypatch.setenv('DELINQUENCY_CREDENTIAL_CORE', f'{{"username": "admin", "password": "{PLANTED}"}}')
        router.router.users['admin'] = PLANTED
        point = Point('bras-1', 'routeros', '127.0.0.1', router.port, 'core', router.host_key)
        nornir = nornir_for([point], SerialRunner())
        host = nornir.inventory.hosts['bras-1']
        session = host.get_connection('netbox_delinquency_ssh', nornir.config)
        assert session.exec(':put hello').stdout.strip() == 'hello'
        assert PLANTED not in f'{host.dict()} {host.connection_options} {session!r} {vars(session)}'
        host.close_connections()

    def test_a_missing_credential_is_said_before_anything_is_contacted(self, router):
        point = Point('bras-1', 'routeros', '127.0.0.1', router.port, 'nowhere', router.host_key)
        with pytest.raises(CredentialMissingError, match='no credential "nowhere"'):
            SSHConnection().open('bras-1', extras={'point': point})

    def test_a_host_without_a_point_is_a_wrong_setting(self):
        with pytest.raises(ConfigurationError, match='no enforcement point'):
            SSHConnection().open('bras-1', extras={})

    def test_a_point_with_an_unknown_driver_does_not_stop_the_inventory(self):
        nornir = nornir_for([Point('odd', 'no-such-driver', '127.0.0.1')], SerialRunner())
        assert nornir.inventory.hosts['odd'].connection_options == {}


def test_a_secret_never_shows_in_errors_tracebacks_or_logs(router, server, caplog, tmp_path):
    caplog.set_level(logging.DEBUG)
    credential = Credential(username='admin', password=PLANTED, passphrase=PLANTED, secret=PLANTED)
    attempts = [
        lambda: SSHSession.connect('127.0.0.1', router.port, credential, router.host_key, 5),
        lambda: SSHSession.connect('127.0.0.1', router.port, credential, '', 5),
        lambda: connect(server, key_file=tmp_path / 'none', passphrase=PLANTED),
        lambda: connect(server, key_file=None, password=PLANTED),
    ]
    for attempt in attempts:
        with pytest.raises(Exception) as raised:  # noqa: PT011
            attempt()
        assert PLANTED not in ''.join(traceback.format_exception(raised.value))
        assert PLANTED not in repr(raised.value)
    assert PLANTED not in caplog.text
    assert PLANTED not in f'{credential!r} {credential} {credential.model_dump()} {credential.model_dump_json()}'
