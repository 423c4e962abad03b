"""Whose a restriction on a Linux BRAS is, against the kernel's own tables, in a network namespace (root)."""

from __future__ import annotations

import dataclasses
import json
import os
import secrets
import shutil
import subprocess
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from nornir_tasks.change import AccessChange, AccessState, AccessTarget
from nornir_tasks.connections.ssh import ExecResult
from nornir_tasks.drivers.linux.driver import LinuxDriver

NORMAL, BLOCKED = AccessState.normal(), AccessState.blocked()
THROTTLED = AccessState.throttled(512, 256)
LACKS = os.geteuid() != 0 or not all(map(shutil.which, ('ip', 'nft', 'tc')))
pytestmark = [pytest.mark.root, pytest.mark.skipif(LACKS, reason='needs root, iproute2 and nftables')]


class Box:
    """A network namespace with one line's interface, and a driver at it."""

    def __init__(self, name):
        self.name = name
        self.session = SimpleNamespace(exec=self.exec, where=name)
        self.driver = LinuxDriver(self.session, {})

    def exec(self, command, stdin=''):
        done = subprocess.run(
            ['ip', 'netns', 'exec', self.name, *command.split()],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=20,
        )
        return ExecResult(done.returncode, done.stdout, done.stderr)

    def run(self, *lines):
        for line in lines:
            result = self.exec('sh', line)
            assert result.exit_status == 0, result.stderr

    def read(self, target):
        return self.driver.read([target])[target.key]

    def apply(self, desired, target):
        before = {target.key: self.read(target)}
        (reply,) = self.driver.apply([AccessChange('change', target, desired)], before).values()
        return reply

    def take(self, desired, target, point):
        """Restrict; returns the target with what is noted of it."""
        before = self.read(target)
        assert self.apply(desired, target).accepted
        after = self.read(target)
        assert after.is_(desired), after
        noted = {'point': point, 'line': {}, 'after': after.detail}
        baseline = before.detail if before.is_baseline else {}
        kept = json.loads(json.dumps({'restricted': noted, 'baseline': baseline}))
        return dataclasses.replace(target, **kept)

    def elements(self, table):
        listing = json.loads(self.exec(f'nft -j list table inet {table}').stdout or '{"nftables": []}')
        sets = [entry['set'] for entry in listing['nftables'] if 'set' in entry]
        return {str(element) for each in sets if each['name'].startswith('walled') for element in each.get('elem', ())}


@pytest.fixture
def box():
    name = f'nbd-{secrets.token_hex(4)}'
    subprocess.run(['ip', 'netns', 'add', name], check=True)
    try:
        box = Box(name)
        box.run(
            'ip link set lo up',
            'ip link add ppp7 type veth peer name home7',
            'ip link set home7 up && ip link set ppp7 up && ip addr add 10.255.0.1/32 dev ppp7',
            'ip route add 203.0.113.7/32 dev ppp7',
        )
        yield box
    finally:
        subprocess.run(['ip', 'netns', 'del', name], check=True)


TARGET = AccessTarget('7', ipv4='203.0.113.7', down_kbps=20_000, up_kbps=5_000)
ERP = (
    'nft add table inet filter',
    "nft 'add set inet filter bloqueados { type ipv4_addr; flags interval; }'",
    "nft 'add set inet filter espera { type ipv4_addr; flags timeout; }'",
)


@pytest.mark.parametrize(
    ('name', 'element'),
    [
        ('bloqueados', '203.0.113.7'),
        ('bloqueados', '203.0.113.0/28'),
        ('bloqueados', '203.0.113.5-203.0.113.9'),
        ('espera', '203.0.113.7 timeout 1h'),
    ],
)
def test_what_is_in_anothers_set_is_foreign_and_ours_on_top_is_lifted_alone(box, name, element):
    box.driver = LinuxDriver(box.session, {'foreign_sets': ['inet filter bloqueados', 'inet filter espera']})
    box.run(*ERP)
    assert (box.read(TARGET).foreign, box.read(TARGET).is_(NORMAL)) == ((), True)
    box.run(f"nft 'add element inet filter {name} {{ {element} }}'")
    reading = box.read(TARGET)
    assert (reading.is_(NORMAL), reading.foreign, reading.is_baseline) == (True, (f'set inet filter {name}',), False)
    restricted = box.take(BLOCKED, TARGET, {})
    assert box.read(restricted).foreign == (f'set inet filter {name}',)
    assert box.apply(NORMAL, restricted).accepted
    reading = box.read(TARGET)
    assert (reading.is_(NORMAL), reading.foreign) == (True, (f'set inet filter {name}',))


def test_sets_of_others_that_are_not_there_yet_are_empty(box):
    box.driver = LinuxDriver(box.session, {'foreign_sets': ['inet filter bloqueados']})
    assert (box.read(TARGET).error, box.read(TARGET).foreign) == ('', ())


def test_a_check_offers_sets_of_others_by_what_it_sees(box):
    box.run(*ERP)
    now = datetime.now(UTC)
    offered = {item.subject: item for item in box.driver.check(now)}
    assert '"foreign_sets"' in offered['set "inet filter bloqueados"'].message
    assert 'set "inet filter espera"' not in offered
    named = LinuxDriver(box.session, {'foreign_sets': ['inet filter bloqueados']}).check(now)
    assert {item.subject: item.ok for item in named}['set "inet filter bloqueados"']


@pytest.mark.parametrize('online', [True, False])
def test_a_renamed_table_is_known_again_and_left(box, online):
    restricted = box.take(BLOCKED, TARGET, {})
    assert box.elements('netbox_access') == {'203.0.113.7'}
    if not online:
        box.run('ip link del ppp7')
    box.driver = LinuxDriver(box.session, {'table': 'access'})
    reading = box.read(restricted)
    assert not reading.error
    assert reading.observed == BLOCKED
    assert box.apply(NORMAL, restricted).accepted
    assert box.elements('netbox_access') == set()
    reading = box.read(restricted)
    assert reading.is_(NORMAL) if online else reading.absent


@pytest.mark.parametrize('hard', [THROTTLED, BLOCKED])
def test_a_session_that_is_gone_is_told_from_a_failure_once_nothing_of_ours_is_left(box, hard):
    restricted = box.take(hard, TARGET, {})
    box.run('ip route del 203.0.113.7/32')
    assert not box.read(restricted).absent  # its interface, and the shaping of it, are still there
    box.run('ip link del ppp7')
    reading = box.read(restricted)
    assert reading.absent is (hard == THROTTLED)
    if hard == BLOCKED:
        assert reading.stored == BLOCKED
        assert box.apply(NORMAL, restricted).accepted
        assert box.read(restricted).absent


def test_a_line_is_let_out_though_its_interface_may_no_longer_be_touched(box):
    restricted = box.take(BLOCKED, TARGET, {})
    box.driver = LinuxDriver(box.session, {'access_interfaces': ['ipoe*']})
    assert box.apply(NORMAL, restricted).accepted
    assert box.elements('netbox_access') == set()


def test_a_throttle_is_taken_away_though_the_plan_has_no_rates_by_now(box):
    restricted = box.take(THROTTLED, TARGET, {})
    forgotten = dataclasses.replace(restricted, down_kbps=None, up_kbps=None, baseline={})
    assert not box.read(forgotten).is_(NORMAL)
    assert box.apply(NORMAL, forgotten).accepted
    assert box.read(forgotten).is_(NORMAL)
