"""Everything the demo, `make serve` and the end-to-end tests run on, started together and ended together.

Simulated RouterOS routers, the namespaces lab (with root), NetBox with their data, its web server and real workers.
"""

from __future__ import annotations

import base64
import json
import os
import re
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TextIO

import requests
from standardwebhooks import Webhook

from dev.instance import BIN, instance, psql
from dev.lab import Lab
from dev.seed import SUBSCRIBERS
from dev.services import HOME, ROOT, Postgres, Redis, ServiceError, end_group, free_port, leave_on_sigterm, say
from nornir_tasks.netbox import NetBox

ROUTERS = ('bras-1', 'bras-2', 'bras-3', 'bras-4')
PROFILES = [
    {'name': 'fibre-100', 'rate-limit': '50M/100M'},
    {'name': 'nbd-reduced', 'rate-limit': '500k/1M'},
    {'name': 'nbd-restricted', 'address-list': 'nbd-restricted'},
]
# As `point prepare` makes them: who is in the list reaches DNS and the notice page, and nothing else.
RULES: dict[str, list[dict[str, str]]] = {
    menu: [
        *(
            {'chain': 'forward', 'src-address-list': 'nbd-restricted', 'action': 'accept', 'protocol': protocol,
             'dst-port': '53'}
            for protocol in ('udp', 'tcp')
        ),
        {'chain': 'forward', 'src-address-list': 'nbd-restricted', 'action': action},
    ]
    for menu, action in (('ip firewall filter', 'drop'), ('ipv6 firewall filter', 'reject'))
}  # fmt: skip
POOL_FROM = 250  # lines at a router from which their addresses come from its pool, not from their secrets
# NetBox's own server for development, and the one that its documentation runs it with.
RUNSERVER = ('netbox', 'runserver', '--noreload', '--insecure', '--skip-checks', '{host}:{port}')
GUNICORN = (
    'gunicorn',
    '--bind',
    '{host}:{port}',
    '--workers',
    '2',
    '--threads',
    '3',
    '--timeout',
    '120',
    'netbox.wsgi',
)
# Django's checks read every view there is, which a worker never needs: half of what it takes to begin.
WORKER = (str(BIN / 'netbox'), 'rqworker', '--skip-checks')
QUEUES = ('netbox_delinquency.restore', 'netbox_delinquency.enforce')


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
    redis: Redis
    log_file: TextIO
    open_: ExitStack  # ends whatever was started
    worker_command: Sequence[str]
    postgres: Postgres | None  # one that may be restarted
    web: subprocess.Popen[str] | None = None  # the web server: with gunicorn, the master of its workers
    workers: list[subprocess.Popen[str]] = field(default_factory=list)
    queues: dict[int, tuple[str, ...]] = field(default_factory=dict)  # queues of each worker, by process id

    @property
    def netbox(self) -> NetBox:
        return NetBox(self.url, self.token)

    def get(self, path: str, **filters: Any) -> list[dict[str, Any]]:
        """All rows of a list of the plugin's REST API."""
        return list(self.netbox.rows(path, **filters))

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """Make an object of the plugin's by its REST API."""
        url = f'{self.url}/api/plugins/delinquency/{path}/'
        answer = requests.post(url, json=body, headers={'Authorization': f'Bearer {self.token}'}, timeout=60)
        if not answer.ok:
            raise ServiceError(f'{path}: {answer.text}')
        return dict(answer.json())

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
            timeout=60,
        )

    def post_events(self, kind: str, contracts: Sequence[str], **data: Any) -> None:
        """Post an event for each, a few at a time. Raises `requests.HTTPError` for one that is refused."""
        with ThreadPoolExecutor(4) as pool:
            for answer in pool.map(lambda contract: self.post_event(kind, contract, **data), contracts):
                answer.raise_for_status()

    def fall_due(self, contracts: Sequence[str], days: int) -> None:
        """Have billing say that each has an invoice that many days overdue, and wait until all is evaluated."""
        due = (datetime.now().astimezone() - timedelta(days=days)).date().isoformat()
        self.post_events('invoice.overdue', contracts, due_date=due, amount='99.90')
        self.wait_for_inbox()

    def wait_for_inbox(self) -> None:
        wait_until('events are processed', lambda: not self.get('billing-events', status='received'), 120, 0.5)

    def plan(self, name: str) -> tuple[int, str]:
        """Plan as an engineer would, by the command line; returns the run's number and hash."""
        planned = self.cli('plan', '--name', name)
        match = re.search(r'run (\d+) .*hash ([0-9a-f]{64})', planned.stdout)
        if not match:
            raise ServiceError(f'nothing was planned:\n{planned.stdout}{planned.stderr}')
        return int(match[1]), match[2]

    def run_to_end(self, pk: int, plan_hash: str) -> str:
        """Approve that plan, start it and wait; returns how it ended: completed, failed, paused or cancelled."""
        self.netbox.act(pk, 'approve', {'plan_hash': plan_hash})
        self.netbox.act(pk, 'start')

        def ended() -> str:
            status = str(self.netbox.run(pk)['status']['value'])
            return status if status in ('completed', 'failed', 'cancelled', 'paused') else ''

        return str(wait_until(f'run {pk} ends', ended, 120, 0.2))

    def sql(self, statement: str) -> str:
        """Ask, or change, what is in NetBox's database, past NetBox."""
        return psql(self.env, statement, self.env['DELINQUENCY_DEV_DATABASE'])

    def configure(self, **values: Any) -> None:
        """Change enforcement settings: `waves='rest', soak_seconds=0`."""
        pairs = ', '.join(f"{name} = '{value}'" for name, value in values.items())
        self.sql(f'UPDATE netbox_delinquency_enforcementsettings SET {pairs}')

    def start_worker(self, *queues: str) -> subprocess.Popen[str]:
        """A real NetBox worker of those queues."""
        command = [*self.worker_command, *queues]
        started = self.open_.enter_context(process(command, self.env, stdout=self.log_file, stderr=self.log_file))
        self.workers.append(started)
        self.queues[started.pid] = queues
        return started

    def kill(self, worker: subprocess.Popen[str]) -> None:
        """`kill -9` a worker with all its children."""
        os.killpg(worker.pid, signal.SIGKILL)
        worker.wait()
        self.workers.remove(worker)

    def revive(self) -> None:
        """Start those workers again that ended by themselves, as their service manager would."""
        for worker in [worker for worker in self.workers if worker.poll() is not None]:
            end_group(worker)
            self.workers.remove(worker)
            self.start_worker(*self.queues[worker.pid])

    def restart_postgres(self) -> None:
        """Restart it; one that others use only loses all its sessions with this database."""
        if self.postgres is not None:
            self.postgres.restart()
        else:
            name = self.env['DELINQUENCY_DEV_DATABASE']
            ended = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
            psql(self.env, ended)

    def manage(self, *arguments: str) -> str:
        """A management command; returns what it said."""
        done = subprocess.run(
            [str(BIN / 'netbox'), *arguments], env=self.env, cwd=ROOT, text=True, capture_output=True, check=False
        )
        if done.returncode:
            raise ServiceError(f'netbox {arguments[0]} failed:\n{done.stderr}')
        return done.stdout

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
def stack(
    database: str,
    with_lab: bool = True,
    *,
    routers: Sequence[str] = ROUTERS,
    lines: int = SUBSCRIBERS,
    latency: float = 0,
    web: Sequence[str] = RUNSERVER,
    worker_command: Sequence[str] = WORKER,
    postgres: Postgres | None = None,
    warm: bool = False,
) -> Iterator[Stack]:
    """Start everything; where the lab cannot run, `lab` is None (the caller says so).

    There are `routers` with `lines` each, whose answers are seen after `latency` seconds. `postgres` is the server that
    `DATABASE_URL` names, where nobody else uses it. With `warm` the web server and the workers are forked from one
    process: there sooner, but none can be killed or made anew by itself.
    """
    leave_on_sigterm()
    with ExitStack() as open_, tempfile.TemporaryDirectory() as folder:
        lab = open_.enter_context(Lab()) if with_lab and not Lab.available() else None
        router_password = secrets.token_urlsafe(12)
        simulator = open_.enter_context(_simulator(Path(folder), router_password, routers, lines, latency))
        signing_key = 'whsec_' + base64.b64encode(secrets.token_bytes(32)).decode()
        env = open_.enter_context(instance(database))
        redis = open_.enter_context(Redis())
        env |= {
            'REDIS_URL': redis.url,  # one that may be stopped without harm to anybody else
            'PYTHONUNBUFFERED': '1',
            'DELINQUENCY_CREDENTIAL_DEMO_BILLING': json.dumps({'secret': signing_key}),
            'DELINQUENCY_CREDENTIAL_DEMO_ROUTERS': json.dumps(
                {'username': 'admin', 'password': router_password, 'hosts': ['127.0.0.1'], 'drivers': ['routeros']}
            ),
        }
        if lab:
            env['DELINQUENCY_CREDENTIAL_DEMO_BRAS'] = json.dumps(
                {
                    'username': lab.bras_user,
                    'key_file': str(lab.key_file),
                    'hosts': [lab.bras_address],
                    'drivers': ['linux'],
                }
            )
        port = free_port()
        log = open_.enter_context((HOME / f'{database}.log').open('w'))
        running = Stack(
            url=f'http://127.0.0.1:{port}', token='', password=secrets.token_urlsafe(9), signing_key=signing_key,
            control=simulator['control'], lab=lab, env=env, log=Path(log.name),
            secrets={'router password': router_password, 'signing key': signing_key.removeprefix('whsec_')},
            redis=redis, log_file=log, open_=open_, worker_command=worker_command,
            postgres=postgres,
        )  # fmt: skip
        seed = _seed_file(Path(folder), lab, simulator['routers'], running.password)
        say('filling NetBox with the demo network')
        if warm:
            command = [sys.executable, '-m', 'dev.warm', str(seed), f'127.0.0.1:{port}', *QUEUES]
            started = open_.enter_context(process(command, env, stdout=log, stderr=log))
            wait_until('NetBox is filled', lambda: _token(seed) or started.poll() is not None, 300)
        else:
            program, *arguments = (word.format(host='127.0.0.1', port=port) for word in web)
            # Each of these reads NetBox's code for many seconds before it does anything: they do so side by side.
            running.web = open_.enter_context(process([str(BIN / program), *arguments], env, stdout=log, stderr=log))
            for queue in QUEUES:
                running.start_worker(queue)
            subprocess.run([sys.executable, '-m', 'dev.seed', str(seed)], env=env, cwd=ROOT, check=False)
        running.token = _token(seed)
        if not running.token:
            raise ServiceError(f'NetBox could not be filled with the demo network; see {log.name}')
        wait_until('NetBox answers', lambda: _answers(running.url), 300)
        yield running


def _answers(url: str) -> bool:
    try:
        return requests.get(f'{url}/login/', timeout=30).ok
    except (requests.ConnectionError, requests.Timeout):
        return False


def router_config(name: str, number: int, password: str, lines: int, latency: float) -> dict[str, Any]:
    """A simulated router of the demo, as `tests.simulators.routeros` takes it: one that passes its own check."""
    return {
        'name': name,
        'users': {'admin': password},
        'profiles': PROFILES,
        'rules': RULES,
        'subscribers': [
            {
                'name': f'{name}-user{{n}}', 'service': 'pppoe', 'profile': 'fibre-100', 'count': lines,
                **({'remote-address': f'100.64.{number}.{{n}}'} if lines < POOL_FROM else {}),
            },
        ],
        'settings': {'reconnect_after': 0.2, 'latency': latency},
    }  # fmt: skip


@contextmanager
def _simulator(
    folder: Path, password: str, names: Sequence[str], lines: int, latency: float
) -> Iterator[dict[str, Any]]:
    config = folder / 'routers.json'
    routers = [router_config(name, number, password, lines, latency) for number, name in enumerate(names, 1)]
    config.write_text(json.dumps({'routers': routers}))
    command = [sys.executable, '-m', 'tests.simulators.routeros', '--config', str(config)]
    with process(command, dict(os.environ), stdout=subprocess.PIPE) as child:
        assert child.stdout
        line = child.stdout.readline()
        if not line:
            raise ServiceError('the router simulator did not start')
        answer = json.loads(line)
        for router in answer['routers']:
            router['usernames'] = [f'{router["name"]}-user{number}' for number in range(1, lines + 1)]
        yield answer


def _seed_file(folder: Path, lab: Lab | None, routers: list[dict[str, Any]], password: str) -> Path:
    """What `dev.seed` reads."""
    spec = {'password': password, 'routers': routers, 'lab': None}
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
    path.touch(mode=0o600)
    path.write_text(json.dumps(spec))
    return path


def _token(seed: Path) -> str:
    """The administrator's API token, which `dev.seed` adds; empty until then."""
    return str(json.loads(seed.read_text()).get('token', ''))
