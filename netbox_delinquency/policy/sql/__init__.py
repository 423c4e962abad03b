"""Statements composed of named blocks in the `.sql` files beside this one.

A block is headed by `-- cte: NAME` (a common table expression; `materialized` may follow), `-- statement: NAME` (what
a `WITH` ends in; `with NAME` adds one that it does not read from itself), or `-- part: NAME` (text for a placeholder).
A statement gets the expressions that it reads from, those that they read from, and no others.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

__all__ = ('compose',)

CONTRACT_TABLE = 'netbox_delinquency_contract'

_HEAD = re.compile(r'^-- (cte|statement|part): (\w+)(?: (materialized)| with (\w+))?$', re.MULTILINE)
_READS = re.compile(r'\b(?:FROM|JOIN)\s+(\w+)')


@dataclass(frozen=True, slots=True)
class Block:
    text: str
    materialized: bool = False
    also: str = ''

    @property
    def reads(self) -> list[str]:
        """The names after each FROM and JOIN: expressions, tables and aliases alike."""
        return [*_READS.findall(self.text), *([self.also] if self.also else [])]


@cache
def _blocks() -> dict[str, dict[str, Block]]:
    """By kind and name; comments are left out, for a `%` or a brace in one is no placeholder."""
    found: dict[str, dict[str, Block]] = {'cte': {}, 'statement': {}, 'part': {}}
    for file in sorted(files(__name__).iterdir(), key=lambda file: file.name):
        if not file.name.endswith('.sql'):
            continue
        source = file.read_text(encoding='utf-8')
        heads = list(_HEAD.finditer(source))
        for head, following in zip(heads, [*heads[1:], None], strict=True):
            kind, name, materialized, also = head.groups()
            if name in found[kind]:
                raise ValueError(f'{file.name}: there is another {kind} "{name}" already')
            lines = source[head.end() : following.start() if following else None].splitlines()
            text = '\n'.join(line for line in lines if line.strip() and not line.lstrip().startswith('--'))
            found[kind][name] = Block(text, bool(materialized), also or '')
    return found


def _needed(block: Block, seen: set[str]) -> Iterator[str]:
    """The expressions that a block reads from, each after those that it reads from itself."""
    expressions = _blocks()['cte']
    for name in block.reads:
        if name in expressions and name not in seen:
            seen.add(name)
            yield from _needed(expressions[name], seen)
            yield name


@cache
def compose(
    statement: str, *, contract: str = CONTRACT_TABLE, contracts: str = 'every_contract', late: str = 'feed_is_late'
) -> str:
    """The named statement with its expressions. Raises `KeyError` for a name that no file has.

    `contract` is the table of contracts, `contracts` the part that says which of them, `late` the part that says
    whether a billing feed is late. Every value is a parameter of the statement, none is written into it.
    """
    blocks = _blocks()
    last = blocks['statement'][statement]
    expressions = [
        f'{name} AS {"MATERIALIZED " if blocks["cte"][name].materialized else ""}(\n{blocks["cte"][name].text}\n)'
        for name in _needed(last, set())
    ]
    text = ('WITH ' + ', '.join(expressions) + '\n' if expressions else '') + last.text
    return text.format(contract=contract, contracts=blocks['part'][contracts].text, late=blocks['part'][late].text)
