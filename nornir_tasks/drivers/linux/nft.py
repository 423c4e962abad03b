"""The walled garden in nftables: which addresses are behind it, and the rules that make it. Pure translation.

One table of our own, `inet`, hooked before the box's own filter rules; no other table is read or written. An `accept`
here only ends our own chain: what the operator's tables drop stays dropped.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, collapse_addresses, ip_address, ip_network
from typing import Any

from nornir_tasks.errors import EnforcementError

Network = IPv4Network | IPv6Network
Address = IPv4Address | IPv6Address

SETS = ('walled', 'garden', 'resolver')


@dataclass(frozen=True, slots=True)
class WalledGarden:
    """What a walled line still reaches: the notice page, these resolvers on port 53, these networks on any port."""

    portal_ipv4: IPv4Address | None = None
    portal_ipv6: IPv6Address | None = None
    portal_port: int = 80
    resolvers: tuple[Address, ...] = ()
    allowed: tuple[Network, ...] = ()

    @property
    def networks(self) -> frozenset[Network]:
        every = [*self.allowed, *(ip_network(portal) for portal in (self.portal_ipv4, self.portal_ipv6) if portal)]
        # nftables refuses overlapping elements: a portal inside an allowed network is one element, not two.
        ipv4 = collapse_addresses(network for network in every if isinstance(network, IPv4Network))
        ipv6 = collapse_addresses(network for network in every if isinstance(network, IPv6Network))
        return frozenset((*ipv4, *ipv6))


@dataclass(frozen=True, slots=True)
class WalledLines:
    """What the box's table holds. `is_intact` is False where rules or the garden are not as they should be."""

    walled: frozenset[Network] = frozenset()
    is_intact: bool = False


def ruleset(table: str, garden: WalledGarden) -> list[str]:
    """`nft -f` lines that make the table, its sets and its rules as they should be, whatever is there; idempotent.

    The walled sets keep their elements. Loaded as one transaction: no packet meets a half-made table.
    """
    lines = [f'add table inet {table}']
    for name in SETS:
        for version in (4, 6):
            lines.append(f'add set inet {table} {name}_ipv{version} {{ type ipv{version}_addr; flags interval; }}')
    lines += [
        # Before the usual filter and dstnat priorities (0, -100): an operator's early `accept` does not bypass us.
        f'add chain inet {table} forward {{ type filter hook forward priority -10; policy accept; }}',
        f'add chain inet {table} prerouting {{ type nat hook prerouting priority -110; policy accept; }}',
        f'add chain inet {table} outgoing',
        f'add chain inet {table} incoming',
    ]
    lines += [f'flush chain inet {table} {chain}' for chain in ('forward', 'prerouting', 'outgoing', 'incoming')]
    for name, networks in (('garden', garden.networks), ('resolver', frozenset(map(ip_network, garden.resolvers)))):
        lines += [f'flush set inet {table} {name}_ipv{version}' for version in (4, 6)]
        lines += element_lines(table, 'add', networks, name)
    lines += [f'add rule inet {table} {chain} {rule}' for chain, rule in _rules(garden)]
    return lines


def _rules(garden: WalledGarden) -> list[tuple[str, str]]:
    rules: list[tuple[str, str]] = []
    portals = {'ip': garden.portal_ipv4, 'ip6': garden.portal_ipv6}
    for family, version in (('ip', 4), ('ip6', 6)):
        rules += [
            # Every packet is judged, not only new flows: what was established before is cut as well.
            ('forward', f'{family} saddr @walled_ipv{version} goto outgoing'),
            ('forward', f'{family} daddr @walled_ipv{version} goto incoming'),
            ('outgoing', f'{family} daddr @garden_ipv{version} accept'),
            ('incoming', f'{family} saddr @garden_ipv{version} accept'),
            ('outgoing', f'{family} daddr @resolver_ipv{version} meta l4proto {{ tcp, udp }} th dport 53 accept'),
            ('incoming', f'{family} saddr @resolver_ipv{version} meta l4proto {{ tcp, udp }} th sport 53 accept'),
        ]
        portal = portals[family]
        if portal is not None:
            host = f'[{portal}]' if version == 6 else f'{portal}'
            rules.append(
                (
                    'prerouting',
                    f'{family} saddr @walled_ipv{version} {family} daddr != @garden_ipv{version} tcp dport 80 '
                    f'dnat {family} to {host}:{garden.portal_port}',
                )
            )
    return [*rules, ('outgoing', 'drop'), ('incoming', 'drop')]


def element_lines(table: str, verb: str, networks: Iterable[Network], name: str = 'walled') -> list[str]:
    """One `add element` or `delete element` line a family, for as many networks as there are."""
    lines = []
    ordered = sorted(networks, key=lambda network: (network.version, int(network.network_address)))
    for version in (4, 6):
        members = [_element(network) for network in ordered if network.version == version]
        if members:
            lines.append(f'{verb} element inet {table} {name}_ipv{version} {{ {", ".join(members)} }}')
    return lines


def change_lines(table: str, garden: WalledGarden, add: Sequence[Network], remove: Sequence[Network]) -> list[str]:
    """One transaction for `nft -f -`: the table as it should be, `add` behind the wall, `remove` out from it."""
    return [
        *ruleset(table, garden),
        *element_lines(table, 'add', add),
        # Deleting what is not there fails the whole transaction: it is added first, for nothing.
        *element_lines(table, 'add', remove),
        *element_lines(table, 'delete', remove),
    ]


def parse_table(table: str, garden: WalledGarden, listing: Mapping[str, Any]) -> WalledLines:
    """What `nft -j list table inet TABLE` says. Raises `EnforcementError` where it is not in the known form."""
    sets: dict[str, frozenset[Network]] = {}
    counted: dict[str, int] = {}
    hooks: dict[str, tuple[str, int]] = {}
    try:
        for entry in listing['nftables']:
            for kind, value in entry.items():
                if kind == 'set':
                    sets[value['name']] = frozenset(map(_network, value.get('elem', ())))
                elif kind == 'rule':
                    counted[value['chain']] = counted.get(value['chain'], 0) + 1
                elif kind == 'chain' and 'hook' in value:
                    hooks[value['name']] = (value['hook'], value['prio'])
    except (KeyError, TypeError, ValueError, AttributeError):
        raise EnforcementError(
            f'the nftables table inet {table} cannot be read: was it changed by hand? Delete it, and read again'
        ) from None
    wanted: dict[str, int] = {}
    for chain, _ in _rules(garden):
        wanted[chain] = wanted.get(chain, 0) + 1
    resolvers = frozenset(map(ip_network, garden.resolvers))
    return WalledLines(
        sets.get('walled_ipv4', frozenset()) | sets.get('walled_ipv6', frozenset()),
        is_intact=counted == wanted
        and hooks == {'forward': ('forward', -10), 'prerouting': ('prerouting', -110)}
        and sets.get('garden_ipv4', frozenset()) | sets.get('garden_ipv6', frozenset()) == garden.networks
        and sets.get('resolver_ipv4', frozenset()) | sets.get('resolver_ipv6', frozenset()) == resolvers,
    )


def former_lines(walled: Iterable[tuple[str, Network]]) -> list[str]:
    """Out from the wall of tables that the point named before."""
    tables: dict[str, list[Network]] = {}
    for table, network in walled:
        tables.setdefault(table, []).append(network)
    return [
        line
        for table, networks in sorted(tables.items())
        for verb in ('add', 'delete')
        for line in element_lines(table, verb, networks)
    ]


@dataclass(frozen=True, slots=True)
class Members:
    """Of a set that is not ours: networks, and ranges of addresses by their ends."""

    networks: tuple[Network, ...] = ()
    ranges: tuple[tuple[Address, Address], ...] = ()

    def hold(self, network: Network) -> bool:
        """Whether anything of a line's network is in the set."""
        if any(network.version == each.version and network.overlaps(each) for each in self.networks):
            return True
        first, last = network.network_address, network.broadcast_address
        return any(
            start.version == network.version and int(start) <= int(last) and int(first) <= int(end)
            for start, end in self.ranges
        )


def parse_set(name: str, listing: Mapping[str, Any]) -> Members:
    """What `nft -j list set FAMILY TABLE SET` says. Raises `EnforcementError` where it is no set of addresses."""
    networks: list[Network] = []
    ranges: list[tuple[Address, Address]] = []
    try:
        (found,) = (entry['set'] for entry in listing['nftables'] if 'set' in entry)
        for element in found.get('elem', ()):
            value = element['elem']['val'] if isinstance(element, dict) and 'elem' in element else element
            if isinstance(value, dict) and 'range' in value:
                start, end = (ip_address(text) for text in value['range'])
                ranges.append((start, end))
            else:
                networks.append(_network(value))
    except (KeyError, TypeError, ValueError):
        raise EnforcementError(f'the set "{name}" of "foreign_sets" is no set of addresses') from None
    return Members(tuple(networks), tuple(ranges))


def _element(network: Network) -> str:
    return str(network.network_address) if network.prefixlen == network.max_prefixlen else str(network)


def _network(element: Any) -> Network:
    if isinstance(element, dict):
        return ip_network(f'{element["prefix"]["addr"]}/{element["prefix"]["len"]}')
    return ip_network(element)
