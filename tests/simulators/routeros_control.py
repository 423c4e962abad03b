"""The control address of simulated routers: plain HTTP and JSON, on loopback, for the demo and for curl.

- `GET /` all routers: name, port, host key, counters;
- `GET /ROUTER` the whole truth: rows of every menu, service of every subscriber, counters;
- `GET /ROUTER/service` only what every subscriber gets, stored and live (`?restricted=` names the list that blocks,
  `?name=` the only subscriber asked for);
- `GET /ROUTER/commands` every console line seen;
- `GET /ROUTER/touched` by subscriber, how often a console changed what is theirs;
- `POST /ROUTER/settings` any of `delay latency session_cap reconnect_after stays_offline faults`;
- `POST /ROUTER/do` `{"action": "connect" | "disconnect", "name": …}`, `{"action": "drop"}` all SSH connections,
  `{"action": "duplicate", "name": …}` a second secret of that name, `{"action": "run", "line": …}` a console line.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote, urlsplit

from tests.simulators.routeros_script import Interpreter
from tests.simulators.routeros_state import Fault, Router

if TYPE_CHECKING:
    from tests.simulators.routeros import Listening

SETTINGS = ('delay', 'latency', 'session_cap', 'reconnect_after')


async def start_control(routers: Mapping[str, Listening], address: str, port: int) -> str:
    """Listen; returns the base address."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        status, answer = 400, {'error': 'bad request'}
        try:
            head = (await reader.readuntil(b'\r\n\r\n')).decode()
            method, target, _ = head.split(' ', 2)
            lengths = [line for line in head.lower().split('\r\n') if line.startswith('content-length:')]
            body = await reader.readexactly(int(lengths[0].split(':')[1])) if lengths else b''
            status, answer = 200, handle(routers, method, target, json.loads(body or b'{}'))
        except KeyError as error:
            status, answer = 404, {'error': f'there is no {error}'}
        except (ValueError, TypeError) as error:
            answer = {'error': str(error)}
        data = json.dumps(answer).encode()
        writer.write(
            f'HTTP/1.1 {status} -\r\nContent-Type: application/json\r\nContent-Length: {len(data)}\r\n'
            'Connection: close\r\n\r\n'.encode()
            + data
        )
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, address, port)
    host, number = server.sockets[0].getsockname()[:2]
    return f'http://{host}:{number}'


def handle(routers: Mapping[str, Listening], method: str, target: str, body: dict[str, Any]) -> Any:
    """Answer one request. Raises `KeyError` for what there is not, `ValueError` or `TypeError` for a wrong body."""
    url = urlsplit(target)
    name, _, what = unquote(url.path).strip('/').partition('/')
    if not name:
        return [item.as_dict() | {'counters': asdict(item.router.counters)} for item in routers.values()]
    listening = routers[name]
    router = listening.router
    query = parse_qs(url.query)
    restricted = query.get('restricted', ['nbd-restricted'])[0]
    if method == 'POST' and what == 'settings':
        return change_settings(router, body)
    if method == 'POST' and what == 'do':
        return act(listening, **body)
    if what == 'commands':
        return router.commands
    if what == 'touched':
        return router.touched
    names = query.get('name') or [row['name'] for row in router.rows('ppp secret')]
    services = {name: router.service(name, restricted) for name in names}
    if what == 'service':
        return services
    if what:
        raise KeyError(what)
    return {
        'tables': {menu: list(router.rows(menu)) for menu in router.tables},
        'service': services,
        'counters': asdict(router.counters),
    }


def change_settings(router: Router, body: Mapping[str, Any]) -> dict[str, Any]:
    for name, value in body.items():
        if name in SETTINGS:
            setattr(router, name, value)
        elif name == 'faults':
            router.faults = [Fault(**fault) for fault in value]
        elif name == 'stays_offline':
            router.stays_offline = set(value)
        else:
            raise KeyError(name)
    return {'ok': True}


def act(listening: Listening, action: str, name: str = '', line: str = '', redial: bool = False) -> dict[str, Any]:
    router = listening.router
    if action == 'drop':
        listening.drop_connections()
    elif action == 'connect':
        return {'ok': router.connect(name) is not None}
    elif action == 'disconnect':
        for session in router.tables['ppp active'].where('name', name):
            router.disconnect(session, redial)
    elif action == 'duplicate':
        duplicate(router, name)
    elif action == 'run':
        return {'ok': True, 'printed': Interpreter(router).run(line)}
    else:
        raise KeyError(action)
    return {'ok': True}


def duplicate(router: Router, name: str) -> None:
    """A second secret of that name: the console refuses it, an old backup or another service does not."""
    secret = router.tables['ppp secret'].where('name', name)[0]
    router.tables['ppp secret'].add(**{key: value for key, value in secret.items() if key != '.id'})
