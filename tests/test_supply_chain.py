"""What the project is built on is pinned by hash, licensed and accounted for."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / 'pyproject.toml').read_text())['project']


def pins(text):
    return dict(re.findall(r'^([A-Za-z0-9._-]+)==([^\s;\\]+)', text, re.MULTILINE))


def name_of(requirement):
    return re.match(r'[A-Za-z0-9._-]+', requirement)[0].lower()


def test_every_pin_has_its_hashes_and_no_host():
    lock = (ROOT / 'dev' / 'lock.txt').read_text()
    pinned, locked = pins((ROOT / 'dev' / 'constraints.txt').read_text()), pins(lock)
    assert locked
    assert {name: locked[name] for name in locked.keys() & pinned.keys()} == {
        name: pinned[name] for name in locked.keys() & pinned.keys()
    }
    assert {name_of(each) for each in PROJECT['dependencies']} <= locked.keys()
    entries = re.split(r'\n(?=[A-Za-z0-9])', lock.split('\n', 1)[1])
    assert [entry[:60] for entry in entries if '--hash=sha256:' not in entry] == []
    assert re.findall(r'https?:|--index|--find-links', lock) == []


def test_every_dependency_is_in_the_table():
    page = (ROOT / 'docs' / 'security.md').read_text()
    listed = {name.lower() for name in re.findall(r'^\| ([\w-]+)(?: \([\w, ]+\))? \|', page, re.MULTILINE)}
    extras = PROJECT['optional-dependencies']
    needed = [*PROJECT['dependencies'], *(each for name, found in extras.items() if name != 'dev' for each in found)]
    assert {name_of(each) for each in needed} - listed == set()
