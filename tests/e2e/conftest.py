"""One running stack for all end-to-end tests: simulated routers, the lab (with root), NetBox and real workers."""

import pytest

from dev.stack import stack


@pytest.fixture(scope='session')
def running():
    with stack('netbox_e2e') as running:
        # One wave: a run of two lines whose first fails is otherwise paused, which is another test's business.
        running.configure(waves='rest', soak_seconds=0)
        yield running
