"""HTTP/1.1 on a raw asyncio protocol with httptools: the floor under both ports.

One request at a time on a connection, bounded in headers, body and time: what a client may send is limited here.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import httptools

logger = logging.getLogger(__name__)

MAX_HEAD = 16 * 1024  # bytes of request line and headers, trailers included
_SMALL = 64 * 1024  # bytes of a body
_MAX_UNREAD = 256 * 1024  # bytes of answers that wait for the client to read
_LINES = {status.value: f'HTTP/1.1 {status.value} {status.phrase}\r\n'.encode() for status in HTTPStatus}
# The usual spellings, decoded once; and what every request has and nobody here asks for.
_NAMES = {name.encode(): name.lower() for name in ('Content-Type', 'Content-Length', 'Cookie', 'Authorization')}
_NAMES |= dict.fromkeys((b'Host', b'User-Agent', b'SOAPAction', b'Accept', b'Connection'), '')
_CONTINUE = b'HTTP/1.1 100 Continue\r\n\r\n'


@dataclass(slots=True)
class HttpRequest:
    """`headers` have lower-case names; a repeated one holds its values joined with a comma.

    `user` is for whoever admits requests: who sent this very one.
    """

    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    connection: Connection
    user: str = ''

    @property
    def path(self) -> str:
        return self.target if '?' not in self.target else self.target.partition('?')[0]


@dataclass(slots=True)
class HttpResponse:
    status: int
    body: bytes = b''
    headers: Sequence[tuple[str, str]] = ()
    close: bool = False
    head: bytes = b''  # header lines that are encoded already


Handler = Callable[[HttpRequest], 'HttpResponse | Awaitable[HttpResponse]']
Admission = Callable[[HttpRequest], 'HttpResponse | None']


@dataclass(frozen=True, slots=True)
class Limits:
    """`max_bodies` are the bytes of all bodies that may be held at a time, on however many connections.

    Above it no body grows beyond 64 kB.
    """

    max_body: int
    request_timeout_s: float
    idle_timeout_s: float
    max_connections: int
    max_bodies: int = 64 * 1024 * 1024


class HttpServer:
    """Listens, counts its connections and closes those that dawdle.

    `admit` sees each request when its head is there, and answers those that shall not be served. Their bodies are read
    past and not kept: without a credential nobody fills the memory.
    """

    def __init__(
        self,
        handler: Handler,
        limits: Limits,
        *,
        admit: Admission | None = None,
        on_lost: Callable[[Connection], None] | None = None,
    ) -> None:
        self.handler = handler
        self.admit = admit
        self.held = 0  # bytes of bodies
        self.limits = limits
        self.on_lost = on_lost
        self.connections: set[Connection] = set()
        self.tls = False
        self.time: Callable[[], float] = time.monotonic
        self._server: asyncio.Server | None = None
        self._sweeper: asyncio.Task[None] | None = None

    async def start(self, host: str, port: int, context: ssl.SSLContext | None = None) -> int:
        """Returns the port that is listened on. Raises `OSError` where it is taken."""
        self.tls = context is not None
        loop = asyncio.get_running_loop()
        self.time = loop.time
        self._server = await loop.create_server(lambda: Connection(self), host, port, ssl=context, backlog=2048)
        self._sweeper = asyncio.create_task(self._sweep())
        bound: int = self._server.sockets[0].getsockname()[1]
        return bound

    async def stop(self) -> None:
        if self._sweeper is not None:
            self._sweeper.cancel()
        if self._server is not None:
            self._server.close()
            for connection in list(self.connections):
                connection.abort()
            await self._server.wait_closed()

    async def _sweep(self) -> None:
        """One timer for all connections: a deadline each would cost more than the requests."""
        pause = min(1.0, self.limits.request_timeout_s / 4, self.limits.idle_timeout_s / 4)
        while True:
            await asyncio.sleep(pause)
            now = asyncio.get_running_loop().time()
            for connection in [item for item in self.connections if item.deadline < now]:
                connection.expire()


class Connection(asyncio.Protocol):
    """One TCP connection. `state` is the handler's own, and lives as long as the connection."""

    __slots__ = (
        '_body',
        '_busy',
        '_head_size',
        '_headers',
        '_held',
        '_in_head',
        '_parser',
        '_queue',
        '_refusal',
        '_request',
        '_room',
        '_server',
        '_size',
        '_target',
        '_task',
        '_transport',
        'address',
        'deadline',
        'state',
        'tls',
    )

    def __init__(self, server: HttpServer) -> None:
        self._server = server
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpRequestParser(self)
        self._queue: deque[tuple[HttpRequest, HttpResponse | None, bool]] = deque()
        self._held = 0  # bytes of bodies that are received or wait to be served
        self._busy = False
        self._task: asyncio.Task[None] | None = None
        self._reset()
        self._in_head = True
        self.address = ''
        self.tls = server.tls
        self.deadline = 0.0
        self.state: Any = None

    def _reset(self) -> None:
        self._target = b''
        self._request: HttpRequest | None = None
        self._refusal: HttpResponse | None = None
        self._headers: dict[str, str] = {}
        self._body: list[bytes] = []
        self._size = 0
        self._head_size = 0
        self._room = MAX_HEAD  # what is left of it for this request
        self._in_head = True

    # --- transport ----------------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]
        peer = transport.get_extra_info('peername')
        self.address = str(peer[0]).removeprefix('::ffff:') if peer else ''
        self._server.connections.add(self)
        self._wait(self._server.limits.idle_timeout_s)
        if len(self._server.connections) > self._server.limits.max_connections:
            self._refuse(503, 'too many connections')

    def _wait(self, seconds: float) -> None:
        self.deadline = self._server.time() + seconds

    def data_received(self, data: bytes) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        if not self._busy and self._head_size == 0 and not self._size:
            self._wait(self._server.limits.request_timeout_s)
        if self._in_head:
            self._head_size += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._refuse(400, 'no upgrade here')
        except httptools.HttpParserError as error:
            if not self._transport.is_closing():
                self._refuse(400, f'not HTTP: {error}')
        else:
            if self._in_head and self._head_size > MAX_HEAD:
                self._refuse(431, 'the head is too big')

    def eof_received(self) -> bool:
        # A body cut short gets its answer; a client that half-closes after a whole request still gets its reply.
        if self._head_size and not self._busy:
            self._refuse(400, 'the request is cut short')
        return self._busy

    def connection_lost(self, _error: Exception | None) -> None:
        self._server.connections.discard(self)
        self._transport = None
        self._queue.clear()
        self._release(self._held)
        if self._server.on_lost is not None:
            self._server.on_lost(self)
        # The parser holds this connection's callbacks: without this cycle all that a session made is freed at once, and
        # the garbage collector need not look for it. That was a third of the price of a session.
        del self._parser
        self.state = None

    def expire(self) -> None:
        """Past its deadline: a request that trickles in is answered 408, an idle connection just closed."""
        if self._busy:
            self._wait(self._server.limits.idle_timeout_s)
        elif self._head_size or self._size:
            self._refuse(408, 'the request took too long')
        else:
            self.abort()

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def _refuse(self, status: int, reason: str) -> None:
        self._write(
            HttpResponse(status, reason.encode(), [('Content-Type', 'text/plain'), ('Retry-After', '60')], True)
        )

    # --- httptools callbacks ------------------------------------------------------------------------------------------

    def on_url(self, url: bytes) -> None:
        self._target += url
        self._room -= len(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._room -= len(name) + len(value) + 4  # and what stands between and after them
        if self._room < 0:
            self._refuse(431, 'the head is too big')  # said once: the transport then is closing
            return
        key = _NAMES.get(name)
        if key is None:
            key = name.decode('latin-1').lower()
        elif not key:
            return
        text = value.decode('latin-1')
        known = self._headers.get(key)
        self._headers[key] = text if known is None else f'{known}, {text}'

    def on_headers_complete(self) -> None:
        self._in_head = False
        if self._transport is None or self._transport.is_closing():
            return
        if self._parser.get_http_version() not in ('1.1', '1.0'):
            self._refuse(505, 'HTTP/1.1, or 1.0')
            return
        declared = self._headers.get('content-length', '')
        if declared.isdigit() and int(declared) > self._server.limits.max_body:
            self._refuse(413, f'the body is over {self._server.limits.max_body} bytes')
            return
        request = self._request = HttpRequest(
            'POST' if (method := self._parser.get_method()) == b'POST' else method.decode('latin-1'),
            '/' if self._target == b'/' else self._target.decode('latin-1'),
            self._headers,
            b'',
            self,
        )
        if self._server.admit is not None:
            self._refusal = self._server.admit(request)
        if self._refusal is not None:
            return  # said once the body has been read past: many clients read nothing before they have sent it
        if 'expect' in self._headers and self._headers['expect'].lower() == '100-continue':
            self._transport.write(_CONTINUE)

    def on_chunk_header(self) -> None:
        self._in_head, self._head_size = True, 1  # trailers follow the last chunk, and may never end

    def on_body(self, body: bytes) -> None:
        self._in_head = False
        self._size += len(body)
        if self._transport is None or self._transport.is_closing():
            return
        server = self._server
        if self._size > server.limits.max_body:
            self._refuse(413, f'the body is over {server.limits.max_body} bytes')
        elif self._refusal is None:
            # The usual small ones are let in whatever the big ones hold: a few slow senders shut nobody out.
            if self._size > _SMALL and server.held + len(body) > server.limits.max_bodies:
                self._refuse(503, 'too much is being sent')
                return
            self._held += len(body)
            server.held += len(body)
            self._body.append(body)

    def _release(self, size: int) -> None:
        self._held -= size
        self._server.held -= size

    def on_message_complete(self) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        request, refusal = self._request, self._refusal
        if request is None:
            return
        if self._body:
            request.body = b''.join(self._body) if len(self._body) != 1 else self._body[0]
        keep = self._parser.should_keep_alive()
        self._reset()
        if self._busy:
            if len(self._queue) >= 8:
                self._refuse(400, 'too many requests in the pipe')
                return
            self._queue.append((request, refusal, keep))
        else:
            self._serve(request, refusal, keep)

    # --- answering ----------------------------------------------------------------------------------------------------

    def _serve(self, request: HttpRequest, refusal: HttpResponse | None, keep: bool) -> None:
        if refusal is not None:
            self._write(refusal, keep)
            return
        try:
            answer = self._server.handler(request)
        except Exception:
            logger.exception('handler failed for %s %s from %s', request.method, request.path, self.address)
            answer = HttpResponse(500, close=True)
        if isinstance(answer, HttpResponse):
            self._release(len(request.body))
            self._write(answer, keep)
            return
        self._busy = True
        self._task = asyncio.ensure_future(self._serve_later(answer, request, keep))

    async def _serve_later(self, pending: Awaitable[HttpResponse], request: HttpRequest, keep: bool) -> None:
        try:
            answer = await pending
        except Exception:
            logger.exception('handler failed for %s %s from %s', request.method, request.path, self.address)
            answer = HttpResponse(500, close=True)
        if self._transport is not None:  # else all that was held is released already
            self._release(len(request.body))
        self._busy = False
        self._write(answer, keep)
        while self._queue and not self._busy and self._transport is not None and not self._transport.is_closing():
            self._serve(*self._queue.popleft())

    def _write(self, response: HttpResponse, keep: bool = True) -> None:
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        if transport.get_write_buffer_size() > _MAX_UNREAD:
            transport.abort()  # it asks and asks and reads nothing
            return
        close = response.close or not keep
        if not close and not response.headers:  # nearly all that a CPE gets
            line, body = _LINES[response.status], response.body
            if response.status == 204:
                transport.write(b'%b%b\r\n' % (line, response.head))
            else:
                transport.write(b'%b%bContent-Length: %d\r\n\r\n%b' % (line, response.head, len(body), body))
            self._wait(self._server.limits.idle_timeout_s)
            return
        head = [_LINES[response.status], response.head]
        for name, value in response.headers:
            head.append(f'{name}: {value}\r\n'.encode('latin-1', 'replace'))
        if response.status != 204:
            head.append(b'Content-Length: %d\r\n' % len(response.body))
        if close:
            head.append(b'Connection: close\r\n')
        head.append(b'\r\n')
        head.append(response.body)
        transport.write(b''.join(head))
        if close:
            transport.close()
        else:
            self._wait(self._server.limits.idle_timeout_s)
