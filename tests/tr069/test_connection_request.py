"""Calling CPEs: digest, sockets that drop, busy ones, pacing, UDP through NAT, and URLs that must not be called."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import struct
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.simulators.cpe import Cpe, Manners
from tests.tr069.conftest import Lab, lab
from tests.waiting import HandClock, soon
from tr069.acs.cpe import connection_request
from tr069.acs.cpe.connection_request import Caller, _RefusedTargetError, binding_response, udp_message
from tr069.acs.metrics import Metrics
from tr069.acs.settings import ConnectionRequests
from tr069.acs.store.records import DeviceRecord
from tr069.client import ConnectionRequest


async def request_connections(room: Lab, *cpes: Cpe) -> list[ConnectionRequest]:
    said = await room.client.request_connections([cpe.id for cpe in cpes])
    return [said[cpe.id] for cpe in cpes]


async def known(room: Lab, serial: str = 'S1', **options: object) -> Cpe:
    cpe = room.cpe(serial, **options)
    await cpe.listen()
    await cpe.inform()  # its first contact also brings its connection request login
    return cpe


@pytest.mark.parametrize('manners', [Manners(), Manners(drops_after_401=True), Manners(busy_503=1)])
def test_a_cpe_is_called_with_digest_even_where_it_drops_or_is_busy(sqlite_url: str, manners: Manners) -> None:
    async def scenario() -> None:
        async with lab(sqlite_url) as room:
            cpe = await known(room, manners=manners)
            assert await request_connections(room, cpe) == [ConnectionRequest.ACCEPTED]
            assert cpe.called.is_set()

    asyncio.run(scenario())


def test_a_refused_login_and_a_throttled_or_dead_cpe_are_told_apart(sqlite_url: str) -> None:
    async def scenario() -> None:
        async with lab(sqlite_url) as room:
            changed, busy, dead = [await known(room, serial) for serial in 'ABC']
            changed.force(f'{changed.root}.ManagementServer.ConnectionRequestPassword', 'changed')
            busy.manners.busy_503 = 100
            await dead.close()
            assert await request_connections(room, changed, busy, dead) == [
                ConnectionRequest.REFUSED,
                ConnectionRequest.THROTTLED,
                ConnectionRequest.UNREACHABLE,
            ]

    asyncio.run(scenario())


@pytest.mark.parametrize(
    'url',
    [
        'http://127.0.0.1:1/x',
        'http://localhost:1/x',
        'http://[::1]:1/',
        'http://[::ffff:127.0.0.1]:1/',
        'http://2130706433:1/',
        'http://user:pass@127.0.0.1:1/',
        'http://169.254.169.254/latest/meta-data',
        'http://0.0.0.0/',
        'https://203.0.113.1/',
        'file:///etc/passwd',
        'http://203.0.113.1/a b',
        'http://',
        'x',
    ],
)
def test_a_cpe_cannot_make_the_acs_call_what_it_should_not(sqlite_url: str, url: str) -> None:
    called: list[object] = []

    async def scenario() -> None:
        defaults = {'deny': ConnectionRequests().deny, 'attempts': 1}
        async with lab(sqlite_url, connection_requests=defaults) as room:
            trap = await asyncio.start_server(lambda *_: called.append(1), '127.0.0.1', 0)
            port = trap.sockets[0].getsockname()[1]
            cpe = room.cpe()
            cpe.force(f'{cpe.root}.ManagementServer.ConnectionRequestURL', url.replace(':1/', f':{port}/'))
            await cpe.inform()
            assert await request_connections(room, cpe) == [ConnectionRequest.UNREACHABLE]
            trap.close()

    asyncio.run(scenario())
    assert called == []


def a_caller(**settings: object) -> Caller:
    return Caller(ConnectionRequests.model_validate(settings), lambda _: ('u', 'p'), Metrics())


@pytest.mark.parametrize(
    'address',
    [
        '127.0.0.1', '127.9.9.9', '0.0.0.0', '169.254.169.254', '169.254.1.1', '100.100.100.200', '192.0.0.192',
        '224.0.0.1', '255.255.255.255', '::', '::1', '::7f00:1', '::ffff:127.0.0.1', '::ffff:203.0.113.5',
        '64:ff9b::a9fe:a9fe', '64:ff9b:1::1', '2002:7f00:1::', '2001:0:1::1', 'fc00::1', 'fd00:ec2::254', 'fe80::1',
        'ff02::1',
    ],
)  # fmt: skip
def test_some_addresses_are_never_called_whoever_names_them(address: str) -> None:
    """Not even where a session came from there, or the operator's networks are wide."""
    caller = a_caller(subscriber_networks=['0.0.0.0/0', '::/0'])
    with pytest.raises(_RefusedTargetError, match='never called'):
        caller._check_address(address, address)


def test_only_the_sessions_own_address_is_called_unless_the_operator_lists_networks() -> None:
    by_default = a_caller()
    for address in ('203.0.113.5', '10.1.2.3', '2001:db8::5'):
        by_default._check_address(address, address)
    by_default._check_address('2001:db8:0::5', '2001:DB8::5')
    for address, session in (('10.1.2.3', '203.0.113.5'), ('203.0.113.6', '203.0.113.5'), ('10.1.2.3', '')):
        with pytest.raises(_RefusedTargetError, match='subscriber_networks'):
            by_default._check_address(address, session)
    listed = a_caller(subscriber_networks=['10.1.0.0/16', '2001:db8::/32'])
    listed._check_address('10.1.2.3', '203.0.113.5')
    listed._check_address('2001:db8::5', '')
    with pytest.raises(_RefusedTargetError):
        listed._check_address('10.2.0.1', '203.0.113.5')


def test_a_cpe_whose_url_is_of_another_host_is_not_called(sqlite_url: str) -> None:
    called: list[object] = []

    async def scenario() -> None:
        async with lab(sqlite_url, connection_requests={'attempts': 1}) as room:
            trap = await asyncio.start_server(lambda *_: called.append(1), '127.0.0.2', 0)
            cpe = room.cpe()
            url = f'http://127.0.0.2:{trap.sockets[0].getsockname()[1]}/'
            cpe.force(f'{cpe.root}.ManagementServer.ConnectionRequestURL', url)
            await cpe.inform()
            assert await request_connections(room, cpe) == [ConnectionRequest.UNREACHABLE]
            trap.close()

    asyncio.run(scenario())
    assert called == []


@pytest.mark.parametrize('challenges', [('Basic realm="cpe"',), ('bAsIc realm="cpe"',), (), ('Negotiate',)])
def test_the_password_is_never_sent_in_the_clear(sqlite_url: str, challenges: tuple[str, ...]) -> None:
    heads: list[str] = []

    async def ask_for_basic(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                heads.append((await reader.readuntil(b'\r\n\r\n')).decode())
                lines = ''.join(f'WWW-Authenticate: {item}\r\n' for item in challenges)
                writer.write(f'HTTP/1.1 401 Unauthorized\r\n{lines}Content-Length: 0\r\n\r\n'.encode())
        writer.close()

    async def scenario() -> None:
        async with lab(sqlite_url, connection_requests={'attempts': 1}) as room:
            box = await asyncio.start_server(ask_for_basic, '127.0.0.1', 0)
            cpe = room.cpe()
            url = f'http://127.0.0.1:{box.sockets[0].getsockname()[1]}/'
            cpe.force(f'{cpe.root}.ManagementServer.ConnectionRequestURL', url)
            await cpe.inform()
            assert await request_connections(room, cpe) == [ConnectionRequest.REFUSED]
            box.close()

    asyncio.run(scenario())
    assert len(heads) == 1
    assert 'authorization' not in heads[0].lower()


def test_calls_are_paced_and_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.tr069.test_store import device

    slept: list[float] = []
    under_way: list[int] = [0]
    settle = asyncio.sleep

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        await settle(0)

    async def once(self: Caller, record: DeviceRecord) -> ConnectionRequest:
        under_way.append(under_way[-1] + 1)
        for _ in range(5):
            await settle(0)
        under_way.append(under_way[-1] - 1)
        return ConnectionRequest.ACCEPTED

    HandClock.of(monkeypatch, connection_request)
    monkeypatch.setattr(connection_request.asyncio, 'sleep', sleep)
    monkeypatch.setattr(Caller, '_once', once)
    caller = Caller(ConnectionRequests(per_second=20, max_in_flight=2), lambda device_id: ('', ''), Metrics())
    outcomes = asyncio.run(caller.call_many([device(f'S{number}') for number in range(10)]))
    assert set(outcomes.values()) == {ConnectionRequest.ACCEPTED}
    assert slept == pytest.approx([0.05 * number for number in range(1, 10)]), 'ten calls at twenty a second'
    assert max(under_way) == 2


def test_a_cpe_that_took_a_set_is_called_for_the_session_that_verifies(sqlite_url: str) -> None:
    from tests.tr069.test_desired_state import SLOW

    async def scenario() -> None:
        async with lab(sqlite_url, desired={'connection_request_to_verify': True, 'verify_delay_s': 0.05}) as room:
            cpe = await known(room)
            await room.client.apply(SLOW, [cpe.id])
            await cpe.inform()
            await asyncio.wait_for(cpe.called.wait(), 5)

    asyncio.run(scenario())


# --- UDP, annex G -------------------------------------------------------------------------------------------------


def test_a_stun_binding_says_where_the_request_came_from() -> None:
    request = struct.pack('>HH', 1, 0) + b'T' * 16
    answer = binding_response(request, '203.0.113.9', 4567)
    assert answer is not None
    assert answer[:2] == b'\x01\x01'
    assert answer[4:20] == b'T' * 16
    assert answer[20:] == struct.pack('>HHBBH', 1, 8, 0, 1, 4567) + bytes((203, 0, 113, 9))
    for bad in (b'', b'x' * 19, request + b'x', struct.pack('>HH', 2, 0) + b'T' * 16, b'\0' * 5000):
        assert binding_response(bad, '203.0.113.9', 1) is None


def test_a_udp_request_is_signed_as_annex_g_says() -> None:
    text = udp_message('203.0.113.9:3478', 'user', 'secret', timestamp=1, number=2, cnonce='c').decode()
    method, target, version = text.rstrip().split(' ')
    assert (method, version) == ('GET', 'HTTP/1.1')
    given = {name: values[0] for name, values in parse_qs(urlsplit(target).query).items()}
    expected = hmac.new(b'secret', b'12userc', hashlib.sha1).hexdigest()
    assert given.pop('sig').lower() == expected
    assert given == {'ts': '1', 'id': '2', 'un': 'user', 'cn': 'c'}


class _NattedCpe(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self.received: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.received.append(data)


def test_a_cpe_behind_nat_is_called_three_times_from_the_stun_port(sqlite_url: str) -> None:
    async def scenario() -> None:
        calls = {'udp_port': 0, 'udp_host': '127.0.0.1', 'attempts': 1}
        async with lab(sqlite_url, connection_requests=calls) as room:
            loop = asyncio.get_running_loop()
            transport, natted = await loop.create_datagram_endpoint(_NattedCpe, local_addr=('127.0.0.1', 0))
            transport.sendto(struct.pack('>HH', 1, 0) + b'T' * 16, ('127.0.0.1', room.acs.udp_port))
            await soon(lambda: natted.received)
            mapped = struct.unpack('>H', natted.received.pop()[26:28])[0]
            cpe = room.cpe()
            cpe.force(f'{cpe.root}.ManagementServer.UDPConnectionRequestAddress', f'127.0.0.1:{mapped}')
            cpe.force(f'{cpe.root}.ManagementServer.ConnectionRequestURL', 'http://127.0.0.1:9/no-route')
            await cpe.inform()
            assert await request_connections(room, cpe) == [ConnectionRequest.SENT]
            await soon(lambda: len(natted.received) >= 3)
            assert len(natted.received) == 3
            assert len(set(natted.received)) == 1
            transport.close()

    asyncio.run(scenario())


@pytest.mark.parametrize('address', ['127.0.0.1:99999', '127.0.0.1:0', '127.0.0.1:-1', '127.0.0.1:', '127.0.0.1:x'])
def test_a_port_that_cannot_be_harms_neither_the_stun_port_nor_the_batch(sqlite_url: str, address: str) -> None:
    async def scenario() -> None:
        calls = {'udp_port': 0, 'udp_host': '127.0.0.1', 'attempts': 1}
        async with lab(sqlite_url, connection_requests=calls) as room:
            cpe, other = room.cpe('BAD'), await known(room)
            cpe.force(f'{cpe.root}.ManagementServer.UDPConnectionRequestAddress', address)
            cpe.force(f'{cpe.root}.ManagementServer.ConnectionRequestURL', 'http://127.0.0.1:9/no-route')
            await cpe.inform()
            assert await request_connections(room, cpe, other) == [
                ConnectionRequest.UNREACHABLE,
                ConnectionRequest.ACCEPTED,
            ]
            loop = asyncio.get_running_loop()
            transport, natted = await loop.create_datagram_endpoint(_NattedCpe, local_addr=('127.0.0.1', 0))
            transport.sendto(struct.pack('>HH', 1, 0) + b'T' * 16, ('127.0.0.1', room.acs.udp_port))
            await soon(lambda: natted.received)
            assert len(natted.received) == 1
            transport.close()

    asyncio.run(scenario())


def test_what_one_device_breaks_fails_it_alone() -> None:
    from tests.tr069.test_store import device

    def login(device_id: str) -> tuple[str, str]:
        if device_id == 'O-P-BAD':
            raise RuntimeError('nobody thought of this')
        return 'user', 'secret'

    class Reached(Caller):
        async def _http(self, *_: str) -> ConnectionRequest:
            return ConnectionRequest.ACCEPTED

    async def scenario() -> None:
        caller = Reached(ConnectionRequests(attempts=1), login, Metrics())
        devices = [device(serial)._replace(connection_request_url='http://cpe/') for serial in ('BAD', 'S1')]
        said = await caller.call_many(devices)
        assert said == {'O-P-BAD': ConnectionRequest.UNREACHABLE, 'O-P-S1': ConnectionRequest.ACCEPTED}

    asyncio.run(scenario())
