from __future__ import annotations

from django.core.exceptions import ValidationError
from django.core.validators import MinValueValidator
from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _
from netbox.models import PrimaryModel

from nornir_tasks.change import AccessState

from ..text import Text
from .validation import validate_driver_parameters

__all__ = ('ServicePlan',)


def kbps(label: Text, help_text: Text) -> models.PositiveIntegerField:
    return models.PositiveIntegerField(verbose_name=label, validators=[MinValueValidator(1)], help_text=help_text)


class ServicePlan(PrimaryModel):
    """What a contract buys, and what it is reduced to while throttled. All rates are kbit/s."""

    name = models.CharField(verbose_name=_('name'), max_length=100, unique=True)
    down_kbps = kbps(_('download (kbit/s)'), _('Contracted rate towards the subscriber'))
    up_kbps = kbps(_('upload (kbit/s)'), _('Contracted rate from the subscriber'))
    throttled_down_kbps = kbps(_('throttled download (kbit/s)'), _('Rate towards the subscriber while throttled'))
    throttled_up_kbps = kbps(_('throttled upload (kbit/s)'), _('Rate from the subscriber while throttled'))
    parameters = models.JSONField(
        verbose_name=_('driver parameters'),
        blank=True,
        default=dict,
        help_text=_('By driver, for example {"routeros": {"profile": "fibre-100"}}'),
    )

    clone_fields = ('down_kbps', 'up_kbps', 'throttled_down_kbps', 'throttled_up_kbps', 'parameters')

    class Meta:
        ordering = ('name',)
        verbose_name = _('service plan')
        verbose_name_plural = _('service plans')
        constraints = [
            models.CheckConstraint(
                condition=Q(
                    throttled_down_kbps__gte=1,
                    throttled_up_kbps__gte=1,
                    throttled_down_kbps__lte=F('down_kbps'),
                    throttled_up_kbps__lte=F('up_kbps'),
                ),
                name='netbox_delinquency_serviceplan_rates',
                violation_error_message=_('The throttled rates are at least 1 kbit/s and at most the contracted ones.'),
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def throttled_state(self) -> AccessState:
        return AccessState.throttled(self.throttled_down_kbps, self.throttled_up_kbps)

    def clean(self) -> None:
        super().clean()
        if not isinstance(self.parameters, dict):
            raise ValidationError({'parameters': _('Give an object with one entry a driver.')})
        for driver, parameters in self.parameters.items():
            validate_driver_parameters('parameters', driver, parameters, 'LineParameters')
