"""Real ACSs with simulated homes behind them, in a thread of their own: for code that is not asynchronous.

`embedded_acs` is the ACS of `tr069` on a port, with CPEs that follow its connection requests; `genie_acs` is the stub
of GenieACS's NBI. Both give an `AcsWorld`; its CPEs are asked for the truth.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

from nornir_tasks.points import Point
from tests.simulators.cpe import Cpe
from tests.simulators.genieacs import GenieAcs
from tr069.acs.app import Acs
from tr069.acs.settings import AcsSettings

SECRET, TOKEN = 'a-secret-of-the-laboratory', 'northbound-token'
CREDENTIAL = 'the-acs'
# What a worker's environment holds.
ENVIRONMENT = {
    'TR069_ACS_SECRET': SECRET,
    'TR069_ACS_TOKEN': TOKEN,
    'DELINQUENCY_CREDENTIAL_THE_ACS': json.dumps({'secret': TOKEN}),
}


class AcsWorld:
    """`add` a home, let it come (`comes`), unplug it. `server` is the `Acs` or the `GenieAcs`."""

    def __init__(self, driver: str, loop: asyncio.AbstractEventLoop, server: Any, url: str) -> None:
        self.driver, self.server, self.url = driver, server, url
        self.cpes: dict[str, Cpe] = {}
        self._loop = loop
        self._following: dict[str, asyncio.Task[None]] = {}

    def wait[T](self, job: Awaitable[T]) -> T:
        async def run() -> T:
            return await job

        return asyncio.run_coroutine_threadsafe(run(), self._loop).result(30)

    def point(self, name: str = 'acs-1', **parameters: Any) -> Point:
        quick = {'url': self.url, 'levers_seconds': 3.0, 'settle_seconds': 5.0}
        return Point(name, self.driver, '127.0.0.1', credential=CREDENTIAL, parameters=quick | parameters)

    def add(self, serial: str, *, reachable: bool = True, **options: Any) -> Cpe:
        return self.wait(self._add(serial, reachable, options))

    async def _add(self, serial: str, reachable: bool, options: dict[str, Any]) -> Cpe:
        cpe = Cpe(serial, **options)
        self.cpes[cpe.id] = cpe
        if isinstance(self.server, GenieAcs):
            self.server.add(cpe, online=reachable)
            return cpe
        cpe.url = f'http://127.0.0.1:{self.server.cpe_port}/'
        cpe.login = self.server.cpe_login(cpe.id)
        if reachable:
            await cpe.listen()
            self._following[cpe.id] = asyncio.create_task(_follow_calls(cpe))
        await cpe.inform()
        return cpe

    def comes(self, cpe: Cpe) -> None:
        """Its periodic Inform, or the first after a reset."""
        if isinstance(self.server, GenieAcs):
            self._loop.call_soon_threadsafe(self.server.session, cpe.id)
            self.wait(asyncio.sleep(0))
        else:
            self.wait(cpe.inform())

    def unplug(self, cpe: Cpe) -> None:
        self.wait(self._unplug(cpe))

    async def _unplug(self, cpe: Cpe) -> None:
        if isinstance(self.server, GenieAcs):
            self.server.devices[cpe.id].online = False
        else:
            self._following.pop(cpe.id).cancel()
            await cpe.close()

    async def close(self) -> None:
        for job in self._following.values():
            job.cancel()
        for cpe in self.cpes.values():
            await cpe.close()


async def _follow_calls(cpe: Cpe) -> None:
    while True:
        await cpe.called.wait()
        cpe.called.clear()
        await cpe.inform('6 CONNECTION REQUEST')


@contextmanager
def _loop_in_a_thread() -> Iterator[asyncio.AbstractEventLoop]:
    """A running loop; at the end what still runs in it, as a connection that was left open, is cancelled."""
    with asyncio.Runner() as runner:
        loop, over = runner.get_loop(), asyncio.Event()
        thread = threading.Thread(target=runner.run, args=[over.wait()], daemon=True)
        thread.start()
        try:
            yield loop
        finally:
            loop.call_soon_threadsafe(over.set)
            thread.join(10)


@contextmanager
def _world(
    driver: str, start: Callable[[], Awaitable[tuple[Any, str]]], stop: Callable[[Any], Awaitable[None]]
) -> Iterator[AcsWorld]:
    with _loop_in_a_thread() as loop:
        server, url = asyncio.run_coroutine_threadsafe(_awaited(start), loop).result(30)
        world = AcsWorld(driver, loop, server, url)
        try:
            yield world
        finally:
            world.wait(world.close())
            world.wait(stop(server))


async def _awaited[T](start: Callable[[], Awaitable[T]]) -> T:
    return await start()


@contextmanager
def embedded_acs(database: str, **sections: dict[str, Any]) -> Iterator[AcsWorld]:
    """`sections` of `AcsSettings`, laid over what a laboratory needs. `ENVIRONMENT` must be in the environment."""
    settings = {
        'database': database,
        'cpe': {'host': '127.0.0.1', 'port': 0},
        'northbound': {'port': 0},
        'connection_requests': {'deny': (), 'retry_wait_s': 0.05, 'timeout_s': 2.0, 'per_second': 1000},
        'desired': {'verify_delay_s': 0.05},
        **{name: value for name, value in sections.items() if isinstance(value, str)},
    }
    for name, section in sections.items():
        if isinstance(section, dict):
            settings[name] = settings.get(name, {}) | section

    async def start() -> tuple[Acs, str]:
        acs = Acs(AcsSettings.model_validate(settings))
        await acs.start()
        return acs, f'http://127.0.0.1:{acs.northbound_port}'

    with _world('acs_embedded', start, lambda acs: acs.stop()) as world:
        yield world


@contextmanager
def genie_acs(**options: Any) -> Iterator[AcsWorld]:
    async def start() -> tuple[GenieAcs, str]:
        stub = GenieAcs(token=TOKEN, **options)
        return stub, await stub.start()

    with _world('genieacs', start, lambda stub: stub.stop()) as world:
        yield world
