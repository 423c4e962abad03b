"""How far a profile has got on a device of GenieACS: by its tags and faults, and by what the device itself says."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from tr069 import guard
from tr069.client import ProfileStatus, ProvisioningState
from tr069.cwmp.faults import Advice, Fault, advise, guilty_path
from tr069.cwmp.messages import ParameterValue
from tr069.datamodel.values import differing
from tr069.genieacs.definitions import Definitions
from tr069.genieacs.device import Device
from tr069.genieacs.nbi import Nbi, parse_fault
from tr069.genieacs.reader import DeviceReader
from tr069.genieacs.scripts import CHANNEL, HOLD, MISSED, OFF_CHANNEL, OK, ON, WAS, Definition, tagged

_PASSING_TRIES = 3  # faults of a device that are forgiven at once


class ReadBack:
    def __init__(self, nbi: Nbi, reader: DeviceReader, definitions: Definitions, *, timeout_s: float) -> None:
        self._nbi = nbi
        self._reader = reader
        self._definitions = definitions
        self._timeout_s = timeout_s
        self._passed: dict[str, int] = {}  # device → passing faults since it was last well

    async def one(self, device: Device) -> ProfileStatus:
        device_id = device.info.id
        now_on = await self._definitions.load(ON, tagged(device.tags, ON))
        was = await self._definitions.load(WAS, tagged(device.tags, WAS))
        wanted = now_on or (Definition(returning(was.values)) if was else None)
        if wanted is None:
            return ProfileStatus(device_id, ProvisioningState.NONE)
        status = ProfileStatus(
            device_id, ProvisioningState.PENDING, wanted.profile, wanted.revision, now_on is None,
            was.values if was else (), note=wanted.note,
        )  # fmt: skip
        if HOLD in device.tags:  # a read-back was cut short: nothing would be set on this device any more
            await self._nbi.untag(device_id, HOLD)
        fault_id = f'{device_id}:{OFF_CHANNEL if now_on is None else CHANNEL}'
        if documents := await self._nbi.find('faults', {'_id': fault_id}):
            return await self._faulted(status, fault_id, parse_fault(documents[0]))
        names = [item.name for item in wanted.values]
        current = await self._reader.device(device_id, names)
        if differing(wanted.values, current.values(names)):
            if MISSED[-1] in device.tags:
                message = 'accepted, but the device reads otherwise'
                return replace(status, state=ProvisioningState.FAILED, message=message)
            return status
        if OK + wanted.hash not in device.tags and (unverified := await self._verify(device, wanted, status)):
            return unverified
        left_out = guard.left_out((item.name for item in was.values) if was else (), wanted.values)
        return replace(status, state=ProvisioningState.VERIFIED, message=left_out)

    async def _faulted(self, status: ProfileStatus, fault_id: str, fault: Fault) -> ProfileStatus:
        """What passes would hold up its channel for minutes: it is tried again at once, some times.

        Then it is left to GenieACS, which goes on trying. It is no failure: the device is not to be had at the moment.
        """
        if advise(fault) is not Advice.RETRY:
            state, message = state_of(fault)
            return replace(status, state=state, message=message)
        tried = self._passed[status.device_id] = self._passed.get(status.device_id, 0) + 1
        if tried <= _PASSING_TRIES:
            await self._nbi.delete_fault(fault_id)
        return replace(status, message=f'fault {fault}', call_again=tried <= _PASSING_TRIES)

    async def _verify(self, device: Device, wanted: Definition, status: ProfileStatus) -> ProfileStatus | None:
        """Ask the device itself; `None` where it is as wanted.

        The cache says what was sent; only the device can say what is. So it is asked, in a session in which our presets
        set nothing: a device that accepts and ignores would be set anew, and its cache look right again.
        """
        device_id = device.info.id
        await self._nbi.tag(device_id, HOLD)
        try:
            reading = await self._reader.read(
                device_id, [item.name for item in wanted.values], timeout_s=self._timeout_s
            )
        finally:
            await self._nbi.untag(device_id, HOLD)
        if reading.error:
            return replace(status, state=ProvisioningState.SENT, message=f'not verified yet: {reading.error}')
        if missed := differing(wanted.values, reading.values):
            return await self._missed(device, missed, status)
        self._passed.pop(device_id, None)
        await self._nbi.tag(device_id, OK + wanted.hash)
        for tag in MISSED:
            if tag in device.tags:
                await self._nbi.untag(device_id, tag)
        return None

    async def _missed(self, device: Device, names: Sequence[str], status: ProfileStatus) -> ProfileStatus:
        """Once may be a device that applies it later. Twice, in two sessions, is one that accepts and ignores."""
        message = f'accepted, but the device reads otherwise: {", ".join(names)}'
        tag = next((tag for tag in MISSED if tag not in device.tags), MISSED[-1])
        await self._nbi.tag(device.info.id, tag)
        if tag == MISSED[-1]:
            return replace(status, state=ProvisioningState.FAILED, message=message)
        return replace(status, message=message, call_again=True)


def may_be_wan(item: ParameterValue, allow_list: Sequence[str] = ()) -> bool:
    """In TR-181 an Ethernet port may be the uplink as well."""
    risk = guard.classify(item, allow_list)
    return risk is guard.Risk.WAN or (risk is guard.Risk.LAN and item.name.startswith('Device.Ethernet.'))


def returning(saved: Iterable[ParameterValue]) -> tuple[ParameterValue, ...]:
    """Those saved values that go back: not what carries management, nor a WAN change, which nobody guards here."""
    return tuple(item for item in saved if guard.classify(item) is not guard.Risk.FORBIDDEN and not may_be_wan(item))


def state_of(fault: Fault) -> tuple[ProvisioningState, str]:
    if advise(fault) is Advice.QUARANTINE_MODEL:
        where = f' at {guilty_path(fault)}' if guilty_path(fault) else ''
        return ProvisioningState.QUARANTINED, f"fault {fault}: the model's map is wrong{where}"
    return ProvisioningState.FAILED, f'fault {fault}'
