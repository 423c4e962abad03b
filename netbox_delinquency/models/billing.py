from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MinValueValidator
from django.db import models, transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from netbox.models import NetBoxModel, PrimaryModel

from nornir_tasks.credentials import get_credential
from nornir_tasks.errors import CredentialMissingError

from ..billing.base import BillingError
from ..billing.reading import describe, parse_body
from ..billing.registry import DEFAULT_ADAPTER, get_adapter
from ..choices import EventStatusChoices
from .hold import Hold
from .lifecycle import LifecycleModel
from .notice import Notice
from .point import validate_credential_name
from .validation import validate_adapter_parameters

__all__ = ('BillingEvent', 'BillingSource')


# What billing sent, and we have not processed for so long, may be a payment.
UNREAD = timedelta(minutes=5)
# A source is watched unless somebody chooses otherwise.
HEARTBEAT_MINUTES = 24 * 60


class BillingSource(LifecycleModel, PrimaryModel):
    """A billing system that may call `…/webhooks/<slug>/`. Its signing key is known here by name only."""

    name = models.CharField(verbose_name=_('name'), max_length=100, unique=True)
    slug = models.SlugField(verbose_name=_('slug'), max_length=100, unique=True)
    enabled = models.BooleanField(verbose_name=_('enabled'), default=True)
    credential = models.CharField(
        verbose_name=_('credential'), max_length=100, validators=[validate_credential_name],
        help_text=_('Name of the credential that holds the signing key as "secret"'),
    )  # fmt: skip
    adapter = models.CharField(
        verbose_name=_('adapter'), max_length=50, default=DEFAULT_ADAPTER,
        help_text=_('How this source speaks: one of the adapters installed here'),
    )  # fmt: skip
    parameters = models.JSONField(verbose_name=_('parameters'), blank=True, default=dict)
    heartbeat_minutes = models.PositiveIntegerField(
        verbose_name=_('heartbeat (minutes)'), blank=True, null=True, default=HEARTBEAT_MINUTES,
        validators=[MinValueValidator(1)],
        help_text=_(
            'Longest time without word of payments that is normal; past it nothing becomes more restrictive. '
            'Empty: not watched'
        ),
    )  # fmt: skip
    known_in_full = models.BooleanField(
        verbose_name=_('known in full'), default=False,
        help_text=_('All its contracts are here: a payment for one that is not raises an alarm'),
    )  # fmt: skip
    last_event_at = models.DateTimeField(verbose_name=_('last event'), blank=True, null=True, editable=False)
    payments_known_at = models.DateTimeField(
        verbose_name=_('payments known until'), blank=True, null=True, editable=False,
        help_text=_('Until when we would have heard of a payment'),
    )  # fmt: skip

    lifecycle_fields = ('last_event_at', 'payments_known_at')
    clone_fields = ('enabled', 'adapter', 'parameters', 'heartbeat_minutes', 'known_in_full')

    class Meta:
        ordering = ('name',)
        verbose_name = _('billing source')
        verbose_name_plural = _('billing sources')

    def __str__(self) -> str:
        return self.name

    @transaction.atomic
    def save(self, *args: Any, **kwargs: Any) -> None:
        """What it asserted is found by its name: notices that it withdraws later, too."""
        before = type(self).objects.filter(pk=self.pk).values_list('name', flat=True).first() if self.pk else None
        super().save(*args, **kwargs)
        if before is not None and before != self.name:
            for model in (Notice, Hold):
                model.objects.filter(contract__source=self, asserted_by=before).update(asserted_by=self.name)

    def clean(self) -> None:
        super().clean()
        validate_adapter_parameters('parameters', self.adapter, self.parameters)
        if problem := self.key_problem:
            raise ValidationError({'credential': problem})

    @property
    def key_problem(self) -> str:
        """What is wrong with the signing key, where it can be read from here; empty where nothing is."""
        try:
            get_adapter(self.adapter).check_credential(get_credential(self.credential))
        except CredentialMissingError:
            return ''  # it may be another process that has it; the webhook answers 503 until this one does
        except BillingError as error:
            return str(error)
        return ''

    @property
    def late(self) -> bool:
        """As lists show it, where each row may cost no query: by the heartbeat alone."""
        return self.is_silent(timezone.now())

    def is_late(self, now: datetime) -> bool:
        """True where word of payments is missing, lies unread with us, or could not be read: nothing restricts more."""
        unread = Q(status=EventStatusChoices.RECEIVED, received_at__lt=now - UNREAD)
        return self.is_silent(now) or self.events.filter(unread | Q(needs_attention=True, reference='')).exists()

    def is_silent(self, now: datetime) -> bool:
        """True where nothing was heard of payments for longer than the heartbeat: debts alone do not count."""
        if self.heartbeat_minutes is None:
            return False
        known = self.payments_known_at
        return known is None or now - known > timedelta(minutes=self.heartbeat_minutes)


class BillingEvent(LifecycleModel, NetBoxModel):
    """One event as billing sent it: a hint to recompute, never an order. `body` is the raw text that was signed."""

    source = models.ForeignKey(
        'BillingSource', on_delete=models.PROTECT, related_name='events', verbose_name=_('source')
    )
    event_id = models.CharField(verbose_name=_('event ID'), max_length=250, help_text=_("The sender's own, unique"))
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
    meaning = models.CharField(verbose_name=_('meaning'), max_length=30, blank=True, editable=False)
    is_urgent = models.BooleanField(
        verbose_name=_('urgent'), default=True, editable=False, help_text=_('May relieve somebody: processed first')
    )
    reference = models.CharField(
        verbose_name=_('reference'), max_length=400, blank=True, editable=False,
        help_text=_('Of the contract that it names, as it is compared with others'),
    )  # fmt: skip
    received_at = models.DateTimeField(verbose_name=_('received at'), default=timezone.now, editable=False)
    processed_at = models.DateTimeField(verbose_name=_('processed at'), blank=True, null=True, editable=False)

    needs_attention = models.BooleanField(
        verbose_name=_('needs attention'), default=False, editable=False,
        help_text=_('About money, and not understood: whom it may concern is exempt until a person has looked'),
    )  # fmt: skip
    reviewed_at = models.DateTimeField(verbose_name=_('reviewed at'), blank=True, null=True, editable=False)
    reviewed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, related_name='+', blank=True, null=True, editable=False,
        verbose_name=_('reviewed by'),
    )  # fmt: skip

    lifecycle_fields = (
        'status', 'message', 'contract', 'processed_at', 'meaning', 'is_urgent', 'reference', 'needs_attention',
        'reviewed_at', 'reviewed_by',
    )  # fmt: skip

    class Meta:
        ordering = ('-pk',)
        verbose_name = _('billing event')
        verbose_name_plural = _('billing events')
        permissions = [('process', 'Process again'), ('review', 'Say that a person has looked')]
        indexes = [
            models.Index(
                fields=('-is_urgent', 'id'), name='nbd_event_queue', condition=Q(status=EventStatusChoices.RECEIVED)
            ),
            models.Index(fields=('source', 'reference'), name='nbd_event_attention', condition=Q(needs_attention=True)),
            models.Index(
                fields=('source', 'received_at'),
                name='nbd_event_inbox',
                condition=Q(status=EventStatusChoices.RECEIVED),
            ),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=('source', 'event_id'),
                name='netbox_delinquency_billingevent_unique_id',
                violation_error_message=_('This event was received already.'),
            ),
            models.CheckConstraint(
                condition=Q(status=EventStatusChoices.RECEIVED) | Q(processed_at__isnull=False),
                name='netbox_delinquency_billingevent_processed_at',
            ),
        ]

    def __str__(self) -> str:
        return self.event_id

    def save(self, *args: Any, **kwargs: Any) -> None:
        if self._state.adding and not self.meaning:
            self._describe()
        super().save(*args, **kwargs)

    def clean(self) -> None:
        """One that a person enters is refused as the webhook would refuse it, and is of the type that its body is."""
        super().clean()
        if not self._state.adding or not self.source_id:
            return
        try:
            kind, _parsed = parse_body(self.source, self.body.encode())
        except (BillingError, ValueError) as error:
            raise ValidationError({'body': str(error)}) from error
        if self.event_type and self.event_type != kind:
            text = _('By its body this event is "{kind}".')
            raise ValidationError({'event_type': text.format(kind=kind)})

    def _describe(self) -> None:
        """As the webhook does it, of one that a person enters; what cannot be read stays urgent."""
        try:
            kind, parsed = parse_body(self.source, self.body.encode())
        except (BillingError, ValueError):
            return
        said = describe(parsed)
        self.event_type = self.event_type or kind
        self.meaning, self.is_urgent = said['meaning'], said['is_urgent']

    def serialize_object(self, exclude: list[str] | None = None) -> dict[str, Any]:
        """What the change log keeps: without the body, which says more of a person than the log's readers need."""
        return super().serialize_object(exclude=[*(exclude or ()), 'body'])

    def get_status_color(self) -> str | None:
        return EventStatusChoices.colors.get(self.status)
