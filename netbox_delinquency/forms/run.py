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

from ..models import EnforcementChange, EnforcementRun
from .base import (
    OWNERSHIP,
    SEARCH,
    NetBoxImportForm,
    PrimaryImportForm,
    choice,
    choose,
    edit,
    filter_by,
    refer,
    yes_or_no,
)

__all__ = (
    'EnforcementChangeBulkEditForm',
    'EnforcementChangeFilterForm',
    'EnforcementChangeForm',
    'EnforcementChangeImportForm',
    'EnforcementRunBulkEditForm',
    'EnforcementRunFilterForm',
    'EnforcementRunForm',
    'EnforcementRunImportForm',
)

RUN_FIELDS = ('name', 'description', 'owner', 'comments', 'tags')
DESIRED = ('desired_mode', 'desired_down_kbps', 'desired_up_kbps')
CHANGE_FIELDS = ('run', 'line', *DESIRED, 'reason', 'tags')


class EnforcementRunForm(PrimaryModelForm):
    fieldsets = (FieldSet('name', 'description', 'tags', name=_('Enforcement run')),)

    class Meta:
        model = EnforcementRun
        fields = RUN_FIELDS


class EnforcementRunImportForm(PrimaryImportForm):
    class Meta:
        model = EnforcementRun
        fields = RUN_FIELDS


class EnforcementRunBulkEditForm(PrimaryModelBulkEditForm):
    model = EnforcementRun
    fieldsets = (FieldSet('description'),)
    nullable_fields = ('description', 'comments')


class EnforcementRunFilterForm(PrimaryModelFilterSetForm):
    model = EnforcementRun
    fieldsets = (
        SEARCH,
        FieldSet('kind', 'status', 'author_id', 'approver_id', 'reverts_id', name=_('Enforcement run')),
        FieldSet('line_id', 'point_id', 'outcome', name=_('Rows')),
        FieldSet('approved_at', 'started_at', 'finished_at', name=_('Times')),
        OWNERSHIP,
    )

    kind = filter_by(EnforcementRun, 'kind')
    status = filter_by(EnforcementRun, 'status')
    author_id = filter_by(EnforcementRun, 'author')
    approver_id = filter_by(EnforcementRun, 'approver')
    reverts_id = filter_by(EnforcementRun, 'reverts')
    line_id = filter_by(EnforcementChange, 'line')
    point_id = filter_by(EnforcementChange, 'point')
    outcome = filter_by(EnforcementChange, 'outcome')
    approved_at = filter_by(EnforcementRun, 'approved_at')
    started_at = filter_by(EnforcementRun, 'started_at')
    finished_at = filter_by(EnforcementRun, 'finished_at')
    tag = TagFilterField(model)


class EnforcementChangeForm(NetBoxModelForm):
    fieldsets = (
        FieldSet('run', 'line', 'reason', 'tags', name=_('Enforcement change')),
        FieldSet(*DESIRED, name=_('Desired state')),
    )
    run = choose(EnforcementChange, 'run', query_params={'status': 'planned'})
    line = choose(EnforcementChange, 'line')

    class Meta:
        model = EnforcementChange
        fields = CHANGE_FIELDS

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        if self.instance.pk:
            # The point and the expected state were fixed with the line.
            self.fields['run'].disabled = self.fields['line'].disabled = True


class EnforcementChangeImportForm(NetBoxImportForm):
    run = refer(EnforcementChange, 'run')
    line = refer(EnforcementChange, 'line')
    desired_mode = choice(EnforcementChange, 'desired_mode')

    class Meta:
        model = EnforcementChange
        fields = CHANGE_FIELDS


class EnforcementChangeBulkEditForm(NetBoxModelBulkEditForm):
    model = EnforcementChange
    fieldsets = (FieldSet('reason'), FieldSet(*DESIRED, name=_('Desired state')))
    nullable_fields = ('desired_down_kbps', 'desired_up_kbps', 'reason')

    desired_mode = edit(EnforcementChange, 'desired_mode')
    desired_down_kbps = edit(EnforcementChange, 'desired_down_kbps')
    desired_up_kbps = edit(EnforcementChange, 'desired_up_kbps')
    reason = edit(EnforcementChange, 'reason')


class EnforcementChangeFilterForm(NetBoxModelFilterSetForm):
    model = EnforcementChange
    fieldsets = (
        SEARCH,
        FieldSet('run_id', 'run_kind', 'run_status', name=_('Enforcement run')),
        FieldSet('line_id', 'point_id', 'channel', 'wave', 'desired_mode', name=_('Enforcement change')),
        FieldSet('outcome', 'is_closed', 'sent_at', 'finished_at', name=_('Outcome')),
    )

    run_id = filter_by(EnforcementChange, 'run')
    run_kind = filter_by(EnforcementRun, 'kind')
    run_status = filter_by(EnforcementRun, 'status')
    line_id = filter_by(EnforcementChange, 'line')
    point_id = filter_by(EnforcementChange, 'point')
    channel = filter_by(EnforcementChange, 'channel')
    wave = filter_by(EnforcementChange, 'wave')
    desired_mode = filter_by(EnforcementChange, 'desired_mode')
    outcome = filter_by(EnforcementChange, 'outcome')
    is_closed = yes_or_no(_('Has an outcome'))
    sent_at = filter_by(EnforcementChange, 'sent_at')
    finished_at = filter_by(EnforcementChange, 'finished_at')
    tag = TagFilterField(model)
