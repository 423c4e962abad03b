"""What agreements, disputes and notices of billing come to: relief, proof, and the invoices that they settle."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from .accounts import Account
from .base import Entry, Meaning, Word

__all__ = (
    'AGREEMENTS', 'DISPUTES', 'NOTICES', 'NoticeState', 'Relief', 'agreement_relief', 'as_cancellations', 'as_payments',
    'dispute_relief', 'grouped', 'notice_state', 'settled_by', 'with_closed_disputes', 'won_by',
)  # fmt: skip

AGREEMENTS = (
    Meaning.AGREEMENT_MADE, Meaning.INSTALMENT_PAID, Meaning.AGREEMENT_KEPT, Meaning.AGREEMENT_BROKEN,
)  # fmt: skip
DISPUTES = (Meaning.DISPUTE_OPENED, Meaning.DISPUTE_CLOSED)
NOTICES = (Meaning.NOTICE_SENT, Meaning.NOTICE_DELIVERED, Meaning.NOTICE_FAILED, Meaning.NOTICE_WITHDRAWN)
# A dispute of the whole contract ends when it is closed; and by itself after so long, as every hold has an end.
DISPUTE_DAYS = 365


@dataclass(frozen=True, slots=True)
class Relief:
    """What billing itself grants: an agreement, or a dispute of all that is owed."""

    kind: str  # as of a hold
    reference: str
    starts_at: datetime
    ends_at: datetime
    ended_at: datetime | None = None
    end_reason: str = ''
    instalments: int | None = None
    renews_notice: bool = False  # what is restricted after it needs a new notice


@dataclass(frozen=True, slots=True)
class NoticeState:
    """A notice; `delivered_at` is empty where it failed or was withdrawn."""

    kind: str
    reference: str
    channel: str
    sent_at: datetime | None
    delivered_at: datetime | None


def with_closed_disputes(ordered: Sequence[Entry]) -> list[Entry]:
    """The end of a dispute is that of all that was disputed under its reference, whether or not it says of what."""
    disputed: dict[str, set[str]] = defaultdict(set)
    for entry in ordered:
        if entry.word.meaning is Meaning.DISPUTE_OPENED:
            disputed[entry.word.agreement].add(entry.word.invoice)
    for entry in ordered:
        # What it names itself stays named: an invoice that was heard of once is not unheard by a later word.
        if entry.word.meaning is Meaning.DISPUTE_CLOSED and (entry.word.invoice or not disputed[entry.word.agreement]):
            disputed[entry.word.agreement].add(entry.word.invoice)
    return [
        copy
        for entry in ordered
        for copy in (
            [entry.of(invoice=invoice) for invoice in sorted(disputed[entry.word.agreement])]
            if entry.word.meaning is Meaning.DISPUTE_CLOSED
            else [entry]
        )
    ]


def grouped(
    ordered: Iterable[Entry], meanings: Sequence[Meaning], invoice: str | None = None, kinds: bool = False
) -> dict[str, list[Entry]]:
    """These words by what they are about; with `invoice` empty, only those that name none."""
    groups = defaultdict(list)
    for entry in ordered:
        word = entry.word
        if word.meaning in meanings and (invoice is None or word.invoice == invoice):
            groups[f'{word.kind} {word.agreement}' if kinds else word.agreement].append(entry)
    return groups


def settled_by(agreement: Sequence[Entry], accounts: Mapping[str, Account]) -> list[str]:
    """Invoices that an agreement covers: those that it lists, or all that were owed when it was made."""
    if not any(entry.word.meaning is Meaning.AGREEMENT_KEPT for entry in agreement):
        return []
    listed = {name for entry in agreement for name in entry.word.invoices}
    made = min((entry.at for entry in agreement if entry.word.meaning is Meaning.AGREEMENT_MADE), default=None)
    if listed or made is None:
        return [name for name in accounts if name in listed]
    return _due_by(made, accounts)


def _due_by(moment: datetime, accounts: Mapping[str, Account]) -> list[str]:
    return [name for name, account in accounts.items() if account.due_date and account.due_date <= moment.date()]


def won_by(dispute: Sequence[Entry], accounts: Mapping[str, Account]) -> list[str]:
    """Invoices that a dispute of all that was owed settles: closed for the subscriber, they are not owed for good."""
    opened = min((entry.at for entry in dispute if entry.word.meaning is Meaning.DISPUTE_OPENED), default=None)
    return [] if opened is None or not as_cancellations(dispute) else _due_by(opened, accounts)


def as_cancellations(dispute: Sequence[Entry]) -> list[Entry]:
    return [
        entry.of(meaning=Meaning.CANCELLED)
        for entry in dispute
        if entry.word.meaning is Meaning.DISPUTE_CLOSED and entry.word.for_subscriber and entry.word.sum is None
    ]


def as_payments(name: str, agreement: Sequence[Entry]) -> list[Entry]:
    """A kept agreement is paid; one that was called kept and broken later, taken back."""
    meanings = {Meaning.AGREEMENT_KEPT: Meaning.PAID, Meaning.AGREEMENT_BROKEN: Meaning.REVERSED}
    return [
        entry.of(meaning=meanings[entry.word.meaning], payment=f'agreement {name}', amount=None)
        for entry in agreement
        if entry.word.meaning in meanings
    ]


def agreement_relief(name: str, said: Sequence[Entry]) -> Relief | None:
    """The relief of an agreement; None where only its end is known.

    An end before its beginning is a slip, and counts for nothing: what was granted before stays granted.
    """
    starts_at = next((entry.at for entry in said if entry.word.meaning is Meaning.AGREEMENT_MADE), None)
    if starts_at is None or not (until := _ends(said, starts_at)):
        return None
    ended: Entry | None = None
    for entry in said:
        if entry.word.meaning in (Meaning.AGREEMENT_KEPT, Meaning.AGREEMENT_BROKEN):
            ended = entry
        elif entry.word.meaning is Meaning.AGREEMENT_MADE:
            ended = None
    counts = [entry.word.instalments for entry in said if entry.word.instalments is not None]
    kept = ended is not None and ended.word.meaning is Meaning.AGREEMENT_KEPT
    return Relief(
        kind='payment_agreement', reference=name, starts_at=starts_at, ends_at=until[-1],
        ended_at=None if ended is None else max(ended.at, starts_at),
        end_reason='' if ended is None else 'kept' if kept else 'broken',
        instalments=counts[-1] if counts else None, renews_notice=not kept,
    )  # fmt: skip


def _ends(said: Sequence[Entry], starts_at: datetime) -> list[datetime]:
    """The ends of relief that were said, in the order of their words."""
    return [entry.word.until for entry in said if entry.word.until is not None and entry.word.until > starts_at]


def dispute_relief(name: str, said: Sequence[Entry]) -> Relief | None:
    closed = next((entry for entry in reversed(said) if entry.word.meaning is Meaning.DISPUTE_CLOSED), None)
    starts_at = next((entry.at for entry in said if entry.word.meaning is Meaning.DISPUTE_OPENED), None)
    if starts_at is None:
        return None
    until = _ends(said, starts_at)
    return Relief(
        kind='dispute', reference=name, starts_at=starts_at,
        ends_at=until[-1] if until else starts_at + timedelta(days=DISPUTE_DAYS),
        ended_at=None if closed is None else max(closed.at, starts_at),
        end_reason='' if closed is None else 'closed', renews_notice=True,
    )  # fmt: skip


def notice_state(name: str, said: Sequence[Entry]) -> NoticeState:
    """The first delivery counts, since a later word could only move the clock; one that failed or was withdrawn none.

    Failed after it was delivered, as e-mail comes back hours later, it was not delivered.
    """
    word: Word = said[0].word
    delivered: datetime | None = None
    sent: list[datetime] = []
    for entry in said:
        if entry.word.sent_at is not None:
            sent.append(min(entry.word.sent_at, entry.received_at))
        elif entry.word.meaning is Meaning.NOTICE_SENT:
            sent.append(entry.at)
        if entry.word.meaning is Meaning.NOTICE_DELIVERED:
            delivered = delivered or entry.at
        elif entry.word.meaning is Meaning.NOTICE_FAILED:
            delivered = None
    if any(entry.word.meaning is Meaning.NOTICE_WITHDRAWN for entry in said):
        delivered = None
    sent_at = min(sent, default=None)
    if sent_at is not None and delivered is not None:
        sent_at = min(sent_at, delivered)
    channel = next((entry.word.channel for entry in said if entry.word.channel), 'other')
    return NoticeState(word.kind, word.agreement, channel, sent_at, delivered)
