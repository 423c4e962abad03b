"""Whose a name is on a RouterOS router: ours, by the parameters of today and of when a restriction was taken, or
another's. No I/O.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from nornir_tasks.drivers.routeros.box import Profile
from nornir_tasks.drivers.routeros.parameters import RouterOSLine, RouterOSPoint

DISABLED = 'secret disabled'
DEFAULTS = RouterOSPoint.model_validate({})


@dataclass(frozen=True, slots=True)
class Names:
    """Of one line. `lists` are ours, today's first; a name of ours is never another's. What a person adopted of
    another's (`AccessTarget.restricted`) counts as ours.
    """

    lists: tuple[str, ...]
    blocked: frozenset[str]
    throttled: frozenset[str]
    foreign_lists: frozenset[str]
    foreign_profiles: frozenset[str]
    enables: bool = False  # that the secret is disabled is ours

    @classmethod
    def of(cls, point: RouterOSPoint, line: RouterOSLine, restricted: Mapping[str, Any]) -> Self:
        lists, blocked = [point.restricted_list], {point.blocked_profile}
        throttled = {line.throttled_profile or point.throttled_profile}
        if 'point' in restricted:
            then = restricted['point'] or {}
            lists.append(str(then.get('restricted_list', DEFAULTS.restricted_list)))
            blocked.add(str(then.get('blocked_profile', DEFAULTS.blocked_profile)))
            throttled.add(str(then.get('throttled_profile', '')))
        throttled.add(str((restricted.get('line') or {}).get('throttled_profile', '')))
        adopted = [str(name) for name in restricted.get('foreign') or ()]
        lists += [name.removeprefix('list ') for name in adopted if name.startswith('list ')]
        blocked |= {name.removeprefix('profile ') for name in adopted if name.startswith('profile ')}
        return cls(
            tuple(dict.fromkeys(lists)),
            frozenset(blocked),
            frozenset(throttled - {''}),
            frozenset(name.casefold() for name in point.foreign_lists),
            frozenset(name.casefold() for name in point.foreign_profiles),
            DISABLED in adopted,
        )

    def is_foreign_list(self, name: str) -> bool:
        return name not in self.lists and name.casefold() in self.foreign_lists

    def is_foreign_profile(self, profile: Profile) -> bool:
        """By its name, or by the list that it fills."""
        if profile.name in self.blocked | self.throttled or profile.address_list in self.lists:
            return False
        return profile.name.casefold() in self.foreign_profiles or self.is_foreign_list(profile.address_list)

    def is_restricting(self, profile: Profile) -> bool:
        """Whether members of the profile are blocked by us."""
        return profile.name in self.blocked or profile.address_list in self.lists
