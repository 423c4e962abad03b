from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from django.db import models
from django.utils.translation import gettext_lazy as _
from netbox.models import PrimaryModel

from ..choices import PlanChangeStatusChoices
from .lifecycle import LifecycleModel

__all__ = ('PlanChangeOrder',)


class PlanChangeOrder(LifecycleModel, PrimaryModel):
    """A smaller plan offered to somebody who cannot pay the present one, and taken or not.

    A real change of what the contract buys, agreed to: it asks for no notice and no calendar, is no stage of a ladder,
    and neither throttles nor restores. What is owed stays owed; an agreement or a promise is a hold of its own.
    """

    contract = models.ForeignKey(
        'Contract', on_delete=models.CASCADE, related_name='plan_changes', verbose_name=_('contract')
    )
    to_plan = models.ForeignKey(
        'ServicePlan', on_delete=models.PROTECT, related_name='+', verbose_name=_('to plan'),
        help_text=_('Not faster than the present one'),
    )  # fmt: skip
    reason = models.CharField(verbose_name=_('reason'), max_length=200)
    offered_until = models.DateField(
        verbose_name=_('offered until'), help_text=_('The last day on which it can be accepted')
    )
    from_plan = models.ForeignKey(
        'ServicePlan', on_delete=models.PROTECT, related_name='+', editable=False, verbose_name=_('from plan')
    )
    status = models.CharField(
        verbose_name=_('status'), max_length=30, choices=PlanChangeStatusChoices,
        default=PlanChangeStatusChoices.OFFERED, editable=False,
    )  # fmt: skip
    decided_at = models.DateTimeField(verbose_name=_('decided at'), blank=True, null=True, editable=False)

    lifecycle_fields = ('from_plan', 'status', 'decided_at')
    clone_fields = ('to_plan', 'reason', 'offered_until')

    class Meta:
        ordering = ('-pk',)
        verbose_name = _('plan change order')
        verbose_name_plural = _('plan change orders')
        constraints = [
            models.UniqueConstraint(
                fields=('contract',),
                condition=models.Q(status=PlanChangeStatusChoices.OFFERED),
                name='netbox_delinquency_planchangeorder_one_offer',
                violation_error_message=_('The contract has an open offer already: have it decided first.'),
            ),
        ]

    def __str__(self) -> str:
        return f'{self.contract}: {self.to_plan}'

    def get_status_color(self) -> str | None:
        return PlanChangeStatusChoices.colors.get(self.status)

    def clean(self) -> None:
        super().clean()
        if self.status != PlanChangeStatusChoices.OFFERED:
            raise ValidationError(_('The order is decided, and is history now: make a new one.'))
        if not self.contract_id or not self.to_plan_id:
            return
        present, offered = self.contract.plan, self.to_plan
        if present == offered or offered.down_kbps > present.down_kbps or offered.up_kbps > present.up_kbps:
            raise ValidationError({'to_plan': _('Offer a smaller plan: this one is not, beside the present one.')})

    def save(self, *args: Any, **kwargs: Any) -> None:
        if self._state.adding:
            self.from_plan = self.contract.plan
        super().save(*args, **kwargs)
