"""From an address to a login: the connection, the key exchange, the pinned host key, the ways to log in."""

from __future__ import annotations

import socket
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import paramiko

from nornir_tasks.connections.ssh.host_keys import PinnedKeys, fingerprint, known_hosts, parse_pins, remember
from nornir_tasks.connections.ssh.logins import Attempt, login_attempts
from nornir_tasks.credentials import Credential
from nornir_tasks.drivers.base import Finding
from nornir_tasks.errors import HostKeyRefusedError, LoginRefusedError, PointTimeoutError, PointUnreachableError

if TYPE_CHECKING:
    from nornir_tasks.connections.ssh.session import SSHSession

KEEPALIVE = 15  # seconds; a NAT or a firewall forgets an idle session soon after a minute


@dataclass
class Dialer:
    """Opens one connection after the other to the same box. Holds a login, so nothing of it is printed."""

    endpoint: tuple[str, int]
    credential: Credential = field(repr=False)
    pins: PinnedKeys
    timeout: float
    suffix: str = ''
    trusts_first: bool = False
    via: SSHSession | None = None
    findings: list[Finding] = field(default_factory=list)  # what a check should tell of this connection

    @property
    def where(self) -> str:
        return f'{self.endpoint[0]} port {self.endpoint[1]}'

    def open(self) -> paramiko.Transport:
        """A connection that is logged in. Raises as `SSHSession.connect` does."""
        tried = []
        transport: paramiko.Transport | None = None
        try:
            for name, attempt in login_attempts(self.credential):
                tried.append(name)
                transport = transport or self._negotiated()
                further = self._try(transport, attempt)
                if transport.is_authenticated():
                    transport.set_keepalive(KEEPALIVE)
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
            f'{self.where} refused the login of "{self.credential.username}" with {means}; '
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
            options.key_types = self.pins.algorithms(tuple(options.key_types))
            self._negotiate(transport)
            self._check_host_key(transport)
        except BaseException:
            (transport or sock).close()
            raise
        return transport

    def _connect_socket(self) -> socket.socket | paramiko.Channel:
        if self.via is not None:
            return self.via.tunnel(*self.endpoint)
        try:
            sock = socket.create_connection(self.endpoint, self.timeout)
        except TimeoutError:
            raise PointTimeoutError(f'{self.where} did not accept a connection in {self.timeout:g} s') from None
        except OSError as error:
            raise PointUnreachableError(f'{self.where} cannot be connected to: {words_of(error)}') from None
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
            raise PointUnreachableError(f'{self.where} does not speak SSH: {words_of(error)}') from None
        if not transport.initial_kex_done:
            raise PointTimeoutError(f'{self.where} did not finish the SSH key exchange in {self.timeout:g} s')

    def _incompatible(self, said: str) -> PointUnreachableError:
        if 'host key' in said and self.pins.key_types:
            kinds = ', '.join(sorted(self.pins.key_types))
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
        if self.pins.accepts(blob):
            return
        seen = f'{key.get_name()} {fingerprint(blob)}'
        if not self.pins and self.trusts_first:
            remember(*self.endpoint, key.get_name(), blob, known_hosts())
            self.pins = parse_pins(fingerprint(blob))
            text = f'{seen} was taken on trust: compare it on the device itself, then pin it'
            self.findings.append(Finding('host key', ok=False, message=text, required=False))
            return
        if not self.pins:
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
            return bool(attempt(transport, self.credential.username + self.suffix))
        except paramiko.AuthenticationException as error:
            if 'timeout' in str(error).lower():
                raise PointTimeoutError(f'{self.where} did not answer the login in time') from None
            if not transport.is_active():
                raise PointUnreachableError(f'{self.where} dropped the connection during the login') from None
            return False
        except (paramiko.SSHException, OSError, EOFError) as error:
            raise PointUnreachableError(f'{self.where} ended the login: {words_of(error)}') from None


def words_of(error: BaseException) -> str:
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return text or type(error).__name__
