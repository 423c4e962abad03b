"""GenieACS 1.2 as an enforcement point: many devices by tag, preset and provision, a few urgent ones also by task."""

from __future__ import annotations

from typing import ClassVar

from nornir_tasks.drivers.acs.driver import AcsDriver


class GenieAcsDriver(AcsDriver):
    """See `AcsDriver`. The NBI has no login of its own: the credential is the proxy's before it."""

    name: ClassVar[str] = 'genieacs'
