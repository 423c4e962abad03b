"""From stored events to what contracts owe: batch by batch, payments first, each event once."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from django.db import OperationalError, transaction
from django.db.models import QuerySet
from rq.timeouts import JobTimeoutException

from ..choices import EventStatusChoices
from ..models import BillingEvent
from ..policy.evaluate import evaluate
from .attention import alarm
from .base import RELIEVING, BillingError, Entry, Meaning, Parsed
from .clock import database_now
from .posting import Match, attach_waiting, lapsed_contracts, open_contracts, post_contracts, resolve, write_words
from .reading import describe, parse_body

__all__ = ('adopt_waiting', 'lapse_clearing', 'process_again', 'process_event', 'process_events')

logger = logging.getLogger('netbox_delinquency.billing')

# A payment that comes in meanwhile waits for no more than one batch.
BATCH = 200

DONE = ('status', 'message', 'contract', 'processed_at', 'meaning', 'is_urgent', 'reference', 'needs_attention')


@dataclass
class Outcome:
    """What became of one event of a batch."""

    event: BillingEvent
    status: str = EventStatusChoices.PROCESSED
    message: str = ''
    parsed: Parsed = field(default_factory=Parsed)
    contract: int | None = None
    needs_attention: bool = False


def process_again(events: QuerySet[BillingEvent], now: datetime) -> int:
    """Put those of `events` that were unmatched or failed back into the inbox, and return how many.

    They count as received `now`: a source is late by what has lain unread since, not by how old that is.
    """
    nothing = events.filter(status__in=EventStatusChoices.RETRYABLE)
    return nothing.update(
        status=EventStatusChoices.RECEIVED, received_at=now, message='', processed_at=None, needs_attention=False,
        is_urgent=True,
    )  # fmt: skip


def process_events(clock: Callable[[], datetime] = database_now) -> Iterator[set[int]]:
    """Process whatever lies in the inbox, batch by batch; yields the primary keys of the contracts each one changed.

    Urgent events, such as payments, come before all others, those too that arrive in the meantime. Events that another
    worker has in hand are left to it. Each batch is read at a moment of its own: a long inbox takes minutes. What is
    passed over stays for the next time.
    """
    after = {True: 0, False: 0}
    while True:
        for urgent in (True, False):
            seen, changed = _process_batch(urgent, after[urgent], clock)
            if seen:
                after[urgent] = seen
                yield changed
                break
        else:
            return


def _process_batch(urgent: bool, after: int, clock: Callable[[], datetime]) -> tuple[int, set[int]]:
    """The last event of the batch (0: there is none), and the contracts that were changed.

    One event that breaks us is marked as failed and holds up no other.
    """
    waiting = BillingEvent.objects.filter(status=EventStatusChoices.RECEIVED, is_urgent=urgent, pk__gt=after)
    waiting = waiting.order_by('pk')
    pks: list[int] = []
    try:
        with transaction.atomic():
            batch = list(waiting.select_for_update(skip_locked=True, of=('self',)).select_related('source')[:BATCH])
            pks = [event.pk for event in batch]
            return (pks[-1], _process(batch, clock())) if batch else (0, set())
    except JobTimeoutException:
        raise
    except OperationalError:
        # A deadlock, or a database that went away, is no event's fault: they stay for the next time.
        logger.exception('%d billing events wait: the database did not let us', len(pks))
        return (pks[-1] if pks else 0), set()
    except Exception:
        logger.exception('a batch of %d billing events could not be processed: one by one', len(pks))
    changed: set[int] = set()
    for pk in pks:
        changed |= process_event(pk, clock())
    return pks[-1], changed


def process_event(pk: int, now: datetime) -> set[int]:
    """Process one stored event, once; returns the contracts that it changed."""
    try:
        with transaction.atomic():
            received = BillingEvent.objects.filter(pk=pk, status=EventStatusChoices.RECEIVED).select_related('source')
            event = received.select_for_update(skip_locked=True, of=('self',)).first()
            return _process([event], now) if event else set()
    except (JobTimeoutException, OperationalError) as error:
        if isinstance(error, JobTimeoutException):
            raise
        logger.exception('billing event %s waits: the database did not let us', pk)
    except Exception as error:
        logger.exception('billing event %s could not be processed', pk)
        event = BillingEvent.objects.get(pk=pk)
        message = f'internal error: {error!r}'[:500]
        event.advance(
            status=EventStatusChoices.FAILED, message=message, processed_at=now, needs_attention=event.is_urgent
        )
        if event.needs_attention:
            alarm([event])
    return set()


def _process(events: Sequence[BillingEvent], now: datetime) -> set[int]:
    outcomes = [_read(event) for event in events]
    said = [(outcome, word) for outcome in outcomes for word in outcome.parsed.words]
    named = {(outcome.event.source_id, word.contract) for outcome, word in said if word.contract}
    named |= {(outcome.event.source_id, outcome.parsed.contract) for outcome in outcomes if outcome.parsed.contract}
    matches = resolve(named)
    rows, contracts, whole = [], set(), set()
    for outcome, word in said:
        if word.meaning is Meaning.HEARTBEAT:
            continue
        source = outcome.event.source_id
        match = matches[source, word.contract] if word.contract else Match('', '', None, False)
        if not word.contract:
            whole.add(source)
        rows.append((source, Entry(word, outcome.event.received_at, outcome.event.event_id), match))
        if match.contract is not None:
            contracts.add(match.contract)
            outcome.contract = match.contract
    for outcome in outcomes:
        _judge(outcome, matches)
    write_words(rows)
    if whole:
        contracts |= open_contracts(whole, list(contracts))
    post_contracts(contracts, now)
    # Before the evaluation: what has been read is no reason any more to take the feed for late.
    _close(outcomes, matches, now)
    evaluate(now, contracts)
    return contracts


def _read(event: BillingEvent) -> Outcome:
    """What an event says. It was read when it came in, but adapters and their parameters change."""
    try:
        _kind, parsed = parse_body(event.source, event.body.encode())
    except (BillingError, ValueError) as error:
        # It is not known of whom it speaks, unless it was known when it came in.
        return Outcome(event, EventStatusChoices.FAILED, str(error)[:500], needs_attention=event.is_urgent)
    if parsed.unrecognised:
        message = f'"{event.event_type}" is about money, and not known: see whom it concerns, then review it'
        return Outcome(event, EventStatusChoices.UNRECOGNISED, message[:500], parsed, needs_attention=True)
    return Outcome(event, EventStatusChoices.PROCESSED if parsed.words else EventStatusChoices.IGNORED, '', parsed)


def _judge(outcome: Outcome, matches: dict[tuple[int, str], Match]) -> None:
    """An event none of whose contracts is here is kept as unmatched. Whom its payment could mean is exempt."""
    named = [word for word in outcome.parsed.words if word.contract]
    if outcome.status != EventStatusChoices.PROCESSED or not named or outcome.contract is not None:
        return
    outcome.status = EventStatusChoices.UNMATCHED
    outcome.message = f'no contract "{named[0].contract}" of this source is known'
    relieves = any(word.meaning in RELIEVING for word in named)
    likely = any(matches[outcome.event.source_id, word.contract].resembles for word in named)
    outcome.needs_attention = relieves and (likely or outcome.event.source.known_in_full)


def _close(outcomes: Sequence[Outcome], matches: dict[tuple[int, str], Match], now: datetime) -> None:
    events = []
    for outcome in outcomes:
        event, said = outcome.event, describe(outcome.parsed)
        if match := matches.get((event.source_id, said['contract'])):
            event.reference = match.loose
        event.status, event.message, event.processed_at = outcome.status, outcome.message, now
        event.contract_id, event.needs_attention = outcome.contract, outcome.needs_attention
        if outcome.parsed.words or outcome.parsed.unrecognised:
            event.meaning, event.is_urgent = said['meaning'], said['is_urgent']
        event.last_updated = now
        events.append(event)
    BillingEvent.objects.bulk_update(events, [*DONE, 'last_updated'])
    alarm([event for event in events if event.needs_attention])


@transaction.atomic
def lapse_clearing(now: datetime) -> int:
    """What was to clear and has not is owed again; returns of how many contracts something lapsed."""
    contracts = lapsed_contracts(now)
    post_contracts(contracts, now)
    return len(contracts)


@transaction.atomic
def adopt_waiting(now: datetime, contracts: Sequence[int] | None = None) -> set[int]:
    """Post what was said of contracts before they were here; the contracts (of these, or of all) that had any."""
    adopted = attach_waiting(now, contracts)
    post_contracts(adopted, now)
    if adopted:
        evaluate(now, adopted)
    return adopted
