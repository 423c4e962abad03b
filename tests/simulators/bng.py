"""A stateful BNG: sessions with real attributes, a strict dynamic-authorization server, and a client of RADIUS.

It authenticates and accounts at a RADIUS server where it has one, so what a session gets after a reconnect is what that
server's tables say. Bad manners are switched on by user name.
"""

from __future__ import annotations

import contextlib
import hmac
import io
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import md5
from pathlib import Path

from pyrad.client import Client
from pyrad.dictionary import Dictionary
from pyrad.packet import AccessAccept, AccessRequest

import nornir_tasks.radius
from nornir_tasks.radius.attributes import dictionary
from nornir_tasks.radius.packet import split_attributes
from tests.simulators.freeradius import SECRET

ZEROS = bytes(16)
USER_NAME, FILTER_ID, SESSION_ID = 1, 11, 44
VENDOR_SPECIFIC, MIKROTIK_RATE = 26, struct.pack('!IB', 14988, 8)
MORE = """
ATTRIBUTE User-Password 2 string encrypt=1
ATTRIBUTE Acct-Status-Type 40 integer
ATTRIBUTE Acct-Terminate-Cause 49 integer
VALUE Acct-Status-Type Start 1
VALUE Acct-Status-Type Stop 2
"""


def decode(packet: bytes) -> list[tuple[str, str]]:
    """Names and values of a packet's attributes, as far as the dictionary knows them; a tag is left away."""
    known = {
        (dictionary().vendors.GetForward(attribute.vendor) if attribute.vendor else 0, attribute.code): attribute
        for attribute in dictionary().attributes.values()
    }
    pairs = []
    for _, number, value in split_attributes(packet):
        vendor = 0
        if number == VENDOR_SPECIFIC:
            vendor, number, length = struct.unpack('!IBB', value[:6])
            value = value[6 : 4 + length]
        if (attribute := known.get((vendor, number))) is None:
            continue
        if attribute.has_tag and value[:1] <= b'\x1f':
            value = value[1:]
        text = str(int.from_bytes(value)) if attribute.type == 'integer' else value.decode(errors='replace')
        pairs.append((attribute.name, text))
    return pairs


@dataclass
class Line:
    """A home: what its session got (`rate`, `address_list`), and how often that was changed."""

    name: str
    session_id: str = ''
    rate: str = ''
    address_list: str = ''
    filter: str = ''
    changes: int = 0


@dataclass
class BNG:
    """The truth, and the manners. `lose` is called for every datagram in or out: True loses it."""

    secret: bytes = SECRET.encode()
    port: int = 0
    server: tuple[int, int] | None = None  # ports of authentication and accounting
    redial_after: float = 0.1
    clock_skew: float = 0  # seconds that its clock is ahead
    clock_window: float = 300
    wants_timestamp: bool = True  # drops a request without an Event-Timestamp, too
    lines: dict[str, Line] = field(default_factory=dict)
    refuse: dict[str, int | None] = field(default_factory=dict)  # by user name, an Error-Cause or none
    busy: Counter[str] = field(default_factory=Counter)  # by user name, how often it lacks resources (506)
    half: set[str] = field(default_factory=set)  # changes, then refuses without saying why
    lies: set[str] = field(default_factory=set)  # acknowledges, does nothing
    deaf: set[str] = field(default_factory=set)
    deaf_but_does: set[str] = field(default_factory=set)
    late: dict[str, float] = field(default_factory=dict)
    unsigned: bool = False  # answers carry no Message-Authenticator, as accel-ppp's do
    twice: set[str] = field(default_factory=set)  # answers come twice
    mangle: dict[str, object] = field(default_factory=dict)  # by user name, a function of the answer's octets
    requests: list[tuple[int, int, bytes]] = field(default_factory=list)  # source port, identifier, authenticator
    in_flight: Counter[str] = field(default_factory=Counter)
    worst: int = 0
    dropped: list[str] = field(default_factory=list)
    lose: object = None
    sock: socket.socket = field(init=False)

    def add(self, *names: str) -> None:
        for name in names:
            self.lines[name] = Line(name)
            self.dial(name)

    # The subscriber's side

    def dial(self, name: str) -> bool:
        line = self.lines[name]
        if self.server:
            client = self._client()
            packet = client.CreateAuthPacket(code=AccessRequest, User_Name=name)
            packet['User-Password'] = packet.PwCrypt('pw')
            packet['NAS-IP-Address'] = '127.0.0.1'
            answer = client.SendPacket(packet)
            if answer.code != AccessAccept:
                return False
            if not self.grant(line, answer.raw_packet):
                return False
        else:
            self.grant(line, bytes(20))
        self._account(line, 1)
        return True

    def grant(self, line: Line, accept: bytes) -> bool:
        """Bring a session up with what an Access-Accept says; False where the box does not let it."""
        given = dict(decode(accept))
        line.rate, line.address_list = given.get('Mikrotik-Rate-Limit', ''), given.get('Mikrotik-Address-List', '')
        line.filter = given.get('Filter-Id', '')
        line.session_id = f'{line.name}-{time.monotonic_ns():x}'
        return True

    def hang_up(self, name: str) -> None:
        line = self.lines[name]
        self._account(line, 2)
        line.session_id = line.rate = line.address_list = line.filter = ''

    def _client(self) -> Client:
        assert self.server
        source = Path(nornir_tasks.radius.__file__).with_name('dictionary').read_text()
        dictionary = Dictionary(io.StringIO(source + MORE))
        client = Client('127.0.0.1', *self.server, secret=self.secret, dict=dictionary)
        client.timeout, client.retries = 3, 2
        return client

    def _account(self, line: Line, status: int) -> None:
        if not self.server:
            return
        client = self._client()
        packet = client.CreateAcctPacket(User_Name=line.name, Acct_Session_Id=line.session_id)
        packet['Acct-Status-Type'] = status
        packet['NAS-IP-Address'] = '127.0.0.1'
        packet['Framed-IP-Address'] = '100.64.0.1'
        client.SendPacket(packet)

    # The server of dynamic authorization

    def serve(self) -> None:
        seen: dict[tuple[object, int, bytes], bytes] = {}
        while True:
            try:
                data, peer = self.sock.recvfrom(5000)
            except OSError:
                return
            if self.lose and self.lose():
                continue
            if fault := self._fault(data):
                self.dropped.append(fault)
                continue
            key = (peer, data[1], data[4:20])
            self.requests.append((peer[1], data[1], data[4:20]))
            if key in seen:  # a retransmission: the same answer, and nothing is done again
                if seen[key]:
                    self._send(seen[key], peer)
                continue
            seen[key] = b''
            name = self.name_of({number: value for _, number, value in split_attributes(data)})
            self.in_flight[name] += 1
            self.worst = max(self.worst, self.in_flight[name])
            if name in self.late:
                threading.Timer(self.late[name], self._work, (data, peer, name, seen, key)).start()
            else:
                self._work(data, peer, name, seen, key)

    def _work(self, data: bytes, peer: object, name: str, seen: dict, key: tuple) -> None:
        self.in_flight[name] -= 1
        answer = self._answer(data, name)
        if answer is None:
            return
        mangle = self.mangle.get(name)
        seen[key] = mangle(answer) if mangle else answer  # type: ignore[operator]
        for _ in range(2 if name in self.twice else 1):
            self._send(seen[key], peer)

    def _send(self, data: bytes, peer: object) -> None:
        if not (self.lose and self.lose()):
            with contextlib.suppress(OSError):  # the test is over
                self.sock.sendto(data, peer)  # type: ignore[arg-type]

    def name_of(self, attributes: dict[int, bytes]) -> str:
        """Whose session is meant: by User-Name, else by Acct-Session-Id."""
        if USER_NAME in attributes:
            return attributes[USER_NAME].decode()
        wanted = attributes.get(SESSION_ID, b'').decode()
        return next((line.name for line in self.lines.values() if wanted and line.session_id == wanted), '')

    def _fault(self, data: bytes) -> str:
        """Why a strict server drops the request."""
        zeroed = data[:4] + ZEROS + data[20:]
        if md5(zeroed + self.secret).digest() != data[4:20]:
            return 'request authenticator'
        attributes = list(split_attributes(data))
        if attributes[0][1] != 80:
            return 'Message-Authenticator is not first'
        unsigned = zeroed[:22] + ZEROS + zeroed[38:]
        if hmac.digest(self.secret, unsigned, 'md5') != data[22:38]:
            return 'Message-Authenticator'
        stamps = [struct.unpack('!I', value)[0] for _, number, value in attributes if number == 55]
        if not stamps and not self.wants_timestamp:
            return ''
        if len(stamps) != 1 or abs(stamps[0] - time.time() - self.clock_skew) > self.clock_window:
            return 'Event-Timestamp'
        return ''

    def _answer(self, data: bytes, name: str) -> bytes | None:
        if name in self.deaf:
            return None
        code = data[0]
        attributes = [(number, value) for _, number, value in split_attributes(data)]
        line = self.lines.get(name)
        wanted = dict(attributes).get(SESSION_ID)
        if '' in self.refuse:  # whatever the session
            return self._signed(data, code + 2, self.refuse[''])
        if line is None or not line.session_id or (wanted is not None and wanted.decode() != line.session_id):
            return self._signed(data, code + 2, 503)
        if self.busy[name] > 0:
            self.busy[name] -= 1
            return self._signed(data, code + 2, 506)
        if name in self.refuse:
            return self._signed(data, code + 2, self.refuse[name])
        cause = None if name in self.lies else self._apply(code, line, attributes)
        if cause is not None:
            return self._signed(data, code + 2, cause or None)
        if name in self.deaf_but_does:
            return None
        if name in self.half:
            return self._signed(data, code + 2, None)
        return self._signed(data, code + 1, None)

    def _apply(self, code: int, line: Line, attributes: list[tuple[int, bytes]]) -> int | None:
        """Carry it out; the Error-Cause where it refuses, having changed nothing."""
        line.changes += 1
        if code == 40:
            threading.Thread(target=self._reconnect, args=(line.name,), daemon=True).start()
        for number, value in attributes:
            if number == VENDOR_SPECIFIC and value[:5] == MIKROTIK_RATE:
                line.rate = value[6:].decode()
            elif number == FILTER_ID:
                line.filter = value.decode()
        return None

    def _reconnect(self, name: str) -> None:
        """The acknowledgement is sent before the teardown, as seen in practice."""
        time.sleep(self.redial_after)
        self.hang_up(name)
        time.sleep(self.redial_after)
        self.dial(name)

    def _signed(self, request: bytes, code: int, cause: int | None) -> bytes:
        body = b'' if cause is None else struct.pack('!BBI', 101, 6, cause)
        if self.unsigned:
            head = struct.pack('!BBH', code, request[1], 20 + len(body))
            return head + md5(head + request[4:20] + body + self.secret).digest() + body
        head = struct.pack('!BBH', code, request[1], 38 + len(body)) + request[4:20]
        mac = hmac.digest(self.secret, head + b'\x50\x12' + ZEROS + body, 'md5')
        rest = b'\x50\x12' + mac + body
        return head[:4] + md5(head + rest + self.secret).digest() + rest


@contextlib.contextmanager
def bng(family: int = socket.AF_INET, **values: object) -> Iterator[BNG]:
    with listening(BNG(**values), family) as box:  # type: ignore[arg-type]
        yield box


@contextlib.contextmanager
def listening(box: BNG, family: int) -> Iterator[BNG]:
    """Run a box in a thread on a port of its own."""
    box.sock = socket.socket(family, socket.SOCK_DGRAM)
    box.sock.bind(('::1' if family == socket.AF_INET6 else '127.0.0.1', 0))
    box.port = box.sock.getsockname()[1]
    thread = threading.Thread(target=box.serve, daemon=True)
    thread.start()
    try:
        yield box
    finally:
        with contextlib.suppress(OSError):
            box.sock.shutdown(socket.SHUT_RDWR)
        box.sock.close()
        thread.join(2)
