"""The CPE port over real sockets: good manners, bad manners, and attacks."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import re
import ssl
import subprocess
import threading
from pathlib import Path

import pytest

from tests.simulators.cpe import AcsRefusedError, Cpe, LostConnectionError, Manners, _Link, _md5
from tests.simulators.cpe_trees import INTERNET_098
from tests.tr069.conftest import Lab, lab
from tests.tr069.envelopes import BROKEN, envelope
from tests.waiting import soon
from tr069.acs.cpe.auth import ha1
from tr069.acs.cpe.device_record import _places, device_record
from tr069.client import ProvisioningState, ValueProfile
from tr069.cwmp import messages as m
from tr069.cwmp.messages import ParameterValue

RATE = f'{INTERNET_098}.ShapingRate'
SLOW = ValueProfile('throttle', 'slow-64k', (ParameterValue(RATE, '64000', 'xsd:int'),))


async def raw(room: Lab, data: bytes, *, timeout_s: float = 5.0) -> bytes:
    """Send bytes, return all that comes until the server is done or `timeout_s` has passed."""
    reader, writer = await asyncio.open_connection('127.0.0.1', room.acs.cpe_port)
    received = b''
    try:
        writer.write(data)
        await writer.drain()
        while not received.endswith(b'\r\n\r\n') and b'Content-Length' not in received:
            part = await asyncio.wait_for(reader.read(65536), timeout_s)
            if not part:
                break
            received += part
    except ConnectionError:
        received = b'reset'
    finally:
        writer.close()
    return received


def post(body: bytes, *headers: str) -> bytes:
    head = ['POST / HTTP/1.1', 'Host: acs', *headers, f'Content-Length: {len(body)}']
    return '\r\n'.join(head).encode() + b'\r\n\r\n' + body


def status(answer: bytes) -> int:
    return int(answer.split()[1]) if answer.startswith(b'HTTP/') else 0


OPEN = {'auth': 'none'}  # a laboratory without authentication, to get at what lies behind it

# --- manners ----------------------------------------------------------------------------------------------------------

BAD_MANNERS = {
    'no cookies': Manners(no_cookies=True),
    'comma-separated cookies': Manners(comma_cookies=True),
    'quoted cookies': Manners(quoted_cookies=True),
    'a stale cookie on the Inform': Manners(stale_cookie=True),
    'a new connection for each request': Manners(new_connection_each=True),
    'odd prefixes': Manners(soap_prefix='SOAP-ENV', cwmp_prefix='m'),
    'finds its own prefixes only': Manners(soap_prefix='SOAP-ENV', cwmp_prefix='m', own_prefixes_only=True),
    'cwmp 1.2': Manners(cwmp_namespace='urn:dslforum-org:cwmp-1-2'),
    'cwmp 1.4': Manners(cwmp_namespace='urn:dslforum-org:cwmp-1-4'),
    'the old xsi': Manners(old_xsi=True),
    'no types': Manners(no_types=True),
    'no Status': Manners(no_status=True),
    'no RetryCount and no Event': Manners(no_retry_count=True, no_event=True),
    'no ID': Manners(no_id=True),
    'no SOAPAction': Manners(no_soap_action=True),
    'latin-1': Manners(charset='iso-8859-1'),
    'gzip': Manners(encoding='gzip'),
    'deflate': Manners(encoding='deflate'),
    'chunked': Manners(chunked=True),
    'repeats its empty POST': Manners(resends_empty=True),
    'no ParameterKey in the Inform': Manners(omit_parameter_key=True),
}


@pytest.mark.parametrize('name', BAD_MANNERS)
def test_a_cpe_with_odd_manners_is_still_served(sqlite_url: str, name: str) -> None:
    async def scenario() -> None:
        async with lab(sqlite_url) as room:
            cpe = room.cpe('Série-1', manners=BAD_MANNERS[name])
            await cpe.inform()
            await room.client.apply(SLOW, [cpe.id])
            await cpe.inform()
            await cpe.inform()
            assert cpe.value(RATE) == '64000'
            assert (await room.client.read_back([cpe.id]))[cpe.id].state is ProvisioningState.VERIFIED

    asyncio.run(scenario())


@pytest.mark.parametrize('model', ['tr098', 'tr181'])
def test_both_data_models_give_their_levers(sqlite_url: str, model: str) -> None:
    async def scenario() -> None:
        async with lab(sqlite_url) as room:
            cpe = room.cpe(model=model, manners=Manners(root_names_refused=True))
            await cpe.listen()
            await cpe.inform()
            answer = asyncio.create_task(room.client.read_levers(cpe.id, timeout_s=5))
            await cpe.called.wait()
            await cpe.inform()
            report = await answer
            assert report.root == cpe.root
            assert any(lever.chosen for lever in report.levers)
            task = await room.client._call(
                'POST', f'/v1/devices/{cpe.id}/tasks', body={'method': 'readTree', 'connection_request': False}
            )
            await cpe.inform()
            text = str(await room.client._call('GET', f'/v1/tasks/{task["id"]}'))
            assert 'ana-phone' not in text  # the people's own devices
            assert 'very-private' not in text  # and their pass phrases are not kept

    asyncio.run(scenario())


def test_quirks_come_from_the_models_profile(tmp_path: Path, sqlite_url: str) -> None:
    (tmp_path / 'p').mkdir()
    (tmp_path / 'p' / 'odd.yaml').write_text(
        'name: odd\nmatch: {product_class: Odd}\nquirks: {xml_declaration: false, recover_xml: true, max_names: 1}\n'
    )

    async def scenario() -> None:
        async with lab(sqlite_url, profiles_directory=tmp_path / 'p') as room:
            odd = Manners(refuses_declaration=True, malformed=True, max_names=1)
            cpe = room.cpe('A', product_class='Odd', manners=odd)
            await cpe.inform()
            other = f'{INTERNET_098}.Name'
            names = (*SLOW.values, ParameterValue(f'{cpe.root}.DeviceInfo.ProvisioningCode', 'x'))
            await room.client.apply(ValueProfile('two', 'r', names), [cpe.id])
            await cpe.inform()
            assert cpe.value(RATE) == '64000'
            assert cpe.value(other) == 'INTERNET'
            strict = room.cpe('B', manners=Manners(malformed=True))
            with pytest.raises(AcsRefusedError) as refused:
                await strict.inform()
            assert refused.value.status == 400

    asyncio.run(scenario())


def test_requests_of_the_cpe_are_answered_always(sqlite_url: str) -> None:
    async def scenario() -> None:
        async with lab(sqlite_url) as room:
            cpe = room.cpe()
            unknown_key = '<cwmp:TransferComplete><CommandKey>never heard of</CommandKey></cwmp:TransferComplete>'
            assert 'TransferCompleteResponse' in await cpe.ask(unknown_key)
            auto = '<cwmp:AutonomousTransferComplete/>'
            assert 'AutonomousTransferCompleteResponse' in await cpe.ask(auto)
            assert 'TransferComplete</string>' in await cpe.ask('<cwmp:GetRPCMethods/>')
            assert 'RequestDownloadResponse' in await cpe.ask('<cwmp:RequestDownload/>')
            assert '<FaultCode>8000</FaultCode>' in await cpe.ask('<cwmp:Kicked/>')

    asyncio.run(scenario())


def test_the_newest_session_wins(sqlite_url: str) -> None:
    async def scenario() -> None:
        async with lab(sqlite_url, cpe=OPEN) as room:
            reader, writer = await asyncio.open_connection('127.0.0.1', room.acs.cpe_port)
            writer.write(post(envelope().encode()))
            first = await reader.readuntil(b'</s:Envelope>')
            assert status(first) == 200
            await raw(room, post(envelope().encode()))
            assert room.acs.cpe.open_sessions == 1
            writer.write(post(b''))
            assert status(await reader.readuntil(b'\r\n\r\n')) == 400
            writer.close()

    asyncio.run(scenario())


def test_a_session_left_alone_is_closed(sqlite_url: str) -> None:
    async def scenario() -> None:
        async with lab(sqlite_url, cpe={**OPEN, 'session_timeout_s': 0.3}) as room:
            await raw(room, post(envelope().encode()))
            assert room.acs.cpe.open_sessions == 1
            await soon(lambda: room.acs.cpe.open_sessions == 0)

    asyncio.run(scenario())


# --- bad input --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize('name', BROKEN)
def test_broken_envelopes_get_a_fault_and_the_server_lives_on(sqlite_url: str, name: str) -> None:
    async def scenario() -> None:
        async with lab(sqlite_url, cpe=OPEN) as room:
            answer = await raw(room, post(BROKEN[name]))
            assert status(answer) in (400, 413)
            assert b'FaultCode>80' in answer
            assert b'root:' not in answer
            assert status(await raw(room, post(envelope().encode()))) == 200

    asyncio.run(scenario())


def test_a_50_mb_body_is_refused_by_its_length_and_by_its_bytes(sqlite_url: str) -> None:
    async def scenario() -> None:
        async with lab(sqlite_url, cpe=OPEN) as room:
            announced = b'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 52428800\r\n\r\n'
            assert status(await raw(room, announced)) == 413
            reader, writer = await asyncio.open_connection('127.0.0.1', room.acs.cpe_port)
            writer.write(b'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n')
            chunk = b'100000\r\n' + b' ' * 0x100000 + b'\r\n'
            sent = 0
            with contextlib.suppress(ConnectionError):
                for _ in range(50):
                    writer.write(chunk)
                    await writer.drain()
                    sent += 1
            answer = b''
            with contextlib.suppress(ConnectionError):
                answer = await reader.read(1000)
            assert sent < 50 or status(answer) == 413
            writer.close()
            assert status(await raw(room, post(envelope().encode()))) == 200

    asyncio.run(scenario())


def test_a_gzip_bomb_and_unknown_encodings_are_refused(sqlite_url: str) -> None:
    import gzip

    async def scenario() -> None:
        async with lab(sqlite_url, cpe=OPEN) as room:
            bomb = gzip.compress(b'\0' * 60_000_000)
            assert status(await raw(room, post(bomb, 'Content-Encoding: gzip'))) == 413
            assert status(await raw(room, post(b'x', 'Content-Encoding: br'))) == 400
            assert status(await raw(room, post(b'not gzip', 'Content-Encoding: gzip'))) == 400

    asyncio.run(scenario())


def test_truncated_chunks_and_broken_http_end_in_400(sqlite_url: str) -> None:
    async def scenario() -> None:
        async with lab(sqlite_url, cpe=OPEN) as room:
            for data in (
                b'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n',
                b'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\nabc',
                b'\x16\x03\x01\x02\x00\x01\x00',
                b'NONSENSE\r\n\r\n',
            ):
                assert status(await raw(room, data)) == 400, data
            reader, writer = await asyncio.open_connection('127.0.0.1', room.acs.cpe_port)
            writer.write(b'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n10\r\nabc')
            writer.write_eof()
            assert status(await reader.read(1000)) == 400
            writer.close()
            assert status(await raw(room, b'GET / HTTP/1.1\r\nHost: a\r\n\r\n')) == 405
            assert status(await raw(room, b'POST /elsewhere HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n')) == 404
            assert status(await raw(room, b'POST / HTTP/1.1\r\n' + b'X: ' + b'y' * 20000)) == 431

    asyncio.run(scenario())


def test_a_slow_sender_is_cut_off(sqlite_url: str) -> None:
    async def scenario() -> None:
        async with lab(sqlite_url, cpe={**OPEN, 'request_timeout_s': 0.4}) as room:
            reader, writer = await asyncio.open_connection('127.0.0.1', room.acs.cpe_port)
            answer = asyncio.create_task(reader.read(1000))
            writer.write(b'POST /')
            # Each byte is on time, and it never ends: it is the whole request that is not on time.
            while not (await asyncio.wait([answer], timeout=0.05))[0]:
                writer.write(b'x')
            assert status(await answer) == 408
            writer.close()

    asyncio.run(scenario())


def test_back_pressure_is_503_with_retry_after(sqlite_url: str) -> None:
    async def scenario() -> None:
        limits = {**OPEN, 'max_sessions': 1, 'retry_after_s': 17}
        async with lab(sqlite_url, cpe=limits) as room:
            assert status(await raw(room, post(envelope().encode()))) == 200
            other = envelope().replace('S1', 'S2').encode()
            answer = await raw(room, post(other))
            assert status(answer) == 503
            assert b'Retry-After: 17' in answer
        async with lab(sqlite_url, cpe={**OPEN, 'max_connections': 2}) as room:
            held = [await asyncio.open_connection('127.0.0.1', room.acs.cpe_port) for _ in range(2)]
            await soon(lambda: len(room.acs.cpe.http.connections) == 2)
            assert status(await raw(room, b'')) == 503
            for _, writer in held:
                writer.close()

    asyncio.run(scenario())


def test_answers_out_of_step_end_the_session_and_touch_nobody(sqlite_url: str) -> None:
    async def scenario() -> None:
        async with lab(sqlite_url, cpe=OPEN) as room:
            reply = envelope('<cwmp:SetParameterValuesResponse><Status>0</Status></cwmp:SetParameterValuesResponse>')
            assert status(await raw(room, post(reply.encode()))) == 400  # no session
            assert status(await raw(room, post(b''))) == 400
            reader, writer = await asyncio.open_connection('127.0.0.1', room.acs.cpe_port)
            writer.write(post(envelope().encode()))
            await reader.readuntil(b'</s:Envelope>')
            writer.write(post(reply.encode()))
            assert status(await reader.readuntil(b'\r\n\r\n')) == 400  # nothing was asked
            writer.close()

    asyncio.run(scenario())


# --- who may speak ------------------------------------------------------------------------------------------------


def test_a_cpe_may_only_speak_for_itself(sqlite_url: str) -> None:
    async def scenario() -> None:
        async with lab(sqlite_url) as room:
            victim, thief = room.cpe('VICTIM'), room.cpe('THIEF')
            await victim.inform()
            await room.client.apply(SLOW, [victim.id])
            forged = Cpe('VICTIM', url=room.url, login=thief.login)
            with pytest.raises(AcsRefusedError) as refused:
                await forged.inform()
            assert refused.value.status == 403
            assert forged.sets == []
            assert (await room.client.read_back([victim.id]))[victim.id].state is ProvisioningState.PENDING
            for wrong in ((victim.id, 'guess'), ('', ''), (victim.id, thief.login[1]), ('VICTIM', victim.login[1])):  # type: ignore[index]
                forged = Cpe('VICTIM', url=room.url, login=wrong)
                with pytest.raises((AcsRefusedError, LostConnectionError)):
                    await forged.inform()

    asyncio.run(scenario())


def test_a_stolen_cookie_opens_nothing(sqlite_url: str) -> None:
    async def scenario() -> None:
        async with lab(sqlite_url) as room:
            victim, thief = room.cpe('VICTIM'), room.cpe('THIEF')
            await victim.inform()
            await room.client.apply(SLOW, [victim.id])
            link = _Link(victim)
            await link.post(victim._envelope(victim._inform_body([('2 PERIODIC', '')]), '1'))
            stolen = _Link(thief)
            stolen._cookies = dict(link._cookies)
            with pytest.raises(AcsRefusedError) as refused:
                await stolen.post('')
            assert refused.value.status == 400
            await link.close()
            await stolen.close()

    asyncio.run(scenario())


async def challenge(room: Lab) -> str:
    answer = (await raw(room, post(b''))).decode()
    assert status(answer.encode()) == 401
    found = re.search(r'nonce="([^"]+)"', answer)
    assert found
    return found.group(1)


def authorization(
    login: tuple[str, str], nonce: str, *, count: str = '00000001', uri: str = '/', qop: str = 'auth'
) -> str:
    a1, a2 = ha1(login[0], 'acs', login[1]), _md5(f'POST:{uri}')
    middle = f'{nonce}:{count}:abc:{qop}' if qop else nonce
    extra = f', qop={qop}, nc={count}, cnonce="abc"' if qop else ''
    response = _md5(f'{a1}:{middle}:{a2}')
    given = f'username="{login[0]}", realm="acs", nonce="{nonce}", uri="{uri}", response="{response}"{extra}'
    return f'Authorization: Digest {given}'


def test_a_replayed_nonce_opens_no_second_connection(sqlite_url: str) -> None:
    async def scenario() -> None:
        async with lab(sqlite_url) as room:
            cpe = room.cpe('S1')
            header = authorization(cpe.login, await challenge(room))  # type: ignore[arg-type]
            body = envelope().encode()
            assert status(await raw(room, post(body, header))) == 200
            again = await raw(room, post(body, header))
            assert status(again) == 401
            assert b'stale=true' in again
            # A client that counts on is served.
            nonce = await challenge(room)
            for count in ('00000001', '00000002'):
                answer = await raw(room, post(body, authorization(cpe.login, nonce, count=count)))  # type: ignore[arg-type]
                assert status(answer) == 200
            old = authorization(cpe.login, nonce, count='00000001')  # type: ignore[arg-type]
            assert status(await raw(room, post(body, old))) == 401

    asyncio.run(scenario())


def test_nonces_that_are_old_foreign_or_made_up_are_refused(sqlite_url: str) -> None:
    async def scenario() -> None:
        async with lab(sqlite_url) as room:
            login = room.cpe('S1').login
            assert login is not None
            body = envelope().encode()
            nonce = await challenge(room)
            room.clock.offset += 61
            assert status(await raw(room, post(body, authorization(login, nonce)))) == 401
            foreign = room.acs.cpe._authenticator.nonce('10.9.9.9', room.clock())  # type: ignore[union-attr]
            for bad in (foreign, 'AAAA', '', '!!', 'é'):
                assert status(await raw(room, post(body, authorization(login, bad)))) == 401
            fresh = await challenge(room)
            wrong_uri = authorization(login, fresh, uri='/other')
            assert status(await raw(room, post(body, wrong_uri))) == 401
            old_style = authorization(login, await challenge(room), qop='')  # RFC 2069
            assert status(await raw(room, post(body, old_style))) == 200
            assert status(await raw(room, post(body, old_style))) == 401

    asyncio.run(scenario())


async def ask(link: tuple[asyncio.StreamReader, asyncio.StreamWriter], data: bytes) -> tuple[int, str]:
    """Status and head of the answer to a request on an open connection."""
    link[1].write(data)
    head = await asyncio.wait_for(link[0].readuntil(b'\r\n\r\n'), 5)
    length = re.search(rb'Content-Length: (\d+)', head)
    await link[0].readexactly(int(length.group(1)) if length else 0)
    return status(head), head.decode()


def test_another_users_login_on_the_same_connection_is_judged_anew(sqlite_url: str) -> None:
    async def scenario() -> None:
        async with lab(sqlite_url) as room:
            first, second = room.cpe('S1').login, room.cpe('S2').login
            assert first is not None
            assert second is not None
            body, of_second = envelope().encode(), envelope().replace('S1', 'S2').encode()
            link = await asyncio.open_connection('127.0.0.1', room.acs.cpe_port)
            header = authorization(first, await challenge(room))
            assert (await ask(link, post(body, header)))[0] == 200
            wrong = authorization((second[0], 'guess'), await challenge(room))
            assert (await ask(link, post(body, wrong)))[0] == 401
            assert (await ask(link, post(of_second, authorization(second, await challenge(room)))))[0] == 200
            link[1].close()

    asyncio.run(scenario())


def test_a_pooling_proxys_connection_serves_nobody_by_the_login_of_another(sqlite_url: str) -> None:
    """Every request proves who sent it: by an answer of its own, or by the cookie of the session that one opened."""

    async def scenario() -> None:
        async with lab(sqlite_url) as room:
            first, second = room.cpe('S1').login, room.cpe('S2').login
            assert first is not None
            assert second is not None
            body = envelope().encode()
            link = await asyncio.open_connection('127.0.0.1', room.acs.cpe_port)
            header = authorization(first, await challenge(room))
            code, head = await ask(link, post(body, header))
            assert code == 200
            cookie = re.search(r'Set-Cookie: ([^;]+);', head)
            assert cookie is not None
            made_up = f'Authorization: Digest username="{first[0]}", realm="acs", nonce="x", uri="/", response="y"'
            for forged in (post(body), post(b''), post(body, header), post(body, made_up), post(b'', made_up)):
                assert (await ask(link, forged))[0] == 401
            assert (await ask(link, post(b'', f'Cookie: {cookie.group(1)}')))[0] == 204  # its own, and it goes on
            assert (await ask(link, post(b'', f'Cookie: {cookie.group(1)}')))[0] == 401  # that session is over
            link[1].close()

    asyncio.run(scenario())


def test_a_cookie_is_good_only_where_its_user_has_proved_himself(sqlite_url: str) -> None:
    async def scenario() -> None:
        async with lab(sqlite_url) as room:
            first, second = room.cpe('S1').login, room.cpe('S2').login
            assert first is not None
            assert second is not None
            body, of_second = envelope().encode(), envelope().replace('S1', 'S2').encode()
            one = await asyncio.open_connection('127.0.0.1', room.acs.cpe_port)
            two = await asyncio.open_connection('127.0.0.1', room.acs.cpe_port)
            _, head = await ask(one, post(body, authorization(first, await challenge(room))))
            cookie = re.search(r'Set-Cookie: ([^;]+);', head)
            assert cookie is not None
            assert (await ask(two, post(of_second, authorization(second, await challenge(room)))))[0] == 200
            assert (await ask(two, post(b'', f'Cookie: {cookie.group(1)}')))[0] == 401
            one[1].close()
            two[1].close()

    asyncio.run(scenario())


def test_without_a_credential_no_body_is_kept_however_many_send_one(sqlite_url: str) -> None:
    size = 3 * 1024 * 1024

    async def scenario() -> None:
        async with lab(sqlite_url) as room:
            links = []
            for number in range(20):
                link = await asyncio.open_connection('127.0.0.1', room.acs.cpe_port)
                given = ['Authorization: Digest username="x", nonce="y"'] if number % 2 else []
                head = ['POST / HTTP/1.1', 'Host: acs', *given, f'Content-Length: {size}']
                link[1].write('\r\n'.join(head).encode() + b'\r\n\r\n' + b'x' * (size - 1))
                await link[1].drain()
                links.append(link)
            http = room.acs.cpe.http
            assert len(http.connections) == 20
            assert http.held == 0
            assert not any(connection._body for connection in http.connections)
            for reader, writer in links:  # and each gets its answer, once it has sent all
                writer.write(b'x')
                assert status(await asyncio.wait_for(reader.readuntil(b'\r\n\r\n'), 5)) == 401
                writer.close()

    asyncio.run(scenario())


def test_bodies_of_all_connections_have_one_budget(sqlite_url: str) -> None:
    async def scenario() -> None:
        async with lab(sqlite_url, cpe=OPEN | {'max_bodies': 120_000}) as room:
            first = await asyncio.open_connection('127.0.0.1', room.acs.cpe_port)
            first[1].write(b'POST / HTTP/1.1\r\nContent-Length: 90000\r\n\r\n' + b' ' * 80_000)
            await first[1].drain()
            await soon(lambda: room.acs.cpe.http.held >= 80_000)
            assert status(await raw(room, post(b' ' * 70_000))) == 503
            assert status(await raw(room, post(b' ' * 60_000))) == 400  # small ones are let in
            assert status(await raw(room, post(envelope().encode()))) == 200
            first[1].write(b' ' * 10_000)
            assert status(await asyncio.wait_for(first[0].readuntil(b'\r\n\r\n'), 5)) == 400  # white, without a session
            first[1].close()
            assert status(await raw(room, post(b' ' * 90_000))) == 400
            await soon(lambda: not room.acs.cpe.http.connections)
            assert room.acs.cpe.http.held == 0

    asyncio.run(scenario())


@pytest.mark.parametrize('encoding', ['', 'gzip'])
def test_other_cpes_are_served_while_a_big_body_is_read(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch, encoding: str
) -> None:
    from tr069.acs.cpe import bodies

    begun, go_on = threading.Event(), threading.Event()
    decode = bodies.decode

    def slowly(body: bytes, *arguments: object, **options: bool) -> m.Envelope:
        if len(body) > 100_000:
            begun.set()
            assert go_on.wait(20)
        return decode(body, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(bodies, 'decode', slowly)

    async def scenario() -> None:
        async with lab(sqlite_url, cpe=OPEN) as room:
            name = '<Manufacturer>Acme</Manufacturer>'
            big = envelope().replace(name, name + ''.join(f'<X>{number}</X>' for number in range(20_000))).encode()
            packed = gzip.compress(big) if encoding else big
            headers = [f'Content-Encoding: {encoding}'] if encoding else []
            slow = asyncio.create_task(raw(room, post(packed, *headers), timeout_s=20))
            assert await asyncio.to_thread(begun.wait, 20)
            assert status(await raw(room, post(envelope().replace('S1', 'S2').encode()))) == 200
            assert not slow.done()
            go_on.set()
            assert status(await slow) == 200

    asyncio.run(scenario())


def test_long_lists_of_names_are_not_kept() -> None:
    names = tuple(f'Device.X{number}' for number in range(500))
    device = m.DeviceId('M', 'O', 'P', 'S')
    before = _places.cache_info().currsize
    for size in (500, 400):
        parameters = m.Parameters((*names[:size], 'Device.DeviceInfo.SoftwareVersion'), ('1',) * (size + 1), ())
        assert device_record('k', m.Inform(device, (), parameters, 0, ''), '10.0.0.1', 1.0).software_version == '1'
    assert _places.cache_info().currsize == before


def test_basic_is_only_for_tls(sqlite_url: str, tmp_path: Path) -> None:
    import base64

    key, certificate = tmp_path / 'key.pem', tmp_path / 'cert.pem'
    subprocess.run(
        ['openssl', 'req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-keyout', key, '-out', certificate, '-days', '1',
         '-subj', '/CN=localhost'],
        check=True, capture_output=True,
    )  # fmt: skip

    def basic(login: tuple[str, str]) -> str:
        return 'Authorization: Basic ' + base64.b64encode(':'.join(login).encode()).decode()

    async def scenario() -> None:
        async with lab(sqlite_url) as room:
            login = room.cpe('S1').login
            assert status(await raw(room, post(envelope().encode(), basic(login)))) == 401  # type: ignore[arg-type]
        tls = {'tls_certificate': certificate, 'tls_key': key}
        async with lab(sqlite_url, cpe=tls) as room:
            context = ssl.create_default_context(cafile=str(certificate))
            login = room.acs.cpe_login('00AA11-Router-S1')
            for credential, expected in ((login, 200), ((login[0], 'wrong'), 401)):
                reader, writer = await asyncio.open_connection(
                    'localhost', room.acs.cpe_port, ssl=context, server_hostname='localhost', family=2
                )
                writer.write(post(envelope().encode(), basic(credential)))
                assert status(await reader.readuntil(b'\r\n\r\n')) == expected
                writer.close()

    asyncio.run(scenario())


def test_credentials_may_come_from_an_htdigest_file_that_changes(sqlite_url: str, tmp_path: Path) -> None:
    file = tmp_path / 'cpes.htdigest'
    file.write_text('# made with htdigest\n')

    async def scenario() -> None:
        async with lab(sqlite_url, cpe={'auth': 'htdigest', 'htdigest_file': file, 'accept_oui_serial': True}) as room:
            cpe = room.cpe('S-1', login=('00AA11-S%2D1', 'pass'))
            with pytest.raises(AcsRefusedError):
                await cpe.inform()
            file.write_text(f'00AA11-S%2D1:acs:{ha1("00AA11-S%2D1", "acs", "pass")}\n')
            await cpe.inform()
            other = room.cpe('S-2', login=('00AA11-S%2D1', 'pass'))
            with pytest.raises(AcsRefusedError) as refused:
                await other.inform()
            assert refused.value.status == 403

    asyncio.run(scenario())


# --- many -------------------------------------------------------------------------------------------------------------


def test_hundreds_of_cpes_at_once_get_what_is_theirs(database: str) -> None:
    async def scenario() -> None:
        async with lab(database) as room:
            cpes = [room.cpe(f'C{number:04d}') for number in range(200)]

            async def all_inform() -> None:
                await asyncio.gather(*(cpe.inform() for cpe in cpes))

            await all_inform()
            given = cpes[::2]
            await room.client.apply(SLOW, [cpe.id for cpe in given])
            await all_inform()
            await all_inform()
            statuses = await room.client.read_back([cpe.id for cpe in cpes])
            for number, cpe in enumerate(cpes):
                wanted = ('64000', ProvisioningState.VERIFIED) if number % 2 == 0 else ('-1', ProvisioningState.NONE)
                assert (cpe.value(RATE), statuses[cpe.id].state) == wanted
            await room.client.restore([cpe.id for cpe in given])
            await all_inform()
            assert {cpe.value(RATE) for cpe in cpes} == {'-1'}

    asyncio.run(scenario())
