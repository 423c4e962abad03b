"""When is a value the one that was wanted?"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from tr069.cwmp.messages import ParameterValue
from tr069.guard import truthy

# A CPE answers these with nothing, or with asterisks, whatever they hold: the data models hide them when read.
SECRET = re.compile(r'Password|Passphrase|PreSharedKey|WEPKey|PrivateKey|Secret|PSK|PIN$', re.IGNORECASE)


def unreadable_secrets(found: Iterable[ParameterValue]) -> tuple[str, ...]:
    """Names of secrets whose value was not shown: it cannot be saved, and restoring would write nothing over it."""
    return tuple(item.name for item in found if SECRET.search(item.name) and not item.value.strip('* '))


_INTEGER = re.compile(r'[+-]?[0-9]{1,20}')
_NATURAL = re.compile(r'\+?[0-9]{1,20}')
_VALID = {
    'int': _INTEGER,
    'long': _INTEGER,
    'unsignedInt': _NATURAL,
    'unsignedLong': _NATURAL,
    'boolean': re.compile('0|1|true|false', re.IGNORECASE),
}


def fits_type(item: ParameterValue) -> bool:
    """Whether its value is one of its type. A CPE shows an unset number as nothing, and does not take nothing back."""
    pattern = _VALID.get(item.type.rpartition(':')[2])
    return pattern is None or pattern.fullmatch(item.value.strip()) is not None


def unfit(items: Iterable[ParameterValue]) -> str:
    """Those that are not of their type, in words; empty where all are."""
    return ', '.join(f'{item.name} ({item.value!r:.40} is no {item.type})' for item in items if not fits_type(item))


def same(wanted: ParameterValue, found: ParameterValue) -> bool:
    """Equal as the type means it: `1` and `true`, `064000` and `64000` are each the same."""
    if wanted.value == found.value:
        return True
    kinds = {wanted.type.rpartition(':')[2], found.type.rpartition(':')[2]}
    if 'boolean' in kinds:
        words = {'0', '1', 'true', 'false'}
        both = {wanted.value.strip().lower(), found.value.strip().lower()}
        return both <= words and truthy(wanted.value) == truthy(found.value)
    if kinds & {'int', 'unsignedInt', 'long', 'unsignedLong'}:
        try:
            return int(wanted.value) == int(found.value)
        except ValueError:
            return False
    return False


def differing(wanted: Iterable[ParameterValue], found: Mapping[str, ParameterValue]) -> tuple[str, ...]:
    """Names that do not read as wanted, missing ones included."""
    return tuple(item.name for item in wanted if item.name not in found or not same(item, found[item.name]))
