"""CWMP messages as frozen values. Parameter values are text as on the wire, beside their xsd type.

What an Inform is made of are tuples: every session begins with one, and a frozen dataclass takes four times as long.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import quote

from tr069.cwmp.faults import Fault

# `urllib` leaves `-._~` alone; inside an id only letters, digits and `_` may stand bare, or a serial with a dash
# could be read as another device's OUI-ProductClass-Serial.
_BARE = str.maketrans({'-': '%2D', '.': '%2E', '~': '%7E'})


def _bare(part: str) -> str:
    if part.isascii() and part.isalnum():  # nearly all: every Inform comes by here
        return part
    return quote(part, safe='').translate(_BARE)


class DeviceId(NamedTuple):
    """`DeviceIdStruct` of an Inform."""

    manufacturer: str
    oui: str
    product_class: str
    serial: str

    @property
    def key(self) -> str:
        """`OUI-ProductClass-Serial`, each part percent-encoded: the same id GenieACS gives the device."""
        if not self.product_class:
            return self.oui_serial
        return f'{_bare(self.oui)}-{_bare(self.product_class)}-{_bare(self.serial)}'

    @property
    def oui_serial(self) -> str:
        """`OUI-Serial`, encoded likewise: the user name many CPEs are shipped with."""
        return f'{_bare(self.oui)}-{_bare(self.serial)}'


class ParameterValue(NamedTuple):
    """One parameter. `type` is `xsd:string`, `xsd:boolean`, `xsd:unsignedInt`, … or empty where the CPE gave none."""

    name: str
    value: str
    type: str = 'xsd:string'


class Parameters(NamedTuple):
    """What an Inform brings, by columns: a session with nothing to do looks at five values of a dozen."""

    names: tuple[str, ...] = ()
    values: tuple[str, ...] = ()
    types: tuple[str, ...] = ()

    @classmethod
    def of(cls, items: Iterable[ParameterValue]) -> Parameters:
        return cls(*zip(*items, strict=True))


@dataclass(frozen=True, slots=True)
class ParameterInfo:
    name: str
    writable: bool


@dataclass(frozen=True, slots=True)
class ParameterAttribute:
    """`notification`: 0 off, 1 passive, 2 active."""

    name: str
    notification: int
    access: tuple[str, ...] = ()


class Event(NamedTuple):
    code: str
    command_key: str = ''


class Inform(NamedTuple):
    device: DeviceId
    events: tuple[Event, ...] = ()
    parameters: Parameters = Parameters()
    retry_count: int = 0
    current_time: str = ''

    @property
    def root(self) -> str:
        """`InternetGatewayDevice` or `Device`; empty without parameters."""
        names = self.parameters.names
        return names[0].partition('.')[0] if names else ''

    def has(self, code: str) -> bool:
        """True where an event code begins so: `0 BOOTSTRAP`, `1 BOOT`, `6 CONNECTION REQUEST`."""
        for event in self.events:  # noqa: SIM110 - a generator costs three times as much, and every session asks
            if event.code.startswith(code):
                return True
        return False

    def value(self, suffix: str) -> str | None:
        """The first parameter whose path ends in `suffix` (`DeviceInfo.SoftwareVersion`), whatever its root."""
        for name, value in zip(self.parameters.names, self.parameters.values, strict=True):
            if name.endswith(suffix):
                return value
        return None


# --- what the ACS asks ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class GetParameterValues:
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class GetParameterNames:
    path: str
    next_level: bool = True


@dataclass(frozen=True, slots=True)
class SetParameterValues:
    """Atomic: the CPE sets all values or none. A name may come only once."""

    values: tuple[ParameterValue, ...]
    parameter_key: str = ''

    def __post_init__(self) -> None:
        names = [item.name for item in self.values]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f'SetParameterValues names {", ".join(twice)} more than once (TR-069 A.3.2.1 forbids it)')


@dataclass(frozen=True, slots=True)
class GetParameterAttributes:
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SetParameterAttributes:
    attributes: tuple[ParameterAttribute, ...]


@dataclass(frozen=True, slots=True)
class AddObject:
    """`path` ends in a dot."""

    path: str
    parameter_key: str = ''


@dataclass(frozen=True, slots=True)
class DeleteObject:
    path: str
    parameter_key: str = ''


@dataclass(frozen=True, slots=True)
class Reboot:
    command_key: str = ''


@dataclass(frozen=True, slots=True)
class FactoryReset:
    pass


@dataclass(frozen=True, slots=True)
class Download:
    url: str
    file_type: str = '1 Firmware Upgrade Image'
    command_key: str = ''
    username: str = ''
    password: str = ''
    file_size: int = 0
    target_file_name: str = ''
    delay_s: int = 0


@dataclass(frozen=True, slots=True)
class ScheduleInform:
    delay_s: int
    command_key: str = ''


@dataclass(frozen=True, slots=True)
class GetRPCMethods:
    """Either side may ask it."""


Request = (
    GetParameterValues
    | GetParameterNames
    | SetParameterValues
    | GetParameterAttributes
    | SetParameterAttributes
    | AddObject
    | DeleteObject
    | Reboot
    | FactoryReset
    | Download
    | ScheduleInform
    | GetRPCMethods
)

# --- what the CPE answers ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class GetParameterValuesResponse:
    values: tuple[ParameterValue, ...]


@dataclass(frozen=True, slots=True)
class GetParameterNamesResponse:
    parameters: tuple[ParameterInfo, ...]


@dataclass(frozen=True, slots=True)
class GetParameterAttributesResponse:
    attributes: tuple[ParameterAttribute, ...]


@dataclass(frozen=True, slots=True)
class StatusResponse:
    """The answer to a request that changes something. `status` 0: done; 1: done later; `None`: not said (0 is meant).

    `method` is the response's name, `SetParameterValuesResponse` and so on. `instance` is AddObject's.
    """

    method: str
    status: int | None = None
    instance: int | None = None


@dataclass(frozen=True, slots=True)
class GetRPCMethodsResponse:
    methods: tuple[str, ...]


# --- what the CPE asks ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TransferComplete:
    """`autonomous` for `AutonomousTransferComplete`, which has its own response."""

    command_key: str = ''
    fault: Fault | None = None
    autonomous: bool = False


@dataclass(frozen=True, slots=True)
class RequestDownload:
    file_type: str = ''


@dataclass(frozen=True, slots=True)
class UnknownRequest:
    """A method we do not serve: it is answered with fault 8000."""

    method: str


FromCpe = (
    Inform
    | Fault
    | GetParameterValuesResponse
    | GetParameterNamesResponse
    | GetParameterAttributesResponse
    | StatusResponse
    | GetRPCMethodsResponse
    | TransferComplete
    | RequestDownload
    | GetRPCMethods
    | UnknownRequest
)

# What a CPE may answer to a request of ours.
Answer = (
    Fault
    | GetParameterValuesResponse
    | GetParameterNamesResponse
    | GetParameterAttributesResponse
    | GetRPCMethodsResponse
    | StatusResponse
)
ANSWERS = (
    Fault,
    GetParameterValuesResponse,
    GetParameterNamesResponse,
    GetParameterAttributesResponse,
    GetRPCMethodsResponse,
    StatusResponse,
)


# The types of TR-106 (A.2.1), and those of XML Schema that CPEs use in their stead.
XSD_TYPES = frozenset(
    (
        'string', 'boolean', 'int', 'unsignedInt', 'long', 'unsignedLong', 'dateTime', 'base64', 'base64Binary',
        'hexBinary', 'decimal', 'integer', 'float', 'double', 'short', 'unsignedShort', 'byte', 'unsignedByte',
        'nonNegativeInteger', 'positiveInteger', 'date', 'time', 'anyURI', 'object', 'anySimpleType', 'anyType',
    )
)  # fmt: skip


class Prefixes(NamedTuple):
    """How somebody spells the namespaces of an envelope. Some stacks find nothing but their own spelling."""

    soap: str = 'soap'
    enc: str = 'enc'
    xsd: str = 'xsd'
    xsi: str = 'xsi'
    cwmp: str = 'cwmp'


PREFIXES = Prefixes()


class Envelope(NamedTuple):
    """`namespace` is the CWMP namespace that came, to be answered in; `id` is empty where the CPE sent none."""

    message: FromCpe
    id: str = ''
    namespace: str = 'urn:dslforum-org:cwmp-1-0'
    warnings: tuple[str, ...] = ()
    prefixes: Prefixes = PREFIXES


def as_values(pairs: Iterable[tuple[str, str, str]]) -> tuple[ParameterValue, ...]:
    """Values from `(name, value, type)` triples, as they are kept in JSON."""
    return tuple(ParameterValue(name, value, kind) for name, value, kind in pairs)
