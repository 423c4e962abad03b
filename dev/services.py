"""PostgreSQL and Redis for development: those given by `DATABASE_URL` and `REDIS_URL`, else private ones.

The private PostgreSQL keeps its cluster under `.netbox/`, shared by every command that runs at the time and stopped by
the last one; a private Redis lives and dies with its command. Neither ever runs as root.
"""

from __future__ import annotations

import fcntl
import json
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

import redis

ROOT = Path(__file__).resolve().parent.parent
HOME = ROOT / '.netbox'


class ServiceError(Exception):
    """A service could not be found, started or reached; the text says what to do."""


def say(text: str) -> None:
    print(text, flush=True)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        return int(probe.getsockname()[1])


def unprivileged_user() -> str | None:
    """The user that services run as when we are root (PostgreSQL refuses root); `None` where we are nobody special."""
    if os.geteuid() != 0:
        return None
    for name in ('postgres', 'nobody'):
        try:
            return pwd.getpwnam(name).pw_name
        except KeyError:
            continue
    raise ServiceError('running as root, and there is no user "postgres" or "nobody" to run PostgreSQL as')


def as_user(command: list[str], user: str | None) -> list[str]:
    return (
        ['setpriv', f'--reuid={user}', f'--regid={pwd.getpwnam(user).pw_gid}', '--init-groups', *command]
        if user
        else command
    )


def run(command: list[str], user: str | None = None, **kwargs: object) -> str:
    """Run to the end and return its output; `ServiceError` carries the output of a failure."""
    done = subprocess.run(as_user(command, user), cwd='/', text=True, capture_output=True, check=False, **kwargs)  # type: ignore[call-overload]
    if done.returncode:
        raise ServiceError(f'{command[0]} failed ({done.returncode}): {(done.stderr or done.stdout).strip()}')
    return str(done.stdout)


def program(name: str) -> str:
    """Path of a system program, PostgreSQL's own directories included, newest first."""
    versions = sorted(
        Path('/usr/lib/postgresql').glob('*/bin'), key=lambda path: int(path.parent.name.split('.')[0]), reverse=True
    )
    for folder in (*versions, *(Path(part) for part in os.get_exec_path()), Path('/usr/sbin'), Path('/sbin')):
        if os.access(folder / name, os.X_OK):
            return str(folder / name)
    raise ServiceError(f'{name} is not installed: run make setup')


class Postgres:
    """A private cluster, kept. `url` is a `postgresql://` URL of a superuser, without a database name."""

    def __init__(self, name: str = 'postgres') -> None:
        self.user = unprivileged_user()
        self.folder = self._folder(name)
        self.state = HOME / f'{name}.json'

    def _folder(self, name: str) -> Path:
        """`.netbox/NAME`, or a folder in /var/tmp where the unprivileged user cannot reach the tree."""
        folder = HOME / name
        HOME.mkdir(exist_ok=True)
        if self.user:
            reachable = subprocess.run(as_user(['test', '-x', str(HOME)], self.user), cwd='/', check=False)
            if reachable.returncode:
                folder = Path('/var/tmp') / f'netbox-delinquency-{HOME.stat().st_ino}-{name}'
        return folder

    @classmethod
    def all(cls) -> list[Postgres]:
        """Every one that was ever made here."""
        return [cls(path.stem) for path in sorted(HOME.glob('postgres*.json'))]

    def __enter__(self) -> Postgres:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        state = json.loads(self.state.read_text())
        return f'postgresql://netbox:{state["password"]}@127.0.0.1:{state["port"]}'

    def is_at(self, url: str) -> bool:
        return self.state.exists() and self.url == url

    def running(self) -> bool:
        if not (self.folder / 'PG_VERSION').exists():
            return False
        command = as_user([program('pg_ctl'), '-D', str(self.folder), 'status'], self.user)
        return subprocess.run(command, cwd='/', capture_output=True, check=False).returncode == 0

    def create(self) -> None:
        say('creating a private PostgreSQL cluster')
        self.folder.mkdir(mode=0o700, exist_ok=True)
        if self.user:
            shutil.chown(self.folder, self.user)
        password = secrets.token_hex(16)
        self.state.touch(mode=0o600)
        self.state.write_text(json.dumps({'password': password, 'port': free_port()}))
        with tempfile.NamedTemporaryFile('w') as file:
            file.write(password)
            file.flush()
            if self.user:
                shutil.chown(file.name, self.user)
            run(
                [program('initdb'), '-D', str(self.folder), '-U', 'netbox', '--encoding=UTF8', '--locale=C.UTF-8',
                 '--auth=scram-sha-256', f'--pwfile={file.name}'],
                self.user,
            )  # fmt: skip

    def start(self) -> None:
        if not (self.folder / 'PG_VERSION').exists():
            self.create()
        if self.running():
            return
        state = json.loads(self.state.read_text())
        state['port'] = free_port()
        self.state.write_text(json.dumps(state))
        # Development data can be made anew: durability is traded for speed.
        options = (
            f'-p {state["port"]} -k {self.folder} -c listen_addresses=127.0.0.1 -c fsync=off -c full_page_writes=off '
            f'-c synchronous_commit=off -c max_connections=200 -c shared_buffers={shared_buffers()}MB '
            '-c max_wal_size=8GB -c checkpoint_timeout=30min'
        )
        log = self.folder / 'server.log'
        run([program('pg_ctl'), '-D', str(self.folder), '-l', str(log), '-w', '-o', options, 'start'], self.user)

    def stop(self) -> None:
        if self.running():
            run([program('pg_ctl'), '-D', str(self.folder), '-m', 'fast', '-w', 'stop'], self.user)

    def restart(self) -> None:
        """On the same port: every session of everybody is lost."""
        log = self.folder / 'server.log'
        run([program('pg_ctl'), '-D', str(self.folder), '-l', str(log), '-m', 'fast', '-w', 'restart'], self.user)


def shared_buffers() -> int:
    """In MB: a quarter of the memory, as PostgreSQL advises; 2 GB hold all that a million contracts touch."""
    memory = os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES')
    return min(2048, memory // 4 // 2**20)


class UseLock:
    """Counts the commands that use the private PostgreSQL, so that the last one stops it and no other does."""

    def __init__(self) -> None:
        HOME.mkdir(exist_ok=True)
        self.file: TextIO = (HOME / 'services.lock').open('a+')

    def __enter__(self) -> UseLock:
        # Starting is exclusive; using is shared. A converted flock is not atomic, hence the second file.
        with (HOME / 'start.lock').open('a+') as starting:
            fcntl.flock(starting, fcntl.LOCK_EX)
            fcntl.flock(self.file, fcntl.LOCK_SH)
            Postgres().start()
        return self

    def __exit__(self, *_: object) -> None:
        with (HOME / 'start.lock').open('a+') as starting:
            fcntl.flock(starting, fcntl.LOCK_EX)
            fcntl.flock(self.file, fcntl.LOCK_UN)
            try:
                fcntl.flock(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return
            Postgres().stop()


class Redis:
    """A Redis of our own on a free port, kept in memory only: stopped and started again, it is the same and empty."""

    def __init__(self) -> None:
        self.port, self.password = free_port(), secrets.token_hex(16)
        self.server: subprocess.Popen[str] | None = None

    @property
    def url(self) -> str:
        return f'redis://:{self.password}@127.0.0.1:{self.port}'

    def start(self) -> None:
        # The configuration goes through standard input, so that no password shows in the process list.
        config = f'port {self.port}\nbind 127.0.0.1\nrequirepass {self.password}\nsave ""\nappendonly no\ndir /tmp\n'
        command = as_user([program('redis-server'), '-'], unprivileged_user())
        self.server = subprocess.Popen(
            command, cwd='/', stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, start_new_session=True, text=True
        )
        assert self.server.stdin
        self.server.stdin.write(config)
        self.server.stdin.close()
        wait_for_port(self.port, 10)

    def stop(self) -> None:
        if self.server is not None:
            end_group(self.server)
            self.server = None

    def flush(self) -> None:
        """Empty it, as one that came back without its data."""
        redis.Redis.from_url(self.url).flushall()

    def __enter__(self) -> Redis:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


@contextmanager
def private_redis() -> Iterator[str]:
    with Redis() as redis:
        yield redis.url


def wait_for_port(port: int, seconds: float) -> None:
    end = time.monotonic() + seconds
    while True:
        try:
            socket.create_connection(('127.0.0.1', port), 1).close()
        except OSError as error:
            if time.monotonic() > end:
                raise ServiceError(f'nothing listens on port {port} after {seconds:.0f} s') from error
            time.sleep(0.05)
        else:
            return


def end_group(process: subprocess.Popen[str], seconds: float = 10) -> None:
    """End a process started in a session of its own, and all its children: first asked, then made to."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            break
        try:
            process.wait(seconds)
            break
        except subprocess.TimeoutExpired:
            continue
    process.wait()


def leave_on_sigterm() -> None:
    """End as Ctrl-C does, with whatever was started: servers in process groups of their own would survive us."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))


@contextmanager
def services() -> Iterator[dict[str, str]]:
    """PostgreSQL and Redis, running; yields `{'DATABASE_URL': …, 'REDIS_URL': …}` for the environment."""
    given = {name: os.environ[name] for name in ('DATABASE_URL', 'REDIS_URL') if os.environ.get(name)}
    if 'DATABASE_URL' in given:
        with private_redis() if 'REDIS_URL' not in given else _given(given['REDIS_URL']) as redis:
            yield {**given, 'REDIS_URL': redis}
        return
    with UseLock(), private_redis() if 'REDIS_URL' not in given else _given(given['REDIS_URL']) as redis:
        yield {'DATABASE_URL': Postgres().url, 'REDIS_URL': redis}


@contextmanager
def _given(url: str) -> Iterator[str]:
    yield url
