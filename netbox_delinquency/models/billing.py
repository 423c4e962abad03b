from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.core.validators import MinValueValidator
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from netbox.models import NetBoxModel, PrimaryModel

from ..choices import EventStatusChoices
from .lifecycle import LifecycleModel
from .point import validate_credential_name

__all__ = ('BillingEvent', 'BillingSource')


# What billing sent, and we have not processed for so long, may be a payment.
UNREAD = timedelta(minutes=5)


class BillingSource(LifecycleModel, PrimaryModel):
    """A billing system that may call `…/webhooks/<slug>/`. Its signing key is known here by name only."""

    name = models.CharField(verbose_name=_('name'), max_length=100, unique=True)
    slug = models.SlugField(verbose_name=_('slug'), max_length=100, unique=True)
    enabled = models.BooleanField(verbose_name=_('enabled'), default=True)
    credential = models.CharField(
        verbose_name=_('credential'), max_length=100, validators=[validate_credential_name],
        help_text=_('Name of the credential that holds the signing key as "secret"'),
    )  # fmt: skip
    heartbeat_minutes = models.PositiveIntegerField(
        verbose_name=_('heartbeat (minutes)'), blank=True, null=True, validators=[MinValueValidator(1)],
        help_text=_('Longest silence that is normal; past it nothing escalates. Empty: not watched'),
    )  # fmt: skip
    last_event_at = models.DateTimeField(verbose_name=_('last event'), blank=True, null=True, editable=False)

    lifecycle_fields = ('last_event_at',)
    clone_fields = ('enabled', 'heartbeat_minutes')

    class Meta:
        ordering = ('name',)
        verbose_name = _('billing source')
        verbose_name_plural = _('billing sources')

    def __str__(self) -> str:
        return self.name

    @property
    def late(self) -> bool:
        """As lists show it, where each row may cost no query: by the heartbeat alone."""
        return self.is_silent(timezone.now())

    def is_late(self, now: datetime) -> bool:
        """True where the feed is silent, or lies unread with us: its contracts' escalations freeze."""
        unread = self.events.filter(status=EventStatusChoices.RECEIVED, received_at__lt=now - UNREAD)
        return self.is_silent(now) or unread.exists()

    def is_silent(self, now: datetime) -> bool:
        """True where nothing was heard for longer than the heartbeat."""
        if self.heartbeat_minutes is None:
            return False
        return self.last_event_at is None or now - self.last_event_at > timedelta(minutes=self.heartbeat_minutes)


class BillingEvent(LifecycleModel, NetBoxModel):
    """One event as billing sent it: a hint to recompute, never an order. `body` is the raw text that was signed."""

    source = models.ForeignKey(
        'BillingSource', on_delete=models.PROTECT, related_name='events', verbose_name=_('source')
    )
    event_id = models.CharField(verbose_name=_('event ID'), max_length=200, help_text=_("The sender's own, unique"))
    event_type = models.CharField(verbose_name=_('type'), max_length=100, blank=True)
    body = models.TextField(verbose_name=_('body'), help_text=_('The event as JSON'))
    status = models.CharField(
        verbose_name=_('status'), max_length=30, choices=EventStatusChoices, default=EventStatusChoices.RECEIVED,
        editable=False,
    )  # fmt: skip
    message = models.CharField(verbose_name=_('message'), max_length=500, blank=True, editable=False)
    contract = models.ForeignKey(
        'Contract', on_delete=models.SET_NULL, related_name='billing_events', blank=True, null=True, editable=False,
        verbose_name=_('contract'),
    )  # fmt: skip
    received_at = models.DateTimeField(verbose_name=_('received at'), auto_now_add=True)
    processed_at = models.DateTimeField(verbose_name=_('processed at'), blank=True, null=True, editable=False)

    lifecycle_fields = ('status', 'message', 'contract', 'processed_at')

    class Meta:
        ordering = ('-pk',)
        verbose_name = _('billing event')
        verbose_name_plural = _('billing events')
        permissions = [('process', 'Process again')]
        indexes = [
            models.Index(
                fields=('source', 'received_at'),
                name='nbd_event_inbox',
                condition=models.Q(status=EventStatusChoices.RECEIVED),
            )
        ]
        constraints = [
            models.UniqueConstraint(
                fields=('source', 'event_id'),
                name='netbox_delinquency_billingevent_unique_id',
                violation_error_message=_('This event was received already.'),
            ),
            models.CheckConstraint(
                condition=models.Q(status=EventStatusChoices.RECEIVED) | models.Q(processed_at__isnull=False),
                name='netbox_delinquency_billingevent_processed_at',
            ),
        ]

    def __str__(self) -> str:
        return self.event_id

    def serialize_object(self, exclude: list[str] | None = None) -> dict[str, Any]:
        """What the change log keeps: without the body, which says more of a person than the log's readers need."""
        return super().serialize_object(exclude=[*(exclude or ()), 'body'])

    def get_status_color(self) -> str | None:
        return EventStatusChoices.colors.get(self.status)
