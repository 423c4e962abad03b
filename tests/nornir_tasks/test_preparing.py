"""Checking a point and preparing it: what is found, what is added, and that a check adds nothing."""

from __future__ import annotations

import contextlib
import re
from datetime import UTC, datetime

import pytest
from typer.testing import CliRunner

from dev.stack import router_config
from nornir_tasks.change import AccessState
from nornir_tasks.cli import point as cli_point
from nornir_tasks.cli import terminal
from nornir_tasks.cli.app import app
from nornir_tasks.drivers.routeros.check import parse_clock
from nornir_tasks.point_check import check_point, prepare_point
from nornir_tasks.points import Point
from tests.simulators.console import console_box
from tests.simulators.fixtures import PROFILES, Bench
from tests.simulators.junos import JunosTerminal
from tests.simulators.openssh import make_key
from tests.simulators.routeros import RouterConfig, simulation

PLANTED = 'pl4nted-s3cret'
PORTAL = {'portal_ipv4': '192.0.2.80', 'throttled_profile': 'slow'}


@pytest.fixture(autouse=True)
def secrets(monkeypatch):
    monkeypatch.setenv('DELINQUENCY_CREDENTIAL_CORE', '{"username": "admin", "password": "admin"}')
    monkeypatch.setenv('DELINQUENCY_CREDENTIAL_WRONG', f'{{"username": "admin", "password": "{PLANTED}"}}')
    monkeypatch.setattr(terminal.console, '_width', 200)


@contextlib.contextmanager
def router(version=7, **values):
    config = RouterConfig('bras-1', version=version, **({'profiles': PROFILES[:2]} | values))
    with simulation(config) as running:
        yield running.routers['bras-1']


def point_of(listening, **values):
    parameters = values.pop('parameters', PORTAL)
    values = {'credential': 'core', 'host_key': listening.host_key, 'parameters': parameters} | values
    return Point('bras-1', values.pop('driver', 'routeros'), '127.0.0.1', listening.port, timeout=3, **values)


def tables(listening):
    return {
        menu: [dict(row) for row in listening.router.rows(menu)]
        for menu in listening.router.tables
        if menu != 'system clock'
    }


def wrong(findings, required=True):
    return {item.subject: item.message for item in findings if not item.ok and item.required is required}


def check(point):
    return check_point(point, datetime.now(UTC))


@pytest.mark.parametrize('version', [6, 7])
def test_a_bare_router_is_told_every_line_it_lacks_and_a_check_changes_nothing(version):
    with router(version, subscribers=[{'name': 'ana', 'profile': 'home'}]) as listening:
        before = tables(listening)
        findings = check(point_of(listening, parameters=PORTAL | {'ipv6': version > 6}))
        assert tables(listening) == before
        expected = {'profile "nbd-restricted"', 'ip firewall', 'notice page'} | (
            {'ipv6 firewall'} if version > 6 else set()
        )
        assert set(wrong(findings)) == expected
        assert 'copied from "home"' in wrong(findings)['profile "nbd-restricted"']


@pytest.mark.parametrize('version', [6, 7])
def test_preparing_adds_just_those_and_is_then_content(version):
    with router(version, subscribers=[{'name': 'ana', 'profile': 'home'}]) as listening:
        point = point_of(listening, parameters=PORTAL | {'ipv6': version > 6})
        findings = check(point)
        added = prepare_point(point, findings)
        assert all(reply.accepted for _, reply in added), added
        assert wrong(check(point)) == {}
        assert prepare_point(point, check(point)) == []
        made = listening.router.tables['ppp profile'].one('name', 'nbd-restricted')
        assert (made['remote-address'], made['address-list']) == ('pool-a', 'nbd-restricted')
        assert not made.get('rate-limit')


def test_what_is_added_comes_before_rules_that_let_connections_go_on_and_touches_only_the_list():
    with router() as listening:
        filters = listening.router.tables['ip firewall filter']
        filters.add(chain='input', action='accept', disabled=False)
        filters.add(chain='forward', action='fasttrack-connection', disabled=False)
        filters.add(chain='forward', action='accept', disabled=False)
        prepare_point(point_of(listening), check(point_of(listening)))
        forward = [row for row in filters.rows.values() if row['chain'] == 'forward']
        assert [row['action'] for row in forward] == [*['accept'] * 3, 'drop', 'fasttrack-connection', 'accept']
        assert {row.get('src-address-list') for row in forward[:4]} == {'nbd-restricted'}
        assert forward[2]['dst-address'] == '192.0.2.80'


def test_a_prepared_router_blocks_and_frees_a_line():
    with simulation(
        RouterConfig('bras-1', profiles=PROFILES[:2], subscribers=[{'name': 'ana', 'profile': 'home'}])
    ) as on:
        listening = on.routers['bras-1']
        prepare_point(point_of(listening), check(point_of(listening)))
        bench = Bench(on, 5, {})
        for desired, blocked in ((AccessState.blocked(), True), (AccessState.normal(), False)):
            assert bench.apply(desired, 'ana')[0].accepted
            assert bench.router.service('ana')['live']['blocked'] is blocked
        bench.session.close()


def test_fasttrack_is_a_warning_and_never_taken_away():
    with router() as listening:
        rule = listening.router.tables['ip firewall filter'].add(
            chain='forward', action='fasttrack-connection', disabled=False
        )
        point = point_of(listening)
        prepare_point(point, check(point))
        warning = wrong(check(point), required=False)['ip fasttrack']
        assert f'/ip firewall filter disable {rule[".id"]}' in warning
        assert rule['disabled'] is False


def test_a_missing_ipv6_package_is_said_with_its_remedy():
    with router(6) as listening:
        assert 'package enable ipv6' in wrong(check(point_of(listening)))['ipv6 firewall']


def test_a_login_that_may_only_read_is_found():
    with router() as listening:
        user = listening.router.tables['user'].one('name', 'admin')
        listening.router.tables['user'].update(user, {'group': 'read'})
        assert 'lacks write' in wrong(check(point_of(listening)))['privileges']


@pytest.mark.parametrize('version', [6, 7])
@pytest.mark.parametrize(
    ('skew', 'gmt', 'ok'), [(0, -10800, True), (200, 0, True), (400, 7200, False), (-400, 0, False)]
)
def test_a_clock_that_is_off_is_found_whatever_the_time_zone(version, skew, gmt, ok):
    with router(version, settings={'clock_skew': skew, 'gmt_offset': gmt}) as listening:
        assert ('clock' not in wrong(check(point_of(listening)))) is ok


def test_clock_spellings():
    expected = datetime(2026, 11, 23, 12, 0, 5, tzinfo=UTC)
    assert parse_clock('2026-11-23', '09:00:05', '-03:00') == expected
    assert parse_clock('nov/23/2026', '09:00:05', str(2**32 - 10800)) == expected
    assert parse_clock('', '', '') is None


class TestReaching:
    def test_each_obstacle_is_named_and_nothing_after_it_is_guessed(self, tmp_path):
        with router() as listening:
            point = point_of(listening)
            cases = {
                'credential': point_of(listening, credential='nowhere'),
                'login': point_of(listening, credential='wrong'),
                'host key': point_of(listening, host_key=make_key(tmp_path / 'other')),
                'settings': point_of(listening, parameters={'no_such': 1}),
                'reachability': Point('bras-1', 'routeros', '127.0.0.1', 1, 'core', point.host_key, timeout=1),
            }
            for subject, bad in cases.items():
                (finding,) = check(bad)
                assert (finding.subject, finding.ok) == (subject, False)
                assert PLANTED not in repr(finding)

    def test_a_driver_that_is_not_installed_is_a_setting(self):
        (finding,) = check(Point('x', 'no-such-driver', '127.0.0.1'))
        assert (finding.subject, finding.ok) == ('settings', False)

    def test_a_console_is_checked_the_same_way(self):
        with console_box(JunosTerminal, profiles=set()) as running:
            findings = check(point_of(running.listening, driver='junos', parameters={}))
            assert set(wrong(findings)) == {'policies'}


class TestCommand:
    @pytest.fixture
    def listening(self, monkeypatch):
        with router() as listening:
            monkeypatch.setattr(cli_point, 'find_point', lambda name: point_of(listening))
            yield listening

    def invoke(self, *arguments):
        return CliRunner().invoke(app, ['point', *arguments])

    def test_check_prints_lines_that_can_be_copied_and_fails(self, listening):
        before = tables(listening)
        result = self.invoke('check', 'bras-1')
        assert result.exit_code == 1
        lines = re.findall(r'^/ip .*$', result.output, re.MULTILINE)
        assert '/ip firewall filter add chain=forward src-address-list="nbd-restricted" action=drop' in lines
        assert tables(listening) == before

    def test_prepare_without_apply_changes_nothing(self, listening):
        before = tables(listening)
        assert self.invoke('prepare', 'bras-1').exit_code == 1
        assert tables(listening) == before

    def test_prepare_with_apply_adds_and_a_second_time_does_nothing(self, listening):
        result = self.invoke('prepare', 'bras-1', '--apply')
        assert (result.exit_code, 'added' in result.output) == (0, True), result.output
        after = tables(listening)
        assert self.invoke('prepare', 'bras-1', '--apply').exit_code == 0
        assert tables(listening) == after
        assert self.invoke('check', 'bras-1').exit_code == 0


class TestFirewall:
    """Whether the rules that a router has really stop who is in the list: by their order, and by all they ask for."""

    LISTED = {'chain': 'forward', 'src-address-list': 'nbd-restricted'}
    DROP = {**LISTED, 'action': 'drop'}
    JUMP = {**LISTED, 'action': 'jump', 'jump-target': 'wall'}

    def finding(self, *rules):
        with router(rules={'ip firewall filter': rules}) as listening:
            point = point_of(listening, parameters=PORTAL | {'ipv6': False})
            (found,) = [item for item in check(point) if item.subject == 'ip firewall']
            return found

    @pytest.mark.parametrize(
        'rules',
        [
            [DROP],
            [{**LISTED, 'action': 'accept', 'protocol': 'udp', 'dst-port': '53'}, DROP],
            [{'chain': 'forward', 'action': 'accept', 'connection-state': 'established,related'}, DROP],
            [{**DROP, 'dst-address-list': '!allowed'}],
            [{**DROP, 'connection-state': 'new'}],
            [JUMP, {'chain': 'wall', 'action': 'reject'}],
            [
                {'chain': 'forward', 'action': 'jump', 'jump-target': 'all'},
                {'chain': 'all', 'src-address-list': 'nbd-restricted', 'action': 'tarpit'},
            ],
            [{'chain': 'forward', 'action': 'accept', 'in-interface': 'ether1'}, DROP],
        ],
    )
    def test_rules_that_stop_members(self, rules):
        assert self.finding(*rules).ok

    @pytest.mark.parametrize(
        ('rules', 'words'),
        [
            ([], 'nothing stops'),
            ([{**DROP, 'disabled': 'yes'}], 'nothing stops'),
            ([{**DROP, 'chain': 'input'}], 'takes a part'),
            ([{**DROP, 'protocol': 'tcp', 'dst-port': '25'}], 'takes a part'),
            ([{**DROP, 'dst-address': '192.0.2.0/24'}], 'takes a part'),
            ([{**DROP, 'connection-state': 'invalid'}], 'takes a part'),
            ([{'chain': 'forward', 'action': 'accept'}, DROP], 'pass before'),
            (
                [{**LISTED, 'action': 'jump', 'jump-target': 'wall'}, {'chain': 'wall', 'action': 'accept'}],
                'pass before',
            ),
            ([JUMP], 'takes a part'),
            ([{'chain': 'forward', 'action': 'drop', 'connection-state': 'invalid'}], 'nothing stops'),
        ],
    )
    def test_rules_that_only_seem_to(self, rules, words):
        found = self.finding(*rules)
        assert (found.ok, words in found.message) == (False, True), found.message

    def test_what_only_seems_to_stop_is_put_right_by_preparing(self):
        with router(rules={'ip firewall filter': [{'chain': 'forward', 'action': 'accept'}, self.DROP]}) as listening:
            point = point_of(listening)
            prepare_point(point, check(point))
            assert wrong(check(point)) == {}


class TestForeignNames:
    def test_what_another_seems_to_restrict_by_is_offered_from_what_is_on_the_box(self):
        profiles = [*PROFILES[:2], {'name': 'Reduzido 64k', 'rate-limit': '64k/64k'}, {'name': 'corte'}]
        rules = {
            'ip firewall filter': [
                {'chain': 'forward', 'src-address-list': 'caloteiros', 'action': 'drop'},
                {'chain': 'forward', 'src-address-list': 'BLOQUEADOS', 'action': 'drop'},
            ],
            'ip firewall nat': [{'chain': 'dstnat', 'src-address-list': 'aviso', 'action': 'dst-nat'}],
            'ip firewall address-list': [{'list': 'caloteiros', 'address': f'100.64.0.{n}'} for n in (1, 2, 3)],
        }
        with router(profiles=profiles, rules=rules) as listening:
            findings = check(point_of(listening))
            offered = wrong(findings, required=False)
            assert '3 entries; rule' in offered['list "caloteiros"']
            assert '"foreign_lists"' in offered['list "aviso"']
            assert '"foreign_profiles"' in offered['profile "Reduzido 64k"']
            known = {item.subject for item in findings if item.ok}
            assert {'list "BLOQUEADOS"', 'profile "corte"'} <= known
            named = PORTAL | {
                'foreign_lists': ['caloteiros', 'bloqueados', 'aviso'],
                'foreign_profiles': ['reduzido 64k'],
            }
            again = wrong(check(point_of(listening, parameters=named)), required=False)
            assert not [subject for subject in again if subject.startswith('list ') or 'Reduzido' in subject]


def test_the_demos_routers_pass_their_own_check():
    config = router_config('bras-1', 1, 'admin', 3, 0)
    with simulation(RouterConfig(**config)) as running:
        listening = running.routers['bras-1']
        assert wrong(check(point_of(listening, parameters={}))) == {}
        drops = [row for row in listening.router.rows('ip firewall filter') if row['action'] == 'drop']
        listening.router.tables['ip firewall filter'].remove(drops[0])
        assert set(wrong(check(point_of(listening, parameters={})))) == {'ip firewall'}
