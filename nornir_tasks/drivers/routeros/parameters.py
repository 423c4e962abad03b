"""Parameters of a RouterOS router and of a plan or line there. No I/O."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from nornir_tasks.drivers.base import Driver, SSHPointParameters
from nornir_tasks.drivers.usual_names import USUAL_NAMES

# A name that a console would act upon instead of taking it as text is refused at the border.
Name = Annotated[str, Field(pattern=r'^[^\x00-\x1f\x7f-\x9f\u2028\u2029]*$')]


class RouterOSPoint(SSHPointParameters):
    """Parameters of a RouterOS router."""

    restricted_list: Name = Field(
        'nbd-restricted', description='Address list that the firewall sends to the notice page'
    )
    blocked_profile: Name = Field('nbd-restricted', description='PPP profile with that address list')
    throttled_profile: Name = Field('', description='PPP profile of throttled lines whose plan names none')
    foreign_lists: tuple[Name, ...] = Field(
        USUAL_NAMES,
        description='Address lists by which somebody else (an ERP) restricts: shown, never touched, never normal',
    )
    foreign_profiles: tuple[Name, ...] = Field(
        USUAL_NAMES, description='PPP profiles by which somebody else restricts, as `foreign_lists`'
    )
    create_profiles: bool = Field(False, description="Add a profile per rate (copied from the plan's) where none fits")
    manage_queues: bool = Field(False, description='Add a simple queue to throttle a line without PPP that has none')
    block_session: Literal['auto', 'address-list', 'reconnect'] = Field(
        'auto',
        description='How a session is blocked: listed, or dropped to come back in the blocked profile. "auto" lists '
        "only addresses fixed in the secret: a pool's address may be a neighbour's tomorrow",
    )
    entry_timeout: str = Field(
        '',
        pattern=r'^(\d+[wdhms])*$',
        description='Life of a listed pool address, such as 1h; needed with "address-list"',
    )
    flush_connections: bool = Field(True, description='Forget tracked connections of a line being blocked (fasttrack)')
    ipv6: bool = Field(True, description='Also list the IPv6 prefix of lines that have one')
    portal_ipv4: IPv4Address | None = Field(None, description='Where blocked lines see the notice page (`prepare`)')
    portal_ipv6: IPv6Address | None = Field(None, description='The same for IPv6 (`prepare`)')
    portal_port: int = Field(80, ge=1, le=65535, description='TCP port of the notice page (`prepare`)')

    @model_validator(mode='after')
    def _pool_addresses_are_listed_for_a_while_only(self) -> Self:
        if self.block_session == 'address-list' and not self.entry_timeout:
            raise ValueError('"address-list" needs entry_timeout, such as 1h: a pool\'s address gets a new owner')
        return self


class RouterOSLine(Driver.LineParameters):
    """Parameters of a plan or line on RouterOS."""

    profile: Name = Field('', description='PPP profile of the plan when all is normal')
    throttled_profile: Name = Field('', description='PPP profile of the plan when throttled')
    queue: Name = Field('', description="Name of the line's own simple queue, where its target does not tell")
