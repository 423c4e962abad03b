"""An IPv6 prefix as a regular expression over printed addresses, for menus whose addresses are text. No I/O."""

from __future__ import annotations

import ipaddress

HEX = '[0-9a-f]'
END = '($|[]/ ])'  # a port follows in brackets; a colon would make another address of it


def ipv6_pattern(prefix: str) -> str | None:
    """A pattern that matches exactly the addresses of `prefix`, written as RFC 5952 has it, at a text's beginning.

    None where no simple pattern can tell them apart: a length off the nibble or between 64 and 128, or a prefix with a
    long run of zeros at its end. Raises `ValueError` for what is no IPv6 prefix.
    """
    network = ipaddress.IPv6Network(prefix, strict=False)
    whole, rest = divmod(network.prefixlen, 16)
    if rest % 4 or not (16 <= network.prefixlen <= 64 or network.prefixlen == 128):
        return None
    digits = network.network_address.exploded.replace(':', '')
    if digits.startswith('0000'):
        return None
    groups = [digits[start : start + 4].lstrip('0') or '0' for start in range(0, whole * 4, 4)]
    fixed = digits[whole * 4 : whole * 4 + rest // 4]
    partial = _partial(fixed, 4 - rest // 4) if rest else ''
    may_be_zero = bool(rest) and not fixed.strip('0')
    tail = [partial] if partial else []
    end = END if whole == 8 else ':'
    forms = {':'.join([*groups, *tail]) + end}
    for start, stop in _zero_runs(groups):
        closed = stop < whole or (rest and not may_be_zero)
        if closed and stop - start > 1:
            forms.add(':'.join(groups[:start]) + '::' + ':'.join([*groups[stop:], *tail]) + end)
        elif not closed:
            # RFC 5952 §4.2.2: at least two groups are left out, so these are among them unless they are more.
            if whole == 8 or stop - start > (1 if may_be_zero else 2):
                return None
            forms.add(':'.join(groups[:start]) + '::')
    if whole < 8 and (may_be_zero or not rest) and groups[-1] != '0':
        zeros = ':'.join(groups) + '::'
        forms.add(zeros)
    return '^\\[?(' + '|'.join(sorted(forms)) + ')'


def _partial(fixed: str, free: int) -> str:
    """A group whose first digits are given: leading zeros are not printed."""
    if fixed.strip('0'):
        return fixed.lstrip('0') + HEX * free
    return HEX + f'{HEX}?' * (free - 1)


def _zero_runs(groups: list[str]) -> list[tuple[int, int]]:
    runs, start = [], None
    for index, group in enumerate([*groups, '']):
        if group == '0':
            start = index if start is None else start
        elif start is not None:
            runs.append((start, index))
            start = None
    return runs
