"""What the work of a session needs, passed in; and who a device is by its Inform."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from tr069.acs.settings import Desired
from tr069.acs.store.store import Store
from tr069.cwmp import messages as m
from tr069.datamodel.profiles import DeviceProfile
from tr069.datamodel.tree import Identity


@dataclass(frozen=True, slots=True)
class SessionContext:
    """What the work needs, passed in. `connection_request_login` gives the user name and password to set on a CPE."""

    store: Store
    settings: Desired
    connection_request_login: Callable[[str], tuple[str, str]] | None = None
    verify_soon: Callable[[str], None] | None = None
    profiles: tuple[DeviceProfile, ...] = ()
    clock: Callable[[], float] = time.time


def identity_of(inform: m.Inform) -> Identity:
    device = inform.device
    software = inform.value('.DeviceInfo.SoftwareVersion') or ''
    return Identity(device.manufacturer, device.oui, device.product_class, software)
