"""An interactive shell on a device: many commands under way at once, one answer for each.

A shell is several times faster than one exec a command, but all answers come down one stream of echoes, prompts and
redraws. Each command therefore ends by printing a token nobody can guess; what lies between two tokens is one command's
answer, whatever it looks like. A device that cannot print text is waited for at its prompt, one command at a time.

Whatever a device does (endless lines, one line without an end, a byte now and then, a pager that never gives up), each
answer has an end in time and in size.
"""

from __future__ import annotations

import contextlib
import re
import secrets
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from paramiko import Channel, SSHException

from nornir_tasks.errors import PointTimeoutError, PointUnreachableError

MAX_OUTSTANDING = 30  # lines that a device's console buffers safely
SLICE_SECONDS = 0.2  # how often `stop` is asked while nothing comes
STOP_GRACE_SECONDS = 2.0  # how long, once stopped, the answer under way is still waited for
GREETING_PAUSE_SECONDS = 0.1  # nothing comes for so long: what looks like a prompt is no line of a banner
LONGEST_LINE = 1_000_000  # bytes without a line's end
LONGEST_PROMPT = 512  # characters; no more of a line is looked at for one

CONTROL = re.compile(r'[\x00-\x1f\x7f]')
ANSI = re.compile(r'\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[ -/]*[0-~])')

SILENT = '\x00\x07\x0e\x0f'  # a bell, padding, a change of characters: nothing of it is seen around a prompt


@dataclass(frozen=True, slots=True)
class Prompt:
    """How a platform's shell is told apart from what it prints.

    `pattern` matches a prompt from the start of a line; what its group `host` matches at login is what that of every
    later prompt begins with. `marked(command, a, b)` is one line that runs the command and then prints `a` and `b`
    joined, written so that its own echo does not hold them joined; `None` where the platform cannot. A command that
    fails may leave its token out. `setup` are commands that every new shell starts with (no paging, a wide screen, no
    log); their answers do not matter, for `more` matches the pager's question and is answered with a space where a box
    pages all the same, and `noise` the log lines that it prints in between, also behind its prompt. `most` is how many
    bytes one answer may have.
    """

    pattern: re.Pattern[str]
    marked: Callable[[str, str, str], str] | None = None
    newline: str = '\r'
    setup: tuple[str, ...] = ()
    more: re.Pattern[str] | None = None
    noise: re.Pattern[str] | None = None
    width: int = 511
    height: int = 4098
    most: int = 1_000_000


class ShellTimeoutError(PointTimeoutError):
    """An answer did not come, or did not end. `answers` came; up to `sent` went out, so those between are unknown."""

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
    shown = ANSI.sub('', line).replace('\x08', '').rstrip('\r\n').strip(SILENT)
    return shown.rsplit('\r', 1)[-1].strip(SILENT)


def close_channel(channel: Channel) -> None:
    """paramiko says goodbye on the wire, and stumbles where that is what has just died."""
    with contextlib.suppress(OSError, EOFError, SSHException):
        channel.close()


@dataclass(slots=True)
class _Progress:
    """Where one `run` stands: what is known should it fail, and how much more its present answer may take."""

    silence: float  # seconds
    total: float
    most: int  # bytes
    hurry: Callable[[], bool]
    answers: list[str] = field(default_factory=list)
    sent: int = 0
    heard: int = 0
    hurried: bool = False
    began_at: float = 0.0
    heard_at: float = 0.0
    limit_at: float = 0.0

    def __post_init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """The next answer begins; the one before has ended."""
        self.heard = 0
        self.began_at = self.heard_at = time.monotonic()
        self.limit_at = self.began_at + self.total
        if self.hurried:
            self.limit_at = min(self.limit_at, self.began_at + STOP_GRACE_SECONDS)

    def hear(self, count: int) -> None:
        self.heard += count
        self.heard_at = time.monotonic()

    def left(self) -> float:
        """Seconds that the present answer may still take."""
        if not self.hurried and self.hurry():
            self.hurried = True
            self.limit_at = min(self.limit_at, time.monotonic() + STOP_GRACE_SECONDS)
        return min(self.limit_at, self.heard_at + self.silence) - time.monotonic()

    def why_late(self) -> str:
        if self.hurried:
            return 'was told to stop, and the answer under way did not come to its end'
        if self.heard and self.limit_at <= self.heard_at + self.silence:
            return f'came to no end of its answer within {self.total:g} s'
        return f'did not answer within {self.silence:g} s'


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
        self._host = ''
        self._greet(_Progress(timeout, timeout, prompt.most, lambda: False))
        self._lines.clear()  # the greeting
        if prompt.setup:
            self.run(prompt.setup, timeout)

    def _greet(self, progress: _Progress) -> None:
        """Wait for the first prompt, and learn the host's name by it. A banner may hold a line that looks like one."""
        seen, scrolled = '', False
        while True:
            while self._lines:
                line = self._lines.popleft()
                if self._is_prompt(line):
                    found = self.prompt.pattern.match(line[:LONGEST_PROMPT])
                    seen, scrolled = line, found is not None and bool(line[found.end() :].strip())
                elif seen and self._is_noise(line):
                    scrolled = True
                elif line.strip():
                    seen, scrolled = '', False
            screen = self._screen()
            if self._is_prompt(screen):
                seen, scrolled = screen, True
            if not (seen and scrolled):
                self._receive(progress)
            elif self.prompt.marked or not self._more_comes(progress):
                self._host = self._host_of(seen)
                return

    def run(
        self,
        commands: Sequence[str],
        timeout: float,
        stop: Callable[[], bool] = lambda: False,
        *,
        hurry: Callable[[], bool] | None = None,
        total: float | None = None,
    ) -> list[str]:
        """The answer to each command, in order, lines joined by `\\n`, without echo, prompts and log lines.

        `timeout` is how many seconds of silence an answer may have, and, unless `total` says otherwise, how many it may
        take as a whole. `stop` is asked before more is sent: once it says True there are fewer answers than
        commands. `hurry` (`stop`, if none is given) is asked while answers come: once it says True, they are waited for
        a little only. Answers are UTF-8 with `surrogateescape`. Raises `ShellTimeoutError` or `ShellClosedError`, which
        say what was answered and what was sent; `ValueError` for a control character.
        """
        for command in commands:
            if CONTROL.search(command):
                raise ValueError('a shell command may not hold control characters')
        if self.broken:
            raise ShellClosedError(f'{self.where}: the shell is closed', (), 0)
        progress = _Progress(timeout, timeout if total is None else total, self.prompt.most, hurry or stop)
        if self.prompt.marked:
            self._run_marked(commands, progress, stop)
        else:
            for command in commands:
                if stop():
                    break
                self._run_prompted(command, progress)
        return progress.answers

    def close(self) -> None:
        self.broken = True
        close_channel(self._channel)

    def _run_marked(self, commands: Sequence[str], progress: _Progress, stop: Callable[[], bool]) -> None:
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
                    self._send(window, progress)
                self._receive(progress)
                continue
            line = self._lines.popleft()
            token = self._token.search(line)
            if token:
                gathered.append(line[: token.start()])  # an answer without a final newline stands before the token
                answers += self._divide(gathered, int(token[1]) - first - len(answers) + 1)
                gathered = []
                progress.begin()
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

    def _run_prompted(self, command: str, progress: _Progress) -> None:
        self._lines.clear()
        self._partial = b''
        progress.sent += 1
        progress.begin()
        self._send([command], progress)
        gathered: list[str] | None = None
        while True:
            while self._lines:
                line = self._lines.popleft()
                # A prompt may be redrawn around the echo: only one that comes after the echoed command ends the answer.
                if gathered is None:
                    gathered = [] if line.rstrip().endswith(command.strip()) else None
                elif self._is_prompt(line):  # scrolled up by a log line
                    progress.answers.append(self._text(gathered))
                    return
                else:
                    gathered.append(line)
            if gathered is not None and self._is_prompt(self._screen()):
                progress.answers.append(self._text(gathered))
                return
            self._receive(progress)

    def _text(self, lines: Sequence[str]) -> str:
        # What is typed ahead may be echoed by the terminal alone, without a prompt, but not without the secret.
        return '\n'.join(
            line
            for line in lines
            if line and self._secret not in line and not self._is_prompt(line) and not self._is_noise(line)
        )

    def _is_noise(self, line: str) -> bool:
        return self.prompt.noise is not None and self.prompt.noise.match(line) is not None

    def _is_prompt(self, line: str) -> bool:
        """Whether a line is a prompt, with a typed command behind it (in a marked shell), or a log line."""
        found = self.prompt.pattern.match(line[:LONGEST_PROMPT])
        if found is None or self.prompt.marked:
            return found is not None
        if not self._host_of(line).startswith(self._host):
            return False
        rest = line[found.end() :]
        return not rest.strip() or self._is_noise(rest)

    def _host_of(self, line: str) -> str:
        found = self.prompt.pattern.match(line[:LONGEST_PROMPT])
        has_host = found is not None and 'host' in self.prompt.pattern.groupindex
        return (found['host'] or '') if found and has_host else ''

    def _more_comes(self, progress: _Progress) -> bool:
        """Whether anything follows at once what looks like the first prompt."""
        self._channel.settimeout(min(GREETING_PAUSE_SECONDS, max(progress.left(), 0)))
        try:
            self._take(self._channel.recv(65536), progress)
        except TimeoutError:
            return False
        return True

    def _screen(self) -> str:
        """The line that is not ended yet."""
        return clean_line(self._partial.decode('utf-8', 'surrogateescape'))

    def _send(self, lines: Sequence[str], progress: _Progress) -> None:
        text = ''.join(line + self.prompt.newline for line in lines)
        self._put(text.encode('utf-8', 'surrogateescape'), progress)

    def _put(self, data: bytes, progress: _Progress) -> None:
        while data:
            left = progress.left()
            if left <= 0:
                raise self._timed_out(f'{self.where} reads no commands', progress)
            self._channel.settimeout(min(left, SLICE_SECONDS))
            try:
                sent = self._channel.send(data)
            except TimeoutError:
                continue
            except (OSError, EOFError, SSHException):
                sent = 0
            if not sent:
                self.close()
                raise ShellClosedError(f'{self.where} closed the shell', progress.answers, progress.sent) from None
            data = data[sent:]

    def _receive(self, progress: _Progress) -> None:
        while True:
            left = progress.left()
            if left <= 0:
                raise self._timed_out(f'{self.where} {progress.why_late()}{self._last_words()}', progress)
            self._channel.settimeout(min(left, SLICE_SECONDS))
            try:
                data = self._channel.recv(65536)
            except TimeoutError:
                continue
            self._take(data, progress)
            return

    def _take(self, data: bytes, progress: _Progress) -> None:
        if not data:
            self.close()
            message = f'{self.where} closed the shell{self._last_words()}'
            raise ShellClosedError(message, progress.answers, progress.sent)
        progress.hear(len(data))
        if progress.heard > progress.most:
            text = f'{self.where} printed more than {progress.most} bytes and came to no end of its answer'
            raise self._timed_out(text, progress)
        *complete, self._partial = (self._partial + data).split(b'\n')
        if len(self._partial) > LONGEST_LINE:
            raise self._timed_out(f'{self.where} printed a line of more than {LONGEST_LINE} bytes', progress)
        self._lines.extend(clean_line(line.decode('utf-8', 'surrogateescape')) for line in complete)
        if self.prompt.more and self.prompt.more.search(self._screen()[-LONGEST_PROMPT:]):
            self._partial = b''
            self._put(b' ', progress)

    def _timed_out(self, message: str, progress: _Progress) -> ShellTimeoutError:
        self.close()
        return ShellTimeoutError(message, progress.answers, progress.sent)

    def _last_words(self) -> str:
        """A question that the device asks instead of a prompt (a licence, a new password) is worth showing."""
        last = clean_line(self._partial.decode('utf-8', 'replace')).strip()
        return f'; it last said "{last[:120]}"' if last and self._counter == 0 else ''
