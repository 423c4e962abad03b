"""The NetBox instance in `.netbox/`: its configuration, its template database, and copies of that for each use.

NetBox's own migrations take minutes; a restored dump takes seconds. The dump is made once a NetBox version and kept
in `NETBOX_SCHEMA_CACHE` (default `~/.cache/netbox-delinquency/`) as `netbox-<version>-schema.sql.gz`. On it the
plugin's migrations are run into a template, once for each state of `migrations/`; a use starts from a copy.
"""

from __future__ import annotations

import fcntl
import gzip
import hashlib
import os
import re
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

from dev.services import HOME, ROOT, ServiceError, program, run, say, services

BIN = Path(sys.executable).parent


def netbox_version() -> str:
    return version('netbox')


def schema_dump() -> Path:
    name = f'netbox-{netbox_version()}-schema.sql.gz'
    shipped = ROOT / 'dev' / name
    if shipped.exists():
        return shipped
    folder = os.environ.get('NETBOX_SCHEMA_CACHE') or '~/.cache/netbox-delinquency'
    return Path(folder).expanduser() / name


def migrations_digest() -> str:
    files = sorted((ROOT / 'migrations').glob('*.py'))
    return hashlib.sha256(b''.join(path.name.encode() + path.read_bytes() for path in files)).hexdigest()[:12]


def base_template() -> str:
    return f'netbox_{netbox_version().replace(".", "_")}'


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


def migrate(urls: dict[str, str], database: str, plugins: str, total: int) -> None:
    """Run `netbox migrate` with a line that shows how far it is; `total` is about how many migrations there are."""
    command = [str(BIN / 'netbox'), 'migrate', '--no-input']
    started, done, log = time.monotonic(), 0, []
    with subprocess.Popen(
        command, env=environment(urls, database, plugins), cwd=ROOT, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, bufsize=1,
    ) as process:  # fmt: skip
        assert process.stdout
        for line in process.stdout:
            log.append(line)
            done += line.strip().endswith('OK')
            if total > 10 and sys.stdout.isatty():
                print(f'\r  {done} of about {total}, {time.monotonic() - started:.0f} s ', end='', flush=True)
            elif total > 10 and done % 50 == 0 and line.strip().endswith('OK'):
                say(f'  {done} of about {total}, {time.monotonic() - started:.0f} s')
    if total > 10:
        print()
    if process.returncode:
        raise ServiceError('netbox migrate failed:\n' + ''.join(log[-30:]))


def build_base_template(urls: dict[str, str]) -> None:
    """NetBox without the plugin: restored from the cached dump, or migrated once and then cached."""
    name, dump = base_template(), schema_dump()
    building = f'{name}_building'
    drop_database(urls, building)
    psql(urls, f'CREATE DATABASE "{building}" TEMPLATE template0')
    if dump.exists():
        say(f'restoring NetBox {netbox_version()} from {dump}')
        restore(urls, dump, building)
    else:
        say(f'migrating NetBox {netbox_version()} once (some minutes; kept in {dump})')
        site = Path(shutil.which('netbox', path=str(BIN)) or '').parent.parent
        migrate(urls, building, '', len(list(site.glob('lib/python*/site-packages/*/migrations/[0-9]*.py'))))
        save(urls, building, dump)
    psql(urls, f'ALTER DATABASE "{building}" RENAME TO "{name}"')


def restore(urls: dict[str, str], dump: Path, database: str) -> None:
    url = f'{urls["DATABASE_URL"].rstrip("/")}/{database}'
    with gzip.open(dump, 'rt') as text:
        run([program('psql'), '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', url, '-o', '/dev/null'], input=text.read())


def save(urls: dict[str, str], database: str, dump: Path) -> None:
    url = f'{urls["DATABASE_URL"].rstrip("/")}/{database}'
    text = run([program('pg_dump'), '--no-owner', '--no-privileges', '-d', url])
    dump.parent.mkdir(parents=True, exist_ok=True)
    part = dump.with_suffix('.part')
    with gzip.open(part, 'wt') as file:
        file.write(text)
    part.rename(dump)


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
    migrate(urls, building, 'netbox_delinquency', 0)
    psql(urls, f'ALTER DATABASE "{building}" RENAME TO "{template()}"')


def copy_template(source: dict[str, str], target: dict[str, str]) -> None:
    """Bring the template of one server to another, which is much quicker than to build it there."""
    if exists(target, template()):
        return
    with tempfile.TemporaryDirectory() as folder:
        dump = Path(folder) / 'template.sql.gz'
        save(source, template(), dump)
        building = f'{base_template()}_copying'
        drop_database(target, building)
        psql(target, f'CREATE DATABASE "{building}" TEMPLATE template0')
        restore(target, dump, building)
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
