"""Where one request ends and the next begins: whoever stands before the ACS must see it as the ACS does."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tr069.test_http import exchange, serving
from tr069.acs.http import Connection, HttpRequest, HttpResponse, HttpServer, Limits

INNER = b'GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n'


def head(*lines: bytes, first: bytes = b'POST / HTTP/1.1') -> bytes:
    return b'\r\n'.join((first, b'Host: x', *lines)) + b'\r\n\r\n'


AMBIGUOUS = {
    'length and chunks': head(b'Content-Length: 4', b'Transfer-Encoding: chunked') + b'0\r\n\r\n' + INNER,
    'chunks and length': head(b'Transfer-Encoding: chunked', b'Content-Length: 4') + b'0\r\n\r\n' + INNER,
    'two lengths': head(b'Content-Length: 0', b'Content-Length: %d' % len(INNER)) + INNER,
    'two equal lengths': head(b'Content-Length: 1', b'Content-Length: 1') + b'x' + INNER,
    'a list of lengths': head(b'Content-Length: 0, %d' % len(INNER)) + INNER,
    'a signed length': head(b'Content-Length: +0') + INNER,
    'a negative length': head(b'Content-Length: -1') + INNER,
    'a hexadecimal length': head(b'Content-Length: 0x10') + INNER,
    'a length of words': head(b'Content-Length: 1 0') + INNER,
    'a length of a mile': head(b'Content-Length: ' + b'9' * 40) + INNER,
    'an empty length': head(b'Content-Length: ') + INNER,
    'chunks and more': head(b'Transfer-Encoding: chunked, identity') + b'0\r\n\r\n' + INNER,
    'chunks by another name': head(b'Transfer-Encoding: xchunked') + b'0\r\n\r\n' + INNER,
    'two codings': head(b'Transfer-Encoding: chunked', b'Transfer-Encoding: identity') + b'0\r\n\r\n' + INNER,
    'a space before the colon': head(b'Transfer-Encoding : chunked') + b'0\r\n\r\n' + INNER,
    'a space in a name': head(b'Content Length: 0') + INNER,
    'a folded line': head(b'X: y', b' Transfer-Encoding: chunked') + b'0\r\n\r\n' + INNER,
    'a lone carriage return': head(b'X: y\rContent-Length: %d' % len(INNER)) + INNER,
    'a lone line feed': head(b'X: y\nContent-Length: %d' % len(INNER)) + INNER,
    'a zero in a value': head(b'X: y\0Content-Length: 9') + INNER,
    'a chunk size with a sign': head(b'Transfer-Encoding: chunked') + b'+0\r\n\r\n' + INNER,
    'a chunk size in C': head(b'Transfer-Encoding: chunked') + b'0x0\r\n\r\n' + INNER,
    'a chunk size of a mile': head(b'Transfer-Encoding: chunked') + b'f' * 40 + b'\r\n' + INNER,
    'a chunk longer than it says': head(b'Transfer-Encoding: chunked') + b'1\r\nabc\r\n0\r\n\r\n' + INNER,
    'a chunk ended by a line feed': head(b'Transfer-Encoding: chunked') + b'1\na\n0\n\n' + INNER,
    'HTTP/0.9': b'GET /\r\n' + INNER,
    'HTTP/2': head(first=b'POST / HTTP/2.0') + INNER,
    'a version of words': head(first=b'POST / HTTP/1.x') + INNER,
    'a space before the first line': b' ' + head(b'Content-Length: 0') + INNER,
    'no name': head(b': x') + INNER,
}


@pytest.mark.parametrize('name', AMBIGUOUS)
def test_a_request_that_may_end_in_two_places_is_refused_and_nothing_after_it_is_served(name: str) -> None:
    async def scenario() -> None:
        for parts in ((AMBIGUOUS[name],), tuple(bytes([byte]) for byte in AMBIGUOUS[name])):
            async with serving() as (server, port, served):
                answer = await exchange(port, *parts)
                assert not any(request.path == '/smuggled' for request in served)
                assert b'HTTP/1.1 200' not in answer, served
                assert not server.connections  # a connection whose requests are ambiguous is closed
                assert server.held == 0

    asyncio.run(scenario())


class Wire(asyncio.Transport):
    """A transport without a socket: what is written is kept."""

    def __init__(self) -> None:
        super().__init__()
        self.written, self.closed = b'', False

    def write(self, data: Any) -> None:
        self.written += bytes(data)

    def get_extra_info(self, _name: str, default: Any = None) -> Any:
        return default

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    abort = close


def parts_of(data: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({min(cut, len(data)) for cut in cuts} | {0, len(data)})
    return [data[start:end] for start, end in pairwise(places)]


def feed(parts: list[bytes], *, admitted: bool = True) -> tuple[Wire, list[tuple[str, bytes]], HttpServer]:
    served: list[tuple[str, bytes]] = []

    def handle(request: HttpRequest) -> HttpResponse:
        served.append((request.path, request.body))
        return HttpResponse(200, b'')

    def admit(_request: HttpRequest) -> HttpResponse | None:
        return None if admitted else HttpResponse(401)

    server = HttpServer(handle, Limits(10_000, 5.0, 5.0, 10), admit=admit)
    wire, connection = Wire(), Connection(server)
    connection.connection_made(wire)
    for part in parts:
        connection.data_received(part)
    connection.connection_lost(None)
    assert server.held == 0
    return wire, served, server


PIECES = st.sampled_from(
    [
        b'POST / HTTP/1.1\r\n', b'GET /x HTTP/1.0\r\n', b'Content-Length: 5\r\n', b'Transfer-Encoding: chunked\r\n',
        b'Expect: 100-continue\r\n', b'Connection: close\r\n', b'Upgrade: x\r\n', b'\r\n', b'\n', b'hello',
        b'5\r\nhello\r\n', b'0\r\n\r\n', b'Cookie: session="a', b'\0', b'\xff', b'POST', b' ', b':', INNER,
    ]
)  # fmt: skip


@settings(max_examples=400, deadline=None)
@given(st.lists(PIECES | st.binary(max_size=40), max_size=14), st.lists(st.integers(0, 400), max_size=6), st.booleans())
def test_whatever_comes_the_answer_is_http_and_nothing_is_held(
    pieces: list[bytes], cuts: list[int], admitted: bool
) -> None:
    wire, served, _ = feed(parts_of(b''.join(pieces), cuts), admitted=admitted)
    for answer in wire.written.split(b'HTTP/1.1 ')[1:]:
        assert answer[:3].isdigit()
    assert admitted or served == []


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(st.binary(max_size=300), st.booleans()), min_size=1, max_size=6),
    st.lists(st.integers(0, 3000), max_size=12),
)
def test_requests_are_the_same_however_they_are_cut(bodies: list[tuple[bytes, bool]], cuts: list[int]) -> None:
    data = b''
    for body, chunked in bodies:
        if chunked:
            chunk = b'%x\r\n%b\r\n' % (len(body), body) if body else b''
            data += head(b'Transfer-Encoding: chunked') + chunk + b'0\r\n\r\n'
        else:
            data += head(b'Content-Length: %d' % len(body)) + body
    _, served, _ = feed(parts_of(data, cuts))
    assert served == [('/', body) for body, _ in bodies]
    wire, refused, _ = feed([data], admitted=False)
    assert refused == []
    assert wire.written.count(b'HTTP/1.1 401') == len(bodies)
