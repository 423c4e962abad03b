"""The syntax of RouterOS's console language, as far as operators and drivers use it: text in, tree out.

A whole line is parsed before any of it runs, as RouterOS does: a syntax error anywhere changes nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache, partial, reduce
from typing import Any, NoReturn

ESCAPES = {'n': '\n', 'r': '\r', 't': '\t', 'a': '\a', 'b': '\b', 'f': '\f', 'v': '\v', '_': ' '}
HEX = '0123456789ABCDEF'
BLANKS = frozenset(' \t\r\n;')
WORD_END = ' \t\r\n;"$[](){}='
FLAGS = frozenset({'without-paging', 'terse', 'detail', 'count-only', 'as-value', 'value-list', 'brief', 'stats'})
# Functions of an expression in brackets or statements; the number is how many plain values each takes.
BUILTINS = {
    'put': 1, 'error': 1, 'len': 1, 'tostr': 1, 'tonum': 1, 'typeof': 1, 'delay': 1, 'local': 2, 'global': 2,
    'set': 2, 'if': 1, 'foreach': 1, 'do': 1, 'pick': 3, 'nothing': 0, 'return': 1,
}  # fmt: skip
ARGUMENTS = frozenset({'proplist', 'from', 'copy-from', 'value-name', 'number', 'numbers', 'place-before'})
COMMANDS = frozenset({'print', 'find', 'get', 'set', 'add', 'remove', 'enable', 'disable', 'export', 'comment', 'edit'})

LEVELS = (('||', 'or'), ('&&', 'and'), ('!=', '<=', '>=', '=', '<', '>', '~'), ('+', '-'), ('*',), ('.',), ('->',))
LEVEL = {operator: level for level, operators in enumerate(LEVELS) for operator in operators}
# `name="a" or name="b" or …` to the end of a condition, as drivers ask for many rows: read in one go.
ALTERNATIVE = re.compile(r'([\w-]+)="([^"\\$]*)"')
ALTERNATIVES = re.compile(rf'{ALTERNATIVE.pattern}(?: or {ALTERNATIVE.pattern})+(?=[]);]|$)')
OPERATOR = re.compile('|'.join(map(re.escape, sorted(LEVEL, key=len, reverse=True))))


class RouterOSSyntaxError(Exception):
    """`str()` is what the console prints."""


class UnfinishedError(Exception):
    """The line ends inside a string or a bracket: the console asks for more. `str()` is its continuation prompt."""


@dataclass(frozen=True)
class Text:
    """A string: literal pieces and expressions to put in between."""

    parts: tuple[Any, ...]


@dataclass(frozen=True)
class Word:
    text: str


@dataclass(frozen=True)
class Variable:
    name: str


@dataclass(frozen=True)
class Substitution:
    """`[command]`: its value."""

    body: tuple[Any, ...]


@dataclass(frozen=True)
class Block:
    """`{statements}`; where a value is wanted and it holds plain values, an array."""

    body: tuple[Any, ...]


@dataclass(frozen=True)
class Binary:
    operator: str
    left: Any
    right: Any


@dataclass(frozen=True)
class Joined:
    """`a.b.c`."""

    parts: tuple[Any, ...]


@dataclass(frozen=True)
class Not:
    operand: Any


@dataclass(frozen=True)
class Property:
    """The name left of a comparison in a `find` or `where`."""

    name: str


@dataclass(frozen=True)
class Builtin:
    name: str
    values: tuple[Any, ...]
    named: Mapping[str, Any]


@dataclass(frozen=True)
class MenuCommand:
    menu: str  # "ppp secret"
    command: str
    values: tuple[Any, ...] = ()
    named: Mapping[str, Any] = field(default_factory=dict)
    flags: frozenset[str] = frozenset()
    where: Any = None


@dataclass(frozen=True)
class EnterMenu:
    menu: str


@cache
def _past(characters: str, others: bool = False) -> Callable[[str, int], re.Match[str]]:
    """Matches as many of `characters` (or of all others) as stand at a place."""
    return re.compile(f'[{"^" if others else ""}{re.escape(characters)}]*').match  # type: ignore[return-value]


# Blocks that were read before, with their texts, by the menu they stood in: drivers send the same ones again and again.
Blocks = dict[str, list[tuple[str, 'Block']]]
MOST_BLOCKS = 32


def parse(
    source: str, menus: Mapping[str, frozenset[str]], menu: str = '', blocks: Blocks | None = None
) -> tuple[Any, ...]:
    """Statements of `source`. `menus` maps a menu's path to its property names; `menu` is where the console stands;
    `blocks` is what a caller with the same menus keeps for the next line.

    Raises `RouterOSSyntaxError` or `UnfinishedError`.
    """
    return _Parser(source, menus, menu, {} if blocks is None else blocks).program()


class _Parser:
    def __init__(self, source: str, menus: Mapping[str, frozenset[str]], menu: str, blocks: Blocks) -> None:
        self.source = source
        self.menus = menus
        self.menu = menu
        self.blocks = blocks
        self.at = 0

    # --- characters ---

    def peek(self, count: int = 1) -> str:
        return self.source[self.at : self.at + count]

    def skip(self, extra: str = '') -> None:
        if self.source[self.at : self.at + 1] in BLANKS:
            self.at = _past(' \t' + extra)(self.source, self.at).end()

    def fail(self, what: str, at: int | None = None) -> NoReturn:
        column = (self.at if at is None else at) + 1
        raise RouterOSSyntaxError(f'{what} (line 1 column {column})')

    def expect(self, character: str, continuation: str) -> None:
        self.skip('\r\n')
        if self.at >= len(self.source):
            raise UnfinishedError(continuation)
        if self.peek() != character:
            self.fail('syntax error')
        self.at += 1

    def word(self, stop: str = WORD_END) -> str:
        start = self.at
        self.at = _past(stop, True)(self.source, start).end()
        return self.source[start : self.at]

    # --- statements ---

    def program(self) -> tuple[Any, ...]:
        body = self.statements('')
        if self.at < len(self.source):
            self.fail('syntax error')
        return body

    def statements(self, close: str) -> tuple[Any, ...]:
        body = []
        menu = self.menu
        while True:
            self.skip(';\r\n')
            if self.at >= len(self.source) or (close and self.peek() == close):
                break
            if self.peek() == '#':
                while self.at < len(self.source) and self.peek() not in '\r\n':
                    self.at += 1
                continue
            body.append(self.statement())
            self.skip()
            if self.at < len(self.source) and self.peek() not in ';\r\n' + close:
                self.fail('expected end of command')
        if close:
            self.menu = menu  # a menu entered in a block is left at its end
        return tuple(body)

    def statement(self) -> Any:
        if self.peek() == '{':
            return self.block()
        if self.peek() == ':':
            return self.builtin()
        return self.menu_command()

    def block(self) -> Block:
        known = self.blocks.setdefault(self.menu, [])
        for text, block in known:
            if self.source.startswith(text, self.at):  # a block ends at its own brace: nothing longer begins so
                self.at += len(text)
                return block
        start = self.at
        self.at += 1
        body = self.statements('}')
        self.expect('}', '{... ')
        known[MOST_BLOCKS:] = []
        known.insert(0, (self.source[start : self.at], Block(body)))
        return known[0][1]

    def builtin(self) -> Builtin:
        start = self.at
        self.at += 1
        name = self.word(WORD_END + ':')
        if name not in BUILTINS:
            self.fail(f'bad command name {name}', start)
        values: list[Any] = []
        named: dict[str, Any] = {}
        while True:
            self.skip()
            if self.at >= len(self.source) or self.peek() in ';\r\n])}':
                break
            key = self.argument_name()
            if key is None:
                if len(values) >= BUILTINS[name]:
                    self.fail('expected end of command')
                values.append(self.value())
            else:
                if key not in ('do', 'else', 'in', 'on-error', 'from', 'to', 'command'):
                    self.fail('expected end of command', self.at - len(key) - 1)
                named[key] = self.value()
        if name == 'foreach' and not values:
            self.fail('expected variable name')
        return Builtin(name, tuple(values), named)

    def menu_command(self) -> Any:
        path = [] if self.peek() == '/' else self.menu.split()
        if self.peek() == '/':
            self.at += 1
            self.skip()
        while True:
            self.skip()
            start = self.at
            if self.peek(2) == '..':
                self.at += 2
                path = path[:-1]
                continue
            name = self.word(WORD_END + '/')
            if self.peek() == '/' and name:
                self.at += 1  # v7's "/ppp/secret/print"
            if name in COMMANDS and ' '.join(path) in self.menus:
                return self.arguments(' '.join(path), name)
            if not name:
                return self.enter(path, start)
            path.append(name)
            joined = ' '.join(path)
            if not any(known == joined or known.startswith(joined + ' ') for known in self.menus):
                self.fail(f'bad command name {name}', start)

    def enter(self, path: list[str], start: int) -> EnterMenu:
        if self.at < len(self.source) and self.peek() not in ';\r\n})]':
            self.fail('expected command name', start)
        self.menu = ' '.join(path)
        return EnterMenu(self.menu)

    def arguments(self, menu: str, command: str) -> MenuCommand:
        values: list[Any] = []
        named: dict[str, Any] = {}
        flags: set[str] = set()
        where = None
        known = self.menus[menu]
        outer, self.menu = self.menu, menu  # "[find …]" inside means this menu
        while True:
            self.skip()
            if self.at >= len(self.source) or self.peek() in ';\r\n])}':
                break
            start = self.at
            if command == 'find' or self.source.startswith('where', start):
                if self.source.startswith('where', start):
                    self.at += len('where')
                    self.skip()
                if self.at < len(self.source) and self.peek() not in ';])}':
                    where = self.condition()
                continue
            key = self.argument_name()
            if key is not None:
                if key not in known and key not in ARGUMENTS:
                    self.fail('expected end of command', start)
                named[key] = self.value()
                continue
            value = self.value()
            if isinstance(value, Word) and value.text in FLAGS and command == 'print':
                flags.add(value.text)
            elif values and command != 'get':
                self.fail('expected end of command', start)
            else:
                values.append(value)
        self.menu = outer
        return MenuCommand(menu, command, tuple(values), named, frozenset(flags), where)

    def argument_name(self) -> str | None:
        """`name` of a `name=` here, which is consumed; else None and nothing is."""
        start = self.at
        name = self.word(WORD_END + '/:')
        if name and self.peek() == '=':
            self.at += 1
            return name
        self.at = start
        return None

    # --- values ---

    def value(self) -> Any:
        character = self.peek()
        if character == '"':
            return self.string()
        if character == '$':
            return self.variable()
        if character == '[':
            return self.substitution()
        if character == '{':
            return self.block()
        if character == '(':
            return self.parenthesis()
        word = self.word(' \t\r\n;"$[](){}')
        if not word:
            self.fail('syntax error')
        return Word(word)

    def string(self) -> Text:
        self.at += 1
        parts: list[Any] = []
        raw = bytearray()

        def flush() -> None:
            if raw:
                parts.append(raw.decode('utf-8', 'surrogateescape'))
                raw.clear()

        while True:
            if self.at >= len(self.source):
                raise UnfinishedError('"... ')
            character = self.peek()
            if character == '"':
                self.at += 1
                flush()
                return Text(tuple(parts))
            if character == '\\':
                raw += self.escape()
            elif character == '$':
                flush()
                parts.append(self.variable())
            else:
                raw += self.word('"\\$').encode('utf-8', 'surrogateescape')

    def escape(self) -> bytes:
        code = self.source[self.at + 1 : self.at + 2]
        pair = self.source[self.at + 1 : self.at + 3]
        if len(pair) == 2 and all(digit in HEX for digit in pair):
            self.at += 3
            return bytes([int(pair, 16)])
        self.at += 2
        if code and code in '"\\$?':
            return code.encode()
        if code not in ESCAPES:
            self.fail('syntax error', self.at - 1)
        return ESCAPES[code].encode()

    def variable(self) -> Any:
        self.at += 1
        if self.peek() == '(':
            return self.parenthesis()
        if self.peek() == '[':
            return self.substitution()
        if self.peek() == '"':
            text = self.string()
            return Variable(''.join(map(str, text.parts)))
        start = self.at
        while self.at < len(self.source) and self.source[self.at].isalnum():
            self.at += 1
        if start == self.at:
            self.fail('expected variable name')
        return Variable(self.source[start : self.at])

    def substitution(self) -> Substitution:
        self.at += 1
        body = self.statements(']')
        self.expect(']', '[... ')
        return Substitution(body)

    # --- expressions ---

    def parenthesis(self) -> Any:
        self.at += 1
        inner = self.binary(0)
        self.expect(')', '(... ')
        return inner

    def binary(self, level: int) -> Any:
        """An operand, and all that follows and binds at least as tightly as `level`."""
        left = self.operand()
        while True:
            self.skip('\r\n')
            match = OPERATOR.match(self.source, self.at)
            if match is None or LEVEL[match[0]] < level:
                return left
            self.at = match.end()
            right = self.binary(LEVEL[match[0]] + 1)
            if match[0] != '.':
                left = Binary(match[0], left, right)
            else:
                left = Joined((*left.parts, right) if isinstance(left, Joined) else (left, right))

    def operand(self) -> Any:
        self.skip('\r\n')
        if self.at >= len(self.source):
            raise UnfinishedError('(... ')
        if self.peek() == '!':
            self.at += 1
            return Not(self.operand())
        if self.peek() in '"$[({':
            return self.value()
        word = self.word(' \t\r\n;"$[](){}=!<>~&|+*')
        if not word:
            self.fail('syntax error')
        return Word(word)

    def condition(self) -> Any:
        """Comparisons of properties, joined by `and`, `or`, or nothing, which is `and`; `or` binds weakest."""
        alternatives = ALTERNATIVES.match(self.source, self.at)
        if alternatives is not None:
            pairs = ALTERNATIVE.findall(alternatives[0])
            if self.menus[self.menu].issuperset(name for name, _ in pairs):
                self.at = alternatives.end()
                equal = (Binary('=', Property(name), Text((text,) if text else ())) for name, text in pairs)
                return reduce(partial(Binary, '||'), equal)
        left = self.conjunction()
        while True:
            self.skip()
            operator = next((name for name in ('||', 'or ') if self.source.startswith(name, self.at)), None)
            if operator is None:
                return left
            self.at += len(operator)
            left = Binary('||', left, self.conjunction())

    def conjunction(self) -> Any:
        left = self.comparison()
        while True:
            self.skip()
            operator = next((name for name in ('&&', 'and ') if self.source.startswith(name, self.at)), '')
            if not operator and (
                self.at >= len(self.source)
                or self.peek() in ';\r\n])}'
                or self.source.startswith(('||', 'or '), self.at)
            ):
                return left
            self.at += len(operator)
            left = Binary('&&', left, self.comparison())

    def comparison(self) -> Any:
        self.skip()
        if self.peek() == '!':
            self.at += 1
            return Not(self.comparison())
        if self.peek() == '(':
            self.at += 1
            inner = self.condition()
            self.expect(')', '(... ')
            return inner
        start = self.at
        name = self.word(WORD_END + '!<>~&|')
        if not name or name not in self.menus[self.menu] | {'.id', 'dynamic', 'disabled'}:
            self.fail('expected end of command', start)
        for operator in ('!=', '<=', '>=', '=', '<', '>', '~'):
            if self.source.startswith(operator, self.at):
                self.at += len(operator)
                return Binary(operator, Property(name), self.value())
        return Property(name)
