"""What the `linux` driver reads and writes, to the letter. The real box is in `tests/e2e/test_lab.py`."""

import json
from ipaddress import IPv4Address, IPv6Address, ip_network

import pytest
from pydantic import ValidationError

from nornir_tasks.change import AccessChange, AccessState, AccessTarget
from nornir_tasks.drivers.linux import nft, tc
from nornir_tasks.drivers.linux.batch import Command, Output, script
from nornir_tasks.drivers.linux.driver import LinuxDriver
from nornir_tasks.drivers.linux.plan import LinuxLine, plan_row, speed_of
from nornir_tasks.drivers.linux.select import Routes, find_interface, find_overlaps, find_segment, inner_address, select
from nornir_tasks.drivers.linux.tc import LineError
from nornir_tasks.errors import EnforcementError

NORMAL, BLOCKED = AccessState.normal(), AccessState.blocked()
THROTTLED = AccessState.throttled(512, 256)
GARDEN = nft.WalledGarden(
    IPv4Address('192.0.2.80'), IPv6Address('2001:db8:f::80'), 8080,
    resolvers=(IPv4Address('192.0.2.53'), IPv6Address('2001:db8:f::53')), allowed=(ip_network('198.51.100.0/24'),),
)  # fmt: skip
TARGET = AccessTarget(
    '7', circuit_id='ppp12', ipv4='203.0.113.7', ipv6='2001:db8:7::/56', down_kbps=300_000, up_kbps=150_000
)
NETWORKS = (ip_network('203.0.113.7'), ip_network('2001:db8:7::/56'))
UP = tc.upload_device('ppp12')


def line(**values):
    return LinuxLine('ppp12', UP, **({'networks': NETWORKS} | values))


def shaped(down, up, **values):
    return line(down=tc.shaped_to(down, None), up=tc.shaped_to(up, None), **values)


def row(desired, found, target=TARGET, **values):
    return plan_row(AccessChange('change', target, desired, **values), found)


def output(stdout='', stderr='', status=0):
    return Output('bras: `tc`', status, stdout, stderr)


# --- what is written -------------------------------------------------------------------------------------------


def test_throttling_an_unshaped_line_makes_its_shaping_and_says_every_number():
    assert row(THROTTLED, line()).ip == (f'link add name {UP} type ifb', f'link set dev {UP} up')
    assert row(THROTTLED, line()).tc == (
        'qdisc add dev ppp12 root handle 4e42: htb default 1',
        'class replace dev ppp12 parent 4e42: classid 4e42:1 htb rate 512000bit ceil 512000bit '
        'burst 15140 cburst 15140 quantum 1514',
        'qdisc replace dev ppp12 parent 4e42:1 handle 4e43: pfifo limit 16',
        f'qdisc add dev {UP} root handle 4e42: htb default 1',
        f'class replace dev {UP} parent 4e42: classid 4e42:1 htb rate 256000bit ceil 256000bit '
        'burst 15140 cburst 15140 quantum 1514',
        f'qdisc replace dev {UP} parent 4e42:1 handle 4e43: pfifo limit 16',
        'qdisc add dev ppp12 ingress',
        'filter add dev ppp12 ingress protocol all prio 20034 u32 match u32 0 0 '
        f'action mirred egress redirect dev {UP}',
    )


def test_a_line_that_is_shaped_only_has_its_classes_changed():
    sent = row(THROTTLED, shaped(300_000, 150_000))
    assert sent.ip == ()
    assert [command.split()[:4] for command in sent.tc] == [
        ['class', 'replace', 'dev', 'ppp12'],
        ['qdisc', 'replace', 'dev', 'ppp12'],
        ['class', 'replace', 'dev', UP],
        ['qdisc', 'replace', 'dev', UP],
    ]


def test_a_class_of_others_is_changed_where_it_stands_and_put_back_exactly():
    theirs = tc.Shaper('1:10', '1:1', 330_000_000, 400_000_000, 90_000, 95_000, prio=3, quantum=60_000, overhead=22)
    found = line(down=theirs, up=tc.shaped_to(150_000, None))
    baseline = found.as_detail()
    assert row(THROTTLED, found).tc[0] == (
        'class change dev ppp12 parent 1:1 classid 1:10 htb rate 512000bit ceil 512000bit '
        'burst 15140 cburst 15140 prio 3 quantum 60000 overhead 22'
    )
    throttled = line(down=tc.shaped_to(512, theirs), up=tc.shaped_to(256, None))
    for values in ({'exact': baseline}, {'target': AccessTarget('7', ipv4='203.0.113.7', baseline=baseline)}):
        assert row(NORMAL, throttled, **values).tc[0] == (
            'class change dev ppp12 parent 1:1 classid 1:10 htb rate 330000000bit ceil 400000000bit '
            'burst 90000 cburst 95000 prio 3 quantum 60000 overhead 22'
        )


def test_restoring_goes_to_the_contract_where_it_has_risen_since_the_baseline():
    baseline = shaped(100_000, 50_000).as_detail()
    target = AccessTarget('7', down_kbps=300_000, up_kbps=40_000, baseline=baseline)
    rates = [part for command in row(NORMAL, shaped(512, 256), target).tc for part in command.split() if 'bit' in part]
    assert rates == ['300000000bit', '300000000bit', '50000000bit', '50000000bit']


def test_a_line_that_was_unshaped_is_unshaped_again():
    target = AccessTarget('7', ipv4='203.0.113.7', down_kbps=300_000, up_kbps=150_000, baseline=line().as_detail())
    assert row(NORMAL, shaped(512, 256), target).tc == (
        'qdisc del dev ppp12 root',
        'filter del dev ppp12 ingress protocol all prio 20034',
    )


def test_blocking_leaves_the_shaping_alone_and_walls_every_address():
    assert row(BLOCKED, shaped(512, 256)) == row(BLOCKED, line())
    assert row(BLOCKED, line()).wall == NETWORKS
    assert row(BLOCKED, line()).tc == row(BLOCKED, line()).ip == ()


def test_leaving_the_wall_removes_what_was_listed_and_nothing_more():
    half = shaped(300_000, 150_000, walled=NETWORKS[:1])
    assert row(NORMAL, half).unwall == NETWORKS[:1]
    assert row(THROTTLED, half).unwall == NETWORKS[:1]


@pytest.mark.parametrize(
    ('desired', 'found', 'target', 'said'),
    [
        (BLOCKED, line(networks=()), TARGET, 'no address'),
        (THROTTLED, line(obstacle='ppp12 is shaped by tbf'), TARGET, 'tbf'),
        (THROTTLED, line(), AccessTarget('7', circuit_id='ppp12'), 'no contracted rates'),
        (AccessState.throttled(300_000, 150_000), line(), TARGET, 'not below'),
        (AccessState.throttled(1_234_567, 1), line(), TARGET, 'whole Mbit'),
    ],
)
def test_what_could_not_be_undone_or_read_back_is_not_sent(desired, found, target, said):
    with pytest.raises(LineError, match=said):
        row(desired, found, target)


def test_a_blocked_line_that_others_shape_can_be_let_out():
    found = line(walled=NETWORKS, obstacle='ppp12 is shaped by tbf')
    assert row(NORMAL, found) == row(NORMAL, found, AccessTarget('7', baseline=found.as_detail()))
    assert row(NORMAL, found).unwall == NETWORKS
    assert row(NORMAL, found).tc == ()


@pytest.mark.parametrize(
    'shaper',
    [
        {'classid': '1:1; reboot', 'parent': 'root'},
        {'classid': '1:1', 'parent': 'root\nqdisc del dev eth0 root'},
        {'classid': '1:1', 'parent': 'root', 'rate': '1bit; reboot'},
        {'classid': '1:1', 'parent': 'root', 'prio': -1},
        {'classid': '1:1', 'parent': 'root', 'quantum': True},
        {'unknown': 1},
        ['1:1'],
    ],
)
def test_a_recorded_shaping_that_was_tampered_with_never_reaches_a_command(shaper):
    if isinstance(shaper, dict) and 'unknown' not in shaper:
        shaper = {'rate': 1, 'ceil': 1, 'burst': 1, 'cburst': 1} | shaper
    with pytest.raises(LineError, match='not in the form'):
        row(NORMAL, shaped(512, 256), AccessTarget('7', ipv4='203.0.113.7', baseline={'down': shaper}))
    detail = line().as_detail() | {'interface': 'ppp12; reboot'}
    with pytest.raises(LineError, match='not in the form'):
        LinuxLine.from_detail(detail, NETWORKS)


def test_the_table_is_written_as_one_transaction():
    assert nft.change_lines('netbox_access', GARDEN, NETWORKS, [ip_network('203.0.113.9')]) == [
        'add table inet netbox_access',
        'add set inet netbox_access walled_ipv4 { type ipv4_addr; flags interval; }',
        'add set inet netbox_access walled_ipv6 { type ipv6_addr; flags interval; }',
        'add set inet netbox_access garden_ipv4 { type ipv4_addr; flags interval; }',
        'add set inet netbox_access garden_ipv6 { type ipv6_addr; flags interval; }',
        'add set inet netbox_access resolver_ipv4 { type ipv4_addr; flags interval; }',
        'add set inet netbox_access resolver_ipv6 { type ipv6_addr; flags interval; }',
        'add chain inet netbox_access forward { type filter hook forward priority -10; policy accept; }',
        'add chain inet netbox_access prerouting { type nat hook prerouting priority -110; policy accept; }',
        'add chain inet netbox_access outgoing',
        'add chain inet netbox_access incoming',
        'flush chain inet netbox_access forward',
        'flush chain inet netbox_access prerouting',
        'flush chain inet netbox_access outgoing',
        'flush chain inet netbox_access incoming',
        'flush set inet netbox_access garden_ipv4',
        'flush set inet netbox_access garden_ipv6',
        'add element inet netbox_access garden_ipv4 { 192.0.2.80, 198.51.100.0/24 }',
        'add element inet netbox_access garden_ipv6 { 2001:db8:f::80 }',
        'flush set inet netbox_access resolver_ipv4',
        'flush set inet netbox_access resolver_ipv6',
        'add element inet netbox_access resolver_ipv4 { 192.0.2.53 }',
        'add element inet netbox_access resolver_ipv6 { 2001:db8:f::53 }',
        'add rule inet netbox_access forward ip saddr @walled_ipv4 goto outgoing',
        'add rule inet netbox_access forward ip daddr @walled_ipv4 goto incoming',
        'add rule inet netbox_access outgoing ip daddr @garden_ipv4 accept',
        'add rule inet netbox_access incoming ip saddr @garden_ipv4 accept',
        'add rule inet netbox_access outgoing ip daddr @resolver_ipv4 meta l4proto { tcp, udp } th dport 53 accept',
        'add rule inet netbox_access incoming ip saddr @resolver_ipv4 meta l4proto { tcp, udp } th sport 53 accept',
        'add rule inet netbox_access prerouting ip saddr @walled_ipv4 ip daddr != @garden_ipv4 tcp dport 80 '
        'dnat ip to 192.0.2.80:8080',
        'add rule inet netbox_access forward ip6 saddr @walled_ipv6 goto outgoing',
        'add rule inet netbox_access forward ip6 daddr @walled_ipv6 goto incoming',
        'add rule inet netbox_access outgoing ip6 daddr @garden_ipv6 accept',
        'add rule inet netbox_access incoming ip6 saddr @garden_ipv6 accept',
        'add rule inet netbox_access outgoing ip6 daddr @resolver_ipv6 meta l4proto { tcp, udp } th dport 53 accept',
        'add rule inet netbox_access incoming ip6 saddr @resolver_ipv6 meta l4proto { tcp, udp } th sport 53 accept',
        'add rule inet netbox_access prerouting ip6 saddr @walled_ipv6 ip6 daddr != @garden_ipv6 tcp dport 80 '
        'dnat ip6 to [2001:db8:f::80]:8080',
        'add rule inet netbox_access outgoing drop',
        'add rule inet netbox_access incoming drop',
        'add element inet netbox_access walled_ipv4 { 203.0.113.7 }',
        'add element inet netbox_access walled_ipv6 { 2001:db8:7::/56 }',
        'add element inet netbox_access walled_ipv4 { 203.0.113.9 }',
        'delete element inet netbox_access walled_ipv4 { 203.0.113.9 }',
    ]


def test_a_portal_inside_an_allowed_network_is_one_element():
    garden = nft.WalledGarden(IPv4Address('198.51.100.80'), allowed=(ip_network('198.51.100.0/24'),))
    assert garden.networks == {ip_network('198.51.100.0/24')}


# --- what is read ----------------------------------------------------------------------------------------------

TEXT = 'class htb 1:10 parent 1:1 leaf 10: prio 3 quantum 60000 rate 41Mbit overhead 22 ceil 50500Kbit '
LEAF = tc.Shaper('1:10', '1:1', 41_000_000, 50_500_000, 70 * 1024, 1593, prio=3, quantum=60_000, overhead=22)


@pytest.mark.parametrize(
    'printed',
    [
        TEXT + 'linklayer ethernet burst 70Kb/1 mpu 0b cburst 1593b/1 mpu 0b level 0 \n',
        # From 5.x on the blank after the cell size comes and goes.
        TEXT + 'linklayer ethernet burst 70Kb/1mpu 0b cburst 1593b/1mpu 0b level 0 \n',
        '[{"class":"htb","handle":"1:10","parent":"1:1","leaf":"0x10","prio":3,"quantum":60000,"rate":5125000,'
        '"overhead":22,"ceil":6312500,"linklayer":"ethernet","burst":71680,"burst_cell":1,"mpu_rate":0,"cburst":1593,'
        '"cburst_cell":1,"mpu_ceil":0,"level":0}]\n',
    ],
)
def test_a_class_reads_the_same_in_every_form_of_tc(printed):
    assert tc.parse_shaping(['ppp12'], output(printed + '[]\n')) == {'ppp12': tc.Shaping((LEAF,), ())}


def test_answers_find_their_device_where_another_has_gone():
    inner = 'class htb 1:1 root rate 9Mbit ceil 9Mbit burst 1600b/1 mpu 0b cburst 1600b/1 mpu 0b level 7\n'
    redirect = '[{"kind":"u32","options":{"actions":[{"kind":"mirred","to_dev":"up-1"}]}}]\n'
    gone = 'Cannot find device "ppp2"\nCommand failed -:3\nCannot find device "ppp2"\nCommand failed -:4\n'
    found = tc.parse_shaping(
        ['ppp1', 'ppp2', 'ppp3'],
        output(f'{redirect}{inner}{TEXT}burst 70Kb/1 mpu 0b cburst 1593b/1 mpu 0b level 0\n[]\n', gone, 1),
    )
    assert found == {'ppp1': tc.Shaping((), ('up-1',)), 'ppp3': tc.Shaping((LEAF,), ())}


@pytest.mark.parametrize(
    ('stdout', 'stderr', 'status'),
    [('[]\n', '', 0), ('', 'sh: 1: tc: not found', 127), ('', 'sudo: a password is required', 1)],
)
def test_a_point_that_cannot_be_read_is_an_error_of_the_point(stdout, stderr, status):
    with pytest.raises(EnforcementError, match='bras'):
        tc.parse_shaping(['ppp1', 'ppp2', 'ppp3'], output(stdout, stderr, status))


def test_complaints_belong_to_their_lines():
    failed = output('', 'Error: Exclusivity flag on, cannot modify.\nCommand failed -:2\nRTNETLINK answers: No\nCommand failed -:9\n', 1)  # fmt: skip  # noqa: E501
    assert failed.failed_lines() == {1: 'Error: Exclusivity flag on, cannot modify.', 8: 'RTNETLINK answers: No'}


@pytest.mark.parametrize(
    ('down', 'up', 'state'),
    [
        (300_000, 150_000, NORMAL),
        (330_000, 165_000, NORMAL),
        (299_999, 150_000, AccessState.throttled(299_999, 150_000)),
        (300_000, 1, AccessState.throttled(300_000, 1)),
        (512, 256, THROTTLED),
    ],
)
def test_a_line_is_throttled_where_a_rate_is_below_the_contract(down, up, state):
    assert speed_of(TARGET, shaped(down, up)) == state


def test_an_unshaped_line_is_normal_and_half_a_throttle_is_not():
    assert speed_of(TARGET, line()) == NORMAL
    assert speed_of(TARGET, line(down=tc.shaped_to(512, None))) == AccessState.throttled(512, 150_000)


def test_a_rate_that_cannot_be_compared_with_a_contract_is_not_guessed_at():
    theirs = tc.Shaper('1:10', '1:1', 512_000, 512_000, 9_000, 9_000, prio=3)
    with pytest.raises(LineError, match='no contracted rate'):
        speed_of(AccessTarget('7'), line(down=theirs))


def test_our_own_shaping_is_a_throttle_whatever_the_plan_has_forgotten_and_is_taken_away():
    target = AccessTarget('7', ipv4='203.0.113.7')
    assert speed_of(target, shaped(512, 256)) == THROTTLED
    assert row(NORMAL, shaped(512, 256), target).tc == (
        'qdisc del dev ppp12 root',
        'filter del dev ppp12 ingress protocol all prio 20034',
    )


def test_shaping_of_others_without_a_contract_does_not_keep_a_line_behind_the_wall():
    theirs = tc.Shaper('1:10', '1:1', 512_000, 512_000, 9_000, 9_000, prio=3)
    sent = row(NORMAL, line(down=theirs, walled=NETWORKS), AccessTarget('7', ipv4='203.0.113.7'))
    assert (sent.unwall, sent.tc) == (NETWORKS, ())


# --- which line ------------------------------------------------------------------------------------------------

ROUTES = Routes.parse(
    [{'dst': 'default', 'dev': 'eth0'}, {'dst': 'default', 'nexthops': [{'dev': 'eth1'}, {'dev': 'eth2'}]}],
    [{'dst': f'203.0.113.{host}', 'dev': device} for host, device in ((7, 'ppp12'), (8, 'vlan9'), (9, 'vlan9'))],
)
KNOWN = {'ppp12', 'vlan9', 'eth0', 'eth1', 'eth2'}


def find(target, *matches, patterns=('*',)):
    return find_interface(select(target, GARDEN), [[match] for match in matches], ROUTES, patterns, KNOWN)


def test_a_line_is_where_its_addresses_are_routed_to():
    target = AccessTarget('7', ipv4='203.0.113.7', ipv6='2001:db8:7::/56')
    assert find(target, {'dst': '203.0.113.7', 'dev': 'ppp12'}, {'dst': '2001:db8:7::/56', 'dev': 'ppp12'}) == 'ppp12'


@pytest.mark.parametrize(
    ('values', 'match', 'said'),
    [
        ({'ipv4': '203.0.113.7'}, {'dst': 'default', 'dev': 'eth0'}, 'not routed'),
        ({'ipv4': '203.0.113.7'}, {'type': 'local', 'dst': '203.0.113.7', 'dev': 'lo'}, 'not routed'),
        ({'ipv4': '203.0.113.7'}, {'type': 'blackhole', 'dst': '203.0.113.0/24'}, 'not routed'),
        ({'ipv4': '203.0.113.7'}, {'dst': '203.0.113.0/24', 'dev': 'br0'}, 'segment'),
        ({'ipv6': '2001:db8:7::1'}, {'dst': '2001:db8::/32', 'dev': 'br0'}, 'segment'),
        ({'ipv4': '203.0.113.7'}, {'dst': '203.0.113.7', 'dev': 'a b'}, 'name'),
        ({'ipv4': '203.0.113.7', 'circuit_id': 'vlan9'}, {'dst': '203.0.113.7', 'dev': 'ppp12'}, '2 interfaces'),
        ({'ipv4': '203.0.113.8'}, {'dst': '203.0.113.8', 'dev': 'vlan9'}, 'another line'),
        ({'ipv4': '203.0.113.7'}, {'dst': '203.0.113.7', 'dev': 'eth2'}, 'uplink'),
        ({'ipv4': '203.0.113.7'}, {'dst': '203.0.113.7', 'dev': 'ppp99'}, 'no interface'),
    ],
)
def test_a_route_that_is_not_one_line_s_is_refused(values, match, said):
    with pytest.raises(LineError, match=said):
        find(AccessTarget('7', **values), match)


@pytest.mark.parametrize(
    ('own', 'subnets', 'shared'),
    [
        ((), ['203.0.113.0/24'], True),
        ((), ['203.0.113.4/30'], True),
        ((), ['203.0.113.4/31', 'fe80::/64', '169.254.0.0/16', '2001:db8::/127'], False),
        ((), ['2001:db8:7::/64'], True),
        (NETWORKS, ['2001:db8:7::/64', '2001:db8:9::/64'], False),
        (NETWORKS[:1], ['10.0.0.0/24'], True),
        (NETWORKS[:1], ['203.0.113.4/30'], False),  # the line's own, as `WIDEST_ROUTE` says
        (NETWORKS[:1], ['203.0.113.0/28'], True),
        (NETWORKS[1:], ['203.0.113.0/24'], True),
        ((ip_network('203.0.113.0/28'),), ['203.0.113.8/29'], False),
    ],
)
def test_a_segment_that_others_may_share_is_never_shaped_and_never_keeps_a_line_walled(own, subnets, shared):
    routes = Routes.parse([], [{'dst': subnet, 'dev': 'vlan100'} for subnet in (*subnets, '203.0.113.9')])
    obstacle = find_segment('vlan100', own, routes)
    assert bool(obstacle) == shared
    assert find_segment('vlan9', own, routes) == ''
    found = line(networks=own, walled=own, obstacle=obstacle)
    assert row(NORMAL, found).unwall == own
    if shared:
        with pytest.raises(LineError, match='which others may share'):
            row(THROTTLED, found)


def test_only_interfaces_of_the_named_patterns_are_touched():
    with pytest.raises(LineError, match='not among'):
        find(AccessTarget('7', circuit_id='ppp12'), patterns=('vlan*', 'ipoe*'))


def test_addresses_of_two_lines_and_of_listed_networks_are_found():
    targets = {
        'a': AccessTarget('a', ipv4='203.0.113.1'),
        'b': AccessTarget('b', ipv4='203.0.113.1'),
        'c': AccessTarget('c', ipv6='2001:db8:7:1::/64'),
        'd': AccessTarget('d', ipv6='2001:db8:8::/56'),
        'e': AccessTarget('e', ipv4='203.0.113.5'),
    }
    selectors = {key: select(target, GARDEN) for key, target in targets.items()}
    listed = [ip_network('2001:db8:7::/56'), ip_network('2001:db8:8:1::5'), ip_network('203.0.113.5')]
    assert find_overlaps(selectors, listed).keys() == {'a', 'b', 'c', 'd'}


def test_a_prefix_s_route_is_asked_for_by_an_address_that_is_no_router_s():
    assert str(inner_address(ip_network('2001:db8::/64'))) == '2001:db8:0:0:8000::'
    assert str(inner_address(ip_network('203.0.113.7'))) == '203.0.113.7'


def test_a_line_that_pays_while_its_session_is_down_is_let_out_and_nothing_is_shaped(monkeypatch):
    walled, sent = list(map(str, NETWORKS)), {}
    chains = {'forward': -10, 'prerouting': -110}

    def table():
        sets = {
            'walled_ipv4': [text.partition('/')[0] for text in walled if ':' not in text],
            'walled_ipv6': [{'prefix': {'addr': '2001:db8:7::', 'len': 56}} for text in walled if ':' in text],
            'garden_ipv4': ['192.0.2.80', {'prefix': {'addr': '198.51.100.0', 'len': 24}}],
            'garden_ipv6': ['2001:db8:f::80'],
            'resolver_ipv4': ['192.0.2.53'],
            'resolver_ipv6': ['2001:db8:f::53'],
        }
        entries = [{'set': {'name': name, 'elem': elements}} for name, elements in sets.items()]
        entries += [{'chain': {'name': name, 'hook': name, 'prio': priority}} for name, priority in chains.items()]
        return {'nftables': [*entries, *({'rule': {'chain': chain}} for chain, _ in nft._rules(GARDEN))]}

    def run(_, commands):
        sent.update(commands)
        said = {'nft': json.dumps(table()), 'routes': '[{"dst": "default", "dev": "eth0"}]\n' * 2}
        return {name: output(said.get(name, '[]')) for name in commands}

    monkeypatch.setattr('nornir_tasks.drivers.linux.driver.run', run)
    garden = {'portal_ipv4': '192.0.2.80', 'portal_ipv6': '2001:db8:f::80', 'portal_port': 8080}
    more = {'resolvers': list(map(str, GARDEN.resolvers)), 'allowed': list(map(str, GARDEN.allowed))}
    driver = LinuxDriver(None, garden | more)
    reading = driver.read([TARGET])['7']
    assert (reading.stored, reading.live, reading.error) == (BLOCKED, None, '')

    sent.clear()
    (reply,) = driver.apply([AccessChange('c', TARGET, THROTTLED)], {'7': reading}).values()
    assert (reply.accepted, 'is the session up?' in reply.message, sent) == (False, True, {})
    (reply,) = driver.apply([AccessChange('c', TARGET, NORMAL)], {'7': reading}).values()
    assert reply.accepted
    assert list(sent) == ['nft']
    assert [text for text in sent['nft'].stdin if text.startswith('delete')] == [
        'delete element inet netbox_access walled_ipv4 { 203.0.113.7 }',
        'delete element inet netbox_access walled_ipv6 { 2001:db8:7::/56 }',
    ]

    walled.pop()  # half a wall is neither, so that it is repaired; without any it is as unknown as ever
    assert not any(driver.read([TARGET])['7'].is_(state) for state in (BLOCKED, NORMAL))
    walled.clear()
    assert 'is the session up?' in driver.read([TARGET])['7'].error


# --- the script and the parameters -----------------------------------------------------------------------------


def test_a_script_runs_each_command_with_its_own_input():
    commands = {'tc': Command('tc -batch -', ['qdisc show', 'class show dev $(x)']), 'nft': Command('nft list')}
    assert script(commands) == (
        'PATH="$PATH:/usr/sbin:/sbin"\nexport LC_ALL=C\n'
        "tc -batch - <<'END_OF_INPUT'\nqdisc show\nclass show dev $(x)\nEND_OF_INPUT\n"
        "status=$?\nprintf '\\036tc %s\\n' $status\nprintf '\\036\\n' >&2\n"
        "nft list </dev/null\nstatus=$?\nprintf '\\036nft %s\\n' $status\nprintf '\\036\\n' >&2\n"
    )


@pytest.mark.parametrize(
    'parameters',
    [
        {'table': 'x; flush ruleset'},
        {'classid': '1:1; reboot'},
        {'upload_interface': 'ifb0'},
        {'upload_interface': 'a b{interface}'},
        {'portal_ipv4': 'portal.example.org'},
        {'allowed': ['198.51.100.1/24']},
        {'unheard_of': 1},
    ],
)
def test_wrong_parameters_are_refused_before_anything_is_contacted(parameters):
    with pytest.raises(ValidationError):
        LinuxDriver(None, parameters)
