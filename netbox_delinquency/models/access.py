from __future__ import annotations

import ipaddress
from collections.abc import Collection, Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Any

from dcim.fields import MACAddressField
from django.core.exceptions import ValidationError
from django.db import models, transaction
from django.db.models import Q
from django.utils.translation import gettext_lazy as _
from netbox.models import PrimaryModel
from netbox.models.features import JobsMixin
from utilities.querysets import RestrictedQuerySet

from nornir_tasks.change import AccessState, AccessTarget, Reading

from ..choices import (
    AccessModeChoices,
    ContractStatusChoices,
    LineChannelChoices,
    LineStatusChoices,
    ObservedModeChoices,
)
from .lifecycle import LifecycleModel
from .line_columns import (
    baseline_column,
    foreign_column,
    identity,
    identity_column,
    mode_column,
    moment_column,
    observed_at_constraint,
    rate_column,
    restriction_column,
    unique_identity,
    unverified_column,
)
from .places import identities_of, identity_at, settle_new, settle_places
from .sides import (  # noqa: F401
    BASELINE,
    FOREIGN,
    OBSERVED,
    POINT,
    RESTRICTION,
    UNVERIFIED,
    is_covered,
    is_foreign,
    is_over_enforced,
    is_right,
)
from .state import get_state, most_restrictive, set_state, state_constraint, state_fields

if TYPE_CHECKING:
    from .point import EnforcementPoint


__all__ = ('AccessLine',)


class AccessLineQuerySet(RestrictedQuerySet):
    def drifting(self) -> AccessLineQuerySet:
        """Active lines not as intended, at their BRAS or at their CPE, as far as that is for us to put right."""
        return self.filter(status=LineStatusChoices.ACTIVE).exclude(*map(is_right, LineChannelChoices.SIDES))

    def bulk_create(self, objs: Iterable[AccessLine], *args: Any, **kwargs: Any) -> list[AccessLine]:
        """What is made in bulk has its places, too."""
        lines = list(objs)
        settle_new(lines)
        return super().bulk_create(lines, *args, **kwargs)

    def foreign(self) -> AccessLineQuerySet:
        """Lines that somebody else restricts somewhere, as last read."""
        return self.filter(is_foreign(LineChannelChoices.BRAS) | is_foreign(LineChannelChoices.CPE))


class AccessLine(LifecycleModel, JobsMixin, PrimaryModel):
    """The link contract ↔ CPE ↔ BRAS ↔ ACS: who the line is on the wire, its intended and observed states.

    Intended is written by policy, observed by read-back; neither by forms.
    """

    contract = models.ForeignKey('Contract', on_delete=models.PROTECT, related_name='lines', verbose_name=_('contract'))
    status = models.CharField(
        verbose_name=_('status'), max_length=30, choices=LineStatusChoices, default=LineStatusChoices.ACTIVE
    )
    cpe = models.ForeignKey(
        'dcim.Device', on_delete=models.SET_NULL, related_name='access_lines', blank=True, null=True,
        verbose_name=_('CPE'), help_text=_("The device in the subscriber's home"),
    )  # fmt: skip
    bras = models.ForeignKey(
        'EnforcementPoint', on_delete=models.PROTECT, related_name='bras_lines', blank=True, null=True,
        verbose_name=_('BRAS'),
    )  # fmt: skip
    acs = models.ForeignKey(
        'EnforcementPoint', on_delete=models.PROTECT, related_name='acs_lines', blank=True, null=True,
        verbose_name=_('ACS'),
    )  # fmt: skip
    username = identity(_('username'), help_text=_('As the session logs in (PPPoE, RADIUS)'))
    circuit_id = identity(_('circuit ID'), help_text=_('DHCP option 82 or the access interface'))
    ipv4 = models.GenericIPAddressField(verbose_name=_('IPv4 address'), protocol='IPv4', blank=True, null=True)
    ipv6 = identity(_('IPv6 prefix'), 43, _('An address or the delegated prefix'))
    mac = MACAddressField(verbose_name=_('MAC address'), blank=True, null=True)
    cwmp_id = identity(_('CWMP ID'), 200, _('OUI-ProductClass-Serial, as the CPE informs'))

    intended_mode = models.CharField(
        verbose_name=_('intended state'), max_length=20, choices=AccessModeChoices,
        default=AccessModeChoices.NORMAL, editable=False,
    )  # fmt: skip
    intended_down_kbps = rate_column(_('intended download (kbit/s)'))
    intended_up_kbps = rate_column(_('intended upload (kbit/s)'))
    channel = models.CharField(
        verbose_name=_('channel'), max_length=10, choices=LineChannelChoices, default=LineChannelChoices.BRAS,
        editable=False, help_text=_('Where the line is enforced; elsewhere it is to be normal'),
    )  # fmt: skip
    pinned = models.BooleanField(
        verbose_name=_('pinned'), default=False, editable=False,
        help_text=_('Reverted by hand: left as it is until policy wants something else of it'),
    )  # fmt: skip
    observed_mode = mode_column(_('observed state'))
    observed_down_kbps = rate_column(_('observed download (kbit/s)'))
    observed_up_kbps = rate_column(_('observed upload (kbit/s)'))
    observed_at = moment_column(_('observed at'))
    unverified = unverified_column(_('unverified'))
    baseline = baseline_column(_('baseline'))
    foreign = foreign_column(_('foreign block'))
    bras_identity = identity_column(_('identity at the BRAS'))
    restriction = restriction_column(_('restriction'))
    cpe_observed_mode = mode_column(_('observed state at the CPE'))
    cpe_observed_down_kbps = rate_column(_('observed download at the CPE (kbit/s)'))
    cpe_observed_up_kbps = rate_column(_('observed upload at the CPE (kbit/s)'))
    cpe_observed_at = moment_column(_('observed at the CPE at'))
    cpe_unverified = unverified_column(_('unverified at the CPE'))
    cpe_baseline = baseline_column(_('baseline of the CPE'))
    cpe_foreign = foreign_column(_('foreign block at the CPE'))
    acs_identity = identity_column(_('identity at the ACS'))
    cpe_restriction = restriction_column(_('restriction at the CPE'))

    objects = AccessLineQuerySet.as_manager()

    lifecycle_fields = (
        *state_fields('intended'), 'channel', 'pinned', *state_fields('observed'), 'observed_at', 'unverified',
        'baseline', 'foreign', 'bras_identity', 'restriction', *state_fields('cpe_observed'), 'cpe_observed_at',
        'cpe_unverified', 'cpe_baseline', 'cpe_foreign', 'acs_identity', 'cpe_restriction',
    )  # fmt: skip
    # Restrictions that the save under way has left or come to; for `signals`.
    touched_restrictions: Collection[int] = frozenset()
    # What a line is called by, and what decides whether that place is its own.
    place_fields = frozenset(
        {'status', 'contract', 'bras', 'acs', 'username', 'circuit_id', 'ipv4', 'ipv6', 'mac', 'cwmp_id'}
    )

    clone_fields = ('contract', 'bras', 'acs')

    class Meta:
        ordering = ('contract', 'pk')
        verbose_name = _('access line')
        verbose_name_plural = _('access lines')
        permissions = [('enforce', 'Throttle, block or restore')]
        indexes = [
            models.Index(fields=('bras', 'bras_identity'), name='nbd_line_bras_identity'),
            models.Index(fields=('acs', 'acs_identity'), name='nbd_line_acs_identity'),
        ]
        constraints = [
            unique_identity('bras', 'username', _('username'), Q(username='')),
            unique_identity('bras', 'circuit_id', _('circuit ID'), Q(circuit_id='')),
            unique_identity('bras', 'ipv4', _('IPv4 address'), Q(ipv4__isnull=True)),
            unique_identity('bras', 'ipv6', _('IPv6 prefix'), Q(ipv6='')),
            unique_identity('bras', 'mac', _('MAC address'), Q(mac__isnull=True)),
            unique_identity('acs', 'cwmp_id', _('CWMP ID'), Q(cwmp_id='')),
            models.UniqueConstraint(
                fields=('cpe',),
                condition=Q(status=LineStatusChoices.ACTIVE),
                name='netbox_delinquency_accessline_one_active_per_cpe',
                violation_error_message=_('This CPE already carries an active line of another contract.'),
            ),
            models.CheckConstraint(
                condition=~Q(status=LineStatusChoices.ACTIVE) | Q(bras__isnull=False) | Q(acs__isnull=False),
                name='netbox_delinquency_accessline_active_has_point',
                violation_error_message=_('An active line has a BRAS or an ACS.'),
            ),
            models.CheckConstraint(
                condition=Q(bras__isnull=True)
                | ~Q(username='')
                | ~Q(circuit_id='')
                | Q(ipv4__isnull=False)
                | ~Q(ipv6='')
                | Q(mac__isnull=False),
                name='netbox_delinquency_accessline_bras_has_identity',
                violation_error_message=_('A line at a BRAS has a username, circuit ID, address or MAC.'),
            ),
            state_constraint('accessline', 'intended'),
            state_constraint('accessline', 'observed'),
            state_constraint('accessline', 'cpe_observed'),
            observed_at_constraint('observed'),
            observed_at_constraint('cpe_observed'),
        ]

    def __str__(self) -> str:
        return self.username or self.circuit_id or self.ipv4 or self.ipv6 or str(self.mac or '') or self.cwmp_id

    def get_status_color(self) -> str | None:
        return LineStatusChoices.colors.get(self.status)

    def get_intended_mode_color(self) -> str | None:
        return AccessModeChoices.colors.get(self.intended_mode)

    def get_observed_mode_color(self) -> str | None:
        return ObservedModeChoices.colors.get(self.observed_mode)

    def get_cpe_observed_mode_color(self) -> str | None:
        return ObservedModeChoices.colors.get(self.cpe_observed_mode)

    def get_channel_color(self) -> str | None:
        return LineChannelChoices.colors.get(self.channel)

    @property
    def intended(self) -> AccessState:
        return get_state(self, 'intended') or AccessState.normal()

    @property
    def observed(self) -> AccessState | None:
        return get_state(self, 'observed')

    @property
    def sides(self) -> list[str]:
        """Where this line can be reached at all."""
        return [side for side in LineChannelChoices.SIDES if self.point_at(side) is not None]

    @property
    def point(self) -> EnforcementPoint | None:
        """Where this line is enforced first of all."""
        return self.acs if self.channel == LineChannelChoices.CPE else self.bras or self.acs

    def point_at(self, side: str) -> EnforcementPoint | None:
        return getattr(self, POINT[side])

    def intended_at(self, side: str) -> AccessState:
        return self.intended if self.channel in (side, LineChannelChoices.BOTH) else AccessState.normal()

    def seen_at(self, side: str) -> AccessState | None:
        return get_state(self, OBSERVED[side])

    def known_at(self, side: str) -> AccessState | None:
        """As it was last seen on this side; None where that is unverified: it may have less access by now, or more."""
        return None if getattr(self, UNVERIFIED[side]) else self.seen_at(side)

    def drifts_at(self, side: str) -> bool:
        """Active and not as intended on this side, by the same rule as `AccessLine.objects.drifting()`."""
        if self.status != LineStatusChoices.ACTIVE or self.point_at(side) is None:
            return False
        intended, seen, is_ours = self.intended_at(side), self.known_at(side), self.is_ours_at(side)
        if intended == AccessState.normal():
            return is_ours
        if seen not in (None, AccessState.normal()) and not is_ours:
            return False
        return seen != intended

    @property
    def is_drifting(self) -> bool:
        return any(map(self.drifts_at, LineChannelChoices.SIDES))

    @property
    def is_foreign(self) -> bool:
        """Somebody else restricts it somewhere, as last read."""
        return any(self.foreign_at(side) for side in LineChannelChoices.SIDES)

    @property
    def all_foreign(self) -> list[str]:
        """What others restrict, on both sides."""
        return [item for side in LineChannelChoices.SIDES for item in self.foreign_at(side)]

    @property
    def foreign_text(self) -> str:
        return ', '.join(self.all_foreign)

    def foreign_at(self, side: str) -> list[str]:
        return getattr(self, FOREIGN[side])

    def is_ours_at(self, side: str) -> bool:
        """Whether something of ours is open at the line's place on this side."""
        return getattr(self, f'{RESTRICTION[side]}_id') is not None

    def identity_at(self, side: str) -> str:
        """As its point on this side is told of it, by the names it has now."""
        return identity_at(self, side)

    def observe(self, side: str, state: AccessState, now: datetime, foreign: Iterable[str] = ()) -> None:
        """Take what was read back on this side; it is for the caller to save."""
        set_state(self, OBSERVED[side], state)
        setattr(self, FOREIGN[side], [str(item) for item in foreign])
        if foreign and state == AccessState.normal():
            setattr(self, state_fields(OBSERVED[side])[0], ObservedModeChoices.FOREIGN)
        setattr(self, f'{OBSERVED[side]}_at', now)
        setattr(self, UNVERIFIED[side], False)

    def take(self, side: str, reading: Reading, now: datetime) -> None:
        """Take a reading of this side, where it says anything; it is for the caller to save.

        Where the stored policy and the session differ, one state represents both. The more restrictive one, if that is
        less than intended: it drifts as what it is, and is given back at once. Else the one that is not as intended,
        and the line is unverified: by that one alone a later payment might find it right, and never see the other.

        What is restricted there without an open restriction of ours is another's, whatever it looks like.
        """
        state, intended = most_restrictive(reading), self.intended_at(side)
        if state is None:
            return
        differing = reading.stored is not None and reading.live is not None and reading.stored != reading.live
        unverified = differing and not state.is_more_restrictive_than(intended)
        if unverified:
            state = reading.stored if reading.live == intended else reading.live
            assert state is not None  # both were read
        foreign = list(reading.foreign)
        if state != AccessState.normal() and not self.is_ours_at(side):
            foreign.append(f'{state}, not by us')
        self.observe(side, state, now, foreign)
        setattr(self, UNVERIFIED[side], unverified)
        if reading.is_baseline and not foreign:
            setattr(self, BASELINE[side], dict(reading.detail))

    @transaction.atomic
    def save(self, *args: Any, update_fields: Iterable[str] | None = None, **kwargs: Any) -> None:
        if self._state.adding and self.bras is None:
            self.channel = LineChannelChoices.CPE
        if update_fields is None or self.place_fields.intersection(update_fields):
            known = None
            if not self._state.adding:
                known = type(self).objects.select_for_update(of=('self',)).filter(pk=self.pk).first()
            written = settle_places(self, known)
            if not self._state.adding:
                update_fields = [*(self.ordinary_fields() if update_fields is None else update_fields), *written]
        super().save(*args, update_fields=update_fields, **kwargs)

    def clean(self) -> None:
        super().clean()
        if self.ipv6:
            try:
                network = ipaddress.IPv6Network(self.ipv6)
            except ValueError as error:
                text = _('Not an IPv6 address or prefix: {error}').format(error=error)
                raise ValidationError({'ipv6': text}) from error
            self.ipv6 = str(network.network_address) if network.prefixlen == 128 else str(network)
        if (
            self.status == LineStatusChoices.ACTIVE
            and self.contract_id
            and self.contract.status == ContractStatusChoices.TERMINATED
        ):
            raise ValidationError({'contract': _('A terminated contract has no active line: retire the line.')})

    def as_target(self, side: str | None = None) -> AccessTarget:
        """This line as the driver on that side knows it; as that of `point` where none is given."""
        plan = self.contract.plan
        if side is None:
            side = LineChannelChoices.BRAS if self.point == self.bras else LineChannelChoices.CPE
        point = self.point_at(side)
        held = getattr(self, RESTRICTION[side])
        return AccessTarget(
            key=str(self.pk),
            **identities_of(self),
            down_kbps=plan.down_kbps,
            up_kbps=plan.up_kbps,
            parameters=plan.parameters.get(point.driver, {}) if point else {},
            baseline=(held and held.baseline) or getattr(self, BASELINE[side]),
            restricted=held.noted if held else {},
        )
