"""Several commands, each with its own input, run on a Linux box in one go, and their outputs told apart again."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nornir_tasks.connections.ssh import SSHSession
from nornir_tasks.errors import EnforcementError

SEPARATOR = '\x1e'  # ASCII "record separator": tc, ip and nft never print it
END = 'END_OF_INPUT'
FAILED_LINE = re.compile(r'Command failed -:(\d+)\s*')


@dataclass(frozen=True, slots=True)
class Command:
    """One command and its input. Both are put into a shell script as they are: only checked names may be in them."""

    line: str
    stdin: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Output:
    """What one command left; `where` names the box and the command, for error texts."""

    where: str
    status: int
    stdout: str
    stderr: str

    def failed_lines(self) -> dict[int, str]:
        """What `ip` or `tc` said to the lines of a `-force -batch -` that failed, by line number from 0.

        Raises `EnforcementError` where it failed as a whole: a missing program, a missing privilege.
        """
        # Each complaint stands before the "Command failed -:LINE" that ends it.
        parts = FAILED_LINE.split(self.stderr)
        failed: dict[int, str] = {}
        for said, number in zip(parts[::2], parts[1::2], strict=False):
            failed[int(number) - 1] = ' '.join(said.split())
        if self.status and not failed:
            self.fail()
        return failed

    def json(self) -> Any:
        """Raises `EnforcementError` where the command failed or printed something else."""
        if self.status:
            self.fail()
        try:
            return json.loads(self.stdout or '[]')
        except ValueError:
            raise EnforcementError(f'{self.where} printed no JSON: "{self.stdout[:80]}"') from None

    def json_lines(self, count: int) -> list[Any]:
        """One value for each of the `count` lines of a batch, `None` for a failed one. Raises as `json` does."""
        failed = self.failed_lines()
        try:
            values = [json.loads(line) for line in self.stdout.splitlines() if line.strip()]
        except ValueError:
            raise EnforcementError(f'{self.where} printed no JSON: "{self.stdout[:80]}"') from None
        if len(values) + len(failed) != count:
            raise EnforcementError(f'{self.where} gave {len(values)} answers and {len(failed)} errors to {count} lines')
        answers = iter(values)
        return [None if line in failed else next(answers) for line in range(count)]

    def fail(self) -> None:
        said = ' '.join(self.stderr.split())[:300] or 'no reason given'
        raise EnforcementError(
            f'{self.where} failed ({self.status}): {said}. The login needs CAP_NET_ADMIN (root, or `sudo: true`) '
            'and iproute2 and nftables installed'
        )


def script(commands: Mapping[str, Command]) -> str:
    """A POSIX shell script that runs `commands` in order and ends each one's output and errors with a mark."""
    lines = ['PATH="$PATH:/usr/sbin:/sbin"', 'export LC_ALL=C']
    for name, command in commands.items():
        if command.stdin:
            lines += [f"{command.line} <<'{END}'", *command.stdin, END]
        else:
            lines.append(f'{command.line} </dev/null')
        lines += ['status=$?', f"printf '\\036{name} %s\\n' $status", "printf '\\036\\n' >&2"]
    return '\n'.join(lines) + '\n'


def run(session: SSHSession, commands: Mapping[str, Command]) -> dict[str, Output]:
    """Outputs by name. Raises `EnforcementError` where the script did not get to its end, and as `session.exec`."""
    result = session.exec('sh', script(commands))
    stderrs = result.stderr.split(SEPARATOR + '\n')
    outputs, rest = {}, result.stdout
    for number, (name, command) in enumerate(commands.items()):
        stdout, found, rest = rest.partition(f'{SEPARATOR}{name} ')
        if not found or number >= len(stderrs):
            said = ' '.join(result.stderr.split())[:300]
            raise EnforcementError(f'{session.where}: the shell stopped before `{command.line}` ended: {said}')
        status, _, rest = rest.partition('\n')
        outputs[name] = Output(f'{session.where}: `{command.line}`', int(status), stdout, stderrs[number])
    return outputs
