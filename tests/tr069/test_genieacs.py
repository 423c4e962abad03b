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
from tr069.cwmp.faults import Advice, Fault, SetFault, advise
from tr069.cwmp.messages import ParameterValue
from tr069.errors import DeviceUnknownError
from tr069.genieacs import GenieAcsClient
from tr069.genieacs.nbi import Nbi, TaskOutcome, parse_fault
from tr069.genieacs.scripts import Definition, read_definition

RATE = f'{INTERNET_098}.ShapingRate'
SLOW = ValueProfile('throttle', 'slow-64k', (ParameterValue(RATE, '64000', 'xsd:int'),))


@asynccontextmanager
async def stub(**options: Any) -> AsyncIterator[tuple[GenieAcs, GenieAcsClient, Nbi]]:
    genie = GenieAcs(**options)
    nbi = Nbi(await genie.start(), in_session_wait_s=0.05)
    client = GenieAcsClient(nbi, preset_delay_s=0, retry_wait_s=0)
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
            assert len(genie.presets) == 2  # one for every session, and one for that after a factory reset
            assert genie.tasks == {}
            assert not any('/tasks' in request for request in genie.requests)
            for cpe in cpes:
                genie.session(cpe.id)
            assert {cpe.value(RATE) for cpe in cpes} == {'64000'}
            await client.restore([cpe.id for cpe in cpes])
            assert len(genie.presets) == 3  # an explicit inverse: untagging alone reverts nothing
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


# --- faults as the real one (1.2.16) reports them -----------------------------------------------------------------


def test_a_fault_is_read_as_it_is_kept_flat_with_its_parameters_or_none() -> None:
    def fault(code: str, message: str = 'm', **detail: object) -> dict[str, object]:
        return {'code': code, 'message': message} | ({'detail': detail} if detail else {})

    part = {'parameterName': RATE, 'faultCode': '9007', 'faultString': 'no'}
    found = parse_fault(fault('cwmp.9003', faultCode='9003', faultString='m', setParameterValuesFault=[part]))
    assert found == Fault(9003, 'm', (SetFault(RATE, 9007, 'no'),))
    assert parse_fault(fault('cwmp.9003', faultCode='9003', setParameterValuesFault=None)) == Fault(9003, 'm')
    odd = parse_fault(fault('cwmp.9003', setParameterValuesFault=[{'parameterName': 'A', 'faultCode': 'x'}]))
    assert odd.parameters == (SetFault('A', 9003),)
    loop = parse_fault(fault('too_many_commits', 'Too many commit iterations'))
    assert (loop.code, advise(loop)) == (9005, Advice.QUARANTINE_MODEL)
    for code in ('session_terminated', 'script.Error', 'script.TypeError', 'timeout', 'cwmp.9002', 'cwmp.', ''):
        assert advise(parse_fault(fault(code))) is Advice.RETRY, code


def test_a_map_that_is_wrong_is_told_by_too_many_commits_and_quarantines_the_model() -> None:
    """GenieACS swallows a bare 9005, looks for the path anew and sets it again, until it has had enough."""

    async def scenario() -> None:
        async with stub() as (genie, client, _):
            cpe, other = Cpe('S1'), Cpe('S2')
            for item in (cpe, other):
                genie.add(item)
            cpe.faults['SetParameterValues'] = ['9005'] * 100
            await client.apply(SLOW, [cpe.id], urgent=False)
            genie.session(cpe.id)
            assert genie.devices[cpe.id].rpcs.count('SetParameterValues') == 32
            said = (await client.read_back([cpe.id]))[cpe.id]
            assert said.state is ProvisioningState.QUARANTINED
            assert 'Too many commit iterations' in said.message
            refused = (await client.apply(SLOW, [other.id]))[other.id]
            assert refused.state is ProvisioningState.QUARANTINED
            assert other.sets == []

    asyncio.run(scenario())


def test_a_map_that_is_wrong_quarantines_an_urgent_device_as_well() -> None:
    async def scenario() -> None:
        async with stub() as (genie, client, _):
            cpe, other = Cpe('S1'), Cpe('S2')
            for item in (cpe, other):
                genie.add(item)
            cpe.faults['SetParameterValues'] = ['9005'] * 100
            await client.apply(SLOW, [cpe.id], urgent=True)
            genie.session(cpe.id)
            assert (await client.read_back([cpe.id]))[cpe.id].state is ProvisioningState.QUARANTINED
            assert (await client.apply(SLOW, [other.id]))[other.id].state is ProvisioningState.QUARANTINED

    asyncio.run(scenario())


@pytest.mark.parametrize('code', ['session_terminated', 'script.Error', 'cwmp.9002'])
@pytest.mark.parametrize('urgent', [False, True])
def test_a_fault_that_passes_is_no_failure(code: str, urgent: bool) -> None:
    async def scenario() -> None:
        async with stub() as (genie, client, _):
            cpe = Cpe('S1')
            device = genie.add(cpe)
            device.passing = [code] * 2
            said = (await client.apply(SLOW, [cpe.id], urgent=urgent))[cpe.id]
            assert said.state is ProvisioningState.PENDING
            states = []
            for _ in range(6):
                genie.session(cpe.id)
                said = (await client.read_back([cpe.id]))[cpe.id]
                states.append(said.state)
            assert ProvisioningState.FAILED not in states
            assert states[-1] is ProvisioningState.VERIFIED
            assert cpe.value(RATE) == '64000'

    asyncio.run(scenario())


def test_a_fault_that_does_not_pass_is_left_to_genieacs_and_is_still_no_failure() -> None:
    async def scenario() -> None:
        async with stub() as (genie, client, _):
            cpe = Cpe('S1')
            genie.add(cpe).passing = ['session_terminated'] * 50
            await client.apply(SLOW, [cpe.id], urgent=False)
            said = []
            for _ in range(6):
                genie.session(cpe.id)
                said.append((await client.read_back([cpe.id]))[cpe.id])
            assert {item.state for item in said} == {ProvisioningState.PENDING}
            assert [item.call_again for item in said] == [True] * 3 + [False] * 3
            assert 'session_terminated' in said[-1].message
            assert len(genie.faults) == 1

    asyncio.run(scenario())


def test_after_a_factory_reset_nothing_is_called_verified_until_it_was_read() -> None:
    """Without the stock bootstrap preset GenieACS believes what it last read: the throttle, on an open line."""

    async def scenario() -> None:
        async with stub() as (genie, client, _):
            cpe = Cpe('S1')
            device = genie.add(cpe)
            await client.apply(SLOW, [cpe.id])
            genie.session(cpe.id)
            assert (await client.read_back([cpe.id]))[cpe.id].state is ProvisioningState.VERIFIED
            cpe.factory_reset()
            cpe.manners.accepts_but_ignores = True  # and does not take it again
            genie.session(cpe.id)
            assert cpe.value(RATE) == '-1'
            assert not any(tag.startswith('tr069_ok_') for tag in device.tags)
            assert (await client.read_back([cpe.id]))[cpe.id].state is not ProvisioningState.VERIFIED

    asyncio.run(scenario())


def test_a_factory_reset_brings_the_profile_back_and_its_proof() -> None:
    async def scenario() -> None:
        async with stub() as (genie, client, _):
            cpe = Cpe('S1')
            genie.add(cpe)
            await client.apply(SLOW, [cpe.id])
            genie.session(cpe.id)
            await client.read_back([cpe.id])
            cpe.factory_reset()
            genie.session(cpe.id)
            assert cpe.value(RATE) == '64000'
            assert (await client.read_back([cpe.id]))[cpe.id].state is ProvisioningState.VERIFIED

    asyncio.run(scenario())


def test_a_missing_stock_bootstrap_preset_is_named() -> None:
    async def scenario() -> None:
        async with stub() as (genie, client, _):
            assert 'bootstrap' in (await client.shortcomings())[0]
            genie.presets['bootstrap'] = (0.0, {'events': {'0 BOOTSTRAP': True}, 'channel': 'bootstrap'})
            assert await client.shortcomings() == ()

    asyncio.run(scenario())


def test_a_device_that_is_gone_meanwhile_or_refused_holds_up_nobody() -> None:
    async def scenario() -> None:
        async with stub() as (genie, client, nbi):
            gone, refused, well = Cpe('GONE'), Cpe('REFUSED'), Cpe('WELL')
            for cpe in (gone, refused, well):
                genie.add(cpe)
            genie.devices[refused.id].timeless = True
            find = client._reader.devices

            async def stale(ids: Any, names: Any = ()) -> Any:
                found = await find(ids, names)
                genie.devices.pop(gone.id, None)  # deleted between the two calls
                return found

            client._reader.devices = stale  # type: ignore[method-assign]
            ids = [gone.id, refused.id, well.id]
            said = await client.apply(SLOW, ids, urgent=True)
            assert said[gone.id].state is ProvisioningState.UNKNOWN_DEVICE
            assert said[refused.id].state is ProvisioningState.FAILED
            assert '500' in said[refused.id].message
            assert said[well.id].state is ProvisioningState.PENDING
            assert well.value(RATE) == '64000'
            with pytest.raises(DeviceUnknownError):
                await nbi.tag('nobody', 'x')

    asyncio.run(scenario())


def test_a_value_that_is_refused_at_once_is_said_at_once() -> None:
    async def scenario() -> None:
        async with stub() as (genie, client, _):
            cpe = Cpe('S1', manners=Manners(refuses=(RATE,)))
            genie.add(cpe)
            said = (await client.apply(SLOW, [cpe.id], urgent=True))[cpe.id]
            assert said.state is ProvisioningState.FAILED
            assert '9007' in said.message

    asyncio.run(scenario())


def test_a_device_that_accepts_and_ignores_is_named_so_in_the_end() -> None:
    async def scenario() -> None:
        async with stub() as (genie, client, _):
            cpe = Cpe('S1', manners=Manners(accepts_but_ignores=True))
            genie.add(cpe)
            await client.apply(SLOW, [cpe.id], urgent=False)
            said = []
            for _ in range(3):
                genie.session(cpe.id)
                said.append((await client.read_back([cpe.id]))[cpe.id])
            assert [item.state for item in said] == [
                ProvisioningState.PENDING, ProvisioningState.FAILED, ProvisioningState.FAILED,
            ]  # fmt: skip
            assert RATE in said[1].message
            assert 'reads otherwise' in said[2].message
            cpe.manners.accepts_but_ignores = False  # a new firmware
            genie.session(cpe.id)
            assert (await client.read_back([cpe.id]))[cpe.id].state is ProvisioningState.VERIFIED
            assert not any('missed' in tag for tag in genie.devices[cpe.id].tags)

    asyncio.run(scenario())
