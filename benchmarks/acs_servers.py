"""The servers `bench_acs.py` measures, each in a process of its own: `httptools`, `asyncio`, `aiohttp`, `acs URL`.

Prints its ports as JSON on the first line. `register URL COUNT` fills a store with known devices and ends.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import time

import httptools
import uvloop

_CHALLENGE = b'Digest realm="acs", qop="auth", algorithm=MD5, nonce="AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"'
_INFORM_RESPONSE = (
    b'<soap:Envelope xmlns:soap="http://schemas.xmlsoap.org/soap/envelope/" xmlns:cwmp="urn:dslforum-org:cwmp-1-0">'
    b'<soap:Header><cwmp:ID soap:mustUnderstand="1">1</cwmp:ID></soap:Header><soap:Body><cwmp:InformResponse>'
    b'<MaxEnvelopes>1</MaxEnvelopes></cwmp:InformResponse></soap:Body></soap:Envelope>'
)
_401 = b'HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: %s\r\nContent-Length: 0\r\n\r\n' % _CHALLENGE
_200 = (
    b'HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nSet-Cookie: session=canned; Path=/\r\nContent-Length: %d\r\n\r\n%s'
    % (len(_INFORM_RESPONSE), _INFORM_RESPONSE)
)
_204 = b'HTTP/1.1 204 No Content\r\n\r\n'


class Bare(asyncio.Protocol):
    """The least a server can do: parse HTTP, answer canned bytes."""

    def __init__(self) -> None:
        self._parser = httptools.HttpRequestParser(self)
        self._known = self._full = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_header(self, name: bytes, value: bytes) -> None:
        if name == b'Authorization':
            self._known = True

    def on_body(self, body: bytes) -> None:
        self._full = True

    def on_message_complete(self) -> None:
        self._transport.write(_401 if not self._known else _200 if self._full else _204)
        self._full = False


async def _until_stopped() -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await stop.wait()


async def serve_httptools() -> None:
    server = await asyncio.get_running_loop().create_server(Bare, '127.0.0.1', 0, backlog=2048)
    print(json.dumps({'cpe': server.sockets[0].getsockname()[1]}), flush=True)
    await _until_stopped()


async def serve_aiohttp() -> None:
    from aiohttp import web

    async def answer(request: web.Request) -> web.Response:
        body = await request.read()
        if 'Authorization' not in request.headers:
            return web.Response(status=401, headers={'WWW-Authenticate': _CHALLENGE.decode()})
        if not body:
            return web.Response(status=204)
        return web.Response(
            body=_INFORM_RESPONSE, content_type='text/xml', headers={'Set-Cookie': 'session=canned; Path=/'}
        )

    app = web.Application()
    app.router.add_post('/', answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, '127.0.0.1', 0, backlog=2048)
    await site.start()
    print(json.dumps({'cpe': runner.addresses[0][1]}), flush=True)
    await _until_stopped()


async def serve_acs(url: str) -> None:
    from tr069.acs.app import Acs, tune_garbage_collector
    from tr069.acs.settings import AcsSettings

    settings = {
        'database': url,
        'cpe': {'host': '127.0.0.1', 'port': 0},
        'northbound': {'port': 0},
        'desired': {'connection_request_to_verify': False},
    }
    acs = Acs(AcsSettings.model_validate(settings))
    await acs.start()
    tune_garbage_collector()
    print(json.dumps({'cpe': acs.cpe_port, 'api': acs.northbound_port}), flush=True)
    await _until_stopped()
    await acs.stop()


async def register(url: str, count: int) -> None:
    from tr069.acs.store.database import make_engine
    from tr069.acs.store.records import DeviceRecord
    from tr069.acs.store.store import Store

    store = Store(make_engine(url))
    await store.start()
    now = time.time() - 3600
    for start in range(0, count, 10_000):
        for number in range(start, min(start + 10_000, count)):
            serial = f'B{number:08d}'
            store.touch(
                DeviceRecord(
                    f'00BE4C-Router-{serial}', 'Bench', '00BE4C', 'Router', serial, 'InternetGatewayDevice',
                    'V5R020C00S125', 'H1.0', '127.0.0.1', 'http://10.0.0.1:7547/abcdef', '', '', '2 PERIODIC', now, now,
                )
            )  # fmt: skip
        await store.flush()
    await store.close()


if __name__ == '__main__':
    what, *rest = sys.argv[1:]
    if what == 'httptools':
        uvloop.run(serve_httptools())
    elif what == 'asyncio':
        asyncio.run(serve_httptools())
    elif what == 'aiohttp':
        uvloop.run(serve_aiohttp())
    elif what == 'acs':
        uvloop.run(serve_acs(rest[0]))
    elif what == 'register':
        uvloop.run(register(rest[0], int(rest[1])))
    else:
        raise SystemExit(f'unknown server {what}')
