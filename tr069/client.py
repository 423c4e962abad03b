"""`AcsClient`: what an ACS does for us, whichever ACS it is. Frozen values in, frozen values out.

Implemented by `tr069.acs.client.EmbeddedAcsClient` and `tr069.genieacs.GenieAcsClient`; one contract suite tests both.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from tr069.cwmp.messages import ParameterValue
from tr069.datamodel.resolver import LeverReport


@dataclass(frozen=True, slots=True)
class CpeInfo:
    """A device as its ACS knows it. `id` is `OUI-ProductClass-Serial`, percent-encoded, on every ACS alike."""

    id: str
    manufacturer: str = ''
    oui: str = ''
    product_class: str = ''
    serial: str = ''
    software_version: str = ''
    hardware_version: str = ''
    address: str = ''
    connection_request_url: str = ''
    parameter_key: str = ''
    last_inform: datetime | None = None
    model_name: str = ''
    warning: str = ''  # what is odd about it: two devices with one identity


@dataclass(frozen=True, slots=True)
class DeviceQuery:
    """All set fields must match; empty ones match anything. `ids` narrows to these devices."""

    ids: tuple[str, ...] = ()
    serial: str = ''
    oui: str = ''
    product_class: str = ''
    software_version: str = ''


EVERY_DEVICE = DeviceQuery()


@dataclass(frozen=True, slots=True)
class ValueProfile:
    """Values that a device shall have, and keep: set again after a factory reset.

    `revision` names this very set of values; the device carries it as its ParameterKey (32 characters at most).
    `note` is the asker's own: kept beside the values and given back with the state, never sent to a device.
    """

    name: str
    revision: str
    values: tuple[ParameterValue, ...]
    note: str = ''

    def __post_init__(self) -> None:
        names = [item.name for item in self.values]
        if not names or len(set(names)) != len(names):
            raise ValueError(f'profile {self.name}: needs at least one value, and each name once')
        if not 1 <= len(self.revision) <= 32:
            raise ValueError(f'profile {self.name}: the revision has 1 to 32 characters, not {len(self.revision)}')


class ProvisioningState(StrEnum):
    """How far a profile has got on a device."""

    NONE = 'none'  # nothing is asked of this device
    PENDING = 'pending'  # waits for the device's next session
    SENDING = 'sending'  # being sent, or the answer was lost: it is read before anything is sent again
    SENT = 'sent'  # the device took it; not verified yet
    VERIFIED = 'verified'  # read back as asked, in a later session than the one that set it
    FAILED = 'failed'  # the device refused, or reads otherwise
    REFUSED = 'refused'  # not sent: management could be cut, or a value is not fit to send
    QUARANTINED = 'quarantined'  # not sent: the model faulted on a mapped path
    UNKNOWN_DEVICE = 'unknown device'

    @property
    def is_final(self) -> bool:
        """True where the ACS will do nothing more of its own accord (but for drift and factory resets)."""
        return self not in (ProvisioningState.PENDING, ProvisioningState.SENDING, ProvisioningState.SENT)


@dataclass(frozen=True, slots=True)
class ProfileStatus:
    """How far one device is. `before` is what `restore` puts back; `restoring` where that is what is going on."""

    device_id: str
    state: ProvisioningState
    profile: str = ''
    revision: str = ''
    restoring: bool = False
    before: tuple[ParameterValue, ...] = ()
    message: str = ''
    note: str = ''
    call_again: bool = False  # another session now would bring it on


@dataclass(frozen=True, slots=True)
class ParameterReading:
    """Values read from the device itself at `read_at`; `error` where that was not possible (nothing is then known)."""

    device_id: str
    values: Mapping[str, ParameterValue] = field(default_factory=dict)
    read_at: datetime | None = None
    error: str = ''


class ConnectionRequest(StrEnum):
    """What came of a connection request. `ACCEPTED`: the device took it, and opens a session next."""

    ACCEPTED = 'accepted'
    SENT = 'sent'  # by UDP (annex G), which has no answer: the device comes if it got it
    THROTTLED = 'throttled'  # it answered 503: it was called too often
    UNREACHABLE = 'unreachable'  # no route, NAT, or switched off: it comes with its periodic Inform
    REFUSED = 'refused'  # it did not take our credential
    UNKNOWN_DEVICE = 'unknown device'


class AcsClient(Protocol):
    """Every method raises `AcsUnreachableError` or `AcsRefusedError` where the *ACS* fails; a device's failure is data.

    Methods that take several devices answer for each of them, in a mapping by device id.
    """

    def find(self, query: DeviceQuery = EVERY_DEVICE) -> AsyncIterator[CpeInfo]:
        """All matching devices, page by page."""
        ...

    async def read(self, device_id: str, names: Sequence[str], *, timeout_s: float = 30.0) -> ParameterReading:
        """Read from the device itself, which gets a connection request. A name ending in a dot reads everything below.

        Raises `DeviceUnknownError`.
        """
        ...

    async def read_levers(self, device_id: str, *, timeout_s: float = 60.0, max_age_s: float = 0.0) -> LeverReport:
        """What this device can do, from a fresh read of its tree.

        Where it does not come in time, what was read of it under the same software at most `max_age_s` ago is taken.
        Raises `DeviceUnknownError`, or `AcsError` where there is neither.
        """
        ...

    async def apply(
        self, profile: ValueProfile, device_ids: Sequence[str], *, urgent: bool | None = None
    ) -> Mapping[str, ProfileStatus]:
        """Ask for `profile` on many devices. What was there before is saved first. Returns without waiting for them.

        `urgent`: also set it at once, where the ACS has a dearer way to do that (`None`: as the client thinks fit).
        """
        ...

    async def restore(self, device_ids: Sequence[str], *, urgent: bool | None = None) -> Mapping[str, ProfileStatus]:
        """Put back exactly what `apply` saved, then ask nothing more of the device."""
        ...

    async def read_back(self, device_ids: Sequence[str]) -> Mapping[str, ProfileStatus]:
        """How far each device is."""
        ...

    async def request_connections(self, device_ids: Sequence[str]) -> Mapping[str, ConnectionRequest]:
        """Call the devices with paced connection requests."""
        ...

    async def quarantined(self) -> Mapping[str, str]:
        """Models that nothing is sent to, each with the path and the fault that show its map to be wrong."""
        ...

    async def shortcomings(self) -> Sequence[str]:
        """What of this ACS's own setup stands in the way, a sentence each."""
        ...

    async def aclose(self) -> None: ...
