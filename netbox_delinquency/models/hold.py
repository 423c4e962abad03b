from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from netbox.models import PrimaryModel

from ..choices import HoldKindChoices
from .by_hand import SignedModel, user_at_work
from .lifecycle import LifecycleModel

__all__ = ('Hold',)

# The longest that a hold of a kind lasts, in days, so that none is for ever: what goes on is given anew. A trust
# unlock has its policy's days.
MAX_DAYS = {
    HoldKindChoices.DISPUTE: 180,
    HoldKindChoices.TICKET: 90,
    HoldKindChoices.OUTAGE: 30,
    HoldKindChoices.AGREEMENT: 1830,
    HoldKindChoices.PROMISE: 30,
    HoldKindChoices.COURT: 1830,
    HoldKindChoices.CLEARING: 14,
}
MAX_DAYS_OTHERWISE = 366


class Hold(SignedModel, LifecycleModel, PrimaryModel):
    """A reason not to act, from one moment to another; it ends by itself."""

    contract = models.ForeignKey('Contract', on_delete=models.PROTECT, related_name='holds', verbose_name=_('contract'))
    kind = models.CharField(verbose_name=_('kind'), max_length=30, choices=HoldKindChoices)
    reason = models.CharField(verbose_name=_('reason'), max_length=200)
    reference = models.CharField(
        verbose_name=_('reference'), max_length=100, blank=True, help_text=_('Ticket, agreement or case number')
    )
    approver = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name='+', verbose_name=_('approver'),
        null=True, editable=False,  # who gives it; billing's own agreements and disputes have none
    )  # fmt: skip
    asserted_by = models.CharField(
        verbose_name=_('asserted by'), max_length=100, blank=True, editable=False,
        help_text=_('The billing source that keeps this hold; empty: a person does'),
    )  # fmt: skip
    starts_at = models.DateTimeField(verbose_name=_('starts'), default=timezone.now)
    ends_at = models.DateTimeField(verbose_name=_('ends'))
    instalments = models.PositiveSmallIntegerField(
        verbose_name=_('instalments'), blank=True, null=True, help_text=_('Of a payment agreement')
    )

    ended_at = models.DateTimeField(verbose_name=_('ended'), blank=True, null=True, editable=False)
    end_reason = models.CharField(verbose_name=_('why it ended'), max_length=200, blank=True, editable=False)
    successor = models.ForeignKey(
        'PolicyStage', on_delete=models.PROTECT, related_name='+', blank=True, null=True, editable=False,
        verbose_name=_('successor stage'), help_text=_('Where a trust unlock leads when it ends and nothing was paid'),
    )  # fmt: skip

    lifecycle_fields = ('ended_at', 'end_reason', 'successor', 'asserted_by')
    clone_fields = ('contract', 'kind', 'reason')

    class Meta:
        ordering = ('-starts_at', 'pk')
        verbose_name = _('hold')
        verbose_name_plural = _('holds')
        constraints = [
            models.CheckConstraint(
                condition=models.Q(ends_at__gt=models.F('starts_at')),
                name='netbox_delinquency_hold_ends_after_start',
                violation_error_message=_('A hold ends after it starts: correct one of the times.'),
            ),
            models.CheckConstraint(
                condition=models.Q(approver__isnull=False) | ~models.Q(asserted_by=''),
                name='netbox_delinquency_hold_has_an_author',
            ),
            models.UniqueConstraint(
                fields=('contract', 'kind', 'reference'),
                condition=~models.Q(asserted_by=''),
                name='netbox_delinquency_hold_unique_of_billing',
            ),
        ]
        indexes = [models.Index(fields=('ends_at',), name='nbd_hold_ends')]

    def __str__(self) -> str:
        return f'{self.get_kind_display()} {self.starts_at:%Y-%m-%d}'

    def get_kind_color(self) -> str | None:
        return HoldKindChoices.colors.get(self.kind)

    def is_active(self, now: datetime) -> bool:
        return self.starts_at <= now < min(self.ends_at, self.ended_at or self.ends_at)

    def sign(self, user: Any) -> None:
        self.approver = user

    def clean(self) -> None:
        super().clean()
        self._clean_by_hand()
        if self.instalments and self.kind != HoldKindChoices.AGREEMENT:
            raise ValidationError({'instalments': _('Only a payment agreement has instalments.')})
        if self.kind == HoldKindChoices.TRUST and self.contract_id and self.starts_at and self.ends_at:
            self._clean_trust()

    def _clean_by_hand(self) -> None:
        user = user_at_work()
        if (
            user is not None
            and self.kind == HoldKindChoices.TRUST
            and self.contract_id
            and not user.has_perm('netbox_delinquency.unlock_contract', self.contract)
        ):
            raise ValidationError({'kind': _('A trust unlock is given by those who may unlock the contract.')})
        days = MAX_DAYS.get(self.kind, MAX_DAYS_OTHERWISE)
        if self.starts_at and self.ends_at and self.ends_at - self.starts_at > timedelta(days=days):
            if type(self).objects.filter(pk=self.pk, starts_at=self.starts_at, ends_at=self.ends_at).exists():
                return  # billing's own, or older than this rule: something else of it is changed
            text = _('A hold of this kind lasts at most {days} days: give it anew when they are over.')
            raise ValidationError({'ends_at': text.format(days=days)})

    def _clean_trust(self) -> None:
        policy = self.contract.policy
        if policy is None or not policy.trust_days:
            raise ValidationError({'kind': _("The contract's policy gives no trust unlock: set its days there.")})
        if self._state.adding and self.starts_at > timezone.now() + timedelta(minutes=5):
            raise ValidationError({'starts_at': _('A trust unlock begins when it is given: what follows it is fixed.')})
        if self.ends_at - self.starts_at > timedelta(days=policy.trust_days):
            text = _('A trust unlock lasts at most {days} days by policy {policy}.')
            raise ValidationError({'ends_at': text.format(days=policy.trust_days, policy=policy)})
        others = type(self).objects.filter(contract=self.contract_id, kind=self.kind).exclude(pk=self.pk)
        year = others.filter(starts_at__gt=self.starts_at - timedelta(days=365)).count()
        if year >= policy.trust_uses_a_year:
            text = _('{count} of {most} trust unlocks were used within a year: another needs a change of the policy.')
            raise ValidationError({'kind': text.format(count=year, most=policy.trust_uses_a_year)})
        since = self.starts_at - timedelta(days=policy.trust_gap_days)
        if others.filter(models.Q(ended_at__gt=since) | models.Q(ended_at__isnull=True, ends_at__gt=since)).exists():
            text = _('Between two trust unlocks there are at least {days} days.')
            raise ValidationError({'starts_at': text.format(days=policy.trust_gap_days)})
        # A stage that only warns may lie above one that throttles.
        if self._state.adding and policy.in_force(self.contract.stage) is None:
            raise ValidationError({'contract': _('Nothing is restricted, so there is nothing to unlock.')})

    def save(self, *args: Any, **kwargs: Any) -> None:
        if self._state.adding and self.kind == HoldKindChoices.TRUST and self.successor_id is None:
            # Fixed when it is given: what follows a trust unlock is known to both sides from the start.
            self.successor = self.contract.stage
        super().save(*args, **kwargs)
