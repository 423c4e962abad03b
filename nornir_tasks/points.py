"""What an enforcement point is: the place where access is changed, whatever it was read from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from nornir_tasks.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class Point:
    """An enforcement point: where it is, what speaks to it, and how hard it may be pressed.

    `credential` and `host_key` are a name and a public key (known_hosts form or `SHA256:…`), never a secret.
    `timeout` is seconds for one answer; `batch_size` is rows sent between two journal entries, and so the most that are
    in flight at a time; `rate_per_s` is rows a second over the run (`None`: as fast as it goes).
    """

    name: str
    driver: str
    address: str
    port: int | None = None
    credential: str = ''
    host_key: str = ''
    parameters: Mapping[str, Any] = field(default_factory=dict)
    timeout: float = 10.0
    batch_size: int = 100
    rate_per_s: float | None = None


def point_of(hostname: str | None, extras: Mapping[str, Any] | None) -> Point:
    """The point that Nornir handed over. Raises `ConfigurationError`."""
    point = (extras or {}).get('point')
    if not isinstance(point, Point):
        raise ConfigurationError(f'{hostname}: the host has no enforcement point in its connection options')
    return point
