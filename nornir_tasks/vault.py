"""Secrets of credentials from HashiCorp Vault (or OpenBao), key/value version 2; needs the extra `vault` (hvac).

`VAULT_ADDR` and `VAULT_TOKEN` (`VAULT_NAMESPACE`, `VAULT_CACERT`) say which, as they do for Vault's own program. The
credential `core-bras` is `secret/netbox-delinquency/core-bras`: mount and folder by `DELINQUENCY_VAULT_MOUNT` and
`DELINQUENCY_VAULT_PATH`. A token that may read that folder is enough.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nornir_tasks.errors import CredentialMissingError

ADDRESS = 'VAULT_ADDR'
TIMEOUT = 10  # seconds


def is_configured(environ: Mapping[str, str]) -> bool:
    return bool(environ.get(ADDRESS))


def where(name: str, environ: Mapping[str, str]) -> str:
    """The place of a credential, for messages."""
    mount, path = _place(name, environ)
    return f'Vault {environ[ADDRESS]} {mount}/{path}'


def read(name: str, environ: Mapping[str, str]) -> Mapping[str, Any] | None:
    """The fields kept there, None where there is no such secret. Raises `CredentialMissingError`, without the token."""
    try:
        import hvac
        import requests
    except ImportError:
        raise CredentialMissingError(
            f"{ADDRESS} is set, but hvac is not installed: 'netbox-delinquency[vault]'"
        ) from None
    mount, path = _place(name, environ)
    client = hvac.Client(
        url=environ[ADDRESS],
        token=environ.get('VAULT_TOKEN', ''),
        namespace=environ.get('VAULT_NAMESPACE') or None,
        verify=environ.get('VAULT_CACERT') or True,
        timeout=TIMEOUT,
    )
    # `from None` throughout: hvac's and requests' own errors may quote the request, and the request holds the token.
    try:
        answer = client.secrets.kv.v2.read_secret_version(path=path, mount_point=mount, raise_on_deleted_version=True)
    except hvac.exceptions.InvalidPath:
        return None
    except hvac.exceptions.Forbidden:
        raise CredentialMissingError(
            f'{where(name, environ)}: VAULT_TOKEN may not read it, or has expired; renew it, or widen its policy'
        ) from None
    except hvac.exceptions.VaultError as error:
        raise CredentialMissingError(f'{where(name, environ)}: Vault refused ({type(error).__name__})') from None
    except (requests.RequestException, ValueError) as error:
        raise CredentialMissingError(f'{where(name, environ)}: no answer ({type(error).__name__})') from None
    fields: Mapping[str, Any] = answer['data']['data']
    return fields


def _place(name: str, environ: Mapping[str, str]) -> tuple[str, str]:
    folder = environ.get('DELINQUENCY_VAULT_PATH', 'netbox-delinquency').strip('/')
    return environ.get('DELINQUENCY_VAULT_MOUNT', 'secret').strip('/'), f'{folder}/{name}'
