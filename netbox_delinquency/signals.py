"""What follows at once when a notice or a hold is written, or a line, contract or point changes, by whatever way."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from django.db.models.signals import post_delete, post_save, pre_delete, pre_save
from django.dispatch import receiver
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _
from utilities.exceptions import AbortRequest

from .choices import ContractStatusChoices, LineChannelChoices, LineStatusChoices, RunStatusChoices
from .models import (
    AccessLine,
    Calendar,
    CalendarDate,
    Contract,
    EnforcementChange,
    EnforcementPoint,
    Hold,
    Notice,
    Restriction,
    StartDay,
)
from .models.sides import POINT, RESTRICTION, UNVERIFIED
from .runs.ownership import ATTEMPTS
from .workflow import adopt_words, reevaluate, retire_lines, start_lifts


@receiver([post_save, post_delete], sender=Notice)
@receiver([post_save, post_delete], sender=Hold)
def evaluate_contract(instance: Any, **kwargs: Any) -> None:
    reevaluate(instance.contract_id)


@receiver(post_save, sender=AccessLine)
def follow_the_line(instance: AccessLine, **kwargs: Any) -> None:
    """A line that came to a restriction, or left one, changes who has a right to it: its contracts are evaluated.

    Who comes next inherits nothing, and who moved has what was left behind lifted once nothing is owed.
    """
    touched = getattr(instance, 'touched_restrictions', None)
    if not touched:
        return
    instance.touched_restrictions = set()
    of = Restriction.objects.filter(pk__in=touched, contract__isnull=False).values_list('contract', flat=True)
    contracts = {*of, instance.contract_id}
    for side in LineChannelChoices.SIDES:
        if (held := getattr(instance, RESTRICTION[side])) is not None:
            held.be_kept_from(instance)
            held.save(update_fields=['line', 'contract', 'contract_name', 'last_updated'])
    for contract in sorted(contracts):
        reevaluate(contract)
    start_lifts(restrictions=touched)


@receiver(pre_delete, sender=AccessLine)
def keep_a_line_under_way(instance: Any, **kwargs: Any) -> None:
    """A line that an approved run is about to change stays until it has."""
    rows = EnforcementChange.objects.filter(line=instance, outcome='', run__status__in=RunStatusChoices.OPEN)
    row = rows.exclude(run__status=RunStatusChoices.PLANNED).select_related('run').first()
    if row is not None:
        text = _('Run {run} is about to change line {line}: cancel the run, or wait for its end; then delete the line.')
        raise AbortRequest(format_html(text, run=row.run, line=instance))
    EnforcementChange.objects.filter(line=instance, outcome='', run__status=RunStatusChoices.PLANNED).delete()
    kept = Restriction.objects.open().filter(line=instance)
    instance.left_restrictions = list(kept.values_list('pk', flat=True))


@receiver(post_delete, sender=AccessLine)
def lift_what_a_line_left(instance: AccessLine, **kwargs: Any) -> None:
    if left := getattr(instance, 'left_restrictions', ()):
        start_lifts(restrictions=left)


@receiver(post_save, sender=Contract)
def retire_the_lines(instance: Contract, created: bool, **kwargs: Any) -> None:
    """The lines' life follows their contract's."""
    if not created and instance.status == ContractStatusChoices.TERMINATED:
        retire_lines([instance.pk])


@receiver(pre_save, sender=EnforcementPoint)
def know_the_point(instance: Any, **kwargs: Any) -> None:
    """How the point stood: what follows depends on what is changed of it."""
    known = EnforcementPoint.objects.filter(pk=instance.pk).select_related('device', 'virtual_machine').first()
    instance.stood = known and (known.host, known.port, known.driver)


@receiver(post_save, sender=EnforcementPoint)
def read_the_point_anew(
    instance: Any, created: bool, update_fields: Collection[str] | None = None, **kwargs: Any
) -> None:
    """Behind another address there may be another box; and what was refused before may be taken now."""
    if created or (set(update_fields or ()) <= {*EnforcementPoint.lifecycle_fields, 'last_updated'} and update_fields):
        return
    fresh = Restriction(point=instance)
    Restriction.objects.open().filter(point=instance, retry_at__isnull=False).update(
        **{name: getattr(fresh, name) for name in ATTEMPTS}
    )
    stood = instance.stood
    if stood == (instance.host, instance.port, instance.driver):
        return
    for side, name in POINT.items():
        lines = AccessLine.objects.filter(**{name: instance})
        if stood and stood[2] != instance.driver:
            for line in lines:
                line.save(update_fields=[name])
        lines.filter(status=LineStatusChoices.ACTIVE).update(**{UNVERIFIED[side]: True})


@receiver(post_save, sender=Contract)
def read_what_waited(instance: Contract, update_fields: Collection[str] | None = None, **kwargs: Any) -> None:
    """A contract that appears, or gets another name, may have been paid for already."""
    if update_fields is None or {'external_id', 'aliases', 'source'} & set(update_fields):
        adopt_words([instance.pk])


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
