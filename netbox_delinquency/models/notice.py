from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.core.exceptions import ValidationError
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from netbox.models import PrimaryModel

from ..choices import NoticeChannelChoices, NoticeKindChoices
from .by_hand import SignedModel, user_at_work

__all__ = ('Notice',)

# How long ago a delivery may be that a person records: the time to write it down. What was delivered before, billing
# says itself, signed.
BY_HAND_WITHIN = timedelta(hours=1)
EVIDENCE = ('contract_id', 'kind', 'reference', 'channel', 'sent_at', 'delivered_at', 'asserted_by')


class Notice(SignedModel, PrimaryModel):
    """Proof that the subscriber was notified: what, how, when, and who says so. The text itself stays with billing.

    It is never changed. One that a person records is asserted by that person, who has a permission for it, and counts
    from when it was recorded.
    """

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
        verbose_name=_('asserted by'), max_length=100, editable=False,
        help_text=_('Who says so: a billing system, a carrier, a person')
    )  # fmt: skip

    clone_fields = ('contract', 'kind', 'channel')

    class Meta:
        ordering = ('-delivered_at', 'pk')
        verbose_name = _('notice')
        verbose_name_plural = _('notices')
        permissions = [('record', 'Record a notice by hand')]
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

    def sign(self, user: Any) -> None:
        self.asserted_by = user.get_username()[:100]

    def clean(self) -> None:
        super().clean()
        if self._state.adding:
            self._clean_by_hand()
        else:
            self._clean_unchanged()
        for name in ('sent_at', 'delivered_at'):
            moment = getattr(self, name)
            if isinstance(moment, datetime) and moment > timezone.now():
                raise ValidationError({name: _('A notice is proof of what was: give a moment that has passed.')})

    def _clean_by_hand(self) -> None:
        user = user_at_work()
        if user is None:
            return
        if not user.has_perm('netbox_delinquency.record_notice'):
            raise ValidationError(_('You may not record notices by hand: they are proof. Billing sends them, signed.'))
        if isinstance(self.delivered_at, datetime) and self.delivered_at < timezone.now() - BY_HAND_WITHIN:
            text = _('What a person records counts from now on: a delivery of earlier is sent by billing, signed.')
            raise ValidationError({'delivered_at': text})

    def _clean_unchanged(self) -> None:
        stored = type(self).objects.filter(pk=self.pk).values(*EVIDENCE).first()
        if stored and any(getattr(self, name) != value for name, value in stored.items()):
            raise ValidationError(_('A notice is proof and is not changed: delete it, and record another.'))
