"""What the northbound API takes and gives, as pydantic models: they check the input and describe it in OpenAPI."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from tr069.acs import tasks
from tr069.cwmp.messages import XSD_TYPES

_Name = Annotated[str, Field(min_length=2, max_length=256, pattern=r'^[A-Za-z][A-Za-z0-9_.\-]*$')]
_Text = Annotated[str, Field(max_length=65536, pattern='^[^\x00-\x08\x0b\x0c\x0e-\x1f]*$')]
_DeviceIds = Annotated[list[Annotated[str, Field(max_length=512)]], Field(min_length=1, max_length=100_000)]


class _Body(BaseModel):
    model_config = ConfigDict(extra='forbid', allow_inf_nan=False, hide_input_in_errors=True)


class Value(_Body):
    name: _Name
    value: _Text
    type: str = Field(default='xsd:string', pattern=r'^(xsd:[A-Za-z0-9]+)?$')

    @field_validator('type')
    @classmethod
    def _is_a_type(cls, kind: str) -> str:
        # A device would fault on another one, and its whole model be thought badly mapped.
        if kind and kind.partition(':')[2] not in XSD_TYPES:
            raise ValueError('no type of XML Schema that TR-106 knows')
        return kind


class Devices(_Body):
    device_ids: _DeviceIds


class Apply(Devices):
    """Give the devices these values, and keep them so."""

    profile: str = Field(min_length=1, max_length=128)
    revision: str = Field(min_length=1, max_length=32)
    values: list[Value] = Field(min_length=1, max_length=256)
    note: _Text = ''


class Read(_Body):
    """Read from the device itself. A name ending in a dot reads everything below."""

    names: list[_Name] = Field(min_length=1, max_length=1024)
    timeout_s: float = Field(default=30, ge=0, le=300)


class Task(_Body):
    """One RPC, once. `arguments` are those of `method`."""

    method: str
    arguments: dict[str, Any] = {}
    expires_s: float = Field(default=3600, gt=0)
    connection_request: bool = True
    timeout_s: float = Field(default=0, ge=0, le=300)

    @field_validator('method')
    @classmethod
    def _is_known(cls, method: str) -> str:
        if method not in tasks.METHODS:
            raise ValueError(f'unknown method: one of {", ".join(tasks.METHODS)}')
        return method


class _Answer(BaseModel):
    model_config = ConfigDict(hide_input_in_errors=True)


class DeviceOut(_Answer):
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
    parameter_key: str
    events: str
    first_inform: float
    last_inform: float
    warning: str = ''  # what is odd about it: two devices with one identity


class DevicePage(_Answer):
    """`next` is the `after` of the next page; empty on the last."""

    devices: list[DeviceOut]
    next: str = ''


class StatusOut(_Answer):
    device_id: str
    state: str
    profile: str = ''
    revision: str = ''
    restoring: bool = False
    before: list[Value] = []
    message: str = ''
    note: str = ''


class StatusList(_Answer):
    statuses: list[StatusOut]


class TaskOut(_Answer):
    """`state`: queued, done, failed or expired. `answer` holds `error` where it failed."""

    id: str
    device_id: str
    state: str
    answer: dict[str, Any] = {}


class ConnectionRequestsOut(_Answer):
    """Device id → called, sent, throttled, unreachable, refused, unknown device."""

    connection_requests: dict[str, str]


class LeverOut(_Answer):
    kind: str
    direction: str
    path: str
    unit: str
    status: str
    source: str
    risk: str
    writable: bool | None
    current: str | None
    type: str = ''
    enable: str = ''
    usable: bool
    chosen: bool
    why: str


class LeversOut(_Answer):
    root: str
    profile: str
    levers: list[LeverOut]
    boolean_as_number: bool = True


class QuarantineList(_Answer):
    """Model (OUI/product class/software version) → the path and its fault."""

    models: dict[str, str]


class Model(_Body):
    model: str


class Health(_Answer):
    status: str
    devices: int


class Error(_Answer):
    error: str
