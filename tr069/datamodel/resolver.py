"""Which levers a device has, which would be used, and why. Pure: from a tree to a report to values."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from tr069 import guard
from tr069.cwmp.messages import ParameterValue
from tr069.datamodel.levers import STANDARD
from tr069.datamodel.profiles import GENERIC, DeviceProfile, Direction, Kind, LeverFact, Status, Unit
from tr069.datamodel.tree import TR098, Leaf, Tree, expand, plain, root_of
from tr069.datamodel.values import fits_type
from tr069.errors import NoLeverError


@dataclass(frozen=True, slots=True)
class Lever:
    """One parameter of one device. `chosen` where it would be used; `why` explains either way."""

    kind: Kind
    direction: Direction
    path: str
    unit: Unit
    status: Status
    source: str  # the profile's name, or the data model's
    risk: guard.Risk
    writable: bool | None
    current: str | None
    type: str = ''
    enable: str = ''
    usable: bool = False
    chosen: bool = False
    why: str = ''


@dataclass(frozen=True, slots=True)
class LeverReport:
    """All levers of a device. `root` is its data model; `profile` what it was matched to."""

    root: str
    profile: str
    levers: tuple[Lever, ...]
    boolean_as_number: bool = True

    def chosen(self, kind: Kind, direction: Direction | None = None) -> Lever | None:
        for lever in self.levers:
            if lever.chosen and lever.kind is kind and direction in (None, lever.direction):
                return lever
        return None


def resolve(tree: Tree, profile: DeviceProfile = GENERIC, *, use_unverified: bool = False) -> LeverReport:
    """Find the levers in `tree`. `use_unverified` lets a lever be chosen whose unit or effect is a guess."""
    root = root_of(tree)
    facts = [(profile.name, fact) for fact in profile.levers]
    known = {fact.path for fact in profile.levers}
    facts += [(root, fact) for fact in STANDARD.get(root, ()) if fact.path not in known]
    internet = _internet_connections(tree)
    uplink = _uplink(tree)
    found = [
        _lever(path, source, fact, tree, profile.guard.allow_list, uplink)
        for source, fact in facts
        for path in expand(fact.path, tree)
    ]
    judged = [_judge(lever, profile, internet, tree, use_unverified) for lever in found]
    return LeverReport(root, profile.name, _choose(judged), profile.quirks.boolean_as_number)


def _uplink(tree: Tree) -> frozenset[str]:
    """The interfaces that carry management, each with all that lies below it."""
    values = plain(tree)
    protected = guard.locate_management(values).protected
    return frozenset[str]().union(*(guard.lower_layers(values, wan)[0] for wan in protected))


def _lever(
    path: str, source: str, fact: LeverFact, tree: Tree, allow_list: tuple[str, ...], uplink: frozenset[str]
) -> Lever:
    leaf = tree[path]
    risk = guard.classify(ParameterValue(path, '0' if fact.unit is Unit.SWITCH else '1000'), allow_list)
    enable = _same_instances(fact.enable, path) if fact.enable else ''
    direction = fact.direction
    if (fact.kind in (Kind.SHAPING, Kind.QUEUE) and '.QoS.' in path) or '.QueueManagement.Queue.' in path:
        direction = _side_of(path, tree, uplink) or direction
    return Lever(
        fact.kind, direction, path, fact.unit, fact.status, source, risk, leaf.writable, leaf.value, leaf.type, enable,
        why=fact.note,
    )  # fmt: skip


def _same_instances(pattern: str, path: str) -> str:
    """`pattern` with its `*` filled from `path`: the switch of the very instance."""
    parts = path.split('.')
    return '.'.join(
        parts[index] if part == '*' and index < len(parts) else part for index, part in enumerate(pattern.split('.'))
    )


def _side_of(path: str, tree: Tree, uplink: frozenset[str]) -> Direction | None:
    """A queue or shaper works on the egress of its interface: on the WAN that is upload, on the LAN download."""
    owner = path.rpartition('.')[0]
    bound = next(
        (
            leaf.value
            for name in ('QueueInterface', 'Interface')
            if (leaf := tree.get(f'{owner}.{name}')) and leaf.value
        ),
        '',
    )
    if bound == 'WAN' or 'WANDevice' in bound or 'WAN' in bound.upper().split('_'):
        return Direction.UP
    if bound == 'LAN' or 'LANDevice' in bound or 'LAN' in bound.upper().split('_'):
        return Direction.DOWN
    if bound.startswith('Device.'):
        upstream = tree.get(f'{bound.rstrip(".")}.Upstream')
        if upstream is not None and upstream.value is not None:
            return Direction.UP if guard.truthy(upstream.value) else Direction.DOWN
        if bound.rstrip('.') + '.' in uplink:
            return Direction.UP
    return None


def _internet_connections(tree: Tree) -> frozenset[str]:
    """TR-098: the WAN connections that carry the customer's traffic, as far as the tree says."""
    pattern = re.compile(
        r'(InternetGatewayDevice\.WANDevice\.\d+\.WANConnectionDevice\.\d+\.WAN(?:IP|PPP)Connection\.\d+\.)'
    )
    owners = {found.group(1) for path in tree if (found := pattern.match(path))}

    def value(owner: str, leaf: str) -> str:
        entry = tree.get(owner + leaf)
        return (entry.value or '') if entry else ''

    enabled = {owner for owner in owners if value(owner, 'Enable') == '' or guard.truthy(value(owner, 'Enable'))}
    # Services are set up for more than is in use: where the device says which are connected, only those count.
    connected = {owner for owner in enabled if value(owner, 'ConnectionStatus') == 'Connected'}
    enabled = connected or enabled
    default = tree.get(f'{TR098}.Layer3Forwarding.DefaultConnectionService')
    if default and default.value and default.value.rstrip('.') + '.' in enabled:
        return frozenset((default.value.rstrip('.') + '.',))
    services = {
        owner: ' '.join(
            leaf.value or '' for path, leaf in tree.items() if path.startswith(owner) and 'SERVICELIST' in path.upper()
        )
        for owner in enabled
    }
    named = {owner for owner, text in services.items() if 'INTERNET' in text.upper()}
    if named:
        return frozenset(named)
    return frozenset(enabled)


def _judge(lever: Lever, profile: DeviceProfile, internet: frozenset[str], tree: Tree, use_unverified: bool) -> Lever:
    """Fill in `usable`, and in `why` the reason where it is not."""
    reason = ''
    if any(guard.matches(pattern, lever.path) for pattern in profile.do_not_use):
        reason = 'the profile says not to use it'
    elif lever.writable is False:
        reason = 'the device says it is read-only'
    elif lever.risk in (guard.Risk.UNKNOWN, guard.Risk.FORBIDDEN):
        reason = f"risk to management: {lever.risk}; the guard refuses it unless the model's profile allow-lists it"
    elif lever.risk is guard.Risk.WAN:
        reason = '' if profile.guard.allow_wan_off else 'cuts a WAN; needs the opt-in of the model'
    elif not _can_be_put_back(lever):
        reason = f'it reads {lever.current!r:.40}, which could not be put back'
    elif lever.status is Status.UNVERIFIED and not use_unverified:
        reason = 'unverified: its unit or effect is a guess'
    elif lever.unit is Unit.UNKNOWN:
        reason = 'its unit is not known'
    elif lever.enable and lever.enable not in tree:
        reason = f'its switch {lever.enable} is not there'
    elif lever.kind is Kind.SHAPING and '.WANConnectionDevice.' in lever.path:
        reason = _wrong_wan(lever, internet)
    elif lever.kind in (Kind.QUEUE, Kind.SHAPING) and lever.direction is Direction.NONE:
        reason = 'it is not known which side it shapes'
    why = '; '.join(part for part in (reason, lever.why) if part)
    return replace(lever, usable=not reason, why=why)


def _can_be_put_back(lever: Lever) -> bool:
    """An unset number reads as nothing; once it is set, no CPE takes nothing back."""
    if lever.current is None or lever.unit not in (Unit.BPS, Unit.KBPS, Unit.SWITCH):
        return True
    kind = lever.type or ('xsd:boolean' if lever.unit is Unit.SWITCH else 'xsd:int')
    return fits_type(ParameterValue(lever.path, lever.current, kind))


def _wrong_wan(lever: Lever, internet: frozenset[str]) -> str:
    owner = lever.path.rpartition('.')[0] + '.'
    if owner not in internet:
        return "not the connection that carries the customer's traffic"
    if len(internet) > 1:
        return 'several connections carry traffic and none is the default: it is not known which'
    return ''


_TRUST = (Status.VERIFIED, Status.STANDARD, Status.SEEN, Status.UNVERIFIED)
# Many instances of these are meant to be set together or not at all; none is picked for the caller.
_NEVER_PICKED = (Kind.POLICER, Kind.LAN_OFF, Kind.WIFI_OFF, Kind.WAN_OFF)


def _choose(levers: Sequence[Lever]) -> tuple[Lever, ...]:
    """Mark the best usable lever of each kind and direction: the surest, then the profile's before the standard's."""
    best: dict[tuple[Kind, Direction], Lever] = {}
    for lever in levers:  # profile facts come first, so an equal later one does not replace them
        slot = (lever.kind, lever.direction)
        if not lever.usable or lever.kind in _NEVER_PICKED:
            continue
        if slot not in best or _TRUST.index(lever.status) < _TRUST.index(best[slot].status):
            best[slot] = lever
    picked = {id(lever) for lever in best.values()}
    return tuple(replace(lever, chosen=id(lever) in picked) for lever in levers)


# --- from levers to values --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class LeverPlan:
    """Values to set, and what they do not achieve (`notes`, one sentence each)."""

    values: tuple[ParameterValue, ...]
    notes: tuple[str, ...] = ()


def throttle(report: LeverReport, down_kbps: int, up_kbps: int) -> LeverPlan:
    """Values that limit both directions as far as the device can; a missing direction is a note.

    Raises `NoLeverError` where neither direction has a lever, `ValueError` for a rate below 1 kbit/s.
    """
    if min(down_kbps, up_kbps) < 1:
        raise ValueError(f'rates are at least 1 kbit/s, not {down_kbps}/{up_kbps}')
    values: dict[str, ParameterValue] = {}
    notes = []
    for direction, kbps in ((Direction.UP, up_kbps), (Direction.DOWN, down_kbps)):
        lever = _rate_lever(report, direction)
        if lever is None:
            notes.append(f'no lever limits {direction}load')
            continue
        if lever.direction is Direction.BOTH:
            kbps = max(down_kbps, up_kbps) if lever.path not in values else int(values[lever.path].value)
            notes.append(f'{lever.path} limits both directions with one rate')
        values.update((item.name, item) for item in _switched_on(report, lever))
        values[lever.path] = ParameterValue(lever.path, _rate(lever, kbps), lever.type or 'xsd:unsignedInt')
    if not values:
        raise NoLeverError('the device has no lever that limits a rate; `tr069-acs levers DEVICE` shows what it has')
    return LeverPlan(tuple(values.values()), tuple(dict.fromkeys(notes)))


def _rate_lever(report: LeverReport, direction: Direction) -> Lever | None:
    for kind in (Kind.SHAPING, Kind.QUEUE):
        for wanted in (direction, Direction.BOTH):
            lever = report.chosen(kind, wanted)
            if lever is not None:
                return lever
    return None


def _rate(lever: Lever, kbps: int) -> str:
    """bit/s, or kbit/s where the profile says so. 1 kbit/s is 1000: never within ShapingRate's percent range."""
    return str(kbps * 1000 if lever.unit is Unit.BPS else kbps)


def _switched_on(report: LeverReport, lever: Lever) -> tuple[ParameterValue, ...]:
    if not lever.enable:
        return ()
    return (ParameterValue(lever.enable, '1' if report.boolean_as_number else 'true', 'xsd:boolean'),)


def captive_portal(report: LeverReport, url: str) -> LeverPlan:
    """Values that send plain HTTP to `url`. Raises `NoLeverError` where the device has no captive portal."""
    lever = report.chosen(Kind.CAPTIVE_PORTAL)
    if lever is None:
        raise NoLeverError('the device has no captive portal that may be used')
    return LeverPlan(
        (*_switched_on(report, lever), ParameterValue(lever.path, url, 'xsd:string')),
        ('a captive portal catches plain HTTP only',),
    )


def wan_off(report: LeverReport) -> LeverPlan:
    """Values that switch the customer's WAN connection off. Whether management survives that is the guard's to say.

    Raises `NoLeverError` unless the model's profile allows it and the tree shows which one connection it is.
    """
    carrying = {lever.path.rpartition('.')[0] for lever in report.levers if lever.kind is Kind.SHAPING and lever.usable}
    off = [
        lever
        for lever in report.levers
        if lever.kind is Kind.WAN_OFF and lever.usable and lever.path.rpartition('.')[0] in carrying
    ]
    if len(off) != 1:
        raise NoLeverError(
            f"{len(off)} connections of the device may be switched off: the model's profile must allow it "
            "(guard.allow_wan_off), and the tree must show which one carries the customer's traffic"
        )
    value = '0' if report.boolean_as_number else 'false'
    return LeverPlan((ParameterValue(off[0].path, value, 'xsd:boolean'),))


def as_tree(values: Sequence[ParameterValue], writable: dict[str, bool] | None = None) -> dict[str, Leaf]:
    """A tree from values read off a device, with what a GetParameterNames said of writing."""
    known = writable or {}
    tree = {item.name: Leaf(item.value, item.type, known.get(item.name)) for item in values}
    for path, may_write in known.items():
        if path not in tree and not path.endswith('.'):
            tree[path] = Leaf(None, '', may_write)
    return tree
