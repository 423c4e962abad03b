"""The `linux` driver against a real Linux BRAS: OpenSSH, the kernel's HTB and nftables, iperf3 and HTTP through it."""

import ipaddress
import json
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from dev.lab import Lab
from nornir_tasks.change import AccessChange, AccessState, AccessTarget, Outcome
from nornir_tasks.connections.ssh import SSHSession
from nornir_tasks.credentials import Credential
from nornir_tasks.drivers.linux import tc
from nornir_tasks.drivers.linux.driver import LinuxDriver
from nornir_tasks.engine.journal import MemoryJournal
from nornir_tasks.engine.tasks import PointWork
from tests.waiting import wait_until

reason = Lab.available()
pytestmark = [pytest.mark.root, pytest.mark.skipif(bool(reason), reason=reason)]

NORMAL, BLOCKED = AccessState.normal(), AccessState.blocked()
THROTTLED = AccessState.throttled(4000, 2000)


@pytest.fixture(scope='module')
def lab():
    with Lab() as lab:
        yield lab


@pytest.fixture(scope='module')
def session(lab):
    credential = Credential(username=lab.bras_user, key_file=lab.key_file)
    session = SSHSession.connect(lab.bras_address, lab.bras_port, credential, lab.bras_host_key, 10)
    yield session
    session.close()


@pytest.fixture
def driver(lab, session):
    """Every test starts from, and leaves, three normal homes: what it did to them is undone by the driver itself."""
    driver = LinuxDriver(session, lab.point_parameters)
    yield driver
    targets = [target(home) for home in lab.homes]
    changes = [AccessChange(each.key, each, NORMAL) for each in targets]
    replies = driver.apply(changes, driver.read(targets))
    assert all(reply.accepted for reply in replies.values()), replies


def target(home, **values):
    known = {
        'circuit_id': home.interface, 'ipv4': home.ipv4, 'ipv6': home.ipv6_prefix,
        'down_kbps': home.down_kbps, 'up_kbps': home.up_kbps,
    }  # fmt: skip
    return AccessTarget(home.name, **(known | values))


def enforce(driver, *pairs, **values):
    """Results by home of driving (target, desired) pairs through the engine."""
    work = PointWork(lambda: driver, 100, MemoryJournal())
    work.run([AccessChange(each.key, each, desired, **values) for each, desired in pairs])
    return {result.key: result for result in work.results}


def measure_all(lab, direction='down'):
    with ThreadPoolExecutor(3) as pool:
        return list(pool.map(lambda home: lab.measure(home, direction, seconds=1), lab.homes))


def shape(lab, home):
    """The download of a home as it was in the beginning."""
    lines = tc.download_lines(home.interface, None, tc.shaped_to(home.down_kbps, None))
    lab.on_bras(['tc', '-batch', '-'], '\n'.join(lines))


def near(mbps):
    # Payload is 96 % of what HTB counts; TCP also has to start, and HTB lets a burst pass first.
    return pytest.approx(mbps * 0.96, rel=0.25)


def truth(lab):
    """All of the BRAS's traffic control and nftables, as text without counters."""
    devices = [link['ifname'] for link in json.loads(lab.on_bras(['ip', '-j', 'link']))]
    classes = {device: lab.on_bras(['tc', '-d', 'class', 'show', 'dev', device]) for device in devices}
    return classes, lab.on_bras(['nft', 'list', 'ruleset'])


def test_a_line_is_throttled_blocked_and_restored_and_its_neighbours_never_notice(lab, driver):
    home, *neighbours = lab.homes
    assert measure_all(lab) == [near(40)] * 3
    assert measure_all(lab, 'up') == [near(20)] * 3

    assert enforce(driver, (target(home), THROTTLED))[home.name].outcome is Outcome.APPLIED
    assert measure_all(lab, 'down') == [near(4), near(40), near(40)]
    assert measure_all(lab, 'up') == [near(2), near(20), near(20)]

    assert enforce(driver, (target(home), BLOCKED))[home.name].outcome is Outcome.APPLIED
    assert measure_all(lab) == [0.0, near(40), near(40)]
    assert measure_all(lab, 'up')[0] == 0.0
    for url in (lab.internet_url, lab.internet_url_ipv6):
        assert lab.reaches_notice(home, url + 'any/page')
        for neighbour in neighbours:
            assert lab.fetch(neighbour, url) == (200, 'the internet\n', url)

    assert enforce(driver, (target(home), NORMAL))[home.name].outcome is Outcome.APPLIED
    assert measure_all(lab) == [near(40)] * 3
    assert measure_all(lab, 'up') == [near(20)] * 3
    assert lab.fetch(home, lab.internet_url) == (200, 'the internet\n', lab.internet_url)


@pytest.mark.parametrize('url', ['internet_url', 'internet_url_ipv6'])
def test_a_flow_that_was_up_is_cut_too(lab, driver, url):
    home = lab.homes[0]
    host = getattr(lab, url).removeprefix('http://').rstrip('/')
    program = (
        'import http.client, sys\n'
        f'flow = http.client.HTTPConnection("{host}", timeout=1)\n'
        'for line in sys.stdin:\n'
        '    try:\n'
        '        flow.request("GET", "/"); print(flow.getresponse().read(), flush=True)\n'
        '    except OSError: print("cut", flush=True)\n'
    )
    client = lab.start_at(home, [sys.executable, '-I', '-c', program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def ask():
        client.stdin.write('go\n')
        client.stdin.flush()
        return client.stdout.readline().strip()

    assert ask() == ask() == "b'the internet\\n'"
    enforce(driver, (target(home), BLOCKED))
    assert ask() == 'cut'


def test_a_blocked_line_reaches_what_the_garden_allows_and_nothing_else(lab, session, driver):
    home = lab.homes[0]
    open_garden = LinuxDriver(session, lab.point_parameters | {'allowed': ['198.18.0.0/30']})
    enforce(open_garden, (target(home), BLOCKED))
    assert lab.fetch(home, lab.internet_url)[1] == 'the internet\n'
    assert lab.reaches_notice(home, lab.internet_url_ipv6)
    # The same line at a point with a narrower garden is not blocked as it should be: that is seen, and repaired.
    assert enforce(driver, (target(home), BLOCKED))[home.name].outcome is Outcome.APPLIED
    assert lab.reaches_notice(home, lab.internet_url)


def test_blocked_homes_do_not_reach_each_other(lab, driver):
    one, two, _ = lab.homes
    lab.start_at(two, [sys.executable, '-I', '-m', 'http.server', '8000'])
    url = f'http://{two.ipv4}:8000/'
    lab._wait(lambda: lab.fetch(one, url)[0] == 200, 'the home server')
    enforce(driver, (target(two), BLOCKED))
    assert lab.fetch(one, url, timeout=0.5)[0] == 0


def test_the_same_apply_twice_changes_nothing_the_second_time(lab, driver):
    one, two, three = lab.homes
    pairs = [(target(one), BLOCKED), (target(two), THROTTLED), (target(three), NORMAL)]
    enforce(driver, *pairs)
    after_one = truth(lab)
    assert {result.outcome for result in enforce(driver, *pairs).values()} == {Outcome.NOOP}
    # Sent all the same, as after a crash between sending and noting it down.
    changes = [AccessChange(each.key, each, desired) for each, desired in pairs]
    replies = driver.apply(changes, driver.read([each for each, _ in pairs]))
    assert all(reply.accepted for reply in replies.values())
    assert truth(lab) == after_one


@pytest.mark.parametrize(
    'values',
    [
        {'circuit_id': 'veth-home1; reboot'},
        {'circuit_id': '$(reboot)'},
        {'circuit_id': 'veth-home1\nqdisc del dev uplink root'},
        {'circuit_id': 'a-name-longer-than-15'},
        {'circuit_id': '-batch'},
        {'circuit_id': 'OLT1 eth 0/1/2:100'},
        {'circuit_id': 'uplink', 'ipv4': '', 'ipv6': ''},
        {'circuit_id': 'management', 'ipv4': '', 'ipv6': ''},
        {'circuit_id': 'veth-home9'},
        {'circuit_id': 'veth-home2'},
        {'circuit_id': '', 'ipv4': '', 'ipv6': ''},
        {'ipv4': '198.18.1.2 }; flush ruleset; #'},
        {'ipv4': '0.0.0.0/0'},
        {'ipv4': '198.18.0.0/16'},
        {'ipv4': '198.18.0.1'},
        {'ipv4': '198.18.9.9'},
        {'ipv4': '203.0.113.7', 'circuit_id': '', 'ipv6': ''},
        {'ipv4': '198.18.2.2'},
        {'ipv6': '::/0'},
        {'ipv6': 'fd18:198:0:2::/64'},
        {'ipv6': 'fd18:198::1'},
    ],
)
def test_a_selector_that_is_garbage_or_not_this_line_touches_nothing(lab, driver, values):
    home = lab.homes[0]
    before = truth(lab)
    for desired in (BLOCKED, THROTTLED):
        result = enforce(driver, (target(home, **values), desired))[home.name]
        assert result.outcome is Outcome.FAILED
        assert result.message
    assert truth(lab) == before


def test_lines_that_claim_the_same_address_or_interface_are_all_refused(lab, driver):
    one, two, three = lab.homes
    before = truth(lab)
    twin = AccessTarget('twin', ipv4=two.ipv4, down_kbps=40_000, up_kbps=20_000)
    results = enforce(driver, (target(one), BLOCKED), (target(two), BLOCKED), (twin, BLOCKED))
    assert results[one.name].outcome is Outcome.APPLIED
    assert {results[two.name].outcome, results['twin'].outcome} == {Outcome.FAILED}
    enforce(driver, (target(one), NORMAL))
    assert truth(lab)[0] == before[0]
    sharing = AccessTarget('sharing', circuit_id=three.interface, down_kbps=40_000, up_kbps=20_000)
    results = enforce(driver, (target(three), THROTTLED), (sharing, THROTTLED))
    assert {result.outcome for result in results.values()} == {Outcome.FAILED}


def test_an_interface_that_carries_another_home_as_well_is_never_shaped(lab, driver):
    home = lab.homes[0]
    lab.on_bras(['ip', 'route', 'add', '198.18.1.77/32', 'dev', home.interface])
    try:
        result = enforce(driver, (target(home), THROTTLED))[home.name]
    finally:
        lab.on_bras(['ip', 'route', 'del', '198.18.1.77/32', 'dev', home.interface])
    assert result.outcome is Outcome.FAILED
    assert '198.18.1.77' in result.message


def test_a_line_is_found_by_its_address_alone(lab, driver):
    home = lab.homes[1]
    result = enforce(driver, (target(home, circuit_id='', ipv6=''), THROTTLED))[home.name]
    assert result.outcome is Outcome.APPLIED
    assert result.after.detail['interface'] == home.interface


def test_rules_and_shaping_of_others_stay_as_they_are(lab, driver):
    lab.on_bras(
        ['nft', '-f', '-'], 'add table ip operator\nadd chain ip operator c { type filter hook forward priority 0; }'
    )
    lab.on_bras(['tc', 'qdisc', 'replace', 'dev', 'uplink', 'root', 'handle', '7:', 'pfifo', 'limit', '1000'])
    try:
        for desired in (THROTTLED, BLOCKED, NORMAL):
            enforce(driver, *[(target(home), desired) for home in lab.homes])
        assert 'hook forward priority filter' in lab.on_bras(['nft', 'list', 'table', 'ip', 'operator'])
        assert 'qdisc pfifo 7: root' in lab.on_bras(['tc', 'qdisc', 'show', 'dev', 'uplink'])
    finally:
        lab.on_bras(['nft', 'delete', 'table', 'ip', 'operator'])
        lab.on_bras(['tc', 'qdisc', 'del', 'dev', 'uplink', 'root'])


def test_half_a_wall_is_neither_blocked_nor_normal_and_is_repaired_both_ways(lab, driver):
    home = lab.homes[0]
    for desired in (BLOCKED, NORMAL):
        enforce(driver, (target(home), BLOCKED))
        element = f'inet netbox_access walled_ipv6 {{ {home.ipv6_prefix} }}'
        lab.on_bras(['nft', 'delete', 'element', *element.split()])
        reading = driver.read([target(home)])[home.name]
        assert not reading.is_(BLOCKED)
        assert not reading.is_(NORMAL)
        assert enforce(driver, (target(home), desired))[home.name].outcome is Outcome.APPLIED


def test_a_list_without_its_rules_does_not_read_as_blocked(lab, driver):
    home = lab.homes[0]
    enforce(driver, (target(home), BLOCKED))
    lab.on_bras(['nft', 'flush', 'chain', 'inet', 'netbox_access', 'outgoing'])
    assert not driver.read([target(home)])[home.name].is_(BLOCKED)
    assert enforce(driver, (target(home), BLOCKED))[home.name].outcome is Outcome.APPLIED
    assert lab.reaches_notice(home, lab.internet_url)


def test_a_wall_survives_a_new_session_on_a_new_interface_and_lost_shaping_reads_as_drift(lab, driver):
    home = lab.homes[0]
    enforce(driver, (target(home), BLOCKED))
    lab.on_bras(['tc', 'qdisc', 'del', 'dev', home.interface, 'root'])
    lab.on_bras(['tc', 'qdisc', 'del', 'dev', home.interface, 'ingress'])
    reading = driver.read([target(home)])[home.name]
    assert reading.is_(BLOCKED)
    assert enforce(driver, (target(home), THROTTLED))[home.name].outcome is Outcome.APPLIED
    lab.on_bras(['tc', 'qdisc', 'del', 'dev', home.interface, 'root'])
    lab.on_bras(['tc', 'qdisc', 'del', 'dev', home.interface, 'ingress'])
    assert not driver.read([target(home)])[home.name].is_(THROTTLED)
    assert enforce(driver, (target(home), THROTTLED))[home.name].outcome is Outcome.APPLIED
    assert lab.measure(home, 'up', 1) == near(2)


def test_one_failing_line_of_a_batch_is_that_row_alone(lab, driver):
    one, two, three = lab.homes
    pairs = [(target(home), THROTTLED) for home in lab.homes]
    changes = [AccessChange(each.key, each, desired) for each, desired in pairs]
    before = driver.read([each for each, _ in pairs])
    lab.on_bras(['tc', 'qdisc', 'del', 'dev', two.interface, 'root'])
    replies = driver.apply(changes, before)
    assert (replies[one.name].accepted, replies[three.name].accepted) == (True, True)
    assert replies[two.name].accepted is False
    assert two.interface in replies[two.name].message
    readings = driver.read([each for each, _ in pairs])
    assert readings[one.name].is_(THROTTLED)
    assert readings[three.name].is_(THROTTLED)
    assert not readings[two.name].is_(THROTTLED)


def test_shaping_that_others_made_is_lowered_and_put_back_to_the_letter(lab, session, driver):
    home = lab.homes[2]
    lab.on_bras(
        ['tc', '-batch', '-'],
        f'qdisc del dev {home.interface} root\n'
        f'qdisc add dev {home.interface} root handle 1: htb default 10\n'
        f'class add dev {home.interface} parent 1: classid 1:1 htb rate 90mbit\n'
        f'class add dev {home.interface} parent 1:1 classid 1:10 htb rate 41mbit ceil 50mbit burst 70k prio 3\n',
    )
    try:
        classes = truth(lab)[0]
        baseline = driver.read([target(home)])[home.name]
        assert baseline.is_(NORMAL)
        line = target(home, baseline=json.loads(json.dumps(baseline.detail)))
        assert enforce(driver, (line, THROTTLED))[home.name].outcome is Outcome.APPLIED
        assert lab.measure(home, 'down', 1) == near(4)
        assert enforce(driver, (line, NORMAL))[home.name].outcome is Outcome.APPLIED
        assert truth(lab)[0] == classes
        second = f'class add dev {home.interface} parent 1:1 classid 1:20 htb rate 1mbit'
        lab.on_bras(['tc', *second.split()])
        assert '2 HTB classes' in enforce(driver, (line, THROTTLED))[home.name].message
        inner = LinuxDriver(session, lab.point_parameters | {'classid': '1:1'})
        assert '0 HTB classes' in enforce(inner, (line, THROTTLED))[home.name].message
        by_class = LinuxDriver(session, lab.point_parameters | {'classid': '1:10'})
        assert enforce(by_class, (target(home), THROTTLED))[home.name].outcome is Outcome.APPLIED
        assert lab.measure(home, 'down', 1) == near(4)
    finally:
        lab.on_bras(['tc', 'qdisc', 'del', 'dev', home.interface, 'root'])
        lab.on_bras(
            ['tc', '-batch', '-'], '\n'.join(tc.download_lines(home.interface, None, tc.shaped_to(40_000, None)))
        )


def test_an_unshaped_line_is_unshaped_again_after_it_was_throttled(lab, driver):
    home = lab.homes[2]
    lab.on_bras(['tc', 'qdisc', 'del', 'dev', home.interface, 'root'])
    lab.on_bras(['tc', 'qdisc', 'del', 'dev', home.interface, 'ingress'])
    unshaped = driver.read([target(home)])[home.name]
    assert unshaped.is_(NORMAL)
    line = target(home, baseline=unshaped.detail)
    assert enforce(driver, (line, THROTTLED))[home.name].outcome is Outcome.APPLIED
    assert enforce(driver, (line, BLOCKED))[home.name].outcome is Outcome.APPLIED
    assert enforce(driver, (line, NORMAL))[home.name].outcome is Outcome.APPLIED
    assert lab.measure(home, 'down', 1) > 100
    assert lab.measure(home, 'up', 1) > 100


def test_a_line_shaped_by_something_else_can_still_be_blocked_and_let_out(lab, driver):
    home = lab.homes[2]
    lab.on_bras(['tc', 'qdisc', 'del', 'dev', home.interface, 'root'])
    tbf = f'qdisc add dev {home.interface} root handle 5: tbf rate 8mbit burst 32k latency 50ms'
    lab.on_bras(['tc', *tbf.split()])
    try:
        throttled = enforce(driver, (target(home), THROTTLED))[home.name]
        assert throttled.outcome is Outcome.FAILED
        assert 'tbf' in throttled.message
        assert enforce(driver, (target(home), BLOCKED))[home.name].outcome is Outcome.APPLIED
        assert enforce(driver, (target(home), NORMAL))[home.name].outcome is Outcome.APPLIED
        assert 'tbf 5: root' in lab.on_bras(['tc', 'qdisc', 'show', 'dev', home.interface])
    finally:
        lab.on_bras(['tc', 'qdisc', 'del', 'dev', home.interface, 'root'])


def test_nothing_on_the_box_speaks_of_debt(lab, driver):
    enforce(driver, *[(target(home), BLOCKED) for home in lab.homes])
    links = lab.on_bras(['ip', '-d', 'link'])
    everything = f'{truth(lab)}{links}'.lower()
    for word in ('delinq', 'overdue', 'debt', 'unpaid', 'owes', 'owing', 'inadimpl', 'payment', 'suspend'):
        assert word not in everything


def test_any_number_of_lines_is_two_commands_to_read_and_one_to_apply(lab, session, driver):
    count = 60
    names = [f'veth-homex{number}' for number in range(count)]
    hosts = [str(ipaddress.ip_address('198.18.128.1') + number) for number in range(count)]
    links = [f'link add name {name} type ifb\nlink set dev {name} up' for name in names]
    routes = [f'route add {host}/32 dev {name}' for name, host in zip(names, hosts, strict=True)]
    lab.on_bras(['ip', '-batch', '-'], '\n'.join([*links, *routes]))
    calls = []

    class Counting:
        where = session.where

        def exec(self, *arguments, **options):
            calls.append(arguments)
            return session.exec(*arguments, **options)

    counted = LinuxDriver(Counting(), lab.point_parameters)
    rates = {'down_kbps': 9000, 'up_kbps': 9000}
    targets = [AccessTarget(name, ipv4=host, **rates) for name, host in zip(names, hosts, strict=True)]
    before = counted.read(targets)
    assert all(reading.is_(NORMAL) for reading in before.values())
    assert len(calls) <= 2
    calls.clear()
    desired = [THROTTLED if number % 2 else BLOCKED for number in range(count)]
    changes = [AccessChange(each.key, each, state) for each, state in zip(targets, desired, strict=True)]
    assert all(reply.accepted for reply in counted.apply(changes, before).values())
    assert len(calls) == 1
    calls.clear()
    after = counted.read(targets)
    assert all(after[each.key].is_(state) for each, state in zip(targets, desired, strict=True))
    assert len(calls) == 2
    made = [*names, *(tc.upload_device(name) for name in names[1::2])]
    lab.on_bras(['ip', '-batch', '-'], '\n'.join(f'link del dev {name}' for name in made))


def test_two_labs_run_at_once(lab):
    with Lab(down_kbps=10_000) as other:
        assert other.bras_address != lab.bras_address
        assert other.measure(other.homes[0], 'down', 1) == near(10)
        assert lab.measure(lab.homes[0], 'down', 1) == near(40)
    assert lab.measure(lab.homes[0], 'down', 1) == near(40)


@pytest.mark.parametrize('how', [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_nothing_is_left_of_a_lab_whose_process_ends(how, tmp_path):
    program = (
        'import time\nfrom dev.lab import Lab\n'
        'with Lab() as lab:\n'
        '    print(lab._management, lab._folder, *(n.inode for n in lab._namespaces.values()), flush=True)\n'
        '    time.sleep(60)\n'
    )
    root = Path(__file__).resolve().parents[2]
    with subprocess.Popen(
        [sys.executable, '-c', program], cwd=root, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        management, folder, *inodes = process.stdout.readline().split()
        assert Path('/sys/class/net', management).exists()
        process.send_signal(how)
        process.wait(10)
    wait_until(lambda: not leftovers(management, folder, inodes))


def leftovers(management, folder, inodes):
    found = [str(path) for path in (Path('/sys/class/net', management), Path(folder)) if path.exists()]
    for entry in Path('/proc').iterdir():
        if entry.name.isdigit():
            try:
                if os.readlink(entry / 'ns/net') in inodes:
                    found.append(f'process {entry.name}')
            except OSError:
                continue
    return found
