"""One running stack for all end-to-end tests: simulated routers, the lab (with root), NetBox and real workers.

It ends with the last of them, and leaves the environment as it was for what this process tests next.
"""

import os
import sys

import pytest

from dev.instance import copy_template
from dev.services import Postgres
from dev.stack import stack


@pytest.fixture(scope='package')
def postgres():
    """A server of its own, since it is restarted under way; None where the user gave one, which is then used."""
    shared = os.environ['DATABASE_URL']
    if not Postgres().is_at(shared):
        yield None
        return
    with Postgres('postgres-e2e') as postgres, pytest.MonkeyPatch.context() as patch:
        copy_template({'DATABASE_URL': shared}, {'DATABASE_URL': postgres.url})
        patch.setenv('DATABASE_URL', postgres.url)
        yield postgres


@pytest.fixture(scope='package')
def running(tmp_path_factory, postgres):
    command = (sys.executable, '-m', 'tests.e2e.dying_worker')
    with pytest.MonkeyPatch.context() as patch:
        # Workers that can be told to die at a step of their work: see `dying_worker`.
        patch.setenv('DELINQUENCY_TEST_DIE', str(tmp_path_factory.mktemp('workers') / 'die'))
        with stack('netbox_e2e', worker_command=command, postgres=postgres) as running:
            # One wave: a run of two lines whose first fails is otherwise paused, which is another test's business.
            running.configure(waves='rest', soak_seconds=0)
            yield running
