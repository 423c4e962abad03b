"""What an Inform says of its device, as the row that is kept of it: every Inform comes by here, so it must be cheap."""

from __future__ import annotations

from functools import lru_cache

from tr069.acs.store.records import DeviceRecord
from tr069.cwmp import messages as m

_LEAVES = {
    'SoftwareVersion': 'software_version',
    'HardwareVersion': 'hardware_version',
    'ConnectionRequestURL': 'connection_request_url',
    'UDPConnectionRequestAddress': 'udp_address',
    'ParameterKey': 'parameter_key',
}
_MAX_KEPT_NAMES = 100


@lru_cache(10_000)
def _places(names: tuple[str, ...]) -> tuple[int, ...]:
    """Where among an Inform's parameters each of `_LEAVES` is, in their order; -1 where it is not."""
    leaves = [name.rpartition('.')[2] for name in names]
    return tuple(leaves.index(leaf) if leaf in leaves else -1 for leaf in _LEAVES)


def device_record(key: str, inform: m.Inform, address: str, now: float) -> DeviceRecord:
    values = inform.parameters.values
    names = inform.parameters.names
    # A model's Inform names a dozen parameters or two; the long lists are not kept.
    places = _places(names) if len(names) <= _MAX_KEPT_NAMES else _places.__wrapped__(names)
    software, hardware, url, udp, parameter_key = [values[at] if at >= 0 else '' for at in places]
    device, events = inform.device, inform.events
    return DeviceRecord(
        key,
        device.manufacturer,
        device.oui,
        device.product_class,
        device.serial,
        inform.root[:32],
        software[:128],
        hardware[:128],
        address,
        url[:2048],
        udp[:128],
        parameter_key[:64],
        (events[0].code if len(events) == 1 else ', '.join(event.code for event in events))[:256],
        now,
        now,
    )
