"""Devices of GenieACS: found page by page, and read from the device itself by a task.

A leaf counts as read only where its timestamp has moved: GenieACS answers 200 to what it did not ask the device.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from tr069.client import EVERY_DEVICE, CpeInfo, DeviceQuery, ParameterReading, ProfileStatus, ProvisioningState
from tr069.cwmp.faults import Advice, advise
from tr069.cwmp.messages import ParameterValue
from tr069.errors import AcsError, AcsRefusedError, AcsUnreachableError, DeviceUnknownError
from tr069.genieacs.device import Device, read_tasks, take_apart
from tr069.genieacs.nbi import Nbi, TaskOutcome, TaskResult

_PAGE = 200
_ATTEMPTS = 3  # at a task that a passing fault stops
_ID_BATCH = 40  # ids in one query: it travels in the URL, of which Node takes 16 KB
_IDENTITY = (
    '_deviceId', '_lastInform', '_tags',
    *(
        f'{root}.{leaf}'
        for root in ('InternetGatewayDevice', 'Device')
        for leaf in (
            'DeviceInfo.SoftwareVersion', 'DeviceInfo.HardwareVersion', 'DeviceInfo.ModelName',
            'ManagementServer.ConnectionRequestURL',
        )
    ),
)  # fmt: skip


class DeviceReader:
    """`slots` limits what reaches GenieACS at a time."""

    def __init__(self, nbi: Nbi, *, in_flight: int, retry_wait_s: float = 1.0) -> None:
        self._nbi = nbi
        self._retry_wait_s = retry_wait_s
        self.slots = asyncio.Semaphore(in_flight)

    async def find(self, query: DeviceQuery = EVERY_DEVICE) -> AsyncIterator[CpeInfo]:
        wanted: dict[str, Any] = {}
        for name, field in (('serial', '_SerialNumber'), ('oui', '_OUI'), ('product_class', '_ProductClass')):
            if getattr(query, name):
                wanted[f'_deviceId.{field}'] = getattr(query, name)
        groups: list[tuple[str, ...]] = [()]
        if query.ids:
            groups = [query.ids[start : start + _ID_BATCH] for start in range(0, len(query.ids), _ID_BATCH)]
        for group in groups:
            after = ''
            while True:
                # `_id` is the one index there is: skipping would read everything before.
                bounds: dict[str, Any] = {'$gt': after} | ({'$in': list(group)} if group else {})
                page = await self._nbi.find('devices', {**wanted, '_id': bounds}, projection=_IDENTITY, limit=_PAGE)
                for document in page:
                    info = take_apart(document).info
                    if query.software_version in ('', info.software_version):
                        yield info
                if len(page) < _PAGE:
                    break
                after = page[-1]['_id']

    async def devices(self, device_ids: Sequence[str], names: Iterable[str] = ()) -> dict[str, Device]:
        projection = tuple(dict.fromkeys((*_IDENTITY, *(name.rstrip('.') for name in names))))
        found: dict[str, Device] = {}
        for start in range(0, len(device_ids), _ID_BATCH):
            part = list(device_ids[start : start + _ID_BATCH])
            for document in await self._nbi.find('devices', {'_id': {'$in': part}}, projection=projection):
                found[document['_id']] = take_apart(document)
        return found

    async def device(self, device_id: str, names: Iterable[str] = ()) -> Device:
        found = await self.devices([device_id], names)
        if device_id not in found:
            raise DeviceUnknownError(f'GenieACS does not know the device {device_id}')
        return found[device_id]

    async def read(self, device_id: str, names: Sequence[str], *, timeout_s: float = 30.0) -> ParameterReading:
        before = await self.device(device_id, names)
        error = ''
        for task in read_tasks(names):
            error = await self.run(device_id, task, timeout_s)
            if error:
                return ParameterReading(device_id, error=error)
        after = await self.device(device_id, names)
        values: dict[str, ParameterValue] = {}
        for name in names:
            below = [path for path in after.leaves if path == name or (name.endswith('.') and path.startswith(name))]
            if not below:
                return ParameterReading(device_id, error=f'{name}: the device has no such parameter')
            stale = [path for path in below if after.stamp(path) == before.stamp(path)]
            if stale:
                return ParameterReading(device_id, error=f'{stale[0]}: GenieACS did not read it from the device')
            values |= after.values(below)
        return ParameterReading(device_id, values, datetime.now(UTC))

    async def run(self, device_id: str, task: Mapping[str, Any], timeout_s: float) -> str:
        """Run one task now; why it was not done, or an empty string."""
        result = await self.run_task(device_id, task, timeout_s)
        return result.message

    async def run_task(self, device_id: str, task: Mapping[str, Any], timeout_s: float) -> TaskResult:
        """Run one task now, again where what stopped it passes; `message` is empty where it was done.

        What could not be done is taken back, so that it does not come as a surprise later.
        """
        for attempt in range(_ATTEMPTS):
            if attempt:
                await asyncio.sleep(self._retry_wait_s)
            async with self.slots:
                result = await self._nbi.task(device_id, task, timeout_ms=max(int(timeout_s * 1000), 1))
                if result.outcome is TaskOutcome.DONE:
                    return result
                if result.outcome is TaskOutcome.QUEUED:
                    if result.task_id:
                        await self._nbi.delete_task(result.task_id)
                    return replace(result, message=f'the device did not come: {result.message or "no session"}')
                await self._nbi.delete_fault(f'{device_id}:task_{result.task_id}')
            if result.fault is None or advise(result.fault) is not Advice.RETRY:
                break
        return replace(result, message=f'fault {result.message}')


async def each[T](ids: Sequence[str], job: Callable[[str], Coroutine[Any, Any, T]]) -> dict[str, T]:
    """`job` for each device, some at a time; the slots within limit what reaches GenieACS."""
    found: dict[str, T] = {}
    for start in range(0, len(ids), 200):
        part = ids[start : start + 200]
        found.update(zip(part, await asyncio.gather(*(job(item) for item in part)), strict=True))
    return found


def alone(
    job: Callable[[str], Coroutine[Any, Any, ProfileStatus]], otherwise: ProvisioningState = ProvisioningState.FAILED
) -> Callable[[str], Coroutine[Any, Any, ProfileStatus]]:
    """`job`, with what GenieACS refuses of one device said of that one. Nobody else's is held up by it."""

    async def guarded(device_id: str) -> ProfileStatus:
        try:
            return await job(device_id)
        except (AcsUnreachableError, AcsRefusedError):
            raise  # that is of all
        except DeviceUnknownError:
            return ProfileStatus(device_id, ProvisioningState.UNKNOWN_DEVICE)
        except AcsError as error:
            return ProfileStatus(device_id, otherwise, message=str(error))

    return guarded
