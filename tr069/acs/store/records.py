"""What the store keeps, as frozen values."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, NamedTuple

from tr069.client import ProfileStatus, ProvisioningState
from tr069.cwmp.messages import ParameterValue, as_values
from tr069.datamodel.tree import Identity


class DeviceRecord(NamedTuple):
    """A device as its last Inform showed it, in the order of its table's columns: every Inform makes and writes one."""

    id: str
    manufacturer: str
    oui: str
    product_class: str
    serial: str
    root: str
    software_version: str
    hardware_version: str
    address: str
    connection_request_url: str
    udp_address: str
    parameter_key: str
    events: str
    first_inform: float
    last_inform: float

    @property
    def identity(self) -> Identity:
        return Identity(self.manufacturer, self.oui, self.product_class, self.software_version)


@dataclass(frozen=True, slots=True)
class DesiredRecord:
    """`before` holds the values found before our first change, by name; restoring puts exactly these back.

    `saved` are the names of those `values` that only go back, and are not what the profile itself asks for.
    """

    device_id: str
    profile: str
    revision: str
    values: tuple[ParameterValue, ...]
    restoring: bool = False
    saved: frozenset[str] = frozenset()
    before: Mapping[str, ParameterValue] = field(default_factory=dict)
    before_key: str | None = None
    note: str = ''
    state: ProvisioningState = ProvisioningState.PENDING
    message: str = ''
    attempts: int = 0
    not_before: float = 0.0
    changed_at: float = 0.0
    version: int = 0

    @property
    def asked(self) -> tuple[ParameterValue, ...]:
        return tuple(item for item in self.values if item.name not in self.saved)

    @property
    def going_back(self) -> tuple[ParameterValue, ...]:
        return tuple(item for item in self.values if item.name in self.saved)

    def without(self, names: Collection[str]) -> DesiredRecord:
        """This, with these names left as they are on the device; their saved values are kept."""
        return replace(
            self,
            values=tuple(item for item in self.values if item.name not in names),
            saved=self.saved - frozenset(names),
        )

    @property
    def status(self) -> ProfileStatus:
        return ProfileStatus(
            self.device_id, self.state, self.profile, self.revision, self.restoring, tuple(self.before.values()),
            self.message, self.note,
        )  # fmt: skip


class TaskState(StrEnum):
    QUEUED = 'queued'
    SENDING = 'sending'  # may have been done: it is not sent again
    DONE = 'done'
    FAILED = 'failed'
    EXPIRED = 'expired'


@dataclass(frozen=True, slots=True)
class TaskRecord:
    """One thing asked of one device, once. `request` and `answer` are JSON-able."""

    id: str
    device_id: str
    request: Mapping[str, Any]
    created_at: float
    expires_at: float
    state: TaskState = TaskState.QUEUED
    answer: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class QuarantineRecord:
    model: str
    path: str
    fault: str
    device_id: str
    since: float


def dump_values(values: Iterable[ParameterValue]) -> str:
    return json.dumps([(item.name, item.value, item.type) for item in values], ensure_ascii=False)


def load_values(text: str) -> tuple[ParameterValue, ...]:
    return as_values(json.loads(text))
