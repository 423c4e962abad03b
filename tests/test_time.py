"""No test sleeps, and none measures the clock on the wall: `tests/waiting.py` has what to do instead."""

import ast
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
# The simulators are programs with a time of their own; this is where waiting is done.
APART = (TESTS / 'simulators', TESTS / 'waiting.py')
MARK = '# clock: '  # and why, at the end of the line where a clock is the subject
CLOCKS = {'monotonic', 'monotonic_ns', 'perf_counter', 'perf_counter_ns', 'process_time'}


def offences(source: str) -> list[str]:
    """Where a sleep is, or a clock is read."""
    lines, found = source.splitlines(), []
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call) or lines[node.lineno - 1].find(MARK) >= 0:
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, 'id', '')
        of = getattr(node.func.value, 'id', '') if isinstance(node.func, ast.Attribute) else ''
        gives_way = bool(node.args) and isinstance(node.args[0], ast.Constant) and node.args[0].value == 0
        sleeps = name == 'sleep' and of in ('time', 'asyncio', '') and not gives_way
        of_loop = isinstance(node.func, ast.Attribute) and isinstance(node.func.value, ast.Call)
        reads = name in CLOCKS or (name == 'time' and (of_loop or 'loop' in of))
        if sleeps or reads:
            found.append(f'{node.lineno}: {lines[node.lineno - 1].strip()}')
    return found


def test_a_test_neither_sleeps_nor_measures_the_clock_on_the_wall():
    files = [file for file in TESTS.rglob('*.py') if not any(file.is_relative_to(place) for place in APART)]
    assert len(files) > 100
    found = [f'{file.relative_to(TESTS)}:{line}' for file in files for line in offences(file.read_text('utf-8'))]
    assert not found, f'use tests/waiting.py, or say why after "{MARK}":\n' + '\n'.join(found)


@pytest.mark.parametrize(
    ('line', 'is_one'),
    [
        ('time.sleep(1)', True),
        ('await asyncio.sleep(0.1)', True),
        ('await asyncio.sleep(0)', False),
        ('started = time.monotonic()', True),
        ('started = asyncio.get_running_loop().time()', True),
        ('started = perf_counter()', True),
        ('time.sleep(1)  # clock: the simulator has one', False),
        ('seen_at = time.time()', False),  # a moment to store is no measure
        ('clock.sleep(1)', False),
    ],
)
def test_what_is_looked_for(line, is_one):
    assert bool(offences(f'async def test():\n    {line}\n')) is is_one
