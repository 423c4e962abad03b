"""Nornir inventory plugin `netbox_delinquency`: enforcement points or devices of NetBox, ten thousand as easily as ten.

Only the fields that a host needs are asked for, since NetBox takes most of its time for the others (a rendered
configuration context above all), and pages are fetched beside each other.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from nornir.core.inventory import Defaults, Group, Groups, Host, Hosts, Inventory, ParentGroups

from nornir_tasks.errors import ConfigurationError
from nornir_tasks.inventory.hosts import as_inventory
from nornir_tasks.netbox import NetBox, as_point

# What is asked for, by what hosts are: where in NetBox's API, and the fields.
POINTS = (
    'plugins/delinquency/enforcement-points',
    'name,driver,host,port,credential,host_key,parameters,timeout,batch_size,max_rows_per_second',
)
DEVICES = (
    'dcim/devices',
    # Without the addresses of both families NetBox looks the primary one up device by device.
    'id,name,status,site,role,device_type,platform,primary_ip,primary_ip4,primary_ip6,serial,asset_tag,tags,'
    'custom_fields',
)
SOURCES = {'points': POINTS, 'devices': DEVICES}


class NetBoxInventory:
    """Hosts are `of='points'` (active enforcement points, `host.data["point"]`) or `of='devices'`, by NetBox's filters.

    A device's groups are those of nornir-netbox (`site__…`, `platform__…`, `device_role__…`, `manufacturer__…`,
    `device_type__…`, with slugs), its address is the primary one, else its name, and its data are its other fields,
    each as its slug or value. With `snapshot`, the name of a file, what NetBox answered is kept there for `snapshot_s`
    seconds, and NetBox is not asked again while it is younger.

    Address and token come from the environment only: inventory options end up in Nornir's configuration and its logs.
    """

    def __init__(self, of: str = 'points', snapshot: str = '', snapshot_s: float = 3600.0, **filters: Any) -> None:
        if of not in SOURCES:
            raise ConfigurationError(f'the inventory has no "{of}": hosts are {" or ".join(SOURCES)}')
        self.of = of
        self.filters = {'status': 'active', **filters}
        self.snapshot = Path(snapshot).expanduser() if snapshot else None
        self.snapshot_s = snapshot_s

    def load(self) -> Inventory:
        """Raises `NetBoxError`, and `ConfigurationError` where two hosts would have one name."""
        records = _drained(self._records())
        return as_inventory(map(as_point, records)) if self.of == 'points' else devices(records)

    def _records(self) -> list[dict[str, Any]]:
        path, fields = SOURCES[self.of]
        asked = {'url': os.environ.get('NETBOX_URL', ''), 'path': path, 'fields': fields, 'filters': self.filters}
        if self.snapshot and (kept := _read(self.snapshot, asked, self.snapshot_s)) is not None:
            return kept
        found = NetBox.from_environment().every(path, fields=fields, **self.filters)
        if self.snapshot:
            _write(self.snapshot, asked, found)
        return found


def _drained(records: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """What has become a host need not be kept as a record too."""
    records.reverse()
    while records:
        yield records.pop()


def devices(records: Iterable[Mapping[str, Any]]) -> Inventory:
    """Devices, as REST gives them, as hosts."""
    hosts, groups, defaults = Hosts(), Groups(), Defaults()
    for record in records:
        name = record['name'] or str(record['id'])
        if name in hosts:
            ids = f'{hosts[name].data["id"]} and {record["id"]}'
            raise ConfigurationError(f'two devices are called "{name}" ({ids}): filter by site or tenant')
        hosts[name] = host = _device(name, record, defaults)
        host.groups = ParentGroups(
            groups.setdefault(group, Group(group, defaults=defaults)) for group in _group_names(host)
        )
    return Inventory(hosts=hosts, groups=groups, defaults=defaults)


def _device(name: str, record: Mapping[str, Any], defaults: Defaults) -> Host:
    address = record['primary_ip']
    kind = record['device_type']
    platform = _slug(record['platform'])
    return Host(
        name=name,
        hostname=address['address'].split('/')[0] if address else name,
        platform=platform,
        data={
            'id': record['id'],
            'status': sys.intern(record['status']['value']),
            'site': _slug(record['site']),
            'role': _slug(record['role']),
            'device_type': _slug(kind),
            'manufacturer': _slug(kind['manufacturer']),
            'serial': record['serial'],
            'asset_tag': record['asset_tag'],
            'tags': [_slug(tag) for tag in record['tags']],
            'custom_fields': record['custom_fields'],
        },
        defaults=defaults,
    )


def _group_names(host: Host) -> list[str]:
    data = host.data
    named = {
        'site': data['site'],
        'platform': host.platform,
        'device_role': data['role'],
        'manufacturer': data['manufacturer'],
        'device_type': data['device_type'],
    }
    return [f'{kind}__{slug}' for kind, slug in named.items() if slug]


def _slug(record: Mapping[str, Any] | None) -> str | None:
    """Ten thousand devices have a handful of sites: each name is kept once."""
    return sys.intern(record['slug']) if record else None


def _read(snapshot: Path, asked: Mapping[str, Any], max_age_s: float) -> list[dict[str, Any]] | None:
    """What was kept, if it is young enough and answers the same question."""
    try:
        if time.time() - snapshot.stat().st_mtime > max_age_s:
            return None
        kept = json.loads(snapshot.read_text())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise ConfigurationError(f'the snapshot {snapshot} cannot be read: {error}; remove it') from None
    same = isinstance(kept, dict) and kept.get('asked') == json.loads(json.dumps(asked))
    return list(kept['records']) if same else None


def _write(snapshot: Path, asked: Mapping[str, Any], records: list[dict[str, Any]]) -> None:
    """Whole or not at all, and readable by its owner only."""
    snapshot.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile('w', dir=snapshot.parent, prefix=snapshot.name, delete=False) as file:
        json.dump({'asked': asked, 'records': records}, file)
    Path(file.name).replace(snapshot)
