from django.core.validators import MinValueValidator
from django.db import models
from django.utils.translation import gettext_lazy as _
from netbox.models import NetBoxModel, PrimaryModel

from ..choices import StageActionChoices

__all__ = ('DelinquencyPolicy', 'PolicyStage')


class DelinquencyPolicy(PrimaryModel):
    """The ladder a contract climbs while it owes. Up waits for approval unless `auto_approve`; steps down never."""

    name = models.CharField(verbose_name=_('name'), max_length=100, unique=True)
    auto_approve = models.BooleanField(
        verbose_name=_('auto-approve'),
        default=False,
        help_text=_('Runs that take access away start without a person having approved them'),
    )

    clone_fields = ('auto_approve',)

    class Meta:
        ordering = ('name',)
        verbose_name = _('delinquency policy')
        verbose_name_plural = _('delinquency policies')

    def __str__(self):
        return self.name


class PolicyStage(NetBoxModel):
    """One rung: from `after_days` days after the oldest open due date on, `action` is what the line should have."""

    policy = models.ForeignKey(
        'DelinquencyPolicy', on_delete=models.CASCADE, related_name='stages', verbose_name=_('policy')
    )
    after_days = models.PositiveSmallIntegerField(
        verbose_name=_('after days'),
        validators=[MinValueValidator(1)],
        help_text=_('Whole days since the oldest open due date'),
    )
    action = models.CharField(verbose_name=_('action'), max_length=30, choices=StageActionChoices)

    clone_fields = ('policy', 'action')

    class Meta:
        ordering = ('policy', 'after_days')
        verbose_name = _('policy stage')
        verbose_name_plural = _('policy stages')
        constraints = [
            models.UniqueConstraint(
                fields=('policy', 'after_days'),
                name='netbox_delinquency_policystage_unique_day',
                violation_error_message=_('The policy already has a stage on that day.'),
            ),
            models.CheckConstraint(
                condition=models.Q(after_days__gte=1), name='netbox_delinquency_policystage_after_days'
            ),
        ]

    def __str__(self):
        return f'{self.policy}: {self.get_action_display()} ({self.after_days})'

    def get_action_color(self):
        return StageActionChoices.colors.get(self.action)
