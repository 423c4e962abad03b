"""What a CPE answers a challenge with: the fast path, where nearly all go, never reads otherwise than the full one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tr069.acs.cpe.auth import (
    Authenticator,
    DerivedCredentials,
    Refusal,
    answer_challenge,
    derive_password,
    digest_response,
    ha1,
    names_another,
    parse_answer,
    parse_parameters,
)

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


def authenticator() -> Authenticator:
    return Authenticator(DerivedCredentials(b's'), b's', 'acs', nonce_lifetime_s=60, allow_basic=True)


def test_a_long_header_is_malformed_and_never_taken_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    taken_apart: list[str] = []
    monkeypatch.setattr('tr069.acs.cpe.auth.parse_answer', taken_apart.append)
    monkeypatch.setattr('tr069.acs.cpe.auth._basic_pair', taken_apart.append)
    for header in ('Digest ' + 'a' * 16_000, 'Digest ' + USUAL + ', x="' + 'a' * 2_048 + '"', 'Basic ' + 'Q' * 16_000):
        assert authenticator().check(header, 'POST', '/', '10.0.0.1', 1.0).refusal is Refusal.MALFORMED
    assert taken_apart == []
    assert parse_parameters('a' * 16_000) == {}  # a CPE's challenge may be as long


def test_a_basic_credential_that_is_not_ascii_is_malformed() -> None:
    assert authenticator().check('Basic é', 'POST', '/', '10.0.0.1', 1.0).refusal is Refusal.MALFORMED


def test_a_count_that_the_response_does_not_cover_is_not_counted() -> None:
    judge, password = authenticator(), derive_password(b's', 'cpe', 'u')
    answer = {'realm': 'acs', 'nonce': judge.nonce('10.0.0.1', 1.0), 'uri': '/'}  # RFC 2069: no qop
    answer['response'] = digest_response(answer, ha1('u', 'acs', password), 'POST')
    captured = 'Digest username="u", ' + ', '.join(f'{name}="{value}"' for name, value in answer.items())
    assert judge.check(captured, 'POST', '/', '10.0.0.1', 1.0).username == 'u'
    for addition in ('', ', nc=00000002', ', nc=00000003, qop=""'):
        assert judge.check(captured + addition, 'POST', '/', '10.0.0.1', 1.0).refusal is Refusal.STALE


@pytest.mark.parametrize(
    ('header', 'another'),
    [
        (USUAL, False), (USUAL.replace('u-1', 'u-2'), True), (USUAL.replace('"u-1"', 'u-1'), False),
        (answer_challenge('Basic', 'u-1', 'p', 'POST', '/'), False),
        (answer_challenge('Basic', 'u-2', 'p', 'POST', '/'), True),
        ('Digest', False), ('Basic é', False), ('Bearer u-2', False),
    ],
)  # fmt: skip
def test_a_header_names_another_user_or_not(header: str, another: bool) -> None:
    assert names_another(header, 'u-1') is another


def test_a_nonce_has_32_letters_at_most_and_each_counts() -> None:
    """Some C stacks keep no more of it, and then answer another nonce than ours."""
    judge = authenticator()
    made = {judge.nonce('10.0.0.1', 1_800_000_000.5) for _ in range(1000)}
    assert len(made) == 1000
    for nonce in made:
        assert len(nonce) <= 32
        assert judge._age(nonce, '10.0.0.1', 1_800_000_003.5) == 3
    nonce = next(iter(made))
    for at in range(len(nonce)):
        other = nonce[:at] + ('A' if nonce[at] != 'A' else 'B') + nonce[at + 1 :]
        assert judge._age(other, '10.0.0.1', 1_800_000_003.5) is None
    for wrong in (nonce[:-4], nonce + 'AAAA', nonce + '=', f' {nonce}', nonce.replace(nonce[0], '\n', 1)):
        assert judge._age(wrong, '10.0.0.1', 1_800_000_003.5) is None
    assert judge._age(nonce, '10.0.0.2', 1_800_000_003.5) is None
