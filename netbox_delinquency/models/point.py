from __future__ import annotations

import hashlib
import json
from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _
from netbox.models import PrimaryModel
from netbox.models.features import JobsMixin

from nornir_tasks.credentials import NAME as CREDENTIAL_NAME
from nornir_tasks.points import Point

from ..choices import EnforcementModeChoices, PointStatusChoices
from .lifecycle import LifecycleModel
from .validation import validate_driver_parameters

__all__ = ('EnforcementPoint', 'validate_credential_name')

validate_credential_name = RegexValidator(
    rf'\A{CREDENTIAL_NAME.pattern}\Z',  # `$` would take a line's end too
    _('A credential name has letters, digits, dots, dashes and underscores. The secret itself is never kept here.'),
)


class EnforcementPoint(LifecycleModel, JobsMixin, PrimaryModel):
    """A place where access is changed: a BRAS, a RADIUS server, an ACS. Its secret is known here by name only."""

    name = models.CharField(verbose_name=_('name'), max_length=100, unique=True)
    status = models.CharField(
        verbose_name=_('status'), max_length=30, choices=PointStatusChoices, default=PointStatusChoices.ACTIVE
    )
    mode = models.CharField(
        verbose_name=_('mode'), max_length=20, choices=EnforcementModeChoices, default=EnforcementModeChoices.OBSERVE,
        help_text=_("How far enforcement goes here; a contract's policy may hold it further back"),
    )  # fmt: skip
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

    checked_at = models.DateTimeField(
        verbose_name=_('checked at'), blank=True, null=True, editable=False,
        help_text=_('When it was last looked whether a block would block anything here'),
    )  # fmt: skip
    check_failure = models.CharField(
        verbose_name=_('what its check found'), max_length=500, blank=True, editable=False,
        help_text=_('What it lacks of what is required; empty: nothing'),
    )  # fmt: skip
    checked_as = models.CharField(
        verbose_name=_('checked as'), max_length=64, blank=True, editable=False,
        help_text=_('Digest of the connection that was checked, or was set up: behind another nothing is taken'),
    )  # fmt: skip

    lifecycle_fields = ('checked_at', 'check_failure', 'checked_as')
    clone_fields = (
        'status', 'mode', 'driver', 'port', 'credential', 'parameters', 'timeout', 'batch_size', 'max_rows_per_second',
        'max_rows_per_hour', 'max_share_percent',
    )  # fmt: skip

    # The connection of the session at hand, where there is one: it goes where the point led when it was opened.
    reached_as = ''

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

    def get_mode_color(self) -> str | None:
        return EnforcementModeChoices.colors.get(self.mode)

    @property
    def host(self) -> str:
        """Where to connect: the address, else the primary one of the device or virtual machine, else empty."""
        if self.address:
            return self.address
        owner = self.device or self.virtual_machine
        return str(owner.primary_ip.address).partition('/')[0] if owner and owner.primary_ip else ''

    @property
    def connection(self) -> str:
        """A digest of where a worker connects, as whom, and what it takes for the right host there.

        The parameters are part of it: they have other hosts and credential names in them (a RADIUS client's), and say
        what a block is made of.
        """
        facts = [self.driver, self.host, self.port, self.credential, self.host_key.strip(), self.parameters]
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()

    @property
    def is_unverified(self) -> bool:
        """Whether its connection has changed since it was checked or set up: another box may be behind it by now."""
        return self.checked_as != (self.reached_as or self.connection)

    def save(self, *args: Any, **kwargs: Any) -> None:
        if self._state.adding:
            self.checked_as = self.checked_as or self.connection
        super().save(*args, **kwargs)

    def clean(self) -> None:
        super().clean()
        self.validate_open_restrictions()
        validate_driver_parameters('driver', self.driver, {}, 'LineParameters')
        validate_driver_parameters('parameters', self.driver, self.parameters, 'PointParameters')
        if not self.host:
            raise ValidationError(
                {'address': _('Give an address, or a device or virtual machine that has a primary IP address.')}
            )

    def validate_open_restrictions(self) -> None:
        """What is open here is lifted by the driver that took it, while it is worked. Raises `ValidationError`."""
        known = type(self).objects.filter(pk=self.pk).first() if self.pk else None
        if known is None or not (count := self.restrictions.open().count()):
            return
        if self.status == PointStatusChoices.RETIRED != known.status:
            text = _('{count} restrictions of ours are still open here: have them lifted before the point is retired.')
            raise ValidationError({'status': text.format(count=count)})
        if self.driver != known.driver:
            text = _('{count} restrictions of ours are still open here, and another driver would not know them again.')
            raise ValidationError({'driver': text.format(count=count)})

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
