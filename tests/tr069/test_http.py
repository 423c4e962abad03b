"""The floor under both ports: what an unauthenticated client may send, and how much it may leave unread."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.waiting import soon
from tr069.acs.http import HttpRequest, HttpResponse, HttpServer, Limits

CHUNKED = b'POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n'


@asynccontextmanager
async def serving(answer: bytes = b'') -> AsyncIterator[tuple[HttpServer, int, list[HttpRequest]]]:
    served: list[HttpRequest] = []

    def handle(request: HttpRequest) -> HttpResponse:
        served.append(request)
        return HttpResponse(200, answer)

    server = HttpServer(handle, Limits(1_000_000, 5.0, 5.0, 100))
    port = await server.start('127.0.0.1', 0)
    try:
        yield server, port, served
    finally:
        await server.stop()


async def exchange(port: int, *parts: bytes) -> bytes:
    """All that is answered to the parts, each sent in its own time, until the server closes or is silent."""
    reader, writer = await asyncio.open_connection('127.0.0.1', port)
    answer: list[bytes] = []

    async def listen() -> None:
        with contextlib.suppress(ConnectionError, TimeoutError):
            while part := await asyncio.wait_for(reader.read(65536), 0.3):
                answer.append(part)

    listener = asyncio.create_task(listen())
    with contextlib.suppress(ConnectionError):
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(0.005)  # clock: each part in a packet of its own
    await listener
    writer.close()
    return b''.join(answer)


@pytest.mark.parametrize(
    'data',
    [
        b'POST / HTTP/1.1\r\nX: ' + b'y' * 20_000 + b'\r\nContent-Length: 0\r\n\r\n',
        b'POST / HTTP/1.1\r\n' + b'X: y\r\n' * 5_000 + b'Content-Length: 0\r\n\r\n',
        b'POST /' + b'y' * 20_000 + b' HTTP/1.1\r\nContent-Length: 0\r\n\r\n',
        CHUNKED + b'0\r\n' + b'X: y\r\n' * 5_000 + b'\r\n',
    ],
    ids=['one header', 'many headers', 'the target', 'trailers'],
)
def test_a_big_head_is_refused_once_even_where_it_comes_in_one_piece(data: bytes) -> None:
    async def scenario() -> None:
        async with serving() as (_, port, served):
            answer = await exchange(port, data)
            assert answer.startswith(b'HTTP/1.1 431 ')
            assert answer.count(b'HTTP/1.1 ') == 1
            assert served == []

    asyncio.run(scenario())


def test_a_trailer_that_does_not_end_is_refused() -> None:
    async def scenario() -> None:
        async with serving() as (_, port, served):
            answer = await exchange(port, CHUNKED, b'0\r\nX: ', *(b'y' * 4_000 for _ in range(10)))
            assert answer.startswith(b'HTTP/1.1 431 ')
            assert served == []

    asyncio.run(scenario())


def test_a_big_body_in_chunks_with_a_trailer_is_served_and_so_is_the_next() -> None:
    async def scenario() -> None:
        async with serving() as (_, port, served):
            chunks = [b'2710\r\n', b'z' * 10_000, b'\r\n'] * 5
            once = [*chunks, b'0\r\n', b'X: y\r\n\r\n']
            answer = await exchange(port, CHUNKED, *once, CHUNKED, *once)
            assert answer.count(b'HTTP/1.1 200 ') == 2
            assert [len(request.body) for request in served] == [50_003, 50_003]

    asyncio.run(scenario())


def test_who_asks_and_asks_and_reads_nothing_is_cut_off() -> None:
    async def scenario() -> None:
        async with serving(b'z' * 64_000) as (server, port, served):
            with socket.socket() as deaf:
                deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                deaf.setblocking(False)
                loop = asyncio.get_running_loop()
                await loop.sock_connect(deaf, ('127.0.0.1', port))
                with contextlib.suppress(ConnectionError):
                    for _ in range(400):
                        await loop.sock_sendall(deaf, b'POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n')
                        await asyncio.sleep(0)
                await soon(lambda: not server.connections)
                assert len(served) < 400

    asyncio.run(scenario())
