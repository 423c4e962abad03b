"""One contract, two ACSs: whatever stands behind `AcsClient`, it must behave like this."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.simulators.cpe import Cpe
from tests.simulators.cpe_trees import IGD, INTERNET_098
from tests.simulators.genieacs import GenieAcs
from tests.tr069.conftest import lab
from tr069.client import AcsClient, ConnectionRequest, DeviceQuery, ProvisioningState, ValueProfile
from tr069.cwmp.messages import ParameterValue
from tr069.datamodel.profiles import Direction, Kind
from tr069.datamodel.resolver import throttle
from tr069.errors import AcsError, AcsRefusedError, AcsUnreachableError, DeviceUnknownError
from tr069.genieacs import GenieAcsClient
from tr069.genieacs.nbi import Nbi

RATE = f'{INTERNET_098}.ShapingRate'
SLOW = ValueProfile('throttle', 'slow-64k', (ParameterValue(RATE, '64000', 'xsd:int'),))
SLOWER = ValueProfile('throttle', 'slow-32k', (ParameterValue(RATE, '32000', 'xsd:int'),))


class World:
    """An ACS with devices. `comes` lets a device have its periodic session; `answers` turns its call port on or off."""

    def __init__(
        self,
        client: AcsClient,
        add: Callable[..., Awaitable[Cpe]],
        comes: Callable[[Cpe], Awaitable[None]],
        unplug: Callable[[Cpe], Awaitable[None]],
    ) -> None:
        self.client, self.add, self.comes, self.unplug = client, add, comes, unplug

    async def settle(self, *cpes: Cpe) -> None:
        for _ in range(3):
            for cpe in cpes:
                await self.comes(cpe)
                await self.client.read_back([cpe.id])

    async def state_of(self, cpe: Cpe) -> ProvisioningState:
        return (await self.client.read_back([cpe.id]))[cpe.id].state


@asynccontextmanager
async def embedded(tmp_path: Path) -> AsyncIterator[World]:
    async with lab(f'sqlite:///{tmp_path / "acs.sqlite3"}') as room:
        answering: dict[str, asyncio.Task[None]] = {}

        async def follow_calls(cpe: Cpe) -> None:
            while True:
                await cpe.called.wait()
                cpe.called.clear()
                await cpe.inform('6 CONNECTION REQUEST')

        async def add(serial: str, **options: Any) -> Cpe:
            cpe = room.cpe(serial, **options)
            await cpe.listen()
            await cpe.inform()
            answering[cpe.id] = asyncio.create_task(follow_calls(cpe))
            return cpe

        async def comes(cpe: Cpe) -> None:
            await cpe.inform()

        async def unplug(cpe: Cpe) -> None:
            answering[cpe.id].cancel()
            await cpe.close()

        try:
            yield World(room.client, add, comes, unplug)
        finally:
            for job in answering.values():
                job.cancel()


@asynccontextmanager
async def genieacs(tmp_path: Path, **options: Any) -> AsyncIterator[World]:
    stub = GenieAcs(token='proxy-token', **options)
    url = await stub.start()
    client = GenieAcsClient(Nbi(url, token='proxy-token'), preset_delay_s=0)

    async def add(serial: str, **settings: Any) -> Cpe:
        cpe = Cpe(serial, **settings)
        stub.add(cpe)
        return cpe

    async def comes(cpe: Cpe) -> None:
        stub.session(cpe.id)

    async def unplug(cpe: Cpe) -> None:
        stub.devices[cpe.id].online = False

    try:
        yield World(client, add, comes, unplug)
    finally:
        await client.aclose()
        await stub.stop()


@pytest.fixture(params=['embedded', 'genieacs', 'genieacs behind a proxy'])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], Any]:
    if request.param == 'embedded':
        return lambda: embedded(tmp_path)
    return lambda: genieacs(tmp_path, drops_reasons=request.param != 'genieacs')


Opened = Callable[[], Any]


def test_devices_are_found_by_what_they_are(world: Opened) -> None:
    async def scenario() -> None:
        async with world() as w:
            for number in range(5):
                await w.add(f'N-{number}', product_class='Router' if number else 'Bridge')
            everyone = [item async for item in w.client.find()]
            assert [item.serial for item in sorted(everyone, key=lambda item: item.serial)] == [
                f'N-{n}' for n in range(5)
            ]
            one = [item async for item in w.client.find(DeviceQuery(serial='N-3'))]
            assert [item.id for item in one] == ['00AA11-Router-N%2D3']
            assert one[0].software_version == 'S1'
            assert one[0].last_inform is not None
            assert len([item async for item in w.client.find(DeviceQuery(product_class='Router'))]) == 4
            assert len([item async for item in w.client.find(DeviceQuery(ids=(one[0].id,), serial='N-3'))]) == 1
            assert [item async for item in w.client.find(DeviceQuery(serial='nobody'))] == []

    asyncio.run(scenario())


def test_a_reading_comes_from_the_device_itself(world: Opened) -> None:
    async def scenario() -> None:
        async with world() as w:
            cpe = await w.add('S-1')
            cpe.force(RATE, '123000')  # past the ACS, whose cache still says -1
            reading = await w.client.read(cpe.id, [RATE])
            assert reading.error == ''
            assert reading.values[RATE].value == '123000'
            below = await w.client.read(cpe.id, [f'{INTERNET_098}.'])
            assert f'{INTERNET_098}.Name' in below.values

    asyncio.run(scenario())


def test_reading_what_is_not_there_is_an_error_not_an_empty_value(world: Opened) -> None:
    async def scenario() -> None:
        async with world() as w:
            cpe = await w.add('S1')
            assert (await w.client.read(cpe.id, [f'{IGD}.NotThere'])).error
            with pytest.raises(DeviceUnknownError):
                await w.client.read('00AA11-Router-NOBODY', [RATE])

    asyncio.run(scenario())


def test_a_device_that_does_not_come_is_an_error_and_leaves_nothing_queued(world: Opened) -> None:
    async def scenario() -> None:
        async with world() as w:
            cpe = await w.add('S1')
            await w.unplug(cpe)
            reading = await w.client.read(cpe.id, [RATE], timeout_s=0.3)
            assert reading.error
            assert reading.values == {}

    asyncio.run(scenario())


def test_levers_are_resolved_from_the_devices_own_tree(world: Opened) -> None:
    async def scenario() -> None:
        async with world() as w:
            cpe = await w.add('S1')
            report = await w.client.read_levers(cpe.id)
            up = report.chosen(Kind.SHAPING, Direction.UP)
            assert up is not None
            assert up.path == RATE
            plan = throttle(report, 256, 64)
            assert ParameterValue(RATE, '64000', 'xsd:int') in plan.values

    asyncio.run(scenario())


def test_a_profile_is_applied_verified_and_restored_exactly(world: Opened) -> None:
    async def scenario() -> None:
        async with world() as w:
            cpe = await w.add('S-1')
            cpe.force(RATE, '20000000')
            assert await w.state_of(cpe) is ProvisioningState.NONE
            asked = await w.client.apply(SLOW, [cpe.id])
            assert asked[cpe.id].state is ProvisioningState.PENDING
            await w.settle(cpe)
            found = (await w.client.read_back([cpe.id]))[cpe.id]
            assert (found.state, found.revision) == (ProvisioningState.VERIFIED, 'slow-64k')
            assert found.before == (ParameterValue(RATE, '20000000', 'xsd:int'),)
            assert cpe.value(RATE) == '64000'
            await w.client.restore([cpe.id])
            await w.settle(cpe)
            found = (await w.client.read_back([cpe.id]))[cpe.id]
            assert (found.state, found.restoring) == (ProvisioningState.VERIFIED, True)
            assert cpe.value(RATE) == '20000000'

    asyncio.run(scenario())


@pytest.mark.parametrize('model', ['tr098', 'tr181'])
def test_from_levers_to_a_throttled_device_and_back(world: Opened, model: str) -> None:
    async def scenario() -> None:
        async with world() as w:
            cpe = await w.add('S1', model=model)
            untouched = {path: cpe.value(path) for path in cpe.paths() if 'ManagementServer' not in path}
            plan = throttle(await w.client.read_levers(cpe.id), 256, 64)
            assert len({item.name for item in plan.values if item.name.endswith('ShapingRate')}) == 2
            await w.client.apply(ValueProfile('throttle', 'r1', plan.values), [cpe.id])
            await w.settle(cpe)
            assert await w.state_of(cpe) is ProvisioningState.VERIFIED
            for item in plan.values:
                assert cpe.value(item.name).replace('true', '1') == item.value
            await w.client.restore([cpe.id])
            await w.settle(cpe)
            now = {path: cpe.value(path) for path in untouched}
            assert {path: text for path, text in now.items() if _plain(text) != _plain(untouched[path])} == {}

    asyncio.run(scenario())


def _plain(text: str) -> str:
    return {'true': '1', 'false': '0'}.get(text, text)


def test_many_devices_at_once_each_get_their_own_values_back(world: Opened) -> None:
    async def scenario() -> None:
        async with world() as w:
            cpes = [await w.add(f'M{number}') for number in range(8)]
            for number, cpe in enumerate(cpes):
                cpe.force(RATE, str(1_000_000 * (number % 3 + 1)))
                await w.client.read(cpe.id, [RATE])
            chosen, others = cpes[:6], cpes[6:]
            await w.client.apply(SLOW, [cpe.id for cpe in chosen])
            await w.client.request_connections([cpe.id for cpe in chosen])
            await w.settle(*cpes)
            assert {await w.state_of(cpe) for cpe in chosen} == {ProvisioningState.VERIFIED}
            assert {await w.state_of(cpe) for cpe in others} == {ProvisioningState.NONE}
            assert {cpe.value(RATE) for cpe in chosen} == {'64000'}
            assert '64000' not in {cpe.value(RATE) for cpe in others}
            await w.client.restore([cpe.id for cpe in chosen])
            await w.settle(*cpes)
            assert [cpe.value(RATE) for cpe in cpes] == [str(1_000_000 * (n % 3 + 1)) for n in range(8)]

    asyncio.run(scenario())


def test_a_second_profile_keeps_the_first_saved_values(world: Opened) -> None:
    async def scenario() -> None:
        async with world() as w:
            cpe = await w.add('S1')
            await w.client.apply(SLOW, [cpe.id])
            await w.settle(cpe)
            await w.client.apply(SLOWER, [cpe.id])
            await w.settle(cpe)
            assert cpe.value(RATE) == '32000'
            await w.client.restore([cpe.id])
            await w.settle(cpe)
            assert cpe.value(RATE) == '-1'

    asyncio.run(scenario())


def test_a_factory_reset_brings_the_profile_back(world: Opened) -> None:
    async def scenario() -> None:
        async with world() as w:
            cpe = await w.add('S1')
            await w.client.apply(SLOW, [cpe.id])
            await w.settle(cpe)
            cpe.factory_reset()
            assert cpe.value(RATE) == '-1'
            await w.settle(cpe)
            assert cpe.value(RATE) == '64000'

    asyncio.run(scenario())


def test_asking_twice_is_asking_once(world: Opened) -> None:
    async def scenario() -> None:
        async with world() as w:
            cpe = await w.add('S1')
            await w.client.apply(SLOW, [cpe.id])
            await w.client.apply(SLOW, [cpe.id])
            await w.settle(cpe)
            await w.client.apply(SLOW, [cpe.id])
            await w.settle(cpe)
            assert sum(RATE in item for item in cpe.sets) == 1
            await w.client.restore([cpe.id])
            await w.client.restore([cpe.id])
            await w.settle(cpe)
            assert cpe.value(RATE) == '-1'

    asyncio.run(scenario())


@pytest.mark.parametrize(
    'value',
    [
        ParameterValue(f'{IGD}.WANDevice.1.WANCommonInterfaceConfig.EnabledForInternet', '0', 'xsd:boolean'),
        ParameterValue(f'{INTERNET_098}.Enable', '0', 'xsd:boolean'),
        ParameterValue(RATE, '64', 'xsd:int'),
        ParameterValue(f'{IGD}.ManagementServer.URL', 'http://elsewhere/', 'xsd:string'),
        ParameterValue(f'{IGD}.Firewall.Config', 'High', 'xsd:string'),
    ],
    ids=lambda value: value.name.rpartition('.')[2],
)
def test_what_could_cut_management_is_refused_and_nothing_is_sent(world: Opened, value: ParameterValue) -> None:
    async def scenario() -> None:
        async with world() as w:
            cpe = await w.add('S1')
            before = dict(cpe.changes)
            await w.client.apply(ValueProfile('bad', 'r1', (value,)), [cpe.id])
            await w.comes(cpe)
            applied = await w.client.apply(ValueProfile('bad', 'r1', (value,)), [cpe.id])
            await w.comes(cpe)
            assert {applied[cpe.id].state} <= {ProvisioningState.REFUSED, ProvisioningState.PENDING}
            assert cpe.value(value.name) == before.get(value.name, cpe.base.get(value.name, ('',))[0])
            assert not cpe.is_cut
            assert all(value.name not in item for item in cpe.sets)

    asyncio.run(scenario())


def test_a_wrong_path_quarantines_the_model(world: Opened) -> None:
    async def scenario() -> None:
        async with world() as w:
            first, second = await w.add('A'), await w.add('B')
            first.faults['SetParameterValues'] = [Cpe.parameter_fault(RATE, 9005)] * 3
            await w.client.apply(SLOW, [first.id])
            await w.comes(first)
            found = (await w.client.read_back([first.id]))[first.id]
            assert found.state is ProvisioningState.QUARANTINED
            assert RATE in found.message
            await w.client.apply(SLOW, [second.id])
            await w.comes(second)
            assert second.value(RATE) == '-1'

    asyncio.run(scenario())


def test_a_profile_that_only_gives_back_is_not_held_up_by_a_quarantine(world: Opened) -> None:
    """A mass update that stays while the line's limit goes: the payer does not wait for the model's map."""
    update = ParameterValue(f'{IGD}.ManagementServer.PeriodicInformInterval', '900', 'xsd:unsignedInt')
    both = ValueProfile('both', 'r1', (*SLOW.values, update))
    stays = ValueProfile('stays', 'r2', (update,))

    async def scenario() -> None:
        async with world() as w:
            first, second = await w.add('A'), await w.add('B')
            await w.client.apply(both, [second.id])
            await w.settle(second)
            assert await w.state_of(second) is ProvisioningState.VERIFIED
            first.faults['SetParameterValues'] = [Cpe.parameter_fault(RATE, 9005)] * 3
            await w.client.apply(SLOW, [first.id])
            await w.comes(first)
            assert await w.state_of(first) is ProvisioningState.QUARANTINED
            await w.client.apply(stays, [second.id])
            await w.settle(second)
            assert await w.state_of(second) is ProvisioningState.VERIFIED
            assert (second.value(RATE), second.value(update.name)) == ('-1', '900')

    asyncio.run(scenario())


def test_a_restore_leaves_out_what_would_cut_management_and_says_so(world: Opened) -> None:
    informs = ParameterValue(f'{IGD}.ManagementServer.PeriodicInformEnable', '1', 'xsd:boolean')
    both = ValueProfile('both', 'r1', (*SLOW.values, informs))

    async def scenario() -> None:
        async with world() as w:
            cpe = await w.add('S1')
            cpe.force(informs.name, '0')
            await w.client.read(cpe.id, [informs.name])
            await w.client.apply(both, [cpe.id])
            await w.settle(cpe)
            assert await w.state_of(cpe) is ProvisioningState.VERIFIED
            await w.client.restore([cpe.id])
            await w.settle(cpe)
            found = (await w.client.read_back([cpe.id]))[cpe.id]
            assert (found.state, found.restoring) == (ProvisioningState.VERIFIED, True)
            assert (
                found.message
                == f'left as it is, since it could cut management or is gone from the device: {informs.name}'
            )
            assert (cpe.value(RATE), _plain(cpe.value(informs.name))) == ('-1', '1')
            # Nothing of it stands in the way of the next profile, nor is what was there at first forgotten.
            await w.client.apply(both, [cpe.id])
            await w.settle(cpe)
            assert (await w.state_of(cpe), cpe.value(RATE)) == (ProvisioningState.VERIFIED, '64000')
            saved = {item.name: _plain(item.value) for item in (await w.client.read_back([cpe.id]))[cpe.id].before}
            assert saved == {RATE: '-1', informs.name: '0'}

    asyncio.run(scenario())


def test_the_askers_note_comes_back_with_the_standing(world: Opened) -> None:
    async def scenario() -> None:
        async with world() as w:
            cpe = await w.add('S1')
            note = '{"why": "não < & \\" */ é da conta"}'
            noted = ValueProfile('throttle', 'r1', SLOW.values, note)
            assert (await w.client.apply(noted, [cpe.id]))[cpe.id].note == note
            await w.settle(cpe)
            found = (await w.client.read_back([cpe.id]))[cpe.id]
            assert (found.state, found.note) == (ProvisioningState.VERIFIED, note)
            await w.client.restore([cpe.id])
            await w.settle(cpe)
            assert (await w.client.read_back([cpe.id]))[cpe.id].note == ''

    asyncio.run(scenario())


def test_quarantined_models_are_named(world: Opened) -> None:
    async def scenario() -> None:
        async with world() as w:
            cpe = await w.add('A')
            assert await w.client.quarantined() == {}
            cpe.faults['SetParameterValues'] = [Cpe.parameter_fault(RATE, 9005)] * 3
            await w.client.apply(SLOW, [cpe.id])
            await w.comes(cpe)
            ((model, why),) = (await w.client.quarantined()).items()
            assert model == '00AA11/Router/S1'
            assert RATE in why

    asyncio.run(scenario())


def test_levers_are_remembered_for_a_device_that_does_not_come(world: Opened) -> None:
    async def scenario() -> None:
        async with world() as w:
            cpe = await w.add('S1')
            fresh = await w.client.read_levers(cpe.id)
            await w.unplug(cpe)
            with pytest.raises(AcsError):
                await w.client.read_levers(cpe.id, timeout_s=0.3)
            remembered = await w.client.read_levers(cpe.id, timeout_s=0.3, max_age_s=3600)
            assert [item.path for item in remembered.levers] == [item.path for item in fresh.levers]

    asyncio.run(scenario())


def test_a_device_that_faulted_is_restored_all_the_same(world: Opened) -> None:
    async def scenario() -> None:
        async with world() as w:
            cpe = await w.add('S1')
            await w.client.apply(SLOW, [cpe.id])
            await w.settle(cpe)
            cpe.faults['SetParameterValues'] = [Cpe.parameter_fault(RATE, 9007)] * 6
            await w.client.apply(SLOWER, [cpe.id])
            await w.comes(cpe)
            assert await w.state_of(cpe) is ProvisioningState.FAILED
            cpe.faults.clear()
            await w.client.restore([cpe.id])
            await w.settle(cpe)
            assert (await w.state_of(cpe), cpe.value(RATE)) == (ProvisioningState.VERIFIED, '-1')

    asyncio.run(scenario())


def test_summoning_says_who_came(world: Opened) -> None:
    async def scenario() -> None:
        async with world() as w:
            here, gone = await w.add('A'), await w.add('B')
            await w.unplug(gone)
            said = await w.client.request_connections([here.id, gone.id, '00AA11-Router-NOBODY'])
            assert said == {
                here.id: ConnectionRequest.ACCEPTED,
                gone.id: ConnectionRequest.UNREACHABLE,
                '00AA11-Router-NOBODY': ConnectionRequest.UNKNOWN_DEVICE,
            }

    asyncio.run(scenario())


def test_unknown_devices_are_named_and_harm_nobody(world: Opened) -> None:
    async def scenario() -> None:
        async with world() as w:
            cpe = await w.add('S1')
            answer = await w.client.apply(SLOW, [cpe.id, 'no-such'])
            assert answer['no-such'].state is ProvisioningState.UNKNOWN_DEVICE
            assert answer[cpe.id].state is ProvisioningState.PENDING
            assert (await w.client.read_back(['no-such']))['no-such'].state is ProvisioningState.UNKNOWN_DEVICE
            assert (await w.client.restore(['no-such']))['no-such'].state is ProvisioningState.UNKNOWN_DEVICE

    asyncio.run(scenario())


def test_an_acs_that_is_not_there_and_one_that_refuses_are_told_apart(tmp_path: Path) -> None:
    from tr069.acs.client import EmbeddedAcsClient

    async def scenario() -> None:
        for dead in (EmbeddedAcsClient('http://127.0.0.1:9', 't'), GenieAcsClient(Nbi('http://127.0.0.1:9'))):
            with pytest.raises(AcsUnreachableError):
                await dead.read_back(['x'])
            await dead.aclose()
        stub = GenieAcs(token='right')
        url = await stub.start()
        async with lab(f'sqlite:///{tmp_path / "acs.sqlite3"}') as room:
            for refused in (EmbeddedAcsClient(room.api, 'wrong'), GenieAcsClient(Nbi(url, token='wrong'))):
                with pytest.raises(AcsRefusedError):
                    await refused.read_back(['x'])
                await refused.aclose()
        await stub.stop()

    asyncio.run(scenario())
