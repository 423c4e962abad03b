"""The rows of runs: their journal, and the log of what was done to a line."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from django.contrib.postgres.fields import ArrayField
from django.core.exceptions import ValidationError
from django.db import models, transaction
from django.db.models import Q
from django.db.models.signals import pre_delete
from django.dispatch import receiver
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _
from netbox.models import NetBoxModel
from utilities.exceptions import AbortRequest

from nornir_tasks.change import AccessChange, AccessState, AccessTarget, CpeValue, ValueSet

from ..choices import AccessModeChoices, LineChannelChoices, OutcomeChoices, RunStatusChoices
from ..reasons import restored, translated
from .by_hand import user_at_work
from .lifecycle import LifecycleModel
from .places import identities_of
from .restriction import Place
from .run import EnforcementRun
from .state import get_state, set_state, state_constraint

if TYPE_CHECKING:
    from .access import AccessLine

__all__ = ('EnforcementChange',)


class EnforcementChange(LifecycleModel, NetBoxModel):
    """One row of a run: a line, how it should be, and what came of it. Immutable once its run is approved."""

    run = models.ForeignKey('EnforcementRun', on_delete=models.CASCADE, related_name='changes', verbose_name=_('run'))
    line = models.ForeignKey(
        'AccessLine', on_delete=models.SET_NULL, related_name='changes', blank=True, null=True,
        verbose_name=_('access line'), help_text=_('Empty: it lifts what was left behind where no line is any more'),
    )  # fmt: skip
    restriction = models.ForeignKey(
        'Restriction', on_delete=models.PROTECT, related_name='changes', blank=True, null=True, editable=False,
        verbose_name=_('restriction'), help_text=_('What was left behind, and is lifted by this row'),
    )  # fmt: skip
    identity = models.CharField(
        verbose_name=_('identity'), max_length=400, blank=True, editable=False,
        help_text=_('As it is sent to the point; a line that is called otherwise by then is left alone'),
    )  # fmt: skip
    names = models.JSONField(
        verbose_name=_('names'), blank=True, default=dict, editable=False,
        help_text=_('Every name that the line had on the wire when this was planned'),
    )  # fmt: skip
    point = models.ForeignKey(
        'EnforcementPoint', on_delete=models.PROTECT, related_name='changes', editable=False,
        verbose_name=_('enforcement point'),
    )  # fmt: skip
    channel = models.CharField(
        verbose_name=_('channel'), max_length=10, choices=LineChannelChoices, default=LineChannelChoices.BRAS,
        editable=False,
    )  # fmt: skip
    wave = models.PositiveSmallIntegerField(verbose_name=_('wave'), default=1, editable=False)
    expected_mode = models.CharField(
        verbose_name=_('expected state'), max_length=20, choices=AccessModeChoices, blank=True, editable=False,
        help_text=_('As last observed when this was planned; empty: never observed'),
    )  # fmt: skip
    expected_down_kbps = models.PositiveIntegerField(
        verbose_name=_('expected download (kbit/s)'), blank=True, null=True, editable=False
    )
    expected_up_kbps = models.PositiveIntegerField(
        verbose_name=_('expected upload (kbit/s)'), blank=True, null=True, editable=False
    )
    desired_mode = models.CharField(
        verbose_name=_('desired state'), max_length=20, choices=AccessModeChoices, blank=True
    )
    desired_down_kbps = models.PositiveIntegerField(verbose_name=_('desired download (kbit/s)'), blank=True, null=True)
    desired_up_kbps = models.PositiveIntegerField(verbose_name=_('desired upload (kbit/s)'), blank=True, null=True)
    values = models.JSONField(
        verbose_name=_('values'), blank=True, null=True, editable=False,
        help_text=_('Parameters that a CPE is to have, in place of a state: a list of name, value and type'),
    )  # fmt: skip
    exact = models.JSONField(
        verbose_name=_('exactly'), blank=True, null=True, editable=False,
        help_text=_('What a reverting row puts back, as it was read before the row that it reverts'),
    )  # fmt: skip
    reason = models.CharField(verbose_name=_('reason'), max_length=200, blank=True)
    authors = ArrayField(
        models.BigIntegerField(), verbose_name=_('authors'), blank=True, default=list, editable=False,
        help_text=_('Users who wrote it by hand, and so may not approve it where four eyes are asked for'),
    )  # fmt: skip

    claimed_at = models.DateTimeField(
        verbose_name=_('claimed at'), blank=True, null=True, editable=False,
        help_text=_('From here until it is finished no other run touches the line'),
    )  # fmt: skip
    sent_at = models.DateTimeField(verbose_name=_('sent at'), blank=True, null=True, editable=False)
    finished_at = models.DateTimeField(verbose_name=_('finished at'), blank=True, null=True, editable=False)
    outcome = models.CharField(
        verbose_name=_('outcome'), max_length=20, choices=OutcomeChoices, blank=True, editable=False
    )
    refused = models.BooleanField(
        verbose_name=_('refused'), default=False, editable=False,
        help_text=_('The point answered, and said no; the breaker counts these'),
    )  # fmt: skip
    message = models.TextField(verbose_name=_('message'), blank=True, editable=False)
    message_code = models.CharField(
        verbose_name=_('message (code)'), max_length=40, blank=True, editable=False,
        help_text=_('Why it was not sent, for programs; empty where a driver says it in words of its own'),
    )  # fmt: skip
    message_params = models.JSONField(verbose_name=_('message (parameters)'), blank=True, null=True, editable=False)
    before = models.JSONField(verbose_name=_('before'), blank=True, null=True, editable=False)
    after = models.JSONField(verbose_name=_('after'), blank=True, null=True, editable=False)

    lifecycle_fields = (
        'claimed_at',
        'sent_at',
        'finished_at',
        'outcome',
        'refused',
        'message',
        'message_code',
        'message_params',
        'before',
        'after',
    )
    clone_fields = ('run', 'desired_mode', 'desired_down_kbps', 'desired_up_kbps')

    class Meta:
        ordering = ('run', 'pk')
        verbose_name = _('enforcement change')
        verbose_name_plural = _('enforcement changes')
        constraints = [
            models.UniqueConstraint(
                fields=('run', 'line', 'channel'),
                condition=Q(restriction__isnull=True),
                name='netbox_delinquency_enforcementchange_unique_line',
                violation_error_message=_('The run already has a row for this line.'),
            ),
            models.UniqueConstraint(
                fields=('run', 'restriction'), name='netbox_delinquency_enforcementchange_unique_restriction'
            ),
            models.CheckConstraint(
                condition=Q(restriction__isnull=True) | Q(line__isnull=True, desired_mode=AccessModeChoices.NORMAL),
                name='netbox_delinquency_enforcementchange_lifts',
            ),
            state_constraint('enforcementchange', 'expected'),
            state_constraint(
                'enforcementchange',
                'desired',
                violation_error_message=_('A throttled state has both rates; no other state has any.'),
            ),
            models.CheckConstraint(
                condition=Q(channel__in=LineChannelChoices.SIDES),
                name='netbox_delinquency_enforcementchange_channel',
            ),
            models.CheckConstraint(
                condition=Q(desired_mode='', values__isnull=False) | (~Q(desired_mode='') & Q(values__isnull=True)),
                name='netbox_delinquency_enforcementchange_desired',
                violation_error_message=_('A row has a desired state, or values for the CPE.'),
            ),
            models.CheckConstraint(
                condition=Q(outcome='', finished_at__isnull=True) | (~Q(outcome='') & Q(finished_at__isnull=False)),
                name='netbox_delinquency_enforcementchange_finished',
            ),
        ]
        indexes = [
            models.Index(fields=('run', 'point', 'outcome'), name='nbd_change_run_point'),
            models.Index(fields=('run', 'wave', 'outcome'), name='nbd_change_run_wave'),
            models.Index(fields=('point', 'sent_at'), name='nbd_change_point_sent'),
        ]

    @property
    def sentence(self) -> str:
        """The message, in the reader's language."""
        return translated(restored(self.message, self.message_code, self.message_params))

    def __str__(self) -> str:
        return f'{self.run} / {self.subject}'

    @property
    def subject(self) -> str:
        """Who it is about, by the name that is sent."""
        return str(self.line) if self.line else self.identity

    @property
    def place(self) -> Place:
        return self.point_id, self.identity, self.channel

    def be_about(self, line: AccessLine, side: str) -> None:
        """Fix the row to a line's place as it is now: what is sent to is what is approved."""
        self.line, self.channel, self.point = line, side, line.point_at(side)
        self.identity, self.names = line.identity_at(side), identities_of(line)

    def get_outcome_color(self) -> str | None:
        return OutcomeChoices.colors.get(self.outcome)

    def get_desired_mode_color(self) -> str | None:
        return AccessModeChoices.colors.get(self.desired_mode)

    def get_expected_mode_color(self) -> str | None:
        return AccessModeChoices.colors.get(self.expected_mode)

    @property
    def desired(self) -> AccessState | None:
        """`None` for a row that sets values of a CPE."""
        return get_state(self, 'desired')

    @property
    def expected(self) -> AccessState | None:
        return get_state(self, 'expected')

    def as_change(self) -> AccessChange[Any]:
        """This row as the network side takes it."""
        desired: Any = self.desired
        exact = self.exact or {}
        if self.line is not None:
            target = replace(self.line.as_target(self.channel), **self.names)
        elif self.restriction is not None:
            target = self.restriction.as_target()
        else:
            target = AccessTarget(f'row-{self.pk}', **self.names)  # its line was deleted: only ever read back
        if self.values is not None:
            desired = ValueSet.from_dict({'values': self.values})
            # A reverting row asks for none of its values; which they are is in what it returns to.
            asked = exact.get('asked') or self.values
            target = replace(target, values=tuple(CpeValue(*item) for item in asked))
        return AccessChange(str(self.pk), target, desired, self.reason, exact, self.wave)

    def clean(self) -> None:
        super().clean()
        if self.run_id and self.run.status != RunStatusChoices.PLANNED:
            raise ValidationError(
                _('Run {run} is {status}: its rows no longer change. Make a new run.').format(
                    run=self.run, status=self.run.get_status_display()
                )
            )
        if self.line is None:
            raise ValidationError({'line': _('Which line?')})
        if self.line.point is None:
            raise ValidationError({'line': _('This line has no enforcement point.')})
        user = user_at_work()
        if user is not None and not user.has_perm('netbox_delinquency.enforce_accessline', self.line):
            raise ValidationError({'line': _('You may not enforce on this line.')})
        if not self.desired_mode and self.values is None:
            raise ValidationError({'desired_mode': _('Which state is it to have?')})
        # Its point, and what was expected of the line, were fixed with the line; and a row may not leave its journal.
        if not self._state.adding and not type(self).objects.filter(pk=self.pk, run=self.run, line=self.line).exists():
            raise ValidationError(_('A row keeps its run and its line: delete it and add another.'))

    @transaction.atomic
    def save(self, *args: Any, **kwargs: Any) -> None:
        if self._state.adding and not self.point_id:
            self.be_about(
                self.line, LineChannelChoices.CPE if self.line.point == self.line.acs else LineChannelChoices.BRAS
            )
            set_state(self, 'expected', self.line.known_at(self.channel))
        elif self._state.adding and self.line and not self.identity:
            self.identity, self.names = self.line.identity_at(self.channel), identities_of(self.line)
        if self._state.adding or kwargs.get('update_fields') is None:
            lock_plan(self)
            if (user := user_at_work()) is not None and user.pk not in self.authors:
                self.authors = [*self.authors, user.pk]
        super().save(*args, **kwargs)


def lock_plan(row: EnforcementChange) -> None:
    """Hold the run's row while one of its plan is written: who approves it waits, and sees the row in its hash.

    Raises `AbortRequest` where the run is a plan no more.
    """
    run = EnforcementRun.objects.select_for_update(of=('self',)).get(pk=row.run_id)
    if run.status != RunStatusChoices.PLANNED:
        text = _('Run {run} is {status}: its rows no longer change. Make a new run.')
        raise AbortRequest(format_html(text, run=run, status=run.get_status_display()))


# A receiver, not `delete()`: it is reached by a queryset's delete and by a cascade too.


@receiver(pre_delete, sender=EnforcementChange)
def keep_the_plan(instance: Any, origin: Any, **kwargs: Any) -> None:
    """Rows of a run that left `planned` go only with the whole run, where that may go."""
    with_its_run = getattr(origin, 'model', type(origin)) is EnforcementRun
    if with_its_run:
        return
    run = EnforcementRun.objects.select_for_update(of=('self',)).get(pk=instance.run_id)
    if run.status != RunStatusChoices.PLANNED:
        raise AbortRequest(
            format_html(_('Run {run} is {status}: its rows are kept.'), run=run, status=run.get_status_display())
        )
