"""The pages of notices."""

from datetime import datetime

from django.utils.translation import gettext_lazy as _
from netbox.ui import attrs

from ...models import Notice
from ...policy.facts import earliest_suspension
from ..base import ModelPanel

__all__ = ('NoticePanel',)


class EarliestSuspensionAttr(attrs.DateTimeAttr):
    """The first moment at which the contract's policy may act on the notice; empty where that is not known."""

    def get_value(self, obj: Notice) -> datetime | None:
        return earliest_suspension(obj)


class NoticePanel(ModelPanel):
    model = Notice
    contract = attrs.RelatedObjectAttr('contract', linkify=True)
    kind = attrs.ChoiceAttr('kind')
    reference = attrs.TextAttr('reference')
    channel = attrs.ChoiceAttr('channel')
    sent_at = attrs.DateTimeAttr('sent_at')
    delivered_at = attrs.DateTimeAttr('delivered_at')
    earliest = EarliestSuspensionAttr('delivered_at', label=_('Earliest lawful suspension'))
    asserted_by = attrs.TextAttr('asserted_by')
    description = attrs.TextAttr('description')
