"""What the simulated BRAS consoles share: real SSH, a terminal with echo, prompt, paging and colours, and real state.

A `Box` holds the sessions of subscribers and what RADIUS would give them; ending a session has its CPE dial again. A
vendor is a subclass of `Terminal`: its prompt, its pager and what its commands do. `ConsoleSimulation` runs boxes in a
thread; the truth is asked of the `Box` itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import asyncssh

from tests.simulators.routeros import Listening, Simulation
from tests.simulators.routeros_state import Fault


@dataclass
class Session:
    username: str
    number: int
    address: str
    policies: tuple[str, ...]
    rates: dict[str, int] = field(default_factory=dict)  # numbers that RADIUS gave it, which no console shows


@dataclass
class Box:
    """One BRAS. `radius` is what each subscriber gets when it dials; `profiles` are the names the box has."""

    name: str = 'bras-1'
    port: int = 0
    users: dict[str, str] = field(default_factory=lambda: {'admin': 'admin'})
    profiles: set[str] = field(default_factory=set)
    radius: dict[str, tuple[str, ...]] = field(default_factory=dict)
    sessions: list[Session] = field(default_factory=list)
    local_groups: dict[str, str] = field(default_factory=dict)  # VRP: local users and their user groups
    stays_offline: set[str] = field(default_factory=set)
    may_clear: bool = True
    may_look: bool = True
    clock_skew: timedelta = timedelta(0)
    always_pages: bool = False
    page: int = 24
    session_cap: int = 0
    faults: list[Fault] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)
    cleared: list[str] = field(default_factory=list)
    logins: int = 0
    connected: int = 0
    logs: str = ''  # where it prints a log line at every prompt (`LOGS`), until it is told not to
    host: str = ''  # what it calls itself, if not by its name
    babbling: int = 0  # terminals that print without an end
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(16))
    ended: Callable[[str], None] | None = None  # told of a cleared session in place of dialling again by itself

    def dial(self, username: str) -> Session | None:
        """The CPE dials in. A box that lacks one of its policies puts it offline, as Huawei does by default."""
        group = self.local_groups.get(username)
        policies = self.radius.get(username, ()) if group is None else (group,) if group else ()
        if username in self.stays_offline or not set(policies) <= self.profiles:
            return None
        number = next(self.numbers)
        session = Session(username, number, f'100.64.{number // 250}.{number % 250 + 1}', policies)
        self.sessions.append(session)
        return session

    def clear(self, sessions: list[Session]) -> None:
        for session in sessions:
            self.sessions.remove(session)
            self.cleared.append(session.username)
            if self.ended:
                self.ended(session.username)
            else:
                self.dial(session.username)

    @property
    def called(self) -> str:
        return self.host or self.name

    def of(self, username: str) -> list[Session]:
        return [session for session in self.sessions if session.username == username]

    def now(self) -> datetime:
        return datetime.now(UTC) + self.clock_skew


# Faults of a command that come to no end: lines, one line, a byte now and then, a pager that asks again and again.
BABBLE = {'flood': 'all work and no play\r\n' * 50, 'river': 'x' * 4000, 'drip': '.', 'more': ''}
# Where a log line stands: on the prompt's own line, or below it; no new prompt follows.
LOGS = {'behind': '{log}\r\n', 'below': '\r\n{log}\r\n', 'twice': '{log}\r\n{log}\r\n'}


class DroppedError(Exception):
    """A fault cuts the connection."""


class Terminal:
    """One login's terminal. Subclasses say what it looks like and what commands do."""

    banner: ClassVar[str] = '\r\n'
    more: ClassVar[str] = '---- More ----'
    erase: ClassVar[str] = '\r                    \r'
    log: ClassVar[str] = 'a line of the log'  # as this vendor prints it to a terminal
    monitor_off: ClassVar[re.Pattern[str] | None] = None  # the command that keeps the log from a terminal
    paging_off: ClassVar[re.Pattern[str]]

    def __init__(self, box: Box, process: asyncssh.SSHServerProcess[bytes]) -> None:
        self.box = box
        self.process = process
        self.paging = True
        self.monitored = True

    # --- what a vendor says ---

    def prompt(self) -> str:
        raise NotImplementedError

    def execute(self, line: str) -> list[str]:
        """What the command prints, after it has done what it does."""
        raise NotImplementedError

    # --- the terminal itself ---

    def write(self, text: str) -> None:
        with contextlib.suppress(BrokenPipeError, ConnectionError):
            self.process.stdout.write(text.encode('utf-8', 'surrogateescape'))

    async def run(self) -> None:
        self.write(self.banner)
        if fault := next((fault for fault in self.box.faults if fault.action in BABBLE and fault.strikes('')), None):
            await self._babble(fault)
        self._show_prompt()
        typed = bytearray()
        with contextlib.suppress(asyncssh.TerminalSizeChanged, asyncssh.BreakReceived, ConnectionError):
            while data := await self.process.stdin.read(1):
                if data in b'\r\n':
                    await self._enter(typed.decode(errors='surrogateescape'))
                    typed.clear()
                else:
                    typed += data
                    self.write(data.decode(errors='surrogateescape'))

    async def _enter(self, line: str) -> None:
        self.write('\r\n')
        if line.strip():
            self.box.commands.append(line)
            fault = next((fault for fault in self.box.faults if fault.strikes(line)), Fault('none'))
            if fault.action == 'hang':
                await asyncio.Event().wait()
            if fault.action == 'drop':
                raise DroppedError
            if self.monitor_off and self.monitor_off.match(line):
                self.monitored = False
                self._show_prompt()
                return
            if self.paging_off.match(line):
                self.paging = self.box.always_pages
                printed: list[str] = []
            else:
                printed = [fault.text] if fault.action == 'error' else self.execute(line)
            if fault.action in BABBLE:
                await self._babble(fault)
            await self._print(printed)
        self._show_prompt()

    def _show_prompt(self) -> None:
        self.write(
            self.prompt() + (LOGS[self.box.logs].format(log=self.log) if self.box.logs and self.monitored else '')
        )

    async def _babble(self, fault: Fault) -> None:
        """Print for ever what has no end, as fast as it is taken."""
        self.box.babbling += 1
        try:
            while not self.process.is_closing():
                if fault.action == 'more':
                    self.write('one line\r\n' + self.more)
                    if not await self.process.stdin.read(1):
                        return
                    self.write(self.erase)
                else:
                    self.write(BABBLE[fault.action])
                    await self.process.stdout.drain()
                    await asyncio.sleep(0.02 if fault.action == 'drip' else 0)
        finally:
            self.box.babbling -= 1

    async def _print(self, lines: list[str]) -> None:
        for number, line in enumerate(lines, 1):
            self.write(line + '\r\n')
            if self.paging and number % self.box.page == 0 and number < len(lines):
                self.write(self.more)
                await self.process.stdin.read(1)
                self.write(self.erase)


class _Server(asyncssh.SSHServer):
    def __init__(self, box: Box, connections: set[asyncssh.SSHServerConnection]) -> None:
        self.box = box
        self.connections = connections
        self.counted = False

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self.connection = conn
        self.connections.add(conn)

    def connection_lost(self, exc: Exception | None) -> None:
        self.connections.discard(self.connection)
        self.box.connected -= self.counted

    def begin_auth(self, username: str) -> bool:
        return True

    def password_auth_supported(self) -> bool:
        return True

    def validate_password(self, username: str, password: str) -> bool:
        full = self.box.session_cap and self.box.connected >= self.box.session_cap
        accepted = self.box.users.get(username) == password and not full
        if accepted:
            self.counted = True
            self.box.connected += 1
            self.box.logins += 1
        return accepted


async def listen(box: Box, terminal: type[Terminal]) -> Listening:
    key = asyncssh.generate_private_key('ssh-ed25519')
    connections: set[asyncssh.SSHServerConnection] = set()

    async def serve(process: asyncssh.SSHServerProcess[bytes]) -> None:
        try:
            await terminal(box, process).run()
            process.exit(0)
        except DroppedError:
            process.get_extra_info('connection').abort()

    acceptor = await asyncssh.create_server(
        lambda: _Server(box, connections),
        '127.0.0.1',
        box.port,
        server_host_keys=[key],
        process_factory=serve,
        encoding=None,
        line_editor=False,
    )
    public = key.export_public_key('openssh').decode().strip()
    return Listening(box, acceptor.get_port(), public, acceptor, connections)  # type: ignore[arg-type]


class ConsoleSimulation(Simulation):
    """One box in a thread with a loop of its own."""

    def __init__(self, box: Box, terminal: type[Terminal]) -> None:
        self.box = box
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()
        self.routers = {box.name: self.call(listen(box, terminal))}

    @property
    def listening(self) -> Listening:
        return self.routers[self.box.name]


@contextlib.contextmanager
def console_box(terminal: type[Terminal], **values: Any) -> Iterator[ConsoleSimulation]:
    """Run one box; everyone in `radius` and `local_groups` is online at first."""
    box = Box(**values)
    for username in {**box.radius, **box.local_groups}:
        box.dial(username)
    running = ConsoleSimulation(box, terminal)
    try:
        yield running
    finally:
        running.close()
