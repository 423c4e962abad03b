from __future__ import annotations

from zoneinfo import available_timezones

from django.core.exceptions import ValidationError
from django.db import models
from django.utils.translation import gettext_lazy as _
from netbox.models import NetBoxModel, PrimaryModel
from utilities.querysets import RestrictedQuerySet

from ..policy.calendar import UnknownRegionError, normal_days, public_holidays

__all__ = ('Calendar', 'CalendarDate', 'StartDay', 'validate_days', 'validate_time_zone')


def validate_days(value: str) -> None:
    try:
        normal_days(value)
    except ValueError as error:
        raise ValidationError(str(error)) from error


def validate_time_zone(value: str) -> None:
    if value not in available_timezones():
        raise ValidationError(
            _('There is no time zone "{value}": give one like America/Sao_Paulo.').format(value=value)
        )


class Calendar(PrimaryModel):
    """The holidays and the time zone of a place: a country's and a state's by library, a city's as own dates."""

    name = models.CharField(verbose_name=_('name'), max_length=100, unique=True)
    country = models.CharField(verbose_name=_('country'), max_length=2, help_text=_('ISO 3166-1, for example BR'))
    subdivision = models.CharField(
        verbose_name=_('state'), max_length=10, blank=True, help_text=_('ISO 3166-2 without the country, such as SP')
    )
    city = models.CharField(
        verbose_name=_('city'), max_length=100, blank=True, help_text=_('Its holidays are entered as own dates')
    )
    time_zone = models.CharField(verbose_name=_('time zone'), max_length=50, validators=[validate_time_zone])

    clone_fields = ('country', 'subdivision', 'time_zone')

    class Meta:
        ordering = ('name',)
        verbose_name = _('calendar')
        verbose_name_plural = _('calendars')

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        super().clean()
        try:
            public_holidays(self.country, self.subdivision, [2026])
        except UnknownRegionError as error:
            raise ValidationError({error.field: str(error)}) from error


class CalendarDate(NetBoxModel):
    """A day of a calendar's own: a holiday the library does not know, or one of the library's that is not kept here."""

    calendar = models.ForeignKey('Calendar', on_delete=models.CASCADE, related_name='dates', verbose_name=_('calendar'))
    date = models.DateField(verbose_name=_('date'))
    name = models.CharField(verbose_name=_('name'), max_length=100)
    is_holiday = models.BooleanField(
        verbose_name=_('is a holiday'), default=True, help_text=_('No: a public holiday that is an ordinary day here')
    )

    clone_fields = ('calendar', 'is_holiday')

    class Meta:
        ordering = ('calendar', 'date')
        verbose_name = _('calendar date')
        verbose_name_plural = _('calendar dates')
        constraints = [
            models.UniqueConstraint(
                fields=('calendar', 'date'),
                name='netbox_delinquency_calendardate_unique',
                violation_error_message=_('The calendar already has that date.'),
            ),
        ]

    def __str__(self) -> str:
        return f'{self.date} {self.name}'


class StartDay(models.Model):
    """For each day the next one on which a restriction may start: what evaluation joins. Written by `policy.days`."""

    calendar = models.ForeignKey('Calendar', on_delete=models.CASCADE, related_name='+')
    closed = models.CharField(max_length=60)
    day = models.DateField()
    next_day = models.DateField()

    objects = RestrictedQuerySet.as_manager()

    class Meta:
        ordering = ('calendar', 'closed', 'day')
        constraints = [
            models.UniqueConstraint(fields=('calendar', 'closed', 'day'), name='netbox_delinquency_startday_unique'),
        ]

    def __str__(self) -> str:
        return f'{self.day} → {self.next_day}'
