"""Stateful RouterOS routers over real SSH, as many as wanted in one process, for tests, benchmarks and the demo.

    python -m tests.simulators.routeros --config routers.json

prints one JSON line once all listen: `{"control": "http://…", "routers": [{"name", "port", "host_key"}]}`. The
configuration is `{"routers": [{"name": …, …}]}` with the fields of `RouterConfig`. Through the control address the
truth is read and faults are made; see `routeros_control`.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncssh

from tests.simulators.routeros_console import Console, DroppedError, LoginOptions, execute
from tests.simulators.routeros_script import Interpreter
from tests.simulators.routeros_state import Fault, Router
from tests.simulators.routeros_syntax import UnfinishedError

LEGACY = {
    'kex_algs': ['diffie-hellman-group14-sha1', 'diffie-hellman-group1-sha1'],
    'encryption_algs': ['aes128-ctr', 'aes128-cbc'],
    'mac_algs': ['hmac-sha1'],
}


@dataclass(frozen=True)
class RouterConfig:
    """A router at start. `profiles`, `subscribers`, `queues` are rows by RouterOS's own property names; so are `rules`,
    by menu (`ip firewall filter`).

    A subscriber may also hold `online` (default true) and `count`, which makes that many, numbered from 1 by a
    `{n}` in its texts. `settings` are further fields of `Router`; `legacy_ssh` speaks SHA-1 and ssh-rsa only.
    """

    name: str
    port: int = 0
    version: int = 7
    users: Mapping[str, str] = field(default_factory=lambda: {'admin': 'admin'})
    profiles: Sequence[Mapping[str, Any]] = ()
    subscribers: Sequence[Mapping[str, Any]] = ()
    queues: Sequence[Mapping[str, Any]] = ()
    rules: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    faults: Sequence[Mapping[str, Any]] = ()
    legacy_ssh: bool = False
    host_key_file: str = ''

    def build(self) -> Router:
        router = Router(self.name, self.version, dict(self.users), **self.settings)
        router.faults = [Fault(**fault) for fault in self.faults]
        for profile in self.profiles:
            router.add('ppp profile', profile)
        for row in self.subscribers:
            for number in range(1, row.get('count', 1) + 1):
                values = {key: text for key, text in row.items() if key not in ('count', 'online')}
                if 'count' in row:
                    values = {key: text.replace('{n}', str(number)) for key, text in values.items()}
                router.add('ppp secret', values)
                if row.get('online', True):
                    router.connect(values['name'])
        for queue in self.queues:
            router.add('queue simple', queue)
        for menu, rows in self.rules.items():
            if menu in router.tables:
                for rule in rows:
                    router.add(menu, rule)
        router.touched.clear()  # how it starts is nobody's change
        return router


@dataclass
class Listening:
    """A router that listens: where, with which public key (known_hosts form), and the router itself."""

    router: Router
    port: int
    host_key: str
    acceptor: asyncssh.SSHAcceptor
    connections: set[asyncssh.SSHServerConnection] = field(default_factory=set)

    def drop_connections(self) -> None:
        for connection in list(self.connections):
            connection.abort()

    def as_dict(self) -> dict[str, Any]:
        return {'name': self.router.name, 'port': self.port, 'host_key': self.host_key}


class _Server(asyncssh.SSHServer):
    def __init__(self, router: Router, connections: set[asyncssh.SSHServerConnection]) -> None:
        self.router = router
        self.connections = connections
        self.counted = False

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self.connection = conn
        self.connections.add(conn)

    def connection_lost(self, exc: Exception | None) -> None:
        self.connections.discard(self.connection)
        if self.counted:
            self.router.connected -= 1

    def begin_auth(self, username: str) -> bool:
        return True

    def password_auth_supported(self) -> bool:
        return True

    def validate_password(self, username: str, password: str) -> bool:
        router = self.router
        accepted = router.users.get(LoginOptions.parse(username).username) == password
        if accepted and router.session_cap and router.connected >= router.session_cap:
            accepted = False  # RouterOS refuses the login, it does not queue it
        if accepted:
            router.counters.logins += 1
            router.connected += 1
            self.counted = True
        else:
            router.counters.refused_logins += 1
        return accepted


class _Output:
    """What a console writes in one go travels in one packet, and arrives `latency` seconds later."""

    def __init__(self, router: Router, send: Callable[[str], None]) -> None:
        self.router = router
        self.send = send
        self.pending: list[str] = []

    def write(self, text: str) -> None:
        if not self.pending:
            asyncio.get_running_loop().call_soon(self._depart)
        self.pending.append(text)

    def _depart(self) -> None:
        text = ''.join(self.pending)
        self.pending = []
        if self.router.latency:
            asyncio.get_running_loop().call_later(self.router.latency, self.send, text)
        else:
            self.send(text)


async def _serve_process(router: Router, process: asyncssh.SSHServerProcess[bytes]) -> None:
    connection = process.get_extra_info('connection')
    options = LoginOptions.parse(process.get_extra_info('username'))

    def send(text: str) -> None:
        with contextlib.suppress(BrokenPipeError, ConnectionError):
            process.stdout.write(text.encode('utf-8', 'surrogateescape'))

    write = _Output(router, send).write
    try:
        if process.command is not None:
            with contextlib.suppress(UnfinishedError):
                for line in await execute(router, Interpreter(router), process.command):
                    send(line + '\r\n')
            # RouterOS's exit status says nothing about the command.
            process.exit(0)
            return
        console = Console(router, options, write)
        reader = asyncio.create_task(_feed(console, process))
        try:
            await console.run()
        finally:
            reader.cancel()
        process.exit(0)
    except DroppedError:
        connection.abort()


async def _feed(console: Console, process: asyncssh.SSHServerProcess[bytes]) -> None:
    try:
        with contextlib.suppress(asyncssh.TerminalSizeChanged, asyncssh.BreakReceived, asyncssh.Error, ConnectionError):
            while data := await process.stdin.read(65536):
                console.feed(data)
    finally:
        # However the connection went, the console must not wait for ever for the next line.
        console.end()


def _host_key(config: RouterConfig) -> asyncssh.SSHKey:
    if config.host_key_file and Path(config.host_key_file).exists():
        return asyncssh.read_private_key(config.host_key_file)
    key = asyncssh.generate_private_key('ssh-rsa' if config.legacy_ssh else 'ssh-ed25519')
    if config.host_key_file:
        key.write_private_key(config.host_key_file)
    return key


async def listen(config: RouterConfig, address: str = '127.0.0.1') -> Listening:
    """Start one router in the running loop."""
    router = config.build()
    key = _host_key(config)
    connections: set[asyncssh.SSHServerConnection] = set()
    options: dict[str, Any] = {}
    if config.legacy_ssh:
        options = LEGACY | {'signature_algs': ['ssh-rsa']}
    acceptor = await asyncssh.create_server(
        lambda: _Server(router, connections),
        address,
        config.port,
        server_host_keys=[key],
        process_factory=lambda process: _serve_process(router, process),
        encoding=None,
        line_editor=False,
        **options,
    )
    public = key.export_public_key('openssh').decode().strip()
    return Listening(router, acceptor.get_port(), public, acceptor, connections)


class Simulation:
    """Routers in a thread with a loop of its own, so that blocking code can talk to them."""

    def __init__(self, configs: Sequence[RouterConfig]) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()
        self.routers = {config.name: self.call(listen(config)) for config in configs}

    def call(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(30)

    def drop_connections(self, name: str) -> None:
        self.loop.call_soon_threadsafe(self.routers[name].drop_connections)

    def close(self) -> None:
        async def stop() -> None:
            for item in self.routers.values():
                item.acceptor.close()
                item.drop_connections()
            tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

        self.call(stop())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(5)
        self.loop.close()


@contextlib.contextmanager
def simulation(*configs: RouterConfig) -> Iterator[Simulation]:
    running = Simulation(configs)
    try:
        yield running
    finally:
        running.close()


async def serve(configs: Sequence[RouterConfig], address: str, control_port: int) -> None:
    from tests.simulators.routeros_control import start_control

    listening = [await listen(config, address) for config in configs]
    control = await start_control({item.router.name: item for item in listening}, address, control_port)
    ready = {'control': control, 'routers': [item.as_dict() for item in listening]}
    sys.stdout.write(json.dumps(ready) + '\n')
    sys.stdout.flush()
    await asyncio.Event().wait()


def main() -> None:
    parser = argparse.ArgumentParser(prog='python -m tests.simulators.routeros', description=__doc__.split('\n')[0])
    parser.add_argument('--config', type=Path, required=True, help='JSON file; - is standard input')
    parser.add_argument('--address', default='127.0.0.1')
    parser.add_argument('--control-port', type=int, default=0)
    arguments = parser.parse_args()
    text = sys.stdin.read() if str(arguments.config) == '-' else arguments.config.read_text()
    configs = [RouterConfig(**item) for item in json.loads(text)['routers']]
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve(configs, arguments.address, arguments.control_port))


if __name__ == '__main__':
    main()
