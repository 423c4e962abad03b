"""Fills a NetBox with the demo's network. Run as `python -m dev.seed FILE`, in the environment of an instance.

FILE is the JSON that `dev.stack` writes: the lab's BRAS and homes (or null), the simulated routers, and the login to
make. It is written over with the API token in addition.
"""

from __future__ import annotations

import json
import sys
from itertools import islice
from pathlib import Path
from typing import Any

import django

SUBSCRIBERS = 50  # a simulated router
DEVICES = 5  # of them, with a CPE in NetBox


def main(path: Path) -> None:
    django.setup()
    from django.db import transaction

    spec = json.loads(path.read_text())
    with transaction.atomic():
        seed(spec)
    path.write_text(json.dumps(spec))


def seed(spec: dict[str, Any]) -> None:
    from dcim.models import DeviceRole, DeviceType, Manufacturer, Site
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
            name='Demo billing', slug='demo', credential='demo-billing', heartbeat_minutes=60
        ),
        'policy': DelinquencyPolicy.objects.create(name='Demo ladder'),
    }
    for after_days, action in ((15, 'throttle'), (30, 'block')):
        PolicyStage.objects.create(policy=kinds['policy'], after_days=after_days, action=action)
    # A wave of a demo need not be watched for a minute.
    EnforcementSettings(soak_seconds=1).save()
    if spec['lab']:
        seed_lab(spec['lab'], kinds)
    seed_routers(spec['routers'], kinds)


def make_device(kinds: dict[str, Any], kind: str, name: str):
    from dcim.models import Device

    role, device_type = kinds[kind]
    return Device.objects.create(name=name, site=kinds['site'], role=role, device_type=device_type)


def make_line(kinds: dict[str, Any], plan, number: str, with_device: bool, **line: Any) -> None:
    from netbox_delinquency.models import AccessLine, Contract, Subscriber

    subscriber = Subscriber.objects.create(external_id=f'S-{number}', name=f'Subscriber {number}')
    contract = Contract.objects.create(
        external_id=f'C-{number}', subscriber=subscriber, source=kinds['source'], plan=plan, policy=kinds['policy']
    )
    cpe = make_device(kinds, 'cpe', f'cpe-{number}') if with_device else None
    AccessLine.objects.create(contract=contract, cpe=cpe, **line)


def seed_lab(lab: dict[str, Any], kinds: dict[str, Any]) -> None:
    from netbox_delinquency.models import EnforcementPoint, ServicePlan

    plan = ServicePlan.objects.create(
        name='Fibre 40', down_kbps=lab['down_kbps'], up_kbps=lab['up_kbps'], throttled_down_kbps=2_000,
        throttled_up_kbps=1_000,
    )  # fmt: skip
    bras = EnforcementPoint.objects.create(
        name='bras-linux', driver='linux', device=make_device(kinds, 'bras', 'bras-linux'), address=lab['address'],
        port=lab['port'], credential='demo-bras', host_key=lab['host_key'], parameters=lab['parameters'],
    )  # fmt: skip
    for home in lab['homes']:
        make_line(
            kinds, plan, home['name'], with_device=True, bras=bras, circuit_id=home['interface'], ipv4=home['ipv4'],
            ipv6=home['ipv6_prefix'],
        )  # fmt: skip


def seed_routers(routers: list[dict[str, Any]], kinds: dict[str, Any]) -> None:
    from netbox_delinquency.models import EnforcementPoint, ServicePlan

    plan = ServicePlan.objects.create(
        name='Fibre 100', down_kbps=100_000, up_kbps=50_000, throttled_down_kbps=1_000, throttled_up_kbps=500,
        parameters={'routeros': {'profile': 'fibre-100', 'throttled_profile': 'nbd-reduced'}},
    )  # fmt: skip
    for router in routers:
        point = EnforcementPoint.objects.create(
            name=router['name'], driver='routeros', device=make_device(kinds, 'bras', router['name']),
            address='127.0.0.1', port=router['port'], credential='demo-routers', host_key=router['host_key'],
        )  # fmt: skip
        for number, username in enumerate(islice(router['usernames'], SUBSCRIBERS), 1):
            make_line(
                kinds, plan, f'{router["name"]}-{number}', with_device=number <= DEVICES, bras=point, username=username
            )


if __name__ == '__main__':
    main(Path(sys.argv[1]))
