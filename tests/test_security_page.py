"""docs/security.md names a test for each attack, and each of them is there."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / 'docs' / 'security.md').read_text()


def test_the_tests_that_the_page_names_are_there():
    files = {path.name: path.read_text() for path in (ROOT / 'tests').rglob('test_*.py')}
    defined = set(re.findall(r'def (test_\w+)\(', '\n'.join(files.values())))
    named = set(re.findall(r'`(test_\w+)(\.py)?`', PAGE))
    assert len(named) > 40
    missing = {name for name, suffix in named if (f'{name}.py' not in files if suffix else name not in defined)}
    assert missing == set()


def test_every_attack_has_a_test():
    rows = [
        line
        for line in PAGE.partition('## What it is built on')[0].splitlines()
        if line.startswith('| ') and line.count('|') == 4
    ]
    attacks = [row for row in rows if not row.startswith(('| Attack', '| Asset'))]
    assert [row for row in attacks if 'test_' not in row] == []


def test_it_says_how_to_report_a_hole():
    assert 'SECURITY.md' in PAGE
    assert 'Report a vulnerability' in (ROOT / 'SECURITY.md').read_text()
