"""The store by itself, on both databases: shared commits, late writes, and what other processes see."""

from __future__ import annotations

import asyncio
import dataclasses
import threading
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from tr069.acs.store import schema
from tr069.acs.store.database import StoreError, make_engine
from tr069.acs.store.records import DesiredRecord, DeviceRecord, TaskRecord, TaskState
from tr069.acs.store.store import Store, SupersededError
from tr069.client import DeviceQuery, ProvisioningState
from tr069.cwmp.messages import ParameterValue
from tr069.guard import Canary

VALUES = (ParameterValue('A', '1'),)


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Store]:
    store = Store(make_engine(url), flush_s=60, poll_s=60)
    await store.start()
    try:
        yield store
    finally:
        await store.close()


def device(serial: str, at: float = 1.0) -> DeviceRecord:
    return DeviceRecord(
        f'O-P-{serial}', 'M', 'O', 'P', serial, 'Device', '1', '1', '10.0.0.1', '', '', '', '2 PERIODIC', at, at
    )


def record(device_id: str) -> DesiredRecord:
    return DesiredRecord(device_id, 'p', 'r', VALUES, changed_at=time.time())


def test_a_failing_write_does_not_harm_those_it_shares_a_commit_with(database: str) -> None:
    async def scenario() -> None:
        async with opened(database) as store:

            def good(name: str) -> Callable[[sa.Connection], str]:
                def write(connection: sa.Connection) -> str:
                    connection.execute(sa.insert(schema.change), {'device_id': name, 'at': 1.0})
                    return name

                return write

            def bad(_connection: object) -> None:
                raise ValueError('mine alone')

            results = await asyncio.gather(
                store.write(good('a')), store.write(bad), store.write(good('b')), return_exceptions=True
            )
            assert isinstance(results[1], ValueError)
            assert [results[0], results[2]] == ['a', 'b']
            found = await store.read(lambda c: c.execute(sa.select(schema.change.c.device_id)).scalars().all())
            assert sorted(found) == ['a', 'b']

    asyncio.run(scenario())


def test_informs_are_seen_before_they_are_written_and_the_latest_wins(database: str) -> None:
    async def scenario() -> None:
        async with opened(database) as store:
            store.touch(device('1', at=5.0))
            assert (await store.get_devices(['O-P-1']))['O-P-1'].last_inform == 5.0
            store.touch(device('1', at=9.0))
            await store.flush()
            store.touch(device('1', at=7.0))  # another process was slower
            await store.flush()
            found = (await store.get_devices(['O-P-1']))['O-P-1']
            assert (found.first_inform, found.last_inform) == (5.0, 9.0)

    asyncio.run(scenario())


def test_pages_cover_everybody_once(database: str) -> None:
    async def scenario() -> None:
        async with opened(database) as store:
            for number in range(25):
                store.touch(device(f'{number:03d}'))
            seen, after = [], ''
            while page := await store.find_devices(DeviceQuery(), after, 10):
                seen += [item.serial for item in page]
                after = page[-1].id
            assert seen == [f'{number:03d}' for number in range(25)]

    asyncio.run(scenario())


def test_a_step_from_an_old_version_is_refused_and_the_new_one_is_taken_over(database: str) -> None:
    async def scenario() -> None:
        async with opened(database) as one, opened(database) as two:
            await one.change_desired(['d'], lambda device_id, _: record(device_id))
            await two.poll()
            mine, theirs = one.status_of('d'), two.status_of('d')
            assert mine == theirs
            assert mine is not None
            await one.advance(mine, dataclasses.replace(mine, state=ProvisioningState.SENDING))
            with pytest.raises(SupersededError):
                await two.advance(mine, dataclasses.replace(mine, state=ProvisioningState.FAILED))
            assert two.status_of('d') == one.status_of('d')
            assert (await two.get_desired(['d']))['d'].state is ProvisioningState.SENDING

    asyncio.run(scenario())


def test_many_at_once_are_each_advanced_once(database: str) -> None:
    async def scenario() -> None:
        async with opened(database) as store:
            ids = [f'd{number}' for number in range(1200)]
            records = await store.change_desired(ids, lambda device_id, _: record(device_id))
            await asyncio.gather(
                *(
                    store.advance(old, dataclasses.replace(old, state=ProvisioningState.SENT))
                    for old in records.values()
                )
            )
            assert await store.count_states() == {'sent': 1200}
            await store.reload()
            assert {store.status_of(item).state for item in ids} == {ProvisioningState.SENT}  # type: ignore[union-attr]

    asyncio.run(scenario())


def test_there_is_one_canary_a_model_whoever_asks(database: str) -> None:
    async def scenario() -> None:
        async with opened(database) as one, opened(database) as two:
            won = await asyncio.gather(
                one.set_canary('m', 'a', Canary.WAITING, 1.0), two.set_canary('m', 'b', Canary.WAITING, 1.0)
            )
            assert sorted(won) == [False, True]

    asyncio.run(scenario())


def test_quarantine_is_known_to_all_and_can_be_ended(database: str) -> None:
    async def scenario() -> None:
        async with opened(database) as one, opened(database) as two:
            await one.quarantine('m', 'A.B', '9005', 'd', 1.0)
            await two.poll()
            assert two.quarantined == {'m': 'A.B: 9005'}
            assert await two.release_quarantine('m', 2.0)
            assert not await two.release_quarantine('m', 2.0)
            await one.poll()
            assert one.quarantined == {}

    asyncio.run(scenario())


def test_an_unusable_database_says_so() -> None:
    with pytest.raises(StoreError, match='mysql'):
        make_engine('mysql://x/y')

    async def scenario() -> None:
        with pytest.raises(StoreError):
            await Store(make_engine('sqlite:////no/such/directory/x.db')).start()

    asyncio.run(scenario())


def test_a_device_is_known_while_its_inform_is_being_written(database: str) -> None:
    """Its record is then neither among those that wait nor in the database yet."""

    async def scenario() -> None:
        async with opened(database) as store:
            write, started, may_write = store._save_devices, threading.Event(), threading.Event()

            def slowly(records: Sequence[DeviceRecord]) -> None:
                started.set()
                may_write.wait(10)
                write(records)

            store._save_devices = slowly  # type: ignore[method-assign]
            store.touch(device('S1'))
            writing = asyncio.create_task(store.flush())
            await asyncio.to_thread(started.wait, 10)
            asking = asyncio.create_task(store.get_devices(['O-P-S1']))
            await asyncio.wait([asking], timeout=0.05)  # it may answer as soon as it wants
            may_write.set()
            assert set(await asking) == {'O-P-S1'}
            await writing

    asyncio.run(scenario())


def test_hundreds_of_informs_are_written_as_they_were_touched(database: str) -> None:
    async def scenario() -> None:
        async with opened(database) as store:
            for number in range(300):
                store.touch(device(f"N{number:03d}'%s?", at=2.0))
            await store.flush()
            store.touch(device("N000'%s?", at=1.0)._replace(software_version='older'))
            store.touch(device("N001'%s?", at=3.0)._replace(software_version='newer', first_inform=3.0))
            await store.flush()
            found = await store.find_devices(DeviceQuery(), '', 1000)
            assert len(found) == 300
            by_serial = {item.serial: item for item in found}
            assert by_serial["N000'%s?"] == device("N000'%s?", at=2.0)
            newer = by_serial["N001'%s?"]
            assert (newer.software_version, newer.first_inform, newer.last_inform) == ('newer', 2.0, 3.0)

    asyncio.run(scenario())


def test_a_change_of_another_process_that_meets_our_own_is_read_again(database: str) -> None:
    async def scenario() -> None:
        task = TaskRecord('t-1', 'O-P-1', {'method': 'reboot'}, 1.0, 100.0)
        async with opened(database) as one, opened(database) as two:
            await two.add_task(task)
            read = one.read

            async def read_while_our_own_commit_returns(function: Callable[[Connection], Any]) -> Any:
                found = await read(function)
                one._mark('O-P-1')
                return found

            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(one, 'read', read_while_our_own_commit_returns)
                await one.poll()
            assert one.tasks_of('O-P-1') == [], 'what this process knows is newer'
            await one.poll()
            assert one.tasks_of('O-P-1') == [task]
            await one.update_task(dataclasses.replace(task, state=TaskState.DONE), 2.0)
            for _ in range(2):
                await one.poll()
            assert one.tasks_of('O-P-1') == []

    asyncio.run(scenario())


def test_a_poll_that_overtakes_our_own_answer_is_not_undone_by_it(database: str) -> None:
    """Our commit, another's, a poll that brings it, and only then do we hear of our own."""

    async def scenario() -> None:
        async with opened(database) as one, opened(database) as two:
            (first,) = (await one.change_desired(['O-P-1'], lambda device_id, _: record(device_id))).values()
            write = one.write

            async def slowly(function: Callable[[Connection], Any]) -> Any:
                found = await write(function)
                await two.change_desired(['O-P-1'], lambda _, known: known and dataclasses.replace(known, note='newer'))
                await one.poll()
                return found

            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(one, 'write', slowly)
                await one.advance(first, dataclasses.replace(first, state=ProvisioningState.SENT))
            known = one.status_of('O-P-1')
            assert known is not None
            assert known.note == 'newer'

    asyncio.run(scenario())


def test_a_task_is_begun_by_one_process_only(database: str) -> None:
    async def scenario() -> None:
        task = TaskRecord('t-1', 'O-P-1', {'method': 'reboot'}, 1.0, 100.0)
        sending = dataclasses.replace(task, state=TaskState.SENDING)
        async with opened(database) as one, opened(database) as two:
            await one.add_task(task)
            await two.poll()
            assert two.tasks_of('O-P-1') == [task]
            await one.update_task(sending, 2.0)
            with pytest.raises(SupersededError, match='another process'):
                await two.update_task(sending, 2.0)
            assert two.tasks_of('O-P-1') == []
            await one.update_task(dataclasses.replace(task, state=TaskState.DONE), 3.0)
            with pytest.raises(SupersededError):
                await two.update_task(sending, 4.0)
            found = await one.get_task('t-1')
            assert found is not None
            assert found.state is TaskState.DONE

    asyncio.run(scenario())
