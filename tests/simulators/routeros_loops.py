"""Bodies of loops as Python functions: a router prints thousands of rows by script, and benchmarks share its CPU.

Only what rows are printed with is turned into functions; everything else is left to the interpreter, which says what
each of them means.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tests.simulators.routeros_state import as_text
from tests.simulators.routeros_syntax import Binary, Builtin, Joined, Substitution, Text, Variable, Word

if TYPE_CHECKING:
    from tests.simulators.routeros_script import Interpreter

Scope = dict[str, Any]
Function = Callable[[Scope], Any]
WORDS = {'yes': True, 'true': True, 'no': False, 'false': False}


def loop_body(interpreter: Interpreter, body: tuple[Any, ...]) -> list[Function]:
    return [_statement(interpreter, node) for node in body]


def _statement(interpreter: Interpreter, node: Any) -> Function:
    if isinstance(node, Builtin) and node.name in ('local', 'set') and len(node.values) == 2:
        name, value = node.values
        if isinstance(name, Word):
            return _assignment(name.text, _value(interpreter, value))
    if isinstance(node, Builtin) and node.name == 'put':
        return _put(interpreter.printed, _value(interpreter, node.values[0]))
    return lambda scope: interpreter.statement(node, scope)


def _assignment(name: str, value: Function) -> Function:
    def assign(scope: Scope) -> None:
        scope[name] = value(scope)

    return assign


def _put(printed: list[str], value: Function) -> Function:
    return lambda scope: printed.extend(as_text(value(scope)).split('\n'))


def _value(interpreter: Interpreter, node: Any) -> Function:
    if isinstance(node, Variable):
        return lambda scope: scope.get(node.name)
    if isinstance(node, Word) or (isinstance(node, Text) and all(isinstance(part, str) for part in node.parts)):
        text = WORDS.get(node.text, node.text) if isinstance(node, Word) else ''.join(node.parts)
        return lambda scope: text
    if isinstance(node, Joined):
        parts = [_value(interpreter, part) for part in node.parts]
        return lambda scope: ''.join([as_text(part(scope)) for part in parts])
    if isinstance(node, Binary) and node.operator == '->':
        return _member(_value(interpreter, node.left), _value(interpreter, node.right))
    if isinstance(node, Substitution) and len(node.body) == 1 and isinstance(node.body[0], Builtin):
        (inner,) = node.body
        if inner.name == 'tostr':
            value = _value(interpreter, inner.values[0])
            return lambda scope: as_text(value(scope))
        if inner.name == 'len':
            return _length(_value(interpreter, inner.values[0]))
    return lambda scope: interpreter.value(node, scope)


def _member(left: Function, right: Function) -> Function:
    def member(scope: Scope) -> Any:
        value = left(scope)
        return value.get(as_text(right(scope))) if isinstance(value, dict) else None

    return member


def _length(value: Function) -> Function:
    def length(scope: Scope) -> int:
        measured = value(scope)
        if isinstance(measured, list | dict):
            return len(measured)
        return len(as_text(measured).encode('utf-8', 'surrogateescape'))

    return length
