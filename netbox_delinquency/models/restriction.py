"""What we took at a place and owe back: found by point and identity, whatever the line is called by then."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.db import models
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.urls import reverse
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _
from netbox.models import NetBoxModel
from utilities.exceptions import AbortRequest
from utilities.querysets import RestrictedQuerySet

from nornir_tasks.change import AccessState, AccessTarget

from ..choices import (
    AccessModeChoices,
    ContractStatusChoices,
    LiftedChoices,
    LineChannelChoices,
    LineStatusChoices,
    StageActionChoices,
)
from ..policy.actions import is_restricting
from .lifecycle import LifecycleModel
from .sides import IDENTITY, POINT
from .state import get_state, state_constraint, state_fields

if TYPE_CHECKING:
    from .access import AccessLine

__all__ = ('Restriction',)

# Where a restriction is found again: point, identity as sent, side.
Place = tuple[int, str, str]

TAKES = tuple(action for action in StageActionChoices.values() if is_restricting(action))


def keep_open(collector: Any, field: Any, sub_objs: Any, using: str) -> None:
    """A point at which something is still owed back stays; what was given back goes with its point."""
    still = [restriction for restriction in sub_objs if restriction.lifted_at is None]
    if still:
        text = _(
            'At {point} {count} restrictions of ours are still open, that of {identity} among them: have them lifted '
            'first, from the list of restrictions, then delete the point.'
        )
        raise AbortRequest(
            format_html(text, point=still[0].point, count=len(still), identity=still[0].identity),
        )
    models.CASCADE(collector, field, sub_objs, using)


def _reached_taking_stages(contract: str) -> QuerySet:
    """The stages that take access, of the policy of the outer row's contract, which that contract has reached."""
    from .policy import PolicyStage

    return PolicyStage.objects.filter(
        policy=OuterRef(f'{contract}policy'), position__lte=OuterRef(f'{contract}stage__position'), action__in=TAKES
    )


class RestrictionQuerySet(RestrictedQuerySet):
    def open(self) -> RestrictionQuerySet:
        """What is still owed back, or kept from who left."""
        return self.filter(lifted_at__isnull=True)

    def at(self, places: Iterable[Place]) -> dict[Place, Restriction]:
        """The open ones at these places."""
        wanted = set(places)
        if not wanted:
            return {}
        found = self.open().filter(
            point__in={point for point, _, _ in wanted}, identity__in={identity for _, identity, _ in wanted}
        )
        return {restriction.place: restriction for restriction in found if restriction.place in wanted}

    def left_behind(self) -> RestrictionQuerySet:
        """Open ones where no active line is any more: renamed, moved, retired or deleted since."""
        return self.open().exclude(held_by(LineStatusChoices.ACTIVE))

    def with_a_right(self) -> RestrictionQuerySet:
        """Those left behind that somebody has a right to have lifted.

        The contract that it was taken for is active, and nothing is to be taken of it now; or the identity was given to
        a line of such a contract that is not active yet. Relief ends no debt: it opens the present line alone.
        """
        own = Q(contract__status=ContractStatusChoices.ACTIVE) & ~Exists(_reached_taking_stages('contract__'))
        return self.left_behind().filter(own | held_by(LineStatusChoices.PLANNED, with_a_right=True))


def held_by(status: str, with_a_right: bool = False) -> Q:
    """Whether a line of that status (and, where asked, of a contract that nothing is taken of) has the place."""
    from .access import AccessLine

    found = Q()
    for side in LineChannelChoices.SIDES:
        here = {POINT[side]: OuterRef('point'), IDENTITY[side]: OuterRef('identity')}
        lines = AccessLine.objects.filter(**here, status=status).order_by()
        if with_a_right:
            lines = lines.filter(contract__status=ContractStatusChoices.ACTIVE)
            lines = lines.exclude(Exists(_reached_taking_stages('contract__')))
        found |= Q(side=side) & Exists(lines)
    return found


class Restriction(LifecycleModel, NetBoxModel):
    """One thing taken: where, from whom, by which row, and what was there just before. Written by the engine alone.

    Opened where a row is journaled as sent; closed only by a reading that shows it lifted, or its identity gone. Lines
    and contracts come and go: the numbers tell which they were.
    """

    point = models.ForeignKey(
        'EnforcementPoint', on_delete=keep_open, related_name='restrictions', verbose_name=_('enforcement point')
    )
    identity = models.CharField(
        verbose_name=_('identity'), max_length=400, help_text=_('As it is sent to the point: username=ana')
    )
    side = models.CharField(verbose_name=_('side'), max_length=10, choices=LineChannelChoices)
    address = models.CharField(
        verbose_name=_('address'), max_length=255, blank=True, help_text=_('Of the point, when this was taken there')
    )
    state_mode = models.CharField(verbose_name=_('state'), max_length=20, choices=AccessModeChoices)
    state_down_kbps = models.PositiveIntegerField(verbose_name=_('download (kbit/s)'), blank=True, null=True)
    state_up_kbps = models.PositiveIntegerField(verbose_name=_('upload (kbit/s)'), blank=True, null=True)
    target = models.JSONField(
        verbose_name=_('target'), default=dict, help_text=_('The line as the driver knew it: identities, plan')
    )
    baseline = models.JSONField(
        verbose_name=_('baseline'), blank=True, default=dict,
        help_text=_('What the point said just before, where nobody restricted the line: what lifting puts back'),
    )  # fmt: skip
    noted = models.JSONField(
        verbose_name=_('noted'), blank=True, default=dict,
        help_text=_('The names of lists, groups and profiles by which it is known again'),
    )  # fmt: skip

    line = models.ForeignKey(
        'AccessLine', on_delete=models.SET_NULL, related_name='restrictions', blank=True, null=True,
        verbose_name=_('taken from line'),
    )  # fmt: skip
    contract = models.ForeignKey(
        'Contract', on_delete=models.SET_NULL, related_name='restrictions', blank=True, null=True,
        verbose_name=_('taken for contract'),
    )  # fmt: skip
    contract_name = models.CharField(verbose_name=_('contract'), max_length=100, blank=True)
    change = models.ForeignKey(
        'EnforcementChange', on_delete=models.SET_NULL, related_name='+', blank=True, null=True,
        verbose_name=_('taken by row'),
    )  # fmt: skip
    change_number = models.PositiveBigIntegerField(verbose_name=_('number of the row'), blank=True, null=True)
    run_number = models.PositiveBigIntegerField(verbose_name=_('number of the run'), blank=True, null=True)
    adopted_by = models.CharField(
        verbose_name=_('adopted by'), max_length=150, blank=True,
        help_text=_('The person who took it for ours; empty: we took it'),
    )  # fmt: skip
    taken_at = models.DateTimeField(verbose_name=_('taken at'))
    last_read_at = models.DateTimeField(verbose_name=_('last read at'), blank=True, null=True)

    owed_since = models.DateTimeField(
        verbose_name=_('owed since'), blank=True, null=True,
        help_text=_('Since when somebody has a right to have it lifted; empty where nobody has'),
    )  # fmt: skip
    late_at = models.DateTimeField(
        verbose_name=_('late since'), blank=True, null=True,
        help_text=_("It was owed for longer than the policy's hours by then, and that was told"),
    )  # fmt: skip
    finding = models.CharField(
        verbose_name=_('why it is not lifted'), max_length=500, blank=True,
        help_text=_('What came of the last attempt to lift it'),
    )  # fmt: skip
    waits_for_person = models.BooleanField(
        verbose_name=_('waits for a person'), default=False,
        help_text=_('The point refused to lift it: it is tried again once a day, or when something is changed'),
    )  # fmt: skip
    attempts = models.PositiveSmallIntegerField(verbose_name=_('attempts'), default=0)
    retry_at = models.DateTimeField(verbose_name=_('tried again at'), blank=True, null=True)

    lifted_at = models.DateTimeField(verbose_name=_('lifted at'), blank=True, null=True)
    lifted_how = models.CharField(verbose_name=_('lifted how'), max_length=20, choices=LiftedChoices, blank=True)

    objects = RestrictionQuerySet.as_manager()

    lifecycle_fields = (
        *state_fields('state'), 'noted', 'last_read_at', 'owed_since', 'late_at', 'finding', 'waits_for_person',
        'attempts', 'retry_at', 'lifted_at', 'lifted_how',
    )  # fmt: skip
    clone_fields = ()

    class Meta:
        ordering = ('-taken_at', '-pk')
        verbose_name = _('restriction')
        verbose_name_plural = _('restrictions')
        permissions = [('lift', 'Have a restriction lifted, or say that it is gone')]
        constraints = [
            models.UniqueConstraint(
                fields=('point', 'identity', 'side'),
                condition=Q(lifted_at__isnull=True),
                name='netbox_delinquency_restriction_one_open_at_a_place',
            ),
            models.CheckConstraint(
                condition=Q(side__in=LineChannelChoices.SIDES), name='netbox_delinquency_restriction_side'
            ),
            models.CheckConstraint(
                condition=Q(lifted_at__isnull=True, lifted_how='') | (Q(lifted_at__isnull=False) & ~Q(lifted_how='')),
                name='netbox_delinquency_restriction_lifted',
            ),
            models.CheckConstraint(
                condition=~Q(state_mode=AccessModeChoices.NORMAL), name='netbox_delinquency_restriction_takes'
            ),
            state_constraint('restriction', 'state'),
        ]
        indexes = [models.Index(fields=('taken_at',), name='nbd_restriction_taken')]

    def __str__(self) -> str:
        return f'{self.identity} @ {self.point}'

    def get_absolute_url(self) -> str:
        return reverse('plugins:netbox_delinquency:restriction', args=[self.pk])

    def get_state_mode_color(self) -> str | None:
        return AccessModeChoices.colors.get(self.state_mode)

    def get_side_color(self) -> str | None:
        return LineChannelChoices.colors.get(self.side)

    def get_lifted_how_color(self) -> str | None:
        return LiftedChoices.colors.get(self.lifted_how)

    @property
    def place(self) -> Place:
        return self.point_id, self.identity, self.side

    @property
    def state(self) -> AccessState | None:
        return get_state(self, 'state')

    @property
    def is_open(self) -> bool:
        return self.lifted_at is None

    def as_target(self) -> AccessTarget:
        """The line as it was when this was taken, for whoever lifts it where no line is any more."""
        kept: dict[str, Any] = dict(self.target)
        return AccessTarget(key=f'restriction-{self.pk}', **kept, baseline=self.baseline, restricted=self.noted)

    def lift(self, how: str, now: datetime) -> None:
        """Read back as lifted; it is for the caller to save."""
        self.lifted_at, self.lifted_how, self.last_read_at = now, how, now
        self.forget_attempts()

    def be_kept_from(self, line: AccessLine) -> None:
        """Whose it is now: whoever has the place answers for it, and has it back; it is for the caller to save."""
        self.line, self.contract, self.contract_name = line, line.contract, str(line.contract)

    def forget_attempts(self) -> None:
        """It may be tried at once; it is for the caller to save."""
        self.finding, self.waits_for_person, self.attempts, self.retry_at = '', False, 0, None
