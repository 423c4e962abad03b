"""Everything the demo, `make serve` and the end-to-end tests run on, started together and ended together.

Simulated RouterOS routers, the namespaces lab (with root), NetBox with their data, its web server and real workers.
"""

from __future__ import annotations

import base64
import json
import os
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

import requests
from standardwebhooks import Webhook

from dev.instance import BIN, instance, psql
from dev.lab import Lab
from dev.seed import SUBSCRIBERS
from dev.services import HOME, ROOT, ServiceError, end_group, free_port, say
from nornir_tasks.netbox import NetBox

ROUTERS = ('bras-1', 'bras-2', 'bras-3', 'bras-4')
PROFILES = [
    {'name': 'fibre-100', 'rate-limit': '50M/100M'},
    {'name': 'nbd-reduced', 'rate-limit': '500k/1M'},
    {'name': 'nbd-restricted', 'address-list': 'nbd-restricted'},
]
LANES = ('netbox_delinquency.restore', 'netbox_delinquency.enforce')


@dataclass
class Stack:
    """What is running: where it is, how to call it, and whom to ask for the truth."""

    url: str
    token: str
    password: str
    signing_key: str
    control: str  # of the simulated routers
    lab: Lab | None
    env: dict[str, str]
    log: Path  # of the web server and the workers
    secrets: dict[str, str]  # what must be found nowhere
    workers: list[subprocess.Popen[str]] = field(default_factory=list)

    @property
    def netbox(self) -> NetBox:
        return NetBox(self.url, self.token)

    def get(self, path: str, **filters: Any) -> list[dict[str, Any]]:
        """All rows of a list of the plugin's REST API."""
        return list(self.netbox.rows(path, **filters))

    def post_event(self, kind: str, contract: str, **data: Any) -> requests.Response:
        """Post an event as billing does: signed, with an id of its own."""
        now = datetime.now(tz=UTC)
        event = {
            'type': kind,
            'timestamp': now.isoformat(),
            'data': {'contract': contract, 'invoice': f'{contract}/1', **data},
        }
        body, event_id = json.dumps(event), f'evt_{secrets.token_hex(8)}'
        return requests.post(
            f'{self.url}/api/plugins/delinquency/webhooks/demo/',
            data=body,
            headers={
                'content-type': 'application/json',
                'webhook-id': event_id,
                'webhook-timestamp': str(int(now.timestamp())),
                'webhook-signature': Webhook(self.signing_key).sign(event_id, now, body),
            },
            timeout=10,
        )

    def sql(self, statement: str) -> str:
        """Ask, or change, what is in NetBox's database, past NetBox."""
        return psql(self.env, statement, self.env['DELINQUENCY_DEV_DATABASE'])

    def configure(self, **values: Any) -> None:
        """Change enforcement settings: `waves='rest', soak_seconds=0`."""
        pairs = ', '.join(f"{name} = '{value}'" for name, value in values.items())
        self.sql(f'UPDATE netbox_delinquency_enforcementsettings SET {pairs}')

    def services(self, router: str) -> dict[str, dict[str, Any]]:
        """What every subscriber of a simulated router gets, by user name, from the router's own state."""
        return dict(requests.get(f'{self.control}/{router}/service', timeout=10).json())

    def cli(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """The `delinquency` command, as an engineer would run it."""
        env = {**self.env, 'NETBOX_URL': self.url, 'NETBOX_TOKEN': self.token, 'COLUMNS': '160'}
        return subprocess.run(
            [str(BIN / 'delinquency'), *arguments], env=env, cwd=ROOT, text=True, capture_output=True, check=False
        )


def wait_until(what: str, is_so: Callable[[], Any], seconds: float = 60, pause: float = 0.05) -> Any:
    """Poll until `is_so()` is truthy and return that. Raises `ServiceError` when it is not in time."""
    end = time.monotonic() + seconds
    while not (value := is_so()):
        if time.monotonic() > end:
            raise ServiceError(f'{what}: not within {seconds:.0f} s')
        time.sleep(pause)
    return value


@contextmanager
def process(command: list[str], env: dict[str, str], **options: Any) -> Iterator[subprocess.Popen[str]]:
    """A program in a process group of its own, ended with all its children when we leave."""
    child = subprocess.Popen(command, env=env, cwd=ROOT, text=True, start_new_session=True, **options)
    try:
        yield child
    finally:
        end_group(child)


@contextmanager
def stack(database: str, with_lab: bool = True) -> Iterator[Stack]:
    """Start everything; where the lab cannot run, `lab` is None (the caller says so)."""
    with ExitStack() as open_, tempfile.TemporaryDirectory() as folder:
        lab = open_.enter_context(Lab()) if with_lab and not Lab.available() else None
        router_password = secrets.token_urlsafe(12)
        simulator = open_.enter_context(_simulator(Path(folder), router_password))
        signing_key = 'whsec_' + base64.b64encode(secrets.token_bytes(32)).decode()
        env = open_.enter_context(instance(database))
        env |= {
            'PYTHONUNBUFFERED': '1',
            'DELINQUENCY_CREDENTIAL_DEMO_BILLING': json.dumps({'secret': signing_key}),
            'DELINQUENCY_CREDENTIAL_DEMO_ROUTERS': json.dumps({'username': 'admin', 'password': router_password}),
        }
        if lab:
            env['DELINQUENCY_CREDENTIAL_DEMO_BRAS'] = json.dumps(
                {'username': lab.bras_user, 'key_file': str(lab.key_file)}
            )
        spec = _seed(Path(folder), env, lab, simulator['routers'])
        port = free_port()
        server = [str(BIN / 'netbox'), 'runserver', '--noreload', '--insecure', f'127.0.0.1:{port}']
        log = open_.enter_context((HOME / f'{database}.log').open('w'))
        open_.enter_context(process(server, env, stdout=log, stderr=log))
        running = Stack(
            url=f'http://127.0.0.1:{port}', token=spec['token'], password=spec['password'], signing_key=signing_key,
            control=simulator['control'], lab=lab, env=env, log=Path(log.name),
            secrets={'router password': router_password, 'signing key': signing_key.removeprefix('whsec_')},
        )  # fmt: skip
        for lane in LANES:
            running.workers.append(open_.enter_context(worker(env, log, lane)))
        wait_until('NetBox answers', lambda: _answers(running.url), 120)
        yield running


def worker(env: dict[str, str], log: TextIO, *queues: str):
    """A real NetBox worker of those queues."""
    return process([str(BIN / 'netbox'), 'rqworker', *queues], env, stdout=log, stderr=log)


def _answers(url: str) -> bool:
    try:
        return requests.get(f'{url}/login/', timeout=30).ok
    except requests.ConnectionError:
        return False


@contextmanager
def _simulator(folder: Path, password: str) -> Iterator[dict[str, Any]]:
    config = folder / 'routers.json'
    routers = [
        {
            'name': name,
            'users': {'admin': password},
            'profiles': PROFILES,
            'subscribers': [
                {
                    'name': f'{name}-user{{n}}', 'service': 'pppoe', 'profile': 'fibre-100', 'count': SUBSCRIBERS,
                    'remote-address': f'100.64.{number}.{{n}}',
                },
            ],
            'settings': {'reconnect_after': 0.2},
        }
        for number, name in enumerate(ROUTERS, 1)
    ]  # fmt: skip
    config.write_text(json.dumps({'routers': routers}))
    command = [sys.executable, '-m', 'tests.simulators.routeros', '--config', str(config)]
    with process(command, dict(os.environ), stdout=subprocess.PIPE) as child:
        assert child.stdout
        line = child.stdout.readline()
        if not line:
            raise ServiceError('the router simulator did not start')
        answer = json.loads(line)
        for router in answer['routers']:
            router['usernames'] = [f'{router["name"]}-user{number}' for number in range(1, SUBSCRIBERS + 1)]
        yield answer


def _seed(folder: Path, env: dict[str, str], lab: Lab | None, routers: list[dict[str, Any]]) -> dict[str, Any]:
    say('filling NetBox with the demo network')
    spec = {'password': secrets.token_urlsafe(9), 'routers': routers, 'lab': None}
    if lab:
        spec['lab'] = {
            'address': lab.bras_address,
            'port': lab.bras_port,
            'host_key': lab.bras_host_key,
            'parameters': lab.point_parameters,
            'down_kbps': lab.homes[0].down_kbps,
            'up_kbps': lab.homes[0].up_kbps,
            'homes': [asdict(home) for home in lab.homes],
        }
    path = folder / 'seed.json'
    path.write_text(json.dumps(spec))
    path.chmod(0o600)
    done = subprocess.run([sys.executable, '-m', 'dev.seed', str(path)], env=env, cwd=ROOT, check=False)
    if done.returncode:
        raise ServiceError('NetBox could not be filled with the demo network')
    return dict(json.loads(path.read_text()))
