"""What every billing system's words are brought to, and what an adapter of one must be able to do.

A *word* is one thing that billing said: of an invoice, a contract, a notice, or of itself. It holds no personal data,
is kept, and is never an order: what is owed is computed from all the words there are (see `ledger.py`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from functools import cached_property
from typing import Any, ClassVar, Protocol, runtime_checkable

import pydantic

from nornir_tasks.credentials import Credential

from ..errors import DelinquencyError


class BillingError(DelinquencyError):
    """Base of what can be wrong with an inbound event; the text is a sentence for the sender or the operator."""


class SignatureRefusedError(BillingError):
    """The event was not signed with the source's key, or not within the window. Details stay in our log."""


class SigningKeyError(BillingError):
    """Our own signing key cannot be used: too short, or not what the adapter asks for."""


class EventRefusedError(BillingError):
    """The event's data cannot be used; the text names the field."""


class Meaning(StrEnum):
    """What a word says. The values are stored."""

    ISSUED = 'issued'  # the invoice exists; it is not owed before it is said to be overdue
    DUE_CHANGED = 'due_changed'  # another due date, or another sum
    OVERDUE = 'overdue'  # open past its due date
    PARTIALLY_PAID = 'partially_paid'
    CLEARING = 'clearing'  # paid, and the bank has not settled it yet
    PAID = 'paid'
    CANCELLED = 'cancelled'  # cancelled, voided or written off
    CREDITED = 'credited'  # a credit note for all of it, or for a sum
    REPLACED = 'replaced'  # issued anew under another reference
    REINSTATED = 'reinstated'  # whatever settled it was a mistake
    REVERSED = 'reversed'  # a payment went back: refund, chargeback

    AGREEMENT_MADE = 'agreement_made'
    INSTALMENT_PAID = 'instalment_paid'
    AGREEMENT_KEPT = 'agreement_kept'
    AGREEMENT_BROKEN = 'agreement_broken'
    DISPUTE_OPENED = 'dispute_opened'
    DISPUTE_CLOSED = 'dispute_closed'

    NOTICE_SENT = 'notice_sent'
    NOTICE_DELIVERED = 'notice_delivered'
    NOTICE_FAILED = 'notice_failed'
    NOTICE_WITHDRAWN = 'notice_withdrawn'

    CONTRACT_OPENED = 'contract_opened'
    CONTRACT_CHANGED = 'contract_changed'
    CONTRACT_SUSPENDED = 'contract_suspended'
    CONTRACT_CLOSED = 'contract_closed'

    STATEMENT = 'statement'  # all open invoices of a contract, or of the source
    HEARTBEAT = 'heartbeat'


# Words of money that came in, or that need not come in any more: they are processed before all others, and while one of
# them cannot be read or matched nothing becomes more restrictive for whom it may concern.
RELIEVING = frozenset({
    Meaning.DUE_CHANGED, Meaning.PARTIALLY_PAID, Meaning.CLEARING, Meaning.PAID, Meaning.CANCELLED, Meaning.CREDITED,
    Meaning.REPLACED, Meaning.AGREEMENT_MADE, Meaning.INSTALMENT_PAID, Meaning.AGREEMENT_KEPT, Meaning.DISPUTE_OPENED,
    Meaning.NOTICE_FAILED, Meaning.NOTICE_WITHDRAWN, Meaning.STATEMENT,
})  # fmt: skip
# A source is alive while these are heard: debts alone say nothing of whether payments still reach us.
PAYMENTS = frozenset({Meaning.PARTIALLY_PAID, Meaning.CLEARING, Meaning.PAID, Meaning.INSTALMENT_PAID})

ONE_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class StatementLine:
    """One open invoice of a statement."""

    invoice: str
    due_date: date
    amount: Decimal | None = None


@dataclass(frozen=True)
class Word:
    """One thing that billing said. References are billing's own; what a meaning does not need is empty.

    `at` is the sender's own time. `whole_day`: it is a day without an hour, as banks give it, written as its midnight.
    """

    meaning: Meaning
    contract: str = ''
    at: datetime | None = None
    whole_day: bool = False
    invoice: str = ''
    due_date: date | None = None
    amount: Decimal | None = None  # what is open of the invoice after this
    sum: Decimal | None = None  # what was paid in part, credited or disputed
    payment: str = ''
    replaced_by: tuple[str, ...] = ()
    replaces: tuple[str, ...] = ()
    agreement: str = ''  # or dispute, notice, statement: the reference of what the word is about
    invoices: tuple[str, ...] = ()  # that an agreement covers; none: all that were owed
    instalments: int | None = None
    until: datetime | None = None
    for_subscriber: bool = False  # how a dispute was closed
    kind: str = ''
    channel: str = ''
    sent_at: datetime | None = None
    lines: tuple[StatementLine, ...] = ()
    complete: bool = False

    def as_data(self) -> dict[str, Any]:
        """The word as JSON, without what columns of their own hold."""
        kept = {}
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name not in ('meaning', 'contract', 'invoice', 'at') and value != field.default:
                kept[field.name] = _as_json(value)
        return kept

    @classmethod
    def from_data(cls, meaning: str, contract: str, invoice: str, at: datetime | None, data: Mapping[str, Any]) -> Word:
        return cls(
            Meaning(meaning), contract=contract, invoice=invoice, at=at,
            **{name: _READERS.get(name, _same)(value) for name, value in data.items()},
        )  # fmt: skip

    def digest(self, event: str) -> str:
        """The same for the same content, whoever sends it again; without a time of the sender's, only in one event."""
        content = [self.meaning, self.invoice, self.at and self.at.timestamp(), self.as_data()]
        if self.at is None:
            content.append(event)
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class Entry:
    """A word in the ledger, with the moment at which it was received: before that it cannot have become so."""

    word: Word
    received_at: datetime
    event: str = ''

    @cached_property
    def at(self) -> datetime:
        """When it became so. Of a day without an hour, as banks date money, relief counts as late as it can be."""
        at = self.word.at
        if at is None:
            return self.received_at
        as_late = self.word.whole_day and self.word.meaning in RELIEVING
        return min(at + ONE_DAY if as_late else at, self.received_at)

    @cached_property
    def digest(self) -> str:
        return self.word.digest(self.event)

    def of(self, **values: Any) -> Entry:
        """A word that follows from this one, at its time."""
        return Entry(replace(self.word, **values), self.received_at, self.event)


def _as_json(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_as_json(item) for item in value]
    if isinstance(value, StatementLine):
        return [value.invoice, value.due_date.isoformat(), _as_json(value.amount)]
    if isinstance(value, Decimal):
        return format(value.normalize(), 'f')
    return value.isoformat() if isinstance(value, date) else value


def _same(value: Any) -> Any:
    return value


_READERS: dict[str, Any] = {
    'due_date': date.fromisoformat,
    'amount': Decimal,
    'sum': Decimal,
    'until': datetime.fromisoformat,
    'sent_at': datetime.fromisoformat,
    'replaced_by': tuple,
    'replaces': tuple,
    'invoices': tuple,
    'lines': lambda rows: tuple(
        StatementLine(invoice, date.fromisoformat(due), None if amount is None else Decimal(amount))
        for invoice, due, amount in rows
    ),
}  # fmt: skip


class AdapterSettings(pydantic.BaseModel):
    """Parameters of a source by its adapter's own schema; an adapter without any keeps this one."""

    model_config = pydantic.ConfigDict(extra='forbid', hide_input_in_errors=True)


@dataclass(frozen=True, slots=True)
class Parsed:
    """What an event says: its words, or that it is about money and was not understood (`unrecognised`)."""

    words: Sequence[Word] = ()
    unrecognised: bool = False
    contract: str = ''  # where it can be told of an event that was not understood


@runtime_checkable
class Adapter(Protocol):
    """One billing system's way of speaking. Bodies are bytes as they came; none may reach a log."""

    name: ClassVar[str]
    settings: ClassVar[type[AdapterSettings]]

    def check_credential(self, credential: Credential) -> None:
        """Raises `SigningKeyError` for a key that cannot be used."""

    def verify(self, credential: Credential, headers: Mapping[str, str], query: Mapping[str, str], body: bytes) -> str:
        """The sender's own id of the event. Raises `SignatureRefusedError`, `SigningKeyError`, `EventRefusedError`."""

    def event_type(self, body: bytes) -> str:
        """The sender's own name of what happened. Raises `EventRefusedError`."""

    def parse(self, body: bytes, settings: AdapterSettings) -> Parsed:
        """What the event says. Raises `EventRefusedError`, whose text names the field."""
