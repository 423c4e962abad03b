"""What an ACS is asked to keep at a CPE, in two layers that come and go by themselves. Pure.

An ACS keeps one profile a device. A mass update and a line's restriction both want to be in it, and neither may undo
the other: so the profile is the sum of both layers, and its note says which is which.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from nornir_tasks.change import AccessChange, AccessState, CpeValue, Mode, Reading, ValueSet
from tr069.client import ProfileStatus, ProvisioningState, ValueProfile
from tr069.cwmp.messages import ParameterValue
from tr069.datamodel import resolver
from tr069.datamodel.profiles import Kind
from tr069.datamodel.values import same

PROFILE = 'netbox'
GAVE_UP = (ProvisioningState.FAILED, ProvisioningState.REFUSED, ProvisioningState.QUARANTINED)
UNDER_WAY = (ProvisioningState.PENDING, ProvisioningState.SENDING, ProvisioningState.SENT)


class DesiredError(Exception):
    """This row cannot be done, for a reason that concerns it alone."""


@dataclass(frozen=True, slots=True)
class Desired:
    """`levers` are the values that bring `access` about; `kept` those of profile runs. A lever wins over a kept one."""

    access: AccessState = field(default_factory=AccessState.normal)
    levers: tuple[CpeValue, ...] = ()
    kept: tuple[CpeValue, ...] = ()
    note: str = field(default='', compare=False)  # for whoever asked; the ACS does not get it

    def as_detail(self) -> dict[str, Any]:
        """`Reading.detail`; `from_detail` is its inverse."""
        return {
            'access': self.access.as_dict(),
            'levers': ValueSet(self.levers).as_dict()['values'],
            'kept': ValueSet(self.kept).as_dict()['values'],
        }

    @classmethod
    def from_detail(cls, detail: Mapping[str, Any]) -> Desired:
        """An empty detail is the device as nobody ever changed it. Raises `DesiredError`."""
        if not detail:
            return cls()
        if 'unreadable' in detail:
            raise DesiredError(detail['unreadable'])
        if 'theirs' in detail:
            raise DesiredError(
                f'the ACS keeps a profile "{detail["theirs"]}" of somebody else on this device, and one profile a '
                'device: restore it there first'
            )
        try:
            return cls(
                AccessState.from_dict(detail['access']),
                tuple(CpeValue(*item) for item in detail['levers']),
                tuple(CpeValue(*item) for item in detail['kept']),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise DesiredError(f'what was recorded of it cannot be read: {error}') from error

    @classmethod
    def of(cls, status: ProfileStatus) -> Desired:
        """What the ACS keeps at the device. Raises `DesiredError` where that is somebody else's doing."""
        if status.state is ProvisioningState.NONE or status.restoring:
            return cls()
        if is_theirs(status):
            return cls.from_detail({'theirs': status.profile})
        try:
            return cls.from_detail(json.loads(status.note))
        except ValueError as error:
            raise DesiredError(f'the note on its profile at the ACS cannot be read: {error}') from error

    def profile(self) -> ValueProfile | None:
        """What to ask of the ACS; `None` where nothing is asked any more, so that all is put back."""
        levers = {item.name for item in self.levers}
        values = (*self.levers, *(item for item in self.kept if item.name not in levers))
        if not values:
            return None
        note = json.dumps(self.as_detail(), sort_keys=True)
        # The CPE carries the revision as its ParameterKey, where its owner may see it: it says nothing.
        revision = f'nb-{hashlib.sha256(note.encode()).hexdigest()[:24]}'
        return ValueProfile(PROFILE, revision, tuple(map(as_parameter, values)), note)

    def state(self, values: tuple[CpeValue, ...]) -> AccessState | ValueSet:
        """What a line's row compares with: its access, or which of the row's `values` are kept."""
        return ValueSet(tuple(item for item in values if item in self.kept)) if values else self.access

    @classmethod
    def before(cls, change: AccessChange[Any], detail: Mapping[str, Any]) -> Desired:
        """What a row starts from. What was recorded is not needed to put everything back. Raises `DesiredError`."""
        is_return = not isinstance(change.desired, ValueSet) and change.desired == AccessState.normal()
        return cls() if is_return and 'unreadable' in detail else cls.from_detail(detail)

    def after(self, change: AccessChange[Any], levers: tuple[CpeValue, ...] = ()) -> Desired:
        """This, with the row's change in it. `levers` are for a restricted state. Raises `DesiredError`."""
        earlier = Desired.from_detail(change.exact)
        if not isinstance(change.desired, ValueSet):
            # A return is to the earlier access and no further: a mass update that came since stays.
            if change.exact:
                return replace(self, access=earlier.access, levers=earlier.levers)
            return replace(self, access=change.desired, levers=levers)
        names = {item.name for item in change.target.values}
        held = sorted(names & {item.name for item in self.levers})
        if held:
            raise DesiredError(f"{held[0]} holds the line's present limit: change it when the line is normal")
        # And neither may a mass update that is undone bring a restriction back that was lifted since.
        wanted = tuple(item for item in earlier.kept if item.name in names) if change.exact else change.desired.values
        kept = (*(item for item in self.kept if item.name not in names), *wanted)
        return replace(self, kept=tuple(sorted(kept, key=lambda item: item.name)))

    def without_kept(self, reason: str) -> Desired:
        """What is asked where profile runs' values, upon which the ACS gave up, would hold up the way back."""
        if not self.kept:
            return self
        names = ', '.join(item.name for item in self.kept)
        return replace(self, kept=(), note=f'no longer kept, since the ACS gave up on it: {names} ({reason})')

    def gives_back(self, change: AccessChange[Any]) -> bool:
        """True where the row gives a line access, or all of it."""
        if isinstance(change.desired, ValueSet):
            return False
        desired: AccessState = change.desired
        return desired.mode is Mode.NORMAL or self.access.is_more_restrictive_than(desired)

    def is_less_restrictive_than(self, change: AccessChange[Any]) -> bool:
        """True where the row takes access away, or asks for values: where going back to this gives back."""
        if isinstance(change.desired, ValueSet):
            return bool(change.desired.values)
        desired: AccessState = change.desired
        return desired.is_more_restrictive_than(self.access)


def is_theirs(status: ProfileStatus) -> bool:
    """Whether the ACS keeps a profile at the device that is not ours: it is shown, and left alone."""
    nothing = status.state is ProvisioningState.NONE or status.restoring
    return not nothing and status.profile != PROFILE


def as_parameter(item: CpeValue) -> ParameterValue:
    return ParameterValue(item.name, item.value, item.type)


def levers_for(
    report: resolver.LeverReport, wanted: AccessState, *, portal_url: str, block_kbps: int, one_sided: bool, cut: bool
) -> tuple[CpeValue, ...]:
    """The values that bring `wanted` (throttled or blocked) about. Raises `NoLeverError`, `DesiredError`.

    A block shapes to `block_kbps` both ways, and leads to the portal where there is one. Only with `cut` is the
    customer's WAN switched off, and then the ACS's guard has the last word.
    """
    if wanted.mode is Mode.BLOCKED and cut:
        return _values(resolver.wan_off(report))
    down, up = wanted.down_kbps or block_kbps, wanted.up_kbps or block_kbps
    plan = resolver.throttle(report, down, up)
    untouched = [note for note in plan.notes if note.startswith('no lever')]
    if untouched and not one_sided:
        raise DesiredError(f'{untouched[0]} on this device; the point\'s "one_sided" accepts that')
    values = _values(plan)
    if wanted.mode is Mode.BLOCKED and portal_url and report.chosen(Kind.CAPTIVE_PORTAL):
        values += _values(resolver.captive_portal(report, portal_url))
    return values


def _values(plan: resolver.LeverPlan) -> tuple[CpeValue, ...]:
    return tuple(CpeValue(item.name, item.value, item.type) for item in plan.values)


# --- how a device is ------------------------------------------------------------------------------------------------


def reading_of(status: ProfileStatus, values: tuple[CpeValue, ...]) -> Reading[Any]:
    """What the ACS says of a device. Stored is what it keeps at the device, live what it has read back from there.

    A device that has not come, or whose set is not verified yet, has no live state. Raises `DesiredError`.
    """
    if is_theirs(status):  # our own part of it is nothing, and so is what we would have to give back
        ours = Desired().state(values)
        return Reading(ours, ours, {'theirs': status.profile}, foreign=(f'profile "{status.profile}" at the ACS',))
    try:
        desired = Desired.of(status)
    except DesiredError as error:  # its note is no note of ours: what it means is not known, but all can be put back
        return Reading(detail={'unreadable': str(error)})
    state, detail = desired.state(values), desired.as_detail()
    if values:
        detail['asked'] = ValueSet(values).as_dict()['values']
    if status.state in UNDER_WAY:
        return Reading(state, None, detail)
    if status.state not in GAVE_UP:
        return Reading(state, state, detail)
    detail['gave_up'] = status.message or str(status.state)
    if status.before:
        return Reading(detail=detail)  # only the device itself can tell
    was = Desired().state(values)  # it was never sent anything
    return Reading(was, was, detail)


def names_to_read(status: ProfileStatus) -> tuple[str, ...]:
    """Parameters to read from a device that the ACS gave up on, to tell how it is; none where that is known."""
    return tuple(item.name for item in status.before) if status.state in GAVE_UP else ()


def found_state(
    status: ProfileStatus, found: Mapping[str, ParameterValue], values: tuple[CpeValue, ...]
) -> AccessState | ValueSet | None:
    """What a device that the ACS gave up on turned out to be: as before, or as asked; `None`: neither."""
    desired = Desired.of(status)
    # Of a line without a limit it is all that was changed, but for what profile runs keep.
    kept = set() if values else {item.name for item in desired.kept}
    about = {item.name for item in values or desired.levers} or {item.name for item in status.before} - kept
    if _holds((item for item in status.before if item.name in about), found):
        return Desired().state(values)
    asked = values or desired.levers
    if asked and _holds(map(as_parameter, asked), found):
        return ValueSet(values) if values else desired.access
    return None


def _holds(wanted: Iterable[ParameterValue], found: Mapping[str, ParameterValue]) -> bool:
    wanted = list(wanted)
    return bool(wanted) and all(item.name in found and same(item, found[item.name]) for item in wanted)
