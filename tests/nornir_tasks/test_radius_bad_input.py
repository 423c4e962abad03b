"""What a row says where the NAS, the secret, the name or the answer is bad; and that nobody else's line is touched."""

import socket

import pytest

from nornir_tasks.change import AccessChange, AccessState, AccessTarget, Outcome
from nornir_tasks.connections.radius import RadiusSession
from nornir_tasks.credentials import Credential
from nornir_tasks.drivers.radius.coa import RadiusCoADriver
from nornir_tasks.engine.journal import MemoryJournal
from nornir_tasks.engine.tasks import PointWork
from tests.simulators.bng import bng
from tests.simulators.freeradius import SECRET

SLOW = AccessState.throttled(1000, 512)
RATE = '512k/1000k'
NASTY = [
    'a b', 'a"b', "o'brien", 'a;b', 'a$(reboot)b', 'a`id`b', '$x', 'a\\b', 'a\\"b', '%{User-Name}', '%n', '--', '*',
    '?',
    '[find]', '}', 'joão@isp', 'ユーザー', '😀', 'a=b,c=d', 'a|b', '<pppoe-a>', 'A', 'a', 'x' * 253,
]  # fmt: skip


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr('nornir_tasks.radius.client.Retransmission.__init__.__defaults__', (0.1, 0.2, 3, 0.5, 150.0))


def enforce(port, *names, secret=SECRET, address='127.0.0.1', **parameters):
    session = RadiusSession(address, port, Credential(secret=secret))
    known = {'dialect': 'mikrotik', 'trust_acknowledgement': True, **parameters}
    work = PointWork(lambda: RadiusCoADriver(session, known), 100, MemoryJournal())
    work.run([AccessChange(name, AccessTarget(name, username=name), SLOW) for name in names])
    return {result.key: (result.outcome, result.message) for result in work.results}


def forged(answer):
    return answer[:4] + bytes(16) + answer[20:]


def other_code(answer):
    return bytes((41,)) + answer[1:]


@pytest.mark.parametrize(
    ('mangle', 'why'),
    [(forged, 'authenticator is wrong'), (other_code, 'does not answer'), (lambda answer: answer[:30], 'cut off'),
     (lambda answer: answer[:8], 'shorter'), (lambda answer: answer[:2] + b'\xff\xff' + answer[4:], 'length field')],
)  # fmt: skip
def test_an_answer_that_cannot_be_believed_leaves_the_row_unknown_and_says_why(mangle, why):
    with bng(mangle={'ana': mangle}) as box:
        box.add('ana', 'bob')
        found = enforce(box.port, 'ana', 'bob')
        outcome, message = found['ana']
        assert (outcome, found['bob']) == (Outcome.UNKNOWN, (Outcome.APPLIED, ''))
        assert 'answers were dropped' in message
        assert why in message
        assert (box.lines['ana'].changes, box.lines['bob'].rate) == (1, RATE)


def test_a_wrong_secret_changes_nothing_and_is_unknown():
    with bng() as box:
        box.add('ana')
        outcome, message = enforce(box.port, 'ana', secret='another-secret')['ana']
        assert (outcome, box.lines['ana'].changes) == (Outcome.UNKNOWN, 0)
        assert 'no answer from 127.0.0.1' in message
        assert 'another-secret' not in message


@pytest.mark.parametrize('name', ['f' * 254, 'line\nbreak', 'nul\x00'])
def test_a_value_that_no_attribute_holds_is_refused_before_anything_is_sent(name):
    with bng() as box:
        box.add('ana')
        outcome, message = enforce(box.port, 'ana', dialect='generic', names={'throttled': name})['ana']
        assert (outcome, box.requests) == (Outcome.FAILED, [])
        assert 'nothing was sent' in message
        assert ('253 characters' if name[0] == 'f' else 'control character') in message


def test_a_user_name_with_any_byte_reaches_its_own_line_and_no_other():
    with bng() as box:
        box.add(*NASTY, 'neighbour')
        for name in NASTY:
            assert enforce(box.port, name) == {name: (Outcome.APPLIED, '')}
            changed = {line.name for line in box.lines.values() if line.changes}
            assert changed == {name}
            box.lines[name].changes = 0
            box.lines[name].rate = ''
        assert (box.lines['neighbour'].rate, box.dropped) == ('', [])


def test_an_ipv6_nas_is_spoken_to_and_names_itself_in_its_own_family():
    with bng(socket.AF_INET6) as box:
        box.add('ana')
        identity = ['User-Name', 'NAS-IP-Address']
        assert enforce(box.port, 'ana', address='::1', identity=identity) == {'ana': (Outcome.APPLIED, '')}
        assert box.lines['ana'].rate == RATE
