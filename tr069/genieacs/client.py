"""`AcsClient` for GenieACS 1.2: devices by tag, preset and provision; single ones also at once, by task.

What it answers is never taken for more than it is: a 200 says that a session ended, an equal cached value that nothing
was sent, and setting a path that is absent or read-only is a 200 as well. So every value is read from the device before
and after, and a leaf counts as read only where its timestamp has moved.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence

from tr069 import guard
from tr069.client import (
    EVERY_DEVICE,
    ConnectionRequest,
    CpeInfo,
    DeviceQuery,
    ParameterReading,
    ProfileStatus,
    ProvisioningState,
    ValueProfile,
)
from tr069.cwmp.faults import Advice, advise
from tr069.cwmp.messages import ParameterValue
from tr069.datamodel.profiles import DeviceProfile, builtin, profile_for
from tr069.datamodel.resolver import LeverReport, resolve
from tr069.datamodel.tree import Leaf, Tree
from tr069.datamodel.values import unreadable_secrets
from tr069.errors import AcsError, DeviceUnknownError
from tr069.genieacs.definitions import Definitions
from tr069.genieacs.device import Device, plain, seconds
from tr069.genieacs.nbi import Nbi
from tr069.genieacs.read_back import ReadBack, may_be_wan, returning, state_of
from tr069.genieacs.reader import DeviceReader, alone, each
from tr069.genieacs.scripts import (
    CHANNEL,
    HOLD,
    OFF,
    OK,
    ON,
    OURS,
    WAS,
    Definition,
    as_text,
    tagged,
)

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
        retry_wait_s: float = 1.0,
        profiles: tuple[DeviceProfile, ...] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._nbi = nbi
        self._single_limit = single_limit
        self._reader = DeviceReader(nbi, in_flight=in_flight, retry_wait_s=retry_wait_s)
        self._definitions = Definitions(nbi, preset_delay_s=preset_delay_s)
        self._read_back = ReadBack(nbi, self._reader, self._definitions, timeout_s=task_timeout_ms / 1000)
        self._max_age_s = max_age_s
        self._timeout_ms = task_timeout_ms
        self._profiles = builtin() if profiles is None else profiles
        self._clock = clock

    async def aclose(self) -> None:
        await self._nbi.aclose()

    async def __aenter__(self) -> GenieAcsClient:
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self.aclose()

    # --- finding and reading ------------------------------------------------------------------------------------------

    def find(self, query: DeviceQuery = EVERY_DEVICE) -> AsyncIterator[CpeInfo]:
        return self._reader.find(query)

    async def read(self, device_id: str, names: Sequence[str], *, timeout_s: float = 30.0) -> ParameterReading:
        return await self._reader.read(device_id, names, timeout_s=timeout_s)

    async def read_levers(self, device_id: str, *, timeout_s: float = 60.0, max_age_s: float = 0.0) -> LeverReport:
        device = await self._reader.device(device_id)
        root = next((path.partition('.')[0] for path in device.leaves), '')
        if not root:
            raise AcsError(f'GenieACS has no tree of {device_id} yet')
        error = await self._reader.run(device_id, {'name': 'refreshObject', 'objectName': root}, timeout_s)
        device = await self._reader.device(device_id, [f'{root}.{part}' for part in _LEVER_PARTS])
        read_at = min((seconds(device.stamp(path)) for path in device.leaves if _is_lever_part(path)), default=0.0)
        if error and read_at < self._clock() - max_age_s:
            raise AcsError(f'{device_id} could not be read: {error}')
        tree: Tree = {
            path: Leaf(as_text(leaf.get('_value')), str(leaf.get('_type', '')), leaf.get('_writable'))
            for path, leaf in device.leaves.items()
        }
        return resolve(tree, profile_for(device.identity, self._profiles))

    # --- applying -----------------------------------------------------------------------------------------------------

    async def apply(
        self, profile: ValueProfile, device_ids: Sequence[str], *, urgent: bool | None = None
    ) -> Mapping[str, ProfileStatus]:
        ids = list(dict.fromkeys(device_ids))
        names = [item.name for item in profile.values]
        devices = await self._reader.devices(ids, names)
        bad_models = await self._definitions.quarantined(self._reader)
        at_once = self._is_urgent(ids, urgent)

        async def one(device_id: str) -> ProfileStatus:
            device = devices.get(device_id)
            if device is None:
                return ProfileStatus(device_id, ProvisioningState.UNKNOWN_DEVICE)
            model = device.identity.model
            quarantine = f'model {model} is quarantined: {bad_models[model]}' if model in bad_models else ''
            return await self._apply_one(profile, device, quarantine, at_once=at_once)

        return await each(ids, alone(one))

    def _is_urgent(self, ids: Sequence[str], urgent: bool | None) -> bool:
        return len(ids) <= self._single_limit if urgent is None else urgent

    async def _apply_one(
        self, profile: ValueProfile, device: Device, quarantine: str, *, at_once: bool
    ) -> ProfileStatus:
        device_id = device.info.id

        def status(state: ProvisioningState, message: str = '', before: Iterable[ParameterValue] = ()) -> ProfileStatus:
            return ProfileStatus(
                device_id, state, profile.name, profile.revision, before=tuple(before), message=message,
                note=profile.note,
            )  # fmt: skip

        now_on = await self._definitions.load(ON, tagged(device.tags, ON))
        was = await self._definitions.load(WAS, tagged(device.tags, WAS))
        if now_on is not None and (now_on.profile, now_on.revision) == (profile.name, profile.revision):
            return status(ProvisioningState.PENDING, before=was.values if was else ())
        # Neither a quarantine nor the guard holds up a profile that only relaxes some of what there is.
        present = {(item.name, item.value) for item in now_on.values} if now_on else set()
        if new := [item for item in profile.values if (item.name, item.value) not in present]:
            if quarantine:
                return status(ProvisioningState.QUARANTINED, quarantine)
            facts = profile_for(device.identity, self._profiles).guard
            if refusal := await self._guard(new, device_id, facts.allow_list):
                return status(ProvisioningState.REFUSED, refusal)
        # Values saved by an earlier profile stand until they have been read back as restored: a switch that was cut
        # short leaves them alone, with neither profile nor restoring to be seen.
        kept = {item.name: item for item in was.values} if was else {}
        if now_on is None and OK + Definition(back := returning(kept.values())).hash in device.tags:
            kept = {name: item for name, item in kept.items() if item not in back}  # left as it was, so still owed
        found = await self._save_values(device, [item.name for item in profile.values], kept, fresh=at_once)
        if isinstance(found, str):
            return status(ProvisioningState.FAILED, f'{found}; nothing was changed')
        before = found | kept
        named = {item.name for item in profile.values}
        typed = tuple(item._replace(type=found[item.name].type or item.type) for item in profile.values)
        wanted = Definition(
            typed + tuple(item for item in returning(kept.values()) if item.name not in named),
            profile.name, profile.revision, profile.note,
        )  # fmt: skip
        await self._switch(device, Definition(tuple(before.values())), ON, wanted)
        if at_once:
            state, message = await self._set_now(device_id, wanted.values)
            return status(state, message, before=before.values())
        return status(ProvisioningState.PENDING, before=before.values())

    async def _guard(self, values: Sequence[ParameterValue], device_id: str, allow_list: tuple[str, ...]) -> str:
        """Why not, or an empty string. A WAN change needs a canary, which only the embedded ACS keeps: refused here."""
        for item in values:
            if may_be_wan(item, allow_list):
                return (
                    f'{item.name} may be a WAN, which is not changed through GenieACS: it could not be guarded at the '
                    'next factory reset'
                )
        tree: dict[str, str] = {}
        for path in guard.reads_needed(values, allow_list):
            reading = await self._reader.read(device_id, [path], timeout_s=self._timeout_ms / 1000)
            tree.update((name, item.value) for name, item in reading.values.items())
        verdict = guard.judge(values, tree, guard.ModelPolicy(allow_list=allow_list))
        return '' if verdict.allowed else verdict.reason

    async def _save_values(
        self, device: Device, names: Sequence[str], kept: Mapping[str, ParameterValue], *, fresh: bool
    ) -> dict[str, ParameterValue] | str:
        """What is there now, or why that cannot be said. What is `kept` already need not be saved again."""
        cached = device.values(names)
        limit = self._clock() - self._max_age_s
        is_young = all(name in cached and seconds(device.stamp(name)) >= limit for name in names)
        if fresh or not is_young:
            reading = await self._reader.read(device.info.id, names, timeout_s=self._timeout_ms / 1000)
            if not reading.error:
                cached = dict(reading.values)
            elif not is_young:
                return reading.error
        locked = [name for name in names if device.leaves.get(name, {}).get('_writable') is False]
        if locked:
            return f'{locked[0]} is read-only'
        secret = unreadable_secrets(item for item in cached.values() if item.name not in kept)
        if secret:
            return f'{", ".join(secret)} reads empty: it could not be put back as it was'
        return cached

    async def _switch(self, device: Device, saved: Definition, prefix: str, wanted: Definition) -> None:
        """Journal, then act: what is saved is stored and tagged before the tag that changes anything.

        It may be cut short anywhere, and is then done anew. Old saved values go first: once the tag is gone that says
        they were restored, they would be taken for the ones to keep.
        """
        await self._definitions.store(WAS, saved)
        await self._definitions.store(prefix, wanted)
        device_id = device.info.id
        await self._definitions.forgive(device_id)
        keep = {WAS + saved.hash, prefix + wanted.hash}
        await self._nbi.tag(device_id, WAS + saved.hash)
        for tag in sorted(device.tags - keep, key=lambda tag: (not tag.startswith(WAS), tag)):
            if tag.startswith(OURS) or tag == HOLD:
                await self._nbi.untag(device_id, tag)
        await self._nbi.tag(device_id, prefix + wanted.hash)

    async def _set_now(self, device_id: str, values: Sequence[ParameterValue]) -> tuple[ProvisioningState, str]:
        """Set at once, by task; where the device does not come its tag does it at the next Inform.

        What the device refuses is said at once. But for a wrong map of the model: that is left to the preset, whose
        fault stays and keeps the model in quarantine.
        """
        task = {
            'name': 'setParameterValues',
            'parameterValues': [[item.name, plain(item), item.type or 'xsd:string'] for item in values],
            'uniqueKey': CHANNEL,
        }
        result = await self._reader.run_task(device_id, task, self._timeout_ms / 1000)
        fault = result.fault
        if fault is not None and advise(fault) not in (Advice.RETRY, Advice.QUARANTINE_MODEL):
            return state_of(fault)
        return ProvisioningState.PENDING, result.message

    async def restore(self, device_ids: Sequence[str], *, urgent: bool | None = None) -> Mapping[str, ProfileStatus]:
        ids = list(dict.fromkeys(device_ids))
        devices = await self._reader.devices(ids)
        at_once = self._is_urgent(ids, urgent)

        async def one(device_id: str) -> ProfileStatus:
            device = devices.get(device_id)
            if device is None:
                return ProfileStatus(device_id, ProvisioningState.UNKNOWN_DEVICE)
            was = await self._definitions.load(WAS, tagged(device.tags, WAS))
            if was is None:
                return ProfileStatus(device_id, ProvisioningState.NONE)
            now_on = await self._definitions.load(ON, tagged(device.tags, ON))
            message = ''
            # Neither profile nor restoring in sight is no proof that it was restored: it may have been cut short.
            back = Definition(returning(was.values))
            if now_on is not None or OK + back.hash not in device.tags:
                await self._switch(device, was, OFF, back)
                if at_once and back.values:
                    _, message = await self._set_now(device_id, back.values)
            name = now_on.profile if now_on else ''
            # What is refused at once may be taken in the next session: what relaxes is not given up.
            return ProfileStatus(
                device_id, ProvisioningState.PENDING, name, restoring=True, before=was.values, message=message
            )

        return await each(ids, alone(one))

    # --- reading back -------------------------------------------------------------------------------------------------

    async def read_back(self, device_ids: Sequence[str]) -> Mapping[str, ProfileStatus]:
        ids = list(dict.fromkeys(device_ids))
        devices = await self._reader.devices(ids)

        async def one(device_id: str) -> ProfileStatus:
            device = devices.get(device_id)
            return (
                await self._read_back.one(device)
                if device
                else ProfileStatus(device_id, ProvisioningState.UNKNOWN_DEVICE)
            )

        return await each(ids, alone(one, ProvisioningState.SENT))

    async def quarantined(self) -> Mapping[str, str]:
        return await self._definitions.quarantined(self._reader)

    async def shortcomings(self) -> Sequence[str]:
        if not await self._definitions.lacks_stock_bootstrap():
            return ()
        return (
            'the preset "bootstrap" of a stock GenieACS is missing: after a factory reset it goes on believing what it '
            'last read of a device, but for the values that are set from here',
        )

    # --- connection requests -----------------------------------------------------------------------------------------

    async def request_connections(self, device_ids: Sequence[str]) -> Mapping[str, ConnectionRequest]:
        ids = list(dict.fromkeys(device_ids))
        await self._definitions.wait_for_presets()

        async def one(device_id: str) -> ConnectionRequest:
            async with self._reader.slots:
                try:
                    came, reason = await self._nbi.call(device_id)
                except DeviceUnknownError:
                    return ConnectionRequest.UNKNOWN_DEVICE
            if came:
                return ConnectionRequest.ACCEPTED
            return ConnectionRequest.REFUSED if 'credential' in reason.lower() else ConnectionRequest.UNREACHABLE

        return await each(ids, one)


def _is_lever_part(path: str) -> bool:
    return path.split('.', 2)[1] in _LEVER_PARTS
