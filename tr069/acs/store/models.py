"""Models of CPEs: those in quarantine, and the canary of each. A few rows, all held in memory."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from tr069.acs.store import schema
from tr069.acs.store.devices import Devices
from tr069.guard import Canary


class Models(Devices):
    def __init__(self, engine: Engine, *, flush_s: float = 2.0) -> None:
        super().__init__(engine, flush_s=flush_s)
        self.quarantined: dict[str, str] = {}  # model → the path that faulted, and its fault
        self.canaries: dict[str, tuple[str, Canary]] = {}

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
        """Let the model's WAN change be tried anew, too, if its canary was lost. False where there was neither."""

        def run(connection: Connection) -> int:
            canary = schema.canary
            lost = sa.delete(canary).where(canary.c.model == model, canary.c.state == Canary.LOST)
            bad = sa.delete(schema.quarantine).where(schema.quarantine.c.model == model)
            self._log_change(connection, [model], now)  # any name will do: with a change the tables are read anew
            return connection.execute(lost).rowcount + connection.execute(bad).rowcount

        removed = await self.write(run)
        self.quarantined.pop(model, None)
        if self.canaries.get(model, ('', Canary.NONE))[1] is Canary.LOST:
            del self.canaries[model]
        return removed > 0

    async def set_canary(self, model: str, device_id: str, state: Canary, now: float) -> bool:
        """Record the model's canary. False where another device already is it."""
        row = {'model': model, 'device_id': device_id, 'state': str(state), 'changed_at': now}
        insert = self._insert(schema.canary).values(**row)
        upsert = insert.on_conflict_do_update(
            index_elements=[schema.canary.c.model],
            set_={'state': str(state), 'changed_at': now},
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
        self.canaries[model] = (device_id, state)
        return True

    async def release_canary(self, model: str, device_id: str, now: float) -> None:
        """This device's WAN change was taken back before it proved anything: another may be the model's canary."""
        table = schema.canary

        def run(connection: Connection) -> None:
            self._log_change(connection, [device_id], now)
            connection.execute(sa.delete(table).where(table.c.model == model, table.c.device_id == device_id))

        await self.write(run)
        self.canaries.pop(model, None)
