from __future__ import annotations

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _
from netbox.models import PrimaryModel
from netbox.models.features import JobsMixin

from nornir_tasks.credentials import NAME as CREDENTIAL_NAME
from nornir_tasks.points import Point

from ..choices import PointStatusChoices
from .validation import validate_driver_parameters

__all__ = ('EnforcementPoint', 'validate_credential_name')

validate_credential_name = RegexValidator(
    rf'^{CREDENTIAL_NAME.pattern}$',
    _('A credential name has letters, digits, dots, dashes and underscores. The secret itself is never kept here.'),
)


class EnforcementPoint(JobsMixin, PrimaryModel):
    """A place where access is changed: a BRAS, a RADIUS server, an ACS. Its secret is known here by name only."""

    name = models.CharField(verbose_name=_('name'), max_length=100, unique=True)
    status = models.CharField(
        verbose_name=_('status'), max_length=30, choices=PointStatusChoices, default=PointStatusChoices.ACTIVE
    )
    driver = models.CharField(verbose_name=_('driver'), max_length=50)
    device = models.ForeignKey(
        'dcim.Device', on_delete=models.SET_NULL, related_name='enforcement_points', blank=True, null=True,
        verbose_name=_('device'),
    )  # fmt: skip
    virtual_machine = models.ForeignKey(
        'virtualization.VirtualMachine', on_delete=models.SET_NULL, related_name='enforcement_points', blank=True,
        null=True, verbose_name=_('virtual machine'),
    )  # fmt: skip
    address = models.CharField(
        verbose_name=_('address'),
        max_length=255,
        blank=True,
        help_text=_('IP address or host name; empty: the primary address of the device or virtual machine'),
    )
    port = models.PositiveIntegerField(
        verbose_name=_('port'), blank=True, null=True, validators=[MinValueValidator(1), MaxValueValidator(65535)],
        help_text=_("Empty: the driver's own"),
    )  # fmt: skip
    credential = models.CharField(
        verbose_name=_('credential'), max_length=100, blank=True, validators=[validate_credential_name],
        help_text=_('Name of a credential that the workers find in their environment or credentials directory'),
    )  # fmt: skip
    host_key = models.TextField(
        verbose_name=_('SSH host key'), blank=True,
        help_text=_('As in known_hosts without the name ("ssh-ed25519 AAAA…"), or its fingerprint ("SHA256:…")'),
    )  # fmt: skip
    parameters = models.JSONField(verbose_name=_('parameters'), blank=True, default=dict)
    timeout = models.PositiveSmallIntegerField(
        verbose_name=_('timeout (s)'), default=10, validators=[MinValueValidator(1)],
        help_text=_('How long one answer may take'),
    )  # fmt: skip
    batch_size = models.PositiveSmallIntegerField(
        verbose_name=_('batch size'), default=100, validators=[MinValueValidator(1)],
        help_text=_('Lines changed between two entries in the journal'),
    )  # fmt: skip
    max_rows_per_second = models.PositiveSmallIntegerField(
        verbose_name=_('lines per second'), blank=True, null=True, validators=[MinValueValidator(1)],
        help_text=_('Empty: as fast as the point answers'),
    )  # fmt: skip
    max_rows_per_hour = models.PositiveIntegerField(
        verbose_name=_('lines per hour'), blank=True, null=True, validators=[MinValueValidator(1)],
        help_text=_("Of what takes access away. Empty: only the settings' own cap"),
    )  # fmt: skip
    max_share_percent = models.PositiveSmallIntegerField(
        verbose_name=_('share of its lines (%)'), blank=True, null=True,
        validators=[MinValueValidator(1), MaxValueValidator(100)],
        help_text=_("Largest part of this point's lines in one plan. Empty: as in the settings"),
    )  # fmt: skip

    clone_fields = (
        'status', 'driver', 'port', 'credential', 'parameters', 'timeout', 'batch_size', 'max_rows_per_second',
        'max_rows_per_hour', 'max_share_percent',
    )  # fmt: skip

    class Meta:
        ordering = ('name',)
        verbose_name = _('enforcement point')
        verbose_name_plural = _('enforcement points')
        permissions = [
            ('check', 'Ask whether it answers, and refresh CPEs'),
            ('reconcile', 'Read its lines back'),
        ]
        constraints = [
            models.CheckConstraint(
                condition=Q(device__isnull=True) | Q(virtual_machine__isnull=True),
                name='netbox_delinquency_enforcementpoint_one_host',
                violation_error_message=_('A point is a device or a virtual machine, not both.'),
            ),
        ]

    def __str__(self) -> str:
        return self.name

    def get_status_color(self) -> str | None:
        return PointStatusChoices.colors.get(self.status)

    @property
    def host(self) -> str:
        """Where to connect: the address, else the primary one of the device or virtual machine, else empty."""
        if self.address:
            return self.address
        owner = self.device or self.virtual_machine
        return str(owner.primary_ip.address.ip) if owner and owner.primary_ip else ''

    def clean(self) -> None:
        super().clean()
        validate_driver_parameters('driver', self.driver, {}, 'LineParameters')
        validate_driver_parameters('parameters', self.driver, self.parameters, 'PointParameters')
        if not self.host:
            raise ValidationError(
                {'address': _('Give an address, or a device or virtual machine that has a primary IP address.')}
            )

    def as_point(self) -> Point:
        """This point as the network side knows it."""
        return Point(
            name=self.name,
            driver=self.driver,
            address=self.host,
            port=self.port,
            credential=self.credential,
            host_key=self.host_key,
            parameters=self.parameters,
            timeout=float(self.timeout),
            batch_size=self.batch_size,
            rate_per_s=self.max_rows_per_second,
        )
