"""Packets of dynamic authorization: built, and answers checked before anything in them is believed. No I/O.

RFC 5176 (codes, authenticators), RFC 2869 section 5.14 (Message-Authenticator), RFC 2865 section 3 (lengths).
"""

from __future__ import annotations

import hmac
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
from hashlib import md5
from struct import Struct
from typing import Any

HEADER = Struct('!BBH')
WORD = Struct('!I')
HEADER_LENGTH = 20
MAX_LENGTH = 4096
AUTHENTICATOR = slice(4, 20)
ZEROS = bytes(16)
BLOCK = 64  # octets that MD5 works on at a time

EVENT_TIMESTAMP = 55
MESSAGE_AUTHENTICATOR = 80
ERROR_CAUSE = 101
# Type and length of a Message-Authenticator, whose value is computed with itself zeroed.
UNSIGNED = bytes((MESSAGE_AUTHENTICATOR, 18)) + ZEROS


class Code(IntEnum):
    DISCONNECT_REQUEST = 40
    DISCONNECT_ACK = 41
    DISCONNECT_NAK = 42
    COA_REQUEST = 43
    COA_ACK = 44
    COA_NAK = 45


# What may answer what, acknowledgement first.
ANSWERS: dict[int, tuple[Code, Code]] = {
    Code.DISCONNECT_REQUEST: (Code.DISCONNECT_ACK, Code.DISCONNECT_NAK),
    Code.COA_REQUEST: (Code.COA_ACK, Code.COA_NAK),
}


class PacketError(ValueError):
    """The packet is not one: nothing in it may be believed. `str()` says what is wrong, without its content."""


@dataclass(frozen=True, slots=True)
class Answered:
    """A verified answer; `error_cause` is `None` where it has none."""

    code: Code
    error_cause: int | None

    @property
    def is_ack(self) -> bool:
        return self.code in (Code.DISCONNECT_ACK, Code.COA_ACK)


# Answers without attributes, which most are.
BARE: dict[int, Answered] = {code: Answered(code, None) for codes in ANSWERS.values() for code in codes}


def build_request(
    code: Code, identifier: int, attributes: bytes, timestamp: int | None, secret: bytes, sign: bool = True
) -> bytes:
    """A request with its authenticators; `timestamp` (seconds since 1970) becomes the Event-Timestamp; `None`: none.

    The Message-Authenticator comes first and is computed with a zero Request Authenticator, before the Request
    Authenticator, which covers it (RFC 5176 section 3.3). Raises `PacketError` where it would be too long.
    """
    rest = attributes
    if timestamp is not None:
        rest += bytes((EVENT_TIMESTAMP, 6)) + WORD.pack(timestamp & 0xFFFFFFFF)
    length = HEADER_LENGTH + len(rest) + (len(UNSIGNED) if sign else 0)
    if length > MAX_LENGTH:
        raise PacketError(f'the request would have {length} octets, {MAX_LENGTH} is the most')
    header = HEADER.pack(code, identifier, length)
    if sign:
        rest = UNSIGNED[:2] + hmac_md5(secret, header + ZEROS + UNSIGNED + rest) + rest
    return header + md5(header + ZEROS + rest + secret, usedforsecurity=False).digest() + rest


@lru_cache(maxsize=256)
def _keyed(secret: bytes) -> tuple[Any, Any]:
    """MD5 with the inner and the outer key already in it (RFC 2104); what `hmac` would make anew for each packet."""
    key = (secret if len(secret) <= BLOCK else md5(secret, usedforsecurity=False).digest()).ljust(BLOCK, b'\0')
    return (
        md5(bytes(octet ^ 0x36 for octet in key), usedforsecurity=False),
        md5(bytes(octet ^ 0x5C for octet in key), usedforsecurity=False),
    )


def hmac_md5(secret: bytes, data: bytes) -> bytes:
    """HMAC-MD5, at a third of what `hmac.digest` costs: a bulk change signs tens of thousands of short packets."""
    inner, outer = _keyed(secret)
    inner, outer = inner.copy(), outer.copy()
    inner.update(data)
    outer.update(inner.digest())
    digest: bytes = outer.digest()
    return digest


def verify_answer(data: bytes, request: bytes, secret: bytes, must_sign: bool = False) -> Answered:
    """The answer in a datagram to `request`. Raises `PacketError` for all that is not provably one."""
    code, identifier, length = _header(data)
    data = data[:length]  # octets beyond the length are padding (RFC 2865 section 3)
    if identifier != request[1]:
        raise PacketError('it answers another request')
    if code not in ANSWERS[request[0]]:
        raise PacketError(f'code {code} does not answer a request of code {request[0]}')
    sent = request[AUTHENTICATOR]
    expected = md5(data[:4] + sent + data[HEADER_LENGTH:] + secret, usedforsecurity=False).digest()
    if not hmac.compare_digest(expected, data[AUTHENTICATOR]):
        raise PacketError('its authenticator is wrong: is the shared secret the same on both sides?')
    if length == HEADER_LENGTH and not must_sign:
        return BARE[code]
    cause: int | None = None
    signed = False
    for position, number, value in split_attributes(data):
        if number == MESSAGE_AUTHENTICATOR:
            _check_signature(data, position, value, sent, secret)
            signed = True
        elif number == ERROR_CAUSE:
            if len(value) != WORD.size:
                raise PacketError('its Error-Cause is not four octets')
            cause = WORD.unpack(value)[0] if cause is None else cause
    if must_sign and not signed:
        raise PacketError('it has no Message-Authenticator')
    return Answered(Code(code), cause)


def split_attributes(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Position, number and value of each attribute of a whole packet. Raises `PacketError` where they do not fit."""
    position = HEADER_LENGTH
    while position < len(data):
        if position + 2 > len(data):
            raise PacketError('its last attribute is cut off')
        number, length = data[position], data[position + 1]
        if length < 2 or position + length > len(data):
            raise PacketError(f'attribute {number} has a wrong length')
        yield position, number, data[position + 2 : position + length]
        position += length


def _header(data: bytes) -> tuple[int, int, int]:
    if len(data) < HEADER_LENGTH:
        raise PacketError('it is shorter than a RADIUS header')
    code, identifier, length = HEADER.unpack_from(data)
    if not HEADER_LENGTH <= length <= MAX_LENGTH:
        raise PacketError(f'its length field says {length}')
    if length > len(data):
        raise PacketError('it is cut off')
    return code, identifier, length


def _check_signature(data: bytes, position: int, value: bytes, sent: bytes, secret: bytes) -> None:
    if len(value) != len(ZEROS):
        raise PacketError('its Message-Authenticator has a wrong length')
    # RFC 5176 section 3.3 can be read as with the request's authenticator or with a zero one in an answer, and both are
    # deployed (FreeRADIUS 3 zeroes it). Freshness does not hang on this: the answer's authenticator was checked.
    rest = data[HEADER_LENGTH : position + 2] + ZEROS + data[position + 18 :]
    for authenticator in (sent, ZEROS):
        if hmac.compare_digest(hmac_md5(secret, data[:4] + authenticator + rest), value):
            return
    raise PacketError('its Message-Authenticator is wrong')
