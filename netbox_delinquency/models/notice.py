from __future__ import annotations

from datetime import datetime

from django.core.exceptions import ValidationError
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from netbox.models import PrimaryModel

from ..choices import NoticeChannelChoices, NoticeKindChoices

__all__ = ('Notice',)


class Notice(PrimaryModel):
    """Proof that the subscriber was notified: what, how, when, and who says so. The text itself stays with billing."""

    contract = models.ForeignKey(
        'Contract', on_delete=models.PROTECT, related_name='notices', verbose_name=_('contract')
    )
    kind = models.CharField(verbose_name=_('kind'), max_length=30, choices=NoticeKindChoices)
    reference = models.CharField(
        verbose_name=_('reference'), max_length=100, help_text=_("Billing's identifier of the notice, or its hash")
    )
    channel = models.CharField(
        verbose_name=_('channel'), max_length=30, choices=NoticeChannelChoices, default=NoticeChannelChoices.OTHER
    )
    sent_at = models.DateTimeField(verbose_name=_('sent'), blank=True, null=True)
    delivered_at = models.DateTimeField(
        verbose_name=_('delivered'), blank=True, null=True, help_text=_('The clock of the law starts here')
    )
    asserted_by = models.CharField(
        verbose_name=_('asserted by'), max_length=100, help_text=_('Who says so: a billing system, a carrier, a person')
    )

    clone_fields = ('contract', 'kind', 'channel', 'asserted_by')

    class Meta:
        ordering = ('-delivered_at', 'pk')
        verbose_name = _('notice')
        verbose_name_plural = _('notices')
        constraints = [
            models.UniqueConstraint(
                fields=('contract', 'kind', 'reference'),
                name='netbox_delinquency_notice_unique_reference',
                violation_error_message=_('The contract already has a notice with that reference.'),
            ),
            models.CheckConstraint(
                condition=models.Q(sent_at__isnull=True)
                | models.Q(delivered_at__isnull=True)
                | models.Q(delivered_at__gte=models.F('sent_at')),
                name='netbox_delinquency_notice_sent_first',
                violation_error_message=_('A notice is not delivered before it is sent: correct one of the times.'),
            ),
        ]

    def __str__(self) -> str:
        return self.reference

    def get_kind_color(self) -> str | None:
        return NoticeKindChoices.colors.get(self.kind)

    def clean(self) -> None:
        super().clean()
        for name in ('sent_at', 'delivered_at'):
            moment = getattr(self, name)
            if isinstance(moment, datetime) and moment > timezone.now():
                raise ValidationError({name: _('A notice is proof of what was: give a moment that has passed.')})
