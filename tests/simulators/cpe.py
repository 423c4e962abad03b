"""A CPE that speaks CWMP, keeps real state and has manners that can be spoilt one by one.

It shares no code with the ACS: its HTTP, digest and SOAP are its own, so that both sides cannot be wrong alike.
Ask it for the truth: `cpe.value(path)`, `cpe.sets`, `cpe.is_cut`.
"""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import re
import zlib
from dataclasses import dataclass, field
from html import unescape
from urllib.parse import quote, urlsplit
from xml.sax.saxutils import escape

from tests.simulators.cpe_trees import (
    INTERNET_098,
    INTERNET_181,
    MANAGEMENT_098,
    MANAGEMENT_181,
    STRING,
    Node,
    Tree,
    tr098,
    tr181,
)

BOOTSTRAP, BOOT, PERIODIC, SCHEDULED = '0 BOOTSTRAP', '1 BOOT', '2 PERIODIC', '3 SCHEDULED'
CONNECTION_REQUEST, TRANSFER = '6 CONNECTION REQUEST', '7 TRANSFER COMPLETE'


@dataclass
class Manners:
    """Every switch off is a polite CPE."""

    no_cookies: bool = False
    comma_cookies: bool = False
    quoted_cookies: bool = False
    stale_cookie: bool = False
    new_connection_each: bool = False  # keeps nothing alive: cookies must carry the session
    soap_prefix: str = 'soap-env'
    cwmp_prefix: str = 'cwmp'
    own_prefixes_only: bool = False  # finds `SOAP-ENV:Body`, and no Body of another spelling
    cwmp_namespace: str = 'urn:dslforum-org:cwmp-1-0'
    old_xsi: bool = False
    no_types: bool = False
    no_status: bool = False
    no_retry_count: bool = False
    no_event: bool = False
    no_id: bool = False
    no_soap_action: bool = False
    charset: str = 'utf-8'
    encoding: str = ''  # gzip or deflate
    chunked: bool = False
    refuses_declaration: bool = False  # cannot read a reply that starts with <?xml
    malformed: bool = False  # a raw control character in the Inform
    root_names_refused: bool = False
    max_names: int = 256
    omit_names: tuple[str, ...] = ()  # left out of answers though they exist
    omit_parameter_key: bool = False
    forgets_parameter_key: bool = False
    accepts_but_ignores: bool = False
    refuses: tuple[str, ...] = ()  # values of these it does not take, whatever they are
    applies_later: bool = False  # Status 1: takes effect after the session
    loses_answer: bool = False  # the socket dies after the set is done, once
    drops_after_401: bool = False  # on its connection request port
    busy_503: int = 0  # connection requests answered 503 first
    resends_empty: bool = False
    answers_nothing: bool = False  # an empty POST to each request
    malformed_answers: bool = False  # a raw control character in each
    no_value_element: tuple[str, ...] = ()  # of these it gives the name only
    types: dict[str, str] = field(default_factory=dict)  # declared otherwise than they are


@dataclass
class Served:
    """One session, as the CPE saw it."""

    rpcs: list[str] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)


class AcsRefusedError(Exception):
    """The ACS answered with an HTTP error; `status` says which."""

    def __init__(self, status: int, body: bytes = b'', headers: dict[str, str] | None = None) -> None:
        super().__init__(f'HTTP {status}: {body[:200]!r}')
        self.status = status
        self.body = body
        self.headers = headers or {}


class LostConnectionError(Exception):
    """The simulated line went down in the middle of a session."""


def _md5(text: str) -> str:
    return hashlib.md5(text.encode()).hexdigest()


def _find(tag: str, xml: str) -> list[str]:
    return [
        unescape(text)
        for text in re.findall(rf'<(?:\w[\w-]*:)?{tag}(?:\s[^>]*)?>(.*?)</(?:\w[\w-]*:)?{tag}>', xml, re.S)
    ]


class Cpe:
    """One device. `base` trees are shared between thousands of devices; each keeps only what differs."""

    def __init__(
        self,
        serial: str,
        *,
        model: str = 'tr098',
        shared_wan: bool = False,
        manufacturer: str = 'Acme',
        oui: str = '00AA11',
        product_class: str = 'Router',
        url: str = '',
        login: tuple[str, str] | None = None,
        manners: Manners | None = None,
        base: Tree | None = None,
    ) -> None:
        self.serial, self.manufacturer, self.oui, self.product_class = serial, manufacturer, oui, product_class
        self.model = model
        self.root = 'InternetGatewayDevice' if model == 'tr098' else 'Device'
        self.base = base if base is not None else (tr098 if model == 'tr098' else tr181)(shared_wan=shared_wan)
        self.changes: dict[str, str] = {}
        self.url, self.login = url, login
        self.manners = manners or Manners()
        self.management_wan = {
            ('tr098', False): MANAGEMENT_098,
            ('tr098', True): INTERNET_098,
            ('tr181', False): MANAGEMENT_181,
            ('tr181', True): INTERNET_181,
        }[model, shared_wan]
        self.faults: dict[str, list[str]] = {}  # RPC name → bodies of <Fault> to give, in turn
        self.sets: list[dict[str, str]] = []  # every SetParameterValues that was carried out
        self.sessions: list[Served] = []
        self.reboots = self.resets = 0
        self.pending: dict[str, str] = {}
        self.events: list[tuple[str, str]] = [(BOOTSTRAP, '')]
        self.called = asyncio.Event()
        self._server: asyncio.Server | None = None
        self._acs: dict[str, str] = {}  # the ACS's digest challenge, kept for one connection
        self._objects = 0

    # --- truth --------------------------------------------------------------------------------------------------------

    @property
    def id(self) -> str:
        parts = (self.oui, self.product_class, self.serial)
        return '-'.join(quote(part, safe='').replace('-', '%2D').replace('.', '%2E') for part in parts)

    def node(self, path: str) -> Node:
        value, kind, writable = self.base.get(path, ('', STRING, True))
        return self.changes.get(path, value), kind, writable

    def value(self, path: str) -> str:
        return self.node(path)[0]

    def force(self, path: str, value: str) -> None:
        """Somebody at the device changes it, past the ACS."""
        self.changes[path] = value

    def paths(self) -> list[str]:
        return sorted(self.base.keys() | self.changes.keys())

    @property
    def is_cut(self) -> bool:
        """True where the WAN that carries management is off: nobody will ever hear of this device again."""
        names = [f'{self.management_wan}.Enable']
        if self.model == 'tr098':
            names.append('InternetGatewayDevice.WANDevice.1.WANCommonInterfaceConfig.EnabledForInternet')
        else:
            names += ['Device.Ethernet.Interface.1.Enable', 'Device.Ethernet.Link.2.Enable']
            names += ['Device.Ethernet.VLANTermination.1.Enable']
        return any(self.value(name) in ('0', 'false') for name in names if name in self.base)

    # --- life ---------------------------------------------------------------------------------------------------------

    def reboot(self, command_key: str | None = None) -> None:
        self.reboots += 1
        self._take_pending()
        self.events = [(BOOT, '')] + ([('M Reboot', command_key)] if command_key is not None else [])

    def factory_reset(self) -> None:
        self.resets += 1
        keep = {path: value for path, value in self.changes.items() if path.endswith('.ConnectionRequestURL')}
        self.changes, self.pending = keep, {}
        self.events = [(BOOTSTRAP, '')]

    def _take_pending(self) -> None:
        self.changes.update(self.pending)
        self.pending = {}

    # --- a session ----------------------------------------------------------------------------------------------------

    async def inform(self, *events: str, max_rounds: int = 60) -> Served:
        """One whole session. Raises `AcsRefusedError`, `LostConnectionError`."""
        if self.is_cut:
            raise LostConnectionError(f'{self.serial}: the management WAN is off')
        self._take_pending()
        served = Served()
        self.sessions.append(served)
        link = _Link(self)
        try:
            due = self.events or [(code, '') for code in (events or (PERIODIC,))]
            answer = await link.post(self._envelope(self._inform_body(due), '1'))
            self.events = []
            if 'InformResponse' not in answer:
                raise AssertionError(f'the Inform was answered with {answer[:200]}')
            reply = ''
            for _ in range(max_rounds):
                answer = await link.post(reply)
                if self.manners.resends_empty and reply == '' and answer:
                    again = await link.post('')
                    assert again == answer, 'a repeated empty POST must get the same request'
                if not answer:
                    return served
                reply = self._serve(answer, served)
                if self.manners.malformed_answers:
                    reply = reply.replace('Header>', 'Header>\x01', 1)
                if self.manners.answers_nothing:
                    reply = ''
                if self.manners.loses_answer and served.rpcs[-1] == 'SetParameterValues':
                    self.manners.loses_answer = False
                    raise LostConnectionError(f'{self.serial}: the line dropped before the answer')
            raise AssertionError(f'the ACS never ended the session: {served.rpcs}')
        finally:
            served.statuses = link.statuses
            await link.close()

    async def ask(self, body: str) -> str:
        """An Inform, then a request of the CPE's own (`TransferComplete`, …); returns the ACS's answer."""
        link = _Link(self)
        try:
            await link.post(self._envelope(self._inform_body(self.events or [(PERIODIC, '')]), '1'))
            self.events = []
            answer = await link.post(self._envelope(body, '2'))
            await link.post('')
            return answer
        finally:
            await link.close()

    def _inform_body(self, events: list[tuple[str, str]]) -> str:
        manners, cwmp = self.manners, self.manners.cwmp_prefix
        names = ['DeviceInfo.HardwareVersion', 'DeviceInfo.SoftwareVersion', 'DeviceInfo.ProvisioningCode']
        names += ['ManagementServer.ConnectionRequestURL', 'ManagementServer.UDPConnectionRequestAddress']
        if not manners.omit_parameter_key:
            names.append('ManagementServer.ParameterKey')
        structs = ''.join(self._struct(f'{self.root}.{name}') for name in names)
        event = ''.join(
            f'<EventStruct><EventCode>{code}</EventCode><CommandKey>{escape(key)}</CommandKey></EventStruct>'
            for code, key in events
        )
        junk = '\x01' if manners.malformed else ''
        return (
            f'<{cwmp}:Inform><DeviceId><Manufacturer>{escape(self.manufacturer)}{junk}</Manufacturer><OUI>{self.oui}</OUI>'
            f'<ProductClass>{escape(self.product_class)}</ProductClass>'
            f'<SerialNumber>{escape(self.serial)}</SerialNumber></DeviceId>'
            + ('' if manners.no_event else f'<Event enc:arrayType="{cwmp}:EventStruct[{len(events)}]">{event}</Event>')
            + '<MaxEnvelopes>1</MaxEnvelopes><CurrentTime>2026-03-01T10:00:00.123-03:00</CurrentTime>'
            + ('' if manners.no_retry_count else '<RetryCount>0</RetryCount>')
            + f'<ParameterList enc:arrayType="{cwmp}:ParameterValueStruct[{len(names)}]">{structs}</ParameterList>'
            f'</{cwmp}:Inform>'
        )

    def _struct(self, path: str) -> str:
        value, kind, _ = self.node(path)
        declared = '' if self.manners.no_types else f' xsi:type="{self.manners.types.get(path, kind)}"'
        content = '' if path in self.manners.no_value_element else f'<Value{declared}>{escape(value)}</Value>'
        return f'<ParameterValueStruct><Name>{path}</Name>{content}</ParameterValueStruct>'

    def _envelope(self, body: str, identifier: str) -> str:
        soap, cwmp = self.manners.soap_prefix, self.manners.cwmp_prefix
        xsi = '1999' if self.manners.old_xsi else '2001'
        header = '' if self.manners.no_id else f'<{cwmp}:ID {soap}:mustUnderstand="1">{identifier}</{cwmp}:ID>'
        return (
            f'<?xml version="1.0" encoding="{self.manners.charset}"?>'
            f'<{soap}:Envelope xmlns:{soap}="http://schemas.xmlsoap.org/soap/envelope/"'
            ' xmlns:enc="http://schemas.xmlsoap.org/soap/encoding/" xmlns:xsd="http://www.w3.org/2001/XMLSchema"'
            f' xmlns:xsi="http://www.w3.org/{xsi}/XMLSchema-instance" xmlns:{cwmp}="{self.manners.cwmp_namespace}">'
            f'<{soap}:Header>{header}</{soap}:Header><{soap}:Body>{body}</{soap}:Body></{soap}:Envelope>'
        )

    # --- RPCs ---------------------------------------------------------------------------------------------------------

    def _serve(self, xml: str, served: Served) -> str:
        if self.manners.refuses_declaration and xml.lstrip().startswith('<?xml'):
            raise AssertionError('this CPE cannot read an XML declaration')
        identifier = (_find('ID', xml) or [''])[0]
        soap, cwmp = r'[\w-]+', r'[\w-]+'
        if self.manners.own_prefixes_only:
            soap, cwmp = re.escape(self.manners.soap_prefix), re.escape(self.manners.cwmp_prefix)
        body = re.search(rf'<{soap}:Body>\s*<{cwmp}:(\w+)', xml)
        assert body is not None, f'this CPE finds no body in {xml}'
        method = body.group(1)
        served.rpcs.append(method)
        queued = self.faults.get(method)
        handler = getattr(self, f'_do_{method}', None)
        if queued:
            answer = self._fault(queued.pop(0))
        elif handler is None:
            answer = self._fault('9000')
        else:
            answer = handler(xml)
        return self._envelope(answer, identifier)

    def _fault(self, text: str) -> str:
        """`text`: a code, or a code and the inside of the fault (`9003<SetParameterValuesFault>…`)."""
        code, inner = text[:4], text[4:]
        soap, cwmp = self.manners.soap_prefix, self.manners.cwmp_prefix
        return (
            f'<{soap}:Fault><faultcode>Client</faultcode><faultstring>CWMP fault</faultstring><detail><{cwmp}:Fault>'
            f'<FaultCode>{code}</FaultCode><FaultString>simulated</FaultString>{inner}</{cwmp}:Fault></detail>'
            f'</{soap}:Fault>'
        )

    @staticmethod
    def parameter_fault(path: str, code: int) -> str:
        return (
            f'9003<SetParameterValuesFault><ParameterName>{path}</ParameterName><FaultCode>{code}</FaultCode>'
            '<FaultString>simulated</FaultString></SetParameterValuesFault>'
        )

    def _response(self, method: str, inner: str) -> str:
        cwmp = self.manners.cwmp_prefix
        return f'<{cwmp}:{method}Response>{inner}</{cwmp}:{method}Response>'

    def _status(self, method: str, status: int = 0, extra: str = '') -> str:
        return self._response(method, extra + ('' if self.manners.no_status else f'<Status>{status}</Status>'))

    def _do_GetParameterValues(self, xml: str) -> str:
        names = _find('string', xml)
        if len(names) > self.manners.max_names:
            return self._fault('9004')
        found: list[str] = []
        for name in names:
            below = [path for path in self.paths() if path == name or (name.endswith('.') and path.startswith(name))]
            if not below:
                return self._fault('9005')
            found += below
        structs = ''.join(self._struct(path) for path in found if path not in self.manners.omit_names)
        return self._response('GetParameterValues', f'<ParameterList>{structs}</ParameterList>')

    def _do_GetParameterNames(self, xml: str) -> str:
        path, next_level = _find('ParameterPath', xml)[0], _find('NextLevel', xml)[0] == '1'
        if self.manners.root_names_refused and path.count('.') == 1:
            return self._fault('9003')
        found: dict[str, bool] = {}
        for name in self.paths():
            if not name.startswith(path):
                continue
            rest = name[len(path) :]
            if next_level and '.' in rest:
                found[path + rest.partition('.')[0] + '.'] = False
            else:
                found[name] = self.node(name)[2]
        if not found:
            return self._fault('9005')
        structs = ''.join(
            f'<ParameterInfoStruct><Name>{name}</Name><Writable>{int(may)}</Writable></ParameterInfoStruct>'
            for name, may in found.items()
        )
        return self._response('GetParameterNames', f'<ParameterList>{structs}</ParameterList>')

    def _do_SetParameterValues(self, xml: str) -> str:
        wanted: dict[str, str] = {}
        problems = ''
        for struct in _find('ParameterValueStruct', re.sub(r'&', '&amp;', xml)):
            name = _find('Name', struct)[0]
            raw = re.search(r'<Value xsi:type="([^"]*)">(.*?)</Value>', struct, re.S)
            assert raw is not None, struct
            assert name not in wanted, f'{name} comes twice'
            wanted[name] = unescape(raw.group(2))
            code = 0
            if name not in self.base and name not in self.changes:
                code = 9005
            elif not self.node(name)[2]:
                code = 9008
            elif raw.group(1) != self.node(name)[1]:
                code = 9006
            elif name in self.manners.refuses:
                code = 9007
            if code:
                problems += self.parameter_fault(name, code)[4:]
        if problems:
            return self._fault('9003' + problems)  # atomic: nothing is set
        key = (_find('ParameterKey', xml) or [''])[0]
        self.sets.append(wanted)
        if self.manners.applies_later:
            self.pending.update(wanted)
        elif not self.manners.accepts_but_ignores:
            self.changes.update(wanted)
        if not self.manners.forgets_parameter_key:
            self.changes[f'{self.root}.ManagementServer.ParameterKey'] = key
        return self._status('SetParameterValues', int(self.manners.applies_later))

    def _do_GetParameterAttributes(self, xml: str) -> str:
        structs = ''.join(
            f'<ParameterAttributeStruct><Name>{name}</Name><Notification>0</Notification>'
            '<AccessList><string>Subscriber</string></AccessList></ParameterAttributeStruct>'
            for name in _find('string', xml)
        )
        return self._response('GetParameterAttributes', f'<ParameterList>{structs}</ParameterList>')

    def _do_SetParameterAttributes(self, xml: str) -> str:
        return self._response('SetParameterAttributes', '')

    def _do_AddObject(self, xml: str) -> str:
        self._objects += 1
        path = _find('ObjectName', xml)[0]
        self.changes[f'{path}{self._objects}.Enable'] = '0'
        return self._status('AddObject', 0, f'<InstanceNumber>{self._objects}</InstanceNumber>')

    def _do_DeleteObject(self, xml: str) -> str:
        path = _find('ObjectName', xml)[0]
        self.changes = {name: value for name, value in self.changes.items() if not name.startswith(path)}
        return self._status('DeleteObject')

    def _do_GetRPCMethods(self, xml: str) -> str:
        names = sorted(name.removeprefix('_do_') for name in dir(self) if name.startswith('_do_'))
        return self._response(
            'GetRPCMethods', '<MethodList>' + ''.join(f'<string>{n}</string>' for n in names) + '</MethodList>'
        )

    def _do_Reboot(self, xml: str) -> str:
        self.reboot((_find('CommandKey', xml) or [''])[0])
        return self._response('Reboot', '')

    def _do_FactoryReset(self, xml: str) -> str:
        self.factory_reset()
        return self._response('FactoryReset', '')

    def _do_Download(self, xml: str) -> str:
        self.events = [(TRANSFER, ''), ('M Download', (_find('CommandKey', xml) or [''])[0])]
        return self._status('Download', 1)

    def _do_ScheduleInform(self, xml: str) -> str:
        self.events = [(SCHEDULED, ''), ('M ScheduleInform', (_find('CommandKey', xml) or [''])[0])]
        return self._response('ScheduleInform', '')

    # --- its connection request port ----------------------------------------------------------------------------------

    async def listen(self) -> None:
        """Open the port for connection requests and put its URL into the tree."""
        self._server = await asyncio.start_server(self._on_call, '127.0.0.1', 0)
        port = self._server.sockets[0].getsockname()[1]
        self.changes[f'{self.root}.ManagementServer.ConnectionRequestURL'] = f'http://127.0.0.1:{port}/cr-{self.serial}'

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()

    async def _on_call(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonce = _md5(self.serial)
        try:
            while True:
                head = (await reader.readuntil(b'\r\n\r\n')).decode()
                if self.manners.busy_503 > 0:
                    self.manners.busy_503 -= 1
                    writer.write(b'HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n')
                elif self._is_login(head, nonce):
                    writer.write(b'HTTP/1.1 204 No Content\r\n\r\n')
                    self.called.set()
                else:
                    challenge = f'Digest realm="cpe", nonce="{nonce}", qop="auth", algorithm=MD5'
                    head = f'HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: {challenge}\r\n'
                    writer.write(f'{head}Content-Length: 0\r\n\r\n'.encode())
                    if self.manners.drops_after_401:
                        await writer.drain()
                        break
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    def _is_login(self, head: str, nonce: str) -> bool:
        given = dict(
            re.findall(r'(\w+)="?([^",\r]+)"?', head.partition('Authorization: Digest ')[2].partition('\r')[0])
        )
        base = f'{self.root}.ManagementServer.ConnectionRequest'
        user, password = self.value(base + 'Username'), self.value(base + 'Password')
        if not given or given.get('username') != user or given.get('nonce') != nonce:
            return False
        ha1, ha2 = _md5(f'{user}:cpe:{password}'), _md5(f'GET:{given["uri"]}')
        return given['response'] == _md5(f'{ha1}:{nonce}:{given["nc"]}:{given["cnonce"]}:{given["qop"]}:{ha2}')


class _Link:
    """The CPE's own small HTTP client: one connection, its cookies and its digest."""

    def __init__(self, cpe: Cpe) -> None:
        self.cpe = cpe
        self.statuses: list[int] = []
        self._parts = urlsplit(cpe.url)
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._challenge: dict[str, str] = {}
        self._count = 0
        self._cookies: dict[str, str] = {'session': 'long-gone'} if cpe.manners.stale_cookie else {}

    async def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = self._reader = None

    async def post(self, xml: str) -> str:
        """The body of the answer, empty for 204. Raises `AcsRefusedError`."""
        for _ in range(3):
            status, headers, body = await self._once(xml)
            self.statuses.append(status)
            if status == 401 and self.cpe.login:
                asked = headers.get('www-authenticate', '')
                self._challenge = dict(re.findall(r'(\w+)="?([^",]+)"?', asked.partition('Digest ')[2]))
                self._count = 0
                continue
            break
        if status == 204:
            return ''
        if status != 200:
            raise AcsRefusedError(status, body, headers)
        if headers.get('content-encoding') == 'gzip':
            body = gzip.decompress(body)
        elif headers.get('content-encoding') == 'deflate':
            body = zlib.decompress(body)
        return body.decode()

    def _authorization(self) -> str:
        if not self.cpe.login or not self._challenge:
            return ''
        self._count += 1
        user, password = self.cpe.login
        realm, nonce = self._challenge['realm'], self._challenge['nonce']
        nc, cnonce, uri = f'{self._count:08x}', 'c0ffee', self._parts.path or '/'
        ha1, ha2 = _md5(f'{user}:{realm}:{password}'), _md5(f'POST:{uri}')
        response = _md5(f'{ha1}:{nonce}:{nc}:{cnonce}:auth:{ha2}')
        return (
            f'Digest username="{user}", realm="{realm}", nonce="{nonce}", uri="{uri}", response="{response}",'
            f' qop=auth, nc={nc}, cnonce="{cnonce}"'
        )

    async def _once(self, xml: str) -> tuple[int, dict[str, str], bytes]:
        manners = self.cpe.manners
        if self._writer is None:
            self._reader, self._writer = await asyncio.open_connection(
                self._parts.hostname, self._parts.port, limit=1 << 20
            )
        body = xml.encode(manners.charset)
        lines = [f'POST {self._parts.path or "/"} HTTP/1.1', f'Host: {self._parts.netloc}']
        if manners.encoding and body:
            body = gzip.compress(body) if manners.encoding == 'gzip' else zlib.compress(body)
            lines.append(f'Content-Encoding: {manners.encoding}')
        if xml:
            lines.append(f'Content-Type: text/xml; charset={manners.charset}')
            if not manners.no_soap_action:
                lines.append('SOAPAction:')
        if self._cookies and not manners.no_cookies:
            quote_mark = '"' if manners.quoted_cookies else ''
            pairs = [f'{name}={quote_mark}{value}{quote_mark}' for name, value in self._cookies.items()]
            if manners.comma_cookies:
                pairs = ['other=1', *pairs, 'last=2']
            lines.append('Cookie: ' + (', ' if manners.comma_cookies else '; ').join(pairs))
        authorization = self._authorization()
        if authorization:
            lines.append(f'Authorization: {authorization}')
        if manners.chunked and body:
            lines.append('Transfer-Encoding: chunked')
            middle = len(body) // 2 or 1
            body = (
                b''.join(b'%x\r\n%s\r\n' % (len(part), part) for part in (body[:middle], body[middle:]) if part)
                + b'0\r\n\r\n'
            )
        else:
            lines.append(f'Content-Length: {len(body)}')
        self._writer.write('\r\n'.join(lines).encode() + b'\r\n\r\n' + body)
        try:
            await self._writer.drain()
            answer = await self._read()
        except (ConnectionError, asyncio.IncompleteReadError) as error:
            raise LostConnectionError(str(error)) from error
        if manners.new_connection_each or answer[1].get('connection', '').lower() == 'close':
            await self.close()
        return answer

    async def _read(self) -> tuple[int, dict[str, str], bytes]:
        assert self._reader is not None
        head = (await self._reader.readuntil(b'\r\n\r\n')).decode()
        status_line, *lines = head.split('\r\n')
        headers: dict[str, str] = {}
        for line in lines:
            name, _, value = line.partition(':')
            headers.setdefault(name.strip().lower(), value.strip())
        for cookie in re.findall(r'(?im)^set-cookie:\s*([^=]+)=([^;\r]*)', head):
            self._cookies[cookie[0]] = cookie[1]
        body = await self._reader.readexactly(int(headers.get('content-length', '0')))
        return int(status_line.split()[1]), headers, body
