"""What both drivers of an ACS share: lines throttled, blocked and restored at the CPE, and any of its parameters set.

A state is a set of values made of the device's own levers, which the ACS keeps at the device: set at its next session,
verified in a later one, set again after a factory reset. The ACS's guard judges every set on a fresh read.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import batched
from typing import Any, ClassVar, Literal

from pydantic import Field

from nornir_tasks.change import AccessChange, AccessTarget, CpeValue, Mode, Reading, Reply, ValueSet
from nornir_tasks.connections.acs import AcsParameters, AcsSession, is_in_the_clear
from nornir_tasks.drivers.acs.desired import (
    GAVE_UP,
    UNDER_WAY,
    Desired,
    DesiredError,
    found_state,
    levers_for,
    names_to_read,
    reading_of,
)
from nornir_tasks.drivers.base import Abilities, Driver, DriverParameters, Finding
from nornir_tasks.errors import LoginRefusedError, PointUnreachableError
from tr069.client import (
    AcsClient,
    ConnectionRequest,
    CpeInfo,
    DeviceQuery,
    ProfileStatus,
    ProvisioningState,
    ValueProfile,
)
from tr069.datamodel.resolver import LeverReport
from tr069.errors import AcsRefusedError, AcsUnreachableError, Tr069Error

_POLL_S, _POLL_MAX_S = 0.2, 5.0  # between two looks at devices that were called
_COMING = (ConnectionRequest.ACCEPTED, ConnectionRequest.SENT)
SAME_DEVICE = 'another row of this batch is of the same device'


class AcsPoint(AcsParameters):
    """Parameters of an ACS."""

    connection_request: bool = Field(
        True, description='Call the devices after a change; without it they come at their own time'
    )
    settle_seconds: float = Field(
        60, ge=0, description='How long devices that took the call are waited for, until they are verified'
    )  # fmt: skip
    levers_seconds: float = Field(60, gt=0, description='How long a device may take to come and have its tree read')
    levers_max_age_days: float = Field(
        30, ge=0, description='A device that does not come is judged by what was read of it at most so long ago'
    )  # fmt: skip
    in_flight: int = Field(20, ge=1, le=500, description='Devices read at a time')
    urgent_rows: int = Field(5, ge=0, description='Up to so many rows are also sent at once, where that costs more')
    portal_url: str = Field('', pattern=r'^(https?://\S+)?$', description='Notice page, for CPEs with a captive portal')
    block_kbps: int = Field(
        64, ge=8, description='A blocked line is shaped to this, both ways; the guard lets nothing less through'
    )  # fmt: skip
    block: Literal['shape', 'wan_off'] = Field(
        'shape',
        description='"wan_off" switches the WAN of the customer off: only for models whose profile allows it, and only '
        'where the guard proves that management runs elsewhere',
    )
    one_sided: bool = Field(
        False, description='Accept a CPE that can limit one direction only (many can shape nothing but upload)'
    )


class AcsDriver(Driver):
    """See the module. `connection` is an `AcsSession`."""

    abilities: ClassVar[Abilities] = Abilities(
        throttle=True, block=True, stored=True, live=True, redirect=True, ipv6=True, cpe_values=True, check=True
    )
    connection_name: ClassVar[str] = 'netbox_delinquency_acs'
    redials: ClassVar[bool] = False
    identities = (('cwmp_id',),)

    class PointParameters(AcsPoint):
        """See `AcsPoint`."""

    class LineParameters(DriverParameters):
        """A plan has nothing to say here: rates are the plan's own, levers the device's."""

    connection: AcsSession
    parameters: AcsPoint

    # Reading

    def read(self, targets: Sequence[AccessTarget]) -> dict[str, Reading[Any]]:
        readings: dict[str, Reading[Any]] = {}
        devices: dict[str, AccessTarget] = {}
        for target in targets:
            if not target.cwmp_id:
                readings[target.key] = Reading(error='it has no CWMP id, which is what an ACS knows a CPE by')
            elif target.cwmp_id in devices:
                readings[target.key] = readings[devices[target.cwmp_id].key] = Reading(error=SAME_DEVICE)
            else:
                devices[target.cwmp_id] = target
        asked = {device: target for device, target in devices.items() if target.key not in readings}
        if asked:
            readings |= self.connection.run(lambda client: self._read(client, asked))
        return readings

    async def _read(self, client: AcsClient, asked: Mapping[str, AccessTarget]) -> dict[str, Reading[Any]]:
        statuses = await client.read_back(list(asked))

        async def one(device_id: str, target: AccessTarget) -> Reading[Any]:
            status = statuses[device_id]
            if status.state is ProvisioningState.UNKNOWN_DEVICE:
                unknown = f'the ACS does not know the device {device_id}: it has never informed there, or was deleted'
                return Reading(error=unknown, absent=True)
            try:
                reading = reading_of(status, target.values)
                is_other = reading.foreign or 'unreadable' in reading.detail
                names = () if is_other else names_to_read(status)
                if names and reading.observed is None:
                    found = await client.read(device_id, names, timeout_s=self.parameters.levers_seconds)
                    state = found_state(status, found.values, target.values)
                    return Reading(state, state, reading.detail)
            except DesiredError as error:
                return Reading(error=str(error))
            return reading

        return await self._each({target.key: one(device_id, target) for device_id, target in asked.items()})

    async def _each[T](self, jobs: Mapping[str, Any]) -> dict[str, T]:
        """All of `jobs`, `in_flight` at a time; by their keys."""
        slots = asyncio.Semaphore(self.parameters.in_flight)

        async def one(job: Any) -> T:
            async with slots:
                found: T = await job
                return found

        return dict(zip(jobs, await asyncio.gather(*map(one, jobs.values())), strict=True))

    # Changing

    def apply(self, changes: Sequence[AccessChange[Any]], before: Mapping[str, Reading[Any]]) -> dict[str, Reply]:
        # `stop` may ask a database, so it is never asked on the event loop.
        plans = self._plans(changes, before)
        devices = {change.key: change.target.cwmp_id for change in changes}
        replies = {key: plan for key, plan in plans.items() if isinstance(plan, Reply)}
        groups = _grouped((plan, devices[key]) for key, plan in plans.items() if isinstance(plan, Desired))
        statuses: dict[str, ProfileStatus] = {}
        for profile, ids in groups.items():
            if self.stop():
                break
            statuses |= self.connection.run(_asking(profile, ids, urgent=len(changes) <= self.parameters.urgent_rows))
        statuses |= self.connection.run(lambda client: self._settle(client, statuses))
        self.connection.run(lambda client: self._withdraw(client, changes, before, statuses))
        for key, plan in plans.items():
            if isinstance(plan, Desired) and devices[key] in statuses:
                replies[key] = _reply(statuses[devices[key]], plan.note)
        return {key: replies.get(key) or Reply(None, sent=False) for key in devices}

    def _plans(
        self, changes: Sequence[AccessChange[Any]], before: Mapping[str, Reading[Any]]
    ) -> dict[str, Desired | Reply]:
        """What to ask for each row, or why nothing; rows that a stop left out are not in it."""
        plans: dict[str, Desired | Reply] = {}
        for part in batched(changes, self.parameters.in_flight):
            if self.stop():
                break
            jobs = {change.key: change for change in part}
            plans |= self.connection.run(
                lambda client, jobs=jobs: self._each(  # type: ignore[misc]
                    {key: self._plan(client, change, before) for key, change in jobs.items()}
                )
            )
        return plans

    async def _withdraw(
        self,
        client: AcsClient,
        changes: Sequence[AccessChange[Any]],
        before: Mapping[str, Reading[Any]],
        statuses: Mapping[str, ProfileStatus],
    ) -> None:
        """What the ACS gave up on is not left with it: the next profile of the device would be built upon it.

        Only what takes away or adds is withdrawn. What relaxes is left asked for, whatever came of it.
        """
        undone = []
        for change in changes:
            status = statuses.get(change.target.cwmp_id)
            if status is None:
                continue
            earlier = Desired.before(change, before[change.target.key].detail)
            if status.state in GAVE_UP and earlier.is_less_restrictive_than(change):
                undone.append((earlier, change.target.cwmp_id))
        for profile, ids in _grouped(undone).items():
            await _asking(profile, ids)(client)

    async def _plan(
        self, client: AcsClient, change: AccessChange[Any], before: Mapping[str, Reading[Any]]
    ) -> Desired | Reply:
        try:
            detail = before[change.target.key].detail
            now = Desired.before(change, detail)
            wanted = now.after(change, await self._levers(client, change))
            return wanted.without_kept(detail['gave_up']) if 'gave_up' in detail and now.gives_back(change) else wanted
        except (DesiredError, Tr069Error) as error:
            if isinstance(error, (AcsUnreachableError, AcsRefusedError)):
                raise  # that is the point's failure, not the row's
            return Reply(False, f'nothing was asked of the device: {error}')

    async def _levers(self, client: AcsClient, change: AccessChange[Any]) -> tuple[CpeValue, ...]:
        """The values that bring a restricted state about, from the device's own tree. Raises `Tr069Error`."""
        wanted, point = change.desired, self.parameters
        if change.exact or isinstance(wanted, ValueSet) or wanted.mode is Mode.NORMAL:
            return ()
        report = await self._report(client, change.target.cwmp_id)
        return levers_for(
            report, wanted, portal_url=point.portal_url, block_kbps=point.block_kbps, one_sided=point.one_sided,
            cut=point.block == 'wan_off',
        )  # fmt: skip

    async def _report(self, client: AcsClient, device_id: str) -> LeverReport:
        point = self.parameters
        return await client.read_levers(
            device_id, timeout_s=point.levers_seconds, max_age_s=point.levers_max_age_days * 86400
        )

    async def _settle(self, client: AcsClient, statuses: Mapping[str, ProfileStatus]) -> dict[str, ProfileStatus]:
        """Call the devices that have something to do, and wait for those that come; the others stay as they stand."""
        waiting = [device_id for device_id, status in statuses.items() if status.state in UNDER_WAY]
        if not waiting or not self.parameters.connection_request:
            return {}
        found: dict[str, ProfileStatus] = {}
        pause, deadline = _POLL_S, time.monotonic() + self.parameters.settle_seconds
        calling = asyncio.ensure_future(client.request_connections(waiting))
        called: dict[str, ConnectionRequest] = {}
        try:
            while waiting and time.monotonic() < deadline:
                # Calling thousands takes minutes; the first ones are done long before.
                await (asyncio.sleep(pause) if calling.done() else asyncio.wait({calling}, timeout=pause))
                if calling.done():
                    called |= calling.result()
                    waiting = [device_id for device_id in waiting if called.get(device_id) in _COMING]
                found |= await client.read_back(waiting)
                waiting = [device_id for device_id in waiting if found[device_id].state in UNDER_WAY]
                again = [device_id for device_id in waiting if found[device_id].call_again]
                if again and calling.done():  # what stopped them has passed, or is to be seen once more
                    calling = asyncio.ensure_future(client.request_connections(again))
                pause = min(pause * 1.3, _POLL_MAX_S)
        finally:
            calling.cancel()
        return found

    # Devices, for whoever learns which there are

    def devices(self, query: DeviceQuery) -> list[CpeInfo]:
        """The ACS's devices that fit. Raises `EnforcementError`."""

        async def collect(found: AsyncIterator[CpeInfo]) -> list[CpeInfo]:
            return [item async for item in found]

        return self.connection.run(lambda client: collect(client.find(query)))

    def levers(self, device_id: str) -> LeverReport:
        """What a device can do, read from it or remembered. Raises `EnforcementError` where neither is possible."""
        return self.connection.run(lambda client: self._report(client, device_id))

    def profile_status(self, device_id: str) -> ProfileStatus:
        """What the ACS keeps at a device, and how far it is. Raises `EnforcementError`."""
        return self.connection.run(lambda client: client.read_back([device_id]))[device_id]

    # Check

    def check(self, now: datetime) -> list[Finding]:
        async def ask(client: AcsClient) -> tuple[CpeInfo | None, Mapping[str, str], Sequence[str]]:
            return await anext(client.find(), None), await client.quarantined(), await client.shortcomings()

        try:
            newest, quarantined, shortcomings = self.connection.run(ask)
        except PointUnreachableError as error:  # opening the connection sent nothing yet
            subject = 'login' if isinstance(error, LoginRefusedError) else 'reachability'
            return [Finding(subject, ok=False, message=str(error))]
        where = self.connection.where
        findings = [Finding('reachability', ok=True, message=f'{where} answers, and took the credential')]
        if is_in_the_clear(where):
            text = f'{where} is not TLS: the credential can be read on the way'
            findings.append(Finding('transport', ok=False, message=text, required=False))
        text = '' if newest else 'no device has ever informed there: see docs/tr069.md on how to point CPEs at it'
        findings.append(Finding('devices', ok=newest is not None, message=text, required=False))
        if newest and newest.last_inform and newest.last_inform > now + timedelta(seconds=300):
            text = f'{newest.id} informed at {newest.last_inform:%Y-%m-%d %H:%M} UTC, which is in the future'
            findings.append(Finding('clock', ok=False, message=text))
        for model, why in quarantined.items():
            text = f'nothing is sent to this model any more: {why}'
            findings.append(Finding(f'model {model}', ok=False, message=text, required=False))
        findings += [Finding('setup', ok=False, message=text, required=False) for text in shortcomings]
        return findings


def _asking(
    profile: ValueProfile | None, ids: Sequence[str], *, urgent: bool | None = None
) -> Callable[[AcsClient], Awaitable[Mapping[str, ProfileStatus]]]:
    """Ask for the profile, or (`None`) for all that was saved to be put back."""
    if profile is None:
        return lambda client: client.restore(ids, urgent=urgent)
    return lambda client: client.apply(profile, ids, urgent=urgent)


def _grouped(wishes: Iterable[tuple[Desired, str]]) -> dict[ValueProfile | None, list[str]]:
    """Devices by what is wished for them: equal wishes are one profile, however many devices have it."""
    groups: dict[ValueProfile | None, list[str]] = {}
    for wish, device_id in wishes:
        groups.setdefault(wish.profile(), []).append(device_id)
    return groups


def _reply(status: ProfileStatus, note: str) -> Reply:
    if status.state in GAVE_UP or status.state is ProvisioningState.UNKNOWN_DEVICE:
        said = f'{status.state}: {status.message}' if status.message else str(status.state)
        return Reply(False, '; '.join(filter(None, (said, note))))
    return Reply(True, '; '.join(filter(None, (note, status.message))))
