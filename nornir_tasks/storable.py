"""What boxes say, made fit for JSON and for PostgreSQL: neither holds every text that a box may print.

PostgreSQL stores no NUL, JSON no lone surrogate (which is how a byte that is not UTF-8 travels in Python) and no NaN.
Names must be put back exactly as they were, so nothing is replaced: what cannot be stored is written as `ESCAPE` and
four hexadecimal digits. A PPP profile "padrão" in Latin-1 becomes "padr␛DCE3o", and `unescape` makes its bytes of that.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

ESCAPE = '\N{SYMBOL FOR ESCAPE}'
UNSTORABLE = re.compile('[\0\ud800-\udfff]')
ESCAPED = re.compile(f'{ESCAPE}(0000|D[89A-F][0-9A-F][0-9A-F])')
LONGEST_SENTENCE = 2_000  # characters of a message or an error
LONGEST_DETAIL = 1_000_000  # characters of all the texts of one reading
DEEPEST_DETAIL = 32  # lists and mappings within each other
LARGEST_BITS = 1024  # of a whole number; more digits are refused by Python's own JSON, and by PostgreSQL's


class UnstorableError(ValueError):
    """What a box says of one line is too much to keep; `str()` says how much."""


def escape(text: str) -> str:
    """`text` with what cannot be stored escaped; doing it twice changes nothing."""
    if text.isascii() and '\0' not in text:
        return text
    return UNSTORABLE.sub(lambda found: f'{ESCAPE}{ord(found[0]):04X}', text)


def unescape(text: str) -> str:
    """The inverse of `escape`; bytes that are no UTF-8 are lone surrogates again (`surrogateescape`)."""
    return ESCAPED.sub(lambda found: chr(int(found[1], 16)), text) if ESCAPE in text else text


def sentence(text: str) -> str:
    """A message that can be stored, cut where a box said too much."""
    if len(text) > LONGEST_SENTENCE:
        text = text[: LONGEST_SENTENCE - 1] + '…'
    return escape(text)


def storable(value: Any) -> Any:
    """`value` in JSON's terms, its texts escaped. Raises `UnstorableError` for too much of it."""
    left = [LONGEST_DETAIL]

    def convert(item: Any, depth: int) -> Any:
        if isinstance(item, str):
            left[0] -= len(item)
            if left[0] < 0:
                raise UnstorableError(f'more than {LONGEST_DETAIL} characters')
            return escape(item)
        if item is None or isinstance(item, bool):
            return item
        if isinstance(item, int):
            return int(item) if item.bit_length() <= LARGEST_BITS else hex(item)
        if isinstance(item, float):
            return item if math.isfinite(item) else str(item)
        if depth > DEEPEST_DETAIL:
            raise UnstorableError(f'more than {DEEPEST_DETAIL} levels')
        if isinstance(item, Mapping):
            return {convert(_key(key), depth): convert(each, depth + 1) for key, each in item.items()}
        if isinstance(item, bytes | bytearray):
            return convert(item.decode('utf-8', 'surrogateescape'), depth)
        if isinstance(item, Iterable):
            return [convert(each, depth + 1) for each in item]
        return convert(str(item), depth)

    return convert(value, 0)


def _key(key: Any) -> str:
    return key if isinstance(key, str) else str(key)
