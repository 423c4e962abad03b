"""Data protection: what may be forgotten, and when."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Exists, OuterRef, Q
from django.db.models.functions import Coalesce, TruncDate

from ..billing.accounts import InvoiceStatus
from ..billing.base import Meaning, Word
from ..choices import EventStatusChoices, HoldKindChoices, RunStatusChoices
from ..models import (
    BillingEvent,
    BillingWord,
    EnforcementChange,
    EnforcementRun,
    Hold,
    Invoice,
    Notice,
    PlanChangeOrder,
    Restriction,
    RunPoint,
)

__all__ = ('purge',)

YEAR = timedelta(days=366)
SETTLED = InvoiceStatus.SETTLED
# These are kept without an end: a debt that is told once more, however late, was settled. They hold no personal data.
SETTLING = (
    Meaning.PAID, Meaning.CANCELLED, Meaning.CREDITED, Meaning.REPLACED, Meaning.PARTIALLY_PAID,
)  # fmt: skip


@transaction.atomic
def purge(now: datetime, days: int, log_days: int) -> dict[str, int]:
    """Delete settled facts older than `days`, and runs that ended longer ago than `log_days`; counts by model.

    Only of contracts that owe nothing: what a debt is based on is kept as long as the debt.
    """
    before = now - timedelta(days=days)
    log_end = now - timedelta(days=log_days)
    done = {'run__status__in': RunStatusChoices.ENDED, 'run__finished_at__lt': log_end}
    settled = Q(contract__oldest_due_date__isnull=True)
    paid = Invoice.objects.filter(contract=OuterRef('contract'), status=SETTLED, changed_at__gte=before)
    # What was about a debt that was paid since: the term begins with the payment, not with the notice.
    paid_since = Exists(paid.filter(Q(due_date__isnull=True) | Q(due_date__lte=OuterRef('day'))))
    # How often a contract was unlocked within a year is asked for a year.
    counts_still = Q(kind=HoldKindChoices.TRUST, starts_at__gte=now - YEAR)
    notices = Notice.objects.filter(settled, delivered_at__lt=before).annotate(day=TruncDate('delivered_at'))
    holds = Hold.objects.annotate(end=Coalesce('ended_at', 'ends_at')).filter(settled, end__lt=before)
    holds = holds.exclude(counts_still).annotate(day=TruncDate('end'))
    invoices = Invoice.objects.filter(status=SETTLED, changed_at__lt=before, contract__oldest_due_date__isnull=True)
    forgotten = invoices.filter(contract=OuterRef('contract'), reference=OuterRef('invoice'))
    # Nobody has come to be whom these waited for; or they are of the contract itself, and it owes nothing.
    said = Q(received_at__lt=before) & (
        Q(contract__isnull=True) & ~Q(reference='') | Q(invoice='', contract__isnull=False) & settled
    )
    gone = (
        Notice.objects.filter(pk__in=notices.filter(~paid_since).values('pk')),
        Hold.objects.filter(pk__in=holds.filter(~paid_since).values('pk')),
        PlanChangeOrder.objects.filter(settled, Q(decided_at__lt=before) | Q(offered_until__lt=before)),
        BillingWord.objects.filter(Q(said) | ~Q(invoice='') & Exists(forgotten) & ~Q(meaning__in=SETTLING)),
        Invoice.objects.filter(pk__in=invoices.values('pk')),
        BillingEvent.objects.filter(received_at__lt=before).exclude(status=EventStatusChoices.RECEIVED),
        EnforcementChange.objects.filter(**done),
        Restriction.objects.filter(lifted_at__lt=log_end, change__isnull=True, changes__isnull=True),
        RunPoint.objects.filter(**done),
        # One that a younger run reverts goes with that one.
        EnforcementRun.objects.filter(
            status__in=RunStatusChoices.ENDED, finished_at__lt=log_end, changes__isnull=True, reverted_by__isnull=True
        ),
    )
    _mark_settled(before)
    counts = {}
    # The numbers of the row and its run stay on what they took.
    Restriction.objects.filter(change__in=EnforcementChange.objects.filter(**done)).update(change=None)
    for queryset in gone:
        # Without signals: the journal refuses ordinary deletion, and the term of its keeping is over.
        counts[queryset.model.__name__] = queryset._raw_delete(queryset.db)  # noqa: SLF001
    return counts


def _mark_settled(before: datetime) -> None:
    """Invoices that were settled by what is forgotten now: a kept agreement, a statement, a dispute that was won, sums.

    A word of their own says so from now on: a debt that is told once more, however late, was settled.
    """
    own = BillingWord.objects.filter(contract=OuterRef('contract'), invoice=OuterRef('reference'))
    of_contract = BillingWord.objects.filter(contract=OuterRef('contract'), invoice='', received_at__lt=before)
    settled = Invoice.objects.filter(
        Q(changed_at__lt=before) | Exists(of_contract), status=SETTLED, contract__oldest_due_date__isnull=True
    ).exclude(Exists(own.filter(meaning__in=(Meaning.PAID, Meaning.CANCELLED))))
    marks = []
    for invoice in settled.select_related('contract').order_by().iterator():
        word = Word(Meaning.CANCELLED, invoice=invoice.reference, at=invoice.changed_at)
        marks.append(
            BillingWord(
                source_id=invoice.contract.source_id, contract_id=invoice.contract_id, digest=word.digest(''),
                reference=invoice.contract.reference, invoice=word.invoice, meaning=word.meaning, at=word.at,
                received_at=word.at,
            )
        )  # fmt: skip
    BillingWord.objects.bulk_create(marks, batch_size=1000, ignore_conflicts=True)
