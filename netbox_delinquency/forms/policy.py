from django.utils.translation import gettext_lazy as _
from netbox.forms import (
    NetBoxModelBulkEditForm,
    NetBoxModelFilterSetForm,
    NetBoxModelForm,
    PrimaryModelBulkEditForm,
    PrimaryModelFilterSetForm,
    PrimaryModelForm,
)
from utilities.forms.fields import TagFilterField
from utilities.forms.rendering import FieldSet

from ..models import DelinquencyPolicy, PolicyStage
from .base import OWNERSHIP, SEARCH, NetBoxImportForm, PrimaryImportForm, choice, choose, edit, filter_by, refer

__all__ = (
    'DelinquencyPolicyBulkEditForm',
    'DelinquencyPolicyFilterForm',
    'DelinquencyPolicyForm',
    'DelinquencyPolicyImportForm',
    'PolicyStageBulkEditForm',
    'PolicyStageFilterForm',
    'PolicyStageForm',
    'PolicyStageImportForm',
)

POLICY_FIELDS = ('name', 'auto_approve', 'description', 'owner', 'comments', 'tags')
STAGE_FIELDS = ('policy', 'after_days', 'action', 'tags')


class DelinquencyPolicyForm(PrimaryModelForm):
    fieldsets = (FieldSet('name', 'auto_approve', 'description', 'tags', name=_('Delinquency policy')),)

    class Meta:
        model = DelinquencyPolicy
        fields = POLICY_FIELDS


class DelinquencyPolicyImportForm(PrimaryImportForm):
    class Meta:
        model = DelinquencyPolicy
        fields = POLICY_FIELDS


class DelinquencyPolicyBulkEditForm(PrimaryModelBulkEditForm):
    model = DelinquencyPolicy
    fieldsets = (FieldSet('auto_approve', 'description'),)
    nullable_fields = ('description', 'comments')

    auto_approve = edit(DelinquencyPolicy, 'auto_approve')


class DelinquencyPolicyFilterForm(PrimaryModelFilterSetForm):
    model = DelinquencyPolicy
    fieldsets = (SEARCH, FieldSet('auto_approve', name=_('Delinquency policy')), OWNERSHIP)

    auto_approve = filter_by(DelinquencyPolicy, 'auto_approve')
    tag = TagFilterField(model)


class PolicyStageForm(NetBoxModelForm):
    fieldsets = (FieldSet(*STAGE_FIELDS, name=_('Policy stage')),)
    policy = choose(PolicyStage, 'policy')

    class Meta:
        model = PolicyStage
        fields = STAGE_FIELDS


class PolicyStageImportForm(NetBoxImportForm):
    policy = refer(PolicyStage, 'policy', 'name')
    action = choice(PolicyStage, 'action')

    class Meta:
        model = PolicyStage
        fields = STAGE_FIELDS


class PolicyStageBulkEditForm(NetBoxModelBulkEditForm):
    model = PolicyStage
    fieldsets = (FieldSet('policy', 'after_days', 'action'),)

    policy = edit(PolicyStage, 'policy')
    after_days = edit(PolicyStage, 'after_days')
    action = edit(PolicyStage, 'action')


class PolicyStageFilterForm(NetBoxModelFilterSetForm):
    model = PolicyStage
    fieldsets = (SEARCH, FieldSet('policy_id', 'after_days', 'action', name=_('Policy stage')))

    policy_id = filter_by(PolicyStage, 'policy')
    after_days = filter_by(PolicyStage, 'after_days')
    action = filter_by(PolicyStage, 'action')
    tag = TagFilterField(model)
