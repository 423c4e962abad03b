"""Is a point fit to be used? Looks from the outside in, and adds what is missing only when told to.

`check_point` changes nothing: it connects, and has the driver read. `prepare_point` adds the lines that the findings
name, and no others.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime

from nornir.plugins.runners import SerialRunner
from pydantic import ValidationError

from nornir_tasks.change import Reply
from nornir_tasks.drivers import Driver, Finding, get_driver
from nornir_tasks.drivers.base import lines_of
from nornir_tasks.errors import (
    ConfigurationError,
    CredentialMissingError,
    EnforcementError,
    HostKeyRefusedError,
    LoginRefusedError,
)
from nornir_tasks.inventory.hosts import nornir_for
from nornir_tasks.points import Point

# The first that fits names what is wrong; what comes before it in this order was good.
SUBJECTS: tuple[tuple[type[EnforcementError], str], ...] = (
    (CredentialMissingError, 'credential'),
    (ConfigurationError, 'settings'),
    (HostKeyRefusedError, 'host key'),
    (LoginRefusedError, 'login'),
    (EnforcementError, 'reachability'),
)


def check_point(point: Point, now: datetime) -> list[Finding]:
    """Everything there is to say of a point; `now` has a time zone. An `EnforcementError` becomes a finding."""
    try:
        with connected(point) as driver:
            return _reached(point, driver) + _session_findings(driver) + _driver_findings(driver, now)
    except EnforcementError as error:
        subject = next(name for kind, name in SUBJECTS if isinstance(error, kind))
        return [Finding(subject, ok=False, message=str(error))]


def prepare_point(point: Point, findings: Sequence[Finding]) -> list[tuple[str, Reply]]:
    """Add what the findings of `check_point` name; each line with its reply, up to the first refused.

    Raises `EnforcementError` where the point failed.
    """
    with connected(point) as driver:
        return list(zip(lines_of(findings), driver.prepare(findings), strict=False))


@contextmanager
def connected(point: Point) -> Iterator[Driver]:
    """The driver of a point, on a connection of its own for this block. Raises `EnforcementError`."""
    kind = get_driver(point.driver)
    nornir = nornir_for([point], SerialRunner())
    host = nornir.inventory.hosts[point.name]
    try:
        yield kind(host.get_connection(kind.connection_name, nornir.config), point.parameters)
    except ValidationError as error:
        wrong = '; '.join('.'.join(map(str, item['loc'])) + f': {item["msg"]}' for item in error.errors())
        raise ConfigurationError(f'the parameters of {point.name} do not fit its driver: {wrong}') from None
    finally:
        host.close_connections()


def _reached(point: Point, driver: Driver) -> list[Finding]:
    """An open SSH session is a login; other connections (UDP) may have sent nothing yet, and their drivers say more."""
    if driver.connection_name != Driver.connection_name:
        return []
    text = f'{point.address} port {point.port or 22} answers, and took the login'
    return [Finding('reachability', ok=True, message=text)]


def _session_findings(driver: Driver) -> list[Finding]:
    """A connection may have something to say of itself: a host key that was taken on trust."""
    found: list[Finding] = getattr(driver.connection, 'findings', [])
    return list(found)


def _driver_findings(driver: Driver, now: datetime) -> list[Finding]:
    try:
        return driver.check(now)
    except EnforcementError as error:
        return [Finding('reading', ok=False, message=str(error))]
