"""Attributes by name to octets. Names, numbers and types come from the dictionary beside this file, read by pyrad."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from functools import cache
from importlib.resources import as_file, files
from struct import Struct

from pyrad.dictionary import Attribute, Dictionary
from pyrad.tools import EncodeAttr

MAX_VALUE = 253  # octets; a vendor's attribute has six fewer, a tagged one another fewer
VENDOR_SPECIFIC = 26
VENDOR_HEADER = Struct('!BBIBB')
# Operator-NAS-Identifier (RFC 8559 section 3.4) is 241.8: an extended attribute (RFC 6929) that pyrad has no type for.
EXTENDED_1, OPERATOR_NAS_IDENTIFIER = 241, 8

Pair = tuple[str, str]


class AttributeValueError(ValueError):
    """A value does not fit its attribute; `str()` names the attribute and says what would."""


@cache
def dictionary() -> Dictionary:
    with as_file(files('nornir_tasks.radius') / 'dictionary') as path:
        return Dictionary(str(path))


def encode(pairs: Iterable[Pair]) -> bytes:
    """Octets of (name, value) pairs in their order. A tagged name is `Name:3`. Raises `AttributeValueError`."""
    return b''.join(encode_one(name, value) for name, value in pairs)


def encode_one(name: str, value: str) -> bytes:
    """One attribute; integers and addresses are given as text. Raises `AttributeValueError`."""
    if name == 'Operator-NAS-Identifier':
        return _extended(name, value.encode())
    base, _, tag = name.partition(':')
    if base not in dictionary():
        raise AttributeValueError(f'the dictionary has no attribute "{base}"')
    attribute: Attribute = dictionary()[base]
    octets = (bytes((_tag(name, tag),)) if attribute.has_tag else b'') + _value(attribute, name, value)
    if not octets:
        raise AttributeValueError(f'{name} is empty: an attribute has at least one octet')
    room = MAX_VALUE - (6 if attribute.vendor else 0)
    if len(octets) > room:
        raise AttributeValueError(f'{name} would have {len(octets)} octets, {room} is the most')
    if not attribute.vendor:
        return bytes((attribute.code, len(octets) + 2)) + octets
    vendor = dictionary().vendors.GetForward(attribute.vendor)
    return VENDOR_HEADER.pack(VENDOR_SPECIFIC, len(octets) + 8, vendor, attribute.code, len(octets) + 2) + octets


def _value(attribute: Attribute, name: str, value: str) -> bytes:
    try:
        if attribute.type == 'octets':
            return value.encode()  # pyrad would take "0x…" and decimals for something else
        given: int | str | bytes = int(value) if attribute.type == 'integer' else value
        if attribute.type == 'string':
            given = value.encode('utf-8', 'surrogateescape')  # a name may be none in UTF-8: it goes as it came
        octets: bytes = EncodeAttr(attribute.type, given)
    except (ValueError, TypeError, ipaddress.AddressValueError) as error:
        raise AttributeValueError(f'{name} cannot hold this value: {error}') from None
    return octets


def _tag(name: str, tag: str) -> int:
    """RFC 2868 section 3.1: 1…31, zero for none."""
    if not tag:
        return 0
    if not tag.isascii() or not tag.isdigit() or not 1 <= int(tag) <= 31:
        raise AttributeValueError(f'"{name}" has a tag that is not 1 to 31')
    return int(tag)


def _extended(name: str, octets: bytes) -> bytes:
    if not 1 <= len(octets) <= MAX_VALUE - 1:
        raise AttributeValueError(f'{name} must have 1 to {MAX_VALUE - 1} octets, not {len(octets)}')
    return bytes((EXTENDED_1, len(octets) + 3, OPERATOR_NAS_IDENTIFIER)) + octets


def nas_address(address: str) -> Pair:
    """The NAS's own address as the attribute of its family. Raises `AttributeValueError`."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        raise AttributeValueError(f'"{address}" is no address of a NAS') from None
    return ('NAS-IP-Address' if parsed.version == 4 else 'NAS-IPv6-Address', str(parsed))
