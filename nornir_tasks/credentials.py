"""Secrets by name. NetBox, Nornir and the journal carry the *name*; only the process that connects holds the secret.

Looked up in this order, for the name `core-bras`:

1. the environment: `DELINQUENCY_CREDENTIAL_CORE_BRAS`, a JSON object;
2. a file: `$DELINQUENCY_CREDENTIALS_DIR/core-bras.yaml` (default `/etc/netbox-delinquency/credentials`), which
   nobody but its owner may write, nor others read;
3. HashiCorp Vault, where `VAULT_ADDR` is set (see `nornir_tasks.vault`).

Each holds the fields of `Credential`. Whoever may change a point in NetBox chooses the name and the address that go
together there, so a credential says itself where it may be sent: `credential_for` refuses any other place.
"""

from __future__ import annotations

import ipaddress
import json
import os
import re
import stat
from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, SecretStr, ValidationError

from nornir_tasks import vault
from nornir_tasks.errors import CredentialMissingError, CredentialRefusedError

PREFIX = 'DELINQUENCY_CREDENTIAL_'
DIRECTORY = 'DELINQUENCY_CREDENTIALS_DIR'
DEFAULT_DIRECTORY = '/etc/netbox-delinquency/credentials'
# A worker that still has credentials which name no hosts sets it to 1: they may then be sent anywhere.
UNBOUND = 'DELINQUENCY_UNBOUND_CREDENTIALS'
NAME = re.compile(r'[A-Za-z0-9][A-Za-z0-9._-]*')


class Credential(BaseModel):
    """What a login needs. Secrets are `SecretStr`: printing, logging or dumping a credential shows none of them."""

    model_config = ConfigDict(extra='forbid', frozen=True, hide_input_in_errors=True)

    username: str = ''
    password: SecretStr | None = None
    key_file: Path | None = None
    passphrase: SecretStr | None = None
    secret: SecretStr | None = None  # a shared secret: RADIUS, or a webhook's signing key
    previous_secret: SecretStr | None = None  # still accepted while a secret is rotated
    # Where it may be sent: addresses, networks (`10.20.0.0/16`), names, or names with `*` (`*.bras.example.net`).
    hosts: tuple[str, ...] = ()
    drivers: tuple[str, ...] = ()  # what may use it; empty: any driver
    allow_http: bool = False  # a token may travel readable, where the way there is trusted

    def fits(self, host: str) -> bool:
        """Whether `hosts` has this address or name."""
        host = host.strip('[]').rstrip('.').lower()
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            return any(fnmatchcase(host, each.rstrip('.').lower()) for each in self.hosts if not _network(each))
        return any(address in network for each in self.hosts if (network := _network(each)))


def get_credential(name: str, environ: Mapping[str, str] | None = None) -> Credential:
    """The credential of that name. Raises `CredentialMissingError`, which names the places looked in, not the value."""
    environ = os.environ if environ is None else environ
    if not NAME.fullmatch(name):
        raise CredentialMissingError(f'"{name}" is not a credential name: use letters, digits, dot, dash, underscore')
    variable = PREFIX + re.sub(r'[^A-Z0-9]', '_', name.upper())
    path = Path(environ.get(DIRECTORY, DEFAULT_DIRECTORY)) / f'{name}.yaml'
    if variable in environ:
        return _parse(name, f'environment variable {variable}', environ[variable], json.loads)
    if path.is_file():
        mode = path.stat().st_mode
        if mode & (stat.S_IWGRP | stat.S_IRWXO):
            raise CredentialMissingError(f'{path} may be read or written by others: chmod 0640 or stricter, then retry')
        return _parse(name, str(path), path.read_text(), yaml.safe_load)
    also = ''
    if vault.is_configured(environ):
        fields = vault.read(name, environ)
        if fields is not None:
            return _parse(name, vault.where(name, environ), fields, dict)
        also = f', or write {vault.where(name, environ)}'
    raise CredentialMissingError(f'no credential "{name}": set {variable} or write {path}{also}')


def credential_for(name: str, *, host: str, driver: str) -> Credential:
    """The credential of that name, to be sent to `host` by `driver`.

    Raises as `get_credential` does, and `CredentialRefusedError` where it is not for that host or driver.
    """
    return bound(get_credential(name), name, host=host, driver=driver)


def bound(credential: Credential, name: str, *, host: str, driver: str) -> Credential:
    """The same, where it may be sent to `host` by `driver`. Raises `CredentialRefusedError` where it may not."""
    if credential.drivers and driver not in credential.drivers:
        raise CredentialRefusedError(f'credential "{name}" is not for driver {driver}: add it to its "drivers"')
    if not credential.hosts and os.environ.get(UNBOUND) != '1':
        raise CredentialRefusedError(
            f'credential "{name}" names no "hosts": add there what it may be sent to, such as {host}'
        )
    if credential.hosts and not credential.fits(host):
        raise CredentialRefusedError(f'credential "{name}" is not for {host}: add it to its "hosts" if it should be')
    return credential


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    try:
        return ipaddress.ip_network(text.strip('[]'), strict=False)
    except ValueError:
        return None


def _parse(name: str, where: str, text: Any, load: Callable[[Any], Any]) -> Credential:
    try:
        return Credential.model_validate(load(text))
    except ValidationError as error:
        fields = ', '.join('.'.join(str(part) for part in item['loc']) or 'the whole' for item in error.errors())
        raise CredentialMissingError(f'credential "{name}" in {where} is not valid: {fields}') from None
    except (ValueError, yaml.YAMLError):
        # `from None`: a parser's message quotes the text it stumbled on, which is the secret.
        raise CredentialMissingError(f'credential "{name}" in {where} cannot be parsed') from None
