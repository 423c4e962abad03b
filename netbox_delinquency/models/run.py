from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.signals import pre_delete
from django.dispatch import receiver
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _
from netbox.models import PrimaryModel
from netbox.models.features import JobsMixin
from utilities.exceptions import AbortRequest

from ..choices import RunKindChoices, RunStatusChoices
from ..reasons import Reason, ReasonCode, restored, translated
from .lifecycle import LifecycleModel

if TYPE_CHECKING:
    pass


__all__ = ('EnforcementRun', 'RunPoint')


class EnforcementRun(LifecycleModel, JobsMixin, PrimaryModel):
    """A bulk change: rows planned, approved by the hash over them, sent, read back. Its rows are its journal."""

    name = models.CharField(verbose_name=_('name'), max_length=100)
    kind = models.CharField(
        verbose_name=_('kind'), max_length=30, choices=RunKindChoices, default=RunKindChoices.ENFORCE, editable=False
    )
    status = models.CharField(
        verbose_name=_('status'), max_length=30, choices=RunStatusChoices, default=RunStatusChoices.PLANNED,
        editable=False,
    )  # fmt: skip
    executor = models.CharField(
        verbose_name=_('executor'), max_length=200, blank=True, editable=False,
        help_text=_("The runbook that works this run off, and its user; empty: NetBox's workers do"),
    )  # fmt: skip
    resumed_at = models.DateTimeField(
        verbose_name=_('resumed at'), blank=True, null=True, editable=False,
        help_text=_('When it was begun, or last resumed; its breaker and its deadline count from there'),
    )  # fmt: skip
    plan_hash = models.CharField(
        verbose_name=_('plan hash'), max_length=64, blank=True, editable=False, help_text=_('SHA-256 over all rows')
    )
    author = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, related_name='+', blank=True, null=True, editable=False,
        verbose_name=_('author'),
    )  # fmt: skip
    approver = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, related_name='+', blank=True, null=True, editable=False,
        verbose_name=_('approver'), help_text=_('Empty on an approved run: approved by its policy'),
    )  # fmt: skip
    approved_hash = models.CharField(verbose_name=_('approved hash'), max_length=64, blank=True, editable=False)
    approved_at = models.DateTimeField(verbose_name=_('approved at'), blank=True, null=True, editable=False)
    started_at = models.DateTimeField(verbose_name=_('started at'), blank=True, null=True, editable=False)
    heartbeat_at = models.DateTimeField(verbose_name=_('heartbeat at'), blank=True, null=True, editable=False)
    finished_at = models.DateTimeField(verbose_name=_('finished at'), blank=True, null=True, editable=False)
    wave = models.PositiveSmallIntegerField(
        verbose_name=_('wave'), default=0, editable=False, help_text=_('The wave under way; 0 before the first')
    )
    wave_done_at = models.DateTimeField(
        verbose_name=_('wave done at'), blank=True, null=True, editable=False,
        help_text=_('Its last row is closed; it is watched for a while before the next wave begins'),
    )  # fmt: skip
    stop_reason = models.CharField(verbose_name=_('why it waits'), max_length=500, blank=True, editable=False)
    stop_code = models.CharField(
        verbose_name=_('why it waits (code)'), max_length=40, blank=True, editable=False,
        help_text=_('The same for programs; empty where a person gave words of their own'),
    )  # fmt: skip
    stop_params = models.JSONField(verbose_name=_('why it waits (parameters)'), blank=True, null=True, editable=False)
    reverts = models.ForeignKey(
        'self', on_delete=models.PROTECT, related_name='reverted_by', blank=True, null=True, editable=False,
        verbose_name=_('reverts'), help_text=_('The run whose lines this one puts back as they were'),
    )  # fmt: skip

    lifecycle_fields = (
        'kind', 'status', 'executor', 'resumed_at', 'plan_hash', 'author', 'approver', 'approved_hash', 'approved_at',
        'started_at', 'heartbeat_at', 'finished_at', 'wave', 'wave_done_at', 'stop_reason', 'stop_code',
        'stop_params', 'reverts',
    )  # fmt: skip
    clone_fields = ()

    class Meta:
        ordering = ('-pk',)
        verbose_name = _('enforcement run')
        verbose_name_plural = _('enforcement runs')
        permissions = [
            ('approve', 'Approve a plan'),
            ('execute', 'Start an approved run and journal it'),
            ('cancel', 'Cancel a run'),
        ]
        constraints = [
            models.CheckConstraint(
                condition=Q(status__in=[RunStatusChoices.PLANNED, RunStatusChoices.CANCELLED])
                | (Q(approved_at__isnull=False) & ~Q(approved_hash='')),
                name='netbox_delinquency_enforcementrun_approved',
            ),
            models.CheckConstraint(
                condition=~Q(status__in=[RunStatusChoices.RUNNING, RunStatusChoices.PAUSED])
                | Q(started_at__isnull=False),
                name='netbox_delinquency_enforcementrun_started',
            ),
            models.CheckConstraint(
                condition=Q(status__in=RunStatusChoices.OPEN, finished_at__isnull=True)
                | Q(status__in=RunStatusChoices.ENDED, finished_at__isnull=False),
                name='netbox_delinquency_enforcementrun_finished',
            ),
        ]

    def __str__(self) -> str:
        return self.name

    def get_status_color(self) -> str | None:
        return RunStatusChoices.colors.get(self.status)

    def get_kind_color(self) -> str | None:
        return RunKindChoices.colors.get(self.kind)

    @property
    def being_worked_on(self) -> Reason:
        """Why whoever wants a run that another has is refused."""
        return Reason.of(ReasonCode.TAKEN_OVER, run=self, executor=self.executor)

    @property
    def stopped_because(self) -> str:
        """Why it waits, as a reason where it has a code."""
        return restored(self.stop_reason, self.stop_code, self.stop_params)

    @property
    def stop_sentence(self) -> str:
        """Why it waits, in the reader's language."""
        return translated(self.stopped_because)

    def outcomes(self) -> dict[str, int]:
        """Rows by outcome; the key `''` counts those not closed yet."""
        rows = self.changes.order_by().values_list('outcome').annotate(count=models.Count('pk'))
        return dict(rows)


class RunPoint(models.Model):
    """How a run fares at one of its points: who works it, and how the point itself is. The engine's own memory.

    A point that loses sessions we did not end, or slows down, pauses the run: hence before and now.
    """

    run = models.ForeignKey('EnforcementRun', on_delete=models.CASCADE, related_name='points')
    point = models.ForeignKey('EnforcementPoint', on_delete=models.CASCADE, related_name='+')
    executor = models.CharField(max_length=200, blank=True)
    heartbeat_at = models.DateTimeField(blank=True, null=True)
    sessions_before = models.PositiveIntegerField(blank=True, null=True)
    sessions_now = models.PositiveIntegerField(blank=True, null=True)
    latency_before_s = models.FloatField(blank=True, null=True)
    latency_now_s = models.FloatField(blank=True, null=True)

    class Meta:
        ordering = ('run', 'point')
        constraints = [
            models.UniqueConstraint(fields=('run', 'point'), name='netbox_delinquency_runpoint_unique'),
        ]

    def __str__(self) -> str:
        return f'{self.run} / {self.point}'


# Receivers, not `delete()`: they are reached by a queryset's delete and by a cascade too. NetBox shows the text of an
# `AbortRequest` as HTML that is safe.


@receiver(pre_delete, sender=EnforcementRun)
def keep_the_journal(instance: EnforcementRun, **kwargs: Any) -> None:
    if instance.started_at:
        raise AbortRequest(
            format_html(_('Run {run} has been started: its rows are the journal and are kept.'), run=instance)
        )
