"""Ways to log in by SSH: a key file, a password, the agent."""

from __future__ import annotations

from collections.abc import Callable

import paramiko

from nornir_tasks.credentials import Credential
from nornir_tasks.errors import CredentialMissingError

Attempt = Callable[[paramiko.Transport, str], object]
KEY_CLASSES: tuple[type[paramiko.PKey], ...] = (paramiko.Ed25519Key, paramiko.ECDSAKey, paramiko.RSAKey)


def login_attempts(credential: Credential) -> list[tuple[str, Attempt]]:
    """Ways to log in, best first. The agent only where the credential names no way: it may hold anything."""
    attempts: list[tuple[str, Attempt]] = []
    if credential.key_file is not None:
        attempts.append(('the key file', _with_key(_load_key(credential))))
    if (password := credential.password) is not None:
        # Falls back to keyboard-interactive where that is what the server has.
        attempts.append(
            ('the password', lambda transport, name: transport.auth_password(name, password.get_secret_value()))
        )
    if not attempts:
        attempts = [('a key of the agent', _with_key(key)) for key in paramiko.Agent().get_keys()]
    return attempts


def _with_key(key: paramiko.PKey) -> Attempt:
    return lambda transport, name: transport.auth_publickey(name, key)


def _load_key(credential: Credential) -> paramiko.PKey:
    """Classes are tried in turn: paramiko 4 and 5 differ in their own way to find the right one."""
    path = credential.key_file
    passphrase = credential.passphrase
    for kind in KEY_CLASSES:
        try:
            return kind.from_private_key_file(str(path), passphrase.get_secret_value() if passphrase else None)
        except OSError as error:
            raise CredentialMissingError(f'key file {path} cannot be read: {error.strerror}') from None
        except paramiko.PasswordRequiredException:
            raise CredentialMissingError(f'key file {path} needs the passphrase of its credential') from None
        except (paramiko.SSHException, ValueError):
            continue
    raise CredentialMissingError(f'key file {path} is not an Ed25519, ECDSA or RSA key, or its passphrase is wrong')
