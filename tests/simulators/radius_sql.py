"""Databases with FreeRADIUS's own schema, as Debian ships it: PostgreSQL, and MariaDB where it is installed."""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine, make_url, text

from nornir_tasks.change import AccessTarget
from nornir_tasks.connections.freeradius import DatabaseParameters, FreeRADIUSSession
from nornir_tasks.credentials import Credential
from nornir_tasks.drivers.radius import freeradius_tables as tables
from tests.simulators.freeradius import QUERIES, SECRET
from tests.tr069.postgres import own_postgres

TABLES = ('radcheck', 'radreply', 'radusergroup', 'radgroupcheck', 'radgroupreply', 'radacct', 'nbd_line')
NAS = '127.0.0.1'


@dataclass(frozen=True)
class RadiusDatabase:
    """A database that tests fill and ask for the truth. `where` are the login lines of rlm_sql."""

    kind: str
    address: str
    port: int
    username: str
    password: str
    database: str

    @property
    def where(self) -> str:
        password = f'\n    password = "{self.password}"' if self.password else ''
        return f'server = "{self.address}"\n    port = {self.port}\n    login = "{self.username}"{password}'

    @property
    def parameters(self) -> dict[str, Any]:
        return {'engine': self.kind, 'database': self.database}

    def session(self) -> FreeRADIUSSession:
        credential = Credential(username=self.username, password=self.password, secret=SECRET)
        parameters = DatabaseParameters.model_validate(self.parameters)
        return FreeRADIUSSession.connect(self.address, self.port, credential, parameters, 5)

    def execute(self, statement: str, *rows: dict[str, Any]) -> list[tuple[Any, ...]]:
        with _engine(self).begin() as connection:
            done = connection.execute(text(statement), list(rows) or None)
            return [tuple(row) for row in done] if done.returns_rows else []

    def empty(self) -> None:
        for table in TABLES:
            self.execute(f'DELETE FROM {table}')

    def group(self, name: str, **reply: str) -> None:
        for attribute, value in reply.items():
            self.execute(
                "INSERT INTO radgroupreply (groupname, attribute, op, value) VALUES (:g, :a, ':=', :v)",
                {'g': name, 'a': attribute.replace('_', '-'), 'v': value},
            )

    def user(self, name: str, *groups: str, **reply: str) -> None:
        self.execute(
            "INSERT INTO radcheck (username, attribute, op, value) VALUES (:u, 'Cleartext-Password', ':=', 'pw')",
            {'u': name},
        )
        for priority, group in enumerate(groups, 1):
            self.execute(
                'INSERT INTO radusergroup (username, groupname, priority) VALUES (:u, :g, :p)',
                {'u': name, 'g': group, 'p': priority},
            )
        for attribute, value in reply.items():
            self.execute(
                "INSERT INTO radreply (username, attribute, op, value) VALUES (:u, :a, ':=', :v)",
                {'u': name, 'a': attribute.replace('_', '-'), 'v': value},
            )

    def dial(self, name: str, unique: str, nas: str = NAS, address: str = '100.64.0.1') -> None:
        """Accounting shows a session."""
        self.execute(
            'INSERT INTO radacct (acctsessionid, acctuniqueid, username, nasipaddress, framedipaddress, acctstarttime,'
            " calledstationid, callingstationid, acctterminatecause) VALUES (:s, :q, :u, :n, :a, now(), '', '', '')",
            {'s': f's-{unique}', 'q': unique, 'u': name, 'n': nas, 'a': address},
        )

    def hang_up(self, name: str) -> None:
        self.execute(
            'UPDATE radacct SET acctstoptime = now() WHERE username = :u AND acctstoptime IS NULL', {'u': name}
        )

    def truth(self) -> dict[str, list[tuple[Any, ...]]]:
        """All rows that FreeRADIUS decides by, but for their numbers."""
        return {
            table: sorted(row[1:] for row in self.execute(f'SELECT * FROM {table}'))
            for table in TABLES
            if table not in ('radacct', 'nbd_line')
        }

    def groups_of(self, name: str) -> list[tuple[str, int]]:
        rows = self.execute(
            'SELECT groupname, priority FROM radusergroup WHERE username = :u ORDER BY priority', {'u': name}
        )
        return [(row[0], row[1]) for row in rows]


@functools.cache
def _engine(database: RadiusDatabase) -> Engine:
    """The tests' own way in, kept open."""
    url = database.session().engine.url
    return create_engine(url, isolation_level='AUTOCOMMIT')


@contextlib.contextmanager
def postgres_database() -> Iterator[RadiusDatabase]:
    """In a folder of its own: another pytest that starts closes pytest's to the user that PostgreSQL runs as."""
    with tempfile.TemporaryDirectory() as folder, own_postgres(Path(folder)) as address:
        url = make_url(address)
        database = RadiusDatabase('postgresql', '127.0.0.1', url.port or 0, 'postgres', '', 'postgres')
        load_schema(database)
        yield database


def mariadb_missing() -> str:
    return (
        '' if shutil.which('mariadbd', path='/usr/sbin') and shutil.which('mariadb-install-db') else 'no MariaDB here'
    )


@contextlib.contextmanager
def mariadb_database(folder: Path) -> Iterator[RadiusDatabase]:
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        port = probe.getsockname()[1]
    data = folder / 'data'
    who = [f'--user={os.environ.get("USER") or "root"}'] if os.geteuid() == 0 else []
    subprocess.run(
        ['mariadb-install-db', '--no-defaults', f'--datadir={data}', '--skip-test-db', *who],
        check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    (folder / 'init.sql').write_text(
        'CREATE DATABASE radius CHARACTER SET utf8mb4;'
        "\nCREATE USER 'radius'@'%' IDENTIFIED BY 'radpass';\nGRANT ALL ON radius.* TO 'radius'@'%';\n"
    )
    process = subprocess.Popen(
        ['/usr/sbin/mariadbd', '--no-defaults', f'--datadir={data}', f'--port={port}', '--bind-address=127.0.0.1',
         f'--socket={folder}/sock', f'--init-file={folder}/init.sql', '--innodb-flush-log-at-trx-commit=0', *who],
        stdout=subprocess.DEVNULL, stderr=(folder / 'log').open('wb'),
    )  # fmt: skip
    try:
        database = RadiusDatabase('mysql', '127.0.0.1', port, 'radius', 'radpass', 'radius')
        end = time.monotonic() + 30
        while True:
            try:
                database.session()
                break
            except Exception:
                if time.monotonic() > end or process.poll() is not None:
                    raise
                time.sleep(0.2)
        load_schema(database)
        yield database
    finally:
        process.terminate()
        process.wait(20)


def load_schema(database: RadiusDatabase) -> None:
    """FreeRADIUS's own, and our table beside it."""
    schema = (QUERIES / database.kind / 'schema.sql').read_text()
    lines = '\n'.join(line for line in schema.splitlines() if not line.lstrip().startswith(('#', '--')))
    engine = database.session().engine
    with engine.begin() as connection:
        for statement in lines.split(';'):
            if statement.strip():
                connection.exec_driver_sql(statement.replace('%', '%%'))
        tables.memory.create(connection)


def target(name: str, **values: Any) -> AccessTarget:
    """A line whose key is its user name, contracted at 20/10 Mbit/s."""
    known: dict[str, Any] = {'down_kbps': 20_000, 'up_kbps': 10_000, 'parameters': {'throttled_group': 'slow'}}
    return AccessTarget(name, username=name, **(known | values))
