"""The NetBox instance in `.netbox/`: its configuration, its template database, and copies of that for each use.

NetBox itself is restored from a dump (`dev.schema`). On it the plugin's migrations are run into a template, once for
each state of `migrations/`; a use starts from a copy.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import secrets
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dev import schema
from dev.services import HOME, ROOT, program, run, say, services

BIN = Path(sys.executable).parent


def migrations_digest() -> str:
    files = sorted((ROOT / 'migrations').glob('*.py'))
    return hashlib.sha256(b''.join(path.name.encode() + path.read_bytes() for path in files)).hexdigest()[:12]


def base_template() -> str:
    return f'netbox_{schema.netbox_version().replace(".", "_")}'


def template() -> str:
    return f'{base_template()}_{migrations_digest()}'


def secret() -> str:
    path = HOME / 'secret'
    if not path.exists():
        HOME.mkdir(exist_ok=True)
        path.touch(mode=0o600)
        path.write_text(secrets.token_hex(32))
    return path.read_text()


def environment(urls: dict[str, str], database: str, plugins: str = 'netbox_delinquency') -> dict[str, str]:
    """What a NetBox process of this instance needs in its environment."""
    link = HOME / 'conf' / 'configuration.py'
    link.parent.mkdir(parents=True, exist_ok=True)
    if not link.exists():
        link.unlink(missing_ok=True)
        link.symlink_to(ROOT / 'dev' / 'configuration.py')
    return {
        **os.environ,
        **urls,
        'NETBOX_ROOT': str(HOME),
        'DJANGO_SETTINGS_MODULE': 'netbox.settings',
        'DELINQUENCY_DEV_DATABASE': database,
        'DELINQUENCY_DEV_TEMPLATE': template(),
        'DELINQUENCY_DEV_SECRET': secret(),
        'DELINQUENCY_DEV_PLUGINS': plugins,
        'PATH': f'{BIN}{os.pathsep}{os.environ["PATH"]}',
    }


def psql(urls: dict[str, str], sql: str, database: str = 'postgres') -> str:
    url = f'{urls["DATABASE_URL"].rstrip("/")}/{database}'
    return run([program('psql'), '-X', '-q', '-A', '-t', '-v', 'ON_ERROR_STOP=1', '-d', url, '-c', sql]).strip()


def exists(urls: dict[str, str], database: str) -> bool:
    return psql(urls, f"SELECT 1 FROM pg_database WHERE datname = '{database}'") == '1'


def copy_database(urls: dict[str, str], source: str, target: str) -> None:
    psql(urls, f'CREATE DATABASE "{target}" TEMPLATE "{source}"')


def drop_database(urls: dict[str, str], database: str) -> None:
    psql(urls, f'DROP DATABASE IF EXISTS "{database}" WITH (FORCE)')


def create_database(urls: dict[str, str], database: str) -> None:
    """A new and empty one, whatever had that name."""
    drop_database(urls, database)
    psql(urls, f'CREATE DATABASE "{database}" TEMPLATE template0')


def migrate_netbox(urls: dict[str, str], database: str) -> None:
    """NetBox's own migrations, from nothing: some minutes."""
    create_database(urls, database)
    schema.run_migrations(
        schema.command_of_netbox(), environment(urls, database, plugins=''), schema.netbox_migrations()
    )


def migrate_plugin(urls: dict[str, str], database: str) -> None:
    schema.run_migrations([sys.executable, '-m', 'dev.migrate'], environment(urls, database))


def build_base_template(urls: dict[str, str]) -> None:
    """NetBox without the plugin: restored from its dump, or migrated once and then kept as one."""
    name, dump = base_template(), schema.dump_path()
    building = f'{name}_building'
    if dump.exists():
        say(f'restoring NetBox {schema.netbox_version()} from {dump}')
        create_database(urls, building)
        schema.restore(urls, dump, building)
    else:
        say(f'migrating NetBox {schema.netbox_version()} once (some minutes; kept in {dump})')
        migrate_netbox(urls, building)
        schema.save(urls, building, dump)
    psql(urls, f'ALTER DATABASE "{building}" RENAME TO "{name}"')


def ensure_templates(urls: dict[str, str]) -> None:
    """Both templates, built where they are missing; templates of other states of `migrations/` are dropped."""
    with (HOME / 'templates.lock').open('a+') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        _ensure_templates(urls)


def _ensure_templates(urls: dict[str, str]) -> None:
    if exists(urls, template()):
        return
    if not exists(urls, base_template()):
        build_base_template(urls)
    say("running the plugin's migrations")
    stale = psql(
        urls, f"SELECT datname FROM pg_database WHERE datname ~ '^{re.escape(base_template())}_[0-9a-f]{{12}}$'"
    )
    for name in stale.split():
        drop_database(urls, name)
    building = f'{base_template()}_plugin'
    drop_database(urls, building)
    copy_database(urls, base_template(), building)
    migrate_plugin(urls, building)
    psql(urls, f'ALTER DATABASE "{building}" RENAME TO "{template()}"')


def copy_template(source: dict[str, str], target: dict[str, str]) -> None:
    """Bring the template of one server to another, which is much faster than to build it there."""
    if exists(target, template()):
        return
    with tempfile.TemporaryDirectory() as folder:
        dump = Path(folder) / 'template.sql.gz'
        schema.save(source, template(), dump)
        building = f'{base_template()}_copying'
        create_database(target, building)
        schema.restore(target, dump, building)
    psql(target, f'ALTER DATABASE "{building}" RENAME TO "{template()}"')


@contextmanager
def instance(database: str, keep: bool = False) -> Iterator[dict[str, str]]:
    """Services up and a database of that name made from the template; yields the environment of its processes.

    With `keep` an existing database is used on, and left behind; else it is new, and dropped at the end.
    """
    with services() as urls:
        ensure_templates(urls)
        if not (keep and exists(urls, database)):
            drop_database(urls, database)
            copy_database(urls, template(), database)
        try:
            yield environment(urls, database)
        finally:
            if not keep:
                drop_database(urls, database)


def check_schema() -> list[str]:
    """Where the dump differs from what NetBox's migrations make, and the template from what its command makes."""
    with services() as urls:
        ensure_templates(urls)
        migrated, commanded = 'netbox_migrated', 'netbox_commanded'
        try:
            migrate_netbox(urls, migrated)
            found = [*schema.check(schema.dump(urls, migrated), schema.dump(urls, base_template()), 'the dump')]
            drop_database(urls, commanded)
            copy_database(urls, base_template(), commanded)
            schema.run_migrations(schema.command_of_netbox(), environment(urls, commanded))
            made = schema.dump(urls, commanded)
            return [*found, *schema.check(made, schema.dump(urls, template()), "the plugin's template")]
        finally:
            drop_database(urls, migrated)
            drop_database(urls, commanded)


def make_schema() -> None:
    """Migrate the installed NetBox from nothing and keep its dump beside this file."""
    with services() as urls:
        database = 'netbox_migrated'
        try:
            migrate_netbox(urls, database)
            schema.save(urls, database, schema.shipped())
        finally:
            drop_database(urls, database)
