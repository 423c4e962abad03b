"""Never cut the WAN that carries management.

TR-069 has no commit-confirm: a CPE whose management WAN goes down cannot be asked to bring it back. So every value is
classified by its path, whatever may touch a WAN or a LAN is judged against a *fresh* read of the device, and what
cannot be proven harmless is refused.

All functions are pure. `tree` is a fresh `path → value` read of (at least) what `reads_needed` asks for.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from ipaddress import ip_address
from urllib.parse import urlsplit

from tr069.cwmp.messages import ParameterValue


class Risk(StrEnum):
    LOW = 'low'  # cannot touch the management session
    LAN = 'lan'  # cuts the LAN side: harmless where management is proven to be on a WAN
    WAN = 'wan'  # may cut a WAN: proof, the model's opt-in and a canary are needed
    UNKNOWN = 'unknown'  # nobody knows: refused, unless the model's profile allow-lists the path
    FORBIDDEN = 'forbidden'  # never, on any model


class Canary(StrEnum):
    """How the first WAN change on this model and firmware went."""

    NONE = 'none'  # none yet: the next device is it
    WAITING = 'waiting'  # it has been changed and has not informed since
    INFORMED = 'informed'  # it came back: the others may follow
    LOST = 'lost'  # it came back by a factory reset only: nobody follows


@dataclass(frozen=True, slots=True)
class ModelPolicy:
    """What the model's profile allows. `allow_list`: path patterns (`*` for an instance) known to spare management."""

    allow_wan_off: bool = False
    canary: Canary = Canary.NONE
    allow_list: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class GuardVerdict:
    """`reason` says why not, or why. `is_canary`: the caller must record this device as the model's canary."""

    allowed: bool
    reason: str
    is_canary: bool = False


def truthy(value: str) -> bool:
    """For reading a tree, where devices have words of their own for it."""
    return value.strip().lower() in ('1', 'true', 'enabled', 'up')


def _turns_on(value: str) -> bool:
    """For judging what is about to be set: `up` is no `xsd:boolean`, so a CPE or GenieACS may take it for off."""
    return value.strip().lower() in ('1', 'true')


# --- what a path can do -----------------------------------------------------------------------------------------------

_I = r'\d+'
_WAN98 = rf'WANDevice\.{_I}\.WANConnectionDevice\.{_I}\.WAN(?:IP|PPP)Connection\.{_I}'
_FORBIDDEN = re.compile(
    r'.*EnabledForInternet$'
    r'|ManagementServer\.(?!PeriodicInform(?:Interval|Time|Enable)$).*'
    r'|.*\.(?:FactoryReset|Reboot)$'
)
_LOW = re.compile(
    rf'{_WAN98}\.Shaping(?:Rate|BurstSize)'
    r'|(?:QueueManagement|QoS|CaptivePortal|Time|UserInterface|Services)\..+'
    r'|DeviceInfo\.ProvisioningCode'
    r'|ManagementServer\.PeriodicInform(?:Interval|Time|Enable)'
    rf'|LANDevice\.{_I}\.LANHostConfigManagement\.DNSServers'
    rf'|LANDevice\.{_I}\.WLANConfiguration\.{_I}\.(?!Enable$|RadioEnabled$).+'
    rf'|DHCPv4\.Server\.Pool\.{_I}\.DNSServers'
    rf'|WiFi\.(?:SSID\.{_I}\.SSID|AccessPoint\.{_I}\..+)'
)
_LAN = re.compile(
    rf'LANDevice\.{_I}\.(?:LANEthernetInterfaceConfig|WLANConfiguration)\.{_I}\.(?:Enable|RadioEnabled)'
    rf'|WiFi\.(?:SSID|Radio)\.{_I}\.Enable'
    rf'|Ethernet\.Interface\.{_I}\.Enable'
)
_WAN = re.compile(r'WANDevice\..+|(?:IP|PPP|Ethernet|Optical|DSL|ATM|PTM|Cellular)\..+')
_OFF_IS_FATAL = re.compile(r'.*EnabledForInternet$|ManagementServer\.(?:PeriodicInformEnable|EnableCWMP)$')
_PERCENT_OR_RATE = re.compile(r'.*\.ShapingRate$')
_RATE = re.compile(r'.*\.(?:Shaping|Committed|Peak)Rate$')
_LEAST_RATE = 8000  # bit/s: below it a session of management does not get through
_INTERVAL = re.compile(r'.*\.ManagementServer\.PeriodicInformInterval$')
_INTERVALS = range(30, 24 * 3600 + 1)  # seconds: more often floods the ACS, less often and nothing reaches the device


def split_root(path: str) -> tuple[str, str]:
    """`('InternetGatewayDevice', 'WANDevice.1…')`; the root is empty for a path of neither data model."""
    root, _, rest = path.partition('.')
    return (root, rest) if root in ('InternetGatewayDevice', 'Device') else ('', path)


def matches(pattern: str, path: str) -> bool:
    """`pattern` with `*` for one path segment; a pattern ending in a dot covers everything below."""
    return _compiled(pattern).fullmatch(path) is not None


@lru_cache(1024)
def _compiled(pattern: str) -> re.Pattern[str]:
    segments = r'\.'.join('[^.]+' if part == '*' else re.escape(part) for part in pattern.rstrip('.').split('.'))
    return re.compile(segments + (r'\..+' if pattern.endswith('.') else ''))


def classify(item: ParameterValue, allow_list: Sequence[str] = ()) -> Risk:
    """What setting this value may do, judged by its path (and, for on/off leaves, its value)."""
    root, rest = split_root(item.name)
    if not root:
        return Risk.UNKNOWN
    if _OFF_IS_FATAL.fullmatch(rest):
        return Risk.LOW if _turns_on(item.value) else Risk.FORBIDDEN
    if _FORBIDDEN.fullmatch(rest):
        return Risk.FORBIDDEN
    if _LOW.fullmatch(rest):
        return Risk.LOW
    if _LAN.fullmatch(rest):
        return Risk.LOW if _turns_on(item.value) else Risk.LAN
    if _WAN.fullmatch(rest):
        # Bringing an interface up cuts nothing; and a restore must never wait for a proof.
        return Risk.LOW if rest.endswith('.Enable') and _turns_on(item.value) else Risk.WAN
    if any(matches(pattern, item.name) for pattern in allow_list):
        return Risk.LOW
    return Risk.UNKNOWN


def reads_needed(values: Iterable[ParameterValue], allow_list: Sequence[str] = ()) -> tuple[str, ...]:
    """Paths (partial ones end in a dot) that must be read freshly before `judge`; none where no risk calls for it."""
    risky = [item for item in values if classify(item, allow_list) in (Risk.WAN, Risk.LAN)]
    if not risky:
        return ()
    if split_root(risky[0].name)[0] == 'InternetGatewayDevice':
        return (
            'InternetGatewayDevice.ManagementServer.ConnectionRequestURL',
            'InternetGatewayDevice.Layer3Forwarding.DefaultConnectionService',
            'InternetGatewayDevice.WANDevice.',
        )
    return (
        'Device.ManagementServer.ConnectionRequestURL',
        'Device.IP.Interface.',
        'Device.PPP.Interface.',
        'Device.Ethernet.',
        'Device.Routing.Router.',
    )


# --- where management is ----------------------------------------------------------------------------------------------

_CONNECTION = re.compile(rf'(InternetGatewayDevice\.{_WAN98}\.)(.+)')
_INTERFACE = re.compile(rf'(Device\.(?:IP|PPP)\.Interface\.{_I}\.)(.+)')
_MANAGEMENT_NAME = re.compile(r'TR-?069|MGMT|MANAGE', re.IGNORECASE)
_SERVICE_LEAF = re.compile(r'Name|Alias|X_.*(?:ServiceList|SERVICELIST|ExServiceList)', re.IGNORECASE)
_ADDRESS_LEAF = re.compile(rf'ExternalIPAddress|IPv4Address\.{_I}\.IPAddress|IPv6Address\.{_I}\.IPAddress')
_LOWERMOST = re.compile(rf'Device\.(?:Ethernet\.Interface|Optical\.Interface|DSL\.Line|Cellular\.Interface)\.{_I}')


@dataclass(frozen=True, slots=True)
class Management:
    """`protected`: every object management may ride on, by any sign. `proven`: those whose address says so."""

    protected: frozenset[str]
    proven: frozenset[str]


def locate_management(tree: Mapping[str, str], source_address: str = '') -> Management:
    """Find the WANs that carry, or may carry, management.

    Addresses are proof: the ConnectionRequestURL's host, or the session's source address where no NAT lies between.
    A service list, a name, or being the default connection is only a reason to keep off.
    """
    request_url = next((value for path, value in tree.items() if path.endswith('.ConnectionRequestURL')), '')
    addresses = {_canonical(address) for address in (_host(request_url), source_address) if address}
    protected: set[str] = set()
    proven: set[str] = set()
    for path, value in tree.items():
        found = _CONNECTION.fullmatch(path) or _INTERFACE.fullmatch(path)
        if found is None or not value:
            continue
        owner, leaf = found.groups()
        if _ADDRESS_LEAF.fullmatch(leaf) and _canonical(value) in addresses:
            proven.add(owner)
        elif _SERVICE_LEAF.fullmatch(leaf) and _MANAGEMENT_NAME.search(value):
            protected.add(owner)
    protected |= proven | _default_connections(tree)
    return Management(frozenset(protected), frozenset(proven))


def _canonical(address: str) -> str:
    """One spelling for each address: IPv6 has many."""
    try:
        return str(ip_address(address))
    except ValueError:
        return address


def _host(url: str) -> str:
    try:
        return urlsplit(url).hostname or ''
    except ValueError:
        return ''


def _default_connections(tree: Mapping[str, str]) -> set[str]:
    default = tree.get('InternetGatewayDevice.Layer3Forwarding.DefaultConnectionService', '').rstrip('.')
    found = {default + '.'} if default else set()
    for path, value in tree.items():
        # TR-181: the forwarding entry without a destination is the default route.
        if re.fullmatch(rf'Device\.Routing\.Router\.{_I}\.IPv4Forwarding\.{_I}\.Interface', path) and value:
            destination = tree.get(path.removesuffix('Interface') + 'DestIPAddress', '')
            if destination in ('', '0.0.0.0'):
                found.add(value.rstrip('.') + '.')
    return found


def scope_of(path: str) -> str:
    """The object a leaf governs: everything at or below it may go down when the leaf changes."""
    for pattern in (
        rf'InternetGatewayDevice\.{_WAN98}\.',
        rf'InternetGatewayDevice\.WANDevice\.{_I}\.WANConnectionDevice\.{_I}\.',
        rf'InternetGatewayDevice\.(?:WAN|LAN)Device\.{_I}\.',
        rf'Device\.\w+\.\w+\.{_I}\.',
    ):
        found = re.match(pattern, path)
        if found:
            return found.group()
    return path.partition('.')[0] + '.'


def lower_layers(tree: Mapping[str, str], owner: str) -> tuple[frozenset[str], bool]:
    """All objects below `owner` (TR-181 LowerLayers), and whether the chain reaches a physical interface."""
    seen: set[str] = set()
    todo = [owner.rstrip('.')]
    complete = True
    while todo:
        current = todo.pop()
        if current in seen:
            continue
        seen.add(current)
        below = [part.strip().rstrip('.') for part in tree.get(f'{current}.LowerLayers', '').split(',') if part.strip()]
        if not below and not _LOWERMOST.fullmatch(current):
            complete = False
        todo.extend(below)
    return frozenset(f'{item}.' for item in seen), complete


# --- the verdict ------------------------------------------------------------------------------------------------------


def refusal_of(values: Sequence[ParameterValue], policy: ModelPolicy = ModelPolicy()) -> str:
    """Why these values are refused whatever a device's tree says; empty where it takes a fresh read to tell."""
    for item in values:
        refusal = _refuse_outright(item, classify(item, policy.allow_list))
        if refusal:
            return refusal
    return ''


def judge(
    values: Sequence[ParameterValue],
    tree: Mapping[str, str],
    policy: ModelPolicy = ModelPolicy(),
    *,
    source_address: str = '',
) -> GuardVerdict:
    """May these new values be set together? One refused value refuses them all, as the CPE sets all or none.

    Saved values that go back are not new: for them there is `kept_back`.
    """
    risks: set[Risk] = set()
    for item in values:
        if tree.get(item.name) == item.value:
            continue  # no change
        risk = classify(item, policy.allow_list)
        refusal = _refuse_outright(item, risk)
        if refusal:
            return GuardVerdict(False, refusal)
        risks.add(risk)
    risks -= {Risk.LOW}
    if not risks:
        return GuardVerdict(True, 'no management at risk')
    management = locate_management(tree, source_address)
    if not management.proven:
        return GuardVerdict(
            False,
            'no WAN has the address of the ConnectionRequestURL or of the session: it is not known where '
            'management runs',
        )
    for item in values:
        if tree.get(item.name) != item.value and classify(item, policy.allow_list) in (Risk.LAN, Risk.WAN):
            refusal = _cuts(item.name, management, tree)
            if refusal:
                return GuardVerdict(False, refusal)
    if Risk.WAN in risks:
        return _gate(policy)
    return GuardVerdict(True, f'management runs on {", ".join(sorted(management.proven))}')


def kept_back(
    saved: Iterable[ParameterValue], tree: Mapping[str, str], *, source_address: str = '', is_blind: bool = False
) -> tuple[str, ...]:
    """Names of those saved values that do not go back: what would cut management, as it runs by now.

    All others do, without proof, opt-in or canary: management worked with them. A WAN or LAN change is left as it is
    only where management is proven to run there by now, or (`is_blind`) where the tree could not be read.
    """
    proven = locate_management(tree, source_address).proven

    def cuts(item: ParameterValue) -> bool:
        risk = classify(item)
        if risk not in (Risk.LAN, Risk.WAN):
            return risk is Risk.FORBIDDEN
        return is_blind or bool(_cuts(item.name, Management(proven, proven), tree))

    return tuple(item.name for item in saved if cuts(item))


def left_out(saved: Iterable[str], restored: Iterable[ParameterValue]) -> str:
    """The sentence that names what stays undone of `saved`; empty where nothing does."""
    back = {item.name for item in restored}
    names = ', '.join(name for name in saved if name not in back)
    return f'left as it is, since it could cut management or is gone from the device: {names}' if names else ''


def _refuse_outright(item: ParameterValue, risk: Risk) -> str:
    if risk is Risk.FORBIDDEN:
        return f'{item.name} carries management itself and is never changed'
    starving = _starves(item)
    if starving:
        return starving
    if risk is Risk.UNKNOWN:
        return f"{item.name} is not known to spare management; the model's profile must allow-list it"
    return ''


def _starves(item: ParameterValue) -> str:
    """Why this value of a harmless path would leave management no bandwidth, or no Informs; empty where it does not."""
    number = _number(item.value)
    if _PERCENT_OR_RATE.fullmatch(item.name) and number is not None and 0 <= number <= 100:
        return f'{item.name}={item.value} would mean {item.value} percent; rates are given in bit/s'
    if _RATE.fullmatch(item.name) and (number is None or (number != -1 and number < _LEAST_RATE)):
        return (
            f'{item.name}={item.value} would starve management: give -1 (no limit) or at least {_LEAST_RATE} bit/s, '
            'in digits'
        )
    if _INTERVAL.fullmatch(item.name) and number not in _INTERVALS:
        return (
            f'{item.name}={item.value} would starve management or flood the ACS: give '
            f'{_INTERVALS.start} to {_INTERVALS.stop - 1} seconds'
        )
    return ''


def _number(value: str) -> int | None:
    """An integer as every CPE reads it: `int()` alone takes `+50`, `6_4000` and other scripts' digits too."""
    text = value.strip()
    return int(text) if re.fullmatch(r'-?[0-9]{1,18}', text) else None


def _cuts(path: str, management: Management, tree: Mapping[str, str]) -> str:
    scope = scope_of(path)
    for owner in sorted(management.protected):
        if owner.startswith(scope):
            return f'{path} would change {owner}, which carries management (or may)'
        if owner.startswith('Device.'):
            below, complete = lower_layers(tree, owner)
            if scope in below:
                return f'{path} is a lower layer of {owner}, which carries management (or may)'
            if not complete:
                return f'the layers below {owner} cannot be read to the end: {path} may be one of them'
    return ''


def _gate(policy: ModelPolicy) -> GuardVerdict:
    if not policy.allow_wan_off:
        return GuardVerdict(False, "a WAN change cannot be undone remotely; the model's profile does not allow it")
    if policy.canary is Canary.WAITING:
        return GuardVerdict(False, "the model's first changed device has not informed since; nothing else is changed")
    if policy.canary is Canary.LOST:
        return GuardVerdict(
            False, "the model's first changed device came back by a factory reset only: release the model to try anew"
        )
    return GuardVerdict(True, 'management is proven to run elsewhere', is_canary=policy.canary is Canary.NONE)
