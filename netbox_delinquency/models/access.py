import ipaddress

from dcim.fields import MACAddressField
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import F, Q
from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _
from netbox.models import PrimaryModel
from netbox.models.features import JobsMixin
from utilities.querysets import RestrictedQuerySet

from nornir_tasks.change import AccessState, AccessTarget, Reading

from ..choices import AccessModeChoices, ContractStatusChoices, LineChannelChoices, LineStatusChoices
from .lifecycle import LifecycleModel
from .state import get_state, most_restrictive, set_state, state_constraint, state_fields

__all__ = ('AccessLine',)


# What is known of a line at each of the two places where it may be enforced: names of its columns.
OBSERVED = {LineChannelChoices.BRAS: 'observed', LineChannelChoices.CPE: 'cpe_observed'}
UNVERIFIED = {LineChannelChoices.BRAS: 'unverified', LineChannelChoices.CPE: 'cpe_unverified'}
BASELINE = {LineChannelChoices.BRAS: 'baseline', LineChannelChoices.CPE: 'cpe_baseline'}
POINT = {LineChannelChoices.BRAS: 'bras', LineChannelChoices.CPE: 'acs'}


def is_covered(side: str) -> Q:
    """The lines that policy wants enforced on this side; on the other one they are to be normal."""
    return Q(channel__in=(side, LineChannelChoices.BOTH))


def is_right(side: str) -> Q:
    """Lines without a point on this side, or seen there as intended. Never seen counts as normal."""
    mode, down, up = state_fields(OBSERVED[side])
    same_rates = Q(intended_down_kbps=F(down), intended_up_kbps=F(up))
    same = Q(intended_mode=F(mode)) & (~Q(intended_mode=AccessModeChoices.THROTTLED) | same_rates)
    unseen = Q(**{mode: ''}, intended_mode=AccessModeChoices.NORMAL)
    is_normal = Q(**{f'{mode}__in': ('', AccessModeChoices.NORMAL)})
    as_wanted = is_covered(side) & (same | unseen) | ~is_covered(side) & is_normal
    return Q(**{f'{POINT[side]}__isnull': True}) | Q(**{UNVERIFIED[side]: False}) & as_wanted


def is_over_enforced(side: str) -> Q:
    """Lines seen on this side with less than they are to have, as `AccessState.is_more_restrictive_than` says it."""
    mode, down, up = state_fields(OBSERVED[side])
    throttled, blocked = AccessModeChoices.THROTTLED, AccessModeChoices.BLOCKED
    slower = Q(**{f'{down}__lt': F('intended_down_kbps')}) | Q(**{f'{up}__lt': F('intended_up_kbps')})
    more = (
        Q(**{mode: blocked}) & ~Q(intended_mode=blocked)
        | Q(**{mode: throttled}, intended_mode=AccessModeChoices.NORMAL)
        | Q(**{mode: throttled}, intended_mode=throttled) & slower
    )
    return is_covered(side) & more | ~is_covered(side) & Q(**{f'{mode}__in': (throttled, blocked)})


class AccessLineQuerySet(RestrictedQuerySet):
    def drifting(self):
        """Active lines that are unverified or not as intended, at their BRAS or at their CPE."""
        return self.filter(status=LineStatusChoices.ACTIVE).exclude(*map(is_right, LineChannelChoices.SIDES))


def identity(label, length=128, help_text=''):
    return models.CharField(verbose_name=label, max_length=length, blank=True, help_text=help_text)


def mode_column(label):
    return models.CharField(
        verbose_name=label, max_length=20, choices=AccessModeChoices, blank=True, editable=False,
        help_text=_('As last read back'),
    )  # fmt: skip


def rate_column(label):
    return models.PositiveIntegerField(verbose_name=label, blank=True, null=True, editable=False)


def moment_column(label):
    return models.DateTimeField(verbose_name=label, blank=True, null=True, editable=False)


def unverified_column(label):
    return models.BooleanField(
        verbose_name=label, default=False, editable=False,
        help_text=_('Something was sent to this line, and it has not been read since'),
    )  # fmt: skip


def baseline_column(label):
    return models.JSONField(
        verbose_name=label, blank=True, default=dict, editable=False,
        help_text=_('What the point said while the line was last seen normal: what restoring puts back'),
    )  # fmt: skip


def observed_at_constraint(name: str) -> models.CheckConstraint:
    """Where there is a state there is the moment at which it was read."""
    mode, at = f'{name}_mode', f'{name}_at'
    return models.CheckConstraint(
        condition=Q(**{mode: '', f'{at}__isnull': True}) | (~Q(**{mode: ''}) & Q(**{f'{at}__isnull': False})),
        name=f'netbox_delinquency_accessline_{name}_at',
    )


def unique_identity(point: str, field: str, label, empty: Q) -> models.UniqueConstraint:
    """One identity names one line at its point; retired lines keep theirs as history."""
    return models.UniqueConstraint(
        fields=(point, field),
        condition=~empty & ~Q(status=LineStatusChoices.RETIRED),
        name=f'netbox_delinquency_accessline_unique_{point}_{field}',
        violation_error_message=format_lazy(_('Another line of this enforcement point has that {field}.'), field=label),
    )


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
    cpe_observed_mode = mode_column(_('observed state at the CPE'))
    cpe_observed_down_kbps = rate_column(_('observed download at the CPE (kbit/s)'))
    cpe_observed_up_kbps = rate_column(_('observed upload at the CPE (kbit/s)'))
    cpe_observed_at = moment_column(_('observed at the CPE at'))
    cpe_unverified = unverified_column(_('unverified at the CPE'))
    cpe_baseline = baseline_column(_('baseline of the CPE'))

    objects = AccessLineQuerySet.as_manager()

    lifecycle_fields = (
        *state_fields('intended'), 'channel', 'pinned', *state_fields('observed'), 'observed_at', 'unverified',
        'baseline', *state_fields('cpe_observed'), 'cpe_observed_at', 'cpe_unverified', 'cpe_baseline',
    )  # fmt: skip

    clone_fields = ('contract', 'bras', 'acs')

    class Meta:
        ordering = ('contract', 'pk')
        verbose_name = _('access line')
        verbose_name_plural = _('access lines')
        permissions = [('enforce', 'Throttle, block or restore')]
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

    def __str__(self):
        return self.username or self.circuit_id or self.ipv4 or self.ipv6 or str(self.mac or '') or self.cwmp_id

    def get_status_color(self):
        return LineStatusChoices.colors.get(self.status)

    def get_intended_mode_color(self):
        return AccessModeChoices.colors.get(self.intended_mode)

    def get_observed_mode_color(self):
        return AccessModeChoices.colors.get(self.observed_mode)

    def get_cpe_observed_mode_color(self):
        return AccessModeChoices.colors.get(self.cpe_observed_mode)

    def get_channel_color(self):
        return LineChannelChoices.colors.get(self.channel)

    @property
    def intended(self) -> AccessState:
        return get_state(self, 'intended')

    @property
    def observed(self) -> AccessState | None:
        return get_state(self, 'observed')

    @property
    def sides(self) -> list[str]:
        """Where this line can be reached at all."""
        return [side for side in LineChannelChoices.SIDES if self.point_at(side) is not None]

    @property
    def point(self):
        """Where this line is enforced first of all."""
        return self.acs if self.channel == LineChannelChoices.CPE else self.bras or self.acs

    def point_at(self, side: str):
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
        observed = self.seen_at(side) or AccessState.normal()
        return getattr(self, UNVERIFIED[side]) or self.intended_at(side) != observed

    @property
    def is_drifting(self) -> bool:
        return any(map(self.drifts_at, LineChannelChoices.SIDES))

    def observe(self, side: str, state: AccessState, now) -> None:
        """Take what was read back on this side; it is for the caller to save."""
        set_state(self, OBSERVED[side], state)
        setattr(self, f'{OBSERVED[side]}_at', now)
        setattr(self, UNVERIFIED[side], False)

    def take(self, side: str, reading: Reading, now) -> None:
        """Take a reading of this side, where it says anything; it is for the caller to save.

        Where the stored policy and the session differ, one state represents both. The more restrictive one, if that is
        less than intended: it drifts as what it is, and is given back at once. Else the one that is not as intended,
        and the line is unverified: by that one alone a later payment might find it right, and never see the other.
        """
        state, intended = most_restrictive(reading), self.intended_at(side)
        if state is None:
            return
        half_done = reading.stored is not None and reading.live is not None and reading.stored != reading.live
        unverified = half_done and not state.is_more_restrictive_than(intended)
        if unverified:
            state = reading.stored if reading.live == intended else reading.live
        self.observe(side, state, now)
        setattr(self, UNVERIFIED[side], unverified)

    def save(self, *args, **kwargs):
        if self._state.adding and self.bras is None:
            self.channel = LineChannelChoices.CPE
        super().save(*args, **kwargs)

    def clean(self):
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
        return AccessTarget(
            key=str(self.pk),
            username=self.username,
            circuit_id=self.circuit_id,
            ipv4=self.ipv4 or '',
            ipv6=self.ipv6,
            mac=str(self.mac or ''),
            cwmp_id=self.cwmp_id,
            down_kbps=plan.down_kbps,
            up_kbps=plan.up_kbps,
            parameters=plan.parameters.get(point.driver, {}) if point else {},
            baseline=getattr(self, BASELINE[side]),
        )
