"""An event is kept before anything is made of it: one statement, whose conflict is a duplicate."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from django.db import connection

from ..models import BillingEvent, BillingSource
from . import sql
from .base import PAYMENTS, Meaning, Parsed
from .reading import describe

__all__ = ('Receipt', 'Stored', 'store_event')

# Of the other body under a known ID: it is told apart by what it says.
CONFLICT_MARK = '~'


class Stored(StrEnum):
    """What became of an event that came in."""

    NEW = 'new'
    KNOWN = 'known'
    CONFLICT = 'conflict'


@dataclass(frozen=True, slots=True)
class Receipt:
    stored: Stored
    is_waiting: bool  # it lies in the inbox
    is_urgent: bool
    pk: int | None = None  # of a new event, or of a conflict that was not known


def store_event(source: BillingSource, event_id: str, kind: str, body: str, parsed: Parsed) -> Receipt:
    """Keep an event in the inbox, once. The same ID with another body is a conflict, and kept as that."""
    said = describe(parsed)
    known_until = next((word.at for word in parsed.words if word.meaning is Meaning.HEARTBEAT), None)
    given: Mapping[str, Any] = {
        **said, 'source': source.pk, 'event_id': event_id, 'event_type': kind, 'body': body,
        'is_payment': any(word.meaning in PAYMENTS for word in parsed.words), 'known_until': known_until,
    }  # fmt: skip
    with connection.cursor() as cursor:
        cursor.execute(sql.STORE, given)
        if row := cursor.fetchone():
            return Receipt(Stored.NEW, True, said['is_urgent'], row[0])
    first = BillingEvent.objects.values_list('body', 'status').get(source=source, event_id=event_id)
    if first[0] == body:
        return Receipt(Stored.KNOWN, first[1] == 'received', said['is_urgent'])
    digest = hashlib.sha256(body.encode()).hexdigest()[:32]
    message = f'sent under the ID of another event, "{event_id}"'[:500]
    with connection.cursor() as cursor:
        other = {**given, 'event_id': f'{event_id}{CONFLICT_MARK}{digest}', 'message': message}
        cursor.execute(sql.STORE_CONFLICT, other)
        row = cursor.fetchone()
    return Receipt(Stored.CONFLICT, False, False, row[0] if row else None)
