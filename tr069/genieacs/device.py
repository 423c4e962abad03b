"""A device as GenieACS keeps it, and values as its tasks want them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tr069.client import CpeInfo
from tr069.cwmp.messages import ParameterValue
from tr069.datamodel.tree import Identity
from tr069.genieacs.scripts import as_text, flatten


@dataclass(frozen=True, slots=True)
class Device:
    """A device document, taken apart."""

    info: CpeInfo
    tags: frozenset[str]
    leaves: Mapping[str, Mapping[str, Any]]

    @property
    def identity(self) -> Identity:
        info = self.info
        return Identity(info.manufacturer, info.oui, info.product_class, info.software_version, info.model_name)

    def values(self, names: Iterable[str]) -> dict[str, ParameterValue]:
        """What GenieACS has cached of these."""
        return {
            name: ParameterValue(name, as_text(leaf.get('_value')), str(leaf.get('_type', '')))
            for name in names
            if (leaf := self.leaves.get(name)) is not None
        }

    def stamp(self, name: str) -> str:
        leaf = self.leaves.get(name)
        return str(leaf.get('_timestamp', '')) if leaf else ''


def read_tasks(names: Sequence[str]) -> list[dict[str, Any]]:
    leaves = [name for name in names if not name.endswith('.')]
    tasks: list[dict[str, Any]] = [{'name': 'getParameterValues', 'parameterNames': leaves}] if leaves else []
    return tasks + [{'name': 'refreshObject', 'objectName': name.rstrip('.')} for name in names if name.endswith('.')]


def plain(item: ParameterValue) -> Any:
    """A value as JSON of its own kind: tasks ignore the type beside it (and would send `"1"` as a string)."""
    if item.type.endswith('boolean'):
        return item.value.strip().lower() in ('1', 'true')
    if item.type.endswith(('int', 'Int', 'long', 'Long')):
        try:
            return int(item.value)
        except ValueError:
            return item.value
    return item.value


def seconds(stamp: str) -> float:
    try:
        return datetime.fromisoformat(stamp).timestamp()
    except ValueError:
        return 0.0


def take_apart(document: Mapping[str, Any]) -> Device:
    identity = document.get('_deviceId') or {}
    leaves = flatten(document)

    def leaf(suffix: str) -> str:
        return next((as_text(node.get('_value')) for path, node in leaves.items() if path.endswith(suffix)), '')

    informed = str(document.get('_lastInform') or '')
    info = CpeInfo(
        str(document['_id']),
        str(identity.get('_Manufacturer', '')),
        str(identity.get('_OUI', '')),
        str(identity.get('_ProductClass', '')),
        str(identity.get('_SerialNumber', '')),
        leaf('.DeviceInfo.SoftwareVersion'),
        leaf('.DeviceInfo.HardwareVersion'),
        '',
        leaf('.ManagementServer.ConnectionRequestURL'),
        '',
        datetime.fromisoformat(informed) if informed else None,
        leaf('.DeviceInfo.ModelName'),
    )
    return Device(info, frozenset(document.get('_tags') or ()), leaves)
