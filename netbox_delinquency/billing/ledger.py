"""A contract by all its words: pure functions of their set, so that order, repetition and lateness cannot matter.

`now` decides one thing alone, whether what was to clear has lapsed; and that at a moment which the words give.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

from .accounts import Account, InvoiceStatus, in_order, read
from .base import Entry, Meaning
from .reliefs import (
    AGREEMENTS,
    DISPUTES,
    NOTICES,
    NoticeState,
    Relief,
    agreement_relief,
    as_cancellations,
    as_payments,
    dispute_relief,
    grouped,
    notice_state,
    settled_by,
    with_closed_disputes,
    won_by,
)

__all__ = ('ContractState', 'Facts', 'InvoiceState', 'contract_facts', 'read_contract')

CONTRACTS = (
    Meaning.CONTRACT_OPENED, Meaning.CONTRACT_CHANGED, Meaning.CONTRACT_SUSPENDED, Meaning.CONTRACT_CLOSED,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class InvoiceState:
    """What an invoice counts as; `amount` is what is open of it, where that is known."""

    reference: str
    status: InvoiceStatus
    changed_at: datetime
    due_date: date | None = None
    amount: Decimal | None = None
    clears_until: datetime | None = None
    reopened_at: datetime | None = None
    relief_ended_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    """What a contract owes: the sum of its invoices; of those that are to clear only where there are no others."""

    oldest_due_date: date | None = None
    open_balance: Decimal | None = None
    unpaid_invoices: int = 0
    awaiting_clearing: bool = False
    notices_from: datetime | None = None
    relief_ended_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class ContractState:
    """All that the words of a contract come to."""

    invoices: Mapping[str, InvoiceState]
    reliefs: Sequence[Relief]
    notices: Sequence[NoticeState]
    status: Meaning | None  # the last word on the contract itself
    facts: Facts


def read_contract(
    entries: Iterable[Entry], now: datetime, clearing_days: int, statements: Iterable[Entry] = ()
) -> ContractState:
    """A contract by its words at `now`. `statements` are the complete ones of its whole source, whoever they list."""
    ordered = with_closed_disputes(in_order(entries))
    agreements = grouped(ordered, AGREEMENTS)
    disputes = grouped(ordered, DISPUTES, invoice='')
    by_invoice = _by_invoice(ordered, list(statements))
    accounts = {reference: read(reference, said) for reference, said in by_invoice.items()}
    covering = [(settled_by(said, accounts), as_payments(name, said)) for name, said in agreements.items()]
    covering += [(won_by(said, accounts), as_cancellations(said)) for said in disputes.values()]
    for covered, words in covering:
        for reference in covered:
            by_invoice[reference] += words
            accounts[reference] = read(reference, by_invoice[reference])
    invoices = _states(accounts, _successors(ordered), now, clearing_days)
    reliefs = [
        *filter(None, (agreement_relief(name, said) for name, said in agreements.items())),
        *filter(None, (dispute_relief(name, said) for name, said in disputes.items())),
    ]
    last = [entry.word.meaning for entry in ordered if entry.word.meaning in CONTRACTS]
    notices = [notice_state(name, said) for name, said in grouped(ordered, NOTICES, kinds=True).items()]
    return ContractState(
        invoices=invoices,
        reliefs=reliefs,
        notices=notices,
        status=last[-1] if last else None,
        facts=contract_facts(invoices.values(), reliefs),
    )


def contract_facts(invoices: Iterable[InvoiceState], reliefs: Iterable[Relief] = ()) -> Facts:
    """As `FACTS` of `sql.py` sums them up; a test holds the two equal."""
    states = [state for state in invoices if state.due_date is not None]
    owed = [state for state in states if state.status is InvoiceStatus.OWED]
    counted = owed or [state for state in states if state.status is InvoiceStatus.CLEARING]
    ends = [min(relief.ends_at, relief.ended_at or relief.ends_at) for relief in reliefs if relief.renews_notice]
    amounts = [state.amount for state in counted if state.amount is not None]
    return Facts(
        oldest_due_date=min((state.due_date for state in counted if state.due_date), default=None),
        open_balance=sum(amounts, Decimal(0)) if amounts else None,
        unpaid_invoices=len(counted),
        awaiting_clearing=bool(counted) and not owed,
        notices_from=max((state.reopened_at for state in owed if state.reopened_at), default=None),
        relief_ended_at=max([*ends, *(state.relief_ended_at for state in owed if state.relief_ended_at)], default=None),
    )


def _by_invoice(ordered: Sequence[Entry], statements: Sequence[Entry]) -> dict[str, list[Entry]]:
    """Words by invoice. A statement speaks of those that it lists; a complete one of the others, too."""
    said: dict[str, list[Entry]] = defaultdict(list)
    for entry in ordered:
        word = entry.word
        if word.meaning is Meaning.STATEMENT:
            for line in word.lines:
                said[line.invoice].append(
                    entry.of(invoice=line.invoice, due_date=line.due_date, amount=line.amount, lines=())
                )
        elif word.invoice:
            said[word.invoice].append(entry)
    own = [entry for entry in ordered if entry.word.meaning is Meaning.STATEMENT]
    named = {entry.word.agreement for entry in own}
    # One of the whole source speaks of this contract by leaving it out.
    for entry in [*own, *(entry for entry in statements if entry.word.agreement not in named)]:
        if entry.word.complete:
            listed = {line.invoice for line in entry.word.lines}
            for reference in set(said) - listed:
                said[reference].append(entry.of(invoice=reference, due_date=None, lines=()))
    return said


def _successors(ordered: Iterable[Entry]) -> dict[str, set[str]]:
    """Which invoices replace which, directly."""
    successors: dict[str, set[str]] = defaultdict(set)
    for entry in ordered:
        for newer in entry.word.replaced_by:
            successors[entry.word.invoice].add(newer)
        for older in entry.word.replaces:
            successors[older].add(entry.word.invoice)
    return {older: newer - {older} for older, newer in successors.items()}


def _reachable(start: str, edges: Mapping[str, set[str]]) -> set[str]:
    found, waiting = set(), [start]
    while waiting:
        for other in edges.get(waiting.pop(), ()):
            if other not in found:
                found.add(other)
                waiting.append(other)
    return found


def _settled(accounts: Mapping[str, Account], paid: set[str], successors: Mapping[str, set[str]]) -> set[str]:
    """What payments of these invoices settle: all that they replace; and what replaces them, where all of it is paid.

    A debt that was split is paid by its parts; two that were put together, by the new one, or by both.
    """
    above: dict[str, set[str]] = defaultdict(set)
    for older, newer in successors.items():
        for reference in newer:
            above[reference].add(older)
    down = set(paid)
    while more := {name for name, older in above.items() if name not in down and older <= down}:
        down |= more
    return down | {older for reference in paid for older in _reachable(reference, above)}


def _states(
    accounts: Mapping[str, Account], successors: Mapping[str, set[str]], now: datetime, clearing_days: int
) -> dict[str, InvoiceState]:
    paid = {name for name, account in accounts.items() if account.paid}
    until = {name: end for name, account in accounts.items() if (end := account.clears_until(clearing_days))}
    clearing = {name for name, end in until.items() if now < end and name not in paid}
    settled = _settled(accounts, paid, successors)
    to_clear = _settled(accounts, paid | clearing, successors) - settled
    owed = {
        name for name, account in accounts.items()
        if name not in settled | to_clear and not account.removed and not account.absent and not account.is_nothing
        and not account.is_disputed and account.is_overdue()
    }  # fmt: skip
    states = {}
    for name, account in accounts.items():
        newer = _reachable(name, successors)
        known = [accounts[other] for other in newer if other in accounts and not accounts[other].removed]
        terms = max((other.due_date for other in known if other.due_date), default=None)
        ends = account.relief_ended_at
        status = InvoiceStatus.ISSUED
        if name in settled or account.removed or account.absent or account.is_nothing:
            status = InvoiceStatus.SETTLED
        elif name in to_clear:
            status = InvoiceStatus.CLEARING
        elif account.is_disputed:
            status = InvoiceStatus.DISPUTED
        elif any(other in owed and _counts_for(other, name, accounts, successors) for other in newer):
            status = InvoiceStatus.MOVED
        elif account.is_overdue(terms):
            status = InvoiceStatus.OWED
        elif account.is_overdue():
            status = InvoiceStatus.MOVED
        if name in until and name not in to_clear:
            ends = max(filter(None, (ends, until[name])))
        states[name] = InvoiceState(
            reference=name, status=status, changed_at=account.changed_at or now, due_date=account.due_date,
            # Settled sums are nobody's business any more.
            amount=None if status is InvoiceStatus.SETTLED else account.open,
            clears_until=_clears_until(name, to_clear, until, successors),
            reopened_at=account.reopened_at, relief_ended_at=ends,
        )  # fmt: skip
    return states


def _counts_for(newer: str, older: str, accounts: Mapping[str, Account], successors: Mapping[str, set[str]]) -> bool:
    """Whether the debt of an invoice is counted at this one, which replaces it. In a circle, at the one due last."""
    if older not in _reachable(newer, successors):
        return True
    rank = {name: (accounts[name].due_date or date.min, name) for name in (newer, older)}
    return rank[newer] > rank[older]


def _clears_until(
    name: str, to_clear: set[str], until: Mapping[str, datetime], successors: Mapping[str, set[str]]
) -> datetime | None:
    """When what is to clear lapses: its own word's moment, or that of whatever clears it."""
    if name not in to_clear:
        return None
    near = {name, *_reachable(name, successors)}
    near |= {other for other in until if name in _reachable(other, successors)}
    return max((until[other] for other in near if other in until), default=None)
