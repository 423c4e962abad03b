"""Events of ours for NetBox's event rules: runs that start, pause and end, lines that change.

The one module that knows NetBox's `extras.events`, which is no public interface. Nothing is built unless a rule asks
for that type, and what is sent holds no sum that anybody owes.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING

from django.db import transaction
from django.db.models import Model
from django.utils.translation import gettext_lazy as _
from netbox.events import EVENT_TYPE_KIND_DANGER, EVENT_TYPE_KIND_SUCCESS, EVENT_TYPE_KIND_WARNING, EventType
from redis.exceptions import RedisError

from .choices import AccessModeChoices, OutcomeChoices

if TYPE_CHECKING:
    from extras.events import EventContext

    from .models import AccessLine, EnforcementChange, Restriction

logger = logging.getLogger('netbox_delinquency.events')

__all__ = (
    'BILLING_NEEDS_ATTENTION',
    'LINE_BLOCKED',
    'LINE_FOREIGN',
    'LINE_RESTORED',
    'LINE_THROTTLED',
    'LINE_UNKNOWN',
    'RESTORE_LATE',
    'RUN_COMPLETED',
    'RUN_PAUSED',
    'RUN_STARTED',
    'LineEvents',
    'register_event_types',
    'send_event',
    'send_restore_late',
)

RUN_STARTED, RUN_PAUSED, RUN_COMPLETED = 'run.started', 'run.paused', 'run.completed'
LINE_BLOCKED, LINE_THROTTLED, LINE_RESTORED = 'line.blocked', 'line.throttled', 'line.restored'
LINE_UNKNOWN, LINE_FOREIGN = 'line.unknown', 'line.foreign'
RESTORE_LATE = 'restore.late'
BILLING_NEEDS_ATTENTION = 'billing.needs_attention'

TYPES = (
    EventType(RUN_STARTED, _('Enforcement run started')),
    EventType(RUN_PAUSED, _('Enforcement run paused'), kind=EVENT_TYPE_KIND_WARNING),
    EventType(RUN_COMPLETED, _('Enforcement run ended'), kind=EVENT_TYPE_KIND_SUCCESS),
    EventType(LINE_BLOCKED, _('Access line blocked'), kind=EVENT_TYPE_KIND_WARNING),
    EventType(LINE_THROTTLED, _('Access line throttled'), kind=EVENT_TYPE_KIND_WARNING),
    EventType(LINE_RESTORED, _('Access line restored'), kind=EVENT_TYPE_KIND_SUCCESS),
    EventType(LINE_UNKNOWN, _('Access line unverified'), kind=EVENT_TYPE_KIND_DANGER),
    EventType(
        LINE_FOREIGN, _('Access line given back by us, and still restricted by another'), kind=EVENT_TYPE_KIND_WARNING
    ),
    EventType(RESTORE_LATE, _('Restriction owed back for too long'), kind=EVENT_TYPE_KIND_DANGER),
    EventType(BILLING_NEEDS_ATTENTION, _('Billing event needs attention'), kind=EVENT_TYPE_KIND_DANGER),
)
BY_MODE = {
    AccessModeChoices.BLOCKED: LINE_BLOCKED,
    AccessModeChoices.THROTTLED: LINE_THROTTLED,
    AccessModeChoices.NORMAL: LINE_RESTORED,
}


def register_event_types() -> None:
    """Once, when the plugin is ready."""
    for event_type in TYPES:
        event_type.register()


def send_event(instance: Model, event_type: str) -> None:
    """Send the event of an object that was just changed, once the transaction is through."""
    if _wanted(type(instance), [event_type]):
        transaction.on_commit(partial(_flush, [_context(instance, event_type)]), robust=True)


def send_restore_late(restriction: Restriction) -> None:
    """Tell of what is owed back for longer than the policy allows, once the transaction is through."""
    if _wanted(type(restriction), [RESTORE_LATE]):
        transaction.on_commit(partial(_flush, [_context(restriction, RESTORE_LATE)]), robust=True)


class LineEvents:
    """What became of the lines of one batch: sent once the batch is journaled, for the types that rules ask for."""

    def __init__(self, model: type[Model]) -> None:
        self.wanted = _wanted(model, [LINE_UNKNOWN, LINE_FOREIGN, *BY_MODE.values()])
        self._contexts: list[EventContext] = []

    def before(self, lines: Iterable[AccessLine]) -> None:
        """Before anything is written onto these lines."""
        if self.wanted:
            for line in lines:
                line.snapshot()

    def add(self, line: AccessLine, row: EnforcementChange) -> None:
        """A line whose row has just been closed; one that already was as it should be is no news."""
        if row.outcome == OutcomeChoices.UNKNOWN:
            event_type = LINE_UNKNOWN
        elif row.outcome in (OutcomeChoices.APPLIED, OutcomeChoices.OFFLINE) and row.desired_mode:
            event_type = BY_MODE[row.desired_mode]
            if row.desired_mode == AccessModeChoices.NORMAL and line.foreign_at(row.channel):
                event_type = LINE_FOREIGN
        else:
            return
        if event_type in self.wanted:
            self._contexts.append(_context(line, event_type))

    def send(self) -> None:
        if self._contexts:
            transaction.on_commit(partial(_flush, self._contexts), robust=True)


def _wanted(model: type[Model], event_types: list[str]) -> set[str]:
    """Which of these types some enabled rule for this model asks for."""
    from core.models import ObjectType
    from extras.models import EventRule

    rules = EventRule.objects.filter(
        enabled=True, object_types=ObjectType.objects.get_for_model(model), event_types__overlap=event_types
    )
    asked = {name for names in rules.values_list('event_types', flat=True) for name in names}
    return asked & set(event_types)


def _context(instance: Model, event_type: str) -> EventContext:
    from core.models import ObjectType
    from extras.events import EventContext, get_snapshots

    # Without a request: there is none, and NetBox takes an absent one for that, but not an empty one.
    return EventContext(
        object_type=ObjectType.objects.get_for_model(instance),
        object_id=instance.pk,
        object=instance,
        event_type=event_type,
        snapshots=get_snapshots(instance, event_type),
        user=None,
    )


def _flush(contexts: list[EventContext]) -> None:
    from extras.events import flush_events

    try:
        flush_events(contexts)
    except RedisError:
        # What was done to lines is in the journal, whoever did not get the event; the run goes on.
        logger.exception('%d events were lost: they could not be queued', len(contexts))
