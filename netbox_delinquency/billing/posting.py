"""Words go into the ledger, and contracts are read anew from all of theirs: whole batches in some ten statements."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import connection
from django.db.models import Q

from ..choices import BillingStatusChoices, ContractStatusChoices
from ..models import BillingWord, Contract, Hold, Invoice, Notice
from ..settings import get_settings
from . import sql
from .accounts import InvoiceStatus
from .base import Entry, Meaning, Word
from .ledger import ContractState, read_contract
from .reliefs import NoticeState, Relief

__all__ = ('Match', 'attach_waiting', 'lapsed_contracts', 'post_contracts', 'resolve', 'write_words')

STATUSES = {
    Meaning.CONTRACT_OPENED: BillingStatusChoices.OPEN,
    Meaning.CONTRACT_CHANGED: BillingStatusChoices.OPEN,
    Meaning.CONTRACT_SUSPENDED: BillingStatusChoices.SUSPENDED,
    Meaning.CONTRACT_CLOSED: BillingStatusChoices.CLOSED,
}


@dataclass(frozen=True, slots=True)
class Match:
    """What a reference of billing's comes to: its forms, the contract (none: it is not here), or a likely one."""

    reference: str
    loose: str
    contract: int | None
    resembles: bool


def resolve(references: Collection[tuple[int, str]]) -> dict[tuple[int, str], Match]:
    """Which contracts these references mean, each with the primary key of its source."""
    if not references:
        return {}
    asked = list(references)
    with connection.cursor() as cursor:
        cursor.execute(
            sql.RESOLVE,
            {'sources': [source for source, _ in asked], 'contracts': [contract for _, contract in asked]},
        )
        return {(row[0], row[1]): Match(*row[2:]) for row in cursor.fetchall()}


def write_words(said: Iterable[tuple[int, Entry, Match]]) -> None:
    """Append these words of a source, each once."""
    rows = [
        {
            'source': source, 'contract': match.contract, 'reference': match.reference, 'invoice': entry.word.invoice,
            'meaning': entry.word.meaning, 'at': entry.word.at and entry.word.at.isoformat(),
            'received_at': entry.received_at.isoformat(), 'data': entry.word.as_data(), 'event': entry.event,
            'digest': entry.digest,
        }
        for source, entry, match in said
    ]  # fmt: skip
    if rows:
        with connection.cursor() as cursor:
            cursor.execute(sql.WRITE_WORDS, {'words': json.dumps(rows)})


def attach_waiting(now: datetime, contracts: Collection[int] | None = None) -> set[int]:
    """Give words that waited for a contract to it; the contracts (of these, or of all) that had any waiting."""
    only = '' if contracts is None else 'AND contract.id = ANY(%(contracts)s)'
    given = {'now': now, 'contracts': list(contracts or ())}
    with connection.cursor() as cursor:
        cursor.execute(sql.ATTACH.format(only=only), given)
        attached = {row[0] for row in cursor.fetchall()}
        if contracts is not None:
            cursor.execute(sql.RESEMBLING, given)
    return attached


def lapsed_contracts(now: datetime) -> set[int]:
    """Contracts with invoices that were to clear by now."""
    clearing = Invoice.objects.filter(status=InvoiceStatus.CLEARING, clears_until__lte=now)
    return set(clearing.values_list('contract', flat=True))


def post_contracts(contracts: Collection[int], now: datetime) -> None:
    """Read these contracts from all their words, and write what they come to. In a transaction of the caller's.

    The contracts' rows are the locks: two batches with words of one contract are posted one after the other.
    """
    if not contracts:
        return
    locked = {
        contract.pk: contract
        for contract in Contract.objects.select_for_update(no_key=True, of=('self',))
        .filter(pk__in=contracts)
        .select_related('source')
        .order_by('pk')
    }
    attach_waiting(now, locked)
    entries = _entries_of(locked)
    statements = _statements_of({contract.source_id for contract in locked.values()})
    days = get_settings().clearing_days
    states = {
        pk: read_contract(entries[pk], now, days, statements[contract.source_id]) for pk, contract in locked.items()
    }
    _write_invoices(states)
    _write_holds(locked, states)
    _write_notices(locked, states)
    _write_status(locked, states)
    # Of what no word has spoken is left as it is: a notice or an agreement says nothing of what is owed.
    spoken_of = sorted(pk for pk, state in states.items() if state.invoices)
    with connection.cursor() as cursor:
        cursor.execute(sql.FACTS, {'contracts': spoken_of, 'now': now})
        cursor.execute(sql.RELIEFS, {'contracts': sorted(states.keys() - spoken_of)})


def _entry(row: BillingWord) -> Entry:
    word = Word.from_data(row.meaning, '', row.invoice, row.at, row.data)
    return Entry(word, row.received_at, row.event)


def _entries_of(contracts: Collection[int]) -> Mapping[int, list[Entry]]:
    entries: dict[int, list[Entry]] = defaultdict(list)
    for row in BillingWord.objects.filter(contract__in=list(contracts)).order_by():
        entries[row.contract_id].append(_entry(row))
    return entries


def _statements_of(sources: Collection[int]) -> Mapping[int, list[Entry]]:
    """Complete statements of whole sources."""
    statements: dict[int, list[Entry]] = defaultdict(list)
    whole = BillingWord.objects.filter(source__in=sources, reference='', meaning=Meaning.STATEMENT)
    for row in whole.order_by():
        statements[row.source_id].append(_entry(row))
    return statements


INVOICE_FIELDS = ('status', 'due_date', 'amount', 'changed_at', 'clears_until', 'reopened_at', 'relief_ended_at')


def _write_invoices(states: Mapping[int, ContractState]) -> None:
    """Only those that are otherwise than before: most words of a long history change one."""
    stored = {
        (row.contract_id, row.reference): row for row in Invoice.objects.filter(contract__in=list(states)).order_by()
    }
    changed = []
    for pk, state in states.items():
        for invoice in state.invoices.values():
            values = {name: getattr(invoice, name) for name in INVOICE_FIELDS}
            before = stored.get((pk, invoice.reference))
            if before is None or any(getattr(before, name) != value for name, value in values.items()):
                changed.append(Invoice(contract_id=pk, reference=invoice.reference, **values))
    Invoice.objects.bulk_create(
        changed, update_conflicts=True, unique_fields=('contract', 'reference'), update_fields=INVOICE_FIELDS,
        batch_size=1000,
    )  # fmt: skip


def _write_holds(contracts: Mapping[int, Contract], states: Mapping[int, ContractState]) -> None:
    """Agreements and disputes of billing's own are holds like any other; only billing moves them."""
    wanted = {(pk, relief.kind, relief.reference): relief for pk, state in states.items() for relief in state.reliefs}
    if not wanted:
        return
    stored = {
        (hold.contract_id, hold.kind, hold.reference): hold
        for hold in Hold.objects.filter(contract__in=list(states)).exclude(asserted_by='')
    }
    new, changed = [], []
    for key, relief in wanted.items():
        values = _hold_values(relief)
        hold = stored.get(key)
        if hold is None:
            pk, kind, reference = key
            asserted_by = contracts[pk].source.name
            new.append(Hold(contract_id=pk, kind=kind, reference=reference, asserted_by=asserted_by, **values))
        elif any(getattr(hold, name) != value for name, value in values.items()):
            for name, value in values.items():
                setattr(hold, name, value)
            changed.append(hold)
    Hold.objects.bulk_create(new)
    Hold.objects.bulk_update(changed, ['starts_at', 'ends_at', 'ended_at', 'end_reason', 'instalments'])


def _hold_values(relief: Relief) -> dict[str, object]:
    return {
        'starts_at': relief.starts_at, 'ends_at': relief.ends_at, 'ended_at': relief.ended_at,
        'end_reason': relief.end_reason, 'instalments': relief.instalments,
    }  # fmt: skip


def _write_notices(contracts: Mapping[int, Contract], states: Mapping[int, ContractState]) -> None:
    """What a person entered under the same reference is theirs."""
    wanted = {(pk, notice.kind, notice.reference): notice for pk, state in states.items() for notice in state.notices}
    if not wanted:
        return
    stored = {
        (notice.contract_id, notice.kind, notice.reference): notice
        for notice in Notice.objects.filter(contract__in=list(states))
    }
    new, changed = [], []
    for key, state in wanted.items():
        asserted_by = contracts[key[0]].source.name
        notice = stored.get(key)
        if notice is None:
            new.append(_notice(key[0], state, asserted_by))
        elif notice.asserted_by == asserted_by and (notice.sent_at, notice.delivered_at) != (
            state.sent_at, state.delivered_at,
        ):  # fmt: skip
            notice.sent_at, notice.delivered_at = state.sent_at, state.delivered_at
            changed.append(notice)
    Notice.objects.bulk_create(new)
    Notice.objects.bulk_update(changed, ['sent_at', 'delivered_at'])


def _notice(contract: int, state: NoticeState, asserted_by: str) -> Notice:
    return Notice(
        contract_id=contract, kind=state.kind, reference=state.reference, channel=state.channel,
        sent_at=state.sent_at, delivered_at=state.delivered_at, asserted_by=asserted_by,
    )  # fmt: skip


def _write_status(contracts: Mapping[int, Contract], states: Mapping[int, ContractState]) -> None:
    """A contract that billing closed is terminated here; one that it closed and opened again is active again."""
    for pk, state in states.items():
        contract = contracts[pk]
        # Words may have been forgotten: what no word is left of stays as it was said.
        if state.status is None or (said := STATUSES[state.status]) == contract.billing_status:
            continue
        was_closed = contract.billing_status == BillingStatusChoices.CLOSED
        contract.billing_status = said
        if said == BillingStatusChoices.CLOSED:
            contract.status = ContractStatusChoices.TERMINATED
        elif was_closed:
            contract.status = ContractStatusChoices.ACTIVE
        contract.save(update_fields=['billing_status', 'status', 'last_updated'])


def open_contracts(sources: Collection[int], but: Sequence[int]) -> set[int]:
    """Contracts of these sources of which something is owed; a complete statement may have left them out."""
    open_ = Q(invoices__status__in=(InvoiceStatus.OWED, InvoiceStatus.CLEARING))
    return set(Contract.objects.filter(open_, source__in=sources).exclude(pk__in=but).values_list('pk', flat=True))
