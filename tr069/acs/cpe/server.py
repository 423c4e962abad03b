"""The port CPEs talk to: authentication, sessions, back-pressure. It answers; `work.py` decides what to ask."""

from __future__ import annotations

import asyncio
import gzip
import logging
import re
import ssl
import time
import zlib
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from prometheus_client import Counter

from tr069.acs.cpe import work
from tr069.acs.cpe.auth import Authenticator, Refusal, names_another
from tr069.acs.cpe.bodies import BodyReader, charset_of, is_big
from tr069.acs.cpe.context import SessionContext
from tr069.acs.cpe.device_record import device_record
from tr069.acs.cpe.profile_finder import ProfileFinder
from tr069.acs.cpe.session import MAX_ASKED, BadAnswerError, CwmpSession, Outgoing, SessionLostError
from tr069.acs.http import HttpRequest, HttpResponse, HttpServer, Limits
from tr069.acs.metrics import Metrics
from tr069.acs.settings import CpeSide
from tr069.cwmp import encode
from tr069.cwmp import messages as m
from tr069.cwmp.decode import DEFAULT_NAMESPACE
from tr069.cwmp.faults import AcsFault, Fault
from tr069.datamodel.profiles import DeviceProfile
from tr069.errors import CwmpDecodeError, MalformedXmlError

logger = logging.getLogger(__name__)

COOKIE = 'session'
# Some CPEs quote cookies, or put commas between them instead of semicolons.
_COOKIE = re.compile(rf'(?:^|[;,\s]){COOKIE}\s*=\s*"?([A-Za-z0-9_-]+)"?')
_XML = ('Content-Type', 'text/xml; charset="utf-8"')
_XML_HEAD = f'{_XML[0]}: {_XML[1]}\r\n'.encode()
_COOKIE_NAME = COOKIE.encode()
_MAX_FAILURES = 3  # wrong credentials on one connection


@dataclass(slots=True)
class _Peer:
    """What is known of one connection."""

    username: str = ''
    failures: int = 0
    session: CwmpSession | None = None


class CpeServer:
    """One listening port for CPEs. `authenticator` is `None` where anybody is believed (a laboratory)."""

    def __init__(
        self,
        settings: CpeSide,
        context: SessionContext,
        authenticator: Authenticator | None,
        profiles: tuple[DeviceProfile, ...],
        metrics: Metrics,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._settings = settings
        self._context = context
        self._authenticator = authenticator
        self._profiles = ProfileFinder(profiles, context.model_names)
        self._bodies = BodyReader(self._profiles, settings.max_body)
        self._metrics = metrics
        self._clock = clock
        self._sessions: dict[str, CwmpSession] = {}
        self._by_device: dict[str, CwmpSession] = {}
        self._jobs: dict[str, asyncio.Task[None]] = {}  # device → its latest work, while it runs
        self._sweeper: asyncio.Task[None] | None = None
        limits = Limits(
            settings.max_body,
            settings.request_timeout_s,
            settings.session_timeout_s,
            settings.max_connections,
            settings.max_bodies,
        )
        self.http = HttpServer(self.handle, limits, admit=self.admit)
        self._parsers = ThreadPoolExecutor(2, 'acs-parse')
        self._ended: dict[str, Counter] = {}  # finding a label costs more than the rest of an end

    async def start(self, context: ssl.SSLContext | None = None) -> int:
        """Returns the port. Raises `OSError` where it cannot be had."""
        self._sweeper = asyncio.create_task(self._sweep())
        return await self.http.start(self._settings.host, self._settings.port, context)

    async def stop(self) -> None:
        if self._sweeper is not None:
            self._sweeper.cancel()
        await self.http.stop()
        for session in list(self._sessions.values()):
            self._end(session, 'shutdown')
        await asyncio.gather(*self._jobs.values(), return_exceptions=True)
        self._parsers.shutdown()

    @property
    def open_sessions(self) -> int:
        return len(self._sessions)

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(min(1.0, self._settings.session_timeout_s / 4))
            limit = self._clock() - self._settings.session_timeout_s
            for session in [item for item in self._sessions.values() if item.seen < limit]:
                self._end(session, 'timeout')
            self._metrics.sessions_open.set(len(self._sessions))
            self._metrics.connections_open.set(len(self.http.connections))

    def _end(self, session: CwmpSession, how: str, error: SessionLostError | None = None) -> None:
        session.close(error)
        self._sessions.pop(session.id, None)
        if self._by_device.get(session.device_id) is session:
            del self._by_device[session.device_id]
        ended = self._ended.get(how)
        if ended is None:
            ended = self._ended[how] = self._metrics.sessions_ended.labels(how)
        ended.inc()

    # --- one request ----------------------------------------------------------------------------------------------

    def admit(self, request: HttpRequest) -> HttpResponse | None:
        """Judge a request by its head, each for itself: a proxy lends one connection to many CPEs.

        `request.user` becomes who it is from. A request without a credential of its own is believed to be from the
        one who last proved himself on this connection only where it carries the cookie of that one's own session.
        """
        if request.method != 'POST':
            return HttpResponse(405, headers=[('Allow', 'POST')])
        if request.path != self._settings.path:
            return self._refuse(404, 'path', 'CPEs are served elsewhere')
        peer = request.connection.state
        if peer is None:
            peer = request.connection.state = _Peer()
        if self._authenticator is None:
            return None
        given = request.headers.get('authorization')
        if peer.username and not (given and names_another(given, peer.username)):
            session = self._session_of_cookie(request)
            if session is not None and session.user == peer.username:
                request.user = peer.username
                return None
        return self._authenticate(self._authenticator, request, peer)

    def handle(self, request: HttpRequest) -> HttpResponse | Awaitable[HttpResponse]:
        peer = request.connection.state
        encoding = request.headers.get('content-encoding', '').strip().lower()
        charset = charset_of(request.headers.get('content-type', ''))
        if is_big(request.body, encoding):
            return self._handle_aside(request, peer, encoding, charset)
        try:
            body = self._bodies.unpack(request.body, encoding)
            if not body or body.isspace():
                return self._on_empty(request, peer, encoding)
            envelope = self._bodies.read(body, charset, peer.session)
        except CwmpDecodeError as error:
            return self._refuse_envelope(request, peer, error)
        return self._on_envelope(envelope, request, peer, encoding)

    async def _handle_aside(self, request: HttpRequest, peer: _Peer, encoding: str, charset: str) -> HttpResponse:
        """As `handle`, for a big body: it is read in a thread, and the other CPEs go on being served."""

        def read() -> m.Envelope | None:
            body = self._bodies.unpack(request.body, encoding)
            return self._bodies.read_whole(body, charset, peer.session) if body and not body.isspace() else None

        try:
            envelope = await asyncio.get_running_loop().run_in_executor(self._parsers, read)
        except CwmpDecodeError as error:
            return self._refuse_envelope(request, peer, error)
        if envelope is None:
            answer = self._on_empty(request, peer, encoding)
        else:
            answer = self._on_envelope(envelope, request, peer, encoding)
        return answer if isinstance(answer, HttpResponse) else await answer

    def _on_envelope(
        self, envelope: m.Envelope, request: HttpRequest, peer: _Peer, encoding: str
    ) -> HttpResponse | Awaitable[HttpResponse]:
        if isinstance(envelope.message, m.Inform):
            return self._on_inform(envelope, envelope.message, request, peer, encoding)
        return self._on_message(envelope, request, peer, encoding)

    def _refuse_envelope(self, request: HttpRequest, peer: _Peer, error: CwmpDecodeError) -> HttpResponse:
        self._metrics.refusals.labels('envelope').inc()
        session = self._session(request, peer)
        remedy = ''
        if isinstance(error, MalformedXmlError):
            remedy = "; where the model always sends such, set `recover_xml: true` among its profile's quirks"
        logger.info('%s: %s%s', session.device_id if session else request.connection.address, error, remedy)
        if session is not None and session.outstanding is not None:
            lost = BadAnswerError(f'{session.device_id}: its answer cannot be read: {error}{remedy}')
            self._end(session, 'unreadable', lost)
        fault = encode.envelope(encode.fault(error.fault_code, str(error)), DEFAULT_NAMESPACE)
        return HttpResponse(413 if error.fault_code == AcsFault.RESOURCES_EXCEEDED else 400, fault, [_XML])

    def _refuse(self, status: int, why: str, text: str, *, close: bool = False) -> HttpResponse:
        self._metrics.refusals.labels(why).inc()
        headers = [('Content-Type', 'text/plain')]
        if status == 503:
            headers.append(('Retry-After', str(self._settings.retry_after_s)))
        return HttpResponse(status, text.encode(), headers, close)

    def _authenticate(self, authenticator: Authenticator, request: HttpRequest, peer: _Peer) -> HttpResponse | None:
        now, address = self._clock(), request.connection.address
        header = request.headers.get('authorization', '')
        judgement = authenticator.check(header, request.method, request.path, address, now)
        if judgement.refusal is None:
            peer.username = request.user = judgement.username
            return None
        if judgement.refusal in (Refusal.WRONG, Refusal.MALFORMED):
            peer.failures += 1
            self._metrics.refusals.labels('credential').inc()
        stale = judgement.refusal is Refusal.STALE
        head = authenticator.challenge_head(address, now, stale=stale)
        return HttpResponse(401, head=head, close=peer.failures >= _MAX_FAILURES)

    def _reply(self, body: bytes, encoding: str, *cookie: tuple[str, str]) -> HttpResponse:
        headers = [_XML, *cookie]
        if encoding in ('gzip', 'x-gzip'):
            return HttpResponse(200, gzip.compress(body, 3), [*headers, ('Content-Encoding', 'gzip')])
        if encoding == 'deflate':
            return HttpResponse(200, zlib.compress(body, 3), [*headers, ('Content-Encoding', 'deflate')])
        return HttpResponse(200, body, headers)

    # --- Inform ---------------------------------------------------------------------------------------------------

    def _may_speak_for(self, username: str, device: m.DeviceId, key: str) -> bool:
        if self._authenticator is None or username == key:
            return True
        return self._settings.accept_oui_serial and username == device.oui_serial

    def _on_inform(
        self, envelope: m.Envelope, inform: m.Inform, request: HttpRequest, peer: _Peer, encoding: str
    ) -> HttpResponse:
        key = inform.device.key
        if not self._may_speak_for(request.user, inform.device, key):
            logger.warning(
                '%s authenticated as %s and claims to be %s',
                request.connection.address, request.user, key,
            )  # fmt: skip
            return self._refuse(403, 'identity', 'the credential is not of this device', close=True)
        old = self._by_device.get(key)
        if old is not None:
            self._end(old, 'replaced')  # the newest wins: a CPE that starts over has forgotten the old one
        if len(self._sessions) >= self._settings.max_sessions:
            return self._refuse(503, 'busy', 'too many sessions', close=True)
        now = self._clock()
        profile, model_name = self._profiles.find(inform, key)
        session = CwmpSession(
            key, inform, envelope.namespace, profile, request.connection.address, now,
            user=request.user, prefixes=envelope.prefixes,
        )  # fmt: skip
        self._sessions[session.id] = self._by_device[session.device_id] = peer.session = session
        session.model_name = model_name
        record = device_record(key, inform, request.connection.address, now)
        self._context.store.touch(record)
        identities, place = self._context.identities, (record.address, record.connection_request_url)
        if identities.seen(key, *place, record.software_version, now):
            self._metrics.identity_conflicts.inc()
            logger.warning('%s', identities.conflict(key, now))
        self._metrics.informs.inc()
        for warning in envelope.warnings:
            logger.debug('%s: %s', session.device_id, warning)
        body = session.encode(encode.INFORM_RESPONSE, envelope.id)
        if encoding:
            return self._reply(body, encoding, ('Set-Cookie', f'{COOKIE}={session.id}; Path=/'))
        return HttpResponse(
            200, body, head=b'%bSet-Cookie: %b=%b; Path=/\r\n' % (_XML_HEAD, _COOKIE_NAME, session.id.encode())
        )

    # --- everything after it --------------------------------------------------------------------------------------

    def _session_of_cookie(self, request: HttpRequest) -> CwmpSession | None:
        found = _COOKIE.search(request.headers.get('cookie', ''))
        return self._sessions.get(found.group(1)) if found else None

    def _session(self, request: HttpRequest, peer: _Peer) -> CwmpSession | None:
        """By cookie, else by connection; never one of a device this peer has not authenticated as."""
        session = self._session_of_cookie(request)
        if session is None:
            session = peer.session
        if session is None or session.closed or session.user != request.user:
            return None
        session.seen = self._clock()
        return session

    def _on_empty(self, request: HttpRequest, peer: _Peer, encoding: str) -> HttpResponse | Awaitable[HttpResponse]:
        session = self._session(request, peer)
        if session is None:
            return self._refuse(400, 'session', 'a session begins with an Inform')
        if session.outstanding is not None:
            again = session.resend()
            if again is not None:
                return self._send(session, again, encoding)  # it missed our request: once more
            name = type(session.outstanding.request).__name__
            error = BadAnswerError(f'{session.device_id}: answers {name} with an empty POST, however often it is sent')
            self._end(session, 'unanswered', error)
            return HttpResponse(204)
        return self._next(session, None, encoding)

    def _on_message(
        self, envelope: m.Envelope, request: HttpRequest, peer: _Peer, encoding: str
    ) -> HttpResponse | Awaitable[HttpResponse]:
        session = self._session(request, peer)
        if session is None:
            return self._refuse(400, 'session', 'a session begins with an Inform')
        message = envelope.message
        if isinstance(message, m.TransferComplete):
            logger.info('%s: transfer %r: %s', session.device_id, message.command_key, message.fault or 'done')
        reply = _answer_request(message)
        if reply is not None:
            session.asked += 1
            if session.asked > MAX_ASKED:
                self._end(session, 'asks without end')
                return self._refuse(400, 'session', f'more than {MAX_ASKED} requests in one session', close=True)
            return self._reply(session.encode(reply, envelope.id), encoding)
        if isinstance(message, Fault):
            # A label a code: what a CPE makes up must not fill the memory.
            self._metrics.cpe_faults.labels(str(message.code) if 9000 <= message.code < 9900 else 'other').inc()
        if session.outstanding is None or envelope.id not in ('', session.outstanding.id):
            self._end(session, 'out of step')
            return self._refuse(400, 'session', 'this answers nothing that was asked')
        session.outstanding = None
        return self._next(session, envelope, encoding)

    def _next(
        self, session: CwmpSession, envelope: m.Envelope | None, encoding: str
    ) -> HttpResponse | Awaitable[HttpResponse]:
        if not session.tried_work:
            session.tried_work = True
            before = self._jobs.get(session.device_id)
            if before is not None or work.has_work(self._context, session):
                session.expect()
                job = session.work = asyncio.create_task(work.run(self._context, session, before))
                self._jobs[session.device_id] = job
                job.add_done_callback(lambda done: self._forget(session.device_id, done))
        if session.work is None:
            self._end(session, 'done')
            return HttpResponse(204)
        return self._exchange(session, envelope, encoding)

    def _forget(self, device_id: str, job: asyncio.Task[None]) -> None:
        if self._jobs.get(device_id) is job:
            del self._jobs[device_id]

    async def _exchange(self, session: CwmpSession, envelope: m.Envelope | None, encoding: str) -> HttpResponse:
        outgoing = await session.exchange(envelope)
        session.seen = self._clock()
        if outgoing is not None and not session.closed:
            return self._send(session, outgoing, encoding)
        if not session.closed:
            try:
                if session.work is not None:
                    await session.work  # its last write, and its error if it had one
            finally:
                self._end(session, 'done')
        return HttpResponse(204)

    def _send(self, session: CwmpSession, outgoing: Outgoing, encoding: str) -> HttpResponse:
        return self._reply(session.encode(encode.request(outgoing.request), outgoing.id), encoding)


def _answer_request(message: m.FromCpe) -> str | None:
    """The reply to something the CPE asks; `None` where it asks nothing."""
    match message:
        case m.TransferComplete(autonomous=True):
            return encode.AUTONOMOUS_TRANSFER_COMPLETE_RESPONSE
        case m.TransferComplete():
            return encode.TRANSFER_COMPLETE_RESPONSE  # always, even for a command key nobody knows
        case m.GetRPCMethods():
            return encode.RPC_METHODS_RESPONSE
        case m.RequestDownload():
            return encode.REQUEST_DOWNLOAD_RESPONSE
        case m.UnknownRequest(method):
            return encode.fault(AcsFault.METHOD_NOT_SUPPORTED, f'{method} is not supported')
    return None
