"""500 changes on one router over a real sshd: this project's shell, paramiko's exec, and netmiko's `send_command`.

    python -m benchmarks.bench_ssh [--changes 500] [--repeat 3]

All three log in once (which is not counted), send the same changes one a command, and must leave the same state in the
router, which is read from the router itself. Each is run `--repeat` times and its best time counts. The router is
OpenSSH with a lean shell script in front (`ssh_router.sh`); what a real one takes to carry a command out comes on top
for everyone alike. paramiko's exec is measured twice: as it comes, and with TCP_NODELAY set by hand, which is what
`vs_exec` is against. Exits with 1 where the bar of 20 × netmiko is missed.
"""

from __future__ import annotations

import argparse
import logging
import re
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import netmiko
import paramiko

from nornir_tasks.connections.ssh import SSHSession
from nornir_tasks.connections.ssh.shell import Prompt
from nornir_tasks.credentials import Credential
from tests.simulators.openssh import OpenSSHServer, openssh_server

BAR = 20.0
PROMPT = Prompt(
    re.compile(r'\[admin@bench\] > '),
    marked=lambda command, a, b: f'{command}; :put "{a}"."{b}"' if command else f':put "{a}"."{b}"',
    newline='\n',
)
Run = Callable[[list[str]], None]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--changes', type=int, default=500)
    parser.add_argument('--repeat', type=int, default=3)
    arguments = parser.parse_args()
    logging.getLogger('paramiko').setLevel(logging.CRITICAL)
    commands = [f'set user-{number}@isp {1000 + number} 512' for number in range(arguments.changes)]
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        state = directory / 'state'
        script = Path(__file__).with_name('ssh_router.sh')
        options = (f'ForceCommand STATE={state} exec /bin/sh {script}',)
        with openssh_server(directory, options) as server:
            times = {}
            for title, client in CLIENTS.items():
                times[title] = min(measure(client, server, commands, state) for _ in range(arguments.repeat))
                each = times[title] / len(commands) * 1000
                sys.stdout.write(f'{title:<22} {times[title]:8.3f} s  {each:8.3f} ms a change\n')
    ours = times['ours']
    vs_netmiko = times['netmiko send_command'] / ours
    vs_exec = times['exec, TCP_NODELAY'] / ours
    sys.stdout.write(f'ssh: n={len(commands)} vs_netmiko={vs_netmiko:.1f} vs_exec={vs_exec:.1f}\n')
    return 0 if vs_netmiko >= BAR else 1


def measure(
    client: Callable[[OpenSSHServer], object], server: OpenSSHServer, commands: list[str], state: Path
) -> float:
    """Seconds for all changes. Raises `RuntimeError` where the router does not hold every one of them, in order."""
    state.write_text('')
    with client(server) as run:  # type: ignore[attr-defined]
        started = time.perf_counter()
        run(commands)
        elapsed = time.perf_counter() - started
    wanted = ''.join(command.removeprefix('set ') + '\n' for command in commands)
    if state.read_text() != wanted:
        raise RuntimeError(f'the router holds {len(state.read_text().splitlines())} changes of {len(commands)}')
    return elapsed


@contextmanager
def ours(server: OpenSSHServer) -> Iterator[Run]:
    credential = Credential(username=server.username, key_file=server.key_file)
    session = SSHSession.connect('127.0.0.1', server.port, credential, server.host_key, 30)
    shell = session.shell(PROMPT)
    # A terminal echoes what is typed ahead in the midst of answers; the marker keeps them apart all the same.
    yield lambda commands: check(shell.run(commands, 30))
    session.close()


def exec_with(no_delay: bool) -> Callable[[OpenSSHServer], object]:
    @contextmanager
    def client(server: OpenSSHServer) -> Iterator[Run]:
        sock = socket.create_connection(('127.0.0.1', server.port))
        if no_delay:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client = paramiko.SSHClient()
        client.set_missing_host_key_policy(paramiko.AutoAddPolicy())
        client.connect(
            '127.0.0.1', username=server.username, key_filename=str(server.key_file), sock=sock,
            allow_agent=False, look_for_keys=False,
        )  # fmt: skip

        def run(commands: list[str]) -> None:
            for command in commands:
                _, stdout, _ = client.exec_command(command)
                check([stdout.read().decode()])

        yield run
        client.close()

    return client


@contextmanager
def with_netmiko(server: OpenSSHServer) -> Iterator[Run]:
    client = netmiko.ConnectHandler(
        device_type='generic', host='127.0.0.1', port=server.port, username=server.username, use_keys=True,
        key_file=str(server.key_file), fast_cli=True,
    )  # fmt: skip
    client.set_base_prompt(pri_prompt_terminator='>')

    def run(commands: list[str]) -> None:
        for command in commands:
            check([client.send_command(command, expect_string=r'\[admin@bench\] > ')])

    yield run
    client.disconnect()


def check(answers: list[str]) -> None:
    """A change that is refused prints something."""
    if any('bad command' in answer for answer in answers):
        raise RuntimeError('the router refused a change')


CLIENTS: dict[str, Callable[[OpenSSHServer], object]] = {
    'ours': ours,
    'exec, TCP_NODELAY': exec_with(no_delay=True),
    'exec, as it comes': exec_with(no_delay=False),
    'netmiko send_command': with_netmiko,
}

if __name__ == '__main__':
    sys.exit(main())
