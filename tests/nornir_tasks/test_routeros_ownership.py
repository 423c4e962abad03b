"""Whose a restriction on RouterOS is: ours, whatever it is called by now, or another's, which is theirs."""

import dataclasses
import json

import pytest

from nornir_tasks.change import AccessState
from nornir_tasks.drivers.routeros.driver import RouterOSDriver
from nornir_tasks.drivers.routeros.parameters import RouterOSPoint
from tests.simulators.fixtures import LINE, PROFILES, THROTTLED, routeros_bench

NORMAL, BLOCKED = AccessState.normal(), AccessState.blocked()
ERP = (
    *PROFILES,
    {'name': 'bloqueado', 'rate-limit': '64k/64k', 'remote-address': 'pool-a'},
    {'name': 'corte', 'address-list': 'Bloqueados', 'remote-address': 'pool-a'},
    {'name': 'normal 2', 'address-list': 'inadimplentes', 'rate-limit': '5M/20M', 'remote-address': 'pool-a'},
)


@pytest.fixture
def bench():
    with routeros_bench([{'name': name, 'profile': 'home'} for name in ('ana', 'bob')], profiles=ERP) as bench:
        yield bench


def noted(bench, target, before, **more):
    """The target with what is noted of a restriction of ours there, as NetBox keeps it."""
    restricted = {'point': dict(getattr(bench, 'point', {})), 'line': dict(target.parameters), **more}
    restricted['after'] = bench.read(target)[0].detail
    if before.foreign:
        restricted['before'] = before.detail
    kept = json.loads(json.dumps(restricted))
    baseline = before.detail if before.is_baseline else {}
    return dataclasses.replace(target, restricted=kept, baseline=json.loads(json.dumps(baseline)))


def take(bench, target, desired):
    """Restrict a line; returns it with what is noted of that."""
    (before,) = bench.read(target)
    assert bench.apply(desired, target)[0].accepted
    assert bench.read(target)[0].is_(desired)
    return noted(bench, target, before)


def change_point(bench, **parameters):
    bench.driver = RouterOSDriver(bench.session, parameters)


class TestForeign:
    FOREIGN = [
        ('/ppp secret disable [find name=ana]', 'secret disabled'),
        ('/ppp secret set [find name=ana] profile=bloqueado', 'profile bloqueado'),
        ('/ppp secret set [find name=ana] profile=corte', 'profile corte'),
        ('/ppp secret set [find name=ana] profile="normal 2"', 'profile normal 2'),
        ('/ip firewall address-list add list=bloqueados address={address}', 'list bloqueados'),
        ('/ip firewall address-list add list=Suspenso address={address} timeout=1d', 'list Suspenso'),
        ('/ipv6 firewall address-list add list=bloqueado address=2001:db8:7::/56', 'list bloqueado'),
    ]

    @pytest.mark.parametrize('redials', [True, False])
    @pytest.mark.parametrize(('line', 'name'), FOREIGN)
    def test_it_is_named_never_a_baseline_and_nothing_of_ours(self, bench, line, name, redials):
        target = bench.target('ana', ipv6='2001:db8:7::/56')
        bench.run(line.format(address=bench.router.service('ana')['live']['address']))
        if redials and 'secret' in line:
            bench.run('/ppp active remove [find name=ana]')
        (reading,) = bench.read(target)
        assert (reading.error, reading.foreign) == ('', (name,))
        assert reading.observed == NORMAL
        assert not reading.is_baseline
        before = bench.truth()
        assert bench.apply(NORMAL, target)[0].accepted
        assert bench.truth() == before

    @pytest.mark.parametrize(('line', 'name'), FOREIGN)
    @pytest.mark.parametrize('hard', [THROTTLED, BLOCKED])
    @pytest.mark.parametrize('fixed', [True, False])
    def test_ours_on_top_is_lifted_and_theirs_stays_exactly(self, line, name, hard, fixed):
        person = {'name': 'ana', 'profile': 'home'} | ({'remote-address': '10.9.0.7'} if fixed else {})
        with routeros_bench([person], profiles=ERP) as bench:
            target = bench.target('ana', ipv6='2001:db8:7::/56')
            bench.run(line.format(address=bench.router.service('ana')['live']['address']))
            before = bench.truth()
            restricted = take(bench, target, hard)
            assert bench.truth() != before
            assert bench.apply(NORMAL, restricted)[0].accepted
            (reading,) = bench.read(target)
            assert reading.stored == NORMAL
            # An address of a pool is another one after a reconnect: their entry is left where they made it.
            assert name in reading.foreign or not fixed
            assert bench.truth() == before

    @pytest.mark.parametrize(('line', 'name'), FOREIGN)
    def test_what_a_person_adopted_is_ours_to_lift(self, bench, line, name):
        free = bench.truth()
        (baseline,) = bench.read('ana')
        address = bench.router.service('ana')['live']['address']
        bench.run(line.format(address=address))
        target = bench.target(
            'ana', ipv6='2001:db8:7::/56', baseline=baseline.detail, restricted={'point': {}, 'foreign': [name]}
        )
        (reading,) = bench.read(target)
        assert reading.foreign == ()
        assert not reading.is_(NORMAL)
        assert bench.apply(NORMAL, target)[0].accepted
        assert bench.read(target)[0].stored == NORMAL
        assert bench.truth() == free

    def test_a_queue_of_anothers_beside_the_lines_own(self):
        queues = [
            {'name': 'q-ana', 'target': '10.9.0.7/32', 'max-limit': '5M/20M'},
            {'name': 'corte-ana', 'target': '10.9.0.7/32', 'max-limit': '64k/64k'},
        ]
        with routeros_bench([], queues=queues) as bench:
            plan = {'down_kbps': 20000, 'up_kbps': 5000, 'parameters': {'queue': 'q-ana'}}
            target = bench.target(ipv4='10.9.0.7', **plan)
            (reading,) = bench.read(target)
            assert (reading.is_(NORMAL), reading.foreign, reading.is_baseline) == (True, ('queue corte-ana',), False)
            before = bench.truth()
            restricted = take(bench, target, THROTTLED)
            assert bench.apply(NORMAL, restricted)[0].accepted
            assert bench.truth() == before

    def test_our_own_names_are_never_anothers(self, bench):
        change_point(bench, restricted_list='Bloqueados', blocked_profile='corte', throttled_profile='bloqueado')
        bench.run('/ppp secret set [find name=ana] profile=corte; /ppp active remove [find name=ana]')
        (reading,) = bench.read('ana')
        assert (reading.is_(BLOCKED), reading.foreign) == (True, ())

    def test_names_of_a_providers_own_are_parameters(self, bench):
        bench.run('/ppp profile add name=calote rate-limit=1k/1k')
        bench.run('/ppp secret set [find name=ana] profile=calote; /ppp active remove [find name=ana]')
        address = bench.router.service('bob')['live']['address']
        bench.run(f'/ip firewall address-list add list=caloteiros address={address}')
        change_point(bench, foreign_profiles=['Calote'], foreign_lists=['caloteiros'])
        assert [reading.foreign for reading in bench.read('ana', 'bob')] == [('profile calote',), ('list caloteiros',)]
        assert [reading.observed for reading in bench.read('ana', 'bob')] == [NORMAL, NORMAL]

    @pytest.mark.parametrize('whole', [False, True])
    def test_an_entry_for_more_than_the_line_or_for_a_part_of_it_is_anothers(self, monkeypatch, whole):
        if whole:
            monkeypatch.setattr('nornir_tasks.drivers.routeros.box.WHOLE_BOX', 1)
        people = [
            {'name': name, 'profile': 'home', 'remote-address': f'10.9.0.{n}'} for n, name in ((7, 'ana'), (9, 'bob'))
        ]
        holding = [
            ('ip', 'bloqueados', '10.9.0.0/29'),
            ('ip', 'Suspenso', '10.9.0.5-10.9.0.7'),
            ('ip', 'nbd-restricted', '10.9.0.6-10.9.0.8'),
            ('ipv6', 'bloqueado', '2001:db8:7::/48'),
            ('ipv6', 'bloqueado', '2001:db8:7:1::/64'),
            ('ipv6', 'bloqueado', '2001:db8:7:ff::9'),
        ]
        beside = [
            ('ip', 'bloqueados', '10.9.0.8/32'),
            ('ip', 'bloqueados', '10.9.1.0/24'),
            ('ip', 'bloqueados', '10.9.0.10-10.9.0.99'),
            ('ip', 'bloqueados', 'debt-or.example.net'),
            ('ip', 'others', '10.9.0.0/16'),
            ('ipv6', 'bloqueado', '2001:db8:7:100::/56'),
        ]
        with routeros_bench(people, profiles=ERP) as bench:
            lines = [bench.target('ana', ipv6='2001:db8:7::/56'), bench.target('bob', ipv6='2001:db8:9::/57')]
            for family, listed, address in beside:
                bench.run(f'/{family} firewall address-list add list={listed} address={address}')
            bench.run('/ip firewall address-list add list=bloqueados address=10.9.0.0/24 disabled=yes')
            assert [reading.foreign for reading in bench.read(*lines)] == [(), ()]
            for family, listed, address in holding:
                bench.run(f'/{family} firewall address-list add list={listed} address={address}')
            theirs = bench.truth()
            ana, bob = bench.read(*lines)
            assert {name.split()[1].removesuffix('/128') for name in ana.foreign} == {each[2] for each in holding}
            assert (ana.is_(NORMAL), ana.is_baseline, bob.foreign) == (True, False, ())
            restricted = take(bench, lines[0], BLOCKED)
            assert bench.apply(NORMAL, restricted)[0].accepted
            assert bench.truth() == theirs

    def test_many_lines_read_as_few_do(self, monkeypatch):
        people = [{'name': 'u{n}', 'profile': 'home', 'count': 20}]
        with routeros_bench(people, profiles=ERP) as bench:
            for number, (line, _) in enumerate(self.FOREIGN[:6], 1):
                address = bench.router.service(f'u{number}')['live']['address']
                bench.run(line.format(address=address).replace('ana', f'u{number}'))
            names = [f'u{number}' for number in range(1, 21)]
            few = bench.read(*names)
            monkeypatch.setattr('nornir_tasks.drivers.routeros.box.WHOLE_BOX', 5)
            assert bench.read(*names) == few
            assert [bool(reading.foreign) for reading in few] == [True] * 6 + [False] * 14


class TestRenamed:
    @pytest.mark.parametrize('hard', [THROTTLED, BLOCKED])
    @pytest.mark.parametrize('fixed', [True, False])
    def test_lines_are_known_again_and_restored_whatever_the_point_says_by_now(self, hard, fixed):
        person = {'name': 'ana', 'profile': 'home'} | ({'remote-address': '10.9.0.7'} if fixed else {})
        other = {'name': 'hold', 'address-list': 'hold', 'remote-address': 'pool-a'}
        with routeros_bench([person], profiles=(*ERP, other, {'name': 'slower', 'rate-limit': '64k/64k'})) as bench:
            target = bench.target('ana', ipv6='2001:db8:7::/56')
            free = bench.truth()
            restricted = take(bench, target, hard)
            plan = {'profile': 'home', 'throttled_profile': 'slower'}
            change_point(bench, restricted_list='hold', blocked_profile='hold', throttled_profile='slower')
            again = dataclasses.replace(restricted, parameters=plan)
            assert bench.read(again)[0].is_(hard)
            assert bench.apply(NORMAL, again)[0].accepted
            assert bench.read(again)[0].is_(NORMAL)
            assert bench.truth() == free

    def test_a_line_without_ppp_too(self, bench):
        target = bench.target(ipv4='10.9.0.9', parameters={})
        restricted = take(bench, target, BLOCKED)
        change_point(bench, restricted_list='hold')
        assert bench.read(restricted)[0].is_(BLOCKED)
        assert bench.apply(NORMAL, restricted)[0].accepted
        assert bench.read(restricted)[0].is_(NORMAL)
        assert not bench.router.address_service('10.9.0.9')['blocked']

    def test_a_plan_that_changed_while_throttled_is_gone_back_to(self, bench):
        bench.run('/ppp profile add name=fast rate-limit=50M/100M')
        restricted = take(bench, bench.target('ana'), THROTTLED)
        again = dataclasses.replace(restricted, parameters={'profile': 'fast'}, baseline={})
        assert not bench.read(again)[0].is_(NORMAL)
        assert bench.apply(NORMAL, again)[0].accepted
        assert bench.router.service('ana')['live']['rate'] == [100000, 50000]


class TestRestoreNeedsLittle:
    def test_two_sessions_of_one_name(self, bench):
        restricted = take(bench, bench.target('ana'), BLOCKED)
        bench.router.tables['ppp active'].add(name='ana', address='100.64.9.9', service='pppoe')
        bench.run('/ip firewall address-list add list=nbd-restricted address=100.64.9.9')
        assert not bench.read(restricted)[0].is_(NORMAL)
        assert bench.apply(NORMAL, restricted)[0].accepted
        assert bench.router.service('ana')['stored'] | {'profile': ''} == {
            'blocked': False, 'rate': [20000, 5000], 'profile': '',
        }  # fmt: skip
        assert not bench.router.address_service('100.64.9.9')['blocked']
        bench.router.tick()
        (session,) = bench.router.tables['ppp active'].where('name', 'ana')
        assert not bench.router.address_service(session['address'], '<pppoe-ana>')['blocked']

    @pytest.mark.parametrize(
        'rate', ['512k/1000k 1M/2M 512k/1M 8/8', '512000/1000000', '1.5M/3m', 'nonsense', '1T/2T x', '']
    )
    @pytest.mark.parametrize('hard', [THROTTLED, BLOCKED])
    def test_rates_that_cannot_be_read(self, bench, rate, hard):
        restricted = take(bench, bench.target('ana'), hard)
        for profile in bench.router.rows('ppp profile'):
            bench.router.tables['ppp profile'].update(profile, {'rate-limit': rate})
        assert not bench.read(restricted)[0].is_(NORMAL)
        assert bench.apply(NORMAL, restricted)[0].accepted
        assert bench.router.service('ana')['stored']['profile'] == 'home'
        assert bench.read(restricted)[0].stored == NORMAL

    def test_a_throttled_profile_whose_rate_cannot_be_read_does_not_pass_for_normal(self, bench):
        bench.apply(THROTTLED, 'ana')
        slow = bench.router.tables['ppp profile'].one('name', 'slow')
        bench.router.tables['ppp profile'].update(slow, {'rate-limit': 'nonsense'})
        (reading,) = bench.read('ana')
        assert not reading.is_(NORMAL)
        assert not reading.is_(THROTTLED)

    def test_parameters_of_a_plan_that_are_wrong_by_now(self, bench):
        restricted = take(bench, bench.target('ana'), BLOCKED)
        wrong = dataclasses.replace(restricted, parameters={'typo': 1})
        assert bench.apply(THROTTLED, wrong)[0].accepted is False
        assert bench.apply(NORMAL, wrong)[0].accepted
        assert bench.router.service('ana')['stored']['profile'] == 'home'

    def test_a_profile_that_is_no_normal_one_is_not_gone_back_to(self, bench):
        restricted = take(bench, bench.target('ana'), BLOCKED)
        recorded = restricted.baseline | {'profile': 'bloqueado'}
        target = dataclasses.replace(restricted, parameters={'profile': 'vip'}, baseline=recorded)
        before = bench.truth()
        (reply,) = bench.apply(NORMAL, target)
        assert reply.accepted is False
        assert all(name in reply.message for name in ('"bloqueado"', '"vip"', '"nbd-restricted"'))
        assert bench.truth() == before

    def test_a_profile_that_somebody_chose_meanwhile_stays(self, bench):
        restricted = take(bench, bench.target('ana'), BLOCKED)
        bench.run('/ppp profile add name=fast rate-limit=50M/100M; /ppp secret set [find name=ana] profile=fast')
        assert bench.apply(NORMAL, restricted)[0].accepted
        assert bench.router.service('ana')['stored']['profile'] == 'fast'
        assert not bench.router.service('ana')['live']['blocked']


class TestEntries:
    POOL = {'block_session': 'address-list', 'entry_timeout': '1h'}

    def test_one_address_listed_by_hand_and_by_a_profile(self):
        with routeros_bench([{'name': 'ana', 'profile': 'home', 'remote-address': '10.9.0.7'}]) as bench:
            free = bench.truth()
            (baseline,) = bench.read('ana')
            bench.run('/ppp secret set [find name=ana] profile=nbd-restricted; /ppp active remove [find name=ana]')
            bench.router.tick()
            table = bench.router.tables['ip firewall address-list']
            for order in (True, False):
                table.add(list='nbd-restricted', address='10.9.0.7', dynamic=False, disabled=False)
                if not order:  # the one of the profile comes last, or first
                    (dynamic,) = [row for row in bench.router.rows('ip firewall address-list') if row['dynamic']]
                    table.remove(dynamic)
                    table.add(**{key: value for key, value in dynamic.items() if key != '.id'})
                target = bench.target('ana', baseline=baseline.detail)
                (reading,) = bench.read(target)
                assert reading.is_(BLOCKED)
                assert reading.detail['entries'] == [['ip', '10.9.0.7']]
                if order:
                    bench.run('/ip firewall address-list remove [find list=nbd-restricted dynamic=no]')
            assert bench.apply(NORMAL, target)[0].accepted
            assert bench.read(target)[0].is_(NORMAL)
            assert bench.truth() == free

    def test_an_entry_that_timed_out_while_the_block_stands_is_seen_at_the_next_read_and_made_again(self):
        with routeros_bench(parameters=self.POOL) as bench:
            now = 1_000.0
            bench.router.clock = lambda: now
            restricted = take(bench, bench.target('ana'), BLOCKED)
            bench.router.clock = lambda: now + 3601
            (reading,) = bench.read(restricted)
            assert not reading.is_(BLOCKED)
            assert reading.live == NORMAL
            assert bench.apply(BLOCKED, restricted)[0].accepted
            assert bench.read(restricted)[0].is_(BLOCKED)
            assert bench.router.service('ana')['live']['blocked']

    def test_the_neighbour_who_dials_into_a_listed_address_is_freed(self):
        with routeros_bench(
            [{'name': name, 'profile': 'home'} for name in ('ana', 'bob')], parameters=self.POOL
        ) as bench:
            bench.point = self.POOL
            restricted = take(bench, bench.target('ana'), BLOCKED)
            address = bench.router.service('ana')['live']['address']
            actives = bench.router.tables['ppp active']
            bench.router.stays_offline.add('bob')
            bench.router.disconnect(actives.one('name', 'bob'))
            bench.router.disconnect(actives.one('name', 'ana'))
            bench.router.tick()  # she dials again, and gets another address
            bench.router._addresses = iter([address])
            bench.router.connect('bob')
            assert bench.router.service('bob')['live']['blocked']
            (reading,) = bench.read(restricted)
            assert reading.detail['strays'] == [['ip', address]]
            assert not reading.is_(BLOCKED)
            assert bench.apply(BLOCKED, restricted)[0].accepted
            assert bench.read(restricted)[0].is_(BLOCKED)
            assert not bench.router.service('bob')['live']['blocked']
            assert bench.router.service('ana')['live']['blocked']

    @pytest.mark.parametrize('online', [True, False])
    def test_a_restore_takes_what_was_left_at_a_former_address_too(self, online):
        with routeros_bench(parameters=self.POOL) as bench:
            free = bench.truth()
            restricted = take(bench, bench.target('ana', ipv6='2001:db8:7::/56'), BLOCKED)
            if not online:
                bench.router.stays_offline.add('ana')
            bench.router.disconnect(bench.router.tables['ppp active'].one('name', 'ana'))
            moved = dataclasses.replace(restricted, ipv6='2001:db8:8::/56')
            assert bench.apply(NORMAL, moved)[0].accepted
            (reading,) = bench.read(moved)
            assert (reading.stored, reading.live) == (NORMAL, NORMAL if online else None)
            assert bench.truth() == free


class TestAbsent:
    def test_an_identity_that_is_gone_is_told_from_a_failure(self, bench):
        (reading,) = bench.read('nobody')
        assert reading.absent
        assert 'no PPP secrets' in reading.error

    def test_a_session_without_a_secret_is_not_gone(self, bench):
        bench.router.tables['ppp active'].add(name='radius-user', address='100.64.9.9', service='pppoe')
        (reading,) = bench.read('radius-user')
        assert (reading.absent, 'driver of the RADIUS server' in reading.error) == (False, True)


def test_the_defaults_of_both_lists_of_names_are_those_that_erps_use():
    point = RouterOSPoint.model_validate({})
    for name in ('bloqueado', 'bloqueados', 'inadimplente', 'suspenso'):
        assert name in point.foreign_profiles
        assert name in point.foreign_lists
    assert LINE['profile'] not in point.foreign_profiles
