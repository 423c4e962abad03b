"""Desired state end to end: a simulated CPE against the real server, on both stores."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.simulators.cpe import BOOTSTRAP, Cpe, LostConnectionError, Manners
from tests.simulators.cpe_trees import BOOLEAN, IGD, INTERNET_098, MANAGEMENT_098, UINT
from tests.tr069.conftest import Lab, lab
from tr069.client import ProfileStatus, ProvisioningState, ValueProfile
from tr069.cwmp.messages import ParameterValue

RATE = f'{INTERNET_098}.ShapingRate'
SLOW = ValueProfile('throttle', 'slow-64k', (ParameterValue(RATE, '64000', 'xsd:int'),))
KEY = f'{IGD}.LANDevice.1.WLANConfiguration.1.KeyPassphrase'
PORTAL = ValueProfile(
    'portal', 'p1', (ParameterValue(f'{IGD}.CaptivePortal.CaptivePortalURL', 'http://notice.example/'),)
)


async def status(room: Lab, cpe: Cpe) -> ProfileStatus:
    return (await room.client.read_back([cpe.id]))[cpe.id]


async def state_of(room: Lab, cpe: Cpe) -> ProvisioningState:
    return (await status(room, cpe)).state


def test_a_profile_is_applied_verified_in_a_later_session_and_restored_exactly(database: str) -> None:
    async def scenario() -> None:
        async with lab(database) as room:
            cpe = room.cpe()
            await cpe.inform()
            assert (await room.client.apply(SLOW, [cpe.id]))[cpe.id].state is ProvisioningState.PENDING
            await cpe.inform()
            assert cpe.value(RATE) == '64000'
            assert await state_of(room, cpe) is ProvisioningState.SENT  # an answer is no proof
            await cpe.inform()
            assert await state_of(room, cpe) is ProvisioningState.VERIFIED
            assert cpe.value(f'{IGD}.ManagementServer.ParameterKey') == 'slow-64k'
            quiet = await cpe.inform()
            assert quiet.rpcs == []  # ParameterKey says it all
            await room.client.restore([cpe.id])
            await cpe.inform()
            assert cpe.value(RATE) == '-1'
            assert cpe.value(f'{IGD}.ManagementServer.ParameterKey') == ''
            await cpe.inform()
            after = await status(room, cpe)
            assert (after.state, after.restoring) == (ProvisioningState.VERIFIED, True)
            cpe.force(RATE, '5000000')  # nothing is asked of it any more
            assert (await cpe.inform()).rpcs == []

    asyncio.run(scenario())


def test_a_factory_reset_brings_the_profile_back_and_keeps_the_values_saved_first(database: str) -> None:
    async def scenario() -> None:
        async with lab(database) as room:
            cpe = room.cpe()
            cpe.force(RATE, '20000000')
            await cpe.inform()
            await room.client.apply(SLOW, [cpe.id])
            await cpe.inform()
            await cpe.inform()
            cpe.factory_reset()
            assert cpe.value(RATE) == '-1'
            await cpe.inform()
            assert cpe.value(RATE) == '64000'
            await cpe.inform()
            assert await state_of(room, cpe) is ProvisioningState.VERIFIED
            await room.client.restore([cpe.id])
            await cpe.inform()
            assert cpe.value(RATE) == '20000000'

    asyncio.run(scenario())


def test_a_lost_answer_is_read_before_anything_is_sent_again(database: str) -> None:
    async def scenario() -> None:
        async with lab(database) as room:
            cpe = room.cpe()
            await cpe.inform()
            cpe.manners.loses_answer = True
            await room.client.apply(SLOW, [cpe.id])
            with pytest.raises(LostConnectionError):
                await cpe.inform()
            assert await state_of(room, cpe) is ProvisioningState.SENDING
            served = await cpe.inform()
            assert served.rpcs == ['GetParameterValues']
            assert len(cpe.sets) == 2  # its connection request login at first contact, and the profile once
            assert await state_of(room, cpe) is ProvisioningState.VERIFIED

    asyncio.run(scenario())


def test_an_acs_that_died_while_sending_reads_before_it_sends_again(database: str) -> None:
    async def scenario() -> None:
        async with lab(database) as room:
            cpe = room.cpe()
            await cpe.inform()
            cpe.manners.loses_answer = True
            await room.client.apply(SLOW, [cpe.id])
            with pytest.raises(LostConnectionError):
                await cpe.inform()
        async with lab(database) as room:
            cpe.url = room.url
            assert await state_of(room, cpe) is ProvisioningState.SENDING
            served = await cpe.inform()
            assert served.rpcs == ['GetParameterValues']
            found = await status(room, cpe)
            assert found.state is ProvisioningState.VERIFIED
            assert found.before == (ParameterValue(RATE, '-1', 'xsd:int'),)

    asyncio.run(scenario())


def test_booleans_are_written_as_the_model_writes_them(tmp_path: Path, sqlite_url: str) -> None:
    (tmp_path / 'p').mkdir()
    (tmp_path / 'p' / 'words.yaml').write_text(
        'name: words\nmatch: {product_class: Words}\nquirks: {boolean_as_number: false}\n'
    )
    path = f'{IGD}.CaptivePortal.Enable'
    profile = ValueProfile('portal', 'r', (ParameterValue(path, '1', 'xsd:boolean'),))

    async def scenario() -> None:
        async with lab(sqlite_url, profiles_directory=tmp_path / 'p') as room:
            words, numbers = room.cpe('A', product_class='Words'), room.cpe('B')
            for cpe in (words, numbers):
                await cpe.inform()
                await room.client.apply(profile, [cpe.id])
                await cpe.inform()
            assert (words.value(path), numbers.value(path)) == ('true', '1')

    asyncio.run(scenario())


def test_a_device_that_accepts_and_ignores_fails_after_its_attempts(sqlite_url: str) -> None:
    async def scenario() -> None:
        async with lab(sqlite_url, desired={'max_attempts': 3, 'backoff_s': 60}) as room:
            cpe = room.cpe(manners=Manners(accepts_but_ignores=True, forgets_parameter_key=True))
            await cpe.inform()
            await room.client.apply(SLOW, [cpe.id])
            for _ in range(12):
                await cpe.inform()
                room.clock.offset += 3600
            found = await status(room, cpe)
            assert found.state is ProvisioningState.FAILED
            assert RATE in found.message
            assert sum(RATE in item for item in cpe.sets) == 3

    asyncio.run(scenario())


def test_status_one_is_verified_only_when_the_value_is_there(sqlite_url: str) -> None:
    async def scenario() -> None:
        async with lab(sqlite_url) as room:
            cpe = room.cpe(manners=Manners(applies_later=True))
            await cpe.inform()
            await room.client.apply(SLOW, [cpe.id])
            await cpe.inform()
            found = await status(room, cpe)
            assert (found.state, found.message) == (ProvisioningState.SENT, 'the device applies it later')
            await cpe.inform()
            assert await state_of(room, cpe) is ProvisioningState.VERIFIED

    asyncio.run(scenario())


def test_drift_shows_in_the_parameter_key_and_is_repaired(sqlite_url: str) -> None:
    async def scenario() -> None:
        async with lab(sqlite_url) as room:
            cpe = room.cpe()
            await cpe.inform()
            await room.client.apply(SLOW, [cpe.id])
            await cpe.inform()
            await cpe.inform()
            cpe.force(RATE, '-1')
            cpe.force(f'{IGD}.ManagementServer.ParameterKey', 'someone-else')
            await cpe.inform()
            assert cpe.value(RATE) == '64000'

    asyncio.run(scenario())


def test_a_device_that_forgets_its_parameter_key_is_read_but_not_set_again(sqlite_url: str) -> None:
    async def scenario() -> None:
        async with lab(sqlite_url) as room:
            cpe = room.cpe(manners=Manners(forgets_parameter_key=True))
            await cpe.inform()
            await room.client.apply(SLOW, [cpe.id])
            for _ in range(4):
                served = await cpe.inform()
            assert served.rpcs == ['GetParameterValues']
            assert sum(RATE in item for item in cpe.sets) == 1

    asyncio.run(scenario())


def test_what_the_first_profile_changed_and_the_second_does_not_goes_back(sqlite_url: str) -> None:
    portal = PORTAL.values[0].name

    async def scenario() -> None:
        async with lab(sqlite_url) as room:
            cpe = room.cpe()
            await cpe.inform()
            await room.client.apply(SLOW, [cpe.id])
            await cpe.inform()
            await cpe.inform()
            await room.client.apply(PORTAL, [cpe.id])
            await cpe.inform()
            assert (cpe.value(RATE), cpe.value(portal)) == ('-1', 'http://notice.example/')
            await room.client.restore([cpe.id])
            await cpe.inform()
            assert (cpe.value(RATE), cpe.value(portal)) == ('-1', '')

    asyncio.run(scenario())


def test_a_restore_before_anything_was_sent_changes_nothing(sqlite_url: str) -> None:
    async def scenario() -> None:
        async with lab(sqlite_url) as room:
            cpe = room.cpe()
            await cpe.inform()
            await room.client.apply(SLOW, [cpe.id])
            await room.client.restore([cpe.id])
            served = await cpe.inform()
            assert served.rpcs == []
            assert cpe.value(RATE) == '-1'

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ('fault', 'expected', 'said'),
    [
        ('9003', ProvisioningState.FAILED, 'did not say which'),
        (Cpe.parameter_fault(RATE, 9007), ProvisioningState.FAILED, RATE),
        (Cpe.parameter_fault(RATE, 9005), ProvisioningState.QUARANTINED, RATE),
        ('9002', ProvisioningState.PENDING, '9002'),
        ('9000', ProvisioningState.FAILED, '9000'),
    ],
)
def test_each_fault_is_answered_as_it_deserves(
    sqlite_url: str, fault: str, expected: ProvisioningState, said: str
) -> None:
    async def scenario() -> None:
        async with lab(sqlite_url) as room:
            cpe = room.cpe()
            await cpe.inform()
            await room.client.apply(SLOW, [cpe.id])
            cpe.faults['SetParameterValues'] = [fault]
            await cpe.inform()
            found = await status(room, cpe)
            assert found.state is expected
            assert said in found.message

    asyncio.run(scenario())


def test_a_wrong_map_quarantines_the_model_and_no_other_device_of_it_is_touched(database: str) -> None:
    async def scenario() -> None:
        async with lab(database) as room:
            first, second = room.cpe('A'), room.cpe('B')
            other = room.cpe('C', product_class='Another')
            for cpe in (first, second, other):
                await cpe.inform()
            await room.client.apply(SLOW, [first.id, second.id, other.id])
            first.faults['SetParameterValues'] = [Cpe.parameter_fault(RATE, 9005)]
            await first.inform()
            await second.inform()
            await other.inform()
            assert await state_of(room, second) is ProvisioningState.QUARANTINED
            assert second.value(RATE) == '-1'
            assert other.value(RATE) == '64000'
            assert '00AA11/Router/S1' in (await status(room, second)).message
            # A model can be let go once its map is right.
            await room.client._call('POST', '/v1/quarantine/release', body={'model': '00AA11/Router/S1'})
            await room.client.apply(SLOW, [second.id])
            await second.inform()
            assert second.value(RATE) == '64000'

    asyncio.run(scenario())


def test_a_wan_is_not_cut_whatever_is_asked(sqlite_url: str) -> None:
    paths = (
        f'{MANAGEMENT_098}.Enable',
        f'{INTERNET_098}.Enable',
        f'{IGD}.WANDevice.1.WANCommonInterfaceConfig.EnabledForInternet',
    )

    async def scenario() -> None:
        async with lab(sqlite_url) as room:
            for number, path in enumerate(paths):
                cpe = room.cpe(f'S{number}')
                cpe.force(f'{IGD}.ManagementServer.ConnectionRequestURL', 'http://10.64.0.7:7547/x')
                await cpe.inform()
                off = ValueProfile('off', 'r1', (ParameterValue(path, '0', 'xsd:boolean'),))
                taken = (await room.client.apply(off, [cpe.id]))[cpe.id]
                assert taken.state is ProvisioningState.PENDING, taken
                await cpe.inform()
                assert await state_of(room, cpe) is ProvisioningState.REFUSED, path
                assert not cpe.is_cut
                assert cpe.value(path) == '1'

    asyncio.run(scenario())


WAN_OFF = ValueProfile('off', 'r1', (ParameterValue(f'{INTERNET_098}.Enable', '0', 'xsd:boolean'),))


@asynccontextmanager
async def two_managed_elsewhere(url: str, folder: Path) -> AsyncIterator[tuple[Lab, Cpe, Cpe]]:
    """Two homes of a model whose internet WAN may be switched off: management is on another.

    The default connection is never touched, so theirs is the management WAN.
    """
    (folder / 'p').mkdir()
    (folder / 'p' / 'acme.yaml').write_text('name: a\nmatch: {manufacturer: Acme}\nguard: {allow_wan_off: true}\n')
    async with lab(url, profiles_directory=folder / 'p') as room:
        homes = room.cpe('A'), room.cpe('B')
        for cpe in homes:
            cpe.force(f'{IGD}.ManagementServer.ConnectionRequestURL', 'http://10.64.0.7:7547/x')
            cpe.force(f'{IGD}.Layer3Forwarding.DefaultConnectionService', MANAGEMENT_098)
            await cpe.inform()
        yield room, *homes


def test_a_wan_may_be_cut_where_the_model_opted_in_and_its_canary_came_back(tmp_path: Path, sqlite_url: str) -> None:
    async def scenario() -> None:
        async with two_managed_elsewhere(sqlite_url, tmp_path) as (room, first, second):
            await room.client.apply(WAN_OFF, [first.id, second.id])
            await first.inform()
            assert first.value(f'{INTERNET_098}.Enable') == '0'
            await second.inform()
            assert await state_of(room, second) is ProvisioningState.REFUSED
            assert second.value(f'{INTERNET_098}.Enable') == '1'
            await first.inform()  # the canary is back
            await room.client.apply(WAN_OFF, [second.id])
            await second.inform()
            assert second.value(f'{INTERNET_098}.Enable') == '0'
            await room.client.restore([second.id])
            await second.inform()
            assert second.value(f'{INTERNET_098}.Enable') == '1'
            assert [first.is_cut, second.is_cut] == [False, False]

    asyncio.run(scenario())


def test_a_canary_whose_change_was_lost_on_the_way_proves_nothing(tmp_path: Path, sqlite_url: str) -> None:
    async def scenario() -> None:
        async with two_managed_elsewhere(sqlite_url, tmp_path) as (room, first, second):
            first.faults['SetParameterValues'] = ['9002']
            await room.client.apply(WAN_OFF, [first.id, second.id])
            await first.inform()
            await first.inform()  # it informs, but nothing was changed on it
            await second.inform()
            assert await state_of(room, second) is ProvisioningState.REFUSED
            assert second.value(f'{INTERNET_098}.Enable') == '1'
            room.clock.offset += 3600
            await first.inform()  # the canary itself goes on trying
            await first.inform()
            assert await state_of(room, first) is ProvisioningState.VERIFIED
            await room.client.apply(WAN_OFF, [second.id])
            await second.inform()
            assert second.value(f'{INTERNET_098}.Enable') == '0'

    asyncio.run(scenario())


def test_a_canary_that_is_restored_or_has_another_profile_hands_on_its_part(tmp_path: Path, sqlite_url: str) -> None:
    async def scenario() -> None:
        async with two_managed_elsewhere(sqlite_url, tmp_path) as (room, first, second):

            async def is_switched_off(cpe: Cpe) -> bool:
                await room.client.apply(WAN_OFF, [cpe.id])
                await cpe.inform()
                return cpe.value(f'{INTERNET_098}.Enable') == '0'

            first.faults['SetParameterValues'] = ['9002']
            await room.client.apply(WAN_OFF, [first.id])
            await first.inform()  # it is the canary now, but its change was not made
            await room.client.restore([first.id])
            for _ in range(3):
                await first.inform()
            assert await state_of(room, first) is ProvisioningState.VERIFIED
            assert await is_switched_off(second), 'the canary is the second now'
            assert not await is_switched_off(first)
            await room.client.apply(SLOW, [second.id])
            for _ in range(3):
                await second.inform()
            assert await state_of(room, second) is ProvisioningState.VERIFIED
            assert await is_switched_off(first), 'and the first again'
            await first.inform()
            assert await is_switched_off(second), 'it has proven itself'

    asyncio.run(scenario())


def test_a_canary_that_came_back_by_a_factory_reset_only_is_followed_by_nobody(tmp_path: Path, sqlite_url: str) -> None:
    async def scenario() -> None:
        async with two_managed_elsewhere(sqlite_url, tmp_path) as (room, first, second):
            await room.client.apply(WAN_OFF, [first.id])
            await first.inform()
            assert first.value(f'{INTERNET_098}.Enable') == '0'
            await room.client.restore([first.id])
            first.factory_reset()  # somebody at home, after days without a word from it
            for _ in range(3):
                await first.inform()
            assert await state_of(room, first) is ProvisioningState.VERIFIED
            for _ in range(2):
                await room.client.apply(WAN_OFF, [second.id])
                await second.inform()
                found = await status(room, second)
                assert (found.state, 'by a factory reset only' in found.message) == (ProvisioningState.REFUSED, True)
            model = '00AA11/Router/S1'
            assert await room.acs.store.release_quarantine(model, 1.0)
            await room.client.apply(WAN_OFF, [second.id])
            await second.inform()
            assert second.value(f'{INTERNET_098}.Enable') == '0'

    asyncio.run(scenario())


@pytest.mark.parametrize('shown', ['', '********'])
def test_a_secret_that_could_not_be_put_back_is_not_changed(sqlite_url: str, shown: str) -> None:
    path = KEY
    profile = ValueProfile('wifi', 'r1', (*SLOW.values, ParameterValue(path, 'a-new-one')))

    async def scenario() -> None:
        async with lab(sqlite_url) as room:
            cpe = room.cpe()
            cpe.force(path, shown)
            await cpe.inform()
            await room.client.apply(profile, [cpe.id])
            await cpe.inform()
            found = await status(room, cpe)
            assert found.state is ProvisioningState.FAILED
            assert f'{path} reads empty' in found.message
            assert (cpe.value(path), cpe.value(RATE)) == (shown, '-1')
            await room.client.restore([cpe.id])
            await cpe.inform()
            assert not any(path in item for item in cpe.sets)

    asyncio.run(scenario())


def test_a_saved_value_goes_back_though_the_guard_would_not_choose_it(sqlite_url: str) -> None:
    path = f'{IGD}.ManagementServer.PeriodicInformInterval'
    often = ValueProfile('often', 'r1', (ParameterValue(path, '300', UINT),))

    async def scenario() -> None:
        async with lab(sqlite_url) as room:
            cpe = room.cpe()
            cpe.force(path, '604800')
            await cpe.inform()
            await room.client.apply(often, [cpe.id])
            await cpe.inform()
            assert cpe.value(path) == '300'
            await cpe.inform()
            await room.client.apply(SLOW, [cpe.id])
            await cpe.inform()
            assert (cpe.value(path), cpe.value(RATE)) == ('604800', '64000')

    asyncio.run(scenario())


def test_a_restore_spares_the_wan_that_management_has_moved_to(sqlite_url: str) -> None:
    path = f'{INTERNET_098}.Enable'
    on = ValueProfile('on', 'r1', (*SLOW.values, ParameterValue(path, '1', BOOLEAN)))

    async def scenario() -> None:
        async with lab(sqlite_url) as room:
            cpe = room.cpe()
            cpe.force(path, '0')
            cpe.force(f'{IGD}.ManagementServer.ConnectionRequestURL', 'http://10.64.0.7:7547/x')
            await cpe.inform()
            await room.client.apply(on, [cpe.id])
            for _ in range(2):
                await cpe.inform()
            assert (cpe.value(path), await state_of(room, cpe)) == ('1', ProvisioningState.VERIFIED)
            cpe.force(f'{INTERNET_098}.ExternalIPAddress', '10.64.0.7')
            await room.client.restore([cpe.id])
            for _ in range(2):
                await cpe.inform()
            found = await status(room, cpe)
            assert (found.state, cpe.value(path), cpe.value(RATE)) == (ProvisioningState.VERIFIED, '1', '-1')
            assert path in found.message

    asyncio.run(scenario())


def test_a_path_that_nobody_may_set_is_refused_though_it_is_so_already(sqlite_url: str) -> None:
    path = f'{IGD}.Layer3Forwarding.DefaultConnectionService'

    async def scenario() -> None:
        async with lab(sqlite_url) as room:
            cpe = room.cpe()
            await cpe.inform()
            await room.client.apply(SLOW, [cpe.id])
            for _ in range(2):
                await cpe.inform()
            await room.client.apply(ValueProfile('x', 'r9', (ParameterValue(path, cpe.value(path)),)), [cpe.id])
            await cpe.inform()
            assert await state_of(room, cpe) is ProvisioningState.REFUSED
            assert not any(path in item for item in cpe.sets)

    asyncio.run(scenario())


def test_a_wan_that_happened_to_be_off_is_not_switched_off_unguarded_after_a_reset(sqlite_url: str) -> None:
    async def scenario() -> None:
        async with lab(sqlite_url) as room:
            cpe = room.cpe()
            cpe.force(f'{INTERNET_098}.Enable', '0')
            await cpe.inform()
            await room.client.apply(WAN_OFF, [cpe.id])
            for _ in range(2):
                await cpe.inform()
            cpe.factory_reset()
            await cpe.inform()
            assert await state_of(room, cpe) is ProvisioningState.REFUSED
            assert cpe.value(f'{INTERNET_098}.Enable') == '1'

    asyncio.run(scenario())


def test_a_restore_sets_what_reads_as_wanted_too_since_another_value_may_be_on_its_way(sqlite_url: str) -> None:
    """A CPE that answered status 1 takes the throttle at its next boot, unless it is asked otherwise before that."""
    both = ValueProfile('both', 'r1', SLOW.values + PORTAL.values)

    async def scenario() -> None:
        async with lab(sqlite_url) as room:
            cpe = room.cpe()
            await cpe.inform()
            await room.client.apply(both, [cpe.id])
            await cpe.inform()
            cpe.force(RATE, '-1')
            await room.client.restore([cpe.id])
            await cpe.inform()
            assert cpe.sets[-1] == {RATE: '-1', PORTAL.values[0].name: ''}

    asyncio.run(scenario())


@pytest.mark.parametrize('trouble', ['gone', 'refused'])
def test_one_saved_value_that_cannot_go_back_holds_up_no_other(sqlite_url: str, trouble: str) -> None:
    portal = PORTAL.values[0].name
    both = ValueProfile('both', 'r1', SLOW.values + PORTAL.values)

    def spoil(cpe: Cpe) -> None:
        if trouble == 'refused':
            cpe.manners.refuses = (portal,)
        else:
            cpe.base = {path: node for path, node in cpe.base.items() if path != portal}
            cpe.changes.pop(portal)

    async def scenario() -> None:
        async with lab(sqlite_url) as room:
            first, second = room.cpe('A'), room.cpe('B')
            for cpe in (first, second):
                await cpe.inform()
                await room.client.apply(both, [cpe.id])
                for _ in range(2):
                    await cpe.inform()
                spoil(cpe)
            await room.client.restore([first.id])
            await first.inform()
            found = await status(room, first)
            assert (found.state, portal in found.message) == (ProvisioningState.FAILED, True)
            assert first.value(RATE) == '-1'
            other = ValueProfile('other', 'r2', (ParameterValue(f'{IGD}.DeviceInfo.ProvisioningCode', 'A7'),))
            await room.client.apply(other, [second.id])
            for _ in range(2):
                await second.inform()
            found = await status(room, second)
            if trouble == 'gone':
                assert (found.state, portal in found.message) == (ProvisioningState.VERIFIED, True)
            else:
                assert found.state is ProvisioningState.FAILED
            assert second.value(RATE) == '-1'
            assert room.acs.store.quarantined == {}

    asyncio.run(scenario())


def test_a_tree_that_could_not_be_read_is_no_proof_that_a_wan_may_go(sqlite_url: str) -> None:
    path = f'{INTERNET_098}.Enable'
    on = ValueProfile('on', 'r1', (ParameterValue(path, '1', BOOLEAN),))

    async def scenario() -> None:
        async with lab(sqlite_url) as room:
            cpe = room.cpe()
            cpe.force(path, '0')
            await cpe.inform()
            await room.client.apply(on, [cpe.id])
            for _ in range(2):
                await cpe.inform()
            answer = cpe._do_GetParameterValues

            def busy(xml: str) -> str:
                return cpe._fault('9004') if 'WANDevice.<' in xml else answer(xml)

            await room.client.restore([cpe.id])
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(cpe, '_do_GetParameterValues', busy)
                await cpe.inform()
            assert (await state_of(room, cpe), cpe.value(path)) == (ProvisioningState.PENDING, '1')
            room.clock.offset += 3600
            for _ in range(2):
                await cpe.inform()
            assert (await state_of(room, cpe), cpe.value(path)) == (ProvisioningState.VERIFIED, '0')

    asyncio.run(scenario())


def test_what_goes_back_goes_back_though_the_new_values_are_refused(sqlite_url: str) -> None:
    unknown = ValueProfile('unknown', 'r2', (ParameterValue(f'{IGD}.DeviceInfo.SoftwareVersion', 'S2'),))
    absent = ValueProfile('absent', 'r4', (ParameterValue(f'{IGD}.QueueManagement.NotThere', '1'),))

    async def scenario() -> None:
        async with lab(sqlite_url) as room:
            cpe, other = room.cpe(), room.cpe('B')
            for item in (cpe, other):
                await item.inform()
                await room.client.apply(SLOW, [item.id])
                for _ in range(2):
                    await item.inform()
            await room.client.apply(unknown, [cpe.id])
            cpe.manners.loses_answer = True
            with pytest.raises(LostConnectionError):
                await cpe.inform()
            assert await state_of(room, cpe) is ProvisioningState.PENDING, 'it is not known whether that went back'
            cpe.force(RATE, '64000')
            await cpe.inform()
            found = await status(room, cpe)
            assert found.state is ProvisioningState.REFUSED
            assert 'not known to spare management' in found.message
            assert cpe.value(RATE) == '-1'
            # Nor where the device faults on them, when they are read or when they are set.
            for profile in (absent, PORTAL):
                await room.client.apply(SLOW, [cpe.id])
                await cpe.inform()
                assert cpe.value(RATE) == '64000'
                if profile is PORTAL:
                    cpe.faults['SetParameterValues'] = [Cpe.parameter_fault(PORTAL.values[0].name, 9007)]
                await room.client.apply(profile, [cpe.id])
                await cpe.inform()
                assert (await state_of(room, cpe)) in (ProvisioningState.FAILED, ProvisioningState.QUARANTINED)
                assert cpe.value(RATE) == '-1'
                await room.acs.store.release_quarantine('00AA11/Router/S1', 0.0)
            # Nor where they could not be saved.
            await room.client.apply(SLOW, [cpe.id])
            await cpe.inform()
            cpe.force(KEY, '')
            await room.client.apply(ValueProfile('wifi', 'r5', (ParameterValue(KEY, 'a-new-one'),)), [cpe.id])
            await cpe.inform()
            assert (await state_of(room, cpe), cpe.value(RATE)) == (ProvisioningState.FAILED, '-1')
            # Nor where their model is in quarantine.
            await room.acs.store.quarantine('00AA11/Router/S1', RATE, '9005', 'x', 0.0)
            await room.client.apply(PORTAL, [other.id])
            await other.inform()
            assert await state_of(room, other) is ProvisioningState.QUARANTINED
            assert (other.value(RATE), other.value(PORTAL.values[0].name)) == ('-1', '')

    asyncio.run(scenario())


def test_a_value_the_device_does_not_tell_is_not_changed(sqlite_url: str) -> None:
    async def scenario() -> None:
        async with lab(sqlite_url) as room:
            cpe = room.cpe(manners=Manners(omit_names=(RATE,)))
            await cpe.inform()
            await room.client.apply(SLOW, [cpe.id])
            await cpe.inform()
            found = await status(room, cpe)
            assert found.state is ProvisioningState.FAILED
            assert RATE in found.message
            assert cpe.value(RATE) == '-1'

    asyncio.run(scenario())


def test_two_processes_share_a_postgresql_store(postgres_url: str) -> None:
    async def scenario() -> None:
        async with lab(postgres_url) as one, lab(postgres_url) as two:
            cpe = one.cpe()
            await cpe.inform()
            await one.acs.store.flush()
            await two.client.apply(SLOW, [cpe.id])
            await one.acs.store.poll()
            await cpe.inform()
            assert cpe.value(RATE) == '64000'
            await two.acs.store.poll()
            cpe.url = two.url
            await cpe.inform()
            assert await state_of(one, cpe) is ProvisioningState.VERIFIED
            await one.client.restore([cpe.id])
            # `two` has not heard of the restore: what it decides on an old version is refused, and nothing is lost.
            cpe.factory_reset()
            await cpe.inform(BOOTSTRAP)
            await two.acs.store.poll()
            await cpe.inform()
            assert cpe.value(RATE) == '-1'

    asyncio.run(scenario())


def test_a_device_that_one_process_called_finds_its_work_at_another(postgres_url: str) -> None:
    async def scenario() -> None:
        async with lab(postgres_url) as one, lab(postgres_url) as two:
            cpe = one.cpe()
            await cpe.inform()
            await one.acs.store.flush()
            await two.client.apply(SLOW, [cpe.id])
            assert one.acs.store.status_of(cpe.id) is None, 'it has not polled yet'
            await cpe.inform('6 CONNECTION REQUEST')
            assert cpe.value(RATE) == '64000'

    asyncio.run(scenario())


def test_a_restart_forgets_nothing(database: str) -> None:
    async def scenario() -> None:
        async with lab(database) as room:
            cpe = room.cpe()
            await cpe.inform()
            await room.client.apply(SLOW, [cpe.id])
            await cpe.inform()
        async with lab(database) as room:
            cpe.url = room.url
            await cpe.inform()
            found = await status(room, cpe)
            assert found.state is ProvisioningState.VERIFIED
            assert found.before == (ParameterValue(RATE, '-1', 'xsd:int'),)

    asyncio.run(scenario())


def test_wrong_types_in_a_profile_are_put_right_by_what_the_device_says(sqlite_url: str) -> None:
    profile = ValueProfile('throttle', 'r', (ParameterValue(RATE, '64000', UINT),))  # the device's is xsd:int

    async def scenario() -> None:
        async with lab(sqlite_url) as room:
            cpe = room.cpe()
            await cpe.inform()
            await room.client.apply(profile, [cpe.id])
            await cpe.inform()
            assert cpe.value(RATE) == '64000'

    asyncio.run(scenario())
