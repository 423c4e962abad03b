"""The embedded ACS's memory: SQLAlchemy Core on SQLite or PostgreSQL, the same code.

Three speeds. *Work* (what is asked of devices) is held in memory, loaded at start and kept current by the change log,
so that an Inform of a device with nothing to do needs no query. *Writes that matter* (saved values, standings, tasks)
are committed before the caller goes on, many to a transaction. *Informs* are written behind, a batch at a time: losing
the last half second of them at a crash loses nothing that the next Inform does not bring.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, cast

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection, Engine

from tr069.acs import schema
from tr069.acs.records import (
    DesiredRecord,
    DeviceRecord,
    TaskRecord,
    TaskState,
    dump_values,
    load_values,
)
from tr069.client import DeviceQuery, Standing
from tr069.cwmp.messages import ParameterValue
from tr069.errors import Tr069Error
from tr069.guard import Canary

logger = logging.getLogger(__name__)

Write = Callable[[Connection], Any]

CHUNK = 500  # ids in one IN (...): SQLite's oldest limit on variables is 999
_CHANGE_LOCK = 0x7_2069  # PostgreSQL advisory lock: change numbers become visible in their order
_KEEP_CHANGES_S = 24 * 3600


class StoreError(Tr069Error):
    """The database cannot be used."""


class SupersededError(Tr069Error):
    """A record was changed by another while it was worked on. Nothing was written."""


def make_engine(url: str) -> Engine:
    """Raises `StoreError` for a URL that is neither SQLite nor PostgreSQL."""
    parsed = sa.make_url(url)
    name = parsed.get_backend_name()
    if name == 'postgresql':
        return sa.create_engine(parsed.set(drivername='postgresql+psycopg'), pool_size=4, pool_pre_ping=True)
    if name != 'sqlite':
        raise StoreError(f'the ACS keeps its data in SQLite or PostgreSQL, not in {name}')
    engine = sa.create_engine(parsed, connect_args={'timeout': 30, 'check_same_thread': False})

    @sa.event.listens_for(engine, 'connect')
    def _pragmas(connection: Any, _record: Any) -> None:
        cursor = connection.cursor()
        cursor.execute('PRAGMA journal_mode=WAL')
        cursor.execute('PRAGMA synchronous=FULL')  # what is journalled before sending must outlive a power cut
        cursor.close()

    return engine


class Store:
    """All methods but `work_of`, `touch` and `status_of` are coroutines; database calls run in two threads."""

    def __init__(self, engine: Engine, *, flush_s: float = 0.5, poll_s: float = 1.0) -> None:
        self.engine = engine
        self._flush_s = flush_s
        self._poll_s = poll_s
        self._insert = postgresql.insert if engine.dialect.name == 'postgresql' else sqlite.insert
        self._writer = ThreadPoolExecutor(1, 'acs-write')
        self._reader = ThreadPoolExecutor(1, 'acs-read')
        self._touched: dict[str, DeviceRecord] = {}
        self._queue: deque[tuple[Write, asyncio.Future[Any]]] = deque()
        self._pump: asyncio.Task[None] | None = None
        self._background: list[asyncio.Task[None]] = []
        self._last_change = 0
        self._generation = 0
        self._changed_here: dict[str, int] = {}  # device → generation of this process's own last change
        self._finished: set[str] = set()
        self._desired: dict[str, DesiredRecord] = {}
        self._tasks: dict[str, list[TaskRecord]] = {}
        self.quarantined: dict[str, str] = {}
        self.canaries: dict[str, tuple[str, Canary]] = {}

    # --- life -------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Create the tables where they are missing and load the work. Raises `StoreError`."""
        try:
            await self._in(self._writer, lambda: schema.metadata.create_all(self.engine))
            await self.reload()
        except sa.exc.SQLAlchemyError as error:
            raise StoreError(f'{self.engine.url.render_as_string()}: {error}') from error
        self._background = [asyncio.create_task(self._flush_forever()), asyncio.create_task(self._poll_forever())]

    async def close(self) -> None:
        for job in self._background:
            job.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)
        if self._pump is not None:
            await self._pump
        await self.flush()
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
        try:
            with self.engine.begin() as connection:
                return [(function(connection), None) for function in functions]
        except Exception as error:  # noqa: BLE001 - handed to the one who waits for this write
            if len(functions) == 1:
                return [(None, error)]
            logger.warning('a shared commit failed and is split: %s', error)
        return [self._commit([function])[0] for function in functions]

    # --- informs, written behind --------------------------------------------------------------------------------------

    def touch(self, record: DeviceRecord) -> None:
        self._touched[record.id] = record

    async def flush(self) -> None:
        if not self._touched:
            return
        batch, self._touched = self._touched, {}
        try:
            await self._in(self._writer, lambda: self._save_devices(list(batch.values())))
        except sa.exc.SQLAlchemyError:
            self._touched = batch | self._touched  # a later record of the same device wins
            raise

    def _save_devices(self, records: Sequence[DeviceRecord]) -> None:
        table = schema.device
        columns = [column.name for column in table.columns]
        # In the order of their ids: two processes upserting the same devices must not lock each other out.
        rows = [
            {name: getattr(record, name) for name in columns} for record in sorted(records, key=lambda item: item.id)
        ]
        insert = self._insert(table)
        upsert = insert.on_conflict_do_update(
            index_elements=[table.c.id],
            set_={name: insert.excluded[name] for name in columns if name not in ('id', 'first_inform')},
            where=table.c.last_inform <= insert.excluded.last_inform,
        )
        with self.engine.begin() as connection:
            connection.execute(upsert, rows)

    async def _flush_forever(self) -> None:
        while True:
            await asyncio.sleep(self._flush_s)
            try:
                await self.flush()
            except sa.exc.SQLAlchemyError:
                logger.exception('informs could not be written; they are kept and tried again')

    # --- work, held in memory -----------------------------------------------------------------------------------------

    def status_of(self, device_id: str) -> DesiredRecord | None:
        return self._desired.get(device_id)

    def tasks_of(self, device_id: str) -> list[TaskRecord]:
        return self._tasks.get(device_id, [])

    @property
    def desired_count(self) -> int:
        return len(self._desired)

    async def reload(self) -> None:
        """Read all work from the database."""

        def load(connection: Connection) -> tuple[Any, ...]:
            last = connection.execute(sa.select(sa.func.max(schema.change.c.seq))).scalar() or 0
            wanted = [_desired(row) for row in connection.execute(sa.select(schema.desired)).mappings()]
            tasks = self._queued(connection, None)
            bad = connection.execute(sa.select(schema.quarantine)).mappings().all()
            birds = connection.execute(sa.select(schema.canary)).mappings().all()
            return last, wanted, tasks, bad, birds

        self._last_change, wanted, tasks, bad, birds = await self.read(load)
        self._desired = {item.device_id: item for item in wanted}
        self._tasks = {}
        for item in tasks:
            self._tasks.setdefault(item.device_id, []).append(item)
        self.quarantined = {row['model']: f'{row["path"]}: {row["fault"]}' for row in bad}
        self.canaries = {row['model']: (row['device_id'], Canary(row['standing'])) for row in birds}

    @staticmethod
    def _queued(connection: Connection, device_ids: Sequence[str] | None) -> list[TaskRecord]:
        table = schema.task
        query = sa.select(table).where(table.c.state == TaskState.QUEUED).order_by(table.c.created_at)
        if device_ids is not None:
            query = query.where(table.c.device_id.in_(device_ids))
        return [task_from(row) for row in connection.execute(query).mappings()]

    async def poll(self) -> None:
        """Take over what other processes have changed."""

        def load(connection: Connection) -> tuple[int, dict[str, DesiredRecord | None], list[TaskRecord], Any, Any]:
            query = sa.select(schema.change.c.seq, schema.change.c.device_id).where(
                schema.change.c.seq > self._last_change
            )
            rows = connection.execute(query).all()
            last = max((row.seq for row in rows), default=self._last_change)
            ids = sorted({row.device_id for row in rows})
            found: dict[str, DesiredRecord | None] = dict.fromkeys(ids)
            tasks: list[TaskRecord] = []
            for part in _chunks(ids):
                wanted = sa.select(schema.desired).where(schema.desired.c.device_id.in_(part))
                found.update((row['device_id'], _desired(row)) for row in connection.execute(wanted).mappings())
                tasks.extend(self._queued(connection, part))
            bad = connection.execute(sa.select(schema.quarantine)).mappings().all() if rows else None
            birds = connection.execute(sa.select(schema.canary)).mappings().all() if rows else None
            return last, found, tasks, bad, birds

        started = self._generation
        last, found, tasks, bad, birds = await self.read(load)
        self._last_change = max(self._last_change, last)
        # What this process changed while we read is newer than what we read; its own change number comes next time.
        newer = {device_id for device_id, generation in self._changed_here.items() if generation > started}
        self._changed_here = {device_id: self._changed_here[device_id] for device_id in newer}
        for device_id, record in found.items():
            if device_id in newer:
                continue
            self._tasks.pop(device_id, None)
            if record is None:
                self._desired.pop(device_id, None)
            else:
                self._desired[device_id] = record
        for item in tasks:
            if item.device_id not in newer and item.id not in self._finished:
                self._tasks.setdefault(item.device_id, []).append(item)
        if not newer:
            self._finished.clear()
        if bad is not None and birds is not None:
            self.quarantined = {row['model']: f'{row["path"]}: {row["fault"]}' for row in bad}
            self.canaries = {row['model']: (row['device_id'], Canary(row['standing'])) for row in birds}

    async def _poll_forever(self) -> None:
        while True:
            await asyncio.sleep(self._poll_s)
            try:
                await self.poll()
            except sa.exc.SQLAlchemyError:
                logger.exception('the change log could not be read; it is tried again')

    def _mark(self, device_id: str) -> None:
        self._generation += 1
        self._changed_here[device_id] = self._generation

    @staticmethod
    def _lock(connection: Connection) -> None:
        """One changing transaction at a time, so that numbers become visible in order. SQLite has it so anyway."""
        if connection.dialect.name == 'postgresql':
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_CHANGE_LOCK)))

    def _log_change(self, connection: Connection, device_ids: Iterable[str], now: float) -> None:
        self._lock(connection)
        rows = [{'device_id': item, 'at': now} for item in device_ids]
        if rows:
            connection.execute(sa.insert(schema.change), rows)

    async def prune(self, now: float) -> None:
        """Forget old change numbers and finished tasks."""

        def run(connection: Connection) -> None:
            connection.execute(sa.delete(schema.change).where(schema.change.c.at < now - _KEEP_CHANGES_S))
            table = schema.task
            # A process that died in the middle leaves these behind; their answer already says what is known.
            lost = sa.update(table).where(table.c.expires_at < now, table.c.state == TaskState.SENDING)
            connection.execute(lost.values(state=TaskState.FAILED))
            old = table.c.expires_at < now - _KEEP_CHANGES_S
            connection.execute(sa.delete(table).where(old, table.c.state != TaskState.QUEUED))

        await self.write(run)

    # --- desired state --------------------------------------------------------------------------------------------

    async def change_desired(
        self, device_ids: Sequence[str], decide: Callable[[str, DesiredRecord | None], DesiredRecord | None]
    ) -> dict[str, DesiredRecord]:
        """Ask something new of many devices. `decide` sees what the database holds, not what memory believes.

        It returns the record to keep, the one it was given for "as it is", or `None` for none. Returns the records
        that stand after the commit.
        """

        def run(connection: Connection) -> tuple[dict[str, DesiredRecord], list[str]]:
            self._lock(connection)
            standing: dict[str, DesiredRecord] = {}
            changed: list[str] = []
            for part in _chunks(device_ids):
                known = self._load_desired(connection, part)
                rows = []
                for device_id in part:
                    old = known.get(device_id)
                    new = decide(device_id, old)
                    if new is not None and new is not old:
                        new = replace(new, version=old.version + 1 if old else 1)
                        rows.append(_desired_row(new))
                        changed.append(device_id)
                    if new is not None:
                        standing[device_id] = new
                self._upsert_desired(connection, rows)
            self._log_change(connection, changed, max((standing[item].changed_at for item in changed), default=0.0))
            return standing, changed

        standing, changed = await self.write(run)
        for device_id in changed:
            self._mark(device_id)
        self._desired.update(standing)
        return dict(standing)

    async def get_desired(self, device_ids: Sequence[str]) -> dict[str, DesiredRecord]:
        """From the database, not from memory: another process may just have been asked."""

        def run(connection: Connection) -> dict[str, DesiredRecord]:
            found: dict[str, DesiredRecord] = {}
            for part in _chunks(device_ids):
                found.update(self._load_desired(connection, part))
            return found

        return await self.read(run)

    async def advance(self, old: DesiredRecord, new: DesiredRecord) -> DesiredRecord:
        """Take one device's record a step on. Raises `SupersededError` where something else was asked meanwhile."""
        table = schema.desired
        stepped = replace(new, version=old.version + 1)
        row = _desired_row(stepped)

        def run(connection: Connection) -> DesiredRecord | None:
            self._lock(connection)
            update = sa.update(table).where(table.c.device_id == old.device_id, table.c.version == old.version)
            if connection.execute(update.values(**row)).rowcount == 1:
                self._log_change(connection, [old.device_id], new.changed_at)
                return stepped
            return self._load_desired(connection, [old.device_id]).get(old.device_id)

        found = await self.write(run)
        self._mark(old.device_id)
        if found is None:
            self._desired.pop(old.device_id, None)
        else:
            self._desired[old.device_id] = found
        if found is not stepped:
            raise SupersededError(f'{old.device_id}: something else was asked meanwhile')
        return stepped

    @staticmethod
    def _load_desired(connection: Connection, ids: Sequence[str]) -> dict[str, DesiredRecord]:
        query = sa.select(schema.desired).where(schema.desired.c.device_id.in_(ids))
        return {row['device_id']: _desired(row) for row in connection.execute(query).mappings()}

    def _upsert_desired(self, connection: Connection, rows: Sequence[dict[str, Any]]) -> None:
        if not rows:
            return
        insert = self._insert(schema.desired)
        upsert = insert.on_conflict_do_update(
            index_elements=[schema.desired.c.device_id],
            set_={name: insert.excluded[name] for name in rows[0] if name != 'device_id'},
        )
        connection.execute(upsert, rows)

    # --- tasks ------------------------------------------------------------------------------------------------------

    async def add_task(self, item: TaskRecord) -> None:
        await self.write(lambda connection: self._insert_task(connection, item))
        self._mark(item.device_id)
        if all(known.id != item.id for known in self.tasks_of(item.device_id)):
            self._tasks.setdefault(item.device_id, []).append(item)

    def _insert_task(self, connection: Connection, item: TaskRecord) -> None:
        self._log_change(connection, [item.device_id], item.created_at)
        connection.execute(sa.insert(schema.task), _task_row(item))

    async def update_task(self, item: TaskRecord, now: float) -> None:
        """Write a task's state and answer; unless it is queued again, no session takes it up any more."""

        def run(connection: Connection) -> None:
            self._log_change(connection, [item.device_id], now)
            row = _task_row(item)
            connection.execute(
                sa.update(schema.task)
                .where(schema.task.c.id == item.id)
                .values(state=row['state'], answer=row['answer'])
            )

        await self.write(run)
        self._mark(item.device_id)
        self._finished.add(item.id)
        left = [known for known in self.tasks_of(item.device_id) if known.id != item.id]
        if left:
            self._tasks[item.device_id] = left
        else:
            self._tasks.pop(item.device_id, None)

    async def get_task(self, task_id: str) -> TaskRecord | None:
        def run(connection: Connection) -> TaskRecord | None:
            row = connection.execute(sa.select(schema.task).where(schema.task.c.id == task_id)).mappings().first()
            return task_from(row) if row else None

        return await self.read(run)

    # --- models -----------------------------------------------------------------------------------------------------

    async def quarantine(self, model: str, path: str, fault: str, device_id: str, now: float) -> None:
        insert = self._insert(schema.quarantine).values(
            model=model, path=path, fault=fault, device_id=device_id, since=now
        )

        def run(connection: Connection) -> None:
            self._log_change(connection, [device_id], now)
            connection.execute(insert.on_conflict_do_nothing())

        await self.write(run)
        self.quarantined.setdefault(model, f'{path}: {fault}')

    async def release_quarantine(self, model: str, now: float) -> bool:
        """False where the model was not quarantined."""

        def run(connection: Connection) -> int:
            table = schema.quarantine
            known = connection.execute(sa.select(table.c.device_id).where(table.c.model == model)).scalar()
            self._log_change(connection, [known] if known else [], now)
            return connection.execute(sa.delete(table).where(table.c.model == model)).rowcount

        removed = await self.write(run)
        self.quarantined.pop(model, None)
        return removed > 0

    async def set_canary(self, model: str, device_id: str, standing: Canary, now: float) -> bool:
        """Record the model's canary. False where another device already is it."""
        row = {'model': model, 'device_id': device_id, 'standing': str(standing), 'changed_at': now}
        insert = self._insert(schema.canary).values(**row)
        upsert = insert.on_conflict_do_update(
            index_elements=[schema.canary.c.model],
            set_={'standing': str(standing), 'changed_at': now},
            where=schema.canary.c.device_id == device_id,
        )

        def run(connection: Connection) -> bool:
            self._log_change(connection, [device_id], now)
            connection.execute(upsert)
            holder = connection.execute(
                sa.select(schema.canary.c.device_id).where(schema.canary.c.model == model)
            ).scalar()
            return bool(holder == device_id)

        if not await self.write(run):
            return False
        self.canaries[model] = (device_id, standing)
        return True

    # --- devices ------------------------------------------------------------------------------------------------------

    async def get_devices(self, device_ids: Sequence[str]) -> dict[str, DeviceRecord]:
        """The known ones among these; what has not been flushed yet counts."""

        def run(connection: Connection) -> list[DeviceRecord]:
            found: list[DeviceRecord] = []
            for part in _chunks(list(device_ids)):
                query = sa.select(schema.device).where(schema.device.c.id.in_(part))
                found.extend(_device(row) for row in connection.execute(query).mappings())
            return found

        await self.flush()
        return {item.id: item for item in await self.read(run)}

    async def find_devices(self, query: DeviceQuery, after: str, limit: int) -> list[DeviceRecord]:
        """One page, in the order of the ids, starting after `after`."""
        table = schema.device
        select = sa.select(table).where(table.c.id > after).order_by(table.c.id).limit(limit)
        for name in ('serial', 'oui', 'product_class', 'software_version'):
            wanted = getattr(query, name)
            if wanted:
                select = select.where(table.c[name] == wanted)
        if query.ids:
            select = select.where(table.c.id.in_(query.ids))
        await self.flush()
        return await self.read(lambda connection: [_device(row) for row in connection.execute(select).mappings()])

    async def count_devices(self) -> int:
        await self.flush()
        query = sa.select(sa.func.count()).select_from(schema.device)
        return await self.read(lambda connection: connection.execute(query).scalar() or 0)

    async def count_standings(self) -> dict[str, int]:
        query = sa.select(schema.desired.c.standing, sa.func.count()).group_by(schema.desired.c.standing)
        return await self.read(lambda connection: {row[0]: row[1] for row in connection.execute(query)})


def _chunks(ids: Sequence[str]) -> Iterable[Sequence[str]]:
    return (ids[start : start + CHUNK] for start in range(0, len(ids), CHUNK))


def _desired_row(item: DesiredRecord) -> dict[str, Any]:
    return {
        'device_id': item.device_id,
        'profile': item.profile,
        'revision': item.revision,
        'values': dump_values(item.values),
        'restoring': item.restoring,
        'before': dump_values(item.before.values()),
        'before_key': item.before_key,
        'standing': str(item.standing),
        'message': item.message,
        'attempts': item.attempts,
        'not_before': item.not_before,
        'changed_at': item.changed_at,
        'version': item.version,
    }


def _device(row: sa.RowMapping) -> DeviceRecord:
    return DeviceRecord(**{str(name): value for name, value in row.items()})


# A profile given to 50,000 devices is 50,000 equal texts; one parsed tuple serves them all.
_parsed: dict[str, tuple[ParameterValue, ...]] = {}


def _shared_values(text: str) -> tuple[ParameterValue, ...]:
    if len(_parsed) > 10_000:
        _parsed.clear()
    known = _parsed.get(text)
    if known is None:
        known = _parsed[text] = load_values(text)
    return known


def _desired(row: sa.RowMapping) -> DesiredRecord:
    before = _shared_values(row['before'])
    fields: dict[str, Any] = {str(name): value for name, value in row.items()}
    fields |= {
        'values': _shared_values(row['values']),
        'before': {item.name: item for item in before},
        'standing': Standing(row['standing']),
    }
    return DesiredRecord(**fields)


def task_from(row: sa.RowMapping) -> TaskRecord:
    fields: dict[str, Any] = {str(name): value for name, value in row.items()}
    fields |= {
        'request': json.loads(row['request']),
        'state': TaskState(row['state']),
        'answer': json.loads(row['answer']),
    }
    return TaskRecord(**fields)


def _task_row(item: TaskRecord) -> dict[str, Any]:
    row: dict[str, Any] = {
        'id': item.id,
        'device_id': item.device_id,
        'created_at': item.created_at,
        'expires_at': item.expires_at,
    }
    row |= {
        'request': json.dumps(item.request, ensure_ascii=False),
        'state': str(item.state),
        'answer': json.dumps(item.answer, ensure_ascii=False),
    }
    return row
