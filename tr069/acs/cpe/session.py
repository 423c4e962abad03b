"""A CWMP session: from the Inform to the empty answer. What is *done* in it is `work.py`'s; this is the talk."""

from __future__ import annotations

import asyncio
import secrets
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from dataclasses import dataclass

from tr069.cwmp import encode
from tr069.cwmp.messages import ANSWERS, PREFIXES, Answer, Envelope, FromCpe, Inform, Prefixes, Request
from tr069.datamodel.profiles import DeviceProfile
from tr069.errors import Tr069Error


def _random_ids() -> Iterator[str]:
    """96 bits each, from the system's randomness; many at a time, for a system call costs more than all the rest."""
    while True:
        pool = secrets.token_bytes(12 * 256)
        for start in range(0, len(pool), 12):
            yield urlsafe_b64encode(pool[start : start + 12]).decode()


_ids = _random_ids()


MAX_RPCS = 2000  # a session; the greatest profile, read and put back value by value, takes some 800
MAX_RESENT = 2  # times that a request is sent anew to a CPE which answers it with an empty POST
MAX_ASKED = 100  # requests of the CPE's own a session


class SessionLostError(Tr069Error):
    """The CPE went away before it answered. Whether it did what was asked is unknown."""


class BadAnswerError(SessionLostError):
    """The CPE is there, and what it says is no answer: asking once more would bring the same."""


class SessionFullError(SessionLostError):
    """So many RPCs are enough for one session. What is left waits for the next."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    id: str
    request: Request


class CwmpSession:
    """`ask` is called by the work, `exchange` by the HTTP side; each waits for the other."""

    __slots__ = (
        '_answer',
        '_count',
        '_outgoing',
        '_resent',
        'address',
        'asked',
        'closed',
        'device_id',
        'id',
        'inform',
        'model_name',
        'namespace',
        'outstanding',
        'prefixes',
        'profile',
        'seen',
        'tried_work',
        'user',
        'work',
    )

    def __init__(
        self, device_id: str, inform: Inform, namespace: str, profile: DeviceProfile, address: str, now: float,
        *, user: str = '', prefixes: Prefixes = PREFIXES,
    ) -> None:  # fmt: skip
        self.id = next(_ids)
        self.device_id = device_id
        self.inform = inform
        self.model_name = ''
        self.namespace = namespace
        self.prefixes = prefixes
        self.profile = profile
        self.address = address
        self.user = user  # who opened it, as authenticated
        self.seen = now
        self.work: asyncio.Task[None] | None = None
        self.tried_work = False
        self.outstanding: Outgoing | None = None
        self.closed = False
        self.asked = 0  # requests of the CPE's own
        self._count = 0
        self._resent = 0
        self._outgoing: asyncio.Future[Outgoing | None] | None = None
        self._answer: asyncio.Future[FromCpe] | None = None

    def encode(self, body: str, identifier: str = '') -> bytes:
        declaration = self.profile.quirks.xml_declaration
        return encode.envelope(body, self.namespace, identifier, declaration=declaration, prefixes=self.prefixes)

    # --- the work's side ----------------------------------------------------------------------------------------------

    async def ask(self, request: Request) -> Answer:
        """Send one RPC and wait for its answer or fault. Raises `SessionLostError`."""
        if self.closed or self._outgoing is None:
            raise SessionLostError(f'{self.device_id}: the session is over')
        if self.is_full:
            raise SessionFullError(f'{self.device_id}: {MAX_RPCS} RPCs in one session; the rest waits for the next')
        self._count += 1
        self._resent = 0
        self._answer = asyncio.get_running_loop().create_future()
        self._outgoing.set_result(Outgoing(f'{self.id}-{self._count}', request))
        answer = await self._answer
        if not isinstance(answer, ANSWERS):
            raise SessionLostError(f'{self.device_id}: answered {type(answer).__name__} to {type(request).__name__}')
        return answer

    @property
    def is_full(self) -> bool:
        return self._count >= MAX_RPCS

    def finish(self) -> None:
        """The work has nothing more to ask."""
        if self._outgoing is not None and not self._outgoing.done():
            self._outgoing.set_result(None)

    # --- the HTTP side ------------------------------------------------------------------------------------------------

    def expect(self) -> None:
        self._outgoing = asyncio.get_running_loop().create_future()

    async def exchange(self, envelope: Envelope | None) -> Outgoing | None:
        """Hand the CPE's answer to the work and wait for what it asks next; `None` where it is done."""
        if self._outgoing is None or self.closed:
            return None
        if envelope is not None and self._answer is not None and not self._answer.done():
            self._answer.set_result(envelope.message)
        self.outstanding = await asyncio.shield(self._outgoing)
        if self.outstanding is not None:
            self.expect()  # for what comes after its answer
        return self.outstanding

    def resend(self) -> Outgoing | None:
        """The request that waits for its answer, for a CPE that missed it; `None` where it has had its chances."""
        self._resent += 1
        return self.outstanding if self._resent <= MAX_RESENT else None

    def close(self, error: SessionLostError | None = None) -> None:
        """End it; work that waits for an answer gets `error`."""
        if self.closed:
            return
        self.closed = True
        if self._answer is not None and not self._answer.done():
            lost = SessionLostError(f'{self.device_id}: the session ended before the answer')
            self._answer.set_exception(error or lost)
            self._answer.exception()  # the work may already be gone: do not report it as never retrieved
        self.finish()
