"""An ACS as a connection: a `tr069` client on an event loop of its own, with its secret looked up by name."""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pydantic import Field, ValidationError

from nornir_tasks.credentials import Credential, credential_for
from nornir_tasks.drivers.base import DriverParameters
from nornir_tasks.errors import (
    ConfigurationError,
    CredentialMissingError,
    EnforcementError,
    LoginRefusedError,
    PointUnreachableError,
)
from nornir_tasks.points import Point, point_of
from tr069.acs.client import EmbeddedAcsClient
from tr069.client import AcsClient
from tr069.datamodel.profiles import load_directory
from tr069.errors import AcsRefusedError, AcsUnreachableError, Tr069Error
from tr069.genieacs import GenieAcsClient
from tr069.genieacs.nbi import Nbi

PORT = 7557
# Where the worker keeps what points name: the environment's word, else the folder beside its credentials.
CA_DIRECTORY = 'DELINQUENCY_CA_DIR'
PROFILES_DIRECTORY = 'DELINQUENCY_PROFILES_DIR'
DIRECTORIES = {
    CA_DIRECTORY: '/etc/netbox-delinquency/ca',
    PROFILES_DIRECTORY: '/etc/netbox-delinquency/profiles',
}
FILE = r'^([A-Za-z0-9][A-Za-z0-9._-]*)?$'


class AcsParameters(DriverParameters):
    """Where the ACS's northbound interface is."""

    url: str = Field(
        '',
        pattern=r'^(https?://[^\s/?#@]+(/[^\s?#@]*)?)?$',
        description="Of the northbound interface, where https://, the point's address and its port are not it",
    )
    # Names, not paths: who may write a point in NetBox may not choose what a worker reads.
    ca_file: str = Field(
        '', pattern=FILE, description="File with the CA of the ACS's certificate, in the worker's own folder for them"
    )
    profiles_directory: str = Field(
        '',
        pattern=FILE,
        description="Folder with device profiles, in the worker's own for them (an embedded ACS has its own)",
    )


class AcsSession:
    """`run` calls the client and waits. Not for several threads at a time."""

    def __init__(self, client: AcsClient, where: str) -> None:
        self.client = client
        self.where = where
        self._loop = asyncio.Runner()

    def run[T](self, job: Callable[[AcsClient], Awaitable[T]]) -> T:
        """Raises `PointUnreachableError`, `LoginRefusedError`, or `EnforcementError` for what else the ACS refuses."""

        async def call() -> T:
            return await job(self.client)

        try:
            return self._loop.run(call())
        except AcsUnreachableError as error:
            raise PointUnreachableError(str(error)) from error
        except AcsRefusedError as error:
            raise LoginRefusedError(str(error)) from error
        except Tr069Error as error:
            raise EnforcementError(str(error)) from error

    def close(self) -> None:
        try:
            self._loop.run(self.client.aclose())
        finally:
            self._loop.close()


def _embedded(url: str, credential: Credential, parameters: AcsParameters, point: Point) -> AcsClient:
    if credential.secret is None:
        raise CredentialMissingError(f'credential "{point.credential}" has no "secret": it is the northbound token')
    token = credential.secret.get_secret_value()
    return EmbeddedAcsClient(url, token, timeout_s=point.timeout, verify=_trusted(parameters.ca_file))


def _genieacs(url: str, credential: Credential, parameters: AcsParameters, point: Point) -> AcsClient:
    nbi = Nbi(
        url,
        token=credential.secret.get_secret_value() if credential.secret else '',
        username=credential.username,
        password=credential.password.get_secret_value() if credential.password else '',
        timeout_s=point.timeout,
        verify=_trusted(parameters.ca_file),
    )
    try:
        own = parameters.profiles_directory
        profiles = load_directory(_own(PROFILES_DIRECTORY, own) if own else None)
    except Tr069Error as error:
        raise ConfigurationError(f'{point.name}: {error}') from error
    return GenieAcsClient(nbi, profiles=profiles)


CLIENTS = {'acs_embedded': _embedded, 'genieacs': _genieacs}


def _own(variable: str, name: str) -> Path:
    """What has that name in the worker's own folder."""
    return Path(os.environ.get(variable) or DIRECTORIES[variable]) / name


def _trusted(ca_file: str) -> ssl.SSLContext | bool:
    if not ca_file:
        return True
    path = _own(CA_DIRECTORY, ca_file)
    try:
        return ssl.create_default_context(cafile=path)
    except (OSError, ssl.SSLError) as error:
        # Nothing of the file's content is said: whoever sees the point would read it.
        what = error.strerror if isinstance(error, OSError) and error.strerror else 'it holds no certificate'
        raise ConfigurationError(f'the CA file {path} cannot be used: {what}') from None


def url_of(point: Point, parameters: AcsParameters) -> str:
    """The northbound address: as given, or TLS at the point's own address."""
    host = f'[{point.address}]' if ':' in point.address else point.address
    return parameters.url or f'https://{host}:{point.port or PORT}'


def is_in_the_clear(url: str) -> bool:
    """True where the token would travel readable over a network."""
    parts = urlsplit(url)
    return parts.scheme == 'http' and parts.hostname not in ('localhost', '127.0.0.1', '::1')


class AcsConnection:
    """Nornir connection plugin `netbox_delinquency_acs`."""

    def __init__(self) -> None:
        self._session: AcsSession | None = None

    def open(self, hostname: str | None, *_: Any, extras: dict[str, Any] | None = None, **_unused: Any) -> None:
        """Raises as `credential_for` does, and `ConfigurationError`."""
        point = point_of(hostname, extras)
        if point.driver not in CLIENTS:
            raise ConfigurationError(f'{point.name}: "{point.driver}" is no driver of an ACS')
        parameters = _parameters(point)
        url = url_of(point, parameters)
        host = urlsplit(url).hostname or ''
        credential = credential_for(point.credential, host=host, driver=point.driver)
        if is_in_the_clear(url) and not credential.allow_http:
            raise ConfigurationError(
                f'{point.name}: the token would travel readable to {url}: use https, or set "allow_http" in credential '
                f'"{point.credential}" where the way there is trusted'
            )
        client = CLIENTS[point.driver](url, credential, parameters, point)
        self._session = AcsSession(client, url)

    def close(self) -> None:
        if self._session is not None:
            self._session.close()
            self._session = None

    @property
    def connection(self) -> AcsSession:
        if self._session is None:
            raise PointUnreachableError('the connection to the ACS is not open')
        return self._session


def _parameters(point: Point) -> AcsParameters:
    known = {name: point.parameters[name] for name in AcsParameters.model_fields if name in point.parameters}
    try:
        return AcsParameters.model_validate(known)
    except ValidationError as error:
        wrong = ', '.join('.'.join(map(str, item['loc'])) for item in error.errors())
        raise ConfigurationError(f'{point.name}: its parameters are wrong: {wrong}') from None
