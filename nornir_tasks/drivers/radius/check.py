"""Whether NASes can be told anything: reachability, secret and clock, found by requests that can change nothing.

Each is a CoA-Request without any change in it, for a session whose name was made up a moment ago. Any verified answer
proves the way and the secret. A NAS drops a wrong Event-Timestamp without a word, exactly as it drops a wrong secret
(RFC 5176 sections 2.3 and 3.3); the two are told apart by asking again with other times.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from nornir_tasks.connections.radius import DynamicAuthorization, NasParameters
from nornir_tasks.drivers.base import Finding
from nornir_tasks.drivers.clock import CLOCK_SKEW
from nornir_tasks.drivers.radius.sessions import NasSession, identity
from nornir_tasks.errors import CredentialMissingError
from nornir_tasks.radius.attributes import encode
from nornir_tasks.radius.causes import CauseMeaning, meaning_of
from nornir_tasks.radius.client import Answer, AnswerKind, Request
from nornir_tasks.radius.dialects import DialectError
from nornir_tasks.radius.packet import Code
from nornir_tasks.radius.retransmission import Retransmission

PROBE = Retransmission(initial=0.4, longest=0.8, count=3, duration=1.8)
WINDOW = 120
YESTERDAY = -86_400
# Every zone's error and what lies between: steps that a window of 300 s to both sides covers.
OTHER_TIMES = (None, *(skew for skew in range(-14 * 3600, 14 * 3600 + 1, 450) if skew))
MOST_IN_WINDOW = 4  # two of them, by the RFC's 300 s; some allow ten minutes
NAS_MISMATCH = 403
CONFIGURATION = (
    NAS_MISMATCH,
    501,
    502,
)  # the way and the secret are right, and every change would be refused all the same


@dataclass(slots=True)
class _Nas:
    """A NAS with what it said, by the skew of the request."""

    parameters: NasParameters
    answers: dict[int | None, Answer] = field(default_factory=dict)

    @property
    def now(self) -> Answer:
        return self.answers[0]

    @property
    def answered(self) -> list[int | None]:
        """The skews that it answered to."""
        return [skew for skew, answer in self.answers.items() if answer.kind in (AnswerKind.ACK, AnswerKind.NAK)]


def check_nases(
    authorization: DynamicAuthorization, nases: Mapping[str, NasParameters], now: datetime
) -> list[Finding]:
    """What there is to say of each NAS, by its address, and of its console; some seconds where some are silent."""
    findings: list[Finding] = []
    known: dict[str, _Nas] = {}
    for address, parameters in nases.items():
        try:
            authorization.secret_of(address, parameters)
        except CredentialMissingError as error:
            findings.append(Finding(f'credential of NAS {address}', ok=False, message=str(error)))
        else:
            known[address] = _Nas(parameters.model_copy(update={'window': WINDOW}))
    _ask(authorization, known, (0, YESTERDAY))
    _ask(authorization, {name: nas for name, nas in known.items() if nas.now.kind is AnswerKind.SILENCE}, OTHER_TIMES)
    for address, nas in known.items():
        findings.append(_reached(address, nas))
        if nas.answered:
            findings.append(_clock(address, nas))
        if nas.parameters.console:
            findings += authorization.consoles.check(address, nas.parameters.console, now)
    return findings


def _ask(authorization: DynamicAuthorization, nases: Mapping[str, _Nas], skews: Sequence[int | None]) -> None:
    requests = {address: [_probe(address, nas.parameters, skew) for skew in skews] for address, nas in nases.items()}
    found = authorization.exchange(
        {name: nas.parameters for name, nas in nases.items()}, requests, retransmission=PROBE
    )
    for address, answers in found.items():
        nases[address].answers |= dict(zip(skews, answers, strict=True))


def _probe(address: str, parameters: NasParameters, skew: int | None) -> Request:
    name = f'nbd-check-{secrets.token_hex(6)}'
    try:
        pairs = identity(NasSession(address, name, name), parameters)
    except DialectError:  # it wants to be told sessions by their address, and an address may be somebody's
        pairs = [('User-Name', name), ('Acct-Session-Id', name)]
    return Request(Code.COA_REQUEST, encode(pairs), name, skew)


def _reached(address: str, nas: _Nas) -> Finding:
    subject = f'NAS {address}'
    if not nas.answered:
        return Finding(subject, ok=False, message=_silence(nas))
    answer = nas.now if 0 in nas.answered else nas.answers[nas.answered[0]]
    if answer.kind is AnswerKind.ACK:
        text = 'answers, and acknowledged a change of a session that does not exist: its word proves nothing'
        trusted = nas.parameters.trust_acknowledgement
        if trusted:
            text += '; set "trust_acknowledgement" to false, and "live" to "disconnect", or name its console'
        return Finding(subject, ok=not trusted, message=text)
    if answer.error_cause in CONFIGURATION:
        return Finding(subject, ok=False, message=f'answers, but {answer.message}{_identity_hint(answer)}')
    if meaning_of(answer.error_cause) is CauseMeaning.NO_SESSION:
        return Finding(subject, ok=True, message='answers: it has no such session, as it should (503)')
    return Finding(subject, ok=True, message=f'answers, though not as to an unknown session: {answer.message}')


def _identity_hint(answer: Answer) -> str:
    """Some want to be named in each request (accel-ppp's `require-nas-identification`)."""
    if answer.error_cause != NAS_MISMATCH:
        return ''
    return '; where it wants to be named, add "NAS-IP-Address" to "identity"'


def _silence(nas: _Nas) -> str:
    parameters = nas.parameters
    if nas.now.kind is AnswerKind.NOT_SENT:
        return f'nothing could be sent: {nas.now.message}'
    if parameters.require_message_authenticator and any(answer.rejected for answer in nas.answers.values()):
        return (
            'answers, and none of them is signed: accel-ppp, for one, sends no Message-Authenticator; set '
            '"require_message_authenticator" to false, and keep the way to this NAS to itself'
        )
    return (
        f'{nas.now.message}, whatever their time: is dynamic authorization on there at UDP port {parameters.coa_port}, '
        'does it take requests from this address, with this secret, and does no filter stand between?'
    )


def _clock(address: str, nas: _Nas) -> Finding:
    subject = f'clock of NAS {address}'
    seen = nas.answered
    if 0 in seen:
        text = f'less than {CLOCK_SKEW} s apart: a request of yesterday is dropped'
        if YESTERDAY in seen:
            text = 'does not matter to it: it answers a request of yesterday, so an old one can be played to it again'
        return Finding(subject, ok=True, message=text)
    times = [skew for skew in seen if skew is not None]
    if len(times) > MOST_IN_WINDOW:
        text = f'answers requests of {len(times)} other times, and not that of now: datagrams are lost on the way'
        return Finding(subject, ok=False, message=text, required=False)
    if times:
        skew = sum(times) // len(times)
        apart = f'about {abs(skew) // 60} minutes {"ahead" if skew > 0 else "behind"}'
    else:
        apart = 'off by more than half a day (never set?): only a request without an Event-Timestamp is answered'
    return Finding(
        subject, ok=False, message=f'its clock is {apart}, so it drops every change without a word: set up NTP there'
    )
