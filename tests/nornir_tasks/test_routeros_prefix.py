"""The pattern by which tracked IPv6 connections of one subscriber are found: all of his, and nobody else's."""

import ipaddress
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nornir_tasks.drivers.routeros.prefix import ipv6_pattern

ADDRESSES = st.integers(0, 2**128 - 1)
SPARSE = st.lists(st.sampled_from([0, 0, 0, 1, 0x500, 0x5600, 0xDB8, 0xFFFF]), min_size=8, max_size=8).map(
    lambda groups: sum(group << 16 * (7 - index) for index, group in enumerate(groups))
)


@given(ADDRESSES | SPARSE, st.integers(4, 32), SPARSE | ADDRESSES, st.booleans())
def test_it_matches_what_is_in_the_prefix_and_nothing_else(base, nibbles, other, near):
    length = nibbles * 4
    network = ipaddress.IPv6Network((base, length), strict=False)
    if near:  # keep the prefix, or flip a bit of it: random addresses are hardly ever neighbours
        other = int(network.network_address) | (other & ((1 << (128 - length)) - 1))
        other ^= (base & 1) << (128 - length) if length < 128 else base & 1
    address = ipaddress.IPv6Address(other & (2**128 - 1))
    pattern = ipv6_pattern(str(network))
    if pattern is None:
        return
    for shown in (str(address), f'[{address}]:443', f'{address}/128'):
        assert bool(re.search(pattern, shown)) is (address in network), (pattern, shown, network)


@pytest.mark.parametrize(
    ('prefix', 'pattern'),
    [
        ('2001:db8:1:5600::/56', r'^\[?(2001:db8:1:56[0-9a-f][0-9a-f]:)'),
        ('2001:db8:0:1::/64', r'^\[?(2001:db8:0:1:|2001:db8:0:1::)'),
        ('2001:db8::/48', r'^\[?(2001:db8:0:|2001:db8::)'),
        ('2001:db8::1/128', r'^\[?(2001:db8:0:0:0:0:0:1($|[]/ ])|2001:db8::1($|[]/ ]))'),
        ('2001:db8::/57', None),
        ('2001:db8::/80', None),
    ],
)
def test_usual_prefixes(prefix, pattern):
    assert ipv6_pattern(prefix) == pattern
