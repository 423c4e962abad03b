"""The dynamic authorization client: many requests to one NAS, a window of them in flight, one a session.

What is retransmitted is the same packet from the same port (same identifier, same authenticator), so a NAS knows the
duplicate. A packet with a new Event-Timestamp is a new packet and has a new identifier (RFC 5176 section 2.3).
"""

from __future__ import annotations

import asyncio
import heapq
import random
import socket
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum

from nornir_tasks.radius.causes import sentence_for
from nornir_tasks.radius.packet import MAX_LENGTH, Answered, Code, PacketError, build_request, verify_answer
from nornir_tasks.radius.retransmission import Retransmission

IDENTIFIERS = 256  # a port has no more of them
BURST = 32  # datagrams taken from one port before the others get their turn
BUFFER = 4 << 20  # octets of answers the kernel may keep while we work on others


class AnswerKind(Enum):
    ACK = 'ack'
    NAK = 'nak'
    SILENCE = 'silence'  # it may have been carried out, or not
    NOT_SENT = 'not sent'


@dataclass(frozen=True, slots=True)
class Nas:
    """Where requests go. `address` is IPv4 or IPv6; `sign` adds, `must_sign` demands a Message-Authenticator."""

    address: str
    secret: bytes = field(repr=False)
    port: int = 3799
    window: int = 32
    sign: bool = True
    must_sign: bool = False
    source: str = ''
    retransmission: Retransmission = field(default_factory=Retransmission)


@dataclass(frozen=True, slots=True)
class Request:
    """One request; `attributes` are encoded, without those the client adds (Message-Authenticator, Event-Timestamp).

    `skew` is added to the Event-Timestamp, in seconds; `None` leaves it out. Only who looks for a wrong clock sets it.
    """

    code: Code
    attributes: bytes
    session: str
    skew: int | None = 0


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of one request. `rejected` answers were dropped because they could not be believed."""

    kind: AnswerKind
    error_cause: int | None = None
    message: str = ''
    transmissions: int = 0
    rejected: int = 0


ACKNOWLEDGED = Answer(AnswerKind.ACK, transmissions=1)  # what nearly every request comes to

Stop = Callable[[Answer], str]


def never(_: Answer) -> str:
    return ''


async def exchange(
    nas: Nas, requests: Sequence[Request], *, stop: Stop = never, now: Callable[[], float] = time.time
) -> list[Answer]:
    """Send all and wait for all; one answer a request, in their order. Raises nothing for a NAS that fails.

    `stop` sees every answer: the sentence it returns ends the sending, and what was not sent yet is answered with it.
    """
    if not requests:
        return []
    work = _Exchange(nas, requests, stop, now)
    try:
        return await work.run()
    finally:
        work.close()


class _Port:
    """A UDP socket, connected: the kernel drops what comes from elsewhere and tells of an unreachable port."""

    __slots__ = ('next', 'pending', 'sock')

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.pending: dict[int, _Pending] = {}
        self.next = random.randrange(IDENTIFIERS)

    def take(self, pending: _Pending) -> int:
        """An identifier that nothing in flight uses, the one unused for longest."""
        identifier = self.next
        while identifier in self.pending:
            identifier = (identifier + 1) % IDENTIFIERS
        self.next = (identifier + 1) % IDENTIFIERS
        self.pending[identifier] = pending
        return identifier


class _Pending:
    """A request in flight: every packet it was sent as, by identifier, and when it is sent again."""

    __slots__ = ('began', 'due', 'index', 'packets', 'port', 'reason', 'rejected', 'stamped', 'transmissions', 'wait')

    def __init__(self, index: int, port: _Port, began: float) -> None:
        self.index = index
        self.port = port
        self.packets: dict[int, bytes] = {}
        self.began = began
        self.stamped = 0.0
        self.due = 0.0
        self.wait = 0.0
        self.transmissions = 0
        self.rejected = 0
        self.reason = ''


class _Exchange:
    def __init__(self, nas: Nas, requests: Sequence[Request], stop: Stop, now: Callable[[], float]) -> None:
        self.nas = nas
        self.requests = requests
        self.stop = stop
        self.now = now
        self.loop = asyncio.get_running_loop()
        self.answers: list[Answer | None] = [None] * len(requests)
        self.open = len(requests)
        self.queue = deque(range(len(requests)))
        self.sessions: dict[str, deque[int]] = {}  # in flight, with what waits for it
        self.in_flight = 0
        self.ports: list[_Port] = []
        self.timers: list[tuple[float, int, _Pending]] = []
        self.alarm: asyncio.TimerHandle | None = None
        self.stopped = ''
        self.done: asyncio.Future[None] = self.loop.create_future()

    async def run(self) -> list[Answer]:
        try:
            self._open_ports()
        except OSError as error:
            text = f'{self.nas.address}: {error.strerror or error}'
            return [Answer(AnswerKind.NOT_SENT, message=text) for _ in self.requests]
        self._fill()
        if self.open:
            await self.done
        return [answer for answer in self.answers if answer is not None]

    def close(self) -> None:
        if self.alarm:
            self.alarm.cancel()
        for port in self.ports:
            self.loop.remove_reader(port.sock)
            port.sock.close()

    def _open_ports(self) -> None:
        """As many ports as the window needs identifiers, half of each kept free so that none is used again soon."""
        window = min(self.nas.window, len(self.requests))
        family, kind, protocol, _, where = socket.getaddrinfo(self.nas.address, self.nas.port, type=socket.SOCK_DGRAM)[
            0
        ]
        for _ in range(-(-window * 2 // IDENTIFIERS)):
            sock = socket.socket(family, kind, protocol)
            port = _Port(sock)
            self.ports.append(port)
            sock.setblocking(False)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
            if self.nas.source:
                sock.bind((self.nas.source, 0))
            sock.connect(where)
            self.loop.add_reader(sock, self._readable, port)

    def _fill(self) -> None:
        """Send what the window has room for."""
        while self.queue and self.in_flight < self.nas.window:
            index = self.queue.popleft()
            if self.stopped:
                self._finish(index, Answer(AnswerKind.NOT_SENT, message=self.stopped))
                continue
            session = self.requests[index].session
            if session in self.sessions:
                self.sessions[session].append(index)
                continue
            self.sessions[session] = deque()
            self._launch(index)

    def _launch(self, index: int) -> None:
        port = min(self.ports, key=_load) if len(self.ports) > 1 else self.ports[0]
        pending = _Pending(index, port, self.loop.time())
        self.in_flight += 1
        try:
            self._stamp(pending)
        except PacketError as error:
            self._conclude(pending, Answer(AnswerKind.NOT_SENT, message=str(error)))
            return
        pending.wait = self.nas.retransmission.first(_chance)
        self._transmit(pending)

    def _stamp(self, pending: _Pending) -> None:
        """A packet with the present time, under an identifier of its own; earlier ones may still be answered."""
        request = self.requests[pending.index]
        identifier = pending.port.take(pending)
        pending.stamped = self.loop.time()
        timestamp = None if request.skew is None else int(self.now()) + request.skew
        try:
            pending.packets[identifier] = build_request(
                request.code, identifier, request.attributes, timestamp, self.nas.secret, self.nas.sign
            )
        except PacketError:
            del pending.port.pending[identifier]
            raise

    def _transmit(self, pending: _Pending) -> None:
        pending.transmissions += 1
        pending.due = min(self.loop.time() + pending.wait, pending.began + self.nas.retransmission.duration)
        try:
            pending.port.sock.send(next(reversed(pending.packets.values())))
        except OSError as error:
            # Like a datagram lost on the way: a NAS that restarts refuses for a while, a full buffer empties.
            pending.reason = error.strerror or str(error)
        heapq.heappush(self.timers, (pending.due, pending.index, pending))
        if self.alarm is None:
            self._set_alarm()

    def _set_alarm(self) -> None:
        """One timer for all: those of answered requests are swept away when they come to the top."""
        while self.timers and self.answers[self.timers[0][1]] is not None:
            heapq.heappop(self.timers)
        self.alarm = self.loop.call_at(self.timers[0][0], self._ring) if self.timers else None

    def _ring(self) -> None:
        now = self.loop.time()
        while self.timers and self.timers[0][0] <= now:
            _, index, pending = heapq.heappop(self.timers)
            if self.answers[index] is None:
                self._again(pending, now)
        self._set_alarm()
        self._fill()

    def _again(self, pending: _Pending, now: float) -> None:
        rules = self.nas.retransmission
        if pending.transmissions >= rules.count or now >= pending.began + rules.duration:
            text = f'no answer from {self.nas.address} to {pending.transmissions} transmissions'
            if pending.rejected:
                text += f'; {pending.rejected} answers were dropped, the last because {pending.reason}'
            elif pending.reason:
                text += f' ({pending.reason})'
            answer = Answer(AnswerKind.SILENCE, None, text, pending.transmissions, pending.rejected)
            self._conclude(pending, answer)
            return
        if now - pending.stamped > rules.fresh:
            self._stamp(pending)
        pending.wait = rules.next(pending.wait, _chance)
        self._transmit(pending)

    def _readable(self, port: _Port) -> None:
        recv, pending_of = port.sock.recv, port.pending
        for _ in range(BURST):
            try:
                data = recv(MAX_LENGTH + 1)
            except BlockingIOError:
                break
            except OSError as error:  # ICMP: nobody listens there (now)
                for pending in pending_of.values():
                    pending.reason = error.strerror or str(error)
                continue
            if len(data) > 1 and (found := pending_of.get(data[1])) is not None:
                self._answered(found, data)
        self._fill()

    def _answered(self, pending: _Pending, data: bytes) -> None:
        try:
            answered = verify_answer(data, pending.packets[data[1]], self.nas.secret, self.nas.must_sign)
        except PacketError as error:
            pending.rejected += 1
            pending.reason = str(error)
            return
        self._conclude(pending, _answer(answered, pending))

    def _conclude(self, pending: _Pending, answer: Answer) -> None:
        for identifier in pending.packets:
            del pending.port.pending[identifier]
        self.in_flight -= 1
        if not self.stopped:
            self.stopped = self.stop(answer)
        self._finish(pending.index, answer)
        session = self.requests[pending.index].session
        waiting = self.sessions.pop(session)
        # The next one of the session goes out as soon as the window allows, before those of others.
        self.queue.extendleft(reversed(waiting))

    def _finish(self, index: int, answer: Answer) -> None:
        self.answers[index] = answer
        self.open -= 1
        if not self.open and not self.done.done():
            self.done.set_result(None)


def _answer(answered: Answered, pending: _Pending) -> Answer:
    if answered.is_ack:
        if pending.transmissions == 1 and not pending.rejected:
            return ACKNOWLEDGED
        return Answer(AnswerKind.ACK, None, '', pending.transmissions, pending.rejected)
    text = sentence_for(answered.error_cause)
    return Answer(AnswerKind.NAK, answered.error_cause, text, pending.transmissions, pending.rejected)


def _load(port: _Port) -> int:
    return len(port.pending)


def _chance() -> float:
    return random.uniform(-1, 1)
