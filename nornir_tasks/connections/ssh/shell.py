"""An interactive shell on a device: many commands under way at once, one answer for each.

A shell is several times faster than one exec a command, but all answers come down one stream of echoes, prompts and
redraws. Each command therefore ends by printing a token nobody can guess; what lies between two tokens is one command's
answer, whatever it looks like. A device that cannot print text is waited for at its prompt, one command at a time.
"""

from __future__ import annotations

import contextlib
import re
import secrets
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from paramiko import Channel, SSHException

from nornir_tasks.errors import PointTimeoutError, PointUnreachableError

MAX_OUTSTANDING = 30  # lines that a device's console buffers safely

CONTROL = re.compile(r'[\x00-\x1f\x7f]')
ANSI = re.compile(r'\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[ -/]*[0-~])')


@dataclass(frozen=True, slots=True)
class Prompt:
    """How a platform's shell is told apart from what it prints.

    `pattern` matches a prompt from the start of a line. `marked(command, a, b)` is one line that runs the command and
    then prints `a` and `b` joined, written so that its own echo does not hold them joined; `None` where the platform
    cannot. A command that fails may leave its token out. `setup` are commands that every new shell starts with (no
    paging, a wide screen); their answers do not matter, for `more` matches the pager's question and is answered with a
    space where a box pages all the same.
    """

    pattern: re.Pattern[str]
    marked: Callable[[str, str, str], str] | None = None
    newline: str = '\r'
    setup: tuple[str, ...] = ()
    more: re.Pattern[str] | None = None
    width: int = 511
    height: int = 4098


class ShellTimeoutError(PointTimeoutError):
    """Nothing was answered in time. `answers` came; up to `sent` went out, so those between are unknown."""

    def __init__(self, message: str, answers: Sequence[str], sent: int) -> None:
        super().__init__(message)
        self.answers = tuple(answers)
        self.sent = sent


class ShellClosedError(PointUnreachableError):
    """The shell died; `answers` and `sent` as in `ShellTimeoutError`."""

    def __init__(self, message: str, answers: Sequence[str], sent: int) -> None:
        super().__init__(message)
        self.answers = tuple(answers)
        self.sent = sent


def clean_line(line: str) -> str:
    """A line as it stands on the screen in the end: no ANSI sequences, redraws from column 0 carried out."""
    if line.isprintable():
        return line
    return ANSI.sub('', line).replace('\x08', '').rstrip('\r\n').rsplit('\r', 1)[-1]


def close_channel(channel: Channel) -> None:
    """paramiko says goodbye on the wire, and stumbles where that is what has just died."""
    with contextlib.suppress(OSError, EOFError, SSHException):
        channel.close()


@dataclass(slots=True)
class _Progress:
    """Where one `run` stands, so that its failure can say what is known and what is not."""

    answers: list[str] = field(default_factory=list)
    sent: int = 0


class Shell:
    """One shell channel. After a timeout or a death it is `broken` for good: later answers could be earlier ones'."""

    def __init__(self, channel: Channel, prompt: Prompt, where: str, timeout: float) -> None:
        """Waits up to `timeout` seconds for the first prompt. Raises `PointTimeoutError`, `PointUnreachableError`."""
        self.prompt = prompt
        self.where = where
        self.broken = False
        self._channel = channel
        self._secret = secrets.token_hex(8)
        self._token = re.compile(f'{self._secret}:([0-9]+);')
        self._counter = 0
        self._lines: deque[str] = deque()  # complete lines, cleaned, not yet looked at
        self._partial = b''
        progress = _Progress()
        while not self._at_prompt():
            self._receive(timeout, progress)
        self._lines.clear()  # the greeting
        if prompt.setup:
            self.run(prompt.setup, timeout)

    def run(self, commands: Sequence[str], timeout: float, stop: Callable[[], bool] = lambda: False) -> list[str]:
        """The answer to each command, in order, lines joined by `\\n`, without echo and prompts.

        `stop` is asked before more is sent: once it says True, only what is under way is waited for, and there are
        fewer answers than commands. `timeout` is seconds of silence. Answers are UTF-8 with `surrogateescape`. Raises
        `ShellTimeoutError` or `ShellClosedError`, which say what was answered and what was sent; `ValueError` for a
        control character.
        """
        for command in commands:
            if CONTROL.search(command):
                raise ValueError('a shell command may not hold control characters')
        if self.broken:
            raise ShellClosedError(f'{self.where}: the shell is closed', (), 0)
        progress = _Progress()
        if self.prompt.marked:
            self._run_marked(commands, timeout, progress, stop)
        else:
            for command in commands:
                if stop():
                    break
                self._run_prompted(command, timeout, progress)
        return progress.answers

    def close(self) -> None:
        self.broken = True
        close_channel(self._channel)

    def _run_marked(
        self, commands: Sequence[str], timeout: float, progress: _Progress, stop: Callable[[], bool]
    ) -> None:
        first = self._counter
        # The empty one at the end closes a last command that failed without printing its token.
        lines = [self._marked(command, first + index) for index, command in enumerate([*commands, ''])]
        self._counter += len(lines)
        answers = progress.answers
        gathered: list[str] = []
        sent = 0
        while len(answers) <= len(commands):
            if not self._lines:  # all that came is looked at first, so that what it makes room for goes in one piece
                window = lines[sent : len(answers) + MAX_OUTSTANDING]
                if window and sent < len(commands) and stop():
                    commands = commands[:sent]
                    lines = [*lines[:sent], self._marked('', first + sent)]
                    window = lines[sent:]
                sent += len(window)
                progress.sent = min(sent, len(commands))
                if window:
                    self._send(window, timeout, progress)
                self._receive(timeout, progress)
                continue
            line = self._lines.popleft()
            token = self._token.search(line)
            if token:
                gathered.append(line[: token.start()])  # an answer without a final newline stands before the token
                answers += self._divide(gathered, int(token[1]) - first - len(answers) + 1)
                gathered = []
            else:
                gathered.append(line)
        answers.pop()

    def _divide(self, lines: list[str], count: int) -> list[str]:
        """The answers of `count` commands of which only the last printed its token: prompts stand between them."""
        if count == 1:
            return [self._text(lines)]
        parts: list[list[str]] = [[]]
        for line in lines:
            if self._is_prompt(line):
                parts.append([])
            else:
                parts[-1].append(line)
        *failed, last = [self._text(part) for part in parts]
        failed = [text for text in failed if text]
        if len(failed) != count - 1:
            failed = ['\n'.join(failed)] * (count - 1)  # whose words they are cannot be told; that they failed can
        return [*failed, last]

    def _marked(self, command: str, number: int) -> str:
        assert self.prompt.marked is not None
        return self.prompt.marked(command, f'{self._secret}:', f'{number};')

    def _run_prompted(self, command: str, timeout: float, progress: _Progress) -> None:
        self._lines.clear()
        self._partial = b''
        progress.sent += 1
        self._send([command], timeout, progress)
        echo: int | None = None
        while echo is None or not self._at_prompt():
            # A prompt may be redrawn around the echo: only one that comes after the echoed command ends the answer.
            self._receive(timeout, progress)
            if echo is None:
                ends = (line.rstrip().endswith(command.strip()) for line in self._lines)
                echo = next((index for index, is_echo in enumerate(ends) if is_echo), None)
        progress.answers.append(self._text(list(self._lines)[echo + 1 :]))

    def _text(self, lines: Sequence[str]) -> str:
        # What is typed ahead may be echoed by the terminal alone, without a prompt, but not without the secret.
        return '\n'.join(line for line in lines if line and self._secret not in line and not self._is_prompt(line))

    def _is_prompt(self, line: str) -> bool:
        return self.prompt.pattern.match(line) is not None

    def _at_prompt(self) -> bool:
        return self._is_prompt(self._screen())

    def _screen(self) -> str:
        """The line that is not ended yet."""
        return clean_line(self._partial.decode('utf-8', 'surrogateescape'))

    def _send(self, lines: Sequence[str], timeout: float, progress: _Progress) -> None:
        text = ''.join(line + self.prompt.newline for line in lines)
        self._put(text.encode('utf-8', 'surrogateescape'), timeout, progress)

    def _put(self, data: bytes, timeout: float, progress: _Progress) -> None:
        self._channel.settimeout(timeout)
        try:
            self._channel.sendall(data)
        except TimeoutError:
            self.close()
            raise ShellTimeoutError(f'{self.where} reads no commands', progress.answers, progress.sent) from None
        except (OSError, EOFError, SSHException):
            self.close()
            raise ShellClosedError(f'{self.where} closed the shell', progress.answers, progress.sent) from None

    def _receive(self, timeout: float, progress: _Progress) -> None:
        self._channel.settimeout(timeout)
        try:
            data = self._channel.recv(65536)
        except TimeoutError:
            self.close()
            message = f'{self.where} did not answer within {timeout:g} s{self._last_words()}'
            raise ShellTimeoutError(message, progress.answers, progress.sent) from None
        if not data:
            self.close()
            message = f'{self.where} closed the shell{self._last_words()}'
            raise ShellClosedError(message, progress.answers, progress.sent)
        *complete, self._partial = (self._partial + data).split(b'\n')
        self._lines.extend(clean_line(line.decode('utf-8', 'surrogateescape')) for line in complete)
        if self.prompt.more and self.prompt.more.search(self._screen()):
            self._partial = b''
            self._put(b' ', timeout, progress)

    def _last_words(self) -> str:
        """A question that the device asks instead of a prompt (a licence, a new password) is worth showing."""
        last = clean_line(self._partial.decode('utf-8', 'replace')).strip()
        return f'; it last said "{last[:120]}"' if last and self._counter == 0 else ''
