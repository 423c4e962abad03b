from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.utils.translation import gettext_lazy as _
from netbox.models import NetBoxModel, PrimaryModel
from utilities.exceptions import AbortRequest

from ..choices import (
    ApprovalChoices,
    ChannelChoices,
    ClockChoices,
    EnforcementModeChoices,
    StageActionChoices,
    ThrottleToChoices,
)
from ..policy.actions import is_restricting
from ..policy.calendar import normal_days
from ..policy.stages import check_stages
from ..text import Text
from .calendar import validate_days

__all__ = ('DelinquencyPolicy', 'GraceRule', 'PolicyStage')


def days(label: Text, help_text: Text = '', **options: Any) -> models.PositiveSmallIntegerField:
    return models.PositiveSmallIntegerField(verbose_name=label, help_text=help_text, **options)


def closed_days(label: Text) -> models.CharField:
    return models.CharField(
        verbose_name=label, max_length=60, blank=True, validators=[validate_days],
        help_text=_('Of mon, tue, wed, thu, fri, sat, sun, holiday, holiday_eve; with commas between'),
    )  # fmt: skip


def hour(label: Text, help_text: Text = '') -> models.TimeField:
    return models.TimeField(verbose_name=label, blank=True, null=True, help_text=help_text)


def amount(label: Text) -> models.DecimalField:
    return models.DecimalField(
        verbose_name=label, max_digits=12, decimal_places=2, blank=True, null=True, validators=[MinValueValidator(0)],
        help_text=_('Below it nothing is done'),
    )  # fmt: skip


class DelinquencyPolicy(PrimaryModel):
    """The stages that a contract goes through while it owes, and the law they are bound by.

    Restricting waits for approval unless `auto_approve`; relaxing never. Law, calendar and holds only delay or relax.
    """

    name = models.CharField(verbose_name=_('name'), max_length=100, unique=True)
    mode = models.CharField(
        verbose_name=_('mode'), max_length=20, choices=EnforcementModeChoices, default=EnforcementModeChoices.ENFORCE,
        help_text=_('How far enforcement goes for its contracts; a point may hold it further back'),
    )  # fmt: skip
    auto_approve = models.BooleanField(
        verbose_name=_('auto-approve'),
        default=False,
        help_text=_('Runs that take access away start without a person having approved them'),
    )
    repair_drift = models.BooleanField(
        verbose_name=_('repair drift'),
        default=False,
        help_text=_('A line that drifts from what was once approved is put right without a new approval'),
    )
    # The law
    preset = models.CharField(
        verbose_name=_('preset'), max_length=30, blank=True, help_text=_('The rule set this was made from')
    )
    preset_version = models.PositiveSmallIntegerField(verbose_name=_('preset version'), blank=True, null=True)
    articles = models.JSONField(
        verbose_name=_('articles'), blank=True, default=dict,
        help_text=_('What each rule stands on: {"min_notice_days": "RGC art. 70"}'),
    )  # fmt: skip
    min_notice_days = days(
        _('notice (days)'), _('From delivered notice to the first restriction. Empty: no notice is asked for'),
        blank=True, null=True,
    )  # fmt: skip
    throttle_is_suspension = models.BooleanField(
        verbose_name=_('throttle is suspension'), default=True,
        help_text=_('A punitive throttle needs whatever a block needs'),
    )  # fmt: skip
    notice_outlasts_relief = models.BooleanField(
        verbose_name=_('notice outlasts relief'), default=False,
        help_text=_(
            'After an agreement, a dispute or a clearing that did not hold no new notice is asked for; '
            'name the article that allows it'
        ),
    )  # fmt: skip
    min_arrears = amount(_('minimum arrears'))
    min_invoices = days(_('minimum unpaid invoices'), blank=True, null=True, validators=[MinValueValidator(1)])
    # The calendar
    calendar = models.ForeignKey(
        'Calendar', on_delete=models.PROTECT, related_name='policies', verbose_name=_('calendar'), blank=True,
        null=True, help_text=_('Of contracts that have none of their own'),
    )  # fmt: skip
    no_start_days = closed_days(_('no start on'))
    start_from = hour(_('start from'), _("Local time at the contract's place"))
    start_until = hour(_('start until'))
    no_contact_days = closed_days(_('no contact on'))
    contact_from = hour(_('contact from'))
    contact_until = hour(_('contact until'))
    # Afterwards
    restore_hours = days(_('restore within (hours)'), _('From learning of the payment'), default=24)
    fee_cap = models.DecimalField(
        verbose_name=_('largest reactivation fee'), max_digits=8, decimal_places=2, blank=True, null=True
    )
    trust_days = days(_('trust unlock (days)'), _('Empty: none is given'), blank=True, null=True)
    trust_gap_days = days(_('trust unlock gap (days)'), _('Between two of a contract'), default=30)
    trust_uses_a_year = days(_('trust unlocks a year'), default=3)

    clone_fields = (
        'mode', 'auto_approve', 'repair_drift', 'preset', 'preset_version', 'articles', 'min_notice_days',
        'throttle_is_suspension', 'notice_outlasts_relief', 'min_arrears', 'min_invoices', 'calendar', 'no_start_days',
        'start_from', 'start_until', 'no_contact_days', 'contact_from', 'contact_until', 'restore_hours', 'fee_cap',
        'trust_days', 'trust_gap_days', 'trust_uses_a_year',
    )  # fmt: skip

    class Meta:
        ordering = ('name',)
        verbose_name = _('delinquency policy')
        verbose_name_plural = _('delinquency policies')

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        super().clean()
        self.no_start_days = normal_days(self.no_start_days)
        self.no_contact_days = normal_days(self.no_contact_days)
        for start, end in (('start_from', 'start_until'), ('contact_from', 'contact_until')):
            first, last = getattr(self, start), getattr(self, end)
            if first and last and first >= last:
                raise ValidationError({end: _('The window ends after it begins: correct one of the times.')})
        if self.no_start_days and self.calendar is None:
            text = _('Which days are holidays is a matter of place: name a calendar, or leave "no start on" empty.')
            raise ValidationError({'calendar': text})
        if not isinstance(self.articles, dict):
            raise ValidationError({'articles': _('Give an object: the rule, and what it stands on.')})
        if self.notice_outlasts_relief and not str(self.articles.get('notice_outlasts_relief') or '').strip():
            text = _('Name the article that allows it, in the articles under "notice_outlasts_relief".')
            raise ValidationError({'notice_outlasts_relief': text})
        if self.pk:
            check_stages(self.min_notice_days, self.throttle_is_suspension, list(self.stages.all()))

    def get_mode_color(self) -> str | None:
        return EnforcementModeChoices.colors.get(self.mode)

    def in_force(self, stage: PolicyStage | None) -> PolicyStage | None:
        """The stage whose action is on the line of a contract at `stage`: the last one so far that restricts."""
        reached = [each for each in self.stages.all() if stage is not None and each.position <= stage.position]
        return next((each for each in reversed(reached) if each.is_restricting), None)

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        if count := self.contracts.count():
            text = _('{count} contracts have this policy: give them another one first, then delete it.')
            raise AbortRequest(text.format(count=count))
        return super().delete(*args, **kwargs)


class PolicyStage(NetBoxModel):
    """From `after_days` whole days by its clock on, `action` is what the line should have."""

    policy = models.ForeignKey(
        'DelinquencyPolicy', on_delete=models.CASCADE, related_name='stages', verbose_name=_('policy')
    )
    position = models.PositiveSmallIntegerField(
        verbose_name=_('position'), blank=True, help_text=_('Order on the ladder; empty: the number of days')
    )
    clock = models.CharField(verbose_name=_('clock'), max_length=30, choices=ClockChoices, default=ClockChoices.DUE)
    after_days = models.PositiveSmallIntegerField(
        verbose_name=_('after days'),
        validators=[MinValueValidator(1)],
        help_text=_('Whole days by the clock'),
    )
    min_arrears = amount(_('minimum arrears'))
    min_invoices = days(_('minimum unpaid invoices'), blank=True, null=True, validators=[MinValueValidator(1)])
    action = models.CharField(verbose_name=_('action'), max_length=30, choices=StageActionChoices)
    throttle_to = models.CharField(
        verbose_name=_('throttle to'), max_length=30, choices=ThrottleToChoices, default=ThrottleToChoices.PLAN
    )
    throttle_percent = models.PositiveSmallIntegerField(
        verbose_name=_('throttle (percent)'), blank=True, null=True,
        validators=[MinValueValidator(1), MaxValueValidator(100)],
    )  # fmt: skip
    throttle_down_kbps = models.PositiveIntegerField(
        verbose_name=_('throttle download (kbit/s)'), blank=True, null=True, validators=[MinValueValidator(1)]
    )
    throttle_up_kbps = models.PositiveIntegerField(
        verbose_name=_('throttle upload (kbit/s)'), blank=True, null=True, validators=[MinValueValidator(1)]
    )
    channel = models.CharField(
        verbose_name=_('channel'), max_length=30, choices=ChannelChoices, default=ChannelChoices.ANY
    )
    approval = models.CharField(
        verbose_name=_('approval'), max_length=30, choices=ApprovalChoices, default=ApprovalChoices.POLICY
    )
    start_from = hour(_('start from'), _("Narrower than the policy's"))
    start_until = hour(_('start until'))

    clone_fields = ('policy', 'action', 'clock', 'channel', 'approval')

    class Meta:
        ordering = ('policy', 'position')
        verbose_name = _('policy stage')
        verbose_name_plural = _('policy stages')
        constraints = [
            models.UniqueConstraint(
                fields=('policy', 'position'),
                name='netbox_delinquency_policystage_unique_position',
                violation_error_message=_('The policy already has a stage there: give it another position.'),
            ),
            models.CheckConstraint(
                condition=models.Q(after_days__gte=1), name='netbox_delinquency_policystage_after_days'
            ),
        ]

    def __str__(self) -> str:
        return f'{self.policy}: {self.get_action_display()} ({self.after_days})'

    def get_action_color(self) -> str | None:
        return StageActionChoices.colors.get(self.action)

    def clean(self) -> None:
        super().clean()
        if self.position is None:
            self.position = self.after_days
        needs = {'percent': ('throttle_percent',), 'rate': ('throttle_down_kbps', 'throttle_up_kbps')}
        for name in needs.get(self.throttle_to, ()):
            if getattr(self, name) is None:
                raise ValidationError({name: _('"Throttle to" asks for it.')})
        if self.start_from and self.start_until and self.start_from >= self.start_until:
            raise ValidationError({'start_until': _('The window ends after it begins: correct one of the times.')})
        if self.policy_id and self.after_days and self.action:
            stages = [*self.policy.stages.exclude(pk=self.pk), self]
            check_stages(self.policy.min_notice_days, self.policy.throttle_is_suspension, stages)

    def save(self, *args: Any, **kwargs: Any) -> None:
        if self.position is None:
            self.position = self.after_days
        super().save(*args, **kwargs)

    @property
    def is_restricting(self) -> bool:
        return is_restricting(self.action)

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        if count := self.policy.contracts.filter(stage=self).count():
            text = _('{count} contracts stand on this stage: move them to another policy first, then delete it.')
            raise AbortRequest(text.format(count=count))
        return super().delete(*args, **kwargs)


class GraceRule(NetBoxModel):
    """Good payers wait longer, and some are left alone: by a contract's tier, or by a tag of it."""

    policy = models.ForeignKey(
        'DelinquencyPolicy', on_delete=models.CASCADE, related_name='grace_rules', verbose_name=_('policy')
    )
    tier = models.CharField(verbose_name=_('tier'), max_length=50, blank=True)
    for_tag = models.ForeignKey(
        'extras.Tag', on_delete=models.PROTECT, related_name='+', verbose_name=_('contracts tagged'), blank=True,
        null=True,
    )  # fmt: skip
    extra_days = days(_('extra days'), _('Added to every clock that counts from the due date'), default=0)
    exempt = models.BooleanField(
        verbose_name=_('exempt'), default=False, help_text=_('Nothing is restricted while the rule stands')
    )

    clone_fields = ('policy', 'extra_days', 'exempt')

    class Meta:
        ordering = ('policy', 'tier', 'pk')
        verbose_name = _('grace rule')
        verbose_name_plural = _('grace rules')
        constraints = [
            models.CheckConstraint(
                condition=models.Q(tier='', for_tag__isnull=False)
                | (~models.Q(tier='') & models.Q(for_tag__isnull=True)),
                name='netbox_delinquency_gracerule_whom',
                violation_error_message=_('A grace rule is for a tier or for a tag: give one of the two.'),
            ),
        ]

    def __str__(self) -> str:
        return f'{self.policy}: {self.tier or self.for_tag}'
