"""Standard Webhooks (standardwebhooks.com): HMAC-SHA256 over `id.timestamp.body`, rotated keys, five minutes' window.

An event is `{"type": …, "timestamp": …, "data": {…}}`; docs/billing.md has one of each type. What a payment does not
need is not read: contract and invoice suffice. Of whatever else is said, all that is wrong is refused, by the name of
its field, while the sender listens.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import logging
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, time
from typing import Any, ClassVar

import pydantic
from standardwebhooks import Webhook, WebhookVerificationError

from nornir_tasks.credentials import Credential

from ..base import (
    AdapterSettings,
    EventRefusedError,
    Meaning,
    Parsed,
    SignatureRefusedError,
    SigningKeyError,
    StatementLine,
    Word,
)
from . import standard_webhooks_data as data

__all__ = ('StandardWebhooks', 'StandardWebhooksSettings')

logger = logging.getLogger('netbox_delinquency.billing')

KEY_BYTES = 24  # the least that the specification allows
PREFIX = 'whsec_'
MAX_EVENT_ID = 200
# An unknown name of these is about money: it is kept, shown and counted, never taken for nothing.
MONEY = ('invoice.', 'payment.', 'agreement.', 'contract.', 'dispute.')

INVOICES: dict[str, tuple[Meaning, type[data.Invoice]]] = {
    'invoice.issued': (Meaning.ISSUED, data.Issued),
    'invoice.due_changed': (Meaning.DUE_CHANGED, data.DueChanged),
    'invoice.overdue': (Meaning.OVERDUE, data.Overdue),
    'invoice.partially_paid': (Meaning.PARTIALLY_PAID, data.PartiallyPaid),
    'invoice.clearing': (Meaning.CLEARING, data.Payment),
    'invoice.paid': (Meaning.PAID, data.Payment),
    'invoice.cancelled': (Meaning.CANCELLED, data.Settled),
    'invoice.canceled': (Meaning.CANCELLED, data.Settled),
    'invoice.voided': (Meaning.CANCELLED, data.Settled),
    'invoice.written_off': (Meaning.CANCELLED, data.Settled),
    'invoice.credited': (Meaning.CREDITED, data.Credited),
    'invoice.replaced': (Meaning.REPLACED, data.Replaced),
    'invoice.reinstated': (Meaning.REINSTATED, data.Reinstated),
    'payment.reversed': (Meaning.REVERSED, data.Reversed),
    'payment.refunded': (Meaning.REVERSED, data.Reversed),
    'payment.charged_back': (Meaning.REVERSED, data.Reversed),
}
AGREEMENTS: dict[str, tuple[Meaning, type[data.Agreement]]] = {
    'agreement.made': (Meaning.AGREEMENT_MADE, data.AgreementMade),
    'agreement.instalment_paid': (Meaning.INSTALMENT_PAID, data.Agreement),
    'agreement.kept': (Meaning.AGREEMENT_KEPT, data.Agreement),
    'agreement.broken': (Meaning.AGREEMENT_BROKEN, data.Agreement),
}
DISPUTES: dict[str, tuple[Meaning, type[data.DisputeOpened] | type[data.DisputeClosed]]] = {
    'dispute.opened': (Meaning.DISPUTE_OPENED, data.DisputeOpened),
    'dispute.closed': (Meaning.DISPUTE_CLOSED, data.DisputeClosed),
}
NOTICES: dict[str, tuple[Meaning, type[data.Notice]]] = {
    'notice.sent': (Meaning.NOTICE_SENT, data.NoticeSent),
    'notice.delivered': (Meaning.NOTICE_DELIVERED, data.NoticeDelivered),
    'notice.failed': (Meaning.NOTICE_FAILED, data.Notice),
    'notice.withdrawn': (Meaning.NOTICE_WITHDRAWN, data.Notice),
}
CONTRACTS = {
    'contract.opened': Meaning.CONTRACT_OPENED,
    'contract.changed': Meaning.CONTRACT_CHANGED,
    'contract.suspended': Meaning.CONTRACT_SUSPENDED,
    'contract.closed': Meaning.CONTRACT_CLOSED,
}
# These suffice with contract and invoice: where the time cannot be read, they became so when they were received.
TIMELESS = frozenset({Meaning.CLEARING, Meaning.PAID, Meaning.CANCELLED})


class StandardWebhooksSettings(AdapterSettings):
    """Parameters of a source that speaks Standard Webhooks."""

    ignored_types: list[str] = pydantic.Field(
        default_factory=list, max_length=100,
        description='Types of invoice., payment., agreement., contract. or dispute. that say nothing of what is owed',
    )  # fmt: skip


class StandardWebhooks:
    """The adapter; it keeps nothing."""

    name: ClassVar[str] = 'standard_webhooks'
    settings: ClassVar[type[AdapterSettings]] = StandardWebhooksSettings

    def check_credential(self, credential: Credential) -> None:
        if credential.secret is None:
            raise SigningKeyError('the credential holds no "secret"')
        for field in ('secret', 'previous_secret'):
            secret = getattr(credential, field)
            if secret is not None:
                _check_key(field, secret.get_secret_value())

    def verify(self, credential: Credential, headers: Mapping[str, str], query: Mapping[str, str], body: bytes) -> str:
        """Any of the credential's keys will do, as one replaces the other."""
        if credential.secret is None:
            raise SigningKeyError('the credential holds no "secret"')
        reason = ''
        for field in ('secret', 'previous_secret'):
            secret = getattr(credential, field)
            if secret is None:
                continue
            key = secret.get_secret_value()
            try:
                _check_key(field, key)
            except SigningKeyError:
                # The old key of a rotation is only a courtesy to the sender.
                if field == 'secret':
                    raise
                logger.exception('the old signing key cannot be used')
                continue
            try:
                Webhook(key).verify(body, dict(headers), json_parse=False)
            except WebhookVerificationError as error:
                reason = str(error)
            except (ValueError, RuntimeError) as error:
                # The library lets malformed headers and bodies through as they fail: base64, UTF-8, split.
                reason = f'malformed ({type(error).__name__})'
            else:
                return _event_id(headers)
        raise SignatureRefusedError(reason)

    def event_type(self, body: bytes) -> str:
        return str(_document(body)['type'])

    def parse(self, body: bytes, settings: AdapterSettings) -> Parsed:
        document = _document(body)
        kind = document['type']
        if (word := _one_word(kind, document)) is not None:
            return Parsed([word])
        if kind in CONTRACTS:
            contract = _validated(data.Contract, document)
            return Parsed([_word(CONTRACTS[kind], contract.contract, _at(document, CONTRACTS[kind]))])
        if kind == 'statement':
            return Parsed(_statement(document))
        if kind == 'heartbeat':
            heartbeat = _validated(data.Heartbeat, document)
            return Parsed([Word(Meaning.HEARTBEAT, at=heartbeat.payments_known_until)])
        ignored = settings.ignored_types if isinstance(settings, StandardWebhooksSettings) else ()
        if kind.casefold().startswith(MONEY) and kind not in ignored:
            return Parsed(unrecognised=True, contract=_contract_of(document))
        return Parsed()


def _one_word(kind: str, document: Mapping[str, Any]) -> Word | None:
    """What an event of an invoice, an agreement, a dispute or a notice says; None for other types."""
    if kind in INVOICES:
        meaning, invoice = INVOICES[kind]
        return _invoice(meaning, _validated(invoice, document), _at(document, meaning))
    if kind in AGREEMENTS:
        meaning, agreement = AGREEMENTS[kind]
        return _agreement(meaning, _validated(agreement, document), _at(document, meaning))
    if kind in DISPUTES:
        meaning, dispute = DISPUTES[kind]
        return _dispute(meaning, _validated(dispute, document), _at(document, meaning))
    if kind in NOTICES:
        meaning, notice = NOTICES[kind]
        return _notice(meaning, _validated(notice, document), _at(document, meaning))
    return None


def _check_key(field: str, secret: str) -> None:
    """The key itself is in no message."""
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        raise SigningKeyError(f'"{field}" is not base64, with or without "{PREFIX}" before it') from None
    if len(key) < KEY_BYTES:
        raise SigningKeyError(f'"{field}" is a key of {len(key)} bytes; it needs at least {KEY_BYTES}')


def _event_id(headers: Mapping[str, str]) -> str:
    event_id = {name.lower(): value for name, value in headers.items()}['webhook-id']
    if not 0 < len(event_id) <= MAX_EVENT_ID or not event_id.isprintable():
        raise EventRefusedError(f'webhook-id: 1 to {MAX_EVENT_ID} printable characters')
    return event_id


def _document(body: bytes) -> dict[str, Any]:
    try:
        document = json.loads(body.decode())
    except (ValueError, RecursionError) as error:
        raise EventRefusedError(f'the body is not JSON: {error}') from error
    kind = document.get('type') if isinstance(document, dict) else None
    if not isinstance(kind, str) or not 0 < len(kind) <= 100 or not kind.isprintable():
        raise EventRefusedError('the body is not a JSON object with a "type" of 1 to 100 printable characters')
    return dict(document)


def _validated[M: pydantic.BaseModel](model: type[M], document: Mapping[str, Any]) -> M:
    try:
        return model.model_validate(document.get('data'))
    except pydantic.ValidationError as error:
        problems = '; '.join(
            f'{".".join(("data", *map(str, item["loc"])))}: {item["msg"].removeprefix("Value error, ")}'
            for item in error.errors(include_url=False, include_input=False)
        )
        raise EventRefusedError(problems[:500]) from None


def _at(document: Mapping[str, Any], meaning: Meaning) -> tuple[datetime | None, bool]:
    """The sender's own time, and whether it is a day without an hour: money is dated by the bank's day."""
    try:
        moment = data.Moment.model_validate({'timestamp': document.get('timestamp')}).timestamp
    except pydantic.ValidationError as error:
        if meaning in TIMELESS:
            return None, False
        raise EventRefusedError(f'timestamp: {error.errors()[0]["msg"].removeprefix("Value error, ")}') from None
    if not isinstance(moment, datetime):
        if meaning not in TIMELESS:
            raise EventRefusedError('timestamp: a moment with its offset, as in 2026-09-01T12:00:00-03:00')
        return datetime.combine(moment, time(), UTC), True
    return moment.astimezone(UTC), moment.time() == time()


def _word(meaning: Meaning, contract: str, at: tuple[datetime | None, bool], **values: Any) -> Word:
    return Word(meaning, contract=contract, at=at[0], whole_day=at[1] and at[0] is not None, **values)


def _invoice(meaning: Meaning, said: data.Invoice, at: tuple[datetime | None, bool]) -> Word:
    values = {name: value for name, value in said if name != 'contract' and value is not None}
    for name in ('replaced_by', 'replaces'):
        if name in values:
            values[name] = tuple(values[name])
    return _word(meaning, said.contract, at, **values)


def _agreement(meaning: Meaning, said: data.Agreement, at: tuple[datetime | None, bool]) -> Word:
    made = said if isinstance(said, data.AgreementMade) else None
    return _word(
        meaning, said.contract, at, agreement=said.agreement, until=_end_of(said.until),
        invoices=tuple(made.invoices) if made else (), instalments=made.instalments if made else None,
    )  # fmt: skip


def _dispute(meaning: Meaning, said: data.DisputeOpened | data.DisputeClosed, at: tuple[datetime | None, bool]) -> Word:
    word = _word(meaning, said.contract, at, agreement=said.dispute, invoice=said.invoice)
    if isinstance(said, data.DisputeClosed):
        return replace(word, for_subscriber=said.closed_for == 'subscriber', sum=said.sum)
    return replace(word, sum=said.sum, until=_end_of(said.until))


def _notice(meaning: Meaning, said: data.Notice, at: tuple[datetime | None, bool]) -> Word:
    word = _word(meaning, said.contract, at, agreement=said.notice, kind=said.kind)
    if isinstance(said, data.NoticeDelivered):
        return replace(word, at=said.delivered_at, whole_day=False, channel=said.channel, sent_at=said.sent_at)
    if isinstance(said, data.NoticeSent):
        return replace(word, at=said.sent_at, whole_day=False, channel=said.channel, sent_at=said.sent_at)
    return word


def _statement(document: Mapping[str, Any]) -> list[Word]:
    """One word a contract; and of a complete one of the source one more, which speaks of those that it leaves out."""
    at = _at(document, Meaning.STATEMENT)
    inner = document.get('data')
    if isinstance(inner, dict) and 'contracts' in inner:
        whole = _validated(data.SourceStatement, document)
        name = hashlib.sha256(json.dumps(inner, sort_keys=True).encode()).hexdigest()[:32]
        words = [
            _word(Meaning.STATEMENT, each.contract, at, lines=_lines(each), complete=whole.complete, agreement=name)
            for each in whole.contracts
        ]
        if whole.complete:
            words.append(_word(Meaning.STATEMENT, '', at, complete=True, agreement=name))
        return words
    one = _validated(data.ContractStatement, document)
    return [_word(Meaning.STATEMENT, one.contract, at, lines=_lines(one), complete=one.complete)]


def _lines(said: data.OpenInvoices) -> tuple[StatementLine, ...]:
    return tuple(StatementLine(open_.invoice, open_.due_date, open_.amount) for open_ in said.invoices)


def _end_of(until: date | datetime | None) -> datetime | None:
    """A day lasts until it is over everywhere in the world: relief is not to end too soon."""
    if until is None or isinstance(until, datetime):
        return until
    return datetime.combine(until, time(23, 59, 59), data.LAST_ZONE)


def _contract_of(document: Mapping[str, Any]) -> str:
    """The contract of an event that was not understood, where it names one as those that are."""
    try:
        return data.Contract.model_validate(document.get('data')).contract
    except pydantic.ValidationError:
        return ''
