from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.urls import reverse
from django.utils.translation import gettext_lazy as _
from netbox.models import PrimaryModel

from nornir_tasks.engine.waves import Waves

from ..text import Text
from .lifecycle import LifecycleModel

__all__ = ('EnforcementSettings',)


def validate_waves(value: str) -> None:
    try:
        Waves.parse(value)
    except ValueError as error:
        raise ValidationError(str(error)) from error


def percent(label: Text, help_text: Text, default: int | None = None) -> models.PositiveSmallIntegerField:
    optional = {} if default is not None else {'blank': True, 'null': True}
    return models.PositiveSmallIntegerField(
        verbose_name=label, help_text=help_text, default=default,
        validators=[MinValueValidator(1), MaxValueValidator(100)], **optional,
    )  # fmt: skip


def count(label: Text, help_text: Text, default: int | None = None) -> models.PositiveIntegerField:
    optional = {} if default is not None else {'blank': True, 'null': True}
    return models.PositiveIntegerField(
        verbose_name=label, help_text=help_text, default=default, validators=[MinValueValidator(1)], **optional
    )


class EnforcementSettings(LifecycleModel, PrimaryModel):
    """How much runs may do, and the switch that stops them. There is one row; it is read anew whenever it counts.

    What gives access back is bound by none of this.
    """

    stopped = models.BooleanField(
        verbose_name=_('stop enforcement'), default=False,
        help_text=_('Nothing that takes access away is sent, from the next row on; restoring goes on'),
    )  # fmt: skip
    stop_reason = models.CharField(verbose_name=_('why it is stopped'), max_length=200, blank=True)
    four_eyes = models.BooleanField(
        verbose_name=_('four eyes'), default=False, help_text=_('Who planned a run does not approve it')
    )

    waves = models.CharField(
        verbose_name=_('waves'), max_length=100, default='1, 1%, 10%, rest', validators=[validate_waves],
        help_text=_('Sizes of successive waves: lines, percentages of the run, or "rest"'),
    )  # fmt: skip
    soak_seconds = models.PositiveIntegerField(
        verbose_name=_('soak (s)'), default=60, help_text=_('How long a finished wave is watched before the next one')
    )
    deadline_minutes = count(_('deadline (min)'), _('A run that takes longer is paused. Empty: none'))

    max_failed_percent = percent(_('failures (%)'), _('More rows of a run that went wrong pause it'), 5)
    min_rows = count(_('failures count from (rows)'), _('Rows closed before failures are judged by their share'), 20)
    max_refused_percent = percent(_('refusals (%)'), _('More rows refused by the boxes pause the run'), 20)
    max_session_drop_percent = percent(
        _('session drop (%)'), _('A point that loses more of its sessions than we ended pauses the run'), 5
    )
    max_latency_factor = count(_('latency (factor)'), _('A point that answers so many times slower pauses the run'), 10)

    max_rows_per_run = count(_('rows per run'), _('A larger plan is not approved'), 5_000)
    max_share_percent = percent(
        _('share of a point (%)'), _("A plan for more of a point's lines is not approved (from 20 lines on)"), 30
    )
    max_rows_per_hour = count(_('rows per hour'), _('Over all runs; what is beyond waits for the next hour'), 10_000)

    check_days = count(
        _('check valid for (days)'), _("How long a point's check is believed; an older one is warned of"), 7
    )
    allow_unchecked = models.BooleanField(
        verbose_name=_('allow unchecked points'), default=False,
        help_text=_('Restrict at points whose check was never run, is old or failed, though it may block nothing'),
    )  # fmt: skip

    reconcile_percent = percent(
        _('lines read an hour (%)'), _('Read back though nothing was sent, oldest first; drift is found so'), 10
    )

    # The switch is thrown by itself: a form that was opened before must not throw it back when it is saved.
    lifecycle_fields = ('stopped', 'stop_reason')

    class Meta:
        verbose_name = _('enforcement settings')
        verbose_name_plural = _('enforcement settings')
        constraints = [
            models.CheckConstraint(condition=Q(pk=1), name='netbox_delinquency_enforcementsettings_one_row'),
            models.CheckConstraint(
                condition=Q(stopped=False) | ~Q(stop_reason=''),
                name='netbox_delinquency_enforcementsettings_stop_reason',
                violation_error_message=_('Say why it is stopped: those who wonder tonight will read it.'),
            ),
        ]

    def __str__(self) -> str:
        return str(_('Enforcement settings'))

    @classmethod
    def load(cls) -> EnforcementSettings:
        """The settings as they are; those by default where nobody has saved any."""
        return cls.objects.filter(pk=1).first() or cls(pk=1)

    @classmethod
    def ensured(cls) -> EnforcementSettings:
        """The row, made with the defaults where nobody has saved any: pages and REST need one."""
        cls.objects.bulk_create([cls(pk=1)], ignore_conflicts=True)
        return cls.objects.get(pk=1)

    def save(self, *args: Any, **kwargs: Any) -> None:
        self.pk = 1
        super().save(*args, **kwargs)

    def throw(self, stopped: bool, reason: str = '') -> None:
        """Stop enforcement, for a reason, or let it go on. Raises `ValidationError` for a stop without a reason."""
        reason = reason.strip() if stopped else ''
        if stopped and not reason:
            raise ValidationError({'stop_reason': _('Say why it is stopped: those who wonder tonight will read it.')})
        self.advance(stopped=stopped, stop_reason=reason)

    def get_absolute_url(self) -> str:
        return reverse('plugins:netbox_delinquency:enforcementsettings', args=[1])
