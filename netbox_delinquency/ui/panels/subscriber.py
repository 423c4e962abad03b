"""The pages of subscribers."""

from netbox.ui import attrs

from ...models import Subscriber
from ..base import ModelPanel

__all__ = ('SubscriberPanel',)


class SubscriberPanel(ModelPanel):
    model = Subscriber
    external_id = attrs.TextAttr('external_id', copy_button=True)
    name = attrs.TextAttr('name')
    description = attrs.TextAttr('description')
