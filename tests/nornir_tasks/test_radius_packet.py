"""Packets of dynamic authorization: against published vectors, another implementation, and hostile octets."""

import hmac
import struct
from hashlib import md5

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pyrad.dictionary import Dictionary
from pyrad.packet import CoAPacket

from nornir_tasks.radius.attributes import AttributeValueError, encode
from nornir_tasks.radius.causes import CauseMeaning, meaning_of, sentence_for
from nornir_tasks.radius.packet import Code, PacketError, build_request, split_attributes, verify_answer
from nornir_tasks.radius.retransmission import Retransmission

SECRET = b'xyzzy5461'
REQUEST = build_request(Code.COA_REQUEST, 7, encode([('User-Name', 'ana')]), 1_700_000_000, SECRET)


def answer(code=44, body=b'', request=REQUEST, secret=SECRET, identifier=None):
    identifier = request[1] if identifier is None else identifier
    head = struct.pack('!BBH', code, identifier, 20 + len(body))
    return head + md5(head + request[4:20] + body + secret).digest() + body


def test_the_response_authenticator_is_that_of_rfc_2865():
    # RFC 2865 section 7.1: an Access-Accept, its request's authenticator, and the secret "xyzzy5461".
    sent = bytes.fromhex('0f403f9473978057bd83d5cb98f4227a')
    accept = bytes.fromhex('0200002686fe220e7624ba2a1005f6bf9b55e0b20606000000010f06000000000e06c0a80103')
    assert md5(accept[:4] + sent + accept[20:] + SECRET).digest() == accept[4:20]
    # Ours computes it alike: the same octets as an answer to a request with that authenticator.
    request = struct.pack('!BBH', 43, 0, 20) + sent
    body = accept[20:]
    ours = answer(44, body, request)
    assert verify_answer(ours, request, SECRET).is_ack


def test_message_authenticator_is_first_and_made_before_the_request_authenticator():
    assert next(split_attributes(REQUEST))[:2] == (20, 80)
    unsigned = REQUEST[:4] + bytes(16) + REQUEST[20:22] + bytes(16) + REQUEST[38:]
    assert hmac.digest(SECRET, unsigned, 'md5') == REQUEST[22:38]
    assert md5(REQUEST[:4] + bytes(16) + REQUEST[20:] + SECRET).digest() == REQUEST[4:20]


def test_another_implementation_takes_our_requests_for_good():
    packet = CoAPacket(packet=REQUEST, secret=SECRET, dict=Dictionary())
    assert packet.VerifyCoARequest()
    assert packet.verify_message_authenticator()


def test_the_event_timestamp_is_there():
    assert (55, struct.pack('!I', 1_700_000_000)) in [(number, value) for _, number, value in split_attributes(REQUEST)]


@pytest.mark.parametrize(('zeroed', 'good'), [(False, True), (True, True), (None, False)])
def test_a_signed_answer_is_checked_in_both_readings_of_the_rfc(zeroed, good):
    head = struct.pack('!BBH', 44, REQUEST[1], 38)
    middle = bytes(16) if zeroed else REQUEST[4:20]
    mac = bytes(16) if zeroed is None else hmac.digest(SECRET, head + middle + b'\x50\x12' + bytes(16), 'md5')
    data = answer(44, b'\x50\x12' + mac)
    if good:
        assert verify_answer(data, REQUEST, SECRET, must_sign=True).is_ack
    else:
        with pytest.raises(PacketError, match='Message-Authenticator is wrong'):
            verify_answer(data, REQUEST, SECRET)


def test_an_error_cause_is_read():
    assert verify_answer(answer(45, struct.pack('!BBI', 101, 6, 503)), REQUEST, SECRET).error_cause == 503


@pytest.mark.parametrize(
    ('data', 'why'),
    [
        (b'', 'shorter'),
        (answer()[:19], 'shorter'),
        (answer(body=b'\x12\x05abc')[:-1], 'cut off'),
        (answer(secret=b'wrong'), 'authenticator is wrong'),
        (answer(identifier=8), 'another request'),
        (answer(41), 'does not answer'),
        (answer(2), 'does not answer'),
        (answer(body=b'\x12\x01'), 'wrong length'),
        (answer(body=b'\x12\x09a'), 'wrong length'),
        (answer(body=b'\x12'), 'cut off'),
        (answer(45, b'\x65\x05abc'), 'four octets'),
        (answer(body=b'\x50\x03a'), 'wrong length'),
        (struct.pack('!BBH', 44, 7, 5000) + bytes(4996), 'length field'),
        (struct.pack('!BBH', 44, 7, 19) + bytes(16), 'length field'),
    ],
)
def test_what_is_no_answer_is_not_believed(data, why):
    with pytest.raises(PacketError, match=why):
        verify_answer(data, REQUEST, SECRET)


def test_an_unsigned_answer_is_dropped_where_signing_is_demanded():
    with pytest.raises(PacketError, match='no Message-Authenticator'):
        verify_answer(answer(), REQUEST, SECRET, must_sign=True)


def test_octets_after_the_length_are_padding():
    assert verify_answer(answer() + b'padding', REQUEST, SECRET).is_ack


@given(st.binary(max_size=5000))
@example(answer())
def test_no_octets_at_all_do_more_than_raise_a_packet_error(data):
    try:
        answered = verify_answer(data, REQUEST, SECRET)
    except PacketError:
        return
    assert data[: len(answer())] == answer() or answered.code in (44, 45)


@given(st.binary(min_size=1), st.integers(0, 37))
def test_no_changed_octet_goes_unnoticed(change, position):
    good = answer(45, struct.pack('!BBI', 101, 6, 503))
    bad = bytearray(good)
    bad[position % len(good)] ^= change[0] or 1
    with pytest.raises(PacketError):
        verify_answer(bytes(bad), REQUEST, SECRET)


@given(st.lists(st.text(min_size=1, max_size=60), max_size=20))
def test_whatever_a_user_name_holds_stays_inside_its_attribute(names):
    octets = encode([('User-Name', name) for name in names])
    found = [value.decode() for _, _, value in split_attributes(bytes(20) + octets)]
    assert found == names


@pytest.mark.parametrize(
    ('name', 'value'),
    [
        ('User-Name', 'x' * 254),
        ('Filter-Id', ''),
        ('Mikrotik-Rate-Limit', 'x' * 248),
        ('Huawei-Input-Peak-Rate', str(2**32)),
        ('Huawei-Input-Peak-Rate', '-1'),
        ('Huawei-Input-Peak-Rate', 'fast'),
        ('NAS-IP-Address', '192.0.2.300'),
        ('NAS-IPv6-Address', '192.0.2.1'),
        ('Operator-NAS-Identifier', 'x' * 253),
        ('ERX-Service-Activate:32', 'x'),
        ('No-Such-Attribute', 'x'),
    ],
)
def test_a_value_that_does_not_fit_is_refused_by_name(name, value):
    with pytest.raises(AttributeValueError, match=name.partition(':')[0]):
        encode([(name, value)])


def test_a_request_that_is_too_long_is_not_built():
    with pytest.raises(PacketError, match='4096'):
        build_request(Code.COA_REQUEST, 1, encode([('User-Name', 'x' * 253)] * 17), 0, SECRET)


def test_the_octets_of_each_kind_of_attribute():
    assert encode([('Operator-NAS-Identifier', 'nas')]) == b'\xf1\x06\x08nas'  # RFC 8559, RFC 6929: 241.8
    assert encode([('Operator-Name', '1example.net')]) == b'\x7e\x0e1example.net'
    assert encode([('Mikrotik-Rate-Limit', '1M/2M')]) == b'\x1a\x0d' + struct.pack('!IBB', 14988, 8, 7) + b'1M/2M'
    assert encode([('ERX-Service-Activate:1', 'a')]) == b'\x1a\x0a' + struct.pack('!IBB', 4874, 65, 4) + b'\x01a'
    assert encode([('NAS-IPv6-Address', '2001:db8::1')])[:2] == b'\x5f\x12'


def test_causes_mean_what_the_rfc_says():
    assert [meaning_of(cause) for cause in (201, 401, 403, 503, 504, 506, 507, 508, None)] == [
        CauseMeaning.READ_BACK,
        CauseMeaning.WRONG_DIALECT,
        CauseMeaning.CONFIGURATION,
        CauseMeaning.NO_SESSION,
        CauseMeaning.NARROW,
        CauseMeaning.RETRY,
        CauseMeaning.PENDING,
        CauseMeaning.NARROW,
        CauseMeaning.UNNAMED,
    ]
    assert [meaning_of(cause) for cause in (299, 499, 599, 7)] == [
        CauseMeaning.READ_BACK,
        CauseMeaning.CONFIGURATION,
        CauseMeaning.RETRY,
        CauseMeaning.RETRY,
    ]
    assert sentence_for(503) == 'the NAS refused: session context not found (503); the line is offline'


@pytest.mark.parametrize('chance', [-1.0, 0.0, 1.0])
def test_waits_grow_as_rfc_5080_says(chance):
    rules, waits = Retransmission(), []
    waits.append(rules.first(lambda: chance))
    for _ in range(5):
        waits.append(rules.next(waits[-1], lambda: chance))
    assert waits[0] == pytest.approx(2 * (1 + 0.1 * chance))
    assert waits[1] == pytest.approx(waits[0] * (2 + 0.1 * chance))
    assert waits[-1] <= 16 * 1.1
    assert (rules.initial, rules.longest, rules.count, rules.duration) == (2, 16, 5, 30)
