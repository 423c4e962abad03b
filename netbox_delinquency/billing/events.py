"""The one shape every billing system's event is brought to, and the errors of bringing it there."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum


class BillingError(Exception):
    """Base of what can be wrong with an inbound event; the text is a sentence for the sender or the operator."""


class SignatureRefusedError(BillingError):
    """The event was not signed with the source's key, or not within the window. Details stay in our log."""


class EventRefusedError(BillingError):
    """The event's data cannot be used."""


class Meaning(StrEnum):
    OVERDUE = 'overdue'  # the invoice is open past its due date
    CLEARING = 'clearing'  # paid, and the bank has not settled it yet
    PAID = 'paid'  # the invoice is settled


@dataclass(frozen=True, slots=True)
class InvoiceFact:
    """What an event says of one invoice. `contract` and `invoice` are billing's own names; `amount` is what is open."""

    meaning: Meaning
    contract: str
    invoice: str
    occurred_at: datetime
    due_date: date | None = None
    amount: Decimal | None = None


@dataclass(frozen=True, slots=True)
class NoticeFact:
    """What an event says of one notice; `notice` is billing's own reference of it."""

    contract: str
    notice: str
    kind: str
    channel: str
    sent_at: datetime | None
    delivered_at: datetime
