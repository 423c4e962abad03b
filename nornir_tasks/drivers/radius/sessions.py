"""What is sent for one session, step by step, and what the answers say of the row. Pure but for the sending itself."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from nornir_tasks.change import AccessState, Mode, Reply
from nornir_tasks.connections.radius import DynamicAuthorization, NasParameters
from nornir_tasks.radius.attributes import Pair, encode, nas_address
from nornir_tasks.radius.causes import CauseMeaning, meaning_of
from nornir_tasks.radius.client import Answer, AnswerKind, Request, Stop
from nornir_tasks.radius.dialects import Dialect, DialectError, get_dialect, values_for
from nornir_tasks.radius.packet import Code


@dataclass(frozen=True, slots=True)
class NasSession:
    """A session as accounting (or the line itself) knows it; empty text is not known."""

    nas: str
    username: str = ''
    session_id: str = ''
    ipv4: str = ''
    unique: str = ''

    @property
    def key(self) -> str:
        """Names it among all NASes."""
        return f'{self.nas}/{self.unique or self.session_id or self.username or self.ipv4}'


@dataclass(frozen=True, slots=True)
class SessionChange:
    """One row: the session and what is sent for it, one request after the other. `key` is the change's."""

    key: str
    session: NasSession
    requests: tuple[Request, ...]

    @property
    def disconnects(self) -> bool:
        return any(request.code is Code.DISCONNECT_REQUEST for request in self.requests)


# Seconds before a NAS that lacks resources (506) is asked again; the same request does no harm twice.
RETRY_PAUSES = (1.0, 4.0)
STOPPED = Answer(AnswerKind.NOT_SENT, message='not sent: the work was stopped')


def identity(session: NasSession, parameters: NasParameters) -> list[Pair]:
    """Attributes that identify the session. Raises `DialectError` where nothing is known that would."""
    known = {
        'User-Name': session.username,
        'Acct-Session-Id': session.session_id,
        'Framed-IP-Address': session.ipv4,
        'NAS-IP-Address': session.nas,
        'NAS-IPv6-Address': session.nas,
    }
    wanted = parameters.identity or get_dialect(parameters.dialect).identity
    pairs: list[Pair] = []
    for name in wanted:
        if name in ('NAS-IP-Address', 'NAS-IPv6-Address'):
            pairs.append(nas_address(session.nas))
        elif known.get(name):
            pairs.append((name, known[name]))
    if not any(name in ('User-Name', 'Acct-Session-Id', 'Framed-IP-Address') for name, _ in pairs):
        raise DialectError(f'none of {", ".join(wanted)} is known of this session, so it cannot be told from others')
    if parameters.operator_nas_identifier:
        pairs.append(('Operator-NAS-Identifier', parameters.operator_nas_identifier))
    if parameters.operator_name:
        pairs.append(('Operator-Name', parameters.operator_name))
    return pairs


def plan_work(
    key: str,
    session: NasSession,
    parameters: NasParameters,
    before: AccessState | None,
    desired: AccessState,
    contracted: tuple[int | None, int | None],
    stored: bool,
) -> SessionChange:
    """What to send to bring a session to `desired`. `stored`: the stored policy already is, so a reconnect brings it.

    Raises `DialectError` and `AttributeValueError` where it cannot be said; nothing is sent then. A restore whose
    values are not known ends the session, where the stored policy is right.
    """
    dialect = get_dialect(parameters.dialect)
    who = identity(session, parameters)
    steps = None
    if parameters.live == 'coa':
        try:
            steps = _steps(dialect, parameters, before, desired, contracted)
        except DialectError:
            # A restore needs no rate and no name: the session ends, and comes back with what is stored.
            if not (stored and desired.mode is Mode.NORMAL):
                raise
    if steps is None:
        if not stored:
            raise DialectError(
                f'dialect "{dialect.name}" reaches {desired} only by a reconnect, and there is no stored policy'
            )
        return SessionChange(key, session, (Request(Code.DISCONNECT_REQUEST, encode(who), session.key),))
    return SessionChange(
        key, session, tuple(Request(Code.COA_REQUEST, encode([*who, *step]), session.key) for step in steps)
    )


def _steps(
    dialect: Dialect,
    parameters: NasParameters,
    before: AccessState | None,
    desired: AccessState,
    contracted: tuple[int | None, int | None],
) -> list[list[Pair]] | None:
    names: Mapping[str, str] = {str(mode): name for mode, name in parameters.names.items()}
    old = ''
    if before is not None:
        old = values_for(before, contracted, names.get(str(before.mode), '')).get('name', '')
    values = values_for(desired, contracted, names.get(str(desired.mode), ''), old)
    return dialect.requests(before, desired, values)


def send_work(
    authorization: DynamicAuthorization,
    nases: Mapping[str, NasParameters],
    rows: Sequence[SessionChange],
    must_stop: Callable[[], bool] = lambda: False,
) -> dict[str, Answer]:
    """The last answer of each row, by key. A row's next request goes out when the one before was acknowledged.

    `must_stop` is asked before the first request and after each answer to one: once it says True no row is begun any
    more, and those that were not have `STOPPED`. What was begun is brought to its end.
    """
    if must_stop():
        return dict.fromkeys((row.key for row in rows), STOPPED)

    def stop(answer: Answer) -> str:
        return stop_sentence(answer) or (STOPPED.message if must_stop() else '')

    answers: dict[str, Answer] = {}
    step = 0
    going = list(rows)
    stops: dict[str, str] = {}
    while going:
        found = _send(authorization, nases, going, step, stop_sentence if step else stop)
        for pause in RETRY_PAUSES:
            busy = [row for row in going if _is_busy(found[row.key])]
            if not busy or must_stop():
                break
            time.sleep(pause)
            found |= _send(authorization, nases, busy, step, stop_sentence)
        for row in going:
            answers[row.key] = found[row.key]
            if sentence := stop_sentence(found[row.key]):
                stops[row.session.nas] = sentence
        step += 1
        going = [row for row in going if answers[row.key].kind is AnswerKind.ACK and len(row.requests) > step]
        for row in going:
            if row.session.nas in stops:
                text = f'only {step} of {len(row.requests)} requests were sent: {stops[row.session.nas]}'
                answers[row.key] = Answer(AnswerKind.NAK, None, text)
        going = [row for row in going if row.session.nas not in stops]
    return answers


def _send(
    authorization: DynamicAuthorization,
    nases: Mapping[str, NasParameters],
    rows: Sequence[SessionChange],
    step: int,
    stop: Stop,
) -> dict[str, Answer]:
    """Send one request of each row; the answers by key."""
    order: dict[str, list[SessionChange]] = {}
    for row in rows:
        order.setdefault(row.session.nas, []).append(row)
    requests = {nas: [row.requests[step] for row in own] for nas, own in order.items()}
    answers: dict[str, Answer] = {}
    for nas, found in authorization.exchange(nases, requests, stop).items():
        for row, answer in zip(order[nas], found, strict=True):
            is_stopped = answer.kind is AnswerKind.NOT_SENT and answer.message == STOPPED.message
            answers[row.key] = STOPPED if is_stopped else _partial(answer, step)
    return answers


def _is_busy(answer: Answer) -> bool:
    """The NAS lacks resources right now, or a proxy did (505, 506)."""
    refused = answer.kind is AnswerKind.NAK and answer.error_cause is not None
    return refused and meaning_of(answer.error_cause) is CauseMeaning.RETRY


def _partial(answer: Answer, step: int) -> Answer:
    """A later request that failed leaves an earlier one done."""
    if step == 0 or answer.kind is AnswerKind.ACK:
        return answer
    text = f'request 1 to {step} were acknowledged, the next was not: {answer.message}'
    return Answer(answer.kind, answer.error_cause, text, answer.transmissions, answer.rejected)


def stop_sentence(answer: Answer) -> str:
    """A refusal that every other line of the NAS would get too ends the sending to it."""
    wrong = (CauseMeaning.WRONG_DIALECT, CauseMeaning.CONFIGURATION)
    if answer.kind is AnswerKind.NAK and answer.error_cause is not None and meaning_of(answer.error_cause) in wrong:
        return f'not sent, for another line got: {answer.message}'
    return ''


def is_gone(answer: Answer) -> bool:
    """The NAS has no such session: the line is offline whatever accounting says."""
    return answer.kind is AnswerKind.NAK and meaning_of(answer.error_cause) is CauseMeaning.NO_SESSION


def is_unexplained(answer: Answer) -> bool:
    """Refused without an Error-Cause, perhaps half way: an acknowledgement of the same later on proves nothing."""
    return answer.kind is AnswerKind.NAK and answer.error_cause is None


def reply_of(answer: Answer) -> Reply:
    if answer is STOPPED:
        return Reply(None, sent=False)
    accepted = {AnswerKind.ACK: True, AnswerKind.SILENCE: None}.get(answer.kind, False)
    return Reply(accepted, answer.message)


def reply_of_all(answers: Sequence[Answer]) -> Reply:
    """What a row's sessions answered, in one: those that are gone need nothing, the worst of the others counts."""
    there = [answer for answer in answers if not is_gone(answer)] or answers[:1]
    order = [AnswerKind.NAK, AnswerKind.SILENCE, AnswerKind.NOT_SENT, AnswerKind.ACK]
    return reply_of(min(there, key=lambda answer: order.index(answer.kind)))
