"""What decides about a line on RouterOS: parameters of the router and of the plan, and the box's profiles. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from nornir_tasks.change import AccessState, AccessTarget
from nornir_tasks.drivers.base import Driver, SSHPointParameters
from nornir_tasks.drivers.routeros.box import Profile, Rates, parse_rates

# A name that a console would act upon instead of taking it as text is refused at the border.
Name = Annotated[str, Field(pattern=r'^[^\x00-\x1f\x7f-\x9f\u2028\u2029]*$')]


class RouterOSPoint(SSHPointParameters):
    """Parameters of a RouterOS router."""

    restricted_list: Name = Field(
        'nbd-restricted', description='Address list that the firewall sends to the notice page'
    )
    blocked_profile: Name = Field('nbd-restricted', description='PPP profile with that address list')
    throttled_profile: Name = Field('', description='PPP profile of throttled lines whose plan names none')
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


class RefusedError(Exception):
    """The change is not sent; `str()` says why and what to do."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line with all that decides: its parameters and the box's profiles."""

    target: AccessTarget
    own: RouterOSLine
    point: RouterOSPoint
    profiles: Mapping[str, Profile]

    @property
    def throttled_name(self) -> str:
        return self.own.throttled_profile or self.point.throttled_profile

    @property
    def normal_profile(self) -> str:
        """The profile of better days: the recorded one, else the plan's; empty where the box has neither."""
        for name in (self.target.baseline.get('profile', ''), self.own.profile):
            profile = self.profiles.get(name)
            if profile and not self.is_restricting(profile) and name != self.throttled_name:
                return str(name)
        return ''

    @property
    def normal_rates(self) -> Rates | None:
        """What the line is meant to have; None where nothing says."""
        if (profile := self.profiles.get(self.normal_profile)) and profile.rates:
            return profile.rates
        if recorded := self.target.baseline.get('queue'):
            return parse_rates(recorded['limits']['max-limit'])
        if self.target.down_kbps and self.target.up_kbps:
            return Rates(self.target.down_kbps, self.target.up_kbps)
        return None

    @property
    def throttles_by_queue(self) -> bool:
        """A line with a static queue and no throttled profile: the queue is what is stored, too."""
        return not self.throttled_name and not self.point.create_profiles

    def is_restricting(self, profile: Profile) -> bool:
        return profile.name == self.point.blocked_profile or profile.address_list == self.point.restricted_list

    def generated_name(self, base: str, rates: Rates) -> str:
        return f'{base}-{rates.down}k-{rates.up}k'

    def profile_state(self, name: str) -> AccessState:
        profile = self.profiles.get(name) or Profile(name, None, '')
        if self.is_restricting(profile):
            return AccessState.blocked()
        rates = profile.rates
        if rates is None or (name == self.own.profile and name != self.throttled_name):
            return AccessState.normal()
        generated = self.point.create_profiles and name == self.generated_name(self.normal_profile, rates)
        if name == self.throttled_name or generated:
            return rates.throttled()
        return self.rate_state(rates)

    def rate_state(self, rates: Rates | None) -> AccessState:
        normal = self.normal_rates
        if rates is not None and normal is not None and rates.is_slower_than(normal):
            return rates.throttled()
        return AccessState.normal()

    def session_state(self, rates: Rates | None, stored: AccessState) -> AccessState:
        """What a session's own (dynamic) queue gives it."""
        if rates is None:
            return AccessState.normal()
        throttled = self.profiles.get(self.throttled_name)
        if rates.throttled() == stored or (throttled and rates == throttled.rates):
            return rates.throttled()
        return self.rate_state(rates)

    @property
    def own_queue_name(self) -> str:
        """The simple queue that `manage_queues` adds for a line without PPP."""
        return f'nbd-{self.target.ipv4}'
