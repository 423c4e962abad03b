"""The embedded ACS's memory: SQLAlchemy Core on SQLite or PostgreSQL, the same code.

Three speeds. *Work* (what is asked of devices) is held in memory, loaded at start and kept current by the change log,
so that an Inform of a device with nothing to do needs no query. *Writes that matter* (saved values, states, tasks)
are committed before the caller goes on, many to a transaction. *Informs* are written behind, a batch at a time: losing
the last two seconds of them at a crash loses nothing that the next Inform does not bring.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from tr069.acs.store import schema
from tr069.acs.store.database import StoreError
from tr069.acs.store.models import Models
from tr069.acs.store.records import DesiredRecord, TaskRecord, TaskState
from tr069.acs.store.rows import chunks, desired_from, desired_row, task_from, task_row
from tr069.errors import Tr069Error
from tr069.guard import Canary

logger = logging.getLogger(__name__)

_KEEP_CHANGES_S = 24 * 3600


_Work = tuple[dict[str, DesiredRecord], list[TaskRecord]]


class SupersededError(Tr069Error):
    """A record was changed by another while it was worked on. Nothing was written."""


class Store(Models):
    """All methods but `tasks_of`, `touch` and `status_of` are coroutines."""

    def __init__(self, engine: Engine, *, flush_s: float = 2.0, poll_s: float = 1.0) -> None:
        super().__init__(engine, flush_s=flush_s)
        self._poll_s = poll_s
        self._background: list[asyncio.Task[None]] = []
        self._last_change = 0
        self._generation = 0
        self._changed_here: dict[str, int] = {}  # device → generation of this process's own last change
        self._read_again: set[str] = set()  # devices whose change may have been overlooked
        self._finished: set[str] = set()
        self._desired: dict[str, DesiredRecord] = {}
        self._tasks: dict[str, list[TaskRecord]] = {}

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
        await self.flush()
        await self.close_database()

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
            wanted = [desired_from(row) for row in connection.execute(sa.select(schema.desired)).mappings()]
            tasks = self._queued(connection, None)
            bad = connection.execute(sa.select(schema.quarantine)).mappings().all()
            canaries = connection.execute(sa.select(schema.canary)).mappings().all()
            return last, wanted, tasks, bad, canaries

        self._last_change, wanted, tasks, bad, canaries = await self.read(load)
        self._desired = {item.device_id: item for item in wanted}
        self._tasks = {}
        for item in tasks:
            self._tasks.setdefault(item.device_id, []).append(item)
        self.quarantined = {row['model']: f'{row["path"]}: {row["fault"]}' for row in bad}
        self.canaries = {row['model']: (row['device_id'], Canary(row['state'])) for row in canaries}

    @staticmethod
    def _queued(connection: Connection, device_ids: Sequence[str] | None) -> list[TaskRecord]:
        table = schema.task
        query = sa.select(table).where(table.c.state == TaskState.QUEUED).order_by(table.c.created_at)
        if device_ids is not None:
            query = query.where(table.c.device_id.in_(device_ids))
        return [task_from(row) for row in connection.execute(query).mappings()]

    async def poll(self) -> None:
        """Take over what other processes have changed."""

        again = frozenset(self._read_again)

        def load(connection: Connection) -> tuple[int, list[str], _Work, Any, Any]:
            query = sa.select(schema.change.c.seq, schema.change.c.device_id).where(
                schema.change.c.seq > self._last_change
            )
            rows = connection.execute(query).all()
            last = max((row.seq for row in rows), default=self._last_change)
            ids = sorted({row.device_id for row in rows} | again)
            work = self._load_work(connection, ids)
            bad = connection.execute(sa.select(schema.quarantine)).mappings().all() if rows else None
            canaries = connection.execute(sa.select(schema.canary)).mappings().all() if rows else None
            return last, ids, work, bad, canaries

        started = self._generation
        last, ids, work, bad, canaries = await self.read(load)
        self._last_change = max(self._last_change, last)
        newer = self._take_over(ids, work, started)
        self._read_again = self._read_again - again | newer & set(ids)
        self._changed_here = {device_id: self._changed_here[device_id] for device_id in newer}
        if not newer:
            self._finished.clear()
        if bad is not None and canaries is not None:
            self.quarantined = {row['model']: f'{row["path"]}: {row["fault"]}' for row in bad}
            self.canaries = {row['model']: (row['device_id'], Canary(row['state'])) for row in canaries}

    async def refresh(self, device_id: str) -> None:
        """Take over one device's work: another process has called it, and the next poll would come too late."""
        started = self._generation
        work = await self.read(lambda connection: self._load_work(connection, [device_id]))
        self._take_over([device_id], work, started)

    def _load_work(self, connection: Connection, ids: Sequence[str]) -> _Work:
        wanted: dict[str, DesiredRecord] = {}
        tasks: list[TaskRecord] = []
        for part in chunks(ids):
            wanted |= self._load_desired(connection, part)
            tasks.extend(self._queued(connection, part))
        return wanted, tasks

    def _take_over(self, ids: Iterable[str], work: _Work, started: int) -> set[str]:
        """Put what was read into memory; returns the devices that this process changed since it `started` to read.

        Of those memory is newer, though another process may have changed them as well.
        """
        wanted, tasks = work
        newer = {device_id for device_id, generation in self._changed_here.items() if generation > started}
        for device_id in set(ids) - newer:
            self._tasks.pop(device_id, None)
            self._desired.pop(device_id, None)
            if device_id in wanted:
                self._desired[device_id] = wanted[device_id]
        for item in tasks:
            if item.device_id not in newer and item.id not in self._finished:
                self._tasks.setdefault(item.device_id, []).append(item)
        return newer

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
            current: dict[str, DesiredRecord] = {}
            changed: list[str] = []
            for part in chunks(device_ids):
                known = self._load_desired(connection, part)
                rows = []
                for device_id in part:
                    old = known.get(device_id)
                    new = decide(device_id, old)
                    if new is not None and new is not old:
                        new = replace(new, version=old.version + 1 if old else 1)
                        rows.append(desired_row(new))
                        changed.append(device_id)
                    if new is not None:
                        current[device_id] = new
                self._upsert_desired(connection, rows)
            self._log_change(connection, changed, max((current[item].changed_at for item in changed), default=0.0))
            return current, changed

        current, changed = await self.write(run)
        for device_id in changed:
            self._mark(device_id)
        for record in current.values():
            self._keep(record)
        return dict(current)

    async def get_desired(self, device_ids: Sequence[str]) -> dict[str, DesiredRecord]:
        """From the database, not from memory: another process may just have been asked."""

        def run(connection: Connection) -> dict[str, DesiredRecord]:
            found: dict[str, DesiredRecord] = {}
            for part in chunks(device_ids):
                found.update(self._load_desired(connection, part))
            return found

        return await self.read(run)

    async def advance(self, old: DesiredRecord, new: DesiredRecord) -> DesiredRecord:
        """Take one device's record a step on. Raises `SupersededError` where something else was asked meanwhile."""
        table = schema.desired
        stepped = replace(new, version=old.version + 1)
        row = desired_row(stepped)

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
            self._keep(found)
        if found is not stepped:
            raise SupersededError(f'{old.device_id}: something else was asked meanwhile')
        return stepped

    def _keep(self, record: DesiredRecord) -> None:
        """In memory, unless a poll has meanwhile brought what another process made of it since our commit."""
        known = self._desired.get(record.device_id)
        if known is None or known.version < record.version:
            self._desired[record.device_id] = record

    @staticmethod
    def _load_desired(connection: Connection, ids: Sequence[str]) -> dict[str, DesiredRecord]:
        query = sa.select(schema.desired).where(schema.desired.c.device_id.in_(ids))
        return {row['device_id']: desired_from(row) for row in connection.execute(query).mappings()}

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
        connection.execute(sa.insert(schema.task), task_row(item))

    async def update_task(self, item: TaskRecord, now: float) -> None:
        """Write a task's state and answer; unless it is queued again, no session takes it up any more.

        A task is only begun (`SENDING`) where it is queued. Raises `SupersededError` where another process has it.
        """
        table = schema.task
        row = task_row(item)
        update = sa.update(table).where(table.c.id == item.id).values(state=row['state'], answer=row['answer'])
        if item.state is TaskState.SENDING:
            update = update.where(table.c.state == TaskState.QUEUED)

        def run(connection: Connection) -> int:
            self._log_change(connection, [item.device_id], now)
            return connection.execute(update).rowcount

        changed = await self.write(run)
        self._mark(item.device_id)
        self._finished.add(item.id)
        left = [known for known in self.tasks_of(item.device_id) if known.id != item.id]
        if left:
            self._tasks[item.device_id] = left
        else:
            self._tasks.pop(item.device_id, None)
        if item.state is TaskState.SENDING and not changed:
            raise SupersededError(f'{item.device_id}: another process has taken the task {item.id}')

    async def get_task(self, task_id: str) -> TaskRecord | None:
        def run(connection: Connection) -> TaskRecord | None:
            row = connection.execute(sa.select(schema.task).where(schema.task.c.id == task_id)).mappings().first()
            return task_from(row) if row else None

        return await self.read(run)

    async def count_states(self) -> dict[str, int]:
        query = sa.select(schema.desired.c.state, sa.func.count()).group_by(schema.desired.c.state)
        return await self.read(lambda connection: {row[0]: row[1] for row in connection.execute(query)})
