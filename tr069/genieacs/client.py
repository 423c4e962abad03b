"""`AcsClient` for GenieACS 1.2: devices by tag, preset and provision; single ones also at once, by task.

What it answers is never taken for more than it is: a 200 says that a session ended, an equal cached value that nothing
was sent, and setting a path that is absent or read-only is a 200 as well. So every value is read from the device before
and after, and a leaf counts as read only where its timestamp has moved.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from tr069 import guard
from tr069.client import (
    EVERY_DEVICE,
    CpeInfo,
    DeviceQuery,
    ParameterReading,
    ProfileStatus,
    Standing,
    Summons,
    ValueProfile,
)
from tr069.cwmp.faults import Advice, Fault, advise, guilty_path
from tr069.cwmp.messages import ParameterValue
from tr069.datamodel.profiles import DeviceProfile, builtin, profile_for
from tr069.datamodel.resolver import LeverReport, resolve
from tr069.datamodel.tree import Leaf, Tree
from tr069.datamodel.values import differing, untold_secrets
from tr069.errors import AcsError, DeviceUnknownError
from tr069.genieacs.device import Device, plain, read_tasks, seconds, take_apart
from tr069.genieacs.nbi import Nbi, TaskOutcome, parse_fault
from tr069.genieacs.scripts import (
    CHANNEL,
    HOLD,
    OFF,
    OFF_CHANNEL,
    OK,
    ON,
    WAS,
    Definition,
    as_text,
    read_definition,
    tagged,
)

_PAGE = 200
_ID_BATCH = 40  # ids in one query: it travels in the URL, of which Node takes 16 KB
_IDENTITY = (
    '_deviceId', '_lastInform', '_tags',
    *(
        f'{root}.{leaf}'
        for root in ('InternetGatewayDevice', 'Device')
        for leaf in (
            'DeviceInfo.SoftwareVersion', 'DeviceInfo.HardwareVersion', 'ManagementServer.ConnectionRequestURL',
        )
    ),
)  # fmt: skip
_LEVER_PARTS = (
    'WANDevice', 'QueueManagement', 'CaptivePortal', 'Firewall', 'LANDevice', 'Layer3Forwarding', 'QoS', 'DHCPv4',
    'Ethernet', 'WiFi', 'PPP', 'IP', 'Routing',
)  # fmt: skip


class GenieAcsClient:
    """`nbi` is open, and is closed with this client.

    `single_limit`: up to so many devices are also set at once, by task.
    `max_age_s`: in bulk, a cached value not older than this is taken for the one to save; else the device is read.
    """

    def __init__(
        self,
        nbi: Nbi,
        *,
        single_limit: int = 1,
        in_flight: int = 20,
        max_age_s: float = 24 * 3600,
        task_timeout_ms: int = 4000,
        preset_delay_s: float = 5.0,
        profiles: tuple[DeviceProfile, ...] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._nbi = nbi
        self._single_limit = single_limit
        self._slots = asyncio.Semaphore(in_flight)
        self._max_age_s = max_age_s
        self._timeout_ms = task_timeout_ms
        self._preset_delay_s = preset_delay_s
        self._profiles = builtin() if profiles is None else profiles
        self._clock = clock
        self._known: dict[str, Definition] = {}  # provision name → what it holds
        self._presets_ready_at = 0.0

    async def aclose(self) -> None:
        await self._nbi.aclose()

    async def __aenter__(self) -> GenieAcsClient:
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self.aclose()

    # --- finding ------------------------------------------------------------------------------------------------------

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

    async def _devices(self, device_ids: Sequence[str], names: Iterable[str] = ()) -> dict[str, Device]:
        projection = tuple(dict.fromkeys((*_IDENTITY, *(name.rstrip('.') for name in names))))
        found: dict[str, Device] = {}
        for start in range(0, len(device_ids), _ID_BATCH):
            part = list(device_ids[start : start + _ID_BATCH])
            for document in await self._nbi.find('devices', {'_id': {'$in': part}}, projection=projection):
                found[document['_id']] = take_apart(document)
        return found

    async def _device(self, device_id: str, names: Iterable[str] = ()) -> Device:
        found = await self._devices([device_id], names)
        if device_id not in found:
            raise DeviceUnknownError(f'GenieACS does not know the device {device_id}')
        return found[device_id]

    # --- reading ------------------------------------------------------------------------------------------------------

    async def read(self, device_id: str, names: Sequence[str], *, timeout_s: float = 30.0) -> ParameterReading:
        before = await self._device(device_id, names)
        error = ''
        for task in read_tasks(names):
            error = await self._run(device_id, task, timeout_s)
            if error:
                return ParameterReading(device_id, error=error)
        after = await self._device(device_id, names)
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

    async def _run(self, device_id: str, task: Mapping[str, Any], timeout_s: float) -> str:
        """Run one task now. What could not be done is taken back, so that it does not come as a surprise later."""
        async with self._slots:
            result = await self._nbi.task(device_id, task, timeout_ms=max(int(timeout_s * 1000), 1))
            if result.outcome is TaskOutcome.FAULTED:
                await self._nbi.delete_fault(f'{device_id}:task_{result.task_id}')
                return f'fault {result.message}'
            if result.outcome is TaskOutcome.QUEUED:
                if result.task_id:
                    await self._nbi.delete_task(result.task_id)
                return f'the device did not come: {result.message or "no session"}'
        return ''

    async def read_levers(self, device_id: str, *, timeout_s: float = 60.0, max_age_s: float = 0.0) -> LeverReport:
        device = await self._device(device_id)
        root = next((path.partition('.')[0] for path in device.leaves), '')
        if not root:
            raise AcsError(f'GenieACS has no tree of {device_id} yet')
        error = await self._run(device_id, {'name': 'refreshObject', 'objectName': root}, timeout_s)
        device = await self._device(device_id, [f'{root}.{part}' for part in _LEVER_PARTS])
        read_at = min((seconds(device.stamp(path)) for path in device.leaves if _is_lever_part(path)), default=0.0)
        if error and read_at < self._clock() - max_age_s:
            raise AcsError(f'{device_id} could not be read: {error}')
        tree: Tree = {
            path: Leaf(as_text(leaf.get('_value')), str(leaf.get('_type', '')), leaf.get('_writable'))
            for path, leaf in device.leaves.items()
        }
        return resolve(tree, profile_for(device.identity, self._profiles))

    # --- definitions --------------------------------------------------------------------------------------------------

    async def _store(self, prefix: str, definition: Definition) -> None:
        """Put the provision, and but for saved values the preset, unless we know they are there."""
        name = prefix + definition.hash
        if name in self._known:
            return
        script = {ON: definition.keep_script, OFF: definition.restore_script, WAS: definition.saved_script}[prefix]()
        await self._nbi.put_provision(name, script)
        if prefix != WAS:
            channel = OFF_CHANNEL if prefix == OFF else CHANNEL
            await self._nbi.put_preset(name, tag=name, unless=HOLD, provision=name, channel=channel)
            # Every worker caches presets for some seconds: a device called before that finds the old ones.
            self._presets_ready_at = time.monotonic() + self._preset_delay_s
        self._known[name] = definition

    async def _load(self, prefix: str, found_hash: str) -> Definition | None:
        if not found_hash:
            return None
        name = prefix + found_hash
        if name not in self._known:
            documents = await self._nbi.find('provisions', {'_id': name})
            if not documents:
                return None
            self._known[name] = read_definition(documents[0]['script'])
        return self._known[name]

    # --- applying -----------------------------------------------------------------------------------------------------

    async def apply(
        self, profile: ValueProfile, device_ids: Sequence[str], *, urgent: bool | None = None
    ) -> Mapping[str, ProfileStatus]:
        ids = list(dict.fromkeys(device_ids))
        names = [item.name for item in profile.values]
        devices = await self._devices(ids, names)
        bad_models = await self.quarantined()
        at_once = self._is_urgent(ids, urgent)

        async def one(device_id: str) -> ProfileStatus:
            device = devices.get(device_id)
            if device is None:
                return ProfileStatus(device_id, Standing.UNKNOWN_DEVICE)
            model = device.identity.model
            quarantine = f'model {model} is quarantined: {bad_models[model]}' if model in bad_models else ''
            return await self._apply_one(profile, device, quarantine, at_once=at_once)

        return await _each(ids, one)

    def _is_urgent(self, ids: Sequence[str], urgent: bool | None) -> bool:
        return len(ids) <= self._single_limit if urgent is None else urgent

    async def _apply_one(
        self, profile: ValueProfile, device: Device, quarantine: str, *, at_once: bool
    ) -> ProfileStatus:
        device_id = device.info.id

        def status(standing: Standing, message: str = '', before: Iterable[ParameterValue] = ()) -> ProfileStatus:
            return ProfileStatus(
                device_id, standing, profile.name, profile.revision, before=tuple(before), message=message,
                note=profile.note,
            )  # fmt: skip

        now_on = await self._load(ON, tagged(device.tags, ON))
        was = await self._load(WAS, tagged(device.tags, WAS))
        if now_on is not None and (now_on.profile, now_on.revision) == (profile.name, profile.revision):
            return status(Standing.PENDING, before=was.values if was else ())
        # Neither a quarantine nor the guard holds up a profile that only gives back some of what there is.
        present = {(item.name, item.value) for item in now_on.values} if now_on else set()
        if new := [item for item in profile.values if (item.name, item.value) not in present]:
            if quarantine:
                return status(Standing.QUARANTINED, quarantine)
            facts = profile_for(device.identity, self._profiles).guard
            if refusal := await self._guard(new, device_id, facts.vouched):
                return status(Standing.REFUSED, refusal)
        # Values saved by an earlier profile stand until they have been read back as restored: a switch that was cut
        # short leaves them alone, with neither profile nor restoring to be seen.
        kept = {item.name: item for item in was.values} if was else {}
        if now_on is None and OK + Definition(back := _returning(kept.values())).hash in device.tags:
            kept = {name: item for name, item in kept.items() if item not in back}  # left as it was, so still owed
        found = await self._save_values(device, [item.name for item in profile.values], kept, fresh=at_once)
        if isinstance(found, str):
            return status(Standing.FAILED, f'{found}; nothing was changed')
        before = found | kept
        named = {item.name for item in profile.values}
        typed = tuple(item._replace(type=found[item.name].type or item.type) for item in profile.values)
        wanted = Definition(
            typed + tuple(item for item in _returning(kept.values()) if item.name not in named),
            profile.name, profile.revision, profile.note,
        )  # fmt: skip
        await self._switch(device, Definition(tuple(before.values())), ON, wanted)
        if at_once:
            await self._set_now(device_id, wanted.values)
        return status(Standing.PENDING, before=before.values())

    async def _guard(self, values: Sequence[ParameterValue], device_id: str, vouched: tuple[str, ...]) -> str:
        """Why not, or an empty string. A WAN change needs a canary, which only the embedded ACS keeps: refused here."""
        for item in values:
            if _may_be_wan(item, vouched):
                return (
                    f'{item.name} may be a WAN, which is not changed through GenieACS: it could not be guarded at the '
                    'next factory reset'
                )
        tree: dict[str, str] = {}
        for path in guard.reads_needed(values, vouched):
            reading = await self.read(device_id, [path], timeout_s=self._timeout_ms / 1000)
            tree.update((name, item.value) for name, item in reading.values.items())
        verdict = guard.judge(values, tree, guard.ModelPolicy(vouched=vouched))
        return '' if verdict.allowed else verdict.reason

    async def _save_values(
        self, device: Device, names: Sequence[str], kept: Mapping[str, ParameterValue], *, fresh: bool
    ) -> dict[str, ParameterValue] | str:
        """What is there now, or why that cannot be told. What is `kept` already need not be saved again."""
        cached = device.values(names)
        limit = self._clock() - self._max_age_s
        is_young = all(name in cached and seconds(device.stamp(name)) >= limit for name in names)
        if fresh or not is_young:
            reading = await self.read(device.info.id, names, timeout_s=self._timeout_ms / 1000)
            if not reading.error:
                cached = dict(reading.values)
            elif not is_young:
                return reading.error
        locked = [name for name in names if device.leaves.get(name, {}).get('_writable') is False]
        if locked:
            return f'{locked[0]} is read-only'
        secret = untold_secrets(item for item in cached.values() if item.name not in kept)
        if secret:
            return f'{", ".join(secret)} reads empty: it could not be put back as it was'
        return cached

    async def _switch(self, device: Device, saved: Definition, prefix: str, wanted: Definition) -> None:
        """Journal, then act: what is saved is stored and tagged before the tag that changes anything.

        It may be cut short anywhere, and is then done anew. Old saved values go first: once the tag is gone that says
        they were restored, they would be taken for the ones to keep.
        """
        await self._store(WAS, saved)
        await self._store(prefix, wanted)
        device_id = device.info.id
        await self._forgive(device_id)
        keep = {WAS + saved.hash, prefix + wanted.hash}
        await self._nbi.tag(device_id, WAS + saved.hash)
        for tag in sorted(device.tags - keep, key=lambda tag: (not tag.startswith(WAS), tag)):
            if tag.startswith((ON, OFF, OK, WAS)) or tag == HOLD:
                await self._nbi.untag(device_id, tag)
        await self._nbi.tag(device_id, prefix + wanted.hash)

    async def _forgive(self, device_id: str) -> None:
        """What a device faulted on is not asked again; the fault would hold up its channel for minutes and more.

        One that quarantines the model stays: GenieACS keeps that for us.
        """
        for channel in (CHANNEL, OFF_CHANNEL):
            fault_id = f'{device_id}:{channel}'
            for document in await self._nbi.find('faults', {'_id': fault_id}):
                if channel == OFF_CHANNEL or advise(parse_fault(document)) is not Advice.QUARANTINE_MODEL:
                    await self._nbi.delete_fault(fault_id)

    async def _set_now(self, device_id: str, values: Sequence[ParameterValue]) -> None:
        """Set at once, by task; where the device does not come its tag does it at the next Inform."""
        task = {
            'name': 'setParameterValues',
            'parameterValues': [[item.name, plain(item), item.type or 'xsd:string'] for item in values],
            'uniqueKey': CHANNEL,
        }
        await self._run(device_id, task, self._timeout_ms / 1000)

    async def restore(self, device_ids: Sequence[str], *, urgent: bool | None = None) -> Mapping[str, ProfileStatus]:
        ids = list(dict.fromkeys(device_ids))
        devices = await self._devices(ids)
        at_once = self._is_urgent(ids, urgent)

        async def one(device_id: str) -> ProfileStatus:
            device = devices.get(device_id)
            if device is None:
                return ProfileStatus(device_id, Standing.UNKNOWN_DEVICE)
            was = await self._load(WAS, tagged(device.tags, WAS))
            if was is None:
                return ProfileStatus(device_id, Standing.NONE)
            now_on = await self._load(ON, tagged(device.tags, ON))
            # Neither profile nor restoring in sight is no proof that it was restored: it may have been cut short.
            back = Definition(_returning(was.values))
            if now_on is not None or OK + back.hash not in device.tags:
                await self._switch(device, was, OFF, back)
                if at_once and back.values:
                    await self._set_now(device_id, back.values)
            name = now_on.profile if now_on else ''
            return ProfileStatus(device_id, Standing.PENDING, name, restoring=True, before=was.values)

        return await _each(ids, one)

    # --- reading back -------------------------------------------------------------------------------------------------

    async def read_back(self, device_ids: Sequence[str]) -> Mapping[str, ProfileStatus]:
        ids = list(dict.fromkeys(device_ids))
        devices = await self._devices(ids)

        async def one(device_id: str) -> ProfileStatus:
            device = devices.get(device_id)
            return await self._read_back_one(device) if device else ProfileStatus(device_id, Standing.UNKNOWN_DEVICE)

        return await _each(ids, one)

    async def _read_back_one(self, device: Device) -> ProfileStatus:
        device_id = device.info.id
        now_on = await self._load(ON, tagged(device.tags, ON))
        was = await self._load(WAS, tagged(device.tags, WAS))
        wanted = now_on or (Definition(_returning(was.values)) if was else None)
        if wanted is None:
            return ProfileStatus(device_id, Standing.NONE)
        left_out = guard.left_out((item.name for item in was.values) if was else (), wanted.values)

        def status(standing: Standing, message: str = '') -> ProfileStatus:
            saved = was.values if was else ()
            return ProfileStatus(
                device_id, standing, wanted.profile, wanted.revision, now_on is None, saved, message, wanted.note
            )

        if HOLD in device.tags:  # a read-back was cut short: nothing would be set on this device any more
            await self._nbi.untag(device_id, HOLD)
        fault = await self._nbi.find('faults', {'_id': f'{device_id}:{OFF_CHANNEL if now_on is None else CHANNEL}'})
        if fault:
            return status(*_standing_of(parse_fault(fault[0])))
        names = [item.name for item in wanted.values]
        current = await self._device(device_id, names)
        if differing(wanted.values, current.values(names)):
            return status(Standing.PENDING)
        verified = OK + wanted.hash
        if verified in device.tags:
            return status(Standing.VERIFIED, left_out)
        # The cache says what was sent; only the device can say what is. So it is asked, in a session in which our
        # presets set nothing: a device that accepts and ignores would be set anew, and its cache look right again.
        await self._nbi.tag(device_id, HOLD)
        try:
            reading = await self.read(device_id, names, timeout_s=self._timeout_ms / 1000)
        finally:
            await self._nbi.untag(device_id, HOLD)
        if reading.error:
            return status(Standing.SENT, f'not verified yet: {reading.error}')
        if differing(wanted.values, reading.values):
            return status(Standing.PENDING, 'the device reads otherwise')
        await self._nbi.tag(device_id, verified)
        return status(Standing.VERIFIED, left_out)

    async def quarantined(self) -> Mapping[str, str]:
        """Models with a device that faulted on a mapped path: GenieACS keeps the faults, so it keeps the quarantine."""
        found = await self._nbi.find('faults', {'channel': CHANNEL})
        guilty = {
            str(document['device']): fault
            for document in found
            if advise(fault := parse_fault(document)) is Advice.QUARANTINE_MODEL
        }
        devices = await self._devices(list(guilty))
        return {
            devices[device_id].identity.model: f'{guilty_path(fault)} {fault}'.strip()
            for device_id, fault in guilty.items()
            if device_id in devices
        }

    # --- summoning ----------------------------------------------------------------------------------------------------

    async def summon(self, device_ids: Sequence[str]) -> Mapping[str, Summons]:
        ids = list(dict.fromkeys(device_ids))
        await asyncio.sleep(max(self._presets_ready_at - time.monotonic(), 0))

        async def one(device_id: str) -> Summons:
            async with self._slots:
                try:
                    came, reason = await self._nbi.call(device_id)
                except DeviceUnknownError:
                    return Summons.UNKNOWN_DEVICE
            if came:
                return Summons.CALLED
            return Summons.REFUSED if 'credential' in reason.lower() else Summons.UNREACHABLE

        return await _each(ids, one)


def _may_be_wan(item: ParameterValue, vouched: Sequence[str] = ()) -> bool:
    """In TR-181 an Ethernet port may be the uplink as well."""
    risk = guard.classify(item, vouched)
    return risk is guard.Risk.WAN or (risk is guard.Risk.LAN and item.name.startswith('Device.Ethernet.'))


def _returning(saved: Iterable[ParameterValue]) -> tuple[ParameterValue, ...]:
    """Those saved values that go back: not what carries management, nor a WAN change, which nobody guards here."""
    return tuple(item for item in saved if guard.classify(item) is not guard.Risk.FORBIDDEN and not _may_be_wan(item))


def _is_lever_part(path: str) -> bool:
    return path.split('.', 2)[1] in _LEVER_PARTS


async def _each[T](ids: Sequence[str], job: Callable[[str], Coroutine[Any, Any, T]]) -> dict[str, T]:
    """`job` for each device, some at a time; the slots within limit what reaches GenieACS."""
    found: dict[str, T] = {}
    for start in range(0, len(ids), 200):
        part = ids[start : start + 200]
        found.update(zip(part, await asyncio.gather(*(job(item) for item in part)), strict=True))
    return found


def _standing_of(fault: Fault) -> tuple[Standing, str]:
    if advise(fault) is Advice.QUARANTINE_MODEL:
        return Standing.QUARANTINED, f"fault {fault}: the model's map is wrong at {guilty_path(fault)}"
    return Standing.FAILED, f'fault {fault}'
