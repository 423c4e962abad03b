"""An embedded ACS on a free port, on either store, for plain tests that call `asyncio.run`."""

from __future__ import annotations

import os
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import sqlalchemy as sa

from tests.simulators.cpe import Cpe
from tests.tr069.postgres import own_postgres
from tr069.acs.app import Acs
from tr069.acs.client import EmbeddedAcsClient
from tr069.acs.settings import AcsSettings

SECRET, TOKEN = 'a-secret-of-the-laboratory', 'northbound-token'


@pytest.fixture(autouse=True)
def _secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('TR069_ACS_SECRET', SECRET)
    monkeypatch.setenv('TR069_ACS_TOKEN', TOKEN)


class Clock:
    """The ACS's clock, to be moved by hand."""

    def __init__(self) -> None:
        self.offset = 0.0

    def __call__(self) -> float:
        return time.time() + self.offset


class Lab:
    """A running ACS with what tests need around it."""

    def __init__(self, acs: Acs, clock: Clock) -> None:
        self.acs, self.clock = acs, clock
        self.url = f'http://127.0.0.1:{acs.cpe_port}/'
        self.api = f'http://127.0.0.1:{acs.northbound_port}'
        self.client = EmbeddedAcsClient(self.api, TOKEN)
        self.cpes: list[Cpe] = []

    def cpe(self, serial: str = 'S1', **options: object) -> Cpe:
        cpe = Cpe(serial, url=self.url, **options)  # type: ignore[arg-type]
        if cpe.login is None:
            cpe.login = self.acs.cpe_login(cpe.id)
        self.cpes.append(cpe)
        return cpe


@asynccontextmanager
async def lab(database: str, **settings: dict[str, object]):
    """`settings` are sections of `AcsSettings`, laid over what a laboratory needs."""
    calls = {'deny': (), 'retry_wait_s': 0.05, 'timeout_s': 2.0}
    sections = {
        'cpe': {'host': '127.0.0.1', 'port': 0, **settings.pop('cpe', {})},
        'northbound': {'port': 0, **settings.pop('northbound', {})},
        'connection_requests': {**calls, **settings.pop('connection_requests', {})},
        'desired': {'connection_request_to_verify': False, **settings.pop('desired', {})},
    }
    clock = Clock()
    acs = Acs(AcsSettings.model_validate({'database': database, **sections, **settings}), clock=clock)
    await acs.start()
    room = Lab(acs, clock)
    try:
        yield room
    finally:
        for cpe in room.cpes:
            await cpe.close()
        await room.client.aclose()
        await acs.stop()


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return f'sqlite:///{tmp_path / "acs.sqlite3"}'


@pytest.fixture(scope='session')
def postgres_server() -> Iterator[str]:
    given = os.environ.get('DATABASE_URL')
    if given:
        # A server's URL has no database; the one that every server has is where ours are made.
        yield given if urlsplit(given).path.strip('/') else f'{given.rstrip("/")}/postgres'
        return
    # Not pytest's own temporary directory: every run of pytest closes that to other users.
    with tempfile.TemporaryDirectory(prefix='acs-postgres-') as directory, own_postgres(Path(directory)) as url:
        yield url


@pytest.fixture
def postgres_url(postgres_server: str) -> Iterator[str]:
    """A database of its own for one test."""
    server = sa.make_url(postgres_server).set(drivername='postgresql+psycopg')
    name = f'acs_{uuid.uuid4().hex[:12]}'
    engine = sa.create_engine(server, isolation_level='AUTOCOMMIT')
    with engine.connect() as connection:
        connection.execute(sa.text(f'CREATE DATABASE {name}'))
    yield server.set(drivername='postgresql', database=name).render_as_string(hide_password=False)
    with engine.connect() as connection:
        connection.execute(sa.text(f'DROP DATABASE {name} WITH (FORCE)'))
    engine.dispose()


@pytest.fixture(params=['sqlite', 'postgresql'])
def database(request: pytest.FixtureRequest) -> str:
    """Both stores, one after the other."""
    return request.getfixturevalue('sqlite_url' if request.param == 'sqlite' else 'postgres_url')
