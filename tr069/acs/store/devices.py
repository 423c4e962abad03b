"""The devices' table: Informs written behind, a batch at a time, and queries that see what is not written yet."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Sequence
from functools import cache
from itertools import chain

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection, Engine

from tr069.acs.store import places, schema
from tr069.acs.store.database import Database
from tr069.acs.store.records import DeviceRecord
from tr069.acs.store.rows import chunks, device_from
from tr069.client import DeviceQuery

logger = logging.getLogger(__name__)


_TURNS = ('former_place', 'turns', 'turned_at')
_COLUMNS = [column for column in schema.device.columns if column.name not in _TURNS]
_NAMES = [column.name for column in _COLUMNS]
_INTO = f'INSERT INTO {schema.device.name} ({", ".join(_NAMES)})'
# What the id says cannot change under it; and whatever is set, changed or not, SQLite writes the indexes of.
_KEPT = ('id', 'oui', 'product_class', 'serial', 'first_inform')
_CONFLICT = (
    ' ON CONFLICT (id) DO UPDATE SET '
    + ', '.join(f'{name} = excluded.{name}' for name in _NAMES if name not in _KEPT)
    + f', {places.turns_sql(schema.device.name)} WHERE {schema.device.name}.last_inform <= excluded.last_inform'
)
# Every Inform comes by here. Many rows to a statement: the interpreter's lock is given up, and fought for again, once
# for each statement and not for each row. SQLite takes 999 values in one.
_ROWS = 999 // len(_NAMES)
_FIELDS = ', '.join(
    f'(item->>{at}){"::float8" if isinstance(column.type, sa.Double) else ""}' for at, column in enumerate(_COLUMNS)
)
# One value for all rows: its driver takes ten times as long over a list of each column. `jsonb`, which is parsed once;
# of `json` each `->>` would read its item again.
_POSTGRES_UPSERT = f'{_INTO} SELECT {_FIELDS} FROM jsonb_array_elements(%s::jsonb) item{_CONFLICT}'  # noqa: S608


@cache
def _sqlite_upsert(rows: int) -> str:
    row = f'({", ".join("?" * len(_NAMES))})'
    return f'{_INTO} VALUES {", ".join([row] * rows)}{_CONFLICT}'


class Devices(Database):
    def __init__(self, engine: Engine, *, flush_s: float = 2.0) -> None:
        super().__init__(engine)
        self._flush_s = flush_s
        self._insert = postgresql.insert if engine.dialect.name == 'postgresql' else sqlite.insert
        self._touched: dict[str, DeviceRecord] = {}
        self._flushing = asyncio.Lock()

    def touch(self, record: DeviceRecord) -> None:
        self._touched[record.id] = record

    async def flush(self) -> None:
        """Write what was touched. Once this returns, all that was touched before the call can be read.

        One at a time: a batch that another call has taken is neither among the touched any more nor in the database
        yet, and whoever read then would find that a device which has just informed is unknown.
        """
        async with self._flushing:
            if not self._touched:
                return
            batch, self._touched = self._touched, {}
            try:
                await self._in(self._writer, lambda: self._save_devices(list(batch.values())))
            except sa.exc.SQLAlchemyError:
                self._touched = batch | self._touched  # a later record of the same device wins
                raise

    def _save_devices(self, records: Sequence[DeviceRecord]) -> None:
        # In the order of their ids: two processes upserting the same devices must not lock each other out.
        rows = sorted(records)
        with self.engine.begin() as connection:
            if self.engine.dialect.name == 'postgresql':
                connection.exec_driver_sql(_POSTGRES_UPSERT, (json.dumps(rows, ensure_ascii=False),))
                return
            for start in range(0, len(rows), _ROWS):
                part = rows[start : start + _ROWS]
                connection.exec_driver_sql(_sqlite_upsert(len(part)), tuple(chain.from_iterable(part)))

    async def _flush_forever(self) -> None:
        while True:
            await asyncio.sleep(self._flush_s)
            try:
                await self.flush()
            except sa.exc.SQLAlchemyError:
                logger.exception('informs could not be written; they are kept and tried again')

    async def get_devices(self, device_ids: Sequence[str]) -> dict[str, DeviceRecord]:
        """The known ones among these; what has not been flushed yet counts."""

        def run(connection: Connection) -> list[DeviceRecord]:
            found: list[DeviceRecord] = []
            for part in chunks(list(device_ids)):
                query = sa.select(schema.device).where(schema.device.c.id.in_(part))
                found.extend(device_from(row) for row in connection.execute(query).mappings())
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
        return await self.read(lambda connection: [device_from(row) for row in connection.execute(select).mappings()])

    async def conflicts_of(self, device_ids: Sequence[str], now: float) -> dict[str, str]:
        """Those of these identities that two devices have, as all processes together saw it; each with a sentence."""
        table = schema.device
        query = sa.select(table).where(table.c.turns >= places.TURNS, table.c.turned_at >= now - places.WITHIN_S)

        def run(connection: Connection) -> dict[str, str]:
            found: dict[str, str] = {}
            for part in chunks(list(device_ids)):
                for row in connection.execute(query.where(table.c.id.in_(part))).mappings():
                    here = places.place_of(row['address'], row['connection_request_url'], row['software_version'])
                    found[row['id']] = places.conflict_of(row['id'], here, row['former_place'])
            return found

        await self.flush()
        return await self.read(run)

    async def keep_levers(self, device_id: str, software_version: str, report: str, now: float) -> None:
        """`report` is JSON: what the device was found to be able to do."""
        row = {'device_id': device_id, 'software_version': software_version[:128], 'report': report, 'read_at': now}
        insert = self._insert(schema.levers).values(**row)
        upsert = insert.on_conflict_do_update(index_elements=[schema.levers.c.device_id], set_=row)
        await self.write(lambda connection: connection.execute(upsert))

    async def levers_of(self, device: DeviceRecord, since: float) -> str | None:
        """The report kept under the device's present software, where it is not older than `since`."""
        table = schema.levers
        query = sa.select(table.c.report).where(
            table.c.device_id == device.id, table.c.software_version == device.software_version, table.c.read_at > since
        )
        return await self.read(lambda connection: connection.execute(query).scalar())

    async def count_devices(self) -> int:
        await self.flush()
        query = sa.select(sa.func.count()).select_from(schema.device)
        return await self.read(lambda connection: connection.execute(query).scalar() or 0)
