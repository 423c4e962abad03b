"""What follows at once when a notice or a hold is written, by whatever way: its one contract is evaluated."""

from django.db import transaction
from django.db.models.signals import post_delete, post_save, pre_save
from django.dispatch import receiver
from django.utils import timezone

from .models import Calendar, CalendarDate, Hold, Notice, StartDay

__all__ = ('reevaluate',)


def reevaluate(contract: int) -> None:
    """Put one contract where it belongs now; where that gives access back, give it back."""
    from .choices import RunStatusChoices
    from .jobs import start_run
    from .policy.evaluate import evaluate
    from .runs.plan import plan_runs, unplanned_lines

    now = timezone.now()
    evaluate(now, [contract])
    for run in plan_runs(unplanned_lines().filter(contract=contract), now, restores_only=True):
        if run.status == RunStatusChoices.APPROVED:
            transaction.on_commit(lambda run=run: start_run(run.pk), robust=True)


@receiver([post_save, post_delete], sender=Notice)
@receiver([post_save, post_delete], sender=Hold)
def evaluate_contract(instance, **kwargs):
    reevaluate(instance.contract_id)


@receiver([pre_save, post_save, post_delete], sender=CalendarDate)
@receiver(post_save, sender=Calendar)
def forget_days(instance, **kwargs):
    """The next evaluation writes them anew; until it has, nothing is restricted by them.

    Before a date is saved, those of the calendar that it leaves.
    """
    calendars = {instance.pk} if isinstance(instance, Calendar) else {instance.calendar_id}
    if isinstance(instance, CalendarDate):
        calendars |= set(CalendarDate.objects.filter(pk=instance.pk).values_list('calendar', flat=True))
    StartDay.objects.filter(calendar__in=calendars).delete()
