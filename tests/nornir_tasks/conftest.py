import pytest

from nornir_tasks.cli import run as cli_run
from nornir_tasks.cli import terminal
from tests.simulators.netbox import TOKEN
from tests.simulators.runbook import runbook_world


@pytest.fixture
def world(monkeypatch):
    """Routers, homes and NetBox, with the environment of an engineer who works on them."""
    monkeypatch.setattr(terminal.console, '_width', 200)
    monkeypatch.setattr(cli_run, 'POLL_SECONDS', 0.05)
    monkeypatch.setenv('DELINQUENCY_CREDENTIAL_CORE', '{"username": "admin", "password": "admin"}')
    with runbook_world() as world:
        monkeypatch.setenv('NETBOX_URL', world.netbox.url)
        monkeypatch.setenv('NETBOX_TOKEN', TOKEN)
        yield world
