"""How several workers share the tests (`make test`)."""

from xdist.scheduler import LoadFileScheduling

E2E = 'tests/e2e/'


class Shared(LoadFileScheduling):
    """A file's tests stay on one worker, and all of `e2e` on one: they share a running stack."""

    def _split_scope(self, nodeid):
        return E2E if nodeid.startswith(E2E) else super()._split_scope(nodeid)


def pytest_xdist_make_scheduler(config, log):
    return Shared(config, log)


def pytest_collection_modifyitems(items):
    """What takes longest, and mostly waits, begins at once."""
    items.sort(key=lambda item: not item.nodeid.startswith(E2E))
