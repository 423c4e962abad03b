"""From a stored event to a contract's facts, and from those to where the contract stands."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

from django.db import OperationalError, transaction
from django.db.models import Case, Count, Min, QuerySet, Sum, When
from django.utils import timezone

from ..choices import EventStatusChoices
from ..models import BillingEvent, BillingSource, Contract, Invoice, Notice
from ..policy.evaluate import evaluate
from . import standard_webhooks
from .events import EventRefusedError, InvoiceFact, Meaning, NoticeFact

__all__ = ('lapse_clearing', 'process_again', 'process_event', 'store_event', 'work_inbox')

logger = logging.getLogger('netbox_delinquency.billing')

# Few, so that a payment among many events has its line back before the last of them is read.
BATCH = 25

# Of a sender's clock against ours.
SKEW = timedelta(minutes=5)

WEIGHTS = {Meaning.OVERDUE: 0, Meaning.CLEARING: 1, Meaning.PAID: 2}


def store_event(source: BillingSource, event_id: str, body: str, now: datetime) -> tuple[BillingEvent, bool]:
    """Keep an event in the inbox; returns it and whether it is new. Raises `EventRefusedError` for an unusable body.

    One that billing sends again because it came to nothing here, its contract unknown or its data unusable, is as good
    as new.
    """
    kind = standard_webhooks.event_type(body)
    mine = {'source': source, 'event_id': event_id}
    with transaction.atomic():
        is_new = not BillingEvent.objects.filter(**mine).exists()
        # In bulk: NetBox's change log wants a user, and a billing system is none. Conflicts are duplicates.
        BillingEvent.objects.bulk_create([BillingEvent(**mine, event_type=kind, body=body)], ignore_conflicts=True)
        again = BillingEvent.objects.filter(**mine, status__in=EventStatusChoices.RETRYABLE)
        again.update(event_type=kind, body=body)
        process_again(again, now)
        BillingSource.objects.filter(pk=source.pk).update(last_event_at=now)
    return BillingEvent.objects.get(**mine), is_new


def process_again(events: QuerySet[BillingEvent], now: datetime) -> int:
    """Put those of `events` that came to nothing back into the inbox, and return how many.

    Their contract may be known by now. What took effect is never worked twice. They count as received `now`: a source
    is late by what has lain unread since, not by how old that is.
    """
    nothing = events.filter(status__in=EventStatusChoices.RETRYABLE)
    return nothing.update(status=EventStatusChoices.RECEIVED, received_at=now, message='', processed_at=None)


def work_inbox(clock: Callable[[], datetime] = timezone.now) -> Iterator[set[int]]:
    """Work off whatever lies in the inbox, batch by batch; yields the primary keys of the contracts each one changed.

    Payments come before all else, those too that arrive in the meantime: the order within a contract does not matter,
    since its facts have moments of their own. Events that another worker has in hand are left to it. One that breaks us
    is marked as failed and holds up no other. Each is worked at its own moment: a long inbox takes minutes.
    """
    seen: set[int] = set()
    payments_first = Case(When(event_type__in=standard_webhooks.PAYMENTS, then=0), default=1)
    waiting = BillingEvent.objects.filter(status=EventStatusChoices.RECEIVED).order_by(payments_first, 'pk')
    while batch := list(waiting.exclude(pk__in=seen).values_list('pk', flat=True)[:BATCH]):
        seen.update(batch)
        changed = set()
        for pk in batch:
            try:
                contract = process_event(pk, clock())
            except OperationalError:
                # A deadlock, or a database that went away, is not the event's fault: it stays for the next time.
                logger.exception('billing event %s waits: the database did not let us', pk)
                continue
            except Exception as error:
                logger.exception('billing event %s could not be processed', pk)
                BillingEvent.objects.get(pk=pk).advance(
                    status=EventStatusChoices.FAILED, message=f'a fault of ours: {error!r}'[:500], processed_at=clock()
                )
                continue
            if contract is not None:
                changed.add(contract.pk)
        yield changed


def process_event(pk: int, now: datetime) -> Contract | None:
    """Work one stored event off, once; returns the contract it changed, if it changed one.

    The facts are those of the invoice at the newest moment billing told of, so events may come late, twice or out of
    order. The event ends as processed, ignored, unmatched or failed, with the reason.
    """
    with transaction.atomic():
        received = BillingEvent.objects.filter(pk=pk, status=EventStatusChoices.RECEIVED)
        event = received.select_for_update(skip_locked=True).first()
        if event is None:
            return None
        status, message, contract = EventStatusChoices.PROCESSED, '', None
        try:
            fact = standard_webhooks.parse(event.body)
        except EventRefusedError as error:
            status, message = EventStatusChoices.FAILED, str(error)[:500]
        else:
            if fact is None:
                status = EventStatusChoices.IGNORED
            else:
                contract = Contract.objects.filter(source=event.source_id, external_id=fact.contract).first()
                if contract is None:
                    status = EventStatusChoices.UNMATCHED
                    message = f'no contract "{fact.contract}" of this source is known'
        if contract is not None:
            try:
                record = _record_notice if isinstance(fact, NoticeFact) else _record
                message = record(contract, fact, now)
                evaluate(now, [contract.pk])
            except EventRefusedError as error:
                status, message, contract = EventStatusChoices.FAILED, str(error)[:500], None
        event.advance(status=status, message=message, contract=contract, processed_at=now)
    return contract


def _record(contract: Contract, fact: InvoiceFact, now: datetime) -> str:
    """Write the invoice, unless billing already told of something newer, and sum the contract's invoices up.

    Returns what is to be said of it, if anything.
    """
    message = ''
    # The contract's row is the lock: two events of one contract are worked one after the other.
    contract = Contract.objects.select_for_update().get(pk=contract.pk)
    known = Invoice.objects.filter(contract=contract, reference=fact.invoice).first()
    # A sender whose clock runs ahead must not make us deaf to the payment that follows.
    occurred_at = min(fact.occurred_at, now)
    due_date = fact.due_date or (known and known.due_date)
    # What is not known to be due does not become so by being paid.
    is_open = fact.meaning is Meaning.OVERDUE or (fact.meaning is Meaning.CLEARING and due_date is not None)
    # At the same moment a payment outweighs a debt, in whichever order they arrive.
    if known is None or (occurred_at, WEIGHTS[fact.meaning]) >= (known.occurred_at, _weight(known)):
        if known is not None and not known.is_open and is_open:
            # A payment was taken back: what was told of the debt before it was settled is no notice of this one.
            Contract.objects.filter(pk=contract.pk).update(notices_from=occurred_at)
        amount = fact.amount
        if amount is None and known is not None and fact.meaning is Meaning.CLEARING:
            amount = known.amount
        Invoice.objects.update_or_create(
            contract=contract,
            reference=fact.invoice,
            defaults={
                'occurred_at': occurred_at,
                'is_open': is_open,
                'is_clearing': is_open and fact.meaning is Meaning.CLEARING,
                'due_date': due_date,
                # Settled sums are nobody's business any more.
                'amount': amount if is_open else None,
            },
        )
    else:
        message = f'superseded: billing told something newer of this invoice, of {known.occurred_at.isoformat()}'
        if known.is_open and not is_open:
            # Paid before the debt that we know of, which therefore came anew: as above, only told in the other order.
            since = max(filter(None, (contract.notices_from, known.occurred_at)))
            Contract.objects.filter(pk=contract.pk).update(notices_from=since)
    _sum_up(contract, now)
    return message


def _weight(invoice: Invoice) -> int:
    meaning = Meaning.CLEARING if invoice.is_clearing else Meaning.OVERDUE if invoice.is_open else Meaning.PAID
    return WEIGHTS[meaning]


def _sum_up(contract: Contract, now: datetime) -> None:
    """The contract's facts, of its open invoices: of those that wait for the bank only where all of them do."""
    owed = contract.invoices.filter(is_open=True)
    waiting = owed.filter(is_clearing=True).exists()
    if owed.filter(is_clearing=False).exists():
        owed, waiting = owed.filter(is_clearing=False), False
    total = owed.aggregate(due=Min('due_date'), balance=Sum('amount'), count=Count('pk'))
    Contract.objects.filter(pk=contract.pk).update(
        oldest_due_date=total['due'], open_balance=total['balance'], unpaid_invoices=total['count'],
        awaiting_clearing=waiting, facts_at=now,
    )  # fmt: skip


@transaction.atomic
def lapse_clearing(now: datetime, days: int) -> int:
    """What was to clear and has not after `days` is owed again; returns how many invoices that were."""
    lapsed = Invoice.objects.filter(is_open=True, is_clearing=True, occurred_at__lt=now - timedelta(days=days))
    contracts = set(lapsed.values_list('contract', flat=True))
    # The contracts' rows are the locks, as they are for an event.
    locked = list(Contract.objects.select_for_update().filter(pk__in=contracts).order_by('pk'))
    count = lapsed.filter(contract__in=contracts).update(is_clearing=False)
    for contract in locked:
        _sum_up(contract, now)
    return count


def _record_notice(contract: Contract, fact: NoticeFact, now: datetime) -> str:
    """Keep the proof once; the first word on a reference stands, for a later one could only move the clock."""
    if fact.delivered_at > now + SKEW:
        raise EventRefusedError('data.delivered_at: a notice is proof of what was, and this lies in the future')
    Notice.objects.bulk_create(
        [
            Notice(
                contract=contract, kind=fact.kind, reference=fact.notice, channel=fact.channel,
                sent_at=fact.sent_at and min(fact.sent_at, now), delivered_at=min(fact.delivered_at, now),
                asserted_by=contract.source.name,
            )
        ],
        ignore_conflicts=True,
    )  # fmt: skip
    return ''
