"""Entries of address lists that hold more than one line's address, or a part of its prefix. No I/O."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import batched

from nornir_tasks.drivers.routeros.prefix import ipv6_pattern
from nornir_tasks.drivers.routeros.syntax import quote

PER_CONDITION = 16
MANY = 'address~"[-/]"'  # an IPv4 entry that is no host: a prefix, or `first-last`

Entry = tuple[str, str]  # list, and address as the router has it


@dataclass(slots=True)
class Ranges:
    """Looked up by prefix length, for a router may have thousands of entries and a batch thousands of lines."""

    _spans: list[tuple[int, int, int, Entry]] = field(default_factory=list)  # version, first, last
    _networks: dict[tuple[int, int], dict[int, list[Entry]]] = field(default_factory=dict)  # by version and length
    _inside: dict[tuple[int, int, int], dict[int, list[Entry]]] = field(default_factory=dict)

    def add(self, listed: str, text: str) -> None:
        """What is neither a network nor a range is a host name, which the router resolves into entries of its own."""
        first, dash, last = text.partition('-')
        entry = (listed, text)
        try:
            if dash:
                low, high = ipaddress.ip_address(first), ipaddress.ip_address(last)
                self._spans.append((low.version, int(low), int(high), entry))
                return
            network = ipaddress.ip_network(text, strict=False)
        except ValueError:
            return
        same = self._networks.setdefault((network.version, network.prefixlen), {})
        same.setdefault(int(network.network_address), []).append(entry)
        self._inside.clear()

    def holding(self, address: str) -> set[Entry]:
        """Those that hold this address or prefix among others, or a part of it; not those for exactly it."""
        try:
            network = ipaddress.ip_network(address, strict=False)
        except ValueError:
            return set()
        first, last = int(network.network_address), int(network.broadcast_address)
        found = {
            entry
            for version, low, high, entry in self._spans
            if version == network.version and low <= last and first <= high
        }
        for version, length in self._networks:
            if version != network.version or length == network.prefixlen:
                continue
            if length < network.prefixlen:
                shift = network.max_prefixlen - length
                found.update(self._networks[version, length].get(first >> shift << shift, ()))
            else:
                found.update(self._parts_of(version, length, network.prefixlen).get(first, ()))
        return found

    def _parts_of(self, version: int, length: int, wanted: int) -> dict[int, list[Entry]]:
        """Entries of that length by the network of the `wanted` length that they are in."""
        key = (version, length, wanted)
        if key not in self._inside:
            shift = (32 if version == 4 else 128) - wanted
            parts: dict[int, list[Entry]] = {}
            for first, entries in self._networks[version, length].items():
                parts.setdefault(first >> shift << shift, []).extend(entries)
            self._inside[key] = parts
        return self._inside[key]


def ipv6_conditions(prefixes: Iterable[str]) -> Iterator[str]:
    """Conditions for entries that hold one of these prefixes among others, or a part of it."""
    networks = [ipaddress.IPv6Network(prefix, strict=False) for prefix in prefixes]
    longest = max((network.prefixlen for network in networks), default=0)
    shorter = '|'.join(map(str, range(longest)))
    if shorter:
        yield f'address~{quote(f"/({shorter})$")}'
    wide = [network for network in networks if network.prefixlen < 128]
    patterns = [ipv6_pattern(str(network)) for network in wide]
    if None in patterns:  # no pattern tells the parts of such a prefix: all entries do
        yield 'address~"/"'
        return
    for batch in batched(filter(None, patterns), PER_CONDITION):
        yield ' or '.join(f'address~{quote(pattern)}' for pattern in batch)
