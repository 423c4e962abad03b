"""Pinned SSH host keys, as a point carries them: `SHA256:…` fingerprints or public keys, one to a line.

Where a point is told to trust the first key, that one is remembered in a file (`$DELINQUENCY_KNOWN_HOSTS`, in OpenSSH's
form), and pinned from then on.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import itertools
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from nornir_tasks.errors import ConfigurationError

KNOWN_HOSTS = 'DELINQUENCY_KNOWN_HOSTS'
DEFAULT_KNOWN_HOSTS = '~/.config/netbox-delinquency/known_hosts'
# RFC 8332: one RSA key serves several signature algorithms; `ssh-rsa` (SHA-1) is gone from paramiko 5.
RSA_ALGORITHMS = ('rsa-sha2-512', 'rsa-sha2-256', 'ssh-rsa')


def fingerprint(blob: bytes) -> str:
    """OpenSSH's form: `SHA256:` and unpadded base64."""
    return 'SHA256:' + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip('=')


@dataclass(frozen=True, slots=True)
class PinnedKeys:
    """The host keys a point may show. No pin at all accepts nothing: there is no trust on first use."""

    fingerprints: frozenset[str]
    key_types: frozenset[str]  # of keys pinned in full; empty where any pin is only a fingerprint

    def __bool__(self) -> bool:
        return bool(self.fingerprints)

    def accepts(self, blob: bytes) -> bool:
        return fingerprint(blob) in self.fingerprints

    def algorithms(self, supported: tuple[str, ...]) -> tuple[str, ...]:
        """Of `supported`, those worth offering: a server with several keys must show the pinned one.

        All of them where a fingerprint alone is pinned, since its type is not known.
        """
        wanted = {name for kind in self.key_types for name in (RSA_ALGORITHMS if kind == 'ssh-rsa' else (kind,))}
        return tuple(name for name in supported if name in wanted) if wanted else supported


def parse_pins(text: str) -> PinnedKeys:
    """Pins of `text`, one a line: `SHA256:…`, `type base64 [comment]` or `host type base64 [comment]` (known_hosts).

    The host field is not compared: a pin belongs to one point already. Raises `ConfigurationError`.
    """
    fingerprints, key_types, full = set(), set(), True
    for line in filter(None, map(str.strip, text.splitlines())):
        if line.startswith('#'):
            continue
        if line.startswith('SHA256:'):
            fingerprints.add(line.split()[0].rstrip('='))
            full = False
            continue
        if line.startswith('@'):
            raise ConfigurationError(
                f'host key "{line[:40]}…": markers such as @cert-authority or @revoked are not supported; '
                'pin the key itself'
            )
        kind, blob = _public_key(line)
        fingerprints.add(fingerprint(blob))
        key_types.add(kind)
    return PinnedKeys(frozenset(fingerprints), frozenset(key_types) if full else frozenset())


def _public_key(line: str) -> tuple[str, bytes]:
    fields = line.split()
    for kind, encoded in itertools.pairwise(fields[:3]):
        try:
            blob = base64.b64decode(encoded, validate=True)
        except (binascii.Error, ValueError):
            continue
        # RFC 4253 §6.6: the blob starts with its own key type as a length-prefixed string.
        if blob[4 : 4 + int.from_bytes(blob[:4])] == kind.encode() and kind:
            return kind, blob
    raise ConfigurationError(
        f'host key "{line[:40]}…" is neither a SHA256:… fingerprint nor a public key; '
        'take one from `ssh-keyscan` and compare it on the device'
    )


def known_hosts(environ: Mapping[str, str] | None = None) -> Path:
    """The file of keys that were taken on trust."""
    return Path((os.environ if environ is None else environ).get(KNOWN_HOSTS, DEFAULT_KNOWN_HOSTS)).expanduser()


def remembered(address: str, port: int, path: Path) -> PinnedKeys:
    """The key taken on trust from there before; none where there was none. Raises `ConfigurationError`."""
    try:
        lines = path.read_text().splitlines()
    except FileNotFoundError:
        return parse_pins('')
    except OSError as error:
        raise ConfigurationError(f'{path} cannot be read: {error.strerror}') from None
    start = f'[{address}]:{port} '
    return parse_pins('\n'.join(line for line in lines if line.startswith(start)))


def remember(address: str, port: int, kind: str, blob: bytes, path: Path) -> None:
    """Raises `ConfigurationError` where it cannot be written: a key that is not remembered would be no trust at all."""
    line = f'[{address}]:{port} {kind} {base64.b64encode(blob).decode()}\n'
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), 'a') as file:
            file.write(line)
    except OSError as error:
        raise ConfigurationError(
            f'{path} cannot be written ({error.strerror}): set {KNOWN_HOSTS} to a file that can, or pin the host key'
        ) from None
