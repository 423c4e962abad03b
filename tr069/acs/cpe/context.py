"""What the work of a session needs, passed in; and who a device is by its Inform."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from tr069.acs.cpe.identities import Identities
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
    model_names: dict[str, str] = field(default_factory=dict)  # of the devices that had to be asked for it
    identities: Identities = field(default_factory=Identities)


def identity_of(inform: m.Inform, model_name: str = '') -> Identity:
    device = inform.device
    software = inform.value('.DeviceInfo.SoftwareVersion') or ''
    name = inform.value('.DeviceInfo.ModelName') or model_name
    return Identity(device.manufacturer, device.oui, device.product_class, software, name)
