"""Nornir connection plugin `netbox_delinquency_ssh`: one session a point, through a jump host where it has one."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from nornir_tasks.connections.ssh.session import SSHSession
from nornir_tasks.credentials import credential_for
from nornir_tasks.drivers.base import SSHOptions
from nornir_tasks.drivers.registry import get_driver
from nornir_tasks.errors import ConfigurationError, PointUnreachableError
from nornir_tasks.points import Point, point_of


def _options(point: Point) -> SSHOptions:
    try:
        return SSHOptions.model_validate(point.parameters.get('ssh') or {})
    except ValidationError as error:
        wrong = '; '.join('.'.join(map(str, item['loc'])) + f': {item["msg"]}' for item in error.errors())
        raise ConfigurationError(f'the "ssh" parameters of {point.name} are wrong: {wrong}') from None


def _endpoint(text: str) -> tuple[str, int]:
    """`host`, `host:port`, `[v6]:port` or a bare IPv6 address."""
    host, colon, port = text.rpartition(':')
    if colon and (host.startswith('[') or ':' not in host) and port.isdigit():
        return host.strip('[]'), int(port)
    return text.strip('[]'), 22


class SSHConnection:
    """Nornir connection plugin `netbox_delinquency_ssh`. The secret is looked up by name in here, and stays here."""

    def __init__(self) -> None:
        self._session: SSHSession | None = None

    def open(self, hostname: str | None, *_: Any, extras: dict[str, Any] | None = None, **_unused: Any) -> None:
        """Log in at `extras["point"]`. Raises as `SSHSession.connect` and `credential_for` do."""
        point = point_of(hostname, extras)
        options = _options(point)
        credential = credential_for(point.credential, host=point.address, driver=point.driver)
        suffix = get_driver(point.driver).login_suffix
        via = None
        if options.jump_host:
            host, port = _endpoint(options.jump_host)
            login = credential_for(options.jump_credential or point.credential, host=host, driver=point.driver)
            via = SSHSession.connect(host, port, login, options.jump_host_key, point.timeout)
        self._session = SSHSession.connect(
            point.address,
            point.port or 22,
            credential,
            point.host_key,
            point.timeout,
            login_suffix=suffix,
            trust_first_key=options.trust_first_key,
            via=via,
        )

    def close(self) -> None:
        if self._session is not None:
            self._session.close()

    @property
    def connection(self) -> SSHSession:
        if self._session is None:
            raise PointUnreachableError('the SSH connection is not open')
        return self._session
