"""Fills a NetBox with the demo's network. Run as `python -m dev.seed FILE`, in the environment of an instance.

FILE is the JSON that `dev.stack` writes: the lab's BRAS and homes (or null), the simulated routers, and the login to
make. It is written over with the API token in addition.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import django

SUBSCRIBERS = 50  # a simulated router
DEVICES = 5  # of them, with a CPE in NetBox


def fill(path: Path) -> None:
    """In a process that has set Django up."""
    from django.db import transaction

    spec = json.loads(path.read_text())
    with transaction.atomic():
        seed(spec)
    # At once, since it is waited for.
    part = path.with_suffix('.part')
    part.touch(mode=0o600)
    part.write_text(json.dumps(spec))
    part.rename(path)


def seed(spec: dict[str, Any]) -> None:
    from dcim.models import DeviceRole, DeviceType, Manufacturer, Site
    from django.utils import timezone
    from users.models import Token, User

    from netbox_delinquency.models import BillingSource, DelinquencyPolicy, EnforcementSettings, PolicyStage

    user = User.objects.create_superuser('admin', password=spec['password'])
    token = Token(user=user)
    token.save()
    spec['token'] = f'nbt_{token.key}.{token.token}'

    maker = Manufacturer.objects.create(name='Demo', slug='demo')
    kinds = {
        'site': Site.objects.create(name='Demo', slug='demo'),
        'bras': (
            DeviceRole.objects.create(name='BRAS', slug='bras'),
            DeviceType.objects.create(manufacturer=maker, model='Router', slug='router'),
        ),
        'cpe': (
            DeviceRole.objects.create(name='CPE', slug='cpe'),
            DeviceType.objects.create(manufacturer=maker, model='Home gateway', slug='home-gateway'),
        ),
        'source': BillingSource.objects.create(
            name='Demo billing', slug='demo', credential='demo-billing', payments_known_at=timezone.now()
        ),
        'policy': DelinquencyPolicy.objects.create(name='Demo ladder'),
    }
    for after_days, action in ((15, 'throttle'), (30, 'block')):
        PolicyStage.objects.create(policy=kinds['policy'], after_days=after_days, action=action)
    # A wave of a demo need not be watched for a minute.
    EnforcementSettings(soak_seconds=1, allow_unchecked=True).save()
    if spec['lab']:
        seed_lab(spec['lab'], kinds)
    seed_routers(spec['routers'], kinds)


def make_device(kinds: dict[str, Any], kind: str, name: str):
    from dcim.models import Device

    role, device_type = kinds[kind]
    return Device.objects.create(name=name, site=kinds['site'], role=role, device_type=device_type)


def make_lines(kinds: dict[str, Any], plan, lines: list[dict[str, Any]]) -> None:
    """Each is the line's fields, a `number` of its own, and whether there is a CPE (`with_device`)."""
    from netbox.search.backends import search_backend

    from netbox_delinquency.models import AccessLine, Contract, Subscriber

    numbers = [line.pop('number') for line in lines]
    subscribers = Subscriber.objects.bulk_create(
        Subscriber(external_id=f'S-{number}', name=f'Subscriber {number}') for number in numbers
    )
    contracts = Contract.objects.bulk_create(
        Contract(
            external_id=f'C-{number}', subscriber=subscriber, source=kinds['source'], plan=plan, policy=kinds['policy']
        )
        for number, subscriber in zip(numbers, subscribers, strict=True)
    )  # fmt: skip
    made = AccessLine.objects.bulk_create(
        AccessLine(
            contract=contract,
            cpe=make_device(kinds, 'cpe', f'cpe-{number}') if line.pop('with_device') else None,
            **line,
        )
        for number, contract, line in zip(numbers, contracts, lines, strict=True)
    )
    # What is made in bulk is not found by NetBox's search until it is told.
    for rows in (subscribers, contracts, made):
        search_backend.cache(rows, remove_existing=False)


def seed_lab(lab: dict[str, Any], kinds: dict[str, Any]) -> None:
    from netbox_delinquency.models import EnforcementPoint, ServicePlan

    plan = ServicePlan.objects.create(
        name='Fibre 40', down_kbps=lab['down_kbps'], up_kbps=lab['up_kbps'], throttled_down_kbps=2_000,
        throttled_up_kbps=1_000,
    )  # fmt: skip
    bras = EnforcementPoint.objects.create(
        name='bras-linux', mode='enforce', driver='linux', device=make_device(kinds, 'bras', 'bras-linux'),
        address=lab['address'], port=lab['port'], credential='demo-bras', host_key=lab['host_key'],
        parameters=lab['parameters'],
    )  # fmt: skip
    homes = [
        {
            'number': home['name'], 'with_device': True, 'bras': bras, 'circuit_id': home['interface'],
            'ipv4': home['ipv4'], 'ipv6': home['ipv6_prefix'],
        }
        for home in lab['homes']
    ]  # fmt: skip
    make_lines(kinds, plan, homes)


def seed_routers(routers: list[dict[str, Any]], kinds: dict[str, Any]) -> None:
    from netbox_delinquency.models import EnforcementPoint, ServicePlan

    plan = ServicePlan.objects.create(
        name='Fibre 100', down_kbps=100_000, up_kbps=50_000, throttled_down_kbps=1_000, throttled_up_kbps=500,
        parameters={'routeros': {'profile': 'fibre-100', 'throttled_profile': 'nbd-reduced'}},
    )  # fmt: skip
    for router in routers:
        point = EnforcementPoint.objects.create(
            name=router['name'], mode='enforce', driver='routeros', device=make_device(kinds, 'bras', router['name']),
            address='127.0.0.1', port=router['port'], credential='demo-routers', host_key=router['host_key'],
        )  # fmt: skip
        lines = [
            {
                'number': f'{router["name"]}-{number}', 'with_device': number <= DEVICES, 'bras': point,
                'username': username,
            }
            for number, username in enumerate(router['usernames'], 1)
        ]  # fmt: skip
        make_lines(kinds, plan, lines)


if __name__ == '__main__':
    django.setup()
    fill(Path(sys.argv[1]))
