from django.utils.translation import gettext_lazy as _
from netbox.forms import PrimaryModelBulkEditForm, PrimaryModelFilterSetForm, PrimaryModelForm
from utilities.forms.fields import CSVModelChoiceField, TagFilterField
from utilities.forms.rendering import FieldSet

from ..models import AccessLine, BillingSource, Contract, PolicyStage
from .base import OWNERSHIP, SEARCH, PrimaryImportForm, choice, choose, edit, filter_by, refer, yes_or_no

__all__ = ('AccessLineBulkEditForm', 'AccessLineFilterForm', 'AccessLineForm', 'AccessLineImportForm')

IDENTITY = ('username', 'circuit_id', 'ipv4', 'ipv6', 'mac', 'cwmp_id')
FIELDS = ('contract', 'status', 'cpe', 'bras', 'acs', *IDENTITY, 'description', 'owner', 'comments', 'tags')


class AccessLineForm(PrimaryModelForm):
    fieldsets = (
        FieldSet('contract', 'status', 'description', 'tags', name=_('Access line')),
        FieldSet('cpe', 'bras', 'acs', name=_('Network')),
        FieldSet(*IDENTITY, name=_('Identity on the wire')),
    )
    contract = choose(AccessLine, 'contract')
    cpe = choose(AccessLine, 'cpe', selector=True)
    bras = choose(AccessLine, 'bras')
    acs = choose(AccessLine, 'acs')

    class Meta:
        model = AccessLine
        fields = FIELDS


class AccessLineImportForm(PrimaryImportForm):
    source = CSVModelChoiceField(
        label=_('Billing source'),
        queryset=BillingSource.objects.all(),
        to_field_name='slug',
        required=False,
        help_text=_('By slug: whose contract it is, where contracts of several sources share an external ID'),
    )
    contract = refer(AccessLine, 'contract', 'external_id')
    status = choice(AccessLine, 'status')
    cpe = refer(AccessLine, 'cpe', 'name')
    bras = refer(AccessLine, 'bras', 'name')
    acs = refer(AccessLine, 'acs', 'name')

    class Meta:
        model = AccessLine
        fields = FIELDS

    def __init__(self, data=None, *args, **kwargs):
        super().__init__(data, *args, **kwargs)
        if data and data.get('source'):
            self.fields['contract'].queryset = Contract.objects.filter(source__slug=data['source'])


class AccessLineBulkEditForm(PrimaryModelBulkEditForm):
    model = AccessLine
    fieldsets = (FieldSet('contract', 'status', 'description'), FieldSet('bras', 'acs', name=_('Network')))
    nullable_fields = ('bras', 'acs', 'description', 'comments')

    contract = edit(AccessLine, 'contract')
    status = edit(AccessLine, 'status')
    bras = edit(AccessLine, 'bras')
    acs = edit(AccessLine, 'acs')


class AccessLineFilterForm(PrimaryModelFilterSetForm):
    model = AccessLine
    fieldsets = (
        SEARCH,
        FieldSet('status', 'intended_mode', 'observed_mode', 'cpe_observed_mode', 'channel', name=_('State')),
        FieldSet('drifting', 'unverified', 'cpe_unverified', 'pinned', 'foreign', name=_('Drift')),
        FieldSet(
            'contract_id', 'subscriber_id', 'plan_id', 'policy_id', 'source_id', 'stage_action', name=_('Contract')
        ),
        FieldSet('point_id', 'bras_id', 'acs_id', 'cpe_id', name=_('Network')),
        FieldSet(*IDENTITY, name=_('Identity on the wire')),
        OWNERSHIP,
    )

    status = filter_by(AccessLine, 'status')
    intended_mode = filter_by(AccessLine, 'intended_mode')
    observed_mode = filter_by(AccessLine, 'observed_mode')
    drifting = yes_or_no(_('Not as intended'))
    foreign = yes_or_no(_('Restricted by somebody else'))
    cpe_observed_mode = filter_by(AccessLine, 'cpe_observed_mode')
    channel = filter_by(AccessLine, 'channel')
    unverified = filter_by(AccessLine, 'unverified')
    cpe_unverified = filter_by(AccessLine, 'cpe_unverified')
    pinned = filter_by(AccessLine, 'pinned')
    contract_id = filter_by(AccessLine, 'contract')
    subscriber_id = filter_by(Contract, 'subscriber')
    plan_id = filter_by(Contract, 'plan')
    policy_id = filter_by(Contract, 'policy')
    source_id = filter_by(Contract, 'source')
    stage_action = filter_by(PolicyStage, 'action')
    point_id = filter_by(AccessLine, 'bras')
    bras_id = filter_by(AccessLine, 'bras')
    acs_id = filter_by(AccessLine, 'acs')
    cpe_id = filter_by(AccessLine, 'cpe')
    username = filter_by(AccessLine, 'username')
    circuit_id = filter_by(AccessLine, 'circuit_id')
    ipv4 = filter_by(AccessLine, 'ipv4')
    ipv6 = filter_by(AccessLine, 'ipv6')
    mac = filter_by(AccessLine, 'mac')
    cwmp_id = filter_by(AccessLine, 'cwmp_id')
    tag = TagFilterField(model)
