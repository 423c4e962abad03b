"""A NAS's own console beside its RADIUS: what reads a session back, where RADIUS accounting cannot show what it has.

Opened when first needed, one login a NAS, and kept until the RADIUS connection is closed. One that fails is not tried
again by the same run: each try would cost every batch its timeout.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Self

from pydantic import Field, model_validator

from nornir_tasks.change import AccessChange, AccessTarget, Reading, Reply
from nornir_tasks.connections.ssh import SSHConnection
from nornir_tasks.drivers.base import Driver, DriverParameters, Finding
from nornir_tasks.drivers.registry import get_driver
from nornir_tasks.errors import ConfigurationError, EnforcementError
from nornir_tasks.points import Point


class ConsoleParameters(DriverParameters):
    """The console of a NAS: a point of its own in all but name, found at the NAS's address."""

    driver: str = Field(description='Driver of the console: cisco_iosxr, huawei_vrp, junos, nokia_sros')
    address: str = Field('', description='Where it is, if not at the address that the NAS has in accounting')
    port: int = Field(22, ge=1, le=65535, description='TCP port of SSH')
    credential: str = Field(description='Name of the credential of its login')
    host_key: str = Field('', description='Its SSH host key, as of an enforcement point')
    timeout: float = Field(10, gt=0, le=300, description='Seconds that one answer may take')
    parameters: Mapping[str, Any] = Field({}, description="The console driver's own parameters of the point")

    @model_validator(mode='after')
    def _fits_its_driver(self) -> Self:
        try:
            kind = get_driver(self.driver)
        except ConfigurationError as error:
            raise ValueError(str(error)) from None
        if kind.connection_name != Driver.connection_name or not kind.abilities.read_back:
            raise ValueError(f'"{self.driver}" is no driver of a console')
        kind.PointParameters.model_validate(dict(self.parameters))
        return self


class Consoles:
    """The open consoles, by the NAS's address in accounting. Holds logins, so nothing of it is printed."""

    def __init__(self) -> None:
        self._connections: list[SSHConnection] = []
        self._drivers: dict[str, Driver | EnforcementError] = {}

    def driver(self, nas: str, parameters: ConsoleParameters) -> Driver:
        """The driver at that console, connected. Raises `EnforcementError`; for a second time the same."""
        if nas not in self._drivers:
            try:
                self._drivers[nas] = self._open(nas, parameters)
            except EnforcementError as error:
                self._drivers[nas] = error
        found = self._drivers[nas]
        if isinstance(found, EnforcementError):
            raise found
        return found

    def _open(self, nas: str, parameters: ConsoleParameters) -> Driver:
        point = Point(
            name=f'console of {nas}',
            driver=parameters.driver,
            address=parameters.address or nas,
            port=parameters.port,
            credential=parameters.credential,
            host_key=parameters.host_key,
            parameters=parameters.parameters,
            timeout=parameters.timeout,
        )
        connection = SSHConnection()
        connection.open(point.address, extras={'point': point})
        self._connections.append(connection)
        return get_driver(point.driver)(connection.connection, point.parameters)

    def read(self, nas: str, parameters: ConsoleParameters, targets: Sequence[AccessTarget]) -> dict[str, Reading]:
        """As `Driver.read`; a console that fails is an error of each of its lines."""
        try:
            return self.driver(nas, parameters).read(targets)
        except EnforcementError as error:
            return {target.key: Reading(error=str(error)) for target in targets}

    def end(
        self, nas: str, parameters: ConsoleParameters, changes: Sequence[AccessChange], before: Mapping[str, Reading]
    ) -> dict[str, Reply]:
        """End these sessions, as `Driver.apply` does; a console that fails leaves each unknown."""
        try:
            return self.driver(nas, parameters).apply(changes, before)
        except EnforcementError as error:
            return {change.key: Reply(None, str(error)) for change in changes}

    def missing(self, nas: str, parameters: ConsoleParameters, names: Collection[str]) -> set[str]:
        """Which of these names of profiles and services the NAS surely does not have; none where it cannot be told."""
        try:
            return self.driver(nas, parameters).missing_names(names)
        except EnforcementError:
            return set()

    def check(self, nas: str, parameters: ConsoleParameters, now: datetime) -> list[Finding]:
        """What the console's own check finds."""
        subject = f'console of NAS {nas}'
        try:
            findings = self.driver(nas, parameters).check(now)
        except EnforcementError as error:
            return [Finding(subject, ok=False, message=str(error))]
        reached = Finding(subject, ok=True, message='answers, and took the login')
        return [reached, *(replace(finding, subject=f'{subject}: {finding.subject}', add=()) for finding in findings)]

    def close(self) -> None:
        for connection in self._connections:
            connection.close()
        self._connections.clear()
        self._drivers.clear()
