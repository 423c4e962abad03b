"""HTTP Basic and Digest (RFC 7617, RFC 7616 with MD5, which is all CPEs speak), and credentials derived by HMAC.

The nonce is stateless: it carries its time and is sealed with our secret and the client's address. What was answered
with it is remembered for its short life, so that a captured answer opens no second connection.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
from collections.abc import Mapping
from enum import StrEnum
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

# From the start of a word only: begun anew at each of its letters, it takes the square of a long one's time.
_PAIR = re.compile(r'\b(\w+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,]+))')
# The answer of nearly every CPE, in whatever order, read at a third of the price.
_USUAL_ANSWER = re.compile(
    '(?:(?:'
    + ''.join(
        f'{name}="(?P<{name}>[^"\\\\]*)"|' for name in ('username', 'realm', 'nonce', 'uri', 'response', 'cnonce')
    )
    + '|'.join(f'{name}="?(?P<{name}>[A-Za-z0-9-]+)"?' for name in ('qop', 'nc', 'algorithm'))
    + ')(?:, *|$))+'
)
_MAX_HEADER = 2048  # characters of an Authorization header; real ones have some 300
_BLOCK = 64  # bytes of a block of SHA-256
# Bytes of a nonce's parts: seconds since the epoch, a count, and the seal below. 21 are 28 letters of base64, all of
# which count; some C stacks keep 32 at most.
_TIME, _COUNT = 4, 5
_SEAL = 12  # bytes of keyed hash in a nonce (BLAKE2 has the key built in: HMAC's purpose at half its cost)
_LETTERS = (_TIME + _COUNT + _SEAL) * 4 // 3


def _md5(text: str) -> str:
    # RFC 7616 allows MD5 for the sake of clients such as these; the nonce, not the hash, is what holds.
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def ha1(username: str, realm: str, password: str) -> str:
    return _md5(f'{username}:{realm}:{password}')


def derive_password(secret: bytes, purpose: str, identity: str) -> str:
    """A password of 32 hex digits for one device and one purpose; knowing it tells nothing of another's."""
    return hmac.digest(secret, f'{purpose}\0{identity}'.encode(), 'sha256').hex()[:32]


def parse_parameters(header: str) -> dict[str, str]:
    """`name=value` pairs of a challenge or an answer, quoted or not."""
    found = {name.lower(): quoted or bare for name, quoted, bare in _PAIR.findall(header)}
    if '\\' in header:
        found = {name: re.sub(r'\\(.)', r'\1', value) for name, value in found.items()}
    return found


def parse_answer(header: str) -> dict[str, str]:
    """As `parse_parameters`, with an empty text for what is not there."""
    usual = _USUAL_ANSWER.fullmatch(header)
    return usual.groupdict('') if usual else parse_parameters(header)


def _basic_pair(encoded: str) -> tuple[str, str]:
    """User name and password. Raises `ValueError` for what is not Basic."""
    username, _, password = base64.b64decode(encoded, validate=True).decode().partition(':')
    return username, password


def names_another(header: str, username: str) -> bool:
    """True where an Authorization header is of another user than `username`, whether it holds or not."""
    if f'username="{username}"' in header:
        return False  # the usual one, on every request of some CPEs
    scheme, _, rest = header[:_MAX_HEADER].strip().partition(' ')
    if scheme.lower() == 'digest':
        return parse_answer(rest).get('username', '') not in ('', username)
    if scheme.lower() == 'basic':
        try:
            return _basic_pair(rest)[0] != username
        except ValueError:
            return False
    return False


@lru_cache(256)
def _ha2(method: str, uri: str) -> str:
    return _md5(f'{method}:{uri}')


def digest_response(parameters: Mapping[str, str], digest_ha1: str, method: str) -> str:
    """The `response` value that `parameters` (realm, nonce, uri, and with qop: nc, cnonce) call for."""
    ha2 = _ha2(method, parameters.get('uri', ''))
    nonce = parameters.get('nonce', '')
    if parameters.get('qop'):
        middle = f'{nonce}:{parameters.get("nc", "")}:{parameters.get("cnonce", "")}:{parameters["qop"]}'
    else:
        middle = nonce  # RFC 2069, which old CPEs still speak
    return _md5(f'{digest_ha1}:{middle}:{ha2}')


def answer_challenge(challenge: str, username: str, password: str, method: str, uri: str) -> str:
    """The Authorization header for a Digest challenge. Nobody is sent a password of ours as Basic."""
    asked = parse_parameters(challenge)
    given = {'realm': asked.get('realm', ''), 'nonce': asked.get('nonce', ''), 'uri': uri}
    if 'auth' in [item.strip() for item in asked.get('qop', '').split(',')]:
        given |= {'qop': 'auth', 'nc': '00000001', 'cnonce': secrets.token_hex(8)}
    given['response'] = digest_response(given, ha1(username, given['realm'], password), method)
    bare = ('qop', 'nc')
    parts = [f'username="{username}"'] + [
        f'{name}={value}' if name in bare else f'{name}="{value}"' for name, value in given.items()
    ]
    if 'opaque' in asked:
        parts.append(f'opaque="{asked["opaque"]}"')
    return 'Digest ' + ', '.join(parts)


# --- who may speak ----------------------------------------------------------------------------------------------------


class Credentials:
    """Where the HA1 of a user name comes from. The base class knows nobody."""

    def ha1_of(self, _username: str, _realm: str) -> str | None:
        return None


class DerivedCredentials(Credentials):
    """The user name is the device's id; its password follows from the ACS's secret. Nothing is stored."""

    def __init__(self, secret: bytes) -> None:
        # HMAC as in RFC 2104, with the key's two blocks hashed once: every login comes by here, and this is a quarter
        # of the price. `derive_password` says the same.
        block = (hashlib.sha256(secret).digest() if len(secret) > _BLOCK else secret).ljust(_BLOCK, b'\0')
        self._inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in block) + b'cpe\0')
        self._outer = hashlib.sha256(bytes(byte ^ 0x5C for byte in block))

    def password(self, username: str) -> str:
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(username.encode())
        outer.update(inner.digest())
        return outer.hexdigest()[:32]

    def ha1_of(self, username: str, realm: str) -> str | None:
        return ha1(username, realm, self.password(username))


class HtdigestCredentials(Credentials):
    """An htdigest file: `user:realm:HA1`, one a line. Read again whenever it changes."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp = -1
        self._known: dict[tuple[str, str], str] = {}

    def ha1_of(self, username: str, realm: str) -> str | None:
        stamp = self._path.stat().st_mtime_ns
        if stamp != self._stamp:
            lines = (line.rsplit(':', 2) for line in self._path.read_text('utf-8').splitlines())
            self._known = {(line[0], line[1]): line[2].strip().lower() for line in lines if len(line) == 3}
            self._stamp = stamp
        return self._known.get((username, realm))


class Refusal(StrEnum):
    MISSING = 'no credential'
    MALFORMED = 'malformed'
    STALE = 'stale nonce'  # ours, but too old or seen before: the CPE answers the new one without asking anyone
    WRONG = 'wrong credential'


class Judgement(NamedTuple):
    """`username` where the answer holds, else `refusal`."""

    username: str = ''
    refusal: Refusal | None = None


_MISSING = Judgement(refusal=Refusal.MISSING)


class Authenticator:
    """Challenges and checks. One for the port; `now` is in seconds since the epoch."""

    def __init__(
        self, credentials: Credentials, secret: bytes, realm: str, *, nonce_lifetime_s: float, allow_basic: bool
    ) -> None:
        self._credentials = credentials
        # Copied for every seal: the key is then worked in once.
        self._sealer = hashlib.blake2b(key=hmac.digest(secret, b'nonce', 'sha256'), digest_size=_SEAL)
        self._realm = realm
        self._lifetime = nonce_lifetime_s
        self._allow_basic = allow_basic
        self._digest_offer = f'WWW-Authenticate: Digest realm="{realm}", qop="auth", algorithm=MD5, nonce="'
        self._basic_offer = f'WWW-Authenticate: Basic realm="{realm}"\r\n' if allow_basic else ''
        # Nonce → highest count used. Two generations, so that forgetting old ones costs nothing a request.
        self._used: dict[str, int] = {}
        self._used_before: dict[str, int] = {}
        self._turned = 0.0
        self._count = secrets.randbits(8 * _COUNT)

    def nonce(self, address: str, now: float) -> str:
        self._count = (self._count + 1) % 256**_COUNT
        # Unique by counting from a random start; it need not be secret, for the seal is what nobody else can make.
        head = int(now).to_bytes(_TIME) + self._count.to_bytes(_COUNT)
        return base64.urlsafe_b64encode(head + self._seal(head, address)).decode()

    def _seal(self, head: bytes, address: str) -> bytes:
        sealer = self._sealer.copy()
        sealer.update(head + address.encode())
        return sealer.digest()

    def challenge_head(self, address: str, now: float, *, stale: bool = False) -> bytes:
        """The `WWW-Authenticate` header lines, digest first."""
        tail = ', stale=true\r\n' if stale else '\r\n'
        return f'{self._digest_offer}{self.nonce(address, now)}"{tail}{self._basic_offer}'.encode('latin-1', 'replace')

    def check(self, header: str, method: str, path: str, address: str, now: float) -> Judgement:
        """Judge an Authorization header that opens a connection."""
        if len(header) > _MAX_HEADER:
            return Judgement(refusal=Refusal.MALFORMED)
        scheme, _, rest = header.strip().partition(' ')
        if not scheme:
            return _MISSING  # half of all requests: each connection is challenged once
        if scheme.lower() == 'digest':
            return self._check_digest(rest, method, path, address, now)
        if scheme.lower() == 'basic':
            return self._check_basic(rest)
        return Judgement(refusal=Refusal.MALFORMED)

    def _check_basic(self, encoded: str) -> Judgement:
        if not self._allow_basic:
            return Judgement(refusal=Refusal.WRONG)
        try:
            username, password = _basic_pair(encoded)
        except ValueError:
            return Judgement(refusal=Refusal.MALFORMED)
        known = self._credentials.ha1_of(username, self._realm)
        if known is None or not hmac.compare_digest(known, ha1(username, self._realm, password)):
            return Judgement(refusal=Refusal.WRONG)
        return Judgement(username)

    def _check_digest(self, rest: str, method: str, path: str, address: str, now: float) -> Judgement:
        given = parse_answer(rest)
        username, nonce = given.get('username', ''), given.get('nonce', '')
        if not username or given.get('realm') != self._realm or given.get('qop', '') not in ('', 'auth'):
            return Judgement(refusal=Refusal.MALFORMED)
        # Some CPEs put the whole URL into uri; the path must be the one asked for either way.
        uri = given.get('uri', '')
        if uri != path and (urlsplit(uri).path or '/') != (path or '/'):
            return Judgement(refusal=Refusal.WRONG)
        age = self._age(nonce, address, now)
        if age is None or not 0 <= age <= self._lifetime:
            return Judgement(refusal=Refusal.STALE)
        known = self._credentials.ha1_of(username, self._realm)
        expected = digest_response(given, known or '', method)
        if known is None or not hmac.compare_digest(expected.encode(), given.get('response', '').lower().encode()):
            return Judgement(refusal=Refusal.WRONG)
        # Without qop the response does not cover the count: whoever has seen an answer could count on with it.
        if not self._is_first_use(nonce, given.get('nc', '') if given.get('qop') else '', now):
            return Judgement(refusal=Refusal.STALE)
        return Judgement(username)

    def _age(self, nonce: str, address: str, now: float) -> float | None:
        """Seconds since we made this nonce for this address; `None` where we did not."""
        try:
            raw = base64.b64decode(nonce, b'-_', validate=True)
        except ValueError:
            return None
        head, seal = raw[: _TIME + _COUNT], raw[_TIME + _COUNT :]
        if len(nonce) != _LETTERS or not hmac.compare_digest(self._seal(head, address), seal):
            return None
        return int(now) - int.from_bytes(head[:_TIME])

    def _is_first_use(self, nonce: str, count: str, now: float) -> bool:
        """Each nonce count opens one connection. Without a count (RFC 2069) a nonce opens one at all."""
        if now - self._turned > self._lifetime:
            self._used_before, self._used, self._turned = self._used, {}, now
        try:
            number = int(count or '1', 16)
        except ValueError:
            return False
        if number <= max(self._used.get(nonce, 0), self._used_before.get(nonce, 0)):
            return False
        self._used[nonce] = number
        return True
