"""Informs read by their shape: what the full parser would say, or nothing at all."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tr069.envelopes import BROKEN, INFORM, envelope
from tr069.cwmp.decode import decode
from tr069.cwmp.fast_path import InformFastPath
from tr069.cwmp.messages import Inform
from tr069.errors import CwmpDecodeError

KNOWN = ('<?xml version="1.0" encoding="UTF-8"?>\n' + envelope().replace('><', '>\n<')).encode()


def taught(*bodies: bytes) -> InformFastPath:
    fast_path = InformFastPath()
    for body in bodies or (KNOWN, envelope().encode()):
        fast_path.add_shape(body, 'utf-8', decode(body))
    return fast_path


def agree(fast_path: InformFastPath, body: bytes, charset: str = '') -> bool:
    """True where it was read quickly; then the full parser must say the very same."""
    found = fast_path.read(body, charset)
    if found is not None:
        assert found == decode(body, charset)
    return found is not None


def test_an_inform_of_a_known_shape_is_read_with_what_changed_in_it() -> None:
    fast_path = taught()
    for old, new in ((b'S1', b'S 2-x'), (b'2 PERIODIC', b'6 CONNECTION REQUEST'), (b'>7<', b'> 8 <'), (b'>0<', b'>3<')):
        assert old in KNOWN
        body = KNOWN.replace(old, new)
        assert agree(fast_path, body), new
    found = fast_path.read(KNOWN.replace(b'S1', b'S9'), 'utf-8')
    assert found is not None
    assert isinstance(found.message, Inform)
    assert found.message.device.serial == 'S9'


def test_nothing_is_read_before_its_shape_is_known() -> None:
    assert InformFastPath().read(KNOWN, '') is None
    assert taught(KNOWN).read(envelope(header='').encode(), '') is None


@pytest.mark.parametrize(
    'changed',
    [
        (b'Acme', b'A&amp;B'), (b'Acme', b'A&e;'), (b'Acme', 'Açme'.encode()), (b'Acme', b'A\x01'), (b'Acme', b'A\r\n'),
        (b'Acme', b'A]]>'), (b'Acme', b'<![CDATA[A]]>'), (b'Acme', b'A<!-- -->'), (b'Acme', b'A<b/>'), (b'Acme', b'A>'),
        (b'Acme', b'A\x7f'), (b'S1', b''), (b'S1', b'S' * 200), (b'>0<', b'>x<'), (b'>0<', b'>-1<'),
        (b'>7<', b'>' + b'7' * 300 + b'<'),
        (b'</s:Envelope>', b'</s:Envelope>x'), (b'</s:Envelope>', b'</s:Envelope><x/>'),
        (b'<s:Header>', b'<s:Header a="1">'),
        (b'cwmp-1-0', b'cwmp-2-0'), (b'Device.DeviceInfo', b'Device.Other'),
    ],
)  # fmt: skip
def test_what_is_unusual_is_left_to_the_full_parser(changed: tuple[bytes, bytes]) -> None:
    fast_path = taught()
    assert changed[0] in KNOWN
    assert fast_path.read(KNOWN.replace(*changed, 1), '') is None


@pytest.mark.parametrize('name', BROKEN)
def test_no_broken_envelope_is_ever_read(name: str) -> None:
    assert taught().read(BROKEN[name], '') is None


def test_other_charsets_are_not_read() -> None:
    fast_path = taught()
    assert fast_path.read(KNOWN, 'iso-8859-1') is None
    assert fast_path.read(KNOWN.decode().encode('utf-16'), '') is None


def test_a_shape_with_a_sign_of_its_end_within_an_attribute_is_not_learned() -> None:
    body = envelope(INFORM.replace('<RetryCount>', '<RetryCount note="a>b">')).encode()
    decode(body)
    assert taught(body).read(body, '') is None


def test_forged_shapes_do_not_fill_the_memory() -> None:
    fast_path = InformFastPath()
    struct = INFORM[INFORM.index('<ParameterValueStruct>') : INFORM.index('</ParameterList>')]
    for number in range(40):
        body = envelope(INFORM.replace(struct, struct.replace('SoftwareVersion', f'X{number}'))).encode()
        fast_path.add_shape(body, '', decode(body))
    assert sum(map(len, fast_path._shapes.values())) <= 8


_plain = st.text(st.characters(min_codepoint=1, max_codepoint=0x17F), max_size=40)


@given(_plain, _plain, _plain, st.sampled_from(['', 'utf-8', 'iso-8859-1']))
@settings(max_examples=300, deadline=None)
def test_whatever_the_texts_both_parsers_agree(serial: str, value: str, identifier: str, charset: str) -> None:
    body = KNOWN.decode().replace('S1', serial, 1).replace('>1<', f'>{value}<', 1).replace('>7<', f'>{identifier}<', 1)
    agree(taught(), body.encode(charset or 'utf-8', 'replace'), charset)


@given(st.integers(0, len(KNOWN)), st.integers(0, 30), st.binary(max_size=20))
@settings(max_examples=400, deadline=None)
def test_a_mangled_inform_is_read_alike_or_not_at_all(position: int, cut: int, junk: bytes) -> None:
    body = KNOWN[:position] + junk + KNOWN[position + cut :]
    fast_path = taught()
    found = fast_path.read(body, '')
    if found is None:
        return
    with contextlib.suppress(CwmpDecodeError):
        assert found == decode(body)
        return
    raise AssertionError(f'read what the full parser refuses: {body!r}')


def test_an_inform_that_is_too_big_is_not_learned() -> None:
    body = KNOWN.replace(b'Acme', b'A' * 100)
    assert agree(taught(body), body)
    big = KNOWN.replace(b'2 PERIODIC', b'2 PERIODIC' + b' ' * 65_536)
    assert taught(big).read(big, '') is None
