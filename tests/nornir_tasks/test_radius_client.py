"""The client against a strict stateful BNG, and against FreeRADIUS."""

import asyncio
import random
import socket
import time
from collections import defaultdict

import pytest

from nornir_tasks.drivers.radius.sessions import stop_sentence
from nornir_tasks.radius.attributes import encode
from nornir_tasks.radius.client import AnswerKind, Nas, Request, exchange
from nornir_tasks.radius.packet import Code
from nornir_tasks.radius.retransmission import Retransmission
from tests.simulators.bng import bng
from tests.simulators.freeradius import SECRET, freeradius_nas, missing

QUICK = Retransmission(initial=0.1, longest=0.8, count=5, duration=1.5)


def request(name, rate='512k/1M', code=Code.COA_REQUEST):
    pairs = [('User-Name', name)] + ([('Mikrotik-Rate-Limit', rate)] if code is Code.COA_REQUEST else [])
    return Request(code, encode(pairs), name)


def run(port, *requests, address='127.0.0.1', secret=SECRET, retransmission=QUICK, **values):
    stop, now = values.pop('stop', None), values.pop('now', None)
    nas = Nas(address, secret.encode(), port, retransmission=retransmission, **values)
    more = {'stop': stop} if stop else {}
    more |= {'now': now} if now else {}
    return asyncio.run(exchange(nas, requests, **more))


@pytest.mark.parametrize(('family', 'address'), [(socket.AF_INET, '127.0.0.1'), (socket.AF_INET6, '::1')])
def test_a_strict_server_takes_our_requests_over_both_families(family, address):
    with bng(family) as box:
        box.add('ana', 'bob')
        answers = run(box.port, request('ana'), request('nobody'), address=address, must_sign=True)
        assert [(answer.kind, answer.error_cause) for answer in answers] == [
            (AnswerKind.ACK, None),
            (AnswerKind.NAK, 503),
        ]
        assert (box.lines['ana'].rate, box.lines['bob'].rate, box.dropped) == ('512k/1M', '', [])


def test_a_retransmission_is_the_same_packet_from_the_same_port_and_does_nothing_twice():
    with bng(late={'ana': 0.35}) as box:
        box.add('ana')
        (answer,) = run(box.port, request('ana'))
        assert (answer.kind, answer.transmissions) == (AnswerKind.ACK, 3)
        assert len(box.requests) == 3
        assert len(set(box.requests)) == 1
        assert box.lines['ana'].changes == 1


def test_a_new_timestamp_is_a_new_packet_with_a_new_identifier():
    times = iter(range(10**6))
    begun = int(time.time())
    with bng(deaf={'ana'}) as box:
        box.add('ana')
        rules = Retransmission(initial=0.1, longest=0.2, count=5, duration=1.5, fresh=0.15)
        run(box.port, request('ana'), retransmission=rules, now=lambda: begun + next(times))
        identifiers = {identifier for _, identifier, _ in box.requests}
        authenticators = {authenticator for *_, authenticator in box.requests}
        assert len({port for port, *_ in box.requests}) == 1
        assert 1 < len(identifiers) == len(authenticators) < len(box.requests)


def test_an_answer_to_the_earlier_packet_still_counts():
    with bng(late={'ana': 0.5}) as box:
        box.add('ana')
        rules = Retransmission(initial=0.1, longest=0.2, count=9, duration=2, fresh=0.15)
        (answer,) = run(box.port, request('ana'), retransmission=rules)
        assert (answer.kind, answer.rejected) == (AnswerKind.ACK, 0)


def test_one_request_of_a_session_is_under_way_at_a_time():
    with bng(late={'ana': 0.05}) as box:
        box.add('ana')
        answers = run(box.port, *[request('ana', f'{rate}k/1M') for rate in range(1, 5)])
        assert {answer.kind for answer in answers} == {AnswerKind.ACK}
        assert box.worst == 1
        assert box.lines['ana'].rate == '4k/1M'


def test_no_more_than_the_window_is_under_way():
    names = [f'u{number}' for number in range(30)]
    with bng(deaf=set(names)) as box:
        run(box.port, *map(request, names), window=4, retransmission=Retransmission(0.05, 0.1, 1, 0.1))
        assert len({identifier for _, identifier, _ in box.requests}) == 30
    with bng(late=dict.fromkeys(names, 0.02)) as box:
        box.add(*names)
        assert {answer.kind for answer in run(box.port, *map(request, names), window=4)} == {AnswerKind.ACK}


def test_a_silent_nas_is_given_up_within_the_duration():
    with bng(deaf={'ana'}) as box:
        box.add('ana', 'bob')
        answers = run(box.port, request('ana'), request('bob'))
        assert [answer.kind for answer in answers] == [AnswerKind.SILENCE, AnswerKind.ACK]
        assert 'no answer from 127.0.0.1 to 4 transmissions' in answers[0].message or '5 trans' in answers[0].message


def test_a_closed_port_is_silence_with_the_reason():
    with bng() as box:
        port = box.port
    (answer,) = run(port, request('ana'))
    assert (answer.kind, 'refused' in answer.message) == (AnswerKind.SILENCE, True)


@pytest.mark.parametrize(
    ('mangle', 'why'),
    [
        (lambda data: data[:30], 'cut off'),
        (lambda data: data[:4] + bytes(16) + data[20:], 'authenticator is wrong'),
        (lambda data: b'\x29' + data[1:], 'does not answer'),
        (lambda data: data[:2] + b'\xff\xff' + data[4:] + bytes(5000), 'length field'),
        (lambda data: b'\x2c', None),
    ],
)
def test_a_forged_or_broken_answer_is_silence_not_an_answer(mangle, why):
    with bng(mangle={'ana': mangle}) as box:
        box.add('ana', 'bob')
        answers = run(box.port, request('ana'), request('bob'))
        assert [answer.kind for answer in answers] == [AnswerKind.SILENCE, AnswerKind.ACK]
        if why:
            assert why in answers[0].message
            assert answers[0].rejected > 0


def test_a_wrong_secret_is_silence():
    with bng() as box:
        box.add('ana')
        (answer,) = run(box.port, request('ana'), secret='another')
        assert answer.kind is AnswerKind.SILENCE
        assert set(box.dropped) == {'request authenticator'}
        assert box.lines['ana'].rate == ''


def test_answers_that_come_twice_or_late_are_no_answers_to_others():
    names = [f'u{number}' for number in range(300)]
    with bng(twice=set(names)) as box:
        box.add(*names)
        box.refuse = {'u7': 506}
        answers = run(box.port, *map(request, names), window=8)
        assert [answer.kind for answer in answers] == [
            AnswerKind.NAK if name == 'u7' else AnswerKind.ACK for name in names
        ]


def test_loss_is_overcome_and_nothing_is_sent_twice_with_a_new_meaning():
    chance = random.Random(5)
    names = [f'u{number}' for number in range(400)]
    with bng(lose=lambda: chance.random() < 0.2) as box:
        box.add(*names)
        answers = run(box.port, *map(request, names), retransmission=Retransmission(0.05, 0.4, 12, 5))
        assert {answer.kind for answer in answers} == {AnswerKind.ACK}
        assert {line.changes for line in box.lines.values()} == {1}
        contents = defaultdict(set)
        for port, identifier, authenticator in box.requests:
            contents[authenticator].add((port, identifier))
        assert {len(places) for places in contents.values()} == {1}


def test_a_refusal_that_all_would_get_ends_the_sending():
    names = [f'u{number}' for number in range(50)]
    with bng(refuse=dict.fromkeys(names, 401)) as box:
        box.add(*names)
        answers = run(box.port, *map(request, names), window=2, stop=stop_sentence)
        verdicts = [answer.kind for answer in answers]
        assert verdicts.count(AnswerKind.NAK) <= 3
        assert verdicts.count(AnswerKind.NOT_SENT) >= 47
        assert 'unsupported attribute (401)' in answers[-1].message
        assert len(box.requests) <= 3


def test_a_request_too_long_for_a_packet_is_not_sent():
    with bng() as box:
        box.add('ana')
        answers = run(box.port, Request(Code.COA_REQUEST, bytes([1, 253]) * 2100, 'x'), request('ana'))
        assert [answer.kind for answer in answers] == [AnswerKind.NOT_SENT, AnswerKind.ACK]


def test_an_address_that_is_none_is_not_sent_to():
    (answer,) = run(3799, request('ana'), address='256.1.1.1.invalid')
    assert answer.kind is AnswerKind.NOT_SENT


def test_a_secret_is_in_no_representation():
    assert 'planted' not in repr(Nas('192.0.2.1', b'planted'))


@pytest.fixture(scope='module')
def port(tmp_path_factory):
    with freeradius_nas(tmp_path_factory.mktemp('freeradius')) as server:
        yield server.coa


@pytest.mark.skipif(bool(missing()), reason=missing())
class TestFreeRADIUS:
    @pytest.mark.parametrize('address', ['127.0.0.1', '::1'])
    @pytest.mark.parametrize('code', [Code.COA_REQUEST, Code.DISCONNECT_REQUEST])
    def test_it_acknowledges_and_its_signature_is_verified(self, port, address, code):
        (answer,) = run(port, request('ana', code=code), address=address, must_sign=True)
        assert (answer.kind, answer.rejected) == (AnswerKind.ACK, 0)

    @pytest.mark.parametrize('cause', [201, 202, *range(401, 408), *range(501, 510)])
    def test_each_error_cause_arrives(self, port, cause):
        (answer,) = run(port, request(f'nak-{cause}'), must_sign=True)
        assert (answer.kind, answer.error_cause) == (AnswerKind.NAK, cause)

    def test_a_refusal_without_a_cause_a_delay_a_drop_and_no_signature(self, port):
        answers = run(port, *map(request, ('nak-none', 'slow', 'drop')), must_sign=True)
        assert [(answer.kind, answer.error_cause) for answer in answers] == [
            (AnswerKind.NAK, None), (AnswerKind.ACK, None), (AnswerKind.SILENCE, None),
        ]  # fmt: skip
        assert answers[1].transmissions > 1
        (answer,) = run(port, request('unsigned'), must_sign=True)
        assert (answer.kind, 'no Message-Authenticator' in answer.message) == (AnswerKind.SILENCE, True)
        assert run(port, request('unsigned'))[0].kind is AnswerKind.ACK

    def test_a_wrong_secret_is_silence(self, port):
        assert run(port, request('ana'), secret='wrong')[0].kind is AnswerKind.SILENCE
