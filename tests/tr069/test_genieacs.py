"""GenieACS's traps, one by one, against a stub that has them all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.simulators.cpe import Cpe, Manners
from tests.simulators.cpe_trees import IGD, INTERNET_098
from tests.simulators.genieacs import GenieAcs
from tr069.client import ConnectionRequest, DeviceQuery, ProvisioningState, ValueProfile
from tr069.cwmp.messages import ParameterValue
from tr069.genieacs import GenieAcsClient
from tr069.genieacs.nbi import Nbi, TaskOutcome
from tr069.genieacs.scripts import Definition, read_definition

RATE = f'{INTERNET_098}.ShapingRate'
SLOW = ValueProfile('throttle', 'slow-64k', (ParameterValue(RATE, '64000', 'xsd:int'),))


@asynccontextmanager
async def stub(**options: Any) -> AsyncIterator[tuple[GenieAcs, GenieAcsClient, Nbi]]:
    genie = GenieAcs(**options)
    nbi = Nbi(await genie.start(), in_session_wait_s=0.05)
    client = GenieAcsClient(nbi, preset_delay_s=0)
    try:
        yield genie, client, nbi
    finally:
        await client.aclose()
        await genie.stop()


def test_an_unknown_task_and_an_array_are_never_sent() -> None:
    async def scenario() -> None:
        async with stub() as (genie, _, nbi):
            cpe = Cpe('S1')
            genie.add(cpe)
            for bad in ({'name': 'explode'}, {}, [{'name': 'reboot'}], {'name': None}):
                with pytest.raises(ValueError, match='not a task'):
                    await nbi.task(cpe.id, bad)  # type: ignore[arg-type]
            assert genie.killed_by == []
            assert genie.ignored_arrays == 0
            assert genie.requests == []

    asyncio.run(scenario())


def test_ids_are_encoded_twice_on_the_wire() -> None:
    async def scenario() -> None:
        async with stub() as (genie, client, _):
            cpe = Cpe('A-B', product_class='R 1')
            genie.add(cpe)
            await client.apply(SLOW, [cpe.id])
            assert genie.devices[cpe.id].tags
            assert any('/devices/00AA11-R%25201-A%252DB/' in request for request in genie.requests)

    asyncio.run(scenario())


def test_an_ethernet_port_that_may_be_the_uplink_is_neither_switched_nor_put_back() -> None:
    path = 'Device.Ethernet.Interface.1.Enable'

    async def scenario() -> None:
        async with stub() as (genie, client, _):
            cpe = Cpe('S1', model='tr181')
            genie.add(cpe)
            cpe.force(path, '0')
            await client.read(cpe.id, [path])
            cpe.force(path, '1')
            on, off = (
                ValueProfile('port', value, (ParameterValue(path, value, 'xsd:boolean'),)) for value in ('1', '0')
            )
            await client.apply(on, [cpe.id])
            assert (await client.apply(off, [cpe.id]))[cpe.id].state is ProvisioningState.REFUSED
            await client.restore([cpe.id])
            genie.session(cpe.id)
            assert not cpe.is_cut

    asyncio.run(scenario())


def test_pages_follow_the_id() -> None:
    async def scenario() -> None:
        async with stub() as (genie, client, _):
            for number in range(450):
                genie.add(
                    Cpe(f'P{number:04d}', base={f'{IGD}.DeviceInfo.SoftwareVersion': ('S1', 'xsd:string', False)})
                )
            found = [item.serial async for item in client.find()]
            assert found == [f'P{number:04d}' for number in range(450)]
            assert all('skip' not in request for request in genie.requests)
            wanted = DeviceQuery(ids=tuple(genie.devices)[:90])
            assert len([item async for item in client.find(wanted)]) == 90

    asyncio.run(scenario())


def test_a_value_equal_to_the_cache_is_not_taken_for_set() -> None:
    """GenieACS sends nothing where its cache already says so, whatever the device says."""

    async def scenario() -> None:
        async with stub() as (genie, client, _):
            cpe = Cpe('S1')
            device = genie.add(cpe)
            device.cached[RATE] = (64000, 'xsd:int', True, 0.0)  # what it believes; the device says -1
            await client.apply(SLOW, [cpe.id])
            genie.session(cpe.id)
            found = (await client.read_back([cpe.id]))[cpe.id]
            assert cpe.value(RATE) == '64000'
            assert found.state is ProvisioningState.VERIFIED
            assert found.before == (ParameterValue(RATE, '-1', 'xsd:int'),)

    asyncio.run(scenario())


def test_a_device_changed_behind_the_cache_is_not_called_verified() -> None:
    async def scenario() -> None:
        async with stub() as (genie, client, _):
            cpe = Cpe('S1')
            genie.add(cpe)
            await client.apply(SLOW, [cpe.id])
            genie.session(cpe.id)
            cpe.force(RATE, '-1')
            found = (await client.read_back([cpe.id]))[cpe.id]
            assert found.state is not ProvisioningState.VERIFIED

    asyncio.run(scenario())


def test_a_device_that_accepts_and_ignores_is_never_called_verified() -> None:
    """Each session sets again and leaves the wanted value in the cache; only a reading without a set tells."""

    async def scenario() -> None:
        async with stub() as (genie, client, _):
            cpe = Cpe('S1', manners=Manners(accepts_but_ignores=True))
            genie.add(cpe)
            await client.apply(SLOW, [cpe.id])
            for _ in range(4):
                genie.session(cpe.id)
                found = (await client.read_back([cpe.id]))[cpe.id]
                assert found.state is not ProvisioningState.VERIFIED
            assert not any(tag == 'tr069_hold' for tag in genie.devices[cpe.id].tags)

    asyncio.run(scenario())


@pytest.mark.parametrize('path', [f'{IGD}.NotThere', f'{INTERNET_098}.ConnectionStatus'])
def test_an_absent_or_read_only_path_is_not_a_silent_200(path: str) -> None:
    profile = ValueProfile('p', 'r', (ParameterValue(RATE, '64000', 'xsd:int'), ParameterValue(path, '1')))

    async def scenario() -> None:
        async with stub() as (genie, client, _):
            cpe = Cpe('S1')
            device = genie.add(cpe)
            found = (await client.apply(profile, [cpe.id]))[cpe.id]
            assert found.state in (ProvisioningState.REFUSED, ProvisioningState.FAILED)
            genie.session(cpe.id)
            assert device.tags == set()
            assert cpe.sets == []

    asyncio.run(scenario())


@pytest.mark.parametrize('drops_reasons', [False, True])
def test_a_faulted_task_is_found_even_where_a_proxy_drops_the_reason(drops_reasons: bool) -> None:
    async def scenario() -> None:
        async with stub(drops_reasons=drops_reasons) as (genie, _, nbi):
            cpe = Cpe('S1')
            genie.add(cpe)
            cpe.faults['SetParameterValues'] = [Cpe.parameter_fault(RATE, 9007)]
            task = {'name': 'setParameterValues', 'parameterValues': [[RATE, 64000, 'xsd:int']]}
            result = await nbi.task(cpe.id, task)
            assert result.outcome is TaskOutcome.FAULTED
            assert result.fault is not None
            assert result.fault.parameters[0].name == RATE
            await nbi.delete_fault(f'{cpe.id}:task_{result.task_id}')
            assert genie.faults == {}
            assert genie.tasks == {}

    asyncio.run(scenario())


def test_what_an_absent_device_did_not_do_is_taken_back() -> None:
    async def scenario() -> None:
        async with stub() as (genie, client, _):
            cpe = Cpe('S1')
            genie.add(cpe, online=False)
            assert (await client.read(cpe.id, [RATE])).error
            device = genie.devices[cpe.id]
            young = dict(device.cached)
            device.cached = {path: (*leaf[:3], 1.0) for path, leaf in young.items()}
            found = (await client.apply(SLOW, [cpe.id]))[cpe.id]
            assert found.state is ProvisioningState.FAILED  # its old value is not known: nothing is changed
            assert 'nothing was changed' in found.message
            assert genie.tasks == {}
            assert device.tags == set()

    asyncio.run(scenario())


def test_an_absent_device_whose_old_value_is_known_waits_with_its_tag_and_without_a_task() -> None:
    async def scenario() -> None:
        async with stub() as (genie, client, _):
            cpe = Cpe('S1')
            genie.add(cpe, online=False)
            found = (await client.apply(SLOW, [cpe.id]))[cpe.id]
            assert (found.state, [item.value for item in found.before]) == (ProvisioningState.PENDING, ['-1'])
            assert genie.tasks == {}
            genie.session(cpe.id)
            assert cpe.value(RATE) == '64000'

    asyncio.run(scenario())


def test_bulk_is_one_preset_for_all_and_no_task_each() -> None:
    async def scenario() -> None:
        async with stub() as (genie, client, _):
            cpes = [Cpe(f'B{number}') for number in range(20)]
            for cpe in cpes:
                genie.add(cpe)
            await client.apply(SLOW, [cpe.id for cpe in cpes])
            assert len(genie.presets) == 1
            assert genie.tasks == {}
            assert not any('/tasks' in request for request in genie.requests)
            for cpe in cpes:
                genie.session(cpe.id)
            assert {cpe.value(RATE) for cpe in cpes} == {'64000'}
            await client.restore([cpe.id for cpe in cpes])
            assert len(genie.presets) == 2  # an explicit inverse: untagging alone reverts nothing
            for cpe in cpes:
                genie.session(cpe.id)
            assert {cpe.value(RATE) for cpe in cpes} == {'-1'}
            assert not any(
                tag.startswith(('tr069_on_', 'tr069_off_')) for d in genie.devices.values() for tag in d.tags
            )

    asyncio.run(scenario())


def test_saved_values_outlive_the_client() -> None:
    async def scenario() -> None:
        genie = GenieAcs()
        url = await genie.start()
        cpe = Cpe('S1')
        cpe.force(RATE, '7000000')
        genie.add(cpe)
        async with GenieAcsClient(Nbi(url), preset_delay_s=0) as first:
            await first.apply(SLOW, [cpe.id])
        genie.session(cpe.id)
        async with GenieAcsClient(Nbi(url), preset_delay_s=0) as second:
            assert (await second.read_back([cpe.id]))[cpe.id].before[0].value == '7000000'
            await second.restore([cpe.id])
            genie.session(cpe.id)
        assert cpe.value(RATE) == '7000000'
        await genie.stop()

    asyncio.run(scenario())


def test_what_changes_is_tagged_only_after_what_is_saved() -> None:
    async def scenario() -> None:
        async with stub() as (genie, client, _):
            cpe = Cpe('S1')
            genie.add(cpe)
            await client.apply(SLOW, [cpe.id])
            writes = [request for request in genie.requests if not request.startswith('GET')]
            steps = ('provisions/tr069_was_', 'provisions/tr069_on_', 'tags/tr069_was_', 'tags/tr069_on_')
            order = [next(i for i, request in enumerate(writes) if part in request) for part in steps]
            assert order == sorted(order)

    asyncio.run(scenario())


def test_summons_wait_until_the_presets_are_known_everywhere() -> None:
    async def scenario() -> None:
        genie = GenieAcs(preset_delay_s=0.3)
        url = await genie.start()
        cpes = [Cpe('A'), Cpe('B')]
        for cpe in cpes:
            genie.add(cpe)
        async with GenieAcsClient(Nbi(url), preset_delay_s=0.4) as client:
            await client.apply(SLOW, [cpe.id for cpe in cpes])
            assert set((await client.request_connections([cpe.id for cpe in cpes])).values()) == {
                ConnectionRequest.ACCEPTED
            }
        assert {cpe.value(RATE) for cpe in cpes} == {'64000'}
        await genie.stop()

    asyncio.run(scenario())


def test_a_wrong_connection_request_login_is_named() -> None:
    async def scenario() -> None:
        async with stub() as (genie, client, _):
            cpe = Cpe('S1')
            genie.add(cpe, bad_credentials=True)
            assert (await client.request_connections([cpe.id]))[cpe.id] is ConnectionRequest.REFUSED

    asyncio.run(scenario())


def test_a_definition_survives_its_script() -> None:
    nasty = '"];\n// x </script> ${1}'
    for values in (
        (ParameterValue('A.B', nasty),),
        (ParameterValue('A', '1', 'xsd:boolean'), ParameterValue('B', '2')),
    ):
        definition = Definition(values, 'p', 'r')
        for script in (definition.keep_script(), definition.restore_script(), definition.saved_script()):
            again = read_definition(script)
            assert sorted(again.values, key=lambda item: item.name) == sorted(values, key=lambda item: item.name)
            assert again.hash == definition.hash
            assert script.count('\n// x') == 0
