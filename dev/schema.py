"""The dump of an empty, migrated NetBox that stands beside this file: how it is made, and held equal to migrations.

NetBox's own migrations take minutes of CPU, restoring what they make takes seconds. `python -m dev schema` makes the
dump anew for the NetBox that is installed (after its pin was changed); `python -m dev schema --check` migrates once
more, from nothing, and compares. Where the installed NetBox is of another version than the dump, it is migrated, and
what that makes is kept in `NETBOX_SCHEMA_CACHE` (default `~/.cache/netbox-delinquency/`).
"""

from __future__ import annotations

import difflib
import gzip
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from dev.services import ROOT, ServiceError, program, run, say

Urls = dict[str, str]

# What differs from one dump to the next of the same database, or between minor versions of pg_dump: a random word
# against injection, comments that name versions, a setting that older servers do not know.
NOISE = re.compile(r'^\\(un)?restrict |^-- Dumped (from|by) |^SET transaction_timeout')
MOMENT = re.compile(r'\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)?([+-]\d\d(:\d\d)?)?')


def netbox_version() -> str:
    return version('netbox')


def shipped() -> Path:
    return ROOT / 'dev' / f'netbox-{netbox_version()}-schema.sql.gz'


def dump_path() -> Path:
    """The dump of the installed NetBox: the one in the tree, else the one in the cache (which may not exist yet)."""
    if shipped().exists():
        return shipped()
    folder = os.environ.get('NETBOX_SCHEMA_CACHE') or '~/.cache/netbox-delinquency'
    return Path(folder).expanduser() / shipped().name


def netbox_migrations() -> int:
    """About how many migrations NetBox and its applications have, to show how far they are."""
    spec = find_spec('netbox')
    assert spec
    assert spec.origin
    site = Path(spec.origin).parent.parent
    return len(list(site.glob('*/migrations/[0-9]*.py')))


def _url(urls: Urls, database: str) -> str:
    return f'{urls["DATABASE_URL"].rstrip("/")}/{database}'


def dump(urls: Urls, database: str) -> str:
    """The whole database as SQL that any server from PostgreSQL 14 restores."""
    text = run([program('pg_dump'), '--no-owner', '--no-privileges', '-d', _url(urls, database)])
    return ''.join(line for line in text.splitlines(keepends=True) if not NOISE.match(line))


def save(urls: Urls, database: str, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f'{path.name}.{os.getpid()}')
    # No time of making within: the same schema is the same file.
    part.write_bytes(gzip.compress(dump(urls, database).encode(), mtime=0))
    part.rename(path)


def restore(urls: Urls, path: Path, database: str) -> None:
    with gzip.open(path, 'rt') as text:
        sql = text.read()
    command = [program('psql'), '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', _url(urls, database), '-o', '/dev/null']
    run(command, input=sql)


def statements(sql: str) -> list[str]:
    """The schema's statements and the tables' rows, in one order and without the moments at which they were made."""
    found = [part for part in re.split(r'\n\n+', MOMENT.sub('…', sql)) if not part.startswith('--')]
    rows = []
    for part in found:
        # The rows of one table have no order of their own.
        rows += sorted(part.split('\n')) if part.startswith('COPY ') else [part]
    return sorted(rows)


def differences(made: str, kept: str) -> list[str]:
    """What `made` has and `kept` has not, with a plus, and the other way about, with a minus."""
    lines = difflib.unified_diff(statements(kept), statements(made), 'kept', 'made', lineterm='', n=0)
    return [line for line in lines if not line.startswith(('+++', '---', '@@'))]


def run_migrations(command: list[str], env: dict[str, str], total: int = 0) -> None:
    """Run a `migrate` and show how far it is: its own lines, or its count of about `total` migrations."""
    started, done, log = time.monotonic(), 0, []
    with subprocess.Popen(
        command, env=env, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, bufsize=1
    ) as process:
        assert process.stdout
        for line in process.stdout:
            log.append(line)
            if not total:
                say(line.rstrip())
            elif line.strip().endswith('OK'):
                done += 1
                if done % 25 == 0:
                    say(f'  {done} of about {total} migrations, {time.monotonic() - started:.0f} s')
    if process.returncode:
        raise ServiceError(f'{Path(command[0]).name} migrate failed:\n' + ''.join(log[-30:]))


def command_of_netbox() -> list[str]:
    return [str(Path(sys.executable).parent / 'netbox'), 'migrate', '--no-input']


def check(made: str, kept: str, what: str) -> Iterator[str]:
    """Lines that say where the two dumps differ; none where they are equal."""
    found = differences(made, kept)
    if found:
        yield f'{what}: {len(found)} differences'
        yield from (f'  {line[:300]}' for line in found[:40])
