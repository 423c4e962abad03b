"""Ways to a point: through a jump host, with the agent's key, and with a host key taken on trust."""

from __future__ import annotations

import base64
import os
import re
import subprocess

import pytest

from nornir_tasks.connections.ssh import SSHConnection, SSHSession
from nornir_tasks.connections.ssh.host_keys import fingerprint, parse_pins
from nornir_tasks.connections.ssh.plugin import _endpoint
from nornir_tasks.credentials import Credential
from nornir_tasks.errors import (
    ConfigurationError,
    CredentialMissingError,
    HostKeyRefusedError,
    LoginRefusedError,
    PointUnreachableError,
)
from nornir_tasks.points import Point
from tests.simulators.fixtures import PROFILES
from tests.simulators.openssh import make_key, openssh_server
from tests.simulators.routeros import RouterConfig, simulation


@pytest.fixture(scope='module')
def jump(tmp_path_factory):
    with openssh_server(tmp_path_factory.mktemp('jump')) as server:
        yield server


@pytest.fixture
def router():
    with simulation(RouterConfig('bras-1', profiles=PROFILES)) as running:
        yield running.routers['bras-1']


@pytest.fixture(autouse=True)
def known(tmp_path, monkeypatch, jump):
    monkeypatch.setenv('DELINQUENCY_KNOWN_HOSTS', str(tmp_path / 'state' / 'known_hosts'))
    monkeypatch.setenv('DELINQUENCY_CREDENTIAL_CORE', '{"username": "admin", "password": "admin"}')
    text = f'{{"username": "{jump.username}", "key_file": "{jump.key_file}"}}'
    monkeypatch.setenv('DELINQUENCY_CREDENTIAL_JUMP', text)
    return tmp_path / 'state' / 'known_hosts'


def connect(router, host_key=None, **ssh):
    host_key = router.host_key if host_key is None else host_key
    point = Point('bras-1', 'routeros', '127.0.0.1', router.port, 'core', host_key, {'ssh': ssh}, timeout=3)
    connection = SSHConnection()
    connection.open('bras-1', extras={'point': point})
    return connection.connection


def through(jump, **values):
    return {'jump_host': f'127.0.0.1:{jump.port}', 'jump_credential': 'jump', 'jump_host_key': jump.host_key} | values


class TestJumpHost:
    def test_the_point_is_reached_through_it_and_keeps_its_own_pin(self, router, jump, tmp_path):
        session = connect(router, **through(jump))
        assert session.exec(':put hello').stdout.strip() == 'hello'
        session.close()
        with pytest.raises(HostKeyRefusedError, match='not the pinned one'):
            connect(router, host_key=make_key(tmp_path / 'other'), **through(jump))

    def test_both_are_opened_again_after_the_jump_host_dropped_us(self, router, jump):
        session = connect(router, **through(jump))
        session.exec(':put 1')
        jump.drop_sessions()
        for _ in range(100):
            if not session.is_active:
                break
            session._transport.join(0.05)
        assert session.exec(':put back').stdout.strip() == 'back'
        assert router.router.counters.logins == 2
        session.close()

    def test_its_own_key_is_pinned_too_and_no_login_is_tried_without(self, router, jump):
        with pytest.raises(HostKeyRefusedError, match=f'port {jump.port} has no pinned host key'):
            connect(router, **through(jump, jump_host_key=''))
        assert router.router.counters.logins == 0

    def test_a_point_that_it_does_not_reach_is_said_so(self, router, jump):
        point = Point('x', 'routeros', '127.0.0.1', 1, 'core', router.host_key, {'ssh': through(jump)}, timeout=3)
        with pytest.raises(PointUnreachableError, match=r'the jump host .* does not connect to 127.0.0.1 port 1'):
            SSHConnection().open('x', extras={'point': point})

    def test_a_credential_that_is_missing_is_named(self, router, jump):
        with pytest.raises(CredentialMissingError, match='no credential "nowhere"'):
            connect(router, **through(jump, jump_credential='nowhere'))

    @pytest.mark.parametrize(
        ('text', 'endpoint'),
        [
            ('jump', ('jump', 22)),
            ('jump:2222', ('jump', 2222)),
            ('[2001:db8::1]:2222', ('2001:db8::1', 2222)),
            ('2001:db8::1', ('2001:db8::1', 22)),
        ],
    )
    def test_addresses(self, text, endpoint):
        assert _endpoint(text) == endpoint

    def test_a_wrong_setting_is_a_sentence(self, router):
        with pytest.raises(ConfigurationError, match='"ssh" parameters of bras-1 are wrong: jump_host'):
            connect(router, jump_host='-oProxyCommand=x y')


class TestTrustOnFirstUse:
    def test_it_is_never_done_unless_told_so(self, router, known):
        with pytest.raises(HostKeyRefusedError, match='has no pinned host key'):
            connect(router, host_key='')
        assert not known.exists()

    def test_the_first_key_is_remembered_and_another_refused(self, router, known, tmp_path):
        connect(router, host_key='', trust_first_key=True).close()
        assert parse_pins(known.read_text()).accepts(parse_blob(router.host_key))
        assert known.stat().st_mode & 0o077 == 0
        connect(router, host_key='', trust_first_key=True).close()
        assert len(known.read_text().splitlines()) == 1
        known.write_text(re.sub(r'ssh-ed25519 .*', make_key(tmp_path / 'other'), known.read_text()))
        with pytest.raises(HostKeyRefusedError, match='not the pinned one'):
            connect(router, host_key='', trust_first_key=True)

    def test_a_pinned_key_is_not_overruled_by_it(self, router, known, tmp_path):
        with pytest.raises(HostKeyRefusedError):
            connect(router, host_key=make_key(tmp_path / 'other'), trust_first_key=True)
        assert not known.exists()

    def test_what_was_taken_on_trust_is_told(self, router):
        (finding,) = connect(router, host_key='', trust_first_key=True).findings
        assert (finding.ok, finding.required) == (False, False)
        assert fingerprint(parse_blob(router.host_key)) in finding.message

    def test_a_file_that_cannot_be_written_trusts_nothing(self, router, monkeypatch):
        monkeypatch.setenv('DELINQUENCY_KNOWN_HOSTS', '/proc/nowhere/known_hosts')
        with pytest.raises(ConfigurationError, match='cannot be written'):
            connect(router, host_key='', trust_first_key=True)
        assert router.router.counters.logins == 0


class TestAgent:
    @pytest.fixture
    def agent(self, monkeypatch, tmp_path):
        socket = tmp_path / 'agent'
        agent = subprocess.Popen(['ssh-agent', '-D', '-a', str(socket)], stdout=subprocess.DEVNULL)
        while not socket.exists():
            assert agent.poll() is None
        monkeypatch.setenv('SSH_AUTH_SOCK', str(socket))
        yield
        agent.terminate()
        agent.wait()

    def test_its_key_logs_in_where_the_credential_names_no_way(self, jump, agent):
        subprocess.run(['ssh-add', '-q', str(jump.key_file)], check=True, env=os.environ)
        credential = Credential(username=jump.username)
        session = SSHSession.connect('127.0.0.1', jump.port, credential, jump.host_key, 5)
        assert session.exec('echo in').stdout == 'in\n'
        session.close()

    def test_an_empty_one_is_a_refused_login(self, jump, agent):
        with pytest.raises(LoginRefusedError, match='no agent runs'):
            SSHSession.connect('127.0.0.1', jump.port, Credential(username=jump.username), jump.host_key, 5)


def parse_blob(public):
    return base64.b64decode(public.split()[1])
