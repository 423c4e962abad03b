"""What we keep in GenieACS: provisions, the presets that run them, and the faults that they came to."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping

from tr069.cwmp.faults import Advice, advise, guilty_path
from tr069.genieacs.nbi import Nbi, parse_fault
from tr069.genieacs.reader import DeviceReader
from tr069.genieacs.scripts import (
    BOOTSTRAP,
    CHANNEL,
    HOLD,
    OFF,
    OFF_CHANNEL,
    ON,
    RESET,
    WAS,
    Definition,
    read_definition,
)


class Definitions:
    def __init__(self, nbi: Nbi, *, preset_delay_s: float) -> None:
        self._nbi = nbi
        self._preset_delay_s = preset_delay_s
        self._known: dict[str, Definition] = {}  # provision name → what it holds
        self._presets_ready_at = 0.0

    async def wait_for_presets(self) -> None:
        """Until every worker of GenieACS has dropped its cache of the presets before ours."""
        await asyncio.sleep(max(self._presets_ready_at - time.monotonic(), 0))

    async def store(self, prefix: str, definition: Definition) -> None:
        """Put the provision, and but for saved values the preset, unless we know they are there."""
        name = prefix + definition.hash
        if name in self._known:
            return
        script = {ON: definition.keep_script, OFF: definition.restore_script, WAS: definition.saved_script}[prefix]()
        await self._nbi.put_provision(name, script)
        if prefix != WAS:
            channel = OFF_CHANNEL if prefix == OFF else CHANNEL
            if prefix == ON:
                after_reset = RESET + definition.hash
                await self._nbi.put_provision(after_reset, definition.reset_script())
                await self._nbi.put_preset(
                    after_reset, tag=name, unless=HOLD, provision=after_reset, channel=channel, event=BOOTSTRAP
                )
            await self._nbi.put_preset(name, tag=name, unless=HOLD, provision=name, channel=channel)
            # Every worker caches presets for some seconds: a device called before that finds the old ones.
            self._presets_ready_at = time.monotonic() + self._preset_delay_s
        self._known[name] = definition

    async def load(self, prefix: str, found_hash: str) -> Definition | None:
        if not found_hash:
            return None
        name = prefix + found_hash
        if name not in self._known:
            documents = await self._nbi.find('provisions', {'_id': name})
            if not documents:
                return None
            self._known[name] = read_definition(documents[0]['script'])
        return self._known[name]

    async def forgive(self, device_id: str) -> None:
        """What a device faulted on is not asked again; the fault would hold up its channel for minutes and more.

        One that quarantines the model stays: GenieACS keeps that for us.
        """
        for channel in (CHANNEL, OFF_CHANNEL):
            fault_id = f'{device_id}:{channel}'
            for document in await self._nbi.find('faults', {'_id': fault_id}):
                if channel == OFF_CHANNEL or advise(parse_fault(document)) is not Advice.QUARANTINE_MODEL:
                    await self._nbi.delete_fault(fault_id)

    async def lacks_stock_bootstrap(self) -> bool:
        """Whether the preset is gone with which GenieACS, as installed, drops what it believes of a reset device."""
        return not await self._nbi.find('presets', {'_id': 'bootstrap'})

    async def quarantined(self, reader: DeviceReader) -> Mapping[str, str]:
        """Models with a device that faulted on a mapped path: GenieACS keeps the faults, so it keeps the quarantine."""
        found = await self._nbi.find('faults', {'channel': CHANNEL})
        guilty = {
            str(document['device']): fault
            for document in found
            if advise(fault := parse_fault(document)) is Advice.QUARANTINE_MODEL
        }
        devices = await reader.devices(list(guilty))
        return {
            devices[device_id].identity.model: f'{guilty_path(fault)} {fault}'.strip()
            for device_id, fault in guilty.items()
            if device_id in devices
        }
