"""The pages of service plans, and of offers of a smaller one."""

from netbox.ui import attrs

from ...models import PlanChangeOrder, ServicePlan
from ..base import ModelPanel

__all__ = (
    'PlanChangeOrderPanel',
    'PlanPanel',
)


class PlanPanel(ModelPanel):
    model = ServicePlan
    name = attrs.TextAttr('name')
    down_kbps = attrs.NumericAttr('down_kbps')
    up_kbps = attrs.NumericAttr('up_kbps')
    throttled_down_kbps = attrs.NumericAttr('throttled_down_kbps')
    throttled_up_kbps = attrs.NumericAttr('throttled_up_kbps')
    description = attrs.TextAttr('description')


class PlanChangeOrderPanel(ModelPanel):
    model = PlanChangeOrder
    contract = attrs.RelatedObjectAttr('contract', linkify=True)
    from_plan = attrs.RelatedObjectAttr('from_plan', linkify=True)
    to_plan = attrs.RelatedObjectAttr('to_plan', linkify=True)
    reason = attrs.TextAttr('reason')
    offered_until = attrs.DateTimeAttr('offered_until', spec='date')
    status = attrs.ChoiceAttr('status')
    decided_at = attrs.DateTimeAttr('decided_at')
    description = attrs.TextAttr('description')
