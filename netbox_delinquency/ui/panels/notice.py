"""The pages of notices."""

from django.utils.translation import gettext_lazy as _
from netbox.ui import attrs

from ...models import Notice
from ..base import ModelPanel

__all__ = ('NoticePanel',)


class NoticePanel(ModelPanel):
    model = Notice
    contract = attrs.RelatedObjectAttr('contract', linkify=True)
    kind = attrs.ChoiceAttr('kind')
    reference = attrs.TextAttr('reference')
    channel = attrs.ChoiceAttr('channel')
    sent_at = attrs.DateTimeAttr('sent_at')
    delivered_at = attrs.DateTimeAttr('delivered_at')
    earliest = attrs.DateTimeAttr('earliest_suspension', label=_('Earliest lawful suspension'))
    asserted_by = attrs.TextAttr('asserted_by')
    description = attrs.TextAttr('description')
