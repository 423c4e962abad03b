"""What follows at once when a notice or a hold is written, by whatever way: its one contract is evaluated."""

from __future__ import annotations

from typing import Any

from django.db.models.signals import post_delete, post_save, pre_save
from django.dispatch import receiver

from .models import Calendar, CalendarDate, Hold, Notice, StartDay
from .workflow import reevaluate


@receiver([post_save, post_delete], sender=Notice)
@receiver([post_save, post_delete], sender=Hold)
def evaluate_contract(instance: Any, **kwargs: Any) -> None:
    reevaluate(instance.contract_id)


@receiver([pre_save, post_save, post_delete], sender=CalendarDate)
@receiver(post_save, sender=Calendar)
def forget_days(instance: Any, **kwargs: Any) -> None:
    """The next evaluation writes them anew; until it has, nothing is restricted by them.

    Before a date is saved, those of the calendar that it leaves.
    """
    calendars = {instance.pk} if isinstance(instance, Calendar) else {instance.calendar_id}
    if isinstance(instance, CalendarDate):
        calendars |= set(CalendarDate.objects.filter(pk=instance.pk).values_list('calendar', flat=True))
    StartDay.objects.filter(calendar__in=calendars).delete()
