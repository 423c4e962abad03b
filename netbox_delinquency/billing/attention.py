"""Events about money that were not understood: who is exempt for them, and how a person says that they looked."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from django.db.models import QuerySet

from ..events import BILLING_NEEDS_ATTENTION, send_event
from ..models import BillingEvent

__all__ = ('alarm', 'review', 'unreviewed')


def unreviewed(events: QuerySet[BillingEvent]) -> QuerySet[BillingEvent]:
    return events.filter(needs_attention=True)


def alarm(events: Sequence[BillingEvent]) -> None:
    """Tell whoever asked to be told, once the transaction is through."""
    for event in events:
        send_event(event, BILLING_NEEDS_ATTENTION)


def review(events: QuerySet[BillingEvent], user, now: datetime) -> int:  # type: ignore[no-untyped-def]
    """A person has looked at these: whom they may concern is no longer exempt for them. Returns how many there were."""
    return unreviewed(events).update(needs_attention=False, reviewed_at=now, reviewed_by=user)
