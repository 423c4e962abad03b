"""The pages of holds."""

from netbox.ui import attrs

from ...models import Hold
from ..base import ModelPanel

__all__ = ('HoldPanel',)


class HoldPanel(ModelPanel):
    model = Hold
    contract = attrs.RelatedObjectAttr('contract', linkify=True)
    kind = attrs.ChoiceAttr('kind')
    reason = attrs.TextAttr('reason')
    reference = attrs.TextAttr('reference')
    approver = attrs.RelatedObjectAttr('approver')
    starts_at = attrs.DateTimeAttr('starts_at')
    ends_at = attrs.DateTimeAttr('ends_at')
    instalments = attrs.NumericAttr('instalments')
    ended_at = attrs.DateTimeAttr('ended_at')
    end_reason = attrs.TextAttr('end_reason')
    successor = attrs.RelatedObjectAttr('successor', linkify=True)
    description = attrs.TextAttr('description')
