"""Load for `bench_acs.py`: thousands of light CPEs with real state, on raw asyncio protocols.

They do what a CPE does on the wire (digest on each new connection, cookie, answers to RPCs) and as little else as
possible, so that the server is what is measured.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

RATE = 'InternetGatewayDevice.WANDevice.1.WANConnectionDevice.1.WANPPPConnection.1.ShapingRate'
_INFORM = (
    '<?xml version="1.0" encoding="UTF-8"?><soap-env:Envelope'
    ' xmlns:soap-env="http://schemas.xmlsoap.org/soap/envelope/"'
    ' xmlns:soap-enc="http://schemas.xmlsoap.org/soap/encoding/" xmlns:xsd="http://www.w3.org/2001/XMLSchema"'
    ' xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xmlns:cwmp="urn:dslforum-org:cwmp-1-0">'
    '<soap-env:Header><cwmp:ID soap-env:mustUnderstand="1">1</cwmp:ID></soap-env:Header><soap-env:Body><cwmp:Inform>'
    '<DeviceId><Manufacturer>Bench</Manufacturer><OUI>00BE4C</OUI><ProductClass>Router</ProductClass>'
    '<SerialNumber>{serial}</SerialNumber></DeviceId>'
    '<Event soap-enc:arrayType="cwmp:EventStruct[1]"><EventStruct><EventCode>2 PERIODIC</EventCode><CommandKey/>'
    '</EventStruct></Event><MaxEnvelopes>1</MaxEnvelopes><CurrentTime>2026-03-01T10:00:00Z</CurrentTime>'
    '<RetryCount>0</RetryCount><ParameterList soap-enc:arrayType="cwmp:ParameterValueStruct[12]">{parameters}'
    '</ParameterList></cwmp:Inform></soap-env:Body></soap-env:Envelope>'
)
_STRUCT = (
    '<ParameterValueStruct><Name>InternetGatewayDevice.{}</Name>'
    '<Value xsi:type="xsd:string">{}</Value></ParameterValueStruct>'
)
_FIXED = ''.join(
    _STRUCT.format(name, value)
    for name, value in (
        ('DeviceSummary', 'InternetGatewayDevice:1.4[](Baseline:1, EthernetLAN:1, WiFiLAN:1, Time:1, IPPing:1)'),
        ('DeviceInfo.SpecVersion', '1.0'),
        ('DeviceInfo.HardwareVersion', 'H1.0'),
        ('DeviceInfo.SoftwareVersion', 'V5R020C00S125'),
        ('DeviceInfo.ProvisioningCode', ''),
        ('ManagementServer.ConnectionRequestURL', 'http://10.0.0.1:7547/abcdef'),
        ('WANDevice.1.WANConnectionDevice.1.WANPPPConnection.1.ExternalIPAddress', '10.0.0.1'),
        ('WANDevice.1.WANConnectionDevice.1.WANPPPConnection.1.Name', '1_TR069_INTERNET_R_VID_100'),
        ('DeviceInfo.UpTime', '86400'),
        ('DeviceInfo.FirstUseDate', '2024-01-01T00:00:00Z'),
        ('DeviceInfo.Description', 'GPON terminal with four Ethernet ports, two voice ports and dual-band Wi-Fi'),
    )
)
_ANSWER = (
    '<soap-env:Envelope xmlns:soap-env="http://schemas.xmlsoap.org/soap/envelope/"'
    ' xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xmlns:xsd="http://www.w3.org/2001/XMLSchema"'
    ' xmlns:cwmp="urn:dslforum-org:cwmp-1-0"><soap-env:Header><cwmp:ID soap-env:mustUnderstand="1">{}</cwmp:ID>'
    '</soap-env:Header><soap-env:Body>{}</soap-env:Body></soap-env:Envelope>'
)
_ID = re.compile(r'<cwmp:ID[^>]*>([^<]*)<')
_RATE_VALUE = re.compile(re.escape(RATE) + r'</Name><Value[^>]*>([^<]*)<')
_KEY = re.compile(r'<ParameterKey>([^<]*)<')
_NONCE = re.compile(rb'nonce="([^"]+)"')
_COOKIE = re.compile(rb'Set-Cookie: ([^;\r]+)')
_LENGTH = re.compile(rb'Content-Length: (\d+)')


def _md5(text: str) -> str:
    return hashlib.md5(text.encode()).hexdigest()


@dataclass(slots=True)
class LightCpe:
    serial: str
    password: str
    rate: str = '-1'
    parameter_key: str = ''
    sets: int = 0

    @property
    def id(self) -> str:
        return f'00BE4C-Router-{self.serial}'

    def inform(self) -> bytes:
        key = _STRUCT.format('ManagementServer.ParameterKey', self.parameter_key)
        return _INFORM.format(serial=self.serial, parameters=_FIXED + key).encode()

    def answer(self, xml: str) -> bytes:
        """Carry out the one RPC in `xml` and tell."""
        found = _ID.search(xml)
        identifier = found.group(1) if found else ''
        if '<cwmp:GetParameterValues>' in xml:
            body = (
                '<cwmp:GetParameterValuesResponse><ParameterList>'
                f'<ParameterValueStruct><Name>{RATE}</Name><Value xsi:type="xsd:int">{self.rate}</Value>'
                '</ParameterValueStruct></ParameterList></cwmp:GetParameterValuesResponse>'
            )
        elif '<cwmp:SetParameterValues>' in xml:
            value, key = _RATE_VALUE.search(xml), _KEY.search(xml)
            if value is None or key is None:
                raise AssertionError(f'an unexpected set: {xml}')
            self.rate, self.parameter_key = value.group(1), key.group(1)
            self.sets += 1
            body = '<cwmp:SetParameterValuesResponse><Status>0</Status></cwmp:SetParameterValuesResponse>'
        else:
            raise AssertionError(f'an unexpected request: {xml}')
        return _ANSWER.format(identifier, body).encode()


@dataclass(slots=True)
class Tally:
    sessions: int = 0
    requests: int = 0
    errors: list[str] = field(default_factory=list)


class _Session(asyncio.Protocol):
    """One session on one connection: Inform, 401, Inform, empty, RPCs, 204."""

    __slots__ = ('_auth', '_buffer', '_cookie', '_cpe', '_done', '_need', '_tally', '_transport')

    def __init__(self, cpe: LightCpe, tally: Tally, done: asyncio.Future[None]) -> None:
        self._cpe, self._tally, self._done = cpe, tally, done
        self._buffer = b''
        self._auth = self._cookie = b''
        self._need = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._post(self._cpe.inform())

    def _post(self, body: bytes) -> None:
        self._tally.requests += 1
        kind = b'Content-Type: text/xml; charset=utf-8\r\nSOAPAction: \r\n' if body else b''
        self._transport.write(
            b'POST / HTTP/1.1\r\nHost: acs\r\n%s%s%sContent-Length: %d\r\n\r\n%s'
            % (kind, self._auth, self._cookie, len(body), body)
        )

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        end = self._buffer.find(b'\r\n\r\n')
        if end < 0:
            return
        head = self._buffer[:end]
        length = _LENGTH.search(head)
        size = int(length.group(1)) if length else 0
        if len(self._buffer) < end + 4 + size:
            return
        body, self._buffer = self._buffer[end + 4 : end + 4 + size], b''
        self._on_answer(head[9:12], head, body)

    def _on_answer(self, status: bytes, head: bytes, body: bytes) -> None:
        if status == b'401' and not self._auth:
            self._login(head)
            self._post(self._cpe.inform())
        elif status == b'204':
            self._tally.sessions += 1
            self._finish()
        elif status != b'200':
            self._finish(f'HTTP {status.decode()} {body[:200].decode(errors="replace")}')
        elif b'InformResponse' in body:
            cookie = _COOKIE.search(head)
            self._cookie = b'Cookie: %s\r\n' % cookie.group(1) if cookie else b''
            self._post(b'')
        else:
            self._post(self._cpe.answer(body.decode()))

    def _login(self, head: bytes) -> None:
        found = _NONCE.search(head)
        nonce = found.group(1).decode() if found else ''
        user = self._cpe.id
        ha1, ha2 = _md5(f'{user}:acs:{self._cpe.password}'), _md5('POST:/')
        response = _md5(f'{ha1}:{nonce}:00000001:0a4f113b:auth:{ha2}')
        self._auth = (
            f'Authorization: Digest username="{user}", realm="acs", nonce="{nonce}", uri="/",'
            f' response="{response}", qop=auth, nc=00000001, cnonce="0a4f113b"\r\n'
        ).encode()

    def _finish(self, error: str = '') -> None:
        if error:
            self._tally.errors.append(f'{self._cpe.serial}: {error}')
        self._transport.close()
        if not self._done.done():
            self._done.set_result(None)

    def connection_lost(self, error: Exception | None) -> None:
        if not self._done.done():
            self._tally.errors.append(f'{self._cpe.serial}: the connection was lost: {error}')
            self._done.set_result(None)


async def drive(port: int, cpes: Iterator[LightCpe], concurrency: int, go_on: Callable[[], bool], tally: Tally) -> None:
    """Sessions of `cpes`, `concurrency` at a time, as long as `go_on` says so and there are any left."""
    loop = asyncio.get_running_loop()

    async def worker() -> None:
        for cpe in cpes:
            done: asyncio.Future[None] = loop.create_future()
            try:
                await loop.create_connection(lambda cpe=cpe, done=done: _Session(cpe, tally, done), '127.0.0.1', port)
            except OSError as error:
                tally.errors.append(f'{cpe.serial}: {error}')
                continue
            await done
            if not go_on():
                return

    await asyncio.gather(*(worker() for _ in range(concurrency)))
