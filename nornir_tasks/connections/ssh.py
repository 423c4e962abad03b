"""SSH to enforcement points: one session a box, kept open, host key pinned, never waiting for ever."""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import paramiko
from pydantic import ValidationError

from nornir_tasks.connections.host_keys import (
    PinnedKeys,
    fingerprint,
    known_hosts,
    parse_pins,
    remember,
    remembered,
)
from nornir_tasks.connections.logins import Attempt, login_attempts
from nornir_tasks.connections.shell import Prompt, Shell, ShellClosedError, ShellTimeoutError, close_channel
from nornir_tasks.credentials import Credential, get_credential
from nornir_tasks.drivers import Finding, get_driver
from nornir_tasks.drivers.base import SSHOptions
from nornir_tasks.errors import (
    ConfigurationError,
    HostKeyRefusedError,
    LoginRefusedError,
    PointTimeoutError,
    PointUnreachableError,
)
from nornir_tasks.points import Point

__all__ = (
    'ExecResult',
    'Prompt',
    'SSHConnection',
    'SSHSession',
    'Shell',
    'ShellClosedError',
    'ShellTimeoutError',
)

KEEPALIVE = 15  # seconds; a NAT or a firewall forgets an idle session soon after a minute
CHUNK = 65536


@dataclass(frozen=True, slots=True)
class ExecResult:
    """What one command left. `exit_status` is -1 where the device sent none."""

    exit_status: int
    stdout: str
    stderr: str


class SSHSession:
    """One login. Use `connect`; every method may raise `PointUnreachableError` or `PointTimeoutError`."""

    def __init__(
        self,
        address: str,
        port: int,
        credential: Credential,
        pins: PinnedKeys,
        timeout: float,
        suffix: str,
        trusts_first: bool = False,
        via: SSHSession | None = None,
    ) -> None:
        self.where = f'{address} port {port}'
        self.timeout = timeout
        self.logins = 0
        self.findings: list[Finding] = []  # what a check should tell of this connection
        self._endpoint = (address, port)
        self._credential = credential
        self._pins = pins
        self._trusts_first = trusts_first
        self._via = via
        self._suffix = suffix
        self._unanswered = 0  # logins in a row after which nothing was answered
        self._closed = False
        self._shells: dict[Prompt, Shell] = {}
        self._transport = self._open()

    @classmethod
    def connect(
        cls,
        address: str,
        port: int,
        credential: Credential,
        host_key: str,
        timeout: float,
        *,
        login_suffix: str = '',
        trust_first_key: bool = False,
        via: SSHSession | None = None,
    ) -> SSHSession:
        """Log in at `address`. `host_key` pins what it may show (see `parse_pins`); `timeout` is seconds.

        `login_suffix` is appended to the user name (a console option of RouterOS). `trust_first_key` takes, where
        nothing is pinned, the key shown first and remembers it. `via` is a jump host, closed with this session. Raises
        `HostKeyRefusedError`, `LoginRefusedError`, `PointUnreachableError`, `PointTimeoutError`, `ConfigurationError`.
        """
        pins = parse_pins(host_key)
        trusts_first = trust_first_key and not pins
        if trusts_first:
            pins = remembered(address, port, known_hosts())
        try:
            return cls(address, port, credential, pins, timeout, login_suffix, trusts_first, via)
        except BaseException:
            if via is not None:
                via.close()
            raise

    def __repr__(self) -> str:
        return f'<SSHSession {self.where}>'

    @property
    def username(self) -> str:
        return self._credential.username

    @property
    def is_active(self) -> bool:
        return not self._closed and self._transport.is_active()

    def exec(self, command: str, stdin: str = '', timeout: float | None = None) -> ExecResult:
        """Run one command to its end, feeding it `stdin`. `timeout` is seconds for the whole of it.

        A command whose connection dies under way may have had its effect; it is never sent again here.
        """
        channel = self._channel()
        deadline = time.monotonic() + (timeout or self.timeout)
        try:
            channel.settimeout(timeout or self.timeout)
            channel.exec_command(command)
            stdout, stderr = self._exchange(channel, memoryview(stdin.encode()), deadline)
            if not channel.status_event.wait(max(deadline - time.monotonic(), 0)):
                raise self._late()
            if channel.exit_status == -1 and not self._transport.is_active():
                raise PointUnreachableError(f'{self.where} dropped the connection before the command ended')
            self._unanswered = 0
            return ExecResult(channel.exit_status, stdout.decode(errors='replace'), stderr.decode(errors='replace'))
        except TimeoutError:
            raise self._late() from None
        except (paramiko.SSHException, OSError, EOFError) as error:
            raise PointUnreachableError(f'{self.where} dropped the connection: {_words(error)}') from None
        finally:
            close_channel(channel)

    def shell(self, prompt: Prompt) -> Shell:
        """The shell kept open for that prompt, or a new one where there is none or it broke."""
        shell = self._shells.get(prompt)
        if shell is not None and not shell.broken and self.is_active:
            return shell

        def start(channel: paramiko.Channel) -> None:
            channel.settimeout(self.timeout)
            channel.get_pty('vt100', prompt.width, prompt.height)
            channel.invoke_shell()

        channel = self._channel(start)
        shell = self._shells[prompt] = Shell(channel, prompt, self.where, self.timeout)
        self._unanswered = 0
        return shell

    def close(self) -> None:
        self._closed = True
        self._transport.close()
        if self._via is not None:
            self._via.close()

    def tunnel(self, address: str, port: int) -> paramiko.Channel:
        """A connection from this host to another; opened again once where this session has died meanwhile."""
        if not self._closed and not self._transport.is_active():
            self._transport = self._open()
        try:
            channel = self._transport.open_channel(
                'direct-tcpip', (address, port), ('127.0.0.1', 0), timeout=self.timeout
            )
        except (paramiko.SSHException, OSError, EOFError) as error:
            raise PointUnreachableError(
                f'the jump host {self.where} does not connect to {address} port {port}: {_words(error)}'
            ) from None
        channel.settimeout(self.timeout)
        self._unanswered = 0
        return channel

    def _channel(self, prepare: Callable[[paramiko.Channel], None] = lambda _: None) -> paramiko.Channel:
        """A channel of a session that is up. Nothing in here sends a command, so it may be done twice."""
        if self._closed:
            raise PointUnreachableError(f'{self.where}: the session was closed')
        if self._transport.is_active():
            channel = self._try_channel(prepare)
            if channel is not None:
                return channel
        # Opened again once: a box that takes logins and drops them would be hammered for ever.
        if self._unanswered > 1:
            raise PointUnreachableError(f'{self.where} keeps dropping the connection after login')
        self._transport.close()
        self._transport = self._open()
        channel = self._try_channel(prepare)
        if channel is None:
            raise PointUnreachableError(f'{self.where} drops the connection after login')
        return channel

    def _try_channel(self, prepare: Callable[[paramiko.Channel], None]) -> paramiko.Channel | None:
        """None where the connection has died, which paramiko's thread may notice a little later."""
        channel: paramiko.Channel | None = None
        try:
            channel = self._transport.open_session(timeout=self.timeout)
            prepare(channel)
        except (paramiko.SSHException, OSError, EOFError) as error:
            if channel is not None:
                close_channel(channel)
            if isinstance(error, TimeoutError) or 'timeout' in str(error).lower():
                raise self._late() from None
            was_asked = channel is not None and isinstance(error, paramiko.SSHException)
            if isinstance(error, paramiko.ChannelException) or (was_asked and self._transport.is_active()):
                raise PointUnreachableError(f'{self.where} refused a session: {_words(error)}') from None
            return None
        return channel

    def _exchange(self, channel: paramiko.Channel, stdin: memoryview, deadline: float) -> tuple[bytes, bytes]:
        """Both streams to their ends while feeding stdin: a side left unread would stop the command."""
        stdout, stderr = bytearray(), bytearray()
        if not stdin:
            channel.shutdown_write()
        poller = select.poll()
        poller.register(channel.fileno(), select.POLLIN)
        while True:
            while channel.recv_ready():
                stdout += channel.recv(CHUNK)
            while channel.recv_stderr_ready():
                stderr += channel.recv_stderr(CHUNK)
            if channel.closed:
                stdin = memoryview(b'')  # the command may end without reading all of it
            if stdin and channel.send_ready():
                try:
                    stdin = stdin[channel.send(bytes(stdin[:CHUNK])) :]
                except OSError:
                    if not channel.closed:
                        raise
                    stdin = memoryview(b'')
                if not stdin:
                    channel.shutdown_write()
                continue
            if (channel.eof_received or channel.closed) and not (channel.recv_ready() or channel.recv_stderr_ready()):
                return bytes(stdout), bytes(stderr)
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError
            # Nothing tells when the window for stdin opens again, hence the short wait while there is some left.
            poller.poll(10 if stdin else min(left * 1000, 1000))

    def _late(self) -> PointTimeoutError:
        return PointTimeoutError(f'{self.where} did not answer in time')

    def _open(self) -> paramiko.Transport:
        self._unanswered += 1
        self._shells = {}
        tried = []
        transport: paramiko.Transport | None = None
        try:
            for name, attempt in login_attempts(self._credential):
                tried.append(name)
                transport = transport or self._negotiated()
                further = self._try(transport, attempt)
                if transport.is_authenticated():
                    transport.set_keepalive(KEEPALIVE)
                    self.logins += 1
                    return transport
                if not further:
                    # Not every server lets another method follow a refused one on the same connection.
                    transport.close()
                    transport = None
        except BaseException:
            if transport is not None:
                transport.close()
            raise
        means = ' and '.join(tried) or 'nothing: the credential holds no password and no key, and no agent runs'
        raise LoginRefusedError(
            f'{self.where} refused the login of "{self._credential.username}" with {means}; '
            "check this point's credential"
        )

    def _negotiated(self) -> paramiko.Transport:
        """A connection to the box that is pinned, without a login yet."""
        sock = self._connect_socket()
        transport: paramiko.Transport | None = None
        try:
            transport = paramiko.Transport(sock)
            transport.banner_timeout = transport.auth_timeout = self.timeout
            options = transport.get_security_options()
            options.key_types = self._pins.algorithms(tuple(options.key_types))
            self._negotiate(transport)
            self._check_host_key(transport)
        except BaseException:
            (transport or sock).close()
            raise
        return transport

    def _connect_socket(self) -> socket.socket | paramiko.Channel:
        if self._via is not None:
            return self._via.tunnel(*self._endpoint)
        try:
            sock = socket.create_connection(self._endpoint, self.timeout)
        except TimeoutError:
            raise PointTimeoutError(f'{self.where} did not accept a connection in {self.timeout:g} s') from None
        except OSError as error:
            raise PointUnreachableError(f'{self.where} cannot be connected to: {_words(error)}') from None
        # Without it every small packet waits for the delayed ACK of the one before: 45 ms a command.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if hasattr(socket, 'TCP_USER_TIMEOUT'):
            # A frozen peer stops reading, and paramiko writes without a limit of time: the kernel ends it.
            unread = int(max(self.timeout, KEEPALIVE) * 1000)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, unread)
        return sock

    def _negotiate(self, transport: paramiko.Transport) -> None:
        try:
            transport.start_client(timeout=self.timeout)
        except paramiko.ssh_exception.IncompatiblePeer as error:
            raise self._incompatible(str(error)) from None
        except (paramiko.SSHException, OSError, EOFError) as error:
            raise PointUnreachableError(f'{self.where} does not speak SSH: {_words(error)}') from None
        if not transport.initial_kex_done:
            raise PointTimeoutError(f'{self.where} did not finish the SSH key exchange in {self.timeout:g} s')

    def _incompatible(self, said: str) -> PointUnreachableError:
        if 'host key' in said and self._pins.key_types:
            kinds = ', '.join(sorted(self._pins.key_types))
            return HostKeyRefusedError(
                f'{self.where} shows no host key of the pinned type ({kinds}); if its keys were renewed on purpose, '
                'pin the new one, or its SHA256:… fingerprint, as the host key of this point'
            )
        return PointUnreachableError(
            f'{self.where} and this client have no SSH algorithm in common ({said}); legacy SSH: paramiko 5 has no '
            "SHA-1 key exchange and no ssh-rsa: update the device, or install 'paramiko<5'"
        )

    def _check_host_key(self, transport: paramiko.Transport) -> None:
        key = transport.get_remote_server_key()
        blob = key.asbytes()
        if self._pins.accepts(blob):
            return
        seen = f'{key.get_name()} {fingerprint(blob)}'
        if not self._pins and self._trusts_first:
            remember(*self._endpoint, key.get_name(), blob, known_hosts())
            self._pins = parse_pins(fingerprint(blob))
            text = f'{seen} was taken on trust: compare it on the device itself, then pin it'
            self.findings.append(Finding('host key', ok=False, message=text, required=False))
            return
        if not self._pins:
            raise HostKeyRefusedError(
                f'{self.where} has no pinned host key; it shows {seen}: compare that on the device itself, then set '
                'it as the host key of this point'
            )
        raise HostKeyRefusedError(
            f'{self.where} shows host key {seen}, which is not the pinned one; nothing was sent. If the device was '
            'replaced or its key renewed, compare it on the device itself and pin it as the host key of this point'
        )

    def _try(self, transport: paramiko.Transport, attempt: Attempt) -> bool:
        """True where the method was good but more are wanted; False where it is refused, or the login is complete."""
        try:
            return bool(attempt(transport, self._credential.username + self._suffix))
        except paramiko.AuthenticationException as error:
            if 'timeout' in str(error).lower():
                raise PointTimeoutError(f'{self.where} did not answer the login in time') from None
            if not transport.is_active():
                raise PointUnreachableError(f'{self.where} dropped the connection during the login') from None
            return False
        except (paramiko.SSHException, OSError, EOFError) as error:
            raise PointUnreachableError(f'{self.where} ended the login: {_words(error)}') from None


def _words(error: BaseException) -> str:
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return text or type(error).__name__


def _options(point: Point) -> SSHOptions:
    try:
        return SSHOptions.model_validate(point.parameters.get('ssh') or {})
    except ValidationError as error:
        wrong = '; '.join('.'.join(map(str, item['loc'])) + f': {item["msg"]}' for item in error.errors())
        raise ConfigurationError(f'the "ssh" parameters of {point.name} are wrong: {wrong}') from None


def _endpoint(text: str) -> tuple[str, int]:
    """`host`, `host:port`, `[v6]:port` or a bare IPv6 address."""
    host, colon, port = text.rpartition(':')
    if colon and (host.startswith('[') or ':' not in host) and port.isdigit():
        return host.strip('[]'), int(port)
    return text.strip('[]'), 22


class SSHConnection:
    """Nornir connection plugin `netbox_delinquency_ssh`. The secret is looked up by name in here, and stays here."""

    def __init__(self) -> None:
        self._session: SSHSession | None = None

    def open(self, hostname: str | None, *_: Any, extras: dict[str, Any] | None = None, **_unused: Any) -> None:
        """Log in at `extras["point"]`. Raises as `SSHSession.connect` and `get_credential` do."""
        point = (extras or {}).get('point')
        if not isinstance(point, Point):
            raise ConfigurationError(f'{hostname}: the host has no enforcement point in its connection options')
        options = _options(point)
        credential = get_credential(point.credential)
        suffix = getattr(get_driver(point.driver), 'login_suffix', '')
        via = None
        if options.jump_host:
            host, port = _endpoint(options.jump_host)
            login = get_credential(options.jump_credential) if options.jump_credential else credential
            via = SSHSession.connect(host, port, login, options.jump_host_key, point.timeout)
        self._session = SSHSession.connect(
            point.address,
            point.port or 22,
            credential,
            point.host_key,
            point.timeout,
            login_suffix=suffix,
            trust_first_key=options.trust_first_key,
            via=via,
        )

    def close(self) -> None:
        if self._session is not None:
            self._session.close()

    @property
    def connection(self) -> SSHSession:
        if self._session is None:
            raise PointUnreachableError('the SSH connection is not open')
        return self._session
