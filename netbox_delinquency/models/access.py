import ipaddress

from dcim.fields import MACAddressField
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import F, Q
from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _
from netbox.models import PrimaryModel
from utilities.querysets import RestrictedQuerySet

from nornir_tasks.change import AccessState, AccessTarget

from ..choices import AccessModeChoices, ContractStatusChoices, LineStatusChoices
from .lifecycle import LifecycleModel
from .state import get_state, state_constraint, state_fields

__all__ = ('AccessLine',)


class AccessLineQuerySet(RestrictedQuerySet):
    def drifting(self):
        """Active lines in doubt or not as intended; one never observed drifts where more than normal is wanted."""
        same_rates = Q(intended_down_kbps=F('observed_down_kbps'), intended_up_kbps=F('observed_up_kbps'))
        same = Q(intended_mode=F('observed_mode')) & (~Q(intended_mode=AccessModeChoices.THROTTLED) | same_rates)
        unseen = Q(observed_mode='', intended_mode=AccessModeChoices.NORMAL)
        return self.filter(status=LineStatusChoices.ACTIVE).exclude(Q(in_doubt=False) & (same | unseen))


def identity(label, length=128, help_text=''):
    return models.CharField(verbose_name=label, max_length=length, blank=True, help_text=help_text)


def unique_identity(point: str, field: str, label, empty: Q) -> models.UniqueConstraint:
    """One identity names one line at its point; retired lines keep theirs as history."""
    return models.UniqueConstraint(
        fields=(point, field),
        condition=~empty & ~Q(status=LineStatusChoices.RETIRED),
        name=f'netbox_delinquency_accessline_unique_{point}_{field}',
        violation_error_message=format_lazy(_('Another line of this enforcement point has that {field}.'), field=label),
    )


class AccessLine(LifecycleModel, PrimaryModel):
    """The link contract ↔ CPE ↔ BRAS ↔ ACS: who the line is on the wire, how it should stand, how it was last seen.

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
    intended_down_kbps = models.PositiveIntegerField(
        verbose_name=_('intended download (kbit/s)'), blank=True, null=True, editable=False
    )
    intended_up_kbps = models.PositiveIntegerField(
        verbose_name=_('intended upload (kbit/s)'), blank=True, null=True, editable=False
    )
    observed_mode = models.CharField(
        verbose_name=_('observed state'), max_length=20, choices=AccessModeChoices, blank=True, editable=False
    )
    observed_down_kbps = models.PositiveIntegerField(
        verbose_name=_('observed download (kbit/s)'), blank=True, null=True, editable=False
    )
    observed_up_kbps = models.PositiveIntegerField(
        verbose_name=_('observed upload (kbit/s)'), blank=True, null=True, editable=False
    )
    observed_at = models.DateTimeField(verbose_name=_('observed at'), blank=True, null=True, editable=False)
    in_doubt = models.BooleanField(
        verbose_name=_('in doubt'), default=False, editable=False,
        help_text=_('Something was sent to this line, and it has not been read since'),
    )  # fmt: skip
    baseline = models.JSONField(
        verbose_name=_('baseline'), blank=True, default=dict, editable=False,
        help_text=_('What the point said while the line was last seen normal: what restoring puts back'),
    )  # fmt: skip

    objects = AccessLineQuerySet.as_manager()

    lifecycle_fields = (*state_fields('intended'), *state_fields('observed'), 'observed_at', 'in_doubt', 'baseline')

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
            models.CheckConstraint(
                condition=Q(observed_mode='', observed_at__isnull=True)
                | (~Q(observed_mode='') & Q(observed_at__isnull=False)),
                name='netbox_delinquency_accessline_observed_at',
            ),
        ]

    def __str__(self):
        return self.username or self.circuit_id or self.ipv4 or self.ipv6 or str(self.mac or '') or self.cwmp_id

    def get_status_color(self):
        return LineStatusChoices.colors.get(self.status)

    def get_intended_mode_color(self):
        return AccessModeChoices.colors.get(self.intended_mode)

    def get_observed_mode_color(self):
        return AccessModeChoices.colors.get(self.observed_mode)

    @property
    def intended(self) -> AccessState:
        return get_state(self, 'intended')

    @property
    def observed(self) -> AccessState | None:
        return get_state(self, 'observed')

    @property
    def is_drifting(self) -> bool:
        """Not as intended, by the same rule as `AccessLine.objects.drifting()`."""
        if self.status != LineStatusChoices.ACTIVE:
            return False
        return self.in_doubt or self.intended != (self.observed or AccessState.normal())

    @property
    def point(self):
        """Where this line is enforced: at the BRAS where there is one, else at the CPE through its ACS."""
        return self.bras or self.acs

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

    def as_target(self) -> AccessTarget:
        """This line as its enforcement point's driver knows it."""
        plan = self.contract.plan
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
            parameters=plan.parameters.get(self.point.driver, {}) if self.point else {},
            baseline=self.baseline,
        )
