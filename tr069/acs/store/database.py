"""The database under the store: two threads, shared commits, and a log of changes that other processes read."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from tr069.acs.store import schema
from tr069.errors import Tr069Error

logger = logging.getLogger(__name__)

Write = Callable[[Connection], Any]

_CHANGE_LOCK = 0x7_2069  # PostgreSQL advisory lock: change numbers become visible in their order


class StoreError(Tr069Error):
    """The database cannot be used."""


def make_engine(url: str) -> Engine:
    """Raises `StoreError` for a URL that is neither SQLite nor PostgreSQL."""
    parsed = sa.make_url(url)
    name = parsed.get_backend_name()
    if name == 'postgresql':
        try:
            return sa.create_engine(parsed.set(drivername='postgresql+psycopg'), pool_size=4, pool_pre_ping=True)
        except ModuleNotFoundError as error:
            raise StoreError('the driver for PostgreSQL is missing: pip install psycopg[binary]') from error
    if name != 'sqlite':
        raise StoreError(f'the ACS keeps its data in SQLite or PostgreSQL, not in {name}')
    engine = sa.create_engine(parsed, connect_args={'timeout': 30, 'check_same_thread': False})

    @sa.event.listens_for(engine, 'connect')
    def _pragmas(connection: Any, _record: Any) -> None:
        cursor = connection.cursor()
        cursor.execute('PRAGMA journal_mode=WAL')
        cursor.execute('PRAGMA synchronous=FULL')  # what is journalled before sending must outlive a power cut
        # Informs come in any order and touch most pages: room for those of 100,000 devices, and fewer checkpoints.
        cursor.execute('PRAGMA cache_size=-65536')  # KiB
        cursor.execute('PRAGMA wal_autocheckpoint=10000')  # pages of 4 KiB
        cursor.close()

    return engine


class Database:
    """`read` and `write` run functions of a connection in threads of their own."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._writer = ThreadPoolExecutor(1, 'acs-write')
        self._reader = ThreadPoolExecutor(1, 'acs-read')
        self._queue: deque[tuple[Write, asyncio.Future[Any]]] = deque()
        self._pump: asyncio.Task[None] | None = None
        # Of the transaction under way; only the writer's thread has to do with them.
        self._locked = False
        self._changes: list[dict[str, Any]] = []

    async def close_database(self) -> None:
        if self._pump is not None:
            await self._pump
        self._writer.shutdown()
        self._reader.shutdown()
        self.engine.dispose()

    async def _in[T](self, pool: ThreadPoolExecutor, function: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(pool, function)

    async def read[T](self, function: Callable[[Connection], T]) -> T:
        def run() -> T:
            with self.engine.connect() as connection:
                return function(connection)

        return await self._in(self._reader, run)

    async def write[T](self, function: Callable[[Connection], T]) -> T:
        """Run `function` in a transaction and return once it is committed. Waiting writes share one commit."""
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._queue.append((function, future))
        if self._pump is None or self._pump.done():
            self._pump = asyncio.create_task(self._drain())
        return cast('T', await future)

    async def _drain(self) -> None:
        while self._queue:
            batch = [self._queue.popleft() for _ in range(min(len(self._queue), 256))]
            results = await self._in(self._writer, lambda batch=batch: self._commit([item[0] for item in batch]))  # type: ignore[misc]
            for (_, future), (value, error) in zip(batch, results, strict=True):
                if future.cancelled():
                    continue
                if error is None:
                    future.set_result(value)
                else:
                    future.set_exception(error)

    def _commit(self, functions: Sequence[Write]) -> list[tuple[Any, Exception | None]]:
        """All in one transaction; where one fails, each in its own, so that only the guilty one fails."""
        self._locked, self._changes = False, []
        try:
            with self.engine.begin() as connection:
                results: list[tuple[Any, Exception | None]] = [(function(connection), None) for function in functions]
                self._write_changes(connection)
                return results
        except Exception as error:  # noqa: BLE001 - handed to the one who waits for this write
            if len(functions) == 1:
                return [(None, error)]
            logger.warning('a shared commit failed and is split: %s', error)
        return [self._commit([function])[0] for function in functions]

    def _lock(self, connection: Connection) -> None:
        """One changing transaction at a time, so that numbers become visible in order. SQLite has it so anyway."""
        if not self._locked and connection.dialect.name == 'postgresql':
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_CHANGE_LOCK)))
        self._locked = True

    def _log_change(self, connection: Connection, device_ids: Iterable[str], now: float) -> None:
        """For the other processes to read; written once a transaction, at its end."""
        self._lock(connection)
        self._changes.extend({'device_id': item, 'at': now} for item in device_ids)

    def _write_changes(self, connection: Connection) -> None:
        if self._changes:
            connection.execute(sa.insert(schema.change), self._changes)
