"""SSH to enforcement points: one session a box, kept open, host key pinned, never waiting for ever."""

from __future__ import annotations

import select
import time
from collections.abc import Callable
from dataclasses import dataclass

import paramiko

from nornir_tasks.connections.ssh.host_keys import PinnedKeys, known_hosts, parse_pins, remembered
from nornir_tasks.connections.ssh.shell import Prompt, Shell, close_channel
from nornir_tasks.connections.ssh.transport import Dialer, words_of
from nornir_tasks.credentials import Credential
from nornir_tasks.errors import PointTimeoutError, PointUnreachableError

CHUNK = 65536
MOST_OUTPUT = 64_000_000  # bytes of one command: tables of a large box, and no endless stream


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
        self.timeout = timeout
        self.logins = 0
        self._dialer = Dialer((address, port), credential, pins, timeout, suffix, trusts_first, via)
        self.where = self._dialer.where
        self.findings = self._dialer.findings
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
        return self._dialer.credential.username

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
            raise PointUnreachableError(f'{self.where} dropped the connection: {words_of(error)}') from None
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
        if self._dialer.via is not None:
            self._dialer.via.close()

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
                f'the jump host {self.where} does not connect to {address} port {port}: {words_of(error)}'
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
                raise PointUnreachableError(f'{self.where} refused a session: {words_of(error)}') from None
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
            self._take_output(channel, stdout, stderr)
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

    def _take_output(self, channel: paramiko.Channel, stdout: bytearray, stderr: bytearray) -> None:
        while channel.recv_ready() and len(stdout) <= MOST_OUTPUT:
            stdout += channel.recv(CHUNK)
        while channel.recv_stderr_ready() and len(stderr) <= MOST_OUTPUT:
            stderr += channel.recv_stderr(CHUNK)
        if len(stdout) + len(stderr) > MOST_OUTPUT:
            raise PointTimeoutError(f'{self.where} printed more than {MOST_OUTPUT} bytes and came to no end')

    def _late(self) -> PointTimeoutError:
        return PointTimeoutError(f'{self.where} did not answer in time')

    def _open(self) -> paramiko.Transport:
        self._unanswered += 1
        self._shells = {}
        transport = self._dialer.open()
        self.logins += 1
        return transport
