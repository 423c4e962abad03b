"""Which access interface and which addresses are one line's, and whether anybody else would be touched. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from ipaddress import ip_network
from typing import Any

from nornir_tasks.change import AccessTarget
from nornir_tasks.drivers.linux.nft import Address, Network, WalledGarden
from nornir_tasks.drivers.linux.tc import INTERFACE, LineError

# A line has a handful of addresses. A wider network in NetBox is a mistake that would cut a whole neighbourhood.
WIDEST = {4: 24, 6: 48}
# A route wider than this leads to a segment that several homes share, so shaping its interface would slow them all.
WIDEST_ROUTE = {4: 29, 6: 64}


class NoSessionError(LineError):
    """The line has no interface or no route now, as while its session is down."""


@dataclass(frozen=True, slots=True)
class Selector:
    """What NetBox says of a line, checked: `interface` may be empty, `networks` too, never both."""

    interface: str
    networks: tuple[Network, ...]


def select(target: AccessTarget, garden: WalledGarden) -> Selector:
    """Raises `LineError` for garbage, and for addresses that cannot be one line's."""
    if target.circuit_id and not INTERFACE.fullmatch(target.circuit_id):
        raise LineError(f'circuit ID "{target.circuit_id[:40]}" is not the name of an interface')
    networks = tuple(_network(text, garden) for text in (target.ipv4, target.ipv6) if text)
    if not networks and not target.circuit_id:
        raise LineError('the line has neither an address nor a circuit ID to select it by')
    return Selector(target.circuit_id, networks)


def _network(text: str, garden: WalledGarden) -> Network:
    try:
        network = ip_network(text)
    except ValueError:
        raise LineError(f'"{text[:60]}" is not an address or a network') from None
    if network.prefixlen < WIDEST[network.version]:
        raise LineError(f"{network} is wider than /{WIDEST[network.version]}: not one line's")
    if network.is_multicast or network.is_loopback or network.is_unspecified or network.is_link_local:
        raise LineError(f"{network} is not a subscriber's address")
    others = (*garden.networks, *map(ip_network, garden.resolvers))
    if any(network.version == other.version and network.overlaps(other) for other in others):
        raise LineError(f'{network} belongs to the walled garden itself')
    return network


def find_overlaps(selectors: Mapping[str, Selector], walled: Collection[Network]) -> dict[str, str]:
    """Keys of lines whose addresses are also another line's, or within or around what the box already lists."""
    owners: dict[Network, list[str]] = {}
    for key, selector in selectors.items():
        for network in selector.networks:
            owners.setdefault(network, []).append(key)
    pool = set(walled) | owners.keys()
    lengths = {version: {net.prefixlen for net in pool if net.version == version} for version in (4, 6)}
    found: dict[str, str] = {}
    for network in pool:
        keys = owners.get(network, [])
        if len(keys) > 1:
            found.update(dict.fromkeys(keys, f'{network} is the address of {len(keys)} lines'))
        for length in lengths[network.version]:
            around = network.supernet(new_prefix=length) if length < network.prefixlen else network
            if around is not network and around in pool:
                sentence = f'{network} lies within {around}, which is listed too'
                found.update(dict.fromkeys((*keys, *owners.get(around, ())), sentence))
    return found


def inner_address(network: Network) -> Address:
    """An address by which a network's route is asked for: those at its ends may be the router's own or anycast."""
    return network[network.num_addresses // 2]


@dataclass(frozen=True, slots=True)
class Routes:
    """Of the box: interfaces that carry a default route, and what is on-link at each: IPv4 hosts, and subnets."""

    uplinks: frozenset[str]
    hosts: Mapping[str, frozenset[Network]]
    subnets: Mapping[str, frozenset[Network]]

    @classmethod
    def parse(cls, defaults: Sequence[Any], on_link: Sequence[Any]) -> Routes:
        """From `ip -j route show default` of both families, `scope link` of IPv4 and `proto kernel` of IPv6."""
        hosts: dict[str, set[Network]] = {}
        subnets: dict[str, set[Network]] = {}
        for route in on_link:
            if route.get('dst', 'default') == 'default':
                continue
            network = ip_network(route['dst'])
            if '/' in route['dst']:
                subnets.setdefault(route.get('dev', ''), set()).add(network)
            elif network.version == 4:
                hosts.setdefault(route.get('dev', ''), set()).add(network)
        hops = [hop for route in defaults for hop in (route, *route.get('nexthops', ()))]
        return cls(
            frozenset(hop['dev'] for hop in hops if 'dev' in hop),
            {interface: frozenset(networks) for interface, networks in hosts.items()},
            {interface: frozenset(networks) for interface, networks in subnets.items()},
        )


def find_interface(
    selector: Selector, matches: Sequence[Any], routes: Routes, patterns: Sequence[str], known: Collection[str]
) -> str:
    """The line's access interface: the one of its circuit ID and of all its addresses. Raises `LineError`, and of
    these `NoSessionError` where it is not there.

    `matches` holds what `ip -j route get fibmatch` says of each network's `inner_address`, `None` for no route;
    `patterns` are the names of access interfaces at this point, `known` the interfaces that the box has.
    """
    found = {selector.interface} if selector.interface else set()
    for network, match in zip(selector.networks, matches, strict=True):
        found.add(_routed_to(network, match))
    if len(found) != 1:
        raise LineError(f'its circuit ID and addresses lead to {len(found)} interfaces: {", ".join(sorted(found))}')
    interface = found.pop()
    if interface not in known:
        raise NoSessionError(f'the box has no interface {interface}: is the session up?')
    if interface in routes.uplinks:
        raise LineError(f"{interface} carries a default route: it is an uplink, not a line's interface")
    if not any(fnmatchcase(interface, pattern) for pattern in patterns):
        raise LineError(f'{interface} is not among the access interfaces of this point ({", ".join(patterns)})')
    neighbours = routes.hosts.get(interface, frozenset()) - set(selector.networks)
    is_known = any(network.version == 4 for network in selector.networks)
    if len(neighbours) > (0 if is_known else 1):  # the one host may be the line's own, where its address is not known
        raise LineError(f'{interface} also carries {min(map(str, neighbours))}: shaping it would touch another line')
    return interface


def find_segment(interface: str, networks: Sequence[Network], routes: Routes) -> str:
    """Why the interface may serve other homes too, so that it must not be shaped; empty where nothing says so.

    Walling touches addresses only, so nothing of this stands in its way, or in that of letting a line out.
    """
    shared = [subnet for subnet in routes.subnets.get(interface, ()) if _is_shared(subnet, networks)]
    if not shared:
        return ''
    remedy = '' if networks else "; with the line's own addresses it could be told from its neighbours"
    return f'{interface} carries {min(map(str, shared))}, which others may share, so it is not shaped{remedy}'


def _is_shared(subnet: Network, own: Sequence[Network]) -> bool:
    if subnet.is_link_local or (subnet.version == 6 and own):  # a home that is known may well have an on-link /64
        return False
    mine = [network for network in own if network.version == subnet.version]
    if not mine:
        return subnet.prefixlen < subnet.max_prefixlen - 1
    within = any(subnet.subnet_of(network) for network in mine)  # type: ignore[arg-type]
    narrow = subnet.prefixlen >= WIDEST_ROUTE[subnet.version]
    return not within and not (narrow and any(network.subnet_of(subnet) for network in mine))  # type: ignore[arg-type]


def _routed_to(network: Network, match: Any) -> str:
    route = match[0] if match else {}
    interface = str(route.get('dev', ''))
    if not interface or route.get('type', 'unicast') != 'unicast' or route.get('dst', 'default') == 'default':
        raise NoSessionError(f'{network} is not routed to an access interface: is the session up?')
    if not INTERFACE.fullmatch(interface):
        raise LineError(f'{network} is routed to "{interface}", a name that is not used in commands')
    via = ip_network(route['dst'])
    if via.prefixlen < WIDEST_ROUTE[network.version] and via != network:
        raise LineError(f'{network} is reached through {via} on {interface}, a segment it shares with others')
    return interface
