"""The pages of contracts."""

from django.utils.translation import gettext_lazy as _
from netbox.ui import attrs

from ...models import Contract
from ..base import ModelPanel

__all__ = (
    'BalancePanel',
    'ContractFactsPanel',
    'ContractPanel',
    'ContractStandingPanel',
)


class ContractPanel(ModelPanel):
    model = Contract
    source = attrs.RelatedObjectAttr('source', linkify=True)
    external_id = attrs.TextAttr('external_id', copy_button=True)
    subscriber = attrs.RelatedObjectAttr('subscriber', linkify=True)
    plan = attrs.RelatedObjectAttr('plan', linkify=True)
    policy = attrs.RelatedObjectAttr('policy', linkify=True)
    status = attrs.ChoiceAttr('status')
    calendar = attrs.RelatedObjectAttr('calendar', linkify=True)
    time_zone = attrs.TextAttr('time_zone')
    tier = attrs.TextAttr('tier')
    description = attrs.TextAttr('description')


class ContractFactsPanel(ModelPanel):
    model = Contract
    title = _('Billing')
    oldest_due_date = attrs.DateTimeAttr('oldest_due_date', spec='date')
    unpaid_invoices = attrs.NumericAttr('unpaid_invoices')
    awaiting_clearing = attrs.BooleanAttr('awaiting_clearing')
    notices_from = attrs.DateTimeAttr('notices_from')
    relief_ended_at = attrs.DateTimeAttr('relief_ended_at')
    billing_status = attrs.ChoiceAttr('billing_status')
    facts_at = attrs.DateTimeAttr('facts_at')


class BalancePanel(ModelPanel):
    """Its own panel, since fewer may see it than may see the contract."""

    model = Contract
    title = _('Balance')
    open_balance = attrs.NumericAttr('open_balance')

    def should_render(self, context):
        return context['request'].user.has_perm('netbox_delinquency.view_balance_contract', context['object'])


class ContractStandingPanel(ModelPanel):
    model = Contract
    title = _('Dunning position')
    stage = attrs.RelatedObjectAttr('stage', linkify=True)
    stage_since = attrs.DateTimeAttr('stage_since')
    took_effect_at = attrs.DateTimeAttr('took_effect_at')
    next_stage = attrs.RelatedObjectAttr('next_stage', linkify=True)
    next_action_on = attrs.DateTimeAttr('next_action_on', spec='date')
    next_action_at = attrs.DateTimeAttr('next_action_at')
    in_relief = attrs.BooleanAttr('in_relief')
    review_requested_at = attrs.DateTimeAttr('review_requested_at')
    note = attrs.TextAttr('note', label=_('Dunning note'))
