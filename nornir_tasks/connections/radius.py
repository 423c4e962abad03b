"""Dynamic authorization (RFC 5176) as a connection: who may be spoken to, with which secret, and in what manner.

UDP has no connection to open; what is opened here is the point's secret, looked up by name.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from nornir_tasks.change import AccessState, AccessTarget, Reading
from nornir_tasks.connections.consoles import ConsoleParameters, Consoles
from nornir_tasks.credentials import Credential, bound, credential_for, get_credential
from nornir_tasks.drivers.base import DriverParameters
from nornir_tasks.errors import CredentialMissingError, PointUnreachableError
from nornir_tasks.points import point_of
from nornir_tasks.radius.client import Answer, Nas, Request, Stop, exchange, never
from nornir_tasks.radius.dialects import dialect_choices
from nornir_tasks.radius.retransmission import Retransmission

PORT = 3799


class NasParameters(DriverParameters):
    """How a NAS is told of a change. The same for all of a point's, unless one has its own."""

    dialect: str = Field(
        'generic', description='What kind of NAS: see the table of dialects', json_schema_extra=dialect_choices
    )
    coa_port: int = Field(PORT, ge=1, le=65535, description='UDP port of dynamic authorization (1700 is common too)')
    window: int = Field(32, ge=1, le=250, description='Requests under way at one NAS at a time')
    live: Literal['coa', 'disconnect', 'console'] = Field(
        'coa',
        description='"disconnect" ends every session, which comes back with the stored policy: the surest way; '
        '"console" does so at the console of the NAS',
    )
    console: ConsoleParameters | None = Field(
        None, description='Console of the NAS, where its sessions are read back: what it says needs no trust'
    )
    trust_acknowledgement: bool = Field(
        False,
        description='Count an acknowledged CoA as applied. Set it once you have seen that this NAS acknowledges only '
        'what it does: RADIUS accounting shows that a session is up, not at which rate',
    )
    names: Mapping[Literal['normal', 'throttled', 'blocked'], str] = Field(
        {}, description='Name of the service, profile or filter of each state; may hold {down} and {up} (kbit/s)'
    )
    identity: tuple[str, ...] = Field((), description="Attributes that identify the session, in place of the dialect's")
    send_message_authenticator: bool = Field(True, description='Sign requests; a NAS of long ago may not know it')
    require_message_authenticator: bool = Field(False, description='Drop answers that are not signed')
    coa_address: str = Field('', description='Where requests go, if not to the address the NAS has in accounting')
    credential: str = Field('', description="Name of the credential with this NAS's secret, if not the point's")
    operator_name: str = Field('', description='Operator-Name for proxies (RFC 8559), such as 1example.net')
    operator_nas_identifier: str = Field('', description='Operator-NAS-Identifier for proxies (RFC 8559)')

    @model_validator(mode='after')
    def _has_the_console_it_uses(self) -> Self:
        if self.live == 'console' and self.console is None:
            raise ValueError('"live" is "console", but there is no "console"')
        return self


class DynamicAuthorization:
    """Sends requests to NASes. Holds secrets, so nothing of it is printed."""

    def __init__(self, credential: Credential, name: str = 'of the point', driver: str = 'radius') -> None:
        """`credential`, of that `name`, is for the NASes that have none of their own."""
        self._credential = credential
        self._name = name
        self._driver = driver
        # Sessions, by `nas/session`, whose last request got no answer: how they are is not known here any more.
        self.unverified: dict[str, str] = {}
        # Acknowledged and not provable: see `NasParameters.trust_acknowledgement`.
        self.unproven: dict[str, str] = {}
        # What the console of a session's NAS said of it last; an error where it did not get to say it.
        self.seen: dict[str, Reading] = {}
        self.consoles = Consoles()

    def exchange(
        self,
        nases: Mapping[str, NasParameters],
        requests: Mapping[str, Sequence[Request]],
        stop: Stop = never,
        retransmission: Retransmission | None = None,
    ) -> dict[str, list[Answer]]:
        """Send to all NASes at once; keys of both mappings are addresses. Raises `CredentialMissingError`."""
        rules = retransmission or Retransmission()
        known = {
            name: replace(_nas(name, nases[name], self.secret_of(name, nases[name])), retransmission=rules)
            for name in requests
        }
        return asyncio.run(_exchange_all(known, requests, stop))

    def read_console(self, nas: str, console: ConsoleParameters, targets: Mapping[str, AccessTarget]) -> None:
        """Read sessions (by key of the session) at the console of their NAS; what it said is in `seen`."""
        # Several sessions of one line are asked for once.
        readings = self.consoles.read(nas, console, list({target.key: target for target in targets.values()}.values()))
        self.seen |= {key: readings[target.key] for key, target in targets.items()}

    def shown(self, session: str) -> Reading | None:
        """What the console showed of that session; `None` where there is no console, or it could not say."""
        reading = self.seen.get(session)
        return None if reading is None or reading.error else reading

    def unverified_reason(self, session: str) -> str:
        """Why it cannot be said how that session stands; empty where it can."""
        if self.shown(session):
            return ''
        text = self.unverified.get(session) or self.unproven.get(session) or ''
        if text and session in self.seen:
            text += f'; its console could not say either: {self.seen[session].error}'
        return text

    def secret_of(self, address: str, nas: NasParameters) -> bytes:
        """The shared secret of the NAS at that address, as octets. Raises as `credential_for` does."""
        use = {'host': nas.coa_address or address, 'driver': self._driver}
        if nas.credential:
            secret = credential_for(nas.credential, **use).secret
        else:
            secret = bound(self._credential, self._name, **use).secret
        if secret is None:
            raise CredentialMissingError(
                f'credential "{nas.credential or self._name}" has no "secret": dynamic authorization needs it'
            )
        return secret.get_secret_value().encode()


def _nas(address: str, parameters: NasParameters, secret: bytes) -> Nas:
    return Nas(
        address=parameters.coa_address or address,
        secret=secret,
        port=parameters.coa_port,
        window=parameters.window,
        sign=parameters.send_message_authenticator,
        must_sign=parameters.require_message_authenticator,
    )


async def _exchange_all(
    nases: Mapping[str, Nas], requests: Mapping[str, Sequence[Request]], stop: Stop
) -> dict[str, list[Answer]]:
    async with asyncio.TaskGroup() as group:
        tasks = {name: group.create_task(exchange(nas, requests[name], stop=stop)) for name, nas in nases.items()}
    return {name: task.result() for name, task in tasks.items()}


class RadiusSession:
    """What `radius_coa` is given: one NAS at its address."""

    def __init__(
        self,
        address: str,
        port: int | None,
        credential: Credential,
        name: str = 'of the point',
        driver: str = 'radius_coa',
    ) -> None:
        self.address = address
        self.port = port
        self.authorization = DynamicAuthorization(credential, name, driver)
        # By session key, what the NAS acknowledged where its word is taken.
        self.known: dict[str, AccessState] = {}
        # Keys of sessions whose change was refused without a reason: see `is_unexplained`.
        self.unexplained: set[str] = set()


class RadiusConnection:
    """Nornir connection plugin `netbox_delinquency_radius`. The secret is looked up by name in here, and stays here."""

    def __init__(self) -> None:
        self._session: RadiusSession | None = None

    def open(self, hostname: str | None, *_: Any, extras: dict[str, Any] | None = None, **_unused: Any) -> None:
        """Raises as `get_credential` does."""
        point = point_of(hostname, extras)
        # Each NAS is asked for as it is sent to: see `DynamicAuthorization.secret_of`.
        credential = get_credential(point.credential)
        self._session = RadiusSession(point.address, point.port, credential, point.credential, point.driver)

    def close(self) -> None:
        if self._session is not None:
            self._session.authorization.consoles.close()
        self._session = None

    @property
    def connection(self) -> RadiusSession:
        if self._session is None:
            raise PointUnreachableError('the RADIUS connection is not open')
        return self._session
