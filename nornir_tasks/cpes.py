"""The CPEs behind an ACS: which there are, how one of them is, and which values may be asked of them at all."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from nornir_tasks.change import CpeValue
from nornir_tasks.drivers.acs.driver import AcsDriver
from nornir_tasks.errors import ConfigurationError, EnforcementError
from nornir_tasks.point_check import connected
from nornir_tasks.points import Point
from tr069 import guard
from tr069.client import EVERY_DEVICE, CpeInfo, DeviceQuery
from tr069.cwmp.messages import ParameterValue

__all__ = ('CpeInfo', 'CpeReport', 'list_cpes', 'parse_values', 'refresh_cpe')

MAX_VALUES = 64
_NAME = re.compile(r'(InternetGatewayDevice|Device)(\.[A-Za-z0-9_-]+)+')
_INTEGERS = {'xsd:int': (-(2**31), 2**31 - 1), 'xsd:unsignedInt': (0, 2**32 - 1), 'xsd:long': (-(2**63), 2**63 - 1),
             'xsd:unsignedLong': (0, 2**64 - 1)}  # fmt: skip
TYPES = ('xsd:string', 'xsd:boolean', 'xsd:dateTime', 'xsd:base64', *_INTEGERS)
_CONTROL = re.compile('[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]')


@dataclass(frozen=True, slots=True)
class CpeReport:
    """How one CPE is: `info` as its last Inform said it, `levers` as read now or remembered. `error`: no levers."""

    info: CpeInfo
    state: str
    levers: tuple[Mapping[str, Any], ...] = ()
    profile: str = ''
    error: str = ''
    values: tuple[Mapping[str, str], ...] = field(default=())  # what was saved before our first change

    def as_dict(self) -> dict[str, Any]:
        """Fit for JSON."""
        found = asdict(self)
        informed = self.info.last_inform
        found['info']['last_inform'] = informed.isoformat() if informed else None
        return found


def list_cpes(point: Point, query: DeviceQuery = EVERY_DEVICE) -> list[CpeInfo]:
    """The devices of an ACS. Raises `EnforcementError`; `ConfigurationError` for a point that is no ACS."""
    with connected(point) as driver:
        return _acs(driver, point).devices(query)


def refresh_cpe(point: Point, device_id: str) -> CpeReport:
    """One device, and what it can do; it is called for that. Raises `EnforcementError`."""
    with connected(point) as driver:
        acs = _acs(driver, point)
        known = acs.devices(DeviceQuery(ids=(device_id,)))
        if not known:
            raise EnforcementError(f'{point.name} does not know the device {device_id}: it has never informed there')
        status = acs.profile_status(device_id)
        saved = tuple({'name': item.name, 'value': item.value} for item in status.before)
        try:
            report = acs.levers(device_id)
        except EnforcementError as error:
            return CpeReport(known[0], str(status.state), error=str(error), values=saved)
    levers = tuple(
        {
            'kind': str(lever.kind), 'direction': str(lever.direction), 'path': lever.path, 'now': lever.current,
            'unit': str(lever.unit), 'known': str(lever.status), 'risk': str(lever.risk), 'chosen': lever.chosen,
            'usable': lever.usable, 'why': lever.why,
        }
        for lever in report.levers
    )  # fmt: skip
    return CpeReport(known[0], str(status.state), levers, report.profile, values=saved)


def _acs(driver: object, point: Point) -> AcsDriver:
    if not isinstance(driver, AcsDriver):
        raise ConfigurationError(f'{point.name} is no ACS: its driver is "{point.driver}"')
    return driver


def parse_values(rows: Iterable[Sequence[str]]) -> tuple[CpeValue, ...]:
    """Values to set, from rows of name, value and (optionally) type. Raises `ValueError` that names the row.

    What no device may be asked (it carries management itself) is refused here; the rest is judged by the ACS's guard,
    on a fresh read of each device.
    """
    values: list[CpeValue] = []
    for number, row in enumerate(rows, 1):
        if not 2 <= len(row) <= 3 or not all(isinstance(cell, str) for cell in row):
            raise ValueError(f'row {number}: give name, value and type, not {len(row)} cells')
        name, value, kind = row[0].strip(), row[1], (row[2].strip() if len(row) == 3 else '') or 'xsd:string'
        problem = _problem(name, value, kind)
        if problem:
            raise ValueError(f'row {number}: {problem}')
        if any(item.name == name for item in values):
            raise ValueError(f'row {number}: {name} comes twice')
        values.append(CpeValue(name, value.strip() if kind != 'xsd:string' else value, kind))
    if not 1 <= len(values) <= MAX_VALUES:
        raise ValueError(f'a profile has 1 to {MAX_VALUES} parameters, not {len(values)}')
    if len({item.name.partition('.')[0] for item in values}) > 1:
        raise ValueError('a device has one data model: InternetGatewayDevice or Device, not both')
    return tuple(values)


def _problem(name: str, value: str, kind: str) -> str:
    if len(name) > 256 or not _NAME.fullmatch(name):
        return f'"{name[:80]}" is no parameter: write its full path, such as Device.Time.NTPServer1'
    if kind not in TYPES:
        return f'"{kind[:40]}" is no type: one of {", ".join(TYPES)}'
    if len(value) > 4096 or _CONTROL.search(value):
        return f'the value of {name} is over 4096 characters, or holds a control character'
    text = value.strip()
    if kind == 'xsd:boolean' and text.lower() not in ('0', '1', 'true', 'false'):
        return f'{name} is a boolean: 0, 1, true or false, not "{text[:40]}"'
    if kind in _INTEGERS:
        low, high = _INTEGERS[kind]
        if not re.fullmatch(r'-?\d{1,20}', text, re.ASCII) or not low <= int(text) <= high:
            return f'{name} is a whole number from {low} to {high}, not "{text[:40]}"'
    # A path that a model's profile may allow-list is let through: that is for the ACS to know.
    return guard.refusal_of([ParameterValue(name, text, kind)], guard.ModelPolicy(allow_list=(name,)))
