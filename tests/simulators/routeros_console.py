"""The terminal of a simulated router: prompt, echo, redraws, colours, and one line after another."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass

from tests.simulators.routeros_script import Interpreter
from tests.simulators.routeros_state import Fault, Router
from tests.simulators.routeros_syntax import RouterOSSyntaxError, UnfinishedError

BANNER = '\r\n\r\n  MikroTik RouterOS {version}       https://www.mikrotik.com/\r\n\r\n'
TYPED = re.compile(rb'[\r\n?]|[^\x00-\x1f?]+')  # other control characters do nothing
HELP = '\r\n<name> -- name of the item\r\n'


class DroppedError(Exception):
    """A fault cuts the connection."""


@dataclass(frozen=True)
class LoginOptions:
    """What `+ct511w4098h` after the user name asks for: c no colours, t no terminal detection, w and h the size."""

    username: str
    colours: bool = True
    detection: bool = True
    width: int = 80

    @classmethod
    def parse(cls, login: str) -> LoginOptions:
        username, _, options = login.partition('+')
        width = digits = ''
        for character in options:
            if character.isdigit():
                digits += character
            else:
                width, digits = (digits, '') if character == 'w' else (width, '')
        return cls(username, 'c' not in options, 't' not in options, int(width or 80))


async def execute(router: Router, interpreter: Interpreter, line: str) -> list[str]:
    """Carry out one line with the router's delay and faults. Raises `DroppedError`, `UnfinishedError`."""
    router.commands.append(line)
    router.counters.lines += 1
    fault = next((fault for fault in router.faults if fault.strikes(line)), Fault('none'))
    pause = router.delay + (fault.seconds if fault.action == 'delay' else 0)
    if pause:
        await asyncio.sleep(pause)
    if fault.action == 'hang':
        await router.never.wait()
    if fault.action == 'drop':
        raise DroppedError
    if fault.action == 'error':
        return [fault.text]
    router.lying = fault.action == 'lie'
    try:
        return interpreter.run(line)
    except RouterOSSyntaxError as error:
        return [str(error)]
    finally:
        router.lying = False


class Console:
    """An interactive session. `feed` takes what is typed; `run` carries it out until the other side is gone."""

    def __init__(self, router: Router, options: LoginOptions, write: Callable[[str], None]) -> None:
        self.router = router
        self.options = options
        self.write = write
        self.interpreter = Interpreter(router)
        self._typed = bytearray()
        self._lines: asyncio.Queue[str | None] = asyncio.Queue()
        self._waiting = 0

    def feed(self, data: bytes) -> None:
        for piece in TYPED.findall(data):
            if piece in (b'\r', b'\n'):
                if piece == b'\r' or self._typed:
                    self._enter()
            elif piece == b'?':
                if self.router.version < 7:
                    # Version 6 takes it as a call for help, wherever it is typed; it never becomes part of the line.
                    self.write(HELP)
                else:
                    self._typed += piece
            else:
                self._typed += piece

    def _enter(self) -> None:
        counters = self.router.counters
        counters.outstanding += 1
        counters.max_outstanding = max(counters.max_outstanding, counters.outstanding)
        self._waiting += 1
        self._lines.put_nowait(self._typed.decode('utf-8', 'surrogateescape'))
        self._typed.clear()

    def end(self) -> None:
        self._lines.put_nowait(None)

    async def run(self) -> None:
        """Returns when the other side has ended, or typed `quit`. Raises `DroppedError`."""
        if self.options.detection:
            self.write('\x1b[9999B\x1bZ  \x1b[6n')
        version = next(self.router.rows('system resource'))['version']
        self.write(BANNER.format(version=version))
        self._show_prompt(self._prompt())
        started = ''
        try:
            while (line := await self._lines.get()) is not None:
                prompt = '... ' if started else self._prompt()
                self._echo(prompt, line)
                if line == 'quit' and not started:
                    return
                try:
                    printed = await execute(self.router, self.interpreter, started + line)
                    started = ''
                except UnfinishedError as error:
                    started += line + '\n'
                    self._done()
                    self.write(str(error))
                    continue
                self.write(''.join(text + '\r\n' for text in printed))
                self._done()
                self._show_prompt(self._prompt())
        finally:
            self.router.counters.outstanding -= self._waiting

    def _done(self) -> None:
        self._waiting -= 1
        self.router.counters.outstanding -= 1

    def _prompt(self) -> str:
        menu = f' /{self.interpreter.menu}' if self.interpreter.menu else ''
        name = next(self.router.rows('system identity'))['name']
        return f'[{self.options.username}@{name}]{menu} > '

    def _show_prompt(self, prompt: str) -> None:
        shown = prompt
        if self.options.colours:
            shown = prompt.replace('[', '[\x1b[m\x1b[32m', 1).replace(']', '\x1b[m]', 1)
        # The line editor clears its line by overwriting it, then draws the prompt again.
        self.write(f'\r\r\r\r{shown}{" " * 20}\r{shown}')

    def _echo(self, prompt: str, line: str) -> None:
        room = self.options.width - len(prompt) - 2
        if len(line) > room:
            # A line longer than the screen scrolls sideways: only its end stays to be seen.
            self.write(f'\r{prompt}{line[:room]}\r{prompt}<{line[1 - room :]}')
        else:
            self.write(f'\r{prompt}{line}\x1b[K')
        self.write('\r\n')
