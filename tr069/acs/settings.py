"""Settings of the embedded ACS: a YAML file, checked at start. Secrets are named here and kept elsewhere."""

from __future__ import annotations

import os
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from tr069.errors import Tr069Error, without_contents

Network = Annotated[IPv4Network | IPv6Network, BeforeValidator(ip_network)]


class SettingsError(Tr069Error):
    """A setting is wrong or a secret is missing; the ACS does not start."""


class AuthMode(StrEnum):
    """Who a CPE is believed to be."""

    DERIVED = 'derived'  # the password is derived from the device's id and our secret
    HTDIGEST = 'htdigest'  # a file of user:realm:HA1, the user being the device's id
    NONE = 'none'  # anybody is anyone: for a laboratory only


class _Settings(BaseModel):
    model_config = ConfigDict(extra='forbid', frozen=True, hide_input_in_errors=True)


class CpeSide(_Settings):
    """The port CPEs talk to. Times are in seconds, sizes in bytes."""

    host: str = '0.0.0.0'
    port: int = 7547
    path: str = '/'
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    auth: AuthMode = AuthMode.DERIVED
    realm: str = 'acs'
    htdigest_file: Path | None = None
    accept_oui_serial: bool = False  # also take the user name OUI-Serial, which leaves the product class unproven
    basic_without_tls: bool = False
    nonce_lifetime_s: float = Field(default=60, gt=0)
    session_timeout_s: float = Field(default=30, gt=0)
    request_timeout_s: float = Field(default=20, gt=0)  # first byte to last, against slow senders
    max_connections: int = Field(default=10_000, ge=1)
    max_sessions: int = Field(default=2_000, ge=1)
    retry_after_s: int = Field(default=60, ge=1)
    max_body: int = Field(default=4 * 1024 * 1024, ge=4096)
    max_bodies: int = Field(default=64 * 1024 * 1024, ge=4096)  # of all bodies that are held at a time


class ConnectionRequests(_Settings):
    max_in_flight: int = Field(default=20, ge=1)
    per_second: float = Field(default=50, gt=0)
    timeout_s: float = Field(default=10, gt=0)
    attempts: int = Field(default=3, ge=1)
    retry_wait_s: float = Field(default=5, ge=0)
    provision: bool = True  # set each device's ConnectionRequestUsername and -Password at its first contact
    # A CPE names its own URL, and so whom we call: only the address that its last session came from, or one in these
    # networks, which are the subscribers'.
    subscriber_networks: tuple[Network, ...] = ()
    # Never called, whatever the session or the networks above say: ourselves, our neighbours, clouds' metadata, and
    # IPv6 that stands for an IPv4 address (mapped, NAT64, 6to4, Teredo). A proxy's own address belongs here, too.
    deny: tuple[Network, ...] = tuple(
        ip_network(text)
        for text in (
            '0.0.0.0/8', '127.0.0.0/8', '169.254.0.0/16', '100.100.100.200/32', '192.0.0.0/24', '224.0.0.0/3',
            '::/96', '::ffff:0:0/96', '64:ff9b::/96', '64:ff9b:1::/48', '2001::/32', '2002::/16', 'fc00::/7',
            'fe80::/10', 'fec0::/10', 'ff00::/8',
        )
    )  # fmt: skip
    udp_host: str = '0.0.0.0'
    udp_port: int | None = None  # STUN and UDP connection requests (TR-069 annex G); 3478 is usual


class Northbound(_Settings):
    host: str = '127.0.0.1'
    port: int = 7557
    token_secret: str = 'TR069_ACS_TOKEN'
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    max_body: int = Field(default=32 * 1024 * 1024, ge=4096)


class Desired(_Settings):
    max_attempts: int = Field(default=5, ge=1)
    backoff_s: float = Field(default=60, ge=0)  # doubled with every attempt
    connection_request_to_verify: bool = True  # call the device for the session that verifies
    verify_delay_s: float = Field(default=2, ge=0)  # CPEs answer 503 while the old session is still being closed


class AcsSettings(_Settings):
    database: str = 'sqlite:///tr069-acs.sqlite3'
    database_password_secret: str = ''  # put into the database URL in place of its password
    secret: str = 'TR069_ACS_SECRET'
    secrets_directory: Path | None = None
    profiles_directory: Path | None = None
    cpe: CpeSide = CpeSide()
    connection_requests: ConnectionRequests = ConnectionRequests()
    northbound: Northbound = Northbound()
    desired: Desired = Desired()

    def read_secret(self, name: str) -> str:
        """The secret of that name: environment first, then a file in `secrets_directory`. Raises `SettingsError`."""
        value = os.environ.get(name, '')
        if not value and self.secrets_directory is not None:
            path = self.secrets_directory / name
            value = path.read_text('utf-8').strip() if path.is_file() else ''
        if not value:
            where = f' or {self.secrets_directory}/{name}' if self.secrets_directory else ''
            raise SettingsError(f'the secret {name} is not set: put it into the environment{where}')
        return value


def load_settings(path: Path | None) -> AcsSettings:
    """Raises `SettingsError` naming the file and what is wrong in it. Without a path: the defaults."""
    if path is None:
        return AcsSettings()
    try:
        return AcsSettings.model_validate(yaml.safe_load(path.read_text('utf-8')) or {})
    except (OSError, UnicodeDecodeError, yaml.YAMLError, ValidationError) as error:
        raise SettingsError(f'{path}: {without_contents(error)}') from None
