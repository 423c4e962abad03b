"""What became of one invoice by its own words, whatever order they came in.

The words are put in the order of their times, and read once. Saying again that something is owed undoes nothing: what
was settled is owed anew only where it is reinstated, where a payment is reversed, where what was to clear has not, or
where a dispute is closed for the provider. At the very same moment money weighs more than debt.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import StrEnum

from .base import Entry, Meaning

__all__ = ('Account', 'InvoiceStatus', 'in_order', 'read')

# The later one has the last word. A dispute is opened before it is closed.
WEIGHTS = {
    Meaning.REINSTATED: 0, Meaning.REVERSED: 0,
    Meaning.ISSUED: 1, Meaning.DUE_CHANGED: 1, Meaning.OVERDUE: 1, Meaning.DISPUTE_OPENED: 1,
    Meaning.AGREEMENT_BROKEN: 1, Meaning.NOTICE_DELIVERED: 1, Meaning.CONTRACT_CLOSED: 1,
    Meaning.STATEMENT: 2, Meaning.DISPUTE_CLOSED: 2, Meaning.AGREEMENT_MADE: 2,
    Meaning.PARTIALLY_PAID: 3, Meaning.CLEARING: 4,
}  # fmt: skip
LAST = 5
EVER = date.min


class InvoiceStatus(StrEnum):
    """What an invoice counts as. The values are stored."""

    ISSUED = 'issued'  # not said to be overdue
    OWED = 'owed'
    CLEARING = 'clearing'
    DISPUTED = 'disputed'
    MOVED = 'moved'  # the debt is another invoice's now, which replaces it
    SETTLED = 'settled'


def in_order(entries: Iterable[Entry]) -> list[Entry]:
    """By when they became so; what a clock that runs ahead left at one moment, by what that clock said.

    Of two debts at the same moment the later due date and the smaller sum come last, and so count.
    """
    return sorted(
        {entry.digest: entry for entry in sorted(entries, key=lambda entry: entry.received_at, reverse=True)}.values(),
        key=lambda entry: (
            entry.at, entry.word.at or entry.received_at, WEIGHTS.get(entry.word.meaning, LAST),
            entry.word.due_date or EVER, -(entry.word.amount or 0), entry.digest,
        ),
    )  # fmt: skip


@dataclass
class Account:
    """One invoice, read up to some moment."""

    reference: str
    due_date: date | None = None
    face: Decimal | None = None  # of the invoice as it was issued
    stated: Decimal | None = None  # what was last said to be open
    highest: Decimal | None = None
    said_on: list[date] = field(default_factory=list)  # days on which it was said to be overdue
    moved_to: date | None = None  # the due date that was last agreed
    paid: dict[str, datetime] = field(default_factory=dict)
    clearing: dict[str, datetime] = field(default_factory=dict)
    parts: dict[str, Decimal] = field(default_factory=dict)  # sums paid or credited
    left: dict[str, Decimal] = field(default_factory=dict)  # what part payments left open
    removed: bool = False  # cancelled, or credited as a whole
    absent: bool = False  # a complete statement lacked it
    disputes: dict[str, Decimal | None] = field(default_factory=dict)
    reopened_at: datetime | None = None  # what was said of the debt before is no notice of this one
    relief_ended_at: datetime | None = None  # the same, where the policy does not say otherwise
    changed_at: datetime | None = None

    @property
    def open(self) -> Decimal | None:
        """What is open, as far as sums are known."""
        gross = self.face if self.face is not None else self.highest
        bounds = [*self.left.values()]
        if self.stated is not None:
            bounds.append(self.stated)
        if gross is not None and (self.parts or self.stated is None):
            bounds.append(gross - sum(self.parts.values()))
        if not bounds:
            return None
        disputed = sum(amount for amount in self.disputes.values() if amount is not None)
        return max(min(bounds) - disputed, Decimal(0))

    @property
    def is_nothing(self) -> bool:
        return self.open == 0

    @property
    def is_disputed(self) -> bool:
        return any(amount is None for amount in self.disputes.values())

    def is_overdue(self, terms: date | None = None) -> bool:
        """Said to be overdue since the due date that was agreed last, here or (`terms`) for what replaces it."""
        agreed = max(filter(None, (self.moved_to, terms)), default=EVER)
        return self.due_date is not None and any(day >= agreed for day in self.said_on)

    def clears_until(self, days: int) -> datetime | None:
        return max(self.clearing.values()) + timedelta(days=days) if self.clearing else None

    def read(self, entry: Entry) -> None:
        """Take the next word in order."""
        self.changed_at = entry.at
        _READ.get(entry.word.meaning, _nothing)(self, entry)


def read(reference: str, entries: Iterable[Entry]) -> Account:
    """An invoice by its words. Of disputes it is known beforehand which ones were closed: those stay closed."""
    account = Account(reference)
    ordered = in_order(entries)
    closed = {entry.word.agreement for entry in ordered if entry.word.meaning is Meaning.DISPUTE_CLOSED}
    sums = {entry.word.agreement: entry.word.sum for entry in ordered if entry.word.meaning is Meaning.DISPUTE_OPENED}
    for entry in ordered:
        if entry.word.meaning is Meaning.DISPUTE_OPENED and entry.word.agreement in closed:
            continue
        if entry.word.meaning is Meaning.DISPUTE_CLOSED and entry.word.sum is None:
            entry = entry.of(sum=sums.get(entry.word.agreement))
        account.read(entry)
    return account


def _nothing(account: Account, entry: Entry) -> None:
    """A word that says nothing of what is owed."""


def _issued(account: Account, entry: Entry) -> None:
    word = entry.word
    if word.due_date is not None and account.moved_to is None:
        account.due_date = word.due_date
    if word.amount is not None:
        account.face = word.amount


def _due_changed(account: Account, entry: Entry) -> None:
    word = entry.word
    if word.due_date is not None:
        account.due_date = account.moved_to = word.due_date
    if word.amount is not None:
        account.face = account.stated = word.amount


def _overdue(account: Account, entry: Entry) -> None:
    word = entry.word
    if word.due_date is not None and account.moved_to is None:
        account.due_date = word.due_date
    # By UTC: elsewhere it may be a day later or sooner, which a policy's whole days make no difference of.
    account.said_on.append(entry.at.astimezone(UTC).date())
    if word.amount is not None:
        account.stated = word.amount
        account.highest = max(word.amount, account.highest or Decimal(0))


def _statement(account: Account, entry: Entry) -> None:
    """An open invoice of a statement; or, without a due date, one that a complete statement lacks."""
    word = entry.word
    if word.due_date is None:
        if account.said_on:
            account.absent = True
        return
    if account.absent:
        # Statements follow each other: what the last one says is so. But nobody is cut for it without a new notice.
        account.absent, account.reopened_at = False, entry.at
    if word.due_date < entry.at.astimezone(UTC).date():
        _overdue(account, entry)
    else:
        _issued(account, entry)


def _partially_paid(account: Account, entry: Entry) -> None:
    word = entry.word
    key = word.payment or entry.digest
    if word.sum is not None:
        account.parts[key] = word.sum
    if word.amount is not None:
        account.left[key] = word.amount


def _credited(account: Account, entry: Entry) -> None:
    if entry.word.sum is None and entry.word.amount is None:
        account.removed = True
    else:
        _partially_paid(account, entry)


def _clearing(account: Account, entry: Entry) -> None:
    account.clearing[entry.word.payment] = entry.at


def _paid(account: Account, entry: Entry) -> None:
    account.paid.pop(entry.word.payment, None)
    account.paid[entry.word.payment] = entry.at


def _removed(account: Account, entry: Entry) -> None:
    account.removed = True


def _reinstated(account: Account, entry: Entry) -> None:
    settled = account.paid or account.clearing or account.parts or account.left or account.removed or account.absent
    if settled:
        account.reopened_at = entry.at
    for kept in (account.paid, account.clearing, account.parts, account.left):
        kept.clear()
    account.removed = account.absent = False
    if entry.word.due_date is not None:
        account.due_date, account.moved_to = entry.word.due_date, None
        account.said_on.append(max(entry.at.astimezone(UTC).date(), entry.word.due_date))
    if entry.word.amount is not None:
        account.stated = account.highest = entry.word.amount


def _reversed(account: Account, entry: Entry) -> None:
    """A payment went back. One that is not named is the last one; twice paid and once refunded is still paid."""
    word = entry.word
    if word.amount == 0:
        return  # refunded, and nothing is open for it: goodwill
    gone = False
    if word.payment in account.paid:
        del account.paid[word.payment]
        gone = True
    elif word.payment and word.payment in {*account.parts, *account.left}:
        gone = True
    elif not word.payment and account.paid:
        account.paid.popitem()
        gone = True
    elif word.payment and '' in account.paid:
        # It was said to be paid, not by which payment.
        del account.paid['']
        gone = True
    elif not word.payment and (account.parts or account.left):
        last = [*account.parts, *account.left][-1]
        account.parts.pop(last, None)
        account.left.pop(last, None)
        gone = True
    account.parts.pop(word.payment, None)
    account.left.pop(word.payment, None)
    for payment in [name for name in account.clearing if not word.payment or name in ('', word.payment)]:
        del account.clearing[payment]
        gone = True
    if gone:
        account.reopened_at = entry.at
        if word.amount is not None:
            account.stated = word.amount
            account.highest = max(word.amount, account.highest or Decimal(0))


def _dispute_opened(account: Account, entry: Entry) -> None:
    account.disputes[entry.word.agreement] = entry.word.sum


def _dispute_closed(account: Account, entry: Entry) -> None:
    word = entry.word
    if not word.for_subscriber:
        account.relief_ended_at = entry.at
    elif word.sum is None:
        account.removed = True
    else:
        account.parts[f'dispute {word.agreement}'] = word.sum


_READ = {
    Meaning.ISSUED: _issued,
    Meaning.DUE_CHANGED: _due_changed,
    Meaning.OVERDUE: _overdue,
    Meaning.STATEMENT: _statement,
    Meaning.PARTIALLY_PAID: _partially_paid,
    Meaning.CREDITED: _credited,
    Meaning.CLEARING: _clearing,
    Meaning.PAID: _paid,
    Meaning.CANCELLED: _removed,
    Meaning.REINSTATED: _reinstated,
    Meaning.REVERSED: _reversed,
    Meaning.DISPUTE_OPENED: _dispute_opened,
    Meaning.DISPUTE_CLOSED: _dispute_closed,
}
