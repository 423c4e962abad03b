"""A throw-away PostgreSQL server, for tests and benchmarks."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def _binary(name: str) -> str:
    found = shutil.which(name) or next(
        (str(path) for path in sorted(Path('/usr/lib/postgresql').glob(f'*/bin/{name}'))), ''
    )
    if not found:
        raise RuntimeError(f'{name} is not installed and DATABASE_URL is not set: this needs a PostgreSQL')
    return found


@contextmanager
def own_postgres(directory: Path) -> Iterator[str]:
    """A throw-away server in `directory`, which the user postgres must be able to reach.

    PostgreSQL refuses to run as root, so root hands the directory to that user.
    """
    run_as = ['runuser', '-u', 'postgres', '--'] if os.geteuid() == 0 else []
    if run_as:
        shutil.chown(directory, 'postgres', 'postgres')
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        port = probe.getsockname()[1]
    data = directory / 'data'
    quiet = {'check': True, 'stdout': subprocess.DEVNULL, 'cwd': directory}
    subprocess.run([*run_as, _binary('initdb'), '-D', data, '-U', 'postgres', '-A', 'trust', '-N'], **quiet)
    options = f'-p {port} -k {directory} -c listen_addresses=127.0.0.1 -c fsync=off'
    control = [*run_as, _binary('pg_ctl'), '-D', data, '-w', '-l', directory / 'log']
    subprocess.run([*control, '-o', options, 'start'], **quiet)
    try:
        yield f'postgresql://postgres@127.0.0.1:{port}/postgres'
    finally:
        subprocess.run([*control, '-m', 'immediate', 'stop'], **quiet)
