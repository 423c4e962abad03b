"""How billing's references of contracts are compared: by forms that the database computes, whoever asks."""

from __future__ import annotations

from typing import Any

from django.db.models import F, Func, Value
from django.db.models.functions import Lower

__all__ = ('LOOSE_SQL', 'NORMAL_SQL', 'loose_form', 'normal_form')

# Upper and lower case, spaces, and the same letter written in two ways make no other contract.
NORMAL_SQL = r"lower(regexp_replace(normalize({value}, NFKC), '\s+', '', 'g'))"
# Nor may leading zeros, dots and dashes, where it is asked which contracts a reference could mean.
LOOSE_SQL = r'regexp_replace(regexp_replace(' + NORMAL_SQL + r", '(^|[^0-9])0+(?=[0-9])', '\1', 'g'), '\W|_', '', 'g')"


class Replace(Func):
    function = 'regexp_replace'

    def __init__(self, value: Any, pattern: str, by: str = '') -> None:
        super().__init__(value, Value(pattern), Value(by), Value('g'))


class Normalize(Func):
    function = 'normalize'
    template = '%(function)s(%(expressions)s, NFKC)'


def normal_form(value: Any) -> Lower:
    """The expression of a generated column, from the name of a field; or of any other value. As `NORMAL_SQL`."""
    return Lower(Replace(Normalize(F(value) if isinstance(value, str) else value), r'\s+'))


def loose_form(field: str) -> Func:
    """The expression of a generated column; as `LOOSE_SQL`."""
    return Replace(Replace(normal_form(field), '(^|[^0-9])0+(?=[0-9])', r'\1'), r'\W|_')
