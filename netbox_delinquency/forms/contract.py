from django.utils.translation import gettext_lazy as _
from netbox.forms import PrimaryModelBulkEditForm, PrimaryModelFilterSetForm, PrimaryModelForm
from utilities.forms.fields import TagFilterField
from utilities.forms.rendering import FieldSet

from ..models import Contract, PolicyStage
from .base import (
    OWNERSHIP,
    SEARCH,
    PrimaryImportForm,
    choice,
    choose,
    edit,
    filter_by,
    refer,
    yes_or_no,
)

__all__ = ('ContractBulkEditForm', 'ContractFilterForm', 'ContractForm', 'ContractImportForm')

FIELDS = (
    'source',
    'external_id',
    'aliases',
    'subscriber',
    'plan',
    'policy',
    'status',
    'calendar',
    'time_zone',
    'tier',
    'description',
    'owner',
    'comments',
    'tags',
)


class ContractForm(PrimaryModelForm):
    fieldsets = (
        FieldSet('source', 'external_id', 'aliases', 'subscriber', 'status', 'description', 'tags', name=_('Contract')),
        FieldSet('plan', 'policy', 'calendar', 'time_zone', 'tier', name=_('Service')),
    )
    calendar = choose(Contract, 'calendar')
    source = choose(Contract, 'source')
    subscriber = choose(Contract, 'subscriber', quick_add=True)
    plan = choose(Contract, 'plan')
    policy = choose(Contract, 'policy')

    class Meta:
        model = Contract
        fields = FIELDS


class ContractImportForm(PrimaryImportForm):
    source = refer(Contract, 'source', 'slug')
    subscriber = refer(Contract, 'subscriber', 'external_id')
    plan = refer(Contract, 'plan', 'name')
    policy = refer(Contract, 'policy', 'name')
    status = choice(Contract, 'status')
    calendar = refer(Contract, 'calendar', 'name')

    class Meta:
        model = Contract
        fields = FIELDS


class ContractBulkEditForm(PrimaryModelBulkEditForm):
    model = Contract
    fieldsets = (FieldSet('status', 'description'), FieldSet('plan', 'policy', 'calendar', 'tier', name=_('Service')))
    nullable_fields = ('policy', 'calendar', 'tier', 'description', 'comments')

    status = edit(Contract, 'status')
    plan = edit(Contract, 'plan')
    policy = edit(Contract, 'policy')
    calendar = edit(Contract, 'calendar')
    tier = edit(Contract, 'tier')


class ContractFilterForm(PrimaryModelFilterSetForm):
    model = Contract
    fieldsets = (
        SEARCH,
        FieldSet(
            'status', 'source_id', 'subscriber_id', 'plan_id', 'policy_id', 'calendar_id', 'tier', name=_('Contract')
        ),
        FieldSet('is_overdue', 'oldest_due_date', 'awaiting_clearing', name=_('Billing')),
        FieldSet('has_stage', 'stage_id', 'stage_action', 'next_action_on', 'in_relief', name=_('Dunning position')),
        OWNERSHIP,
    )

    status = filter_by(Contract, 'status')
    source_id = filter_by(Contract, 'source')
    subscriber_id = filter_by(Contract, 'subscriber')
    plan_id = filter_by(Contract, 'plan')
    policy_id = filter_by(Contract, 'policy')
    calendar_id = filter_by(Contract, 'calendar')
    tier = filter_by(Contract, 'tier')
    in_relief = filter_by(Contract, 'in_relief')
    is_overdue = yes_or_no(_('Has an open due date'))
    oldest_due_date = filter_by(Contract, 'oldest_due_date')
    awaiting_clearing = filter_by(Contract, 'awaiting_clearing')
    has_stage = yes_or_no(_('Has reached a stage'))
    stage_id = filter_by(Contract, 'stage')
    stage_action = filter_by(PolicyStage, 'action')
    next_action_on = filter_by(Contract, 'next_action_on')
    tag = TagFilterField(model)
