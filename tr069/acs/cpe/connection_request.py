"""Calling a CPE: an HTTP GET with digest (TR-069 3.2.2), or a UDP datagram through its NAT (annex G). Paced."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
import secrets
import socket
import struct
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from urllib.parse import quote, urlsplit

from tr069.acs.cpe.auth import answer_challenge
from tr069.acs.metrics import Metrics
from tr069.acs.settings import ConnectionRequests
from tr069.acs.store.records import DeviceRecord
from tr069.client import ConnectionRequest

logger = logging.getLogger(__name__)

_MAX_HEAD = 16 * 1024
Login = Callable[[str], tuple[str, str]]


class _RefusedTargetError(Exception):
    """The URL is not one we call."""


@dataclass(frozen=True, slots=True)
class _Reply:
    status: int
    challenge: str = ''
    keeps: bool = False


class Caller:
    """Calls devices, a few at a time. `login` gives user name and password for a device id."""

    def __init__(
        self, settings: ConnectionRequests, login: Login, metrics: Metrics, udp: UdpSocket | None = None
    ) -> None:
        self._settings = settings
        self._login = login
        self._metrics = metrics
        self._udp = udp
        self._slots = asyncio.Semaphore(settings.max_in_flight)
        self._next_start = 0.0
        self._background: set[asyncio.Task[ConnectionRequest]] = set()

    async def call_many(self, devices: Sequence[DeviceRecord]) -> dict[str, ConnectionRequest]:
        outcomes = await asyncio.gather(*(self.call(device) for device in devices))
        return {device.id: outcome for device, outcome in zip(devices, outcomes, strict=True)}

    def call_soon(self, device: DeviceRecord, delay_s: float) -> asyncio.Task[ConnectionRequest]:
        """Call in the background, after `delay_s`; nobody need wait for what comes of it."""

        async def later() -> ConnectionRequest:
            await asyncio.sleep(delay_s)
            return await self.call(device)

        job = asyncio.create_task(later())
        self._background.add(job)
        job.add_done_callback(self._background.discard)
        return job

    async def stop(self) -> None:
        for job in self._background:
            job.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)

    async def call(self, device: DeviceRecord) -> ConnectionRequest:
        """Call one device, again where it was busy or did not answer."""
        outcome = ConnectionRequest.UNREACHABLE
        for attempt in range(self._settings.attempts):
            if attempt:
                await asyncio.sleep(self._settings.retry_wait_s)
            async with self._slots:
                await self._pace()
                try:
                    outcome = await self._once(device)
                except Exception:  # whatever one device makes of it, the others are called
                    logger.exception('%s: connection request failed', device.id)
                    outcome = ConnectionRequest.UNREACHABLE
            if outcome in (ConnectionRequest.ACCEPTED, ConnectionRequest.REFUSED, ConnectionRequest.SENT):
                break
        self._metrics.connection_requests.labels(str(outcome)).inc()
        return outcome

    async def _pace(self) -> None:
        now = time.monotonic()
        start = max(now, self._next_start)
        self._next_start = start + 1 / self._settings.per_second
        if start > now:
            await asyncio.sleep(start - now)

    async def _once(self, device: DeviceRecord) -> ConnectionRequest:
        username, password = self._login(device.id)
        outcome = ConnectionRequest.UNREACHABLE
        if device.connection_request_url:
            try:
                async with asyncio.timeout(self._settings.timeout_s):
                    outcome = await self._http(device.connection_request_url, username, password, device.address)
            except (OSError, TimeoutError, ValueError) as error:
                logger.info('%s: connection request failed: %s', device.id, error or type(error).__name__)
            except _RefusedTargetError as error:
                logger.warning('%s: %s', device.id, error)
        if outcome is ConnectionRequest.UNREACHABLE and self._udp is not None and device.udp_address:
            try:
                await self._udp.call(
                    device.udp_address, username, password, lambda host: self._check_address(host, device.address)
                )
            except (OSError, ValueError, _RefusedTargetError) as error:
                logger.warning('%s: UDP connection request to %s: %s', device.id, device.udp_address, error)
            else:
                outcome = ConnectionRequest.SENT
        return outcome

    def _check_address(self, text: str, session_address: str) -> None:
        address = ip_address(text)
        denied, allowed = self._settings.deny, self._settings.subscriber_networks
        if any(address.version == network.version and address in network for network in denied):
            raise _RefusedTargetError(f'{text} is in a network that is never called')
        if _is_same(address, session_address):
            return
        if not any(address.version == network.version and address in network for network in allowed):
            raise _RefusedTargetError(
                f'{text} is neither the address its session came from ({session_address or "unknown"}) nor in '
                'connection_requests.subscriber_networks'
            )

    async def _http(self, url: str, username: str, password: str, session_address: str) -> ConnectionRequest:
        parts = urlsplit(url)
        if parts.scheme != 'http' or not parts.hostname:
            raise _RefusedTargetError(f'the connection request URL {url[:80]!r} is not http://host…')
        # The address is resolved once and checked, and that address is called: a name cannot change in between.
        infos = await asyncio.get_running_loop().getaddrinfo(parts.hostname, parts.port or 80, type=socket.SOCK_STREAM)
        address, port = infos[0][4][0], int(infos[0][4][1])
        self._check_address(str(address), session_address)
        uri = (parts.path or '/') + (f'?{parts.query}' if parts.query else '')
        if any(char in uri + parts.netloc for char in '\r\n \t'):
            raise _RefusedTargetError('the connection request URL holds white space')
        conversation = _Conversation(str(address), port, parts.netloc.rpartition('@')[2], uri)
        try:
            reply = await conversation.get('')
            if reply is not None and reply.status == 401 and not reply.challenge.lower().startswith('digest'):
                # The password would go readable over the network; whoever asks for that need not be the CPE.
                logger.warning(
                    '%s asks for the password in the clear, or for no known scheme: not sent', parts.hostname
                )
                return ConnectionRequest.REFUSED
            if reply is not None and reply.status == 401:
                answer = answer_challenge(reply.challenge, username, password, 'GET', uri)
                # Many CPEs drop the socket after a 401, some without saying so: one more try on a new one.
                reply = (await conversation.get(answer) if reply.keeps else None) or await conversation.again(answer)
        finally:
            await conversation.close()
        if reply is None:
            return ConnectionRequest.UNREACHABLE
        if reply.status in (200, 204):
            return ConnectionRequest.ACCEPTED
        return {401: ConnectionRequest.REFUSED, 403: ConnectionRequest.REFUSED, 503: ConnectionRequest.THROTTLED}.get(
            reply.status, ConnectionRequest.UNREACHABLE
        )


def _is_same(address: IPv4Address | IPv6Address, text: str) -> bool:
    try:
        return address == ip_address(text)
    except ValueError:
        return False


class _Conversation:
    """A GET, and another, over one socket or two. Just enough HTTP for the tiny servers in CPEs."""

    def __init__(self, address: str, port: int, host: str, uri: str) -> None:
        self._target = (address, port)
        self._host = host
        self._uri = uri
        self._writer: asyncio.StreamWriter | None = None
        self._reader: asyncio.StreamReader | None = None

    async def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = self._reader = None

    async def again(self, authorization: str) -> _Reply | None:
        await self.close()
        return await self.get(authorization)

    async def get(self, authorization: str) -> _Reply | None:
        """`None` where the socket drops without an answer."""
        if self._writer is None:
            self._reader, self._writer = await asyncio.open_connection(*self._target, limit=_MAX_HEAD)
        assert self._reader is not None
        lines = [f'GET {self._uri} HTTP/1.1', f'Host: {self._host}', 'User-Agent: tr069-acs']
        if authorization:
            lines.append(f'Authorization: {authorization}')
        try:
            self._writer.write(('\r\n'.join(lines) + '\r\n\r\n').encode('latin-1', 'replace'))
            await self._writer.drain()
            head = await self._reader.readuntil(b'\r\n\r\n')
        except (asyncio.IncompleteReadError, ConnectionError):
            return None
        except asyncio.LimitOverrunError as error:
            raise ValueError('the answer has too big a head') from error
        return await self._parse(head.decode('latin-1'))

    async def _parse(self, head: str) -> _Reply:
        status_line, *lines = head.split('\r\n')
        version, _, rest = status_line.partition(' ')
        if not version.startswith('HTTP/') or not rest[:3].isdigit():
            raise ValueError(f'not an HTTP answer: {status_line[:60]!r}')
        headers: dict[str, list[str]] = {}
        for line in lines:
            name, _, value = line.partition(':')
            headers.setdefault(name.strip().lower(), []).append(value.strip())
        challenges = headers.get('www-authenticate', [])
        digest = [item for item in challenges if item.lower().startswith('digest')]
        length = headers.get('content-length', ['0' if rest[:3] == '204' else ''])[0]
        keeps = (
            'close' not in headers.get('connection', [''])[0].lower()
            and version != 'HTTP/1.0'
            and length.isdigit()
            and int(length) <= _MAX_HEAD
        )
        if keeps and int(length) and self._reader is not None:
            try:
                await self._reader.readexactly(int(length))
            except (asyncio.IncompleteReadError, ConnectionError):
                keeps = False
        return _Reply(int(rest[:3]), next(iter(digest or challenges), ''), keeps)


# --- UDP and STUN -----------------------------------------------------------------------------------------------------

_BINDING_REQUEST, _BINDING_RESPONSE = 0x0001, 0x0101
_MAPPED_ADDRESS = 0x0001
_COPIES = 3  # annex G.2.2.3: datagrams get lost, and the CPE knows repeats by their id


def udp_message(host: str, username: str, password: str, *, timestamp: int, number: int, cnonce: str) -> bytes:
    """A UDP connection request: an HTTP GET whose URL is signed with HMAC-SHA1 (annex G.2.2.3)."""
    text = f'{timestamp}{number}{username}{cnonce}'
    signature = hmac.new(password.encode(), text.encode(), hashlib.sha1).hexdigest().upper()
    query = f'ts={timestamp}&id={number}&un={quote(username, safe="")}&cn={cnonce}&sig={signature}'
    return f'GET http://{host}?{query} HTTP/1.1\r\n\r\n'.encode()


def binding_response(request: bytes, host: str, port: int) -> bytes | None:
    """The answer to a STUN binding request (RFC 3489): where we see it come from. `None` for anything else."""
    if len(request) < 20 or len(request) > 1024:
        return None
    kind, length = struct.unpack('>HH', request[:4])
    address = ip_address(host)
    if kind != _BINDING_REQUEST or length != len(request) - 20 or address.version != 4:
        return None
    value = struct.pack('>BBH', 0, 1, port) + address.packed
    attribute = struct.pack('>HH', _MAPPED_ADDRESS, len(value)) + value
    return struct.pack('>HH', _BINDING_RESPONSE, len(attribute)) + request[4:20] + attribute


class UdpSocket(asyncio.DatagramProtocol):
    """The STUN port. Calls leave from it too: only what comes from there passes the CPE's NAT."""

    def __init__(self) -> None:
        self._transport: asyncio.DatagramTransport | None = None

    async def start(self, host: str, port: int) -> int:
        loop = asyncio.get_running_loop()
        await loop.create_datagram_endpoint(lambda: self, local_addr=(host, port))
        assert self._transport is not None
        bound: int = self._transport.get_extra_info('sockname')[1]
        return bound

    def stop(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        answer = binding_response(data, addr[0], addr[1])
        if answer is not None and self._transport is not None:
            self._transport.sendto(answer, addr)

    async def call(self, target: str, username: str, password: str, check: Callable[[str], None]) -> None:
        """Send the request to `host:port`, three times the same. Raises `ValueError` for another kind of address."""
        host, _, port = target.rpartition(':') if ':' in target else (target, '', '80')
        if not port.isdecimal() or not 0 < int(port) < 65536:
            raise ValueError('that is no UDP port')  # a datagram to it would close the transport for all
        check(host)
        message = udp_message(
            target, username, password,
            timestamp=int(time.time()), number=secrets.randbelow(2**31), cnonce=secrets.token_hex(8),
        )  # fmt: skip
        assert self._transport is not None
        for _ in range(_COPIES):
            self._transport.sendto(message, (host, int(port)))
            await asyncio.sleep(0.05)
