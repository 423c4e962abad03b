"""What decides about a line on RouterOS: parameters of the router and of the plan, and the box's profiles. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from nornir_tasks.change import AccessState, AccessTarget
from nornir_tasks.drivers.routeros.box import Profile, Rates, parse_rates
from nornir_tasks.drivers.routeros.names import Names
from nornir_tasks.drivers.routeros.parameters import RouterOSLine, RouterOSPoint

# Of a throttled line whose rate cannot be read: it must not pass for anything that was asked for.
SLOWEST = AccessState.throttled(1, 1)


class RefusedError(Exception):
    """The change is not sent; `str()` says why and what to do."""


@dataclass(frozen=True, slots=True)
class RouterLine:
    """A line with all that decides: its parameters, whose names are whose, and the box's profiles."""

    target: AccessTarget
    own: RouterOSLine
    point: RouterOSPoint
    profiles: Mapping[str, Profile]
    names: Names = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, 'names', Names.of(self.point, self.own, self.target.restricted))

    @property
    def throttled_name(self) -> str:
        return self.own.throttled_profile or self.point.throttled_profile

    @property
    def after(self) -> Mapping[str, Any]:
        """What was read back of the restriction that is open."""
        return self.target.restricted.get('after') or {}

    @property
    def normal_profile(self) -> str:
        """The profile of better days: the recorded one, else the plan's; empty where the box has neither."""
        for name in (self.target.baseline.get('profile', ''), self.own.profile):
            profile = self.profiles.get(name)
            if profile and self.may_be_normal(profile):
                return str(name)
        return ''

    def may_be_normal(self, profile: Profile) -> bool:
        restricts = self.names.is_restricting(profile) or profile.name in self.names.throttled
        return not restricts and not self.names.is_foreign_profile(profile)

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

    def generated_name(self, base: str, rates: Rates) -> str:
        return f'{base}-{rates.down}k-{rates.up}k'

    def profile_state(self, name: str) -> AccessState:
        """Our part of what a profile gives: normal for another's."""
        profile = self.profiles.get(name) or Profile(name, None, '')
        if self.names.is_restricting(profile):
            return AccessState.blocked()
        if self.names.is_foreign_profile(profile):
            return AccessState.normal()
        rates = profile.rates
        if name in self.names.throttled or self._was_put(name):
            return rates.throttled() if rates else SLOWEST
        if rates is None or name == self.own.profile:
            return AccessState.normal()
        if self.point.create_profiles and name == self.generated_name(self.normal_profile, rates):
            return rates.throttled()
        return self.rate_state(rates)

    def _was_put(self, name: str) -> bool:
        """Whether we put the line there: it was read back so, and what it had before is another."""
        before = self.target.baseline.get('profile')
        return bool(before) and name not in (before, self.own.profile) and name == self.after.get('profile')

    def foreign_rates(self, rates: Rates | None) -> bool:
        """Whether a session so shaped came up in another's profile."""
        if rates is None:
            return False
        alike = [profile for profile in self.profiles.values() if profile.rates == rates]
        return bool(alike) and all(self.names.is_foreign_profile(profile) for profile in alike)

    def rate_state(self, rates: Rates | None) -> AccessState:
        normal = self.normal_rates
        if rates is not None and normal is not None and rates.is_slower_than(normal):
            return rates.throttled()
        return AccessState.normal()

    def session_state(self, rates: Rates | None, stored: AccessState) -> AccessState:
        """What a session's own (dynamic) queue gives it, as far as it is our doing."""
        if rates is None or self.foreign_rates(rates):
            return AccessState.normal()
        throttled = [self.profiles[name].rates for name in self.names.throttled if name in self.profiles]
        if rates.throttled() == stored or rates in throttled:
            return rates.throttled()
        return self.rate_state(rates)

    @property
    def own_queue_name(self) -> str:
        """The simple queue that `manage_queues` adds for a line without PPP."""
        return f'nbd-{self.target.ipv4}'
