"""The runbooks in the docs do what they say: their very text is run against routers that keep real state."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import nornir_tasks
from nornir_tasks.change import AccessState
from tests.simulators.fixtures import THROTTLED
from tests.simulators.runbook import World

DOCS = Path(__file__).parents[2] / 'docs'
NORMAL, BLOCKED = AccessState.normal(), AccessState.blocked()


class Page:
    """A page of the docs, run from top to bottom."""

    def __init__(self, world: World, name: str) -> None:
        self.world = world
        self.blocks = re.findall(r'```(sh|python)\n(.*?)```', (DOCS / 'runbooks' / name).read_text(), re.DOTALL)
        self.names: dict[str, object] = {}
        self.printed: list[str] = []

    def run(self, kind: str, number: int = 0) -> None:
        """Run the block of that kind and number; a command must end with 0."""
        text = [block for found, block in self.blocks if found == kind][number]
        if kind == 'python':
            self.names['print'] = lambda *values: self.printed.append(' '.join(map(str, values)))
            exec(text, self.names)  # the very text that is shown
            return
        for line in text.splitlines():
            self.command(line)

    def command(self, line: str, exit_code: int = 0) -> str:
        last = self.world.netbox.runs[-1] if self.world.netbox.runs else {'id': 0, 'plan_hash': ''}
        command, *arguments = shlex.split(line.replace('$RUN', str(last['id'])).replace('$HASH', last['plan_hash']))
        assert command == 'delinquency'
        result = self.world.cli(*arguments)
        assert result.exit_code == exit_code, f'{line}\n{result.output}'
        return result.output


def rates(world):
    return {line['username']: world.service(line['username'])['live']['rate'] for line in world.netbox.lines}


def test_bulk_throttle(world):
    world.netbox.want(THROTTLED, *(f'bras-1-{number}' for number in range(1, 5)))
    page = Page(world, 'bulk_throttle.md')
    page.run('sh')
    assert [rate for name, rate in rates(world).items() if name.startswith('bras-1')] == [[1000, 512]] * 4
    assert [rate for name, rate in rates(world).items() if name.startswith('bras-2')] == [[20000, 5000]] * 4
    page.run('sh', 1)


def test_bulk_throttle_from_python(world, monkeypatch):
    monkeypatch.setattr('nornir_tasks.runners.waves.WavesRunner._soak', lambda *args: None)  # a minute between waves
    world.netbox.want(THROTTLED)
    page = Page(world, 'bulk_throttle.md')
    page.run('python')
    assert page.printed == []
    assert [rate for name, rate in rates(world).items() if name.startswith('bras-2')] == [[1000, 512]] * 4
    assert world.netbox.runs[-1]['status'] == 'completed'


def test_drift_that_takes_access_away_is_put_right(world):
    world.approved(BLOCKED, 'bras-1-1', 'bras-1-2')
    world.cli('apply', 1, '--soak', '0')
    world.netbox.want(NORMAL, 'bras-1-1')  # paid, and nobody restored it
    page = Page(world, 'drift.md')
    (command,) = (block for kind, block in page.blocks[:1])
    shown = page.command(command, exit_code=1)
    assert 'bras-1-1' in shown
    page.run('python')
    assert world.blocked == ['bras-1-2']
    assert page.printed == ['1 applied ']
    page.run('sh', 1)


def test_restore_by_hand(world):
    world.approved(BLOCKED, 'bras-1-1', 'bras-1-2')
    world.cli('apply', 1, '--soak', '0')
    world.netbox.want(NORMAL, 'bras-1-1')
    page = Page(world, 'restore.md')
    page.run('sh')
    assert world.blocked == ['bras-1-2']
    page.names |= {name: world.netbox.points[0][name.lower()] for name in ('PORT', 'HOST_KEY')}
    page.run('python')
    assert world.blocked == []
    assert page.printed == ['applied ']


def test_revert(world):
    before = world.services
    world.approved(THROTTLED)
    world.cli('apply', 1, '--soak', '0')
    Page(world, 'revert.md').run('sh')
    assert world.services == before


def test_tasks_of_ones_own(world):
    page = Page(world, 'nornir.md')
    page.run('python')
    assert set(page.names['versions']) == {'bras-1', 'bras-2'}
    assert all(version.startswith('7.') for version in page.names['versions'].values())
    page.run('python', 1)
    assert page.names['outcomes'] == ['noop'] * 4


@pytest.mark.parametrize('page', sorted(path.name for path in (DOCS / 'runbooks').glob('*.md')))
def test_every_page_of_the_runbooks_is_run_and_listed(page):
    assert f'runbooks/{page}' in (DOCS / 'runbooks.md').read_text()
    assert f"'{page}'" in Path(__file__).read_text()


def test_the_docs_name_the_whole_surface_and_it_is_importable():
    table = (DOCS / 'runbooks.md').read_text().partition('## From Python')[2]
    assert set(nornir_tasks.__all__) == set(re.findall(r'`(\w+)`', table)) - {'nornir_tasks'}
    assert set(nornir_tasks.__all__) == set(nornir_tasks._HOME)
    for name in nornir_tasks.__all__:
        assert getattr(nornir_tasks, name).__name__ == name
    with pytest.raises(AttributeError, match='no attribute'):
        nornir_tasks.nothing  # noqa: B018


def test_the_surface_costs_nothing_until_it_is_used():
    program = (
        'import sys, nornir_tasks; print([name for name in ("nornir", "paramiko", "pynetbox") if name in sys.modules])'
    )
    assert subprocess.check_output([sys.executable, '-c', program], text=True).strip() == '[]'
