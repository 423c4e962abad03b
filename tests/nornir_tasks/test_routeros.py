"""The RouterOS driver against routers that keep real state; the truth is always asked of the router."""

import contextlib
import dataclasses
import json

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from nornir_tasks.change import AccessChange, AccessState, AccessTarget
from nornir_tasks.drivers.routeros import syntax
from nornir_tasks.drivers.routeros.box import Rates, normal_address, parse_rates
from nornir_tasks.drivers.routeros.driver import RouterOSDriver
from nornir_tasks.errors import EnforcementError, PointTimeoutError, PointUnreachableError
from tests.simulators.fixtures import LINE, PROFILES, THROTTLED, open_session, routeros_bench
from tests.simulators.routeros_control import duplicate
from tests.simulators.routeros_script import Interpreter
from tests.simulators.routeros_state import Fault, Router
from tests.simulators.routeros_syntax import Text, parse

NORMAL, BLOCKED = AccessState.normal(), AccessState.blocked()
NASTY = 'a"; /ppp secret remove [find]'
FREE = {'blocked': False, 'rate': [20000, 5000]}
SLOW = {'blocked': False, 'rate': [1000, 512]}
DEBT_WORDS = ('debt', 'overdue', 'delinq', 'unpaid', 'owe', 'inadimpl', 'suspend')


@pytest.fixture
def bench():
    with routeros_bench([{'name': name, 'profile': 'home'} for name in ('ana', 'bob', 'eva')]) as bench:
        yield bench


def got(bench, name):
    """What the router itself gives a subscriber: (stored, live), each only whether blocked and how fast."""
    service = bench.router.service(name)
    return tuple(
        part and {'blocked': part['blocked'], 'rate': part['rate']} for part in (service['stored'], service['live'])
    )


def blocked(state):
    return state['blocked']


class TestThrottle:
    def test_profile_and_session_are_both_changed_and_nobody_else_is(self, bench):
        bystander = bench.router.service('bob')
        (reply,) = bench.apply(THROTTLED, 'ana')
        assert reply.accepted
        assert got(bench, 'ana') == (SLOW, SLOW)
        assert bench.router.service('bob') == bystander
        (reading,) = bench.read('ana')
        assert reading.is_(THROTTLED)

    def test_download_and_upload_are_not_mixed_up(self, bench):
        bench.apply(AccessState.throttled(1000, 512), 'ana')
        stored, _ = got(bench, 'ana')
        assert stored['rate'] == [1000, 512]
        (queue,) = bench.router.tables['queue simple'].where('name', '<pppoe-ana>')
        assert queue['max-limit'] == '512000/1000000'  # the router's rx is what the subscriber uploads

    def test_an_offline_subscriber_is_throttled_at_the_next_session(self, bench):
        bench.router.stays_offline.add('ana')
        bench.router.disconnect(bench.router.tables['ppp active'].one('name', 'ana'))
        assert bench.apply(THROTTLED, 'ana')[0].accepted
        (reading,) = bench.read('ana')
        assert (reading.stored, reading.live) == (THROTTLED, None)
        bench.router.connect('ana')
        assert got(bench, 'ana') == (SLOW, SLOW)

    def test_rates_that_no_profile_has_are_refused_with_the_line_to_add(self, bench):
        before = bench.truth()
        (reply,) = bench.apply(AccessState.throttled(2000, 1000), 'ana')
        assert reply.accepted is False
        assert '/ppp profile add copy-from=[find name="home"] name="home-2000k-1000k" rate-limit="1000k/2000k"' in (
            reply.message
        )
        assert bench.truth() == before

    def test_the_line_to_add_is_right_as_it_stands(self, bench):
        (reply,) = bench.apply(AccessState.throttled(2000, 1000), 'ana')
        line = reply.message.partition('kbit/s: ')[2].partition(' and set it')[0]
        assert bench.run(line) == []
        target = bench.target('ana', parameters={'profile': 'home', 'throttled_profile': 'home-2000k-1000k'})
        assert bench.apply(AccessState.throttled(2000, 1000), target)[0].accepted
        assert bench.router.service('ana')['live']['rate'] == [2000, 1000]

    def test_a_profile_per_rate_is_made_only_where_allowed(self):
        with routeros_bench(parameters={'create_profiles': True}) as bench:
            target = bench.target('ana', parameters={'profile': 'home'})
            assert bench.apply(AccessState.throttled(2000, 1000), target)[0].accepted
            assert bench.router.service('ana')['live']['rate'] == [2000, 1000]
            made = bench.router.tables['ppp profile'].one('name', 'home-2000k-1000k')
            assert made['remote-address'] == 'pool-a'  # a copy: the pool stays
            assert bench.read(target)[0].is_(AccessState.throttled(2000, 1000))
            bench.apply(NORMAL, target)
            assert got(bench, 'ana') == (FREE, FREE)

    def test_a_secret_that_somebody_disabled_is_left_to_them(self, bench):
        bench.run('/ppp secret disable [find name=ana]')
        for desired in (THROTTLED, BLOCKED, NORMAL):
            assert bench.apply(desired, 'ana')[0].accepted
            (reading,) = bench.read('ana')
            assert (reading.stored, reading.foreign) == (desired, ('secret disabled',))
        assert bench.router.tables['ppp secret'].one('name', 'ana')['disabled'] is True


class TestBlock:
    def test_a_session_with_a_pools_address_comes_back_restricted_and_leaves_no_entry_behind(self, bench):
        old = bench.router.service('ana')['live']['address']
        assert bench.apply(BLOCKED, 'ana')[0].accepted
        stored, live = got(bench, 'ana')
        assert blocked(stored)
        assert blocked(live)
        assert bench.read('ana')[0].is_(BLOCKED)
        assert not bench.router.address_service(old)['blocked']  # whoever gets it next is not restricted

    def test_a_fixed_address_is_listed_without_ending_the_session(self):
        subscribers = [
            {'name': 'ana', 'profile': 'home', 'remote-address': '10.9.0.7'},
            {'name': 'bob', 'profile': 'home'},
        ]
        with routeros_bench(subscribers) as bench:
            session = bench.router.tables['ppp active'].one('name', 'ana')['.id']
            connections = bench.router.tables['ip firewall connection'].rows
            others = [row for row in connections.values() if not row['src-address'].startswith('10.9.0.7:')]
            bench.apply(BLOCKED, 'ana')
            assert all(map(blocked, got(bench, 'ana')))
            assert bench.router.tables['ppp active'].one('name', 'ana')['.id'] == session
            assert list(connections.values()) == others  # fasttracked ones would go on, and only those are forgotten
            assert bench.read('ana')[0].is_(BLOCKED)
            bench.apply(NORMAL, 'ana')
            assert got(bench, 'ana') == (FREE, FREE)
            assert bench.router.tables['ppp active'].one('name', 'ana')['.id'] == session

    def test_an_entry_for_a_pools_address_goes_away_by_itself(self):
        parameters = {'block_session': 'address-list', 'entry_timeout': '1h'}
        with routeros_bench(parameters=parameters) as bench:
            now = 1_000.0
            bench.router.clock = lambda: now
            address = bench.router.service('ana')['live']['address']
            bench.apply(BLOCKED, 'ana')
            assert bench.router.address_service(address)['blocked']
            assert bench.router.service('ana')['live']['address'] == address
            bench.router.clock = lambda: now + 3601
            assert not bench.router.address_service(address)['blocked']

    def test_an_entry_that_runs_out_is_taken_away_before_by_a_restore(self):
        with routeros_bench(parameters={'block_session': 'address-list', 'entry_timeout': '1h'}) as bench:
            session = bench.router.tables['ppp active'].one('name', 'ana')
            bench.apply(BLOCKED, 'ana')
            bench.apply(NORMAL, 'ana')
            assert got(bench, 'ana') == (FREE, FREE)
            assert bench.router.tables['ppp active'].one('name', 'ana') is session

    def test_listing_pool_addresses_for_ever_is_refused_as_a_setting(self):
        with pytest.raises(ValidationError, match='entry_timeout'):
            RouterOSDriver(None, {'block_session': 'address-list'})

    def test_without_the_restricted_profile_nothing_is_sent_and_the_line_to_add_is_named(self):
        with routeros_bench(profiles=PROFILES[:2]) as bench:
            before = bench.truth()
            (reply,) = bench.apply(BLOCKED, 'ana')
            assert reply.accepted is False
            assert bench.truth() == before
            assert bench.run(reply.message.partition(': ')[2].partition(': ')[2]) == []
            assert bench.apply(BLOCKED, 'ana')[0].accepted
            assert all(map(blocked, got(bench, 'ana')))

    def test_a_restricted_profile_that_restricts_nothing_is_not_used(self):
        profiles = [*PROFILES[:2], {'name': 'nbd-restricted'}]
        with routeros_bench(profiles=profiles) as bench:
            (reply,) = bench.apply(BLOCKED, 'ana')
            assert reply.accepted is False
            assert 'address-list="nbd-restricted"' in reply.message

    def test_both_address_families_are_restricted_and_freed(self, bench):
        target = bench.target('ana', ipv6='2001:db8:1::/56')
        bench.apply(BLOCKED, target)
        (entry,) = bench.router.rows('ipv6 firewall address-list')
        assert (entry['list'], entry['address']) == ('nbd-restricted', '2001:db8:1::/56')
        assert bench.read(target)[0].is_(BLOCKED)
        bench.apply(NORMAL, target)
        assert list(bench.router.rows('ipv6 firewall address-list')) == []
        assert bench.read(target)[0].is_(NORMAL)

    def test_tracked_connections_of_the_prefix_are_forgotten_and_no_others(self, bench):
        table = bench.router.tables['ipv6 firewall connection']
        for source in ('[2001:db8:1::5]:443', '[2001:db8:1:ff::5]:443', '[2001:db8:1:100::5]:443', '[2001:db8:2::5]:1'):
            table.add(protocol='tcp', **{'src-address': source, 'dst-address': '[2001:db8:f::1]:443'})
        bench.apply(BLOCKED, bench.target('ana', ipv6='2001:db8:1::/56'))
        left = [row['src-address'] for row in table.rows.values()]
        assert left == ['[2001:db8:1:100::5]:443', '[2001:db8:2::5]:1']

    def test_half_a_block_is_neither_blocked_nor_normal(self, bench):
        target = bench.target('ana', ipv6='2001:db8:1::/56')
        bench.apply(BLOCKED, target)
        bench.run('/ipv6 firewall address-list remove [find]')
        (reading,) = bench.read(target)
        assert not reading.is_(BLOCKED)
        assert not reading.is_(NORMAL)
        bench.apply(BLOCKED, target)
        assert bench.read(target)[0].is_(BLOCKED)

    @pytest.mark.parametrize('prefix', ['::/0', '2001:db8::/32', 'nonsense'])
    def test_a_prefix_that_would_hit_many_forbids_to_restrict_and_nothing_else(self, bench, prefix):
        before = bench.truth()
        for desired in (THROTTLED, BLOCKED):
            (reply,) = bench.apply(desired, bench.target('ana', ipv6=prefix))
            assert (reply.accepted, 'nothing was sent' in reply.message) == (False, True)
        assert bench.truth() == before
        bench.apply(BLOCKED, 'ana')
        assert bench.apply(NORMAL, bench.target('ana', ipv6=prefix))[0].accepted
        assert bench.truth() == before


class TestRestore:
    @pytest.mark.parametrize('hard', [THROTTLED, BLOCKED])
    def test_it_is_the_exact_inverse(self, bench, hard):
        before = bench.truth()
        baseline = bench.read('ana')[0]
        assert baseline.is_(NORMAL)
        bench.apply(hard, 'ana')
        assert bench.truth() != before
        target = bench.target('ana', parameters={}, baseline=json.loads(json.dumps(baseline.detail)))
        assert bench.apply(NORMAL, target)[0].accepted
        assert bench.truth() == before
        assert got(bench, 'ana') == (FREE, FREE)

    def test_without_a_baseline_the_plans_profile_is_put_back(self, bench):
        bench.apply(BLOCKED, 'ana')
        bench.apply(NORMAL, 'ana')
        assert got(bench, 'ana') == (FREE, FREE)
        assert bench.read('ana')[0].is_(NORMAL)

    def test_without_anything_to_go_back_to_it_is_refused(self, bench):
        bench.apply(BLOCKED, 'ana')
        (reply,) = bench.apply(NORMAL, bench.target('ana', parameters={}))
        assert reply.accepted is False
        assert '"profile"' in reply.message
        assert all(map(blocked, got(bench, 'ana')))

    def test_a_baseline_taken_while_blocked_is_not_trusted(self, bench):
        bench.apply(BLOCKED, 'ana')
        target = bench.target('ana', baseline=bench.read('ana')[0].detail)
        bench.apply(NORMAL, target)
        assert got(bench, 'ana') == (FREE, FREE)

    def test_an_exact_state_is_returned_to_whatever_the_plan_says(self, bench):
        bench.run('/ppp profile add name=legacy rate-limit=1M/3M')
        bench.run('/ppp secret set [find name=ana] profile=legacy; /ppp active remove [find name=ana]')
        (recorded,) = bench.read('ana')
        before = bench.truth()
        bench.apply(BLOCKED, 'ana')
        bench.apply(recorded.stored, 'ana', exact=recorded.detail)
        assert bench.truth() == before
        assert got(bench, 'ana')[1] == {'blocked': False, 'rate': [3000, 1000]}

    def test_a_recorded_profile_that_is_gone_is_refused(self, bench):
        (recorded,) = bench.read('ana')
        bench.apply(BLOCKED, 'ana')
        (reply,) = bench.apply(NORMAL, 'ana', exact={**recorded.detail, 'profile': 'gone'})
        assert reply.accepted is False
        assert 'no longer on the router' in reply.message

    @pytest.mark.parametrize('hard', [THROTTLED, BLOCKED])
    def test_a_profile_whose_name_is_latin_1_is_put_back_to_the_byte(self, bench, hard):
        bench.run('/ppp profile add name="padr\\E3o" rate-limit=5M/20M')
        bench.run('/ppp secret set [find name=ana] profile="padr\\E3o"; /ppp active remove [find name=ana]')
        before = bench.truth()
        (baseline,) = bench.read('ana')
        assert baseline.is_(NORMAL)
        assert baseline.detail['profile'] == 'padr␛DCE3o'
        recorded = json.loads(json.dumps(baseline.detail))
        assert bench.apply(hard, bench.target('ana', baseline=recorded))[0].accepted
        assert bench.apply(NORMAL, bench.target('ana', baseline=recorded))[0].accepted
        assert bench.truth() == before

    def test_a_name_that_looks_escaped_is_taken_for_no_other(self, bench):
        bench.run(f'/ppp profile add name={syntax.quote("padr␛")[:-1]}DCE3o" rate-limit=5M/20M')
        profile = bench.router.tables['ppp profile'].one('name', 'padr␛DCE3o')
        secret = bench.router.tables['ppp secret'].one('name', 'ana')
        bench.router.tables['ppp secret'].update(secret, {'profile': profile['name']})
        before = bench.truth()
        (reply,) = bench.apply(BLOCKED, 'ana')
        assert (reply.accepted, 'rename it' in reply.message) == (False, True)
        assert bench.truth() == before

    def test_a_user_whose_name_is_latin_1_is_found_and_blocked(self):
        with routeros_bench([{'name': 'jo\udce3o', 'profile': 'home'}, {'name': 'joo', 'profile': 'home'}]) as bench:
            assert bench.apply(BLOCKED, 'jo␛DCE3o')[0].accepted
            assert bench.read('jo␛DCE3o')[0].is_(BLOCKED)
            assert all(map(blocked, got(bench, 'jo\udce3o')))
            assert got(bench, 'joo') == (FREE, FREE)

    def test_a_line_that_is_as_it_should_be_keeps_its_session(self, bench):
        session = bench.router.tables['ppp active'].one('name', 'ana')
        bench.apply(NORMAL, 'ana')
        assert bench.router.tables['ppp active'].one('name', 'ana') is session

    def test_an_entry_that_stayed_behind_is_read_as_blocked_and_taken_away(self, bench):
        address = bench.router.service('ana')['live']['address']
        bench.run(f'/ip firewall address-list add list=nbd-restricted address={address}')
        (reading,) = bench.read('ana')
        assert (reading.stored, reading.live) == (NORMAL, BLOCKED)
        bench.apply(NORMAL, 'ana')
        assert got(bench, 'ana') == (FREE, FREE)


class TestQueues:
    QUEUE = {
        'name': 'q-ana',
        'target': '10.9.0.7/32',
        'max-limit': '5M/20M',
        'burst-limit': '6M/25M',
        'burst-threshold': '4M/15M',
        'burst-time': '8s/8s',
        'limit-at': '1M/4M',
    }

    @pytest.fixture
    def shaped(self):
        """A provider that shapes by static queues: profiles without rates, fixed addresses."""
        with routeros_bench(
            [{'name': 'ana', 'profile': 'plain', 'remote-address': '10.9.0.7'}],
            profiles=[{'name': 'plain'}, PROFILES[2]],
            queues=[self.QUEUE, self.QUEUE | {'name': 'q-bob', 'target': '10.9.0.8/32'}],
        ) as bench:
            yield bench

    def line(self, bench, **values):
        return bench.target(
            'ana', **({'parameters': {'profile': 'plain'}, 'down_kbps': 20000, 'up_kbps': 5000} | values)
        )

    def test_the_queue_is_throttled_in_place_without_bursts_and_put_back_exactly(self, shaped):
        before = shaped.truth()
        session = shaped.router.tables['ppp active'].one('name', 'ana')
        (baseline,) = shaped.read(self.line(shaped))
        assert shaped.apply(THROTTLED, self.line(shaped))[0].accepted
        queue = shaped.router.tables['queue simple'].one('name', 'q-ana')
        assert (queue['max-limit'], queue['limit-at'], queue['burst-limit']) == ('512000/1000000', '0/0', '0/0')
        assert shaped.router.tables['ppp active'].one('name', 'ana') is session
        target = self.line(shaped, baseline=baseline.detail)
        assert shaped.read(target)[0].is_(THROTTLED)
        assert shaped.apply(NORMAL, target)[0].accepted
        assert shaped.truth() == before

    def test_two_queues_for_one_line_forbid_to_restrict_it(self, shaped):
        shaped.run('/queue simple add name=another target=10.9.0.7/32')
        before = shaped.truth()
        (reply,) = shaped.apply(THROTTLED, self.line(shaped))
        assert (reply.accepted, '2 simple queues' in reply.message) == (False, True)
        assert shaped.truth() == before
        named = self.line(shaped, parameters={'profile': 'plain', 'queue': 'q-ana'})
        assert not shaped.read(named)[0].error

    def test_a_queue_that_is_not_there_forbids_to_restrict_and_nothing_else(self, shaped):
        before = shaped.truth()
        line = self.line(shaped, parameters={'profile': 'plain', 'queue': 'nope'})
        (reply,) = shaped.apply(THROTTLED, line)
        assert (reply.accepted, '"nope"' in reply.message) == (False, True)
        shaped.apply(BLOCKED, self.line(shaped))
        assert shaped.apply(NORMAL, line)[0].accepted
        assert shaped.truth() == before

    def test_a_queue_whose_name_is_latin_1_is_throttled_and_put_back(self, shaped):
        shaped.run('/queue simple set [find name=q-ana] name="caf\\E9"')
        before = shaped.truth()
        (baseline,) = shaped.read(self.line(shaped))
        recorded = json.loads(json.dumps(baseline.detail))
        for hard in (THROTTLED, BLOCKED):
            assert shaped.apply(hard, self.line(shaped))[0].accepted
            assert shaped.read(self.line(shaped, baseline=recorded))[0].is_(hard)
        assert shaped.apply(NORMAL, self.line(shaped, baseline=recorded))[0].accepted
        assert shaped.truth() == before

    def test_a_queue_whose_contracted_rate_nobody_knows_is_not_touched(self, shaped):
        before = shaped.truth()
        (reply,) = shaped.apply(THROTTLED, self.line(shaped, down_kbps=None, up_kbps=None))
        assert reply.accepted is False
        assert shaped.truth() == before

    def test_a_line_without_ppp_is_throttled_blocked_and_restored(self, shaped):
        target = shaped.target(ipv4='10.9.0.8', down_kbps=20000, up_kbps=5000, parameters={})
        before = shaped.truth()
        (baseline,) = shaped.read(target)
        target = dataclasses.replace(target, baseline=baseline.detail)
        for desired, check in ((THROTTLED, [1000, 512]), (BLOCKED, True), (NORMAL, [20000, 5000])):
            assert shaped.apply(desired, target)[0].accepted
            now = shaped.router.address_service('10.9.0.8')
            assert check in (now['rate'], now['blocked'])
            assert shaped.read(target)[0].is_(desired)
        assert shaped.truth() == before

    def test_a_line_without_queue_gets_one_only_where_allowed(self, bench):
        target = bench.target(ipv4='10.9.0.99', parameters={})
        (reply,) = bench.apply(THROTTLED, target)
        assert reply.accepted is False
        assert '/queue simple add name="nbd-10.9.0.99" target="10.9.0.99/32" max-limit="512k/1000k"' in reply.message
        before = bench.truth()
        bench.driver = RouterOSDriver(bench.session, {'manage_queues': True})
        assert bench.apply(THROTTLED, target)[0].accepted
        assert bench.router.address_service('10.9.0.99')['rate'] == [1000, 512]
        assert bench.read(target)[0].is_(THROTTLED)
        bench.apply(NORMAL, target)
        assert bench.truth() == before


class TestNeverTheWrongLine:
    @pytest.mark.parametrize(
        'name', [NASTY, 'x] do={/ppp secret remove [find]}', '$(/ppp secret remove [find])', 'a?b']
    )
    def test_a_name_that_is_a_command_is_only_a_name(self, name):
        for version in (7, 6):
            people = [{'name': item, 'profile': 'home'} for item in (name, 'a', 'bob')]
            with routeros_bench(people, version=version) as bench:
                others = [bench.router.service(item) for item in ('a', 'bob')]
                for desired in (THROTTLED, BLOCKED):
                    assert bench.apply(desired, name)[0].accepted
                    assert bench.read(name)[0].is_(desired)
                assert all(map(blocked, got(bench, name)))
                bench.apply(NORMAL, name)
                assert got(bench, name) == (FREE, FREE)
                assert [bench.router.service(item) for item in ('a', 'bob')] == others

    def test_a_nasty_name_that_is_not_there_harms_nobody(self, bench):
        before = bench.truth()
        assert 'no PPP secrets are called' in bench.read(NASTY)[0].error
        assert bench.truth() == before

    @pytest.mark.parametrize(
        'name', ['a\nb', 'a\r/ppp secret remove [find]', 'a\tb', 'a\0b', 'a\x1b[A', 'a\x9bb', 'a\u2028b']
    )
    def test_a_name_with_control_characters_is_refused_and_nothing_is_sent(self, bench, name):
        lines = len(bench.router.commands)
        assert 'control character' in bench.read(name)[0].error
        assert len(bench.router.commands) == lines

    def test_no_name_and_no_address_selects_nothing(self, bench):
        (reading,) = bench.read(AccessTarget('nobody'))
        assert 'neither a PPP user name nor an address' in reading.error

    def test_a_name_that_two_secrets_have_is_an_error_and_is_not_changed(self, bench):
        (reading,) = bench.read('ana')
        duplicate(bench.router, 'ana')
        before = bench.truth()
        assert '2 PPP secrets' in bench.read('ana')[0].error
        # Even with a reading from before, the box itself counts, in the same line that would change it.
        replies = bench.driver.apply([AccessChange('c', bench.target('ana'), BLOCKED)], {'ana': reading})
        assert replies['c'].accepted is False
        assert 'not exactly one secret' in replies['c'].message
        assert bench.truth() == before

    def test_a_name_with_two_sessions_is_not_restricted_and_none_is_ended(self, bench):
        (reading,) = bench.read('ana')
        bench.router.tables['ppp active'].add(name='ana', address='100.64.9.9', service='pppoe')
        (reply,) = bench.apply(BLOCKED, 'ana')
        assert (reply.accepted, '2 sessions' in reply.message) == (False, True)
        replies = bench.driver.apply([AccessChange('c', bench.target('ana'), THROTTLED)], {'ana': reading})
        assert replies['c'].accepted is False
        assert len(bench.router.tables['ppp active'].where('name', 'ana')) == 2

    def test_a_secret_that_vanished_after_reading_is_not_replaced_by_all(self, bench):
        (reading,) = bench.read('ana')
        bench.run('/ppp secret remove [find name=ana]')
        before = bench.truth()
        replies = bench.driver.apply([AccessChange('c', bench.target('ana'), BLOCKED)], {'ana': reading})
        assert replies['c'].accepted is False
        assert bench.truth() == before
        assert {row['name'] for row in bench.router.rows('ppp active')} >= {'bob', 'eva'}

    def test_a_dynamic_queue_is_never_edited(self, bench):
        for desired in (THROTTLED, BLOCKED, NORMAL):
            bench.apply(desired, 'ana')
        assert not [line for line in bench.router.commands if '/queue simple set' in line]

    def test_every_change_counts_before_it_acts_and_writes_no_word_of_debt(self, bench):
        bench.apply(THROTTLED, 'ana', 'bob')
        bench.apply(BLOCKED, 'ana', 'bob', bench.target('eva', ipv6='2001:db8:1::/56'))
        bench.apply(NORMAL, 'ana', 'bob', bench.target('eva', ipv6='2001:db8:1::/56'))
        changing = [line for line in bench.router.commands if '/ppp secret set' in line]
        assert len(changing) == 8
        for line in bench.router.commands:
            assert 'comment' not in line
            # Another's lists are looked for by their names; nothing of that stays on the router.
            is_read = line.startswith(':local n 0; :foreach r in=[/')
            assert is_read or not [word for word in DEBT_WORDS if word in line.lower()]
            assert 'set [find' not in line
            assert not [menu for menu in ('secret', 'active', 'simple', 'address-list') if f'{menu} remove [' in line]

    def test_one_bad_row_does_not_hold_up_the_others(self, bench):
        targets = [bench.target('ana'), bench.target('nobody'), bench.target('bob', parameters={'typo': 1})]
        readings = bench.driver.read(targets)
        assert not readings['ana'].error
        assert 'no PPP secrets' in readings['nobody'].error
        assert 'typo' in readings['bob'].error


class TestWhenThingsGoWrong:
    def test_a_change_that_is_answered_ok_and_does_nothing_is_seen_in_the_reading(self, bench):
        bench.router.faults = [Fault('lie', '"bob"')]
        replies = bench.apply(BLOCKED, 'ana', 'bob')
        assert [reply.accepted for reply in replies] == [True, True]
        assert [reading.is_(BLOCKED) for reading in bench.read('ana', 'bob')] == [True, False]

    def test_a_failure_in_the_midst_stops_that_line_and_no_other(self, bench):
        bench.router.faults = [Fault('error', '/ppp secret set.*bob|bob.*/ppp secret set', text='failure: no space')]
        replies = bench.apply(BLOCKED, 'ana', 'bob', 'eva')
        assert [reply.accepted for reply in replies] == [True, False, True]
        assert 'failure: no space' in replies[1].message
        assert all(map(blocked, (*got(bench, 'ana'), *got(bench, 'eva'))))
        assert got(bench, 'bob') == (FREE, FREE)

    @pytest.mark.parametrize('action', ['hang', 'drop'])
    def test_rows_typed_behind_one_that_hangs_are_read_and_sent_once_more(self, action):
        people = [{'name': 'u{n}', 'profile': 'home', 'count': 60}]
        with routeros_bench(people, timeout=1.0) as bench:
            names = [f'u{number}' for number in range(1, 61)]
            bench.router.faults = [Fault(action, '/ppp secret find name="u5"]; .*/ppp secret set')]
            replies = dict(zip(names, bench.apply(BLOCKED, *names), strict=True))
            # A drop may take answers with it that were on their way: such a row reads as changed, and stays unknown.
            unknown = {name for name, reply in replies.items() if reply.accepted is None}
            assert unknown == {'u5'} if action == 'hang' else 'u5' in unknown
            assert not [reply for reply in replies.values() if reply.accepted is False]
            for name in names:
                sent = [line for line in bench.router.commands if f'"{name}"]; ' in line and '/ppp secret set' in line]
                assert len(sent) == 1 or (action == 'drop' and name == 'u5')
                assert bench.router.service(name)['stored']['blocked'] == (name != 'u5')

    def test_rows_behind_one_that_hangs_are_not_sent_again_where_they_were_carried_out(self):
        people = [{'name': 'u{n}', 'profile': 'home', 'count': 10}]
        with routeros_bench(people, timeout=0.5) as bench:
            targets = [bench.target(f'u{number}') for number in range(1, 11)]
            before = bench.driver.read(targets)
            bench.router.faults = [Fault('hang', '/ppp secret find name="u5"]; .*/ppp secret set')]
            read = bench.driver.read
            # While the driver waits for an answer, somebody else changes a line that is typed ahead.
            bench.driver.read = lambda wanted: (bench.run('/ppp secret set [find name=u7] profile=slow'), read(wanted))[
                1
            ]
            changes = [AccessChange(item.key, item, BLOCKED) for item in targets]
            replies = bench.driver.apply(changes, before)
            assert {key for key, reply in replies.items() if reply.accepted is None} == {'u5', 'u7'}
            assert bench.router.service('u7')['stored']['profile'] == 'slow'

    def test_a_router_that_hangs_on_everything_is_not_waited_for_again_and_again(self):
        people = [{'name': 'u{n}', 'profile': 'home', 'count': 200}]
        with routeros_bench(people, timeout=0.3) as bench:
            targets = [bench.target(f'u{number}') for number in range(1, 201)]
            before = bench.driver.read(targets)
            bench.router.faults = [Fault('hang', '/ppp secret set')]
            replies = bench.driver.apply([AccessChange(item.key, item, BLOCKED) for item in targets], before)
            assert [reply.accepted for reply in replies.values()].count(None) == 60
            assert [reply.accepted for reply in replies.values()].count(False) == 140
            assert replies['u200'].message.startswith('not sent: ')
            assert not any(blocked(bench.router.service(f'u{number}')['stored']) for number in range(61, 201))

    def test_a_router_that_hangs_on_reading_is_a_failed_point(self):
        with routeros_bench(timeout=0.3) as bench:
            bench.router.faults = [Fault('hang')]
            with pytest.raises(PointTimeoutError):
                bench.driver.read([bench.target('ana')])

    def test_reading_survives_a_session_that_died(self, bench):
        bench.read('ana')
        bench.running.drop_connections('bras-1')
        assert not bench.read('ana')[0].error
        assert bench.session.logins == 2

    def test_a_router_that_is_gone_is_a_failed_point(self, bench):
        bench.running.call(stop(bench))
        with pytest.raises(PointUnreachableError):
            bench.driver.read([bench.target('ana')])

    def test_an_answer_that_is_not_whole_is_an_error_never_an_empty_router(self, bench):
        bench.router.faults = [Fault('error', '/ppp secret print', text='failure: out of memory')]
        with pytest.raises(EnforcementError, match='out of memory'):
            bench.driver.read([bench.target('ana')])

    def test_a_full_house_of_ssh_sessions_is_a_refused_login(self):
        with (
            routeros_bench(settings={'session_cap': 1}) as bench,
            pytest.raises(PointUnreachableError),
            routeros_open(bench),
        ):
            pass


class TestBulk:
    def test_hundreds_of_lines_take_a_few_commands_to_read_and_one_login(self):
        people = [{'name': 'u{n}', 'profile': 'home', 'count': 500}]
        with routeros_bench(people) as bench:
            targets = [bench.target(f'u{number}') for number in range(1, 501)]
            before = bench.driver.read(targets)
            assert len(bench.router.commands) <= 8
            desired = [THROTTLED, BLOCKED, NORMAL]
            changes = [AccessChange(item.key, item, desired[index % 3]) for index, item in enumerate(targets)]
            replies = bench.driver.apply(changes, before)
            after = bench.driver.read(targets)
            assert all(reply.accepted for reply in replies.values())
            assert all(after[change.key].is_(change.desired) for change in changes)
            wanted = [SLOW, None, FREE]
            for index, item in enumerate(targets):
                for state in got(bench, item.username):
                    assert state == wanted[index % 3] if wanted[index % 3] else blocked(state)
            assert bench.router.counters.logins == 1
            assert bench.router.counters.max_outstanding == 30

    def test_lines_asked_for_by_name_and_by_reading_everything_read_the_same(self, monkeypatch):
        people = [{'name': 'u{n}', 'profile': 'home', 'count': 45}, {'name': NASTY, 'profile': 'slow'}]
        with routeros_bench(people) as bench:
            names = [*(f'u{number}' for number in range(1, 46)), NASTY]
            whole = bench.read(*names)
            monkeypatch.setattr('nornir_tasks.drivers.routeros.box.WHOLE_BOX', 1000)
            assert bench.read(*names) == whole


class TestText:
    @settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow])
    @given(st.text(st.characters(exclude_categories=('Cc', 'Cs', 'Zl', 'Zp')), max_size=60))
    @example(NASTY)
    @example('\\"$?[](){};=#\\n\\3F')
    @example('José Ñandú 株式会社')
    def test_quoting_survives_the_routers_own_parser(self, text):
        quoted = syntax.quote(text)
        assert quoted.isascii()
        assert '?' not in quoted
        router = Router('r')
        (statement,) = parse(f':put {quoted}', router.menus)
        (value,) = statement.values
        assert isinstance(value, Text)
        assert ''.join(value.parts) == text
        assert all(isinstance(part, str) for part in value.parts)  # nothing in it is run

    @settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(
        st.lists(
            st.text(st.characters(exclude_categories=('Cc', 'Cs', 'Zl', 'Zp')), min_size=1), min_size=1, max_size=4
        )
    )
    def test_rows_survive_being_printed_and_parsed(self, names):
        router = Router('r')
        names = list(dict.fromkeys(names))
        for name in names:
            router.add('ppp secret', {'name': name})
        fields = ('name', 'profile', 'disabled', 'comment')
        printed = '\n'.join(Interpreter(router).run(syntax.rows_command('ppp secret', fields)))
        rows = syntax.parse_rows(printed, fields, 'ppp secret')
        assert [row['name'] for row in rows] == names
        where = syntax.any_of([('name', names[0])])
        printed = '\n'.join(Interpreter(router).run(syntax.rows_command('ppp secret', fields, where)))
        assert syntax.parse_rows(printed, fields, 'ppp secret') == [
            {'name': names[0], 'profile': 'default', 'disabled': 'false', 'comment': ''}
        ]

    def test_a_value_cannot_pass_for_another_row(self):
        def read(*names):
            router = Router('r')
            for name in names:
                router.tables['ppp secret'].add(name=name, profile='home')
            printed = '\n'.join(Interpreter(router).run(syntax.rows_command('ppp secret', ('name', 'profile'))))
            return [row['name'] for row in syntax.parse_rows(printed, ('name', 'profile'), 'ppp secret')]

        assert read('nbd-rows:9', 'nbd-row:3,4;bobhome', 'a;profile=x') == [
            'nbd-rows:9', 'nbd-row:3,4;bobhome', 'a;profile=x',
        ]  # fmt: skip
        assert read('two\nlines', 'bob') == ['bob']
        with pytest.raises(EnforcementError):
            read('a\nnbd-row:3,4;bobhome', 'eva')

    def test_exact_commands(self):
        assert syntax.set_profile('jo"e', 'slow') == (
            ':local s [/ppp secret find name="jo\\"e"]; '
            ':if ([:len $s]!=1) do={:error "not exactly one secret has this name"}; '
            '/ppp secret set $s profile="slow"'
        )
        assert syntax.flush_connections('10.0.0.7') == (
            ':do {/ip firewall connection remove [/ip firewall connection find '
            'src-address~"^10\\\\.0\\\\.0\\\\.7(:|\\$)" or dst-address~"^10\\\\.0\\\\.0\\\\.7(:|\\$)"]} on-error={}'
        )
        with pytest.raises(ValueError, match='10'):
            syntax.flush_connections('10.0.0.7|.*')
        assert syntax.flush_connections_v6('2001:db8:1:5600::/56') == (
            ':do {/ipv6 firewall connection remove [/ipv6 firewall connection find '
            'src-address~"^\\\\[\\3F(2001:db8:1:56[0-9a-f][0-9a-f]:)" or '
            'dst-address~"^\\\\[\\3F(2001:db8:1:56[0-9a-f][0-9a-f]:)"]} on-error={}'
        )
        assert syntax.flush_connections_v6('2001:db8::/57') == ''

    @pytest.mark.parametrize(
        ('text', 'rates'),
        [
            ('5M/20M', Rates(20000, 5000)),
            ('512k/1M 1M/2M 512k/1M 8/8 8 0/0', Rates(1000, 512)),
            ('512000/1000000', Rates(1000, 512)),
            ('2M', Rates(2000, 2000)),
            ('0/1M', Rates(1000, 100_000_000)),
            ('0/0', None),
            ('', None),
            ('fast', None),
        ],
    )
    def test_rate_limits_are_upload_first(self, text, rates):
        assert parse_rates(text) == rates

    def test_addresses_have_one_spelling(self):
        assert normal_address('10.0.0.7/32') == '10.0.0.7'
        assert normal_address('2001:DB8::1/128') == '2001:db8::1'
        assert normal_address('2001:db8:1:5::/56') == '2001:db8:1::/56'
        assert normal_address('pool-a') == 'pool-a'

    @pytest.mark.parametrize('name', ['restricted_list', 'blocked_profile', 'throttled_profile'])
    def test_a_parameter_with_a_line_break_is_refused(self, name):
        with pytest.raises(ValidationError):
            RouterOSDriver(None, {name: 'a\nb'})


def test_the_plans_parameters_are_those_of_the_line():
    assert RouterOSDriver.LineParameters(**LINE).profile == 'home'
    with pytest.raises(ValidationError):
        RouterOSDriver.LineParameters(profil='home')


def routeros_open(bench):
    return contextlib.closing(open_session(bench.listening))


async def stop(bench):
    bench.listening.acceptor.close()
    bench.listening.drop_connections()
