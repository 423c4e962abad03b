"""How several workers share the tests (`make test`), and that none is skipped where all that they want is there."""

import os
import signal
import threading

import pytest
from xdist.scheduler import LoadFileScheduling

# Most tests speak to simulators on loopback; what a credential is for is tests/nornir_tasks/test_credentials.py.
os.environ.setdefault('DELINQUENCY_UNBOUND_CREDENTIALS', '1')

E2E = 'tests/e2e/'
HUNG_AFTER = 900  # seconds, of one test


class Shared(LoadFileScheduling):
    """A file's tests stay on one worker, and all of `e2e` on one: they share a running stack."""

    def _split_scope(self, nodeid):
        return E2E if nodeid.startswith(E2E) else super()._split_scope(nodeid)


def pytest_xdist_make_scheduler(config, log):
    return Shared(config, log)


def pytest_collection_modifyitems(items):
    """What takes longest, and mostly waits, begins at once."""
    items.sort(key=lambda item: not item.nodeid.startswith(E2E))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    """What hangs fails its own test, and is not the end of all others."""
    if threading.current_thread() is not threading.main_thread():
        return (yield)

    def hung(number, frame):
        raise TimeoutError(f'{item.nodeid} has not ended within {HUNG_AFTER} s')

    before = signal.signal(signal.SIGALRM, hung)
    signal.alarm(HUNG_AFTER)
    try:
        return (yield)
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport():
    """A skipped test proves nothing: where `CI` is set, on a machine made for the tests, it has failed."""
    report = yield
    if report.skipped and os.environ.get('CI') and not hasattr(report, 'wasxfail'):
        report.outcome = 'failed'
        report.longrepr = f'skipped where nothing may be: {report.longrepr[2]}'
    return report


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_make_collect_report():
    """The same for a file that skips itself as it is collected."""
    report = yield
    if report.outcome == 'skipped' and os.environ.get('CI'):
        report.outcome = 'failed'
        report.longrepr = f'skipped where nothing may be: {report.longrepr[2]}'
    return report
