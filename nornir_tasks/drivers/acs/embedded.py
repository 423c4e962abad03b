"""The embedded ACS of `tr069` (`tr069-acs serve`) as an enforcement point."""

from __future__ import annotations

from typing import ClassVar

from nornir_tasks.drivers.acs.driver import AcsDriver


class EmbeddedAcsDriver(AcsDriver):
    """See `nornir_tasks.drivers.acs.driver`."""

    name: ClassVar[str] = 'acs_embedded'
