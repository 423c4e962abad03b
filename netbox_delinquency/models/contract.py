from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib.postgres.fields import ArrayField
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Case, F, When
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from netbox.models import PrimaryModel
from utilities.querysets import RestrictedQuerySet

from ..choices import BillingStatusChoices, ContractStatusChoices
from .calendar import validate_time_zone
from .lifecycle import LifecycleModel
from .references import loose_form, normal_form

if TYPE_CHECKING:
    from users.models import User


__all__ = ('Contract',)


class ContractQuerySet(RestrictedQuerySet):
    def with_visible_balance(self, user: User) -> ContractQuerySet:
        """Annotate `visible_balance`: empty where the user may not see it, so that ordering by it reveals nothing."""
        allowed = self.model.objects.restrict(user, 'view_balance').order_by().values('pk')
        return self.annotate(visible_balance=Case(When(pk__in=allowed, then=F('open_balance'))))


class Contract(LifecycleModel, PrimaryModel):
    """Subscriber × plan × policy, with what billing last said and the dunning position that follows.

    The facts are written by ingest, the dunning position by evaluation, neither by forms.
    """

    subscriber = models.ForeignKey(
        'Subscriber', on_delete=models.PROTECT, related_name='contracts', verbose_name=_('subscriber')
    )
    source = models.ForeignKey(
        'BillingSource', on_delete=models.PROTECT, related_name='contracts', verbose_name=_('billing source')
    )
    external_id = models.CharField(
        verbose_name=_('external ID'), max_length=100, help_text=_("The contract's identifier in the billing system")
    )
    aliases = ArrayField(
        models.CharField(max_length=100), verbose_name=_('aliases'), blank=True, default=list,
        help_text=_('Other references by which the billing system names this contract'),
    )  # fmt: skip
    # Two contracts of a source whose identifiers differ in case or spaces alone would be told apart by nobody.
    reference = models.GeneratedField(
        expression=normal_form('external_id'), output_field=models.CharField(max_length=400), db_persist=True,
        verbose_name=_('reference'),
    )  # fmt: skip
    loose_reference = models.GeneratedField(
        expression=loose_form('external_id'), output_field=models.CharField(max_length=400), db_persist=True,
        verbose_name=_('loose reference'),
    )  # fmt: skip
    plan = models.ForeignKey(
        'ServicePlan', on_delete=models.PROTECT, related_name='contracts', verbose_name=_('service plan')
    )
    policy = models.ForeignKey(
        'DelinquencyPolicy',
        on_delete=models.PROTECT,
        related_name='contracts',
        verbose_name=_('policy'),
        blank=True,
        null=True,
        help_text=_('Without a policy nothing is ever done to this contract'),
    )
    status = models.CharField(
        verbose_name=_('status'),
        max_length=30,
        choices=ContractStatusChoices,
        default=ContractStatusChoices.ACTIVE,
    )
    calendar = models.ForeignKey(
        'Calendar', on_delete=models.PROTECT, related_name='contracts', verbose_name=_('calendar'), blank=True,
        null=True, help_text=_("Holidays of the service address; empty: the policy's"),
    )  # fmt: skip
    time_zone = models.CharField(
        verbose_name=_('time zone'), max_length=50, blank=True, validators=[validate_time_zone],
        help_text=_("Empty: the calendar's"),
    )  # fmt: skip
    tier = models.CharField(
        verbose_name=_('tier'), max_length=50, blank=True, help_text=_('Grace rules may give a tier more time')
    )

    # What billing said
    oldest_due_date = models.DateField(verbose_name=_('oldest due date'), blank=True, null=True, editable=False)
    open_balance = models.DecimalField(
        verbose_name=_('open balance'), max_digits=12, decimal_places=2, blank=True, null=True, editable=False
    )
    unpaid_invoices = models.PositiveSmallIntegerField(verbose_name=_('unpaid invoices'), default=0, editable=False)
    awaiting_clearing = models.BooleanField(
        verbose_name=_('awaiting clearing'),
        default=False,
        editable=False,
        help_text=_('Paid, and the bank has not settled it yet'),
    )
    notices_from = models.DateTimeField(
        verbose_name=_('notices count from'), blank=True, null=True, editable=False,
        help_text=_('A payment was taken back then: a notice from before it is no notice of this debt'),
    )  # fmt: skip
    relief_ended_at = models.DateTimeField(
        verbose_name=_('relief ended'), blank=True, null=True, editable=False,
        help_text=_('An agreement, dispute or clearing did not hold: a new notice goes before what follows'),
    )  # fmt: skip
    billing_status = models.CharField(
        verbose_name=_('status at billing'), max_length=30, choices=BillingStatusChoices, blank=True, editable=False
    )
    facts_at = models.DateTimeField(verbose_name=_('facts as of'), blank=True, null=True, editable=False)

    # Where policy puts it
    stage = models.ForeignKey(
        'PolicyStage', on_delete=models.PROTECT, related_name='+', blank=True, null=True, editable=False,
        verbose_name=_('stage'),
    )  # fmt: skip
    stage_since = models.DateTimeField(verbose_name=_('stage since'), blank=True, null=True, editable=False)
    took_effect_at = models.DateTimeField(
        verbose_name=_('took effect'), blank=True, null=True, editable=False,
        help_text=_('Since when all lines are as the stage wants them: what follows it counts from here'),
    )  # fmt: skip
    next_stage = models.ForeignKey(
        'PolicyStage', on_delete=models.SET_NULL, related_name='+', blank=True, null=True, editable=False,
        verbose_name=_('next stage'),
    )  # fmt: skip
    next_action_on = models.DateField(verbose_name=_('next action on'), blank=True, null=True, editable=False)
    next_action_at = models.DateTimeField(
        verbose_name=_('next action at'), blank=True, null=True, editable=False,
        help_text=_('The earliest lawful moment of the next stage; empty where it waits for something else'),
    )  # fmt: skip
    in_relief = models.BooleanField(
        verbose_name=_('in relief'), default=False, editable=False,
        help_text=_('A hold gives access back while the stage stays'),
    )  # fmt: skip
    review_requested_at = models.DateTimeField(
        verbose_name=_('review requested'), blank=True, null=True, editable=False,
        help_text=_('A person is to look at the automatic decision; until then it goes no further'),
    )  # fmt: skip
    dunning_note = models.CharField(
        verbose_name=_('dunning note'), max_length=200, blank=True, editable=False,
        help_text=_('Why the next stage waits, where it does'),
    )  # fmt: skip

    objects = ContractQuerySet.as_manager()

    lifecycle_fields = (
        'oldest_due_date', 'open_balance', 'unpaid_invoices', 'awaiting_clearing', 'notices_from',
        'relief_ended_at', 'billing_status',
        'facts_at', 'stage',
        'stage_since',
        'took_effect_at',
        'next_stage', 'next_action_on', 'next_action_at', 'in_relief', 'review_requested_at', 'dunning_note',
    )  # fmt: skip
    clone_fields = ('subscriber', 'source', 'plan', 'policy', 'status', 'calendar', 'time_zone', 'tier')

    class Meta:
        ordering = ('source', 'external_id')
        verbose_name = _('contract')
        verbose_name_plural = _('contracts')
        permissions = [
            ('view_balance', 'See the open balance'),
            ('unlock', 'Give a trust unlock'),
            ('review', 'Ask for, and end, a human review'),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=('source', 'external_id'), name='netbox_delinquency_contract_unique_external'
            ),
            models.UniqueConstraint(
                fields=('source', 'reference'), name='netbox_delinquency_contract_unique_reference'
            ),
            models.CheckConstraint(
                condition=models.Q(stage__isnull=True, stage_since__isnull=True)
                | models.Q(stage__isnull=False, stage_since__isnull=False),
                name='netbox_delinquency_contract_stage_since',
            ),
        ]
        indexes = [
            models.Index(fields=('oldest_due_date',), name='nbd_contract_due'),
            models.Index(fields=('source', 'loose_reference'), name='nbd_contract_loose'),
            models.Index(fields=('source',), name='nbd_contract_aliases', condition=~models.Q(aliases=[])),
        ]

    def __str__(self) -> str:
        return self.external_id

    def clean(self) -> None:
        super().clean()
        self.aliases = sorted({alias.strip() for alias in self.aliases or () if alias.strip()})
        if self.source_id and self.external_id:
            mine = models.Value(self.external_id)
            same = type(self).objects.filter(source=self.source_id).exclude(pk=self.pk)
            same = same.exclude(external_id=self.external_id).annotate(wanted=normal_form(mine))
            if other := same.filter(reference=F('wanted')).first():
                text = _('"{mine}" and contract "{other}" of this source are the same but for case and spaces.')
                raise ValidationError({'external_id': text.format(mine=self.external_id, other=other.external_id)})

    def get_status_color(self) -> str | None:
        return ContractStatusChoices.colors.get(self.status)

    def get_billing_status_color(self) -> str | None:
        return BillingStatusChoices.colors.get(self.billing_status)

    @property
    def needs_attention(self) -> bool:
        """True where a word about money may concern it that nobody could read or match, and no person has looked."""
        unread = self.source.events.filter(needs_attention=True, reference=self.loose_reference)
        return unread.exclude(reference='').exists()

    @property
    def note(self) -> str:
        """The dunning note in the reader's language; `dunning_note` is the same to every program."""
        return gettext(self.dunning_note) if self.dunning_note else ''

    def serialize_object(self, exclude: list[str] | None = None) -> dict[str, Any]:
        """What the change log keeps: without the balance, whose readers are fewer than the log's."""
        return super().serialize_object(exclude=[*(exclude or ()), 'open_balance'])
