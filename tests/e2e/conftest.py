"""One running stack for all end-to-end tests: simulated routers, the lab (with root), NetBox and real workers."""

import os
import sys

import pytest

from dev.stack import stack


@pytest.fixture(scope='session')
def running(tmp_path_factory):
    # Workers that can be told to die at a step of their work: see `dying_worker`.
    os.environ['DELINQUENCY_TEST_DIE'] = str(tmp_path_factory.mktemp('workers') / 'die')
    with stack('netbox_e2e', worker_command=(sys.executable, '-m', 'tests.e2e.dying_worker')) as running:
        # One wave: a run of two lines whose first fails is otherwise paused, which is another test's business.
        running.configure(waves='rest', soak_seconds=0)
        yield running
