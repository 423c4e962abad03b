"""What a CPE answers a challenge with, read quickly where it is as nearly all are; never otherwise than in full."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tr069.acs.auth import DerivedCredentials, answer_challenge, derive_password, parse_answer, parse_parameters

USUAL = answer_challenge('Digest realm="acs", qop="auth", nonce="abc"', 'u-1', 'secret', 'POST', '/')
PARTS = (
    'username="u-1"', 'username=u-1', 'realm="a, b"', 'nonce="ab\\"c"', 'uri="/"', 'response="00ff"', 'qop=auth',
    'qop="auth"', 'nc=00000001', 'NC="1"', 'cnonce=""', 'algorithm=MD5', 'opaque="o"', 'odd', '=', '"',
)  # fmt: skip


def said(found: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in found.items() if value}


def test_the_usual_answer_is_read_whole() -> None:
    found = parse_answer(USUAL.removeprefix('Digest '))
    assert (found['username'], found['realm'], found['nonce'], found['qop']) == ('u-1', 'acs', 'abc', 'auth')
    assert said(found) == parse_parameters(USUAL.removeprefix('Digest '))


@given(st.lists(st.sampled_from(PARTS)), st.sampled_from((',', ', ', ' , ', ' ')))
def test_whatever_is_answered_is_read_as_in_full(parts: list[str], between: str) -> None:
    header = between.join(parts)
    assert said(parse_answer(header)) == said(parse_parameters(header))


@pytest.mark.parametrize('secret', [b'short', b'a secret that is longer than one block of SHA-256, ' * 2])
def test_a_derived_password_is_the_same_by_either_way(secret: bytes) -> None:
    assert DerivedCredentials(secret).password('00AA11-Router-S1') == derive_password(secret, 'cpe', '00AA11-Router-S1')
