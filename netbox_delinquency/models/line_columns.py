"""The kinds of columns that an access line has several of, and the constraints on them."""

from django.db import models
from django.db.models import Q
from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _

from ..choices import LineStatusChoices, ObservedModeChoices
from ..text import Text


def identity(label: Text, length: int = 128, help_text: Text = '') -> models.CharField:
    return models.CharField(verbose_name=label, max_length=length, blank=True, help_text=help_text)


def mode_column(label: Text) -> models.CharField:
    return models.CharField(
        verbose_name=label, max_length=20, choices=ObservedModeChoices, blank=True, editable=False,
        help_text=_('As last read back'),
    )  # fmt: skip


def rate_column(label: Text) -> models.PositiveIntegerField:
    return models.PositiveIntegerField(verbose_name=label, blank=True, null=True, editable=False)


def moment_column(label: Text) -> models.DateTimeField:
    return models.DateTimeField(verbose_name=label, blank=True, null=True, editable=False)


def unverified_column(label: Text) -> models.BooleanField:
    return models.BooleanField(
        verbose_name=label, default=False, editable=False,
        help_text=_('Something was sent to this line, and it has not been read since'),
    )  # fmt: skip


def baseline_column(label: Text) -> models.JSONField:
    return models.JSONField(
        verbose_name=label, blank=True, default=dict, editable=False,
        help_text=_('What the point said while the line was last seen normal: what restoring puts back'),
    )  # fmt: skip


def foreign_column(label: Text) -> models.JSONField:
    return models.JSONField(
        verbose_name=label, blank=True, default=list, editable=False,
        help_text=_('What somebody else restricts there, as last read: never lifted by us, until a person adopts it'),
    )  # fmt: skip


def identity_column(label: Text) -> models.CharField:
    return models.CharField(
        verbose_name=label, max_length=400, blank=True, editable=False, help_text=_('As it is sent to the point')
    )


def restriction_column(label: Text) -> models.ForeignKey:
    return models.ForeignKey(
        'Restriction', on_delete=models.SET_NULL, related_name='+', blank=True, null=True, editable=False,
        verbose_name=label, help_text=_('What is open of ours at this place'),
    )  # fmt: skip


def observed_at_constraint(name: str) -> models.CheckConstraint:
    """Where there is a state there is the moment at which it was read."""
    mode, at = f'{name}_mode', f'{name}_at'
    return models.CheckConstraint(
        condition=Q(**{mode: '', f'{at}__isnull': True}) | (~Q(**{mode: ''}) & Q(**{f'{at}__isnull': False})),
        name=f'netbox_delinquency_accessline_{name}_at',
    )


def unique_identity(point: str, field: str, label: Text, empty: Q) -> models.UniqueConstraint:
    """One identity names one line at its point; retired lines keep theirs as history."""
    return models.UniqueConstraint(
        fields=(point, field),
        condition=~empty & ~Q(status=LineStatusChoices.RETIRED),
        name=f'netbox_delinquency_accessline_unique_{point}_{field}',
        violation_error_message=format_lazy(_('Another line of this enforcement point has that {field}.'), field=label),
    )
