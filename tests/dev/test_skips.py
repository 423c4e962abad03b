"""In CI a skipped test has failed."""

import os
import subprocess
import sys

import pytest

from dev.services import ROOT

TESTS = """
import pytest
import unittest

def test_that_runs(): pass

@pytest.mark.skipif(True, reason='no FreeRADIUS')
def test_that_is_marked(): pass

def test_that_skips_itself(): pytest.skip('no MariaDB')

class Case(unittest.TestCase):
    def test_of_unittest(self): self.skipTest('no lab')
"""


def run(folder, ci):
    (folder / 'conftest.py').write_text((ROOT / 'tests' / 'conftest.py').read_text())
    (folder / 'test_some.py').write_text(TESTS)
    (folder / 'test_whole.py').write_text("import pytest\npytest.skip('no root', allow_module_level=True)\n")
    env = {name: value for name, value in os.environ.items() if name not in ('CI', 'PYTEST_ADDOPTS')} | ci
    command = [sys.executable, '-m', 'pytest', '-p', 'no:django', '-q', '-rf', '--rootdir', str(folder), str(folder)]
    return subprocess.run(
        [*command, '--continue-on-collection-errors'], cwd=folder, env=env, text=True, capture_output=True, check=False
    )


@pytest.mark.parametrize(
    ('ci', 'status', 'counts'), [({}, 0, '1 passed, 4 skipped'), ({'CI': 'true'}, 1, '2 failed, 1 passed, 2 errors')]
)
def test_a_skip_is_a_failure_only_there(tmp_path, ci, status, counts):
    done = run(tmp_path, ci)
    assert counts in done.stdout
    assert done.returncode == status
    for reason in ('no FreeRADIUS', 'no MariaDB', 'no lab', 'no root') if ci else ():
        assert reason in done.stdout
