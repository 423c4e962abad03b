"""Standard Webhooks (standardwebhooks.com): HMAC-SHA256 over `id.timestamp.body`, rotated keys, five minutes' window.

The event we read:

    {"type": "invoice.overdue", "timestamp": "2026-11-23T12:00:00Z",
     "data": {"contract": "C-1001", "invoice": "2026-10-1001", "due_date": "2026-10-10", "amount": "99.90"}}

`invoice.clearing` (paid, and the bank has not settled it yet) and `invoice.paid` need no `due_date` and no `amount`.
`notice.delivered` has `contract`, `notice` (its reference) and `delivered_at`, and may have `kind`, `channel` and
`sent_at`; its times carry an offset and lie in the past. Other types are stored and have no effect.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Annotated, Literal

import pydantic
from standardwebhooks import Webhook, WebhookVerificationError

from nornir_tasks.credentials import Credential

from .events import EventRefusedError, InvoiceFact, Meaning, NoticeFact, SignatureRefusedError

NOTICE = 'notice.delivered'
MEANINGS = {
    'invoice.overdue': Meaning.OVERDUE,
    'invoice.clearing': Meaning.CLEARING,
    'invoice.paid': Meaning.PAID,
}
PAYMENTS = [kind for kind, meaning in MEANINGS.items() if meaning is not Meaning.OVERDUE]


# No control characters: PostgreSQL refuses NUL in text, and no billing system has any in its identifiers.
Identifier = Annotated[str, pydantic.Field(min_length=1, max_length=100, pattern=r'^[^\x00-\x1f\x7f]+$')]


class _Part(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(hide_input_in_errors=True)


class _Data(_Part):
    contract: Identifier
    invoice: Identifier
    due_date: date | None = pydantic.Field(default=None, ge=date(2000, 1, 1), le=date(2100, 1, 1))
    amount: Decimal | None = pydantic.Field(default=None, ge=0, max_digits=12, decimal_places=2)


class _Notice(_Part):
    contract: Identifier
    notice: Identifier
    kind: Literal['reminder', 'suspension', 'termination'] = 'suspension'
    channel: Literal['letter', 'email', 'sms', 'app', 'portal', 'invoice', 'other'] = 'other'
    sent_at: pydantic.AwareDatetime | None = None
    delivered_at: pydantic.AwareDatetime


class _NoticeEvent(_Part):
    type: Literal['notice.delivered']
    timestamp: pydantic.AwareDatetime
    data: _Notice


class _InvoiceEvent(_Part):
    type: Literal['invoice.overdue', 'invoice.clearing', 'invoice.paid']
    timestamp: pydantic.AwareDatetime
    data: _Data


def verify(credential: Credential, headers: Mapping[str, str], body: bytes) -> str:
    """Check the signature by any of the credential's keys; returns the sender's event id.

    Raises `SignatureRefusedError` for whatever is wrong with it: missing headers, old or future timestamp, wrong key.
    """
    reason = 'the credential holds no secret'
    for key in (credential.secret, credential.previous_secret):
        if key is None:
            continue
        try:
            Webhook(key.get_secret_value()).verify(body, dict(headers), json_parse=False)
        except WebhookVerificationError as error:
            reason = str(error)
        except (ValueError, RuntimeError) as error:
            # The library lets malformed headers, keys and bodies through as they fail: base64, UTF-8, split.
            reason = f'malformed ({type(error).__name__})'
        else:
            return {name.lower(): value for name, value in headers.items()}['webhook-id']
    raise SignatureRefusedError(reason)


def event_type(body: str) -> str:
    """The event's type. Raises `EventRefusedError` where the body is not a JSON object with one."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise EventRefusedError(f'the body is not JSON: {error}') from error
    kind = document.get('type') if isinstance(document, dict) else None
    if not isinstance(kind, str) or not 0 < len(kind) <= 100 or not kind.isprintable():
        raise EventRefusedError('the body is not a JSON object with a "type" of 1 to 100 printable characters')
    return kind


def parse(body: str) -> InvoiceFact | NoticeFact | None:
    """What the event says; `None` for a type that means nothing to us. Raises `EventRefusedError`."""
    kind = event_type(body)
    if kind not in MEANINGS and kind != NOTICE:
        return None
    model = _NoticeEvent if kind == NOTICE else _InvoiceEvent
    try:
        event = model.model_validate_json(body)
    except pydantic.ValidationError as error:
        problems = '; '.join(f'{".".join(map(str, item["loc"]))}: {item["msg"]}' for item in error.errors())
        raise EventRefusedError(problems) from error
    if isinstance(event, _NoticeEvent):
        data = event.data
        if data.sent_at and data.sent_at > data.delivered_at:
            raise EventRefusedError('data.sent_at: a notice is not delivered before it is sent')
        return NoticeFact(data.contract, data.notice, data.kind, data.channel, data.sent_at, data.delivered_at)
    meaning = MEANINGS[event.type]
    if meaning is Meaning.OVERDUE and event.data.due_date is None:
        raise EventRefusedError('data.due_date: an overdue invoice has one')
    return InvoiceFact(
        meaning=meaning,
        contract=event.data.contract,
        invoice=event.data.invoice,
        occurred_at=event.timestamp,
        due_date=event.data.due_date,
        amount=event.data.amount,
    )
