"""Data protection: what may be forgotten, and when."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import transaction

from .choices import EventStatusChoices, RunStatusChoices
from .models import BillingEvent, EnforcementChange, EnforcementRun, Hold, Invoice, Notice

__all__ = ('purge',)


@transaction.atomic
def purge(now: datetime, days: int, log_days: int) -> dict[str, int]:
    """Delete settled facts older than `days`, and runs that ended longer ago than `log_days`; counts by model.

    Only of contracts that owe nothing: what a debt stands on is kept as long as the debt.
    """
    before = now - timedelta(days=days)
    settled = {'contract__oldest_due_date__isnull': True}
    log_end = now - timedelta(days=log_days)
    done = {'run__status__in': RunStatusChoices.ENDED, 'run__finished_at__lt': log_end}
    gone = (
        Invoice.objects.filter(is_open=False, occurred_at__lt=before, **settled),
        Notice.objects.filter(delivered_at__lt=before, **settled),
        Hold.objects.filter(ends_at__lt=before, **settled),
        BillingEvent.objects.filter(received_at__lt=before).exclude(status=EventStatusChoices.RECEIVED),
        EnforcementChange.objects.filter(**done),
        EnforcementRun.objects.filter(status__in=RunStatusChoices.ENDED, finished_at__lt=log_end, changes__isnull=True),
    )
    counts = {}
    for queryset in gone:
        # Without signals: the journal refuses ordinary deletion, and the term of its keeping is over.
        counts[queryset.model.__name__] = queryset._raw_delete(queryset.db)  # noqa: SLF001
    return counts
