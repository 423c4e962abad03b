"""Running RouterOS console lines against a router's state."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from tests.simulators.routeros_loops import WORDS, loop_body
from tests.simulators.routeros_state import INDEXED, Router, RouterOSError, Row, as_text
from tests.simulators.routeros_syntax import (
    BUILTINS,
    Binary,
    Block,
    Blocks,
    Builtin,
    EnterMenu,
    Joined,
    MenuCommand,
    Not,
    Property,
    Substitution,
    Text,
    Variable,
    Word,
    parse,
)

TERSE_FLAGS = {'disabled': 'X', 'dynamic': 'D', 'default': '*'}


class Interpreter:
    """One console's: `run` a line; what it prints comes as lines. Global variables and the menu stay."""

    def __init__(self, router: Router) -> None:
        self.router = router
        self.menu = ''
        self.variables: dict[str, Any] = {}
        self.printed: list[str] = []
        self.blocks: Blocks = {}

    def run(self, line: str) -> list[str]:
        """Carry out one line. Raises `RouterOSSyntaxError`, `UnfinishedError`; a failure is printed, as on the box."""
        self.router.tick()
        self.printed = []
        body = parse(line, self.router.menus, self.menu, self.blocks)
        try:
            self._body(body, dict(self.variables))
        except RouterOSError as error:
            self.printed.append(str(error))
        self.router.tick()
        return self.printed

    def _body(self, body: tuple[Any, ...], scope: dict[str, Any]) -> Any:
        value = None
        for statement in body:
            value = self.statement(statement, scope)
        return value

    def statement(self, node: Any, scope: dict[str, Any]) -> Any:
        if type(node) is Builtin:
            return BUILTIN[node.name](self, node, scope)
        if isinstance(node, Block):
            return self._body(node.body, scope)
        if isinstance(node, EnterMenu):
            self.menu = node.menu
            return None
        return self._menu_command(node, scope)

    # --- values ---

    def value(self, node: Any, scope: dict[str, Any]) -> Any:
        evaluate = VALUES.get(type(node))
        if evaluate is None:
            raise RouterOSError('syntax error')
        return evaluate(self, node, scope)

    def _word(self, node: Word, scope: dict[str, Any]) -> Any:
        return WORDS.get(node.text, node.text)

    def _text(self, node: Text, scope: dict[str, Any]) -> str:
        return ''.join([part if isinstance(part, str) else as_text(self.value(part, scope)) for part in node.parts])

    def _variable(self, node: Variable, scope: dict[str, Any]) -> Any:
        return scope.get(node.name)

    def _substitution(self, node: Substitution, scope: dict[str, Any]) -> Any:
        return self._body(node.body, dict(scope))

    def _joined(self, node: Joined, scope: dict[str, Any]) -> str:
        return ''.join([as_text(self.value(part, scope)) for part in node.parts])

    def _not(self, node: Not, scope: dict[str, Any]) -> bool:
        return not self.value(node.operand, scope)

    def _binary(self, node: Binary, scope: dict[str, Any]) -> Any:
        left = self.value(node.left, scope)
        if node.operator in ('&&', 'and'):
            return bool(left) and bool(self.value(node.right, scope))
        if node.operator in ('||', 'or'):
            return bool(left) or bool(self.value(node.right, scope))
        right = self.value(node.right, scope)
        if node.operator == '->':
            return left.get(as_text(right)) if isinstance(left, dict) else None
        return OPERATORS[node.operator](left, right)

    def matches(self, condition: Any, row: Row, scope: dict[str, Any]) -> bool:
        if condition is None:
            return True
        if isinstance(condition, Not):
            return not self.matches(condition.operand, row, scope)
        if isinstance(condition, Property):
            return row.get(condition.name) is True
        if condition.operator == '&&':
            return self.matches(condition.left, row, scope) and self.matches(condition.right, row, scope)
        if condition.operator == '||':
            return self.matches(condition.left, row, scope) or self.matches(condition.right, row, scope)
        return bool(OPERATORS[condition.operator](row.get(condition.left.name), self.value(condition.right, scope)))

    # --- functions ---

    def _do_put(self, node: Builtin, scope: dict[str, Any]) -> None:
        self.printed += as_text(self.value(node.values[0], scope)).split('\n')

    def _do_error(self, node: Builtin, scope: dict[str, Any]) -> None:
        raise RouterOSError(as_text(self.value(node.values[0], scope)))

    def _do_len(self, node: Builtin, scope: dict[str, Any]) -> int:
        value = self.value(node.values[0], scope)
        return len(value) if isinstance(value, list | dict) else len(_bytes(value))

    def _do_tostr(self, node: Builtin, scope: dict[str, Any]) -> str:
        return as_text(self.value(node.values[0], scope))

    def _do_tonum(self, node: Builtin, scope: dict[str, Any]) -> int:
        return int(as_text(self.value(node.values[0], scope)))

    def _do_typeof(self, node: Builtin, scope: dict[str, Any]) -> str:
        value = self.value(node.values[0], scope)
        kinds = {bool: 'bool', int: 'num', str: 'str', list: 'array', dict: 'array', type(None): 'nothing'}
        return kinds[type(value)]

    def _do_local(self, node: Builtin, scope: dict[str, Any]) -> None:
        scope[as_text(self.value(node.values[0], {}))] = (
            self.value(node.values[1], scope) if len(node.values) > 1 else None
        )

    def _do_global(self, node: Builtin, scope: dict[str, Any]) -> None:
        self._do_local(node, scope)
        name = as_text(self.value(node.values[0], {}))
        self.variables[name] = scope[name]

    def _do_set(self, node: Builtin, scope: dict[str, Any]) -> None:
        self._do_local(node, scope)

    def _do_if(self, node: Builtin, scope: dict[str, Any]) -> Any:
        branch = 'do' if self.value(node.values[0], scope) else 'else'
        return self._body(node.named[branch].body, scope) if branch in node.named else None

    def _do_foreach(self, node: Builtin, scope: dict[str, Any]) -> None:
        name = as_text(self.value(node.values[0], {}))
        items = self.value(node.named['in'], scope) or []
        steps = loop_body(self, node.named['do'].body)
        for item in items:
            scope[name] = item
            for step in steps:
                step(scope)

    def _do_do(self, node: Builtin, scope: dict[str, Any]) -> Any:
        try:
            return self._body(node.values[0].body, scope)
        except RouterOSError:
            if 'on-error' not in node.named:
                raise
            return self._body(node.named['on-error'].body, scope)

    def _do_pick(self, node: Builtin, scope: dict[str, Any]) -> Any:
        value, *limits = (self.value(item, scope) for item in node.values)
        start, end = (int(as_text(limit)) for limit in ([*limits, int(as_text(limits[0])) + 1])[:2])
        return value[start:end] if isinstance(value, str) else value[start]

    def _do_nothing(self, node: Builtin, scope: dict[str, Any]) -> None:
        return None

    def _do_delay(self, node: Builtin, scope: dict[str, Any]) -> None:
        return None

    # --- menus ---

    def _menu_command(self, node: MenuCommand, scope: dict[str, Any]) -> Any:
        named = {name: self.value(value, scope) for name, value in node.named.items()}
        selection = named.pop('numbers', named.pop('number', None))
        values = [self.value(value, scope) for value in node.values]
        if node.command == 'find':
            return [row['.id'] for row in self._found(node, scope)]
        if node.command == 'print':
            return self._print(node, self._found(node, scope), named)
        if node.command == 'add':
            return self._add(node.menu, named)
        if selection is None and not values:
            if node.menu == 'system identity' and node.command == 'set':
                return self.router.set(node.menu, self.router.rows(node.menu), named)
            if not (node.command == 'get' and node.menu.startswith('system')):
                raise RouterOSError('missing value(s) of argument(s) numbers')
        if node.command == 'get':
            return self._get(node.menu, values, named)
        rows = self._selected(node.menu, values[0] if selection is None else selection)
        if node.command == 'remove':
            return self.router.remove(node.menu, rows)
        if node.command in ('enable', 'disable'):
            return self.router.set(node.menu, rows, {'disabled': node.command == 'disable'})
        if node.command == 'set':
            return self.router.set(node.menu, rows, named)
        raise RouterOSError(f'bad command name {node.command}')

    def _found(self, node: MenuCommand, scope: dict[str, Any]) -> list[Row]:
        table = self.router.tables[node.menu]
        exact = _exact(node.where)
        if exact is not None and all(name in INDEXED for name, _ in exact):
            # `name="a" or name="b"` need not look at every row: a router does not hang over 5,000 either.
            rows = [row for name, value in exact for row in table.where(name, as_text(self.value(value, scope)))]
            return list({row['.id']: row for row in rows}.values())
        return [row for row in table.rows.values() if self.matches(node.where, row, scope)]

    def _selected(self, menu: str, selection: Any) -> list[Row]:
        table = self.router.tables[menu]
        rows = []
        for item in selection if isinstance(selection, list) else [selection]:
            text = as_text(item)
            row = table.rows.get(text) or (table.one('name', text) if text else None)
            if row is None:
                raise RouterOSError('no such item')
            rows.append(row)
        return rows

    def _get(self, menu: str, values: list[Any], named: dict[str, Any]) -> Any:
        wanted = named.get('value-name') or (values[-1] if len(values) > 1 or menu.startswith('system') else None)
        rows = list(self.router.rows(menu)) if menu.startswith('system') else self._selected(menu, values[0])
        if len(rows) != 1:
            raise RouterOSError('invalid internal item number')
        return rows[0].get(as_text(wanted)) if wanted else dict(rows[0])

    def _add(self, menu: str, named: dict[str, Any]) -> str:
        source = named.pop('copy-from', None)
        rows = self._selected(menu, source) if source is not None else []
        if source is not None and len(rows) != 1:
            raise RouterOSError('invalid internal item number')
        return str(self.router.add(menu, named, rows[0] if rows else None)['.id'])

    def _print(self, node: MenuCommand, rows: list[Row], named: dict[str, Any]) -> Any:
        if 'count-only' in node.flags:
            self.printed.append(str(len(rows)))
            return len(rows)
        wanted = as_text(named['proplist']).split(',') if 'proplist' in named else None
        shown = [
            {key: value for key, value in row.items() if wanted is None or key in wanted or key == '.id'}
            for row in rows
        ]
        if 'as-value' in node.flags:
            return shown
        for number, row in enumerate(shown):
            flags = ''.join(flag for name, flag in TERSE_FLAGS.items() if row.get(name) is True)
            texts = {key: as_text(value) for key, value in row.items() if key != '.id' and not isinstance(value, bool)}
            if 'terse' in node.flags:
                body = ' '.join(f'{key}={value}' for key, value in texts.items())
            else:
                body = ' '.join(f'{key}={_quoted(value)}' for key, value in texts.items())
            self.printed.append(f'{number:>2} {flags:<3} {body} ')
        return None


def _exact(condition: Any) -> list[tuple[str, Any]] | None:
    """The properties and values of a condition made only of `property=value` joined by `or`."""
    if isinstance(condition, Binary):
        if condition.operator == '=' and isinstance(condition.left, Property):
            return [(condition.left.name, condition.right)]
        if condition.operator == '||':
            left, right = _exact(condition.left), _exact(condition.right)
            return left + right if left is not None and right is not None else None
    return None


def _quoted(value: str) -> str:
    return '"' + value.replace('\\', '\\\\').replace('"', '\\"').replace('$', '\\$') + '"'


def _bytes(value: Any) -> bytes:
    return as_text(value).encode('utf-8', 'surrogateescape')


def _equal(left: Any, right: Any) -> bool:
    if isinstance(left, bool) or isinstance(right, bool):
        return as_text(left or False) == as_text(right or False)
    return as_text(left) == as_text(right)


def _number(value: Any) -> int:
    try:
        return int(as_text(value) or 0)
    except ValueError:
        raise RouterOSError('cannot compare') from None


OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    '=': _equal,
    '!=': lambda left, right: not _equal(left, right),
    '~': lambda left, right: re.search(as_text(right), as_text(left)) is not None,
    '<': lambda left, right: _number(left) < _number(right),
    '>': lambda left, right: _number(left) > _number(right),
    '<=': lambda left, right: _number(left) <= _number(right),
    '>=': lambda left, right: _number(left) >= _number(right),
    '+': lambda left, right: _number(left) + _number(right),
    '-': lambda left, right: _number(left) - _number(right),
    '*': lambda left, right: _number(left) * _number(right),
}
VALUES: dict[type, Callable[..., Any]] = {
    Word: Interpreter._word,
    Text: Interpreter._text,
    Variable: Interpreter._variable,
    Substitution: Interpreter._substitution,
    Joined: Interpreter._joined,
    Not: Interpreter._not,
    Binary: Interpreter._binary,
}
BUILTIN = {name: getattr(Interpreter, f'_do_{name}') for name in BUILTINS if hasattr(Interpreter, f'_do_{name}')}
