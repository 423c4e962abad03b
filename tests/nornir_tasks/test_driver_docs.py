"""The docs of drivers say what is so: the example runs, and the support table is the drivers' own."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from nornir_tasks.change import AccessChange, AccessState, AccessTarget, Outcome
from nornir_tasks.connections.ssh import SSHSession
from nornir_tasks.credentials import Credential
from nornir_tasks.drivers import available_drivers, get_driver
from nornir_tasks.drivers.support_table import COLUMNS, own_drivers, support_table
from nornir_tasks.engine.journal import MemoryJournal
from nornir_tasks.engine.tasks import PointWork
from nornir_tasks.radius.dialects import dialects
from tests.simulators.openssh import openssh_server

DOCS = Path(__file__).parents[2] / 'docs' / 'drivers'
EXAMPLE = re.search(r'```python\n(.*?)```', (DOCS / 'writing.md').read_text(), re.DOTALL)[1]
# accel-ppp's command, keeping one line a session: login, interface, rate, contracted rate.
ACCEL_CMD = """#!/bin/sh
state=$(dirname "$0")/state
case "$1 $2" in
    'show sessions')
        echo ' username | ifname | rate-limit '
        echo '----------+--------+------------'
        while read -r user interface rate full; do echo " $user | $interface | $rate "; done < "$state" ;;
    'shaper change')
        grep -q " $3 " "$state" || { echo 'not found'; exit 1; }
        sed -i "s#^\\([^ ]* $3\\) [^ ]* #\\1 $4 #" "$state" ;;
    'shaper restore') sed -i "s#^\\([^ ]* $3\\) [^ ]* \\(.*\\)#\\1 \\2 \\2#" "$state" ;;
esac
"""


@pytest.fixture
def accel(tmp_path):
    (tmp_path / 'state').write_text('ana ppp0 20000/5000 20000/5000\nbob ppp1 20000/5000 20000/5000\n')
    (tmp_path / 'accel-cmd').write_text(ACCEL_CMD)
    (tmp_path / 'accel-cmd').chmod(0o755)
    with openssh_server(tmp_path, (f'SetEnv PATH={tmp_path}:/usr/bin:/bin',)) as server:
        credential = Credential(username=server.username, key_file=server.key_file)
        session = SSHSession.connect('127.0.0.1', server.port, credential, server.host_key, 5)
        namespace = {}
        exec(EXAMPLE, namespace)  # the very text that is shown
        yield namespace['AccelDriver'](session, {}), tmp_path / 'state'
        session.close()


def enforce(driver, desired, *names):
    work = PointWork(lambda: driver, 100, MemoryJournal())
    targets = [AccessTarget(name, username=name, down_kbps=20000, up_kbps=5000) for name in names]
    work.run([AccessChange(target.key, target, desired) for target in targets])
    return {result.key: result.outcome for result in work.results}


def test_the_example_is_a_whole_driver_that_throttles_and_restores(accel):
    driver, state = accel
    assert enforce(driver, AccessState.throttled(1000, 512), 'ana') == {'ana': Outcome.APPLIED}
    assert state.read_text().splitlines()[0] == 'ana ppp0 1000/512 20000/5000'
    assert enforce(driver, AccessState.normal(), 'ana') == {'ana': Outcome.APPLIED}
    assert state.read_text().splitlines() == ['ana ppp0 20000/5000 20000/5000', 'bob ppp1 20000/5000 20000/5000']


def test_the_example_refuses_what_it_cannot_do_and_names_that_a_shell_acts_upon(accel):
    driver, state = accel
    before = state.read_text()
    outcomes = enforce(driver, AccessState.blocked(), 'ana', 'eva', '$(reboot)')
    assert set(outcomes.values()) == {Outcome.FAILED}
    assert state.read_text() == before


def test_the_example_has_about_forty_lines():
    assert len(EXAMPLE.splitlines()) <= 46


def test_the_support_table_is_the_drivers_own():
    """`python -m nornir_tasks.drivers.support_table` prints it."""
    assert support_table(own_drivers()) in (DOCS / 'index.md').read_text()


def test_every_driver_has_its_page_with_what_was_verified_and_what_was_not():
    for driver in own_drivers():
        page = (DOCS / f'{driver.name}.md').read_text()
        for heading in ('## On the box', '## Verified', '## Not verified'):
            assert heading in page, f'{driver.name}: {heading}'


def test_every_declared_ability_has_its_column():
    (fields,) = {tuple(driver.abilities.__dataclass_fields__) for driver in own_drivers()}
    assert set(fields) == set(COLUMNS)


def test_every_radius_dialect_is_in_the_table_of_dialects():
    page = (DOCS / 'radius.md').read_text()
    for name in dialects():
        assert f'\n| `{name}`' in page, name


@pytest.fixture
def third_party(tmp_path, monkeypatch):
    """The example in a package of its own, installed as a third party's would be: by its metadata's entry point."""
    (tmp_path / 'my_package.py').write_text(EXAMPLE)
    info = tmp_path / 'my_package-1.0.dist-info'
    info.mkdir()
    (info / 'METADATA').write_text('Metadata-Version: 2.1\nName: my-package\nVersion: 1.0\n')
    line = 'accel_cmd = "my_package:AccelDriver"'
    assert line in (DOCS / 'writing.md').read_text()
    (info / 'entry_points.txt').write_text(f'[netbox_delinquency.drivers]\n{line.replace(chr(34), "")}\n')
    monkeypatch.syspath_prepend(str(tmp_path))
    for cached in (available_drivers, get_driver):
        cached.cache_clear()
    yield
    for cached in (available_drivers, get_driver):
        cached.cache_clear()


def test_a_third_partys_driver_is_found_by_its_entry_point_and_left_out_of_our_table(third_party):
    assert 'accel_cmd' in available_drivers()
    assert get_driver('accel_cmd').__module__ == 'my_package'
    assert 'accel_cmd' not in [driver.name for driver in own_drivers()]
