"""The Nornir inventory of 10,000 devices from a real NetBox over REST, beside nornir-netbox 0.3's NetBoxInventory2.

`python -m benchmarks.bench_inventory [N]`. Exit 1 where the bar is missed: at most the peer's time, in its best tuning.

NetBox is served by gunicorn, as its own documentation has it. Each load is a process of its own: its time is that of
`load()`, its memory the process's peak. The peer is given a v1 token, which is all that it speaks, and two tunings:
without the configuration context, and with only the fields that our plugin asks for.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests

from dev.services import free_port
from dev.stack import process, wait_until

BAR = 1.0
ROUNDS = 2
PEER = ('peer without context', 'peer with our fields')


def seed(count: int) -> tuple[str, str]:
    """Devices with a site, a role, a type, a platform, a primary address and tags; a v1 and a v2 token."""
    from dcim.models import Device, DeviceRole, DeviceType, Interface, Manufacturer, Platform, Site
    from django.contrib.contenttypes.models import ContentType
    from ipam.models import IPAddress
    from users.models import Token, User

    from netbox_delinquency.models import EnforcementPoint

    user = User.objects.create_superuser('bench')
    old, new = Token(user=user, version=1), Token(user=user, version=2)
    old.save()
    new.save()
    maker = Manufacturer.objects.create(name='Maker', slug='maker')
    kinds = [DeviceType.objects.create(manufacturer=maker, model=f'M{n}', slug=f'm{n}') for n in range(10)]
    sites = [Site.objects.create(name=f'Site {n}', slug=f'site-{n}') for n in range(100)]
    roles = [DeviceRole.objects.create(name=name, slug=name) for name in ('bras', 'cpe', 'switch')]
    platforms = [Platform.objects.create(name=name, slug=name) for name in ('routeros', 'ios', 'junos')]
    devices = Device.objects.bulk_create(
        [
            Device(
                name=f'device-{n:05}', site=sites[n % 100], role=roles[n % 3], device_type=kinds[n % 10],
                platform=platforms[n % 3], status='active', serial=f'S{n:08}',
            )
            for n in range(count)
        ],
        batch_size=1000,
    )  # fmt: skip
    ports = Interface.objects.bulk_create(
        [Interface(device=device, name='lo0', type='virtual', _site=device.site) for device in devices],
        batch_size=1000,
    )
    interface = ContentType.objects.get_for_model(Interface)
    addresses = IPAddress.objects.bulk_create(
        [
            IPAddress(
                address=f'10.{n >> 16 & 255}.{n >> 8 & 255}.{n & 255}/32',
                assigned_object_type=interface,
                assigned_object_id=port.pk,
            )
            for n, port in enumerate(ports)
        ],
        batch_size=1000,
    )
    for device, address in zip(devices, addresses, strict=True):
        device.primary_ip4 = address
    Device.objects.bulk_update(devices, ['primary_ip4'], batch_size=1000)
    EnforcementPoint.objects.bulk_create(
        [EnforcementPoint(name=device.name, driver='routeros', device=device) for device in devices], batch_size=1000
    )
    return old.token, f'nbt_{new.key}.{new.token}'


@contextmanager
def web_server(folder: Path) -> Iterator[str]:
    """NetBox under gunicorn with two workers; yields its address."""
    port = free_port()
    command = [
        str(Path(sys.executable).with_name('gunicorn')), '--bind', f'127.0.0.1:{port}', '--workers', '2',
        '--timeout', '600', '--preload', 'netbox.wsgi',
    ]  # fmt: skip
    with (folder / 'server.log').open('w') as log, process(command, dict(os.environ), stdout=log, stderr=log):
        url = f'http://127.0.0.1:{port}'
        wait_until('NetBox answers', lambda: _answers(url), 300, 0.5)
        yield url


def _answers(url: str) -> bool:
    try:
        return requests.get(f'{url}/login/', timeout=60).ok
    except requests.RequestException:
        return False


def load(what: str) -> dict[str, Any]:
    """In a process of its own: seconds, peak memory, and the hosts, as a digest over names and addresses."""
    import time

    plugin = _plugin(what)
    start, start_cpu = time.perf_counter(), time.process_time()
    inventory = plugin.load()
    seconds, cpu = time.perf_counter() - start, time.process_time() - start_cpu
    hosts = sorted(f'{host.name} {host.hostname}' for host in inventory.hosts.values())
    return {
        'seconds': seconds,
        'cpu': cpu,
        'peak_mb': _peak_mb(),
        'hosts': len(hosts),
        'digest': hashlib.sha256('\n'.join(hosts).encode()).hexdigest(),
    }


def _peak_mb() -> float:
    """Of this program alone: `getrusage` still knows how large the process was that started it."""
    (line,) = (line for line in Path('/proc/self/status').read_text().splitlines() if line.startswith('VmHWM:'))
    return int(line.split()[1]) / 1024


def _plugin(what: str) -> Any:
    if what in PEER:
        from nornir_netbox.plugins.inventory.netbox import NetBoxInventory2

        from nornir_tasks.inventory.netbox_inventory import DEVICES

        tuning = {
            'peer without context': {'exclude': 'config_context'},
            'peer with our fields': {'fields': DEVICES[1]},
        }[what]
        return NetBoxInventory2(
            nb_url=os.environ['NETBOX_URL'],
            nb_token=os.environ['NB_TOKEN'],
            filter_parameters={'status': 'active'} | tuning,
            use_platform_slug=True,
        )
    from nornir_tasks.inventory.netbox_inventory import NetBoxInventory

    options = {
        'ours': {'of': 'devices'},
        'ours, from its snapshot': {'of': 'devices', 'snapshot': os.environ.get('BENCH_SNAPSHOT', '')},
        'ours, enforcement points': {'of': 'points'},
    }[what]
    return NetBoxInventory(**options)


def measure(what: str, env: dict[str, str], rounds: int, results: dict[str, list[dict[str, Any]]]) -> None:
    for _ in range(rounds):
        command = [sys.executable, '-m', 'benchmarks.bench_inventory', '--load', what]
        done = subprocess.run(command, env=env, text=True, capture_output=True, check=False)
        if done.returncode:
            raise SystemExit(f'{what}: {done.stderr}')
        found = json.loads(done.stdout.splitlines()[-1])
        print(
            f'{what}: {found["seconds"]:.2f} s ({found["cpu"]:.2f} s of CPU), peak {found["peak_mb"]:.0f} MB',
            flush=True,
        )
        results.setdefault(what, []).append(found)


def main(count: int) -> int:
    import django

    django.setup()
    old, new = seed(count)
    results: dict[str, list[dict[str, Any]]] = {}
    with tempfile.TemporaryDirectory() as folder, web_server(Path(folder)) as url:
        env = dict(os.environ) | {
            'NETBOX_URL': url,
            'NETBOX_TOKEN': new,
            'NB_TOKEN': old,
            'BENCH_SNAPSHOT': f'{folder}/{secrets.token_hex(4)}.json',
        }
        for _ in range(ROUNDS):  # turn about, so that neither has the warmer server
            for what in (PEER[1], 'ours'):
                measure(what, env, 1, results)
        measure('ours, from its snapshot', env, 2, results)
        measure('ours, enforcement points', env, 1, results)
        measure(PEER[0], env, 1, results)
    print(f'{count} devices: name, status, site, role, type, platform, primary address, serial, tags, custom fields')
    for what, runs in results.items():
        times = sorted(run['seconds'] for run in runs)
        print(
            f'{what}: {min(times):.2f} s (median {statistics.median(times):.2f} s of {len(times)}), peak '
            f'{max(run["peak_mb"] for run in runs):.0f} MB, {runs[0]["hosts"]} hosts'
        )
    if len({(run['hosts'], run['digest']) for runs in results.values() for run in runs}) != 1:
        print('the hosts differ')
        return 1
    best = {what: min(run['seconds'] for run in runs) for what, runs in results.items()}
    tuned = min(PEER, key=lambda what: best[what])
    ratio = best['ours'] / best[tuned]
    print(f'compared: ours with "{tuned}", its best tuning, the same hosts and the same fields of them')
    print(f'inventory: hosts={count} vs_nornir_netbox={ratio:.2f}', flush=True)
    return int(ratio > BAR)


if __name__ == '__main__':
    if sys.argv[1:2] == ['--load']:
        print(json.dumps(load(sys.argv[2])))
        sys.exit(0)
    sys.exit(main(int(sys.argv[1]) if sys.argv[1:] else 10_000))
