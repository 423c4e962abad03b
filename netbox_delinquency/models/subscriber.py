from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db import models
from django.utils.translation import gettext_lazy as _
from netbox.models import PrimaryModel

if TYPE_CHECKING:
    from core.models import ObjectChange

__all__ = ('Subscriber',)


class Subscriber(PrimaryModel):
    """A party known to billing by `external_id`. Document numbers, phones and addresses stay with billing."""

    external_id = models.CharField(
        verbose_name=_('external ID'),
        max_length=100,
        unique=True,
        help_text=_("The subscriber's identifier in the billing system"),
    )
    name = models.CharField(
        verbose_name=_('name'), max_length=200, blank=True, help_text=_('A display name; no document number')
    )

    clone_fields = ()

    class Meta:
        ordering = ('external_id',)
        verbose_name = _('subscriber')
        verbose_name_plural = _('subscribers')

    def __str__(self) -> str:
        return self.name or self.external_id

    def serialize_object(self, exclude: list[str] | None = None) -> dict[str, Any]:
        """What the change log keeps: without the name, whose readers are fewer than the log's."""
        return super().serialize_object(exclude=[*(exclude or ()), 'name'])

    def to_objectchange(self, action: str) -> ObjectChange:
        change = super().to_objectchange(action)
        change.object_repr = self.external_id
        return change
