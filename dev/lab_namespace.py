"""A network namespace without a name: it lives as long as processes of ours are in it, and they as long as we do.

Nothing is left behind even after SIGKILL: every process carries a parent-death signal, and the kernel takes an empty
namespace down with all its interfaces. Create namespaces in a thread that lives as long as they should: the signal
comes when that thread ends.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

DIES_WITH_US = ('setpriv', '--pdeathsig', 'KILL', '--')
CLEAN = {'PATH': '/usr/sbin:/usr/bin:/sbin:/bin', 'LC_ALL': 'C', 'HOME': '/'}


class LabError(Exception):
    """The lab could not be built or used; the text says what to do."""


def run(command: Sequence[str], stdin: str = '', timeout: float = 30.0) -> str:
    """Output of a command. Raises `LabError` where it fails or does not end in `timeout` seconds."""
    try:
        done = subprocess.run(
            [*DIES_WITH_US, *command], input=stdin, env=CLEAN, text=True, capture_output=True, check=False,
            timeout=timeout, cwd='/', start_new_session=True,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise LabError(f'`{" ".join(command)}` did not end in {timeout:g} s') from None
    if done.returncode:
        raise LabError(f'`{" ".join(command)}` failed ({done.returncode}): {(done.stderr or done.stdout).strip()}')
    return done.stdout


class Namespace:
    """One network namespace; `close` may be called any number of times."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.processes: list[subprocess.Popen[str]] = []
        self._holder = self._popen([*DIES_WITH_US, 'unshare', '--net', '--', 'sleep', 'infinity'])
        self.pid = self._holder.pid
        self.inode = self._wait_until_apart()
        self.enter = ('nsenter', f'--net=/proc/{self.pid}/ns/net', '--')
        self.ip('link set lo up')

    def ip(self, arguments: str) -> str:
        return run([*self.enter, 'ip', *arguments.split()])

    def run(self, command: Sequence[str], stdin: str = '', timeout: float = 30.0) -> str:
        """Raises `LabError` as the function `run` does."""
        return run([*self.enter, *command], stdin, timeout)

    def start(self, command: Sequence[str], **options: Any) -> subprocess.Popen[str]:
        """A process that runs in here until it, this namespace or we end."""
        return self._popen([*DIES_WITH_US, *self.enter, *command], **options)

    def set(self, **sysctls: str) -> None:
        """`net__ipv4__ip_forward='1'` and the like."""
        writes = [f'echo {value} > /proc/sys/{name.replace("__", "/")}' for name, value in sysctls.items()]
        run([*self.enter, 'sh', '-ec', '\n'.join(writes)])

    def close(self) -> None:
        """Kill whatever is in here, then reap what was ours."""
        for pid in self._pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for process in self.processes:
            process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout, process.stderr):
                if stream is not None:
                    stream.close()
        self.processes.clear()

    def _popen(self, command: Sequence[str], **options: Any) -> subprocess.Popen[str]:
        # A session of their own: Ctrl-C is ours to handle, in our order.
        defaults = {'stdin': subprocess.DEVNULL, 'stdout': subprocess.DEVNULL, 'stderr': subprocess.DEVNULL}
        process: subprocess.Popen[str] = subprocess.Popen(
            command, env=CLEAN, cwd='/', text=True, start_new_session=True, **(defaults | options)
        )
        self.processes.append(process)
        return process

    def _wait_until_apart(self) -> str:
        ours = os.readlink('/proc/self/ns/net')
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline and self._holder.poll() is None:
            with contextlib.suppress(OSError):
                inode = os.readlink(f'/proc/{self.pid}/ns/net')
                if inode != ours:
                    return inode
            time.sleep(0.005)
        self.close()
        raise LabError('this kernel or container gives no network namespaces: run as root on a plain Linux machine')

    def _pids(self) -> list[int]:
        found = []
        if not self.processes:
            return []
        for entry in Path('/proc').iterdir():
            if entry.name.isdigit():
                with contextlib.suppress(OSError):
                    if os.readlink(entry / 'ns/net') == self.inode:
                        found.append(int(entry.name))
        return found


def link(one: Namespace, name: str, other: Namespace, peer: str) -> None:
    """A pair of interfaces, both up."""
    one.ip(f'link add name {name} type veth peer name {peer} netns {other.pid}')
    one.ip(f'link set dev {name} up')
    other.ip(f'link set dev {peer} up')
