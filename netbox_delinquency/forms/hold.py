from django.utils.translation import gettext_lazy as _
from netbox.forms import PrimaryModelBulkEditForm, PrimaryModelFilterSetForm, PrimaryModelForm
from utilities.forms.fields import TagFilterField
from utilities.forms.rendering import FieldSet

from ..models import Hold
from .base import OWNERSHIP, SEARCH, PrimaryImportForm, aware, choice, choose, edit, filter_by, refer

__all__ = (
    'HoldBulkEditForm',
    'HoldFilterForm',
    'HoldForm',
    'HoldImportForm',
)

HOLD_FIELDS = (
    'contract',
    'kind',
    'reason',
    'reference',
    'starts_at',
    'ends_at',
    'instalments',
    'description',
    'owner',
    'comments',
    'tags',
)


class HoldForm(PrimaryModelForm):
    fieldsets = (
        FieldSet(
            'contract',
            'kind',
            'reason',
            'reference',
            'starts_at',
            'ends_at',
            'instalments',
            'description',
            'tags',
            name=_('Hold'),
        ),
    )
    contract = choose(Hold, 'contract')

    class Meta:
        model = Hold
        fields = HOLD_FIELDS


class HoldImportForm(PrimaryImportForm):
    contract = refer(Hold, 'contract')
    kind = choice(Hold, 'kind')
    starts_at = aware(Hold, 'starts_at')
    ends_at = aware(Hold, 'ends_at')

    class Meta:
        model = Hold
        fields = HOLD_FIELDS


class HoldBulkEditForm(PrimaryModelBulkEditForm):
    model = Hold
    fieldsets = (FieldSet('reason', 'reference', 'description'),)
    nullable_fields = ('reference', 'description', 'comments')

    reason = edit(Hold, 'reason')
    reference = edit(Hold, 'reference')


class HoldFilterForm(PrimaryModelFilterSetForm):
    model = Hold
    fieldsets = (SEARCH, FieldSet('contract_id', 'kind', 'approver_id', 'ends_at', name=_('Hold')), OWNERSHIP)

    contract_id = filter_by(Hold, 'contract')
    kind = filter_by(Hold, 'kind')
    approver_id = filter_by(Hold, 'approver')
    ends_at = filter_by(Hold, 'ends_at')
    tag = TagFilterField(model)
