"""A real OpenSSH server on a free port, with keys of its own, for whoever may run `sshd` (root, or its own user)."""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class OpenSSHServer:
    """Where it listens, what it shows (`host_key`, known_hosts form) and what it lets in (`key_file`)."""

    port: int
    username: str
    host_key: str
    key_file: Path
    process: subprocess.Popen[bytes]

    def drop_sessions(self) -> None:
        """Kill every session of this server, and not the server: what a reboot or a timeout does to a client."""
        children = Path(f'/proc/{self.process.pid}/task/{self.process.pid}/children').read_text().split()
        for child in map(int, children):
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, 9)


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(('127.0.0.1', 0))
        return int(sock.getsockname()[1])


def make_key(path: Path, kind: str = 'ed25519', passphrase: str = '') -> str:
    """Make a key pair at `path`; returns the public key line."""
    subprocess.run(['ssh-keygen', '-q', '-t', kind, '-N', passphrase, '-C', '', '-f', str(path)], check=True)
    return path.with_name(path.name + '.pub').read_text().strip()


@contextlib.contextmanager
def openssh_server(
    directory: Path, options: tuple[str, ...] = (), kinds: tuple[str, ...] = ('ed25519',)
) -> Iterator[OpenSSHServer]:
    """Run one in `directory`. `options` are further lines of sshd_config; `host_key` is of the last of `kinds`."""
    program = shutil.which('sshd', path='/usr/sbin:/usr/local/sbin:/sbin') or 'sshd'
    for kind in kinds:
        make_key(directory / f'host_{kind}', kind)
    public = make_key(directory / 'login')
    (directory / 'authorized_keys').write_text(public + '\n')
    if os.geteuid() == 0:
        Path('/run/sshd').mkdir(mode=0o755, exist_ok=True)  # sshd refuses to start as root without it
    port = free_port()
    lines = [
        f'Port {port}',
        'ListenAddress 127.0.0.1',
        *(f'HostKey {directory}/host_{kind}' for kind in kinds),
        f'AuthorizedKeysFile {directory}/authorized_keys',
        'PidFile none',
        'UsePAM no',
        'StrictModes no',
        'UseDNS no',
        # The start-up files of whoever runs the tests can take 100 ms each time. Only the first SetEnv line counts.
        ' '.join(
            [f'SetEnv HOME={directory}', *(line.removeprefix('SetEnv ') for line in options if _is_set_env(line))]
        ),
        *(line for line in options if not _is_set_env(line)),
    ]
    if not any(line.startswith('PasswordAuthentication') for line in options):
        lines.append('PasswordAuthentication no')
    (directory / 'sshd_config').write_text('\n'.join(lines) + '\n')
    with (directory / 'sshd.log').open('wb') as log:
        process = subprocess.Popen(
            [program, '-D', '-e', '-f', str(directory / 'sshd_config')], stderr=log, stdin=subprocess.DEVNULL
        )
    try:
        _wait_for(port, process, directory / 'sshd.log')
        host_key = (directory / f'host_{kinds[-1]}.pub').read_text().strip()
        yield OpenSSHServer(port, getpass.getuser(), host_key, directory / 'login', process)
    finally:
        process.terminate()
        process.wait(5)


def _is_set_env(line: str) -> bool:
    return line.startswith('SetEnv ')


def _wait_for(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f'sshd ended at once: {log.read_text()}')
        with contextlib.suppress(OSError), socket.create_connection(('127.0.0.1', port), 0.5):
            return
        time.sleep(0.02)
    raise RuntimeError(f'sshd does not listen: {log.read_text()}')
