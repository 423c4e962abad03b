"""Logins at a real RADIUS server, many at a time: what it answers to each user who gives the right password."""

from __future__ import annotations

import hashlib
import os
import socket
import struct
from collections.abc import Iterable
from dataclasses import dataclass

from tests.simulators.bng import decode
from tests.simulators.freeradius import SECRET

ACCESS_REQUEST, ACCESS_ACCEPT, ACCESS_REJECT = 1, 2, 3
PASSWORD = b'pw'
NAS = '127.0.0.1'
SECONDS = 5.0


@dataclass(frozen=True)
class Login:
    accepted: bool
    pairs: tuple[tuple[str, str], ...]


def log_in(port: int, names: Iterable[str]) -> dict[str, Login]:
    """One after the other, so that an answer is known by its number."""
    found: dict[str, Login] = {}
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(SECONDS)
        sock.connect((NAS, port))
        for number, name in enumerate(names):
            sock.send(_request(number % 256, name.encode()))
            answer = sock.recv(4096)
            while answer[1] != number % 256:
                answer = sock.recv(4096)
            assert answer[0] in (ACCESS_ACCEPT, ACCESS_REJECT)
            found[name] = Login(answer[0] == ACCESS_ACCEPT, tuple(decode(answer)))
    return found


def _request(number: int, name: bytes) -> bytes:
    authenticator = os.urandom(16)
    # RFC 2865 section 5.2
    key = hashlib.md5(SECRET.encode() + authenticator).digest()
    hidden = bytes(a ^ b for a, b in zip(PASSWORD.ljust(16, b'\0'), key, strict=True))
    attributes = b''.join(
        bytes((code, len(value) + 2)) + value for code, value in ((1, name), (2, hidden), (4, socket.inet_aton(NAS)))
    )
    return struct.pack('!BBH', ACCESS_REQUEST, number, 20 + len(attributes)) + authenticator + attributes
