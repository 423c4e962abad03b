"""The pages of billing sources and events."""

from django.utils.translation import gettext_lazy as _
from netbox.ui import attrs

from ...models import BillingEvent, BillingSource
from ..base import ModelPanel, WarningAttr

__all__ = (
    'BillingEventPanel',
    'BillingSourcePanel',
)


class BillingSourcePanel(ModelPanel):
    model = BillingSource
    name = attrs.TextAttr('name')
    slug = attrs.TextAttr('slug', copy_button=True)
    enabled = attrs.BooleanAttr('enabled')
    credential = attrs.TextAttr('credential')
    key_problem = attrs.TextAttr('key_problem', label=_('Problem of the signing key'))
    adapter = attrs.TextAttr('adapter')
    heartbeat_minutes = attrs.NumericAttr('heartbeat_minutes')
    known_in_full = attrs.BooleanAttr('known_in_full')
    payments_known_at = attrs.DateTimeAttr('payments_known_at')
    last_event_at = attrs.DateTimeAttr('last_event_at')
    late = WarningAttr('late', label=_('Late: nothing escalates'))
    description = attrs.TextAttr('description')


class BillingEventPanel(ModelPanel):
    """Without the body: it says more of a person than those who watch the feed need."""

    model = BillingEvent
    source = attrs.RelatedObjectAttr('source', linkify=True)
    event_id = attrs.TextAttr('event_id', copy_button=True)
    event_type = attrs.TextAttr('event_type')
    contract = attrs.RelatedObjectAttr('contract', linkify=True)
    received_at = attrs.DateTimeAttr('received_at')
    status = attrs.ChoiceAttr('status')
    message = attrs.TextAttr('message')
    processed_at = attrs.DateTimeAttr('processed_at')
    needs_attention = WarningAttr('needs_attention')
    reviewed_by = attrs.RelatedObjectAttr('reviewed_by')
    reviewed_at = attrs.DateTimeAttr('reviewed_at')
