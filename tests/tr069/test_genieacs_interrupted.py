"""Whoever speaks to GenieACS may die between any two calls: what comes after must find its way from there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from tests.simulators.cpe import Cpe
from tests.simulators.cpe_trees import IGD, INTERNET_098
from tests.simulators.genieacs import Device, GenieAcs
from tr069.client import ProvisioningState, ValueProfile
from tr069.cwmp.messages import ParameterValue
from tr069.errors import AcsUnreachableError
from tr069.genieacs import GenieAcsClient
from tr069.genieacs.nbi import Nbi
from tr069.genieacs.scripts import HOLD

RATE = f'{INTERNET_098}.ShapingRate'
PORTAL = f'{IGD}.CaptivePortal.CaptivePortalURL'
SLOW = ValueProfile('throttle', 'slow-64k', (ParameterValue(RATE, '64000', 'xsd:int'),))
SLOWER = ValueProfile(
    'throttle', 'slow-32k', (ParameterValue(RATE, '32000', 'xsd:int'), ParameterValue(PORTAL, 'http://notice.example/'))
)
CALLS = range(1, 40)  # more than any operation makes

type Job = Callable[[GenieAcsClient], Awaitable[Any]]


class DyingNbi(Nbi):
    """Its `lives`-th call and all after it fail, as where the process has died: what it cleans up fails too."""

    def __init__(self, base_url: str, lives: int) -> None:
        super().__init__(base_url, verify=False)  # no TLS here: loading the roots takes longer than the test
        self._lives = lives

    async def _request(self, method: str, path: str, **options: Any) -> httpx.Response:
        self._lives -= 1
        if self._lives <= 0:
            raise AcsUnreachableError('died')
        return await super()._request(method, path, **options)


class Room:
    """One device at GenieACS, with a new client for every thing that is asked: nothing is remembered but by tags."""

    def __init__(self, url: str, genie: GenieAcs, cpe: Cpe, device: Device) -> None:
        self.url, self.genie, self.cpe, self.device = url, genie, cpe, device

    async def ask(self, job: Job) -> Any:
        async with GenieAcsClient(Nbi(self.url, verify=False), preset_delay_s=0) as client:
            return await job(client)

    async def dies(self, job: Job, call: int) -> bool:
        """False where the job was done before it could die."""
        try:
            async with GenieAcsClient(DyingNbi(self.url, call), preset_delay_s=0) as client:
                await job(client)
        except AcsUnreachableError:
            return True
        return False

    def comes(self) -> None:
        for _ in range(2):
            self.genie.session(self.cpe.id)

    async def settles(self, job: Job) -> Any:
        """Asked, done and read back."""
        await self.ask(job)
        for _ in range(2):
            self.comes()
            found = (await self.ask(self.read_back))[self.cpe.id]
        return found

    def values(self) -> tuple[str, str]:
        return self.cpe.value(RATE), self.cpe.value(PORTAL)

    async def apply(self, client: GenieAcsClient, profile: ValueProfile) -> Any:
        return await client.apply(profile, [self.cpe.id])

    async def slow(self, client: GenieAcsClient) -> Any:
        return await self.apply(client, SLOW)

    async def slower(self, client: GenieAcsClient) -> Any:
        return await self.apply(client, SLOWER)

    async def restore(self, client: GenieAcsClient) -> Any:
        return await client.restore([self.cpe.id])

    async def read_back(self, client: GenieAcsClient) -> Any:
        return await client.read_back([self.cpe.id])


@asynccontextmanager
async def room() -> AsyncIterator[Room]:
    genie = GenieAcs()
    cpe = Cpe('S1')
    device = genie.add(cpe)
    try:
        yield Room(await genie.start(), genie, cpe, device)
    finally:
        await genie.stop()


def at_every_call(scenario: Callable[[Room, int], Awaitable[bool]], calls: Sequence[int] = CALLS) -> None:
    """Play `scenario` with death at the first call, the second…, until it says that nobody died."""

    async def play() -> None:
        for call in calls:
            async with room() as r:
                if not await scenario(r, call):
                    assert call > 3
                    return
        pytest.fail('it makes more calls than were tried')

    asyncio.run(play())


@pytest.mark.parametrize('is_seen_between', [False, True])
def test_a_second_profile_cut_short_never_saves_the_throttle_as_the_value_before(is_seen_between: bool) -> None:
    async def scenario(r: Room, call: int) -> bool:
        await r.settles(r.slow)
        died = await r.dies(r.slower, call)
        if is_seen_between:
            r.comes()
            await r.ask(r.read_back)
        found = await r.settles(r.slower)
        assert {item.name: item.value for item in found.before} == {RATE: '-1', PORTAL: ''}, call
        assert r.values() == ('32000', 'http://notice.example/'), call
        await r.settles(r.restore)
        assert r.values() == ('-1', ''), call
        return died

    at_every_call(scenario)


def test_a_profile_cut_short_after_a_restore_saves_what_is_there_now() -> None:
    async def scenario(r: Room, call: int) -> bool:
        await r.settles(r.slow)
        assert (await r.settles(r.restore)).state is ProvisioningState.VERIFIED
        r.cpe.force(RATE, '7000000')  # the operator gave it another plan meanwhile
        died = await r.dies(r.slower, call)
        await r.settles(r.slower)
        assert r.cpe.value(RATE) == '32000', call
        await r.settles(r.restore)
        assert r.values() == ('7000000', ''), call
        return died

    at_every_call(scenario)


def test_a_restore_cut_short_is_done_by_the_next() -> None:
    async def scenario(r: Room, call: int) -> bool:
        await r.settles(r.slower)
        died = await r.dies(r.restore, call)
        found = await r.settles(r.restore)
        assert r.values() == ('-1', ''), call
        assert (found.state, found.restoring) == (ProvisioningState.VERIFIED, True), call
        return died

    at_every_call(scenario)


def test_a_restore_that_was_read_back_is_not_done_again() -> None:
    async def scenario() -> None:
        async with room() as r:
            await r.settles(r.slow)
            await r.settles(r.restore)
            r.cpe.force(RATE, '7000000')
            tags = set(r.device.tags)
            await r.ask(r.restore)
            assert r.device.tags == tags
            r.comes()
            assert r.cpe.value(RATE) == '7000000'

    asyncio.run(scenario())


def test_a_read_back_cut_short_does_not_hold_the_device_for_ever() -> None:
    async def held(r: Room, call: int) -> bool:
        await r.ask(r.slow)
        r.comes()
        return await r.dies(r.read_back, call)

    async def goes_on(r: Room, call: int) -> bool:
        died = await held(r, call)
        r.cpe.force(RATE, '-1')
        await r.ask(lambda client: client.read(r.cpe.id, [RATE]))  # GenieACS knows that it differs
        for _ in range(2):
            await r.ask(r.read_back)
            r.comes()
        assert r.cpe.value(RATE) == '64000', call
        return died

    async def is_restored(r: Room, call: int) -> bool:
        died = await held(r, call)
        async with GenieAcsClient(Nbi(r.url, verify=False), preset_delay_s=0) as client:
            await client.restore([r.cpe.id], urgent=False)
        assert HOLD not in r.device.tags, call
        r.comes()
        assert r.cpe.value(RATE) == '-1', call
        return died

    at_every_call(goes_on)
    at_every_call(is_restored)


@pytest.mark.parametrize('shown', ['', '********'])
def test_a_secret_that_could_not_be_put_back_is_not_changed(shown: str) -> None:
    path = f'{IGD}.LANDevice.1.WLANConfiguration.1.KeyPassphrase'
    profile = ValueProfile('wifi', 'r1', (*SLOW.values, ParameterValue(path, 'a-new-one', 'xsd:string')))

    async def scenario() -> None:
        async with room() as r:
            r.cpe.force(path, shown)
            found = (await r.ask(lambda client: r.apply(client, profile)))[r.cpe.id]
            assert found.state is ProvisioningState.FAILED
            assert f'{path} reads empty' in found.message
            r.comes()
            assert r.device.tags == set()
            assert (r.cpe.value(path), r.cpe.value(RATE)) == (shown, '-1')

    asyncio.run(scenario())
