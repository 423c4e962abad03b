"""CPEs that answer, but not what was asked: nothing goes on for ever, nothing is set that could not be put back."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.simulators.cpe import AcsRefusedError, Cpe, _Link
from tests.simulators.cpe_trees import INTERNET_098
from tests.tr069.conftest import Lab, lab
from tests.waiting import soon
from tr069.acs.cpe import session as s
from tr069.client import ProfileStatus, ProvisioningState, ValueProfile
from tr069.cwmp.messages import ParameterValue

RATE = f'{INTERNET_098}.ShapingRate'
SLOW = ValueProfile('throttle', 'slow-64k', (ParameterValue(RATE, '64000', 'xsd:int'),))


async def settled(room: Lab) -> None:
    """Until what the last sessions have left to write down is written."""
    await soon(lambda: not room.acs.cpe._jobs)


async def status(room: Lab, cpe: Cpe) -> ProfileStatus:
    await settled(room)
    return (await room.client.read_back([cpe.id]))[cpe.id]


async def ask_to_read(room: Lab, cpe: Cpe, method: str = 'read', **arguments: Any) -> str:
    body = {'method': method, 'arguments': arguments, 'connection_request': False}
    task = await room.client._call('POST', f'/v1/devices/{cpe.id}/tasks', body=body)
    return str(task['id'])


async def state_of_task(room: Lab, task_id: str) -> tuple[str, str]:
    await settled(room)
    task = await room.client._call('GET', f'/v1/tasks/{task_id}')
    return task['state'], task['answer'].get('error', '')


# --- talk that does not end -------------------------------------------------------------------------------------------


def test_an_empty_post_to_every_request_ends_the_session_and_fails_the_task(
    sqlite_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        async with lab(sqlite_url) as room:
            cpe = room.cpe()
            await cpe.inform()
            task = await ask_to_read(room, cpe, names=[RATE])
            cpe.manners.answers_nothing = True
            caplog.set_level(logging.INFO, 'tr069')
            served = await cpe.inform()
            assert served.rpcs == ['GetParameterValues'] * 3  # once, and twice anew
            assert served.statuses[-1] == 204
            state, error = await state_of_task(room, task)
            assert state == 'failed'
            assert 'answers GetParameterValues with an empty POST' in error
            assert (await cpe.inform()).rpcs == []  # it is not asked again for ever

    asyncio.run(scenario())
    assert sum('empty POST' in record.getMessage() for record in caplog.records) == 1


def test_a_profile_on_such_a_device_says_so_and_is_tried_more_seldom_each_time(sqlite_url: str) -> None:
    async def scenario() -> None:
        async with lab(sqlite_url) as room:
            cpe = room.cpe()
            await cpe.inform()
            await room.client.apply(SLOW, [cpe.id])
            cpe.manners.answers_nothing = True
            await cpe.inform()
            said = await status(room, cpe)
            assert said.state is ProvisioningState.PENDING
            assert 'empty POST' in said.message
            assert (await cpe.inform()).rpcs == []  # not before its time
            for _ in range(4):
                room.clock.offset += 24 * 3600
                await cpe.inform()
            assert (await status(room, cpe)).state is ProvisioningState.FAILED
            assert not any(RATE in values for values in cpe.sets)

    asyncio.run(scenario())


def test_what_may_have_been_set_is_read_before_anything_else_is_sent(sqlite_url: str) -> None:
    async def scenario() -> None:
        async with lab(sqlite_url) as room:
            cpe = room.cpe()
            await cpe.inform()
            await room.client.apply(SLOW, [cpe.id])
            serve = cpe._serve

            def silent_after_the_set(xml: str, served: Any) -> str:
                answer = serve(xml, served)
                return '' if served.rpcs[-1] == 'SetParameterValues' else answer

            cpe._serve = silent_after_the_set  # type: ignore[method-assign]
            await cpe.inform()
            said = await status(room, cpe)
            assert said.state is ProvisioningState.SENDING
            assert 'empty POST' in said.message
            cpe._serve = serve  # type: ignore[method-assign]
            await cpe.inform()
            assert (await status(room, cpe)).state is ProvisioningState.VERIFIED
            assert cpe.value(RATE) == '64000'

    asyncio.run(scenario())


def test_a_session_has_so_many_rpcs_and_the_rest_waits_for_the_next(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s, 'MAX_RPCS', 4)

    async def scenario() -> None:
        async with lab(sqlite_url) as room:
            cpe = room.cpe()
            await cpe.inform()
            tasks = [await ask_to_read(room, cpe, names=[RATE]) for _ in range(6)]
            served = await cpe.inform()
            assert (len(served.rpcs), served.statuses[-1]) == (4, 204)
            assert [(await state_of_task(room, task))[0] for task in tasks] == ['done'] * 4 + ['queued'] * 2
            assert len((await cpe.inform()).rpcs) == 2
            assert (await state_of_task(room, tasks[-1]))[0] == 'done'

    asyncio.run(scenario())


def test_a_cpe_that_asks_without_end_is_cut_off(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr('tr069.acs.cpe.server.MAX_ASKED', 5)

    async def scenario() -> None:
        async with lab(sqlite_url) as room:
            cpe = room.cpe()
            link = _Link(cpe)
            await link.post(cpe._envelope(cpe._inform_body([('2 PERIODIC', '')]), '1'))
            for _ in range(5):
                await link.post(cpe._envelope('<cwmp:GetRPCMethods/>', '2'))
            with pytest.raises(AcsRefusedError) as refused:
                await link.post(cpe._envelope('<cwmp:GetRPCMethods/>', '2'))
            assert refused.value.status == 400
            assert room.acs.cpe.open_sessions == 0
            await link.close()

    asyncio.run(scenario())


# --- XML that is none -------------------------------------------------------------------------------------------------


def test_malformed_xml_fails_the_task_with_the_remedy(sqlite_url: str) -> None:
    async def scenario() -> None:
        async with lab(sqlite_url) as room:
            cpe = room.cpe()
            await cpe.inform()
            task = await ask_to_read(room, cpe, names=[RATE])
            cpe.manners.malformed_answers = True
            with pytest.raises(AcsRefusedError):
                await cpe.inform()
            state, error = await state_of_task(room, task)
            assert state == 'failed'
            assert 'not well-formed' in error
            assert 'recover_xml: true' in error
            await room.client.apply(SLOW, [cpe.id])
            with pytest.raises(AcsRefusedError):
                await cpe.inform()
            said = await status(room, cpe)
            assert (said.state, 'recover_xml' in said.message) == (ProvisioningState.PENDING, True)

    asyncio.run(scenario())


# --- values that could not be put back --------------------------------------------------------------------------------


@pytest.mark.parametrize('kind', ['xsd:int', 'xsd:unsignedInt', 'xsd:', 'xsd:Int'])
def test_a_lever_that_reads_empty_is_refused_beforehand(sqlite_url: str, kind: str) -> None:
    """Once it is set nobody could put nothing back: the CPE would fault, and its whole model be quarantined."""

    async def scenario() -> None:
        async with lab(sqlite_url) as room:
            cpe, other = room.cpe('A'), room.cpe('B')
            cpe.force(RATE, '')
            cpe.manners.types = {RATE: kind}
            for item in (cpe, other):
                await item.inform()
            await room.client.apply(SLOW, [cpe.id, other.id])
            served = await cpe.inform()
            assert 'SetParameterValues' not in served.rpcs
            said = await status(room, cpe)
            assert said.state is ProvisioningState.REFUSED
            assert f"{RATE} ('' is no xsd:" in said.message
            assert await room.client.quarantined() == {}
            await other.inform()
            assert other.value(RATE) == '64000'

    asyncio.run(scenario())


def test_a_value_that_is_none_of_the_devices_type_is_refused_beforehand(sqlite_url: str) -> None:
    async def scenario() -> None:
        async with lab(sqlite_url) as room:
            cpe = room.cpe()
            await cpe.inform()
            words = ValueProfile('odd', 'odd', (ParameterValue(RATE, 'slow', 'xsd:string'),))
            await room.client.apply(ValueProfile('odd', 'odd', SLOW.values), [cpe.id])
            await room.client.restore([cpe.id])
            name = f'{cpe.root}.ManagementServer.PeriodicInformEnable'
            wrong = ValueProfile('odd', 'odd', (ParameterValue(name, 'yes', 'xsd:string'),))
            for profile in (words, wrong):
                await room.client.apply(profile, [cpe.id])
                assert 'SetParameterValues' not in (await cpe.inform()).rpcs
                assert (await status(room, cpe)).state is ProvisioningState.REFUSED
            assert await room.client.quarantined() == {}

    asyncio.run(scenario())


def test_a_type_that_is_none_falls_back_to_the_asked_one_and_is_saved_so(sqlite_url: str) -> None:
    async def scenario() -> None:
        async with lab(sqlite_url) as room:
            cpe = room.cpe()
            cpe.manners.types = {RATE: 'xsd:Int'}
            await cpe.inform()
            await room.client.apply(SLOW, [cpe.id])
            await cpe.inform()
            await cpe.inform()
            said = await status(room, cpe)
            assert (said.state, cpe.value(RATE)) == (ProvisioningState.VERIFIED, '64000')
            assert [item.type for item in said.before] == ['xsd:int']
            await room.client.restore([cpe.id])
            await cpe.inform()
            await cpe.inform()
            assert (await status(room, cpe)).state is ProvisioningState.VERIFIED
            assert cpe.value(RATE) == '-1'

    asyncio.run(scenario())


def test_a_name_without_a_value_counts_as_not_read(sqlite_url: str) -> None:
    async def scenario() -> None:
        async with lab(sqlite_url) as room:
            cpe = room.cpe()
            await cpe.inform()
            cpe.manners.no_value_element = (RATE,)
            await room.client.apply(SLOW, [cpe.id])
            await cpe.inform()
            said = await status(room, cpe)
            assert said.state is ProvisioningState.FAILED
            assert 'does not show the present value' in said.message
            assert not any(RATE in values for values in cpe.sets)

    asyncio.run(scenario())


def test_a_saved_value_that_the_device_cannot_take_holds_up_no_other(sqlite_url: str) -> None:
    """Saved so by an earlier version of this ACS, or before the device changed the type."""

    async def scenario() -> None:
        async with lab(sqlite_url) as room:
            cpe = room.cpe()
            await cpe.inform()
            interval = f'{cpe.root}.ManagementServer.PeriodicInformInterval'
            both = ValueProfile('t', 'r', (*SLOW.values, ParameterValue(interval, '900', 'xsd:unsignedInt')))
            await room.client.apply(both, [cpe.id])
            await cpe.inform()
            await cpe.inform()
            assert cpe.value(RATE) == '64000'
            store = room.acs.store
            record = store.status_of(cpe.id)
            assert record is not None
            before = {**record.before, interval: record.before[interval]._replace(value='')}
            await store.advance(record, replace(record, before=before))
            await room.client.restore([cpe.id])
            await cpe.inform()
            await cpe.inform()
            said = await status(room, cpe)
            assert cpe.value(RATE) == '-1'
            assert said.state is ProvisioningState.VERIFIED
            assert interval in said.message
            assert await room.client.quarantined() == {}

    asyncio.run(scenario())


# --- who it is --------------------------------------------------------------------------------------------------------


def test_a_model_that_names_itself_only_in_its_tree_is_asked_once(sqlite_url: str, tmp_path: Path) -> None:
    (tmp_path / 'p').mkdir()
    (tmp_path / 'p' / 'odd.yaml').write_text('name: odd\nmatch: {model: "R1.*"}\nquirks: {max_names: 1}\n')

    async def scenario() -> None:
        async with lab(sqlite_url, profiles_directory=tmp_path / 'p') as room:
            cpe, other = room.cpe('A', product_class='Device2'), room.cpe('B', product_class='Device2')
            cpe.force(f'{cpe.root}.DeviceInfo.ModelName', 'R1-a')
            for item in (cpe, other):
                first = await item.inform()
                assert first.rpcs == ['SetParameterValues', 'GetParameterValues']  # its login, and the name
                assert (await item.inform()).rpcs == []
                await ask_to_read(room, item, names=[RATE, f'{item.root}.ManagementServer.ParameterKey'])
            assert (await cpe.inform()).rpcs == ['GetParameterValues'] * 2  # one name at a time, as its profile says
            assert (await other.inform()).rpcs == ['GetParameterValues']

    asyncio.run(scenario())


def test_two_devices_with_one_identity_are_named_and_nothing_new_is_asked_of_them(
    sqlite_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        async with lab(sqlite_url) as room:
            one, two = room.cpe('S1'), room.cpe('S1')
            for number, cpe in enumerate((one, two)):
                cpe.force(f'{cpe.root}.ManagementServer.ConnectionRequestURL', f'http://10.0.0.{number}:7547/')
            for cpe in (one, two, one):
                await cpe.inform()
            assert [item.warning async for item in room.client.find()] == ['']  # it may have moved, and back
            await two.inform()
            (found,) = [item async for item in room.client.find()]
            for text in ('two devices have the identity', 'http://10.0.0.0:7547/', 'http://10.0.0.1:7547/'):
                assert text in found.warning
            await room.client.apply(SLOW, [one.id])
            await one.inform()
            said = await status(room, one)
            assert (said.state, 'two devices' in said.message) == (ProvisioningState.REFUSED, True)
            await two.inform()
            assert not any(RATE in values for cpe in (one, two) for values in cpe.sets)
            room.clock.offset += 25 * 3600
            await room.client.apply(SLOW, [one.id])
            await two.inform()  # but once in a day: it has moved
            assert two.value(RATE) == '64000'

    asyncio.run(scenario())
    assert sum('two devices have the identity' in record.getMessage() for record in caplog.records) == 1


def test_two_devices_of_which_each_comes_to_another_process_are_known_to_both(database: str) -> None:
    async def scenario() -> None:
        async with lab(database) as here, lab(database) as there:
            one, two = here.cpe('S1'), there.cpe('S1')
            for number, cpe in enumerate((one, two)):
                cpe.force(f'{cpe.root}.ManagementServer.ConnectionRequestURL', f'http://10.0.0.{number}:7547/')

            async def inform(room: Lab, cpe: Cpe) -> None:
                await cpe.inform()
                await room.acs.store.flush()

            for room, cpe in ((here, one), (there, two), (here, one)):
                await inform(room, cpe)
            assert [item.warning async for item in here.client.find()] == ['']  # it may have moved, and back
            await inform(there, two)
            for room in (here, there):
                (found,) = [item async for item in room.client.find()]
                for text in ('two devices have the identity', 'http://10.0.0.0:7547/', 'http://10.0.0.1:7547/'):
                    assert text in found.warning
            await here.client.apply(SLOW, [one.id])
            await one.inform()
            said = await status(here, one)
            assert (said.state, 'two devices' in said.message) == (ProvisioningState.REFUSED, True)
            assert not any(RATE in values for cpe in (one, two) for values in cpe.sets)
            for room in (here, there):
                room.clock.offset += 25 * 3600
                assert [item.warning async for item in room.client.find()] == ['']

    asyncio.run(scenario())


def test_a_device_that_moves_about_is_one_device() -> None:
    from tr069.acs.cpe.identities import Identities

    known = Identities()
    for number, place in enumerate('abcdeabcabcab'):
        assert not known.seen('x', place, '', '', float(number))
    assert known.conflict('x', 20.0) == ''
