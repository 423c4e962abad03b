from django.utils.translation import gettext_lazy as _
from netbox.forms import PrimaryModelBulkEditForm, PrimaryModelFilterSetForm, PrimaryModelForm
from utilities.forms.fields import TagFilterField
from utilities.forms.rendering import FieldSet

from ..models import Notice
from .base import OWNERSHIP, SEARCH, PrimaryImportForm, aware, choice, choose, filter_by, refer

__all__ = (
    'NoticeBulkEditForm',
    'NoticeFilterForm',
    'NoticeForm',
    'NoticeImportForm',
)

NOTICE_FIELDS = (
    'contract',
    'kind',
    'reference',
    'channel',
    'sent_at',
    'delivered_at',
    'description',
    'owner',
    'comments',
    'tags',
)


class NoticeForm(PrimaryModelForm):
    fieldsets = (
        FieldSet(
            'contract',
            'kind',
            'reference',
            'channel',
            'sent_at',
            'delivered_at',
            'description',
            'tags',
            name=_('Notice'),
        ),
    )
    contract = choose(Notice, 'contract')

    class Meta:
        model = Notice
        fields = NOTICE_FIELDS


class NoticeImportForm(PrimaryImportForm):
    contract = refer(Notice, 'contract')
    kind = choice(Notice, 'kind')
    sent_at = aware(Notice, 'sent_at')
    delivered_at = aware(Notice, 'delivered_at')
    channel = choice(Notice, 'channel')

    class Meta:
        model = Notice
        fields = NOTICE_FIELDS


class NoticeBulkEditForm(PrimaryModelBulkEditForm):
    model = Notice
    fieldsets = (FieldSet('description'),)
    nullable_fields = ('description', 'comments')


class NoticeFilterForm(PrimaryModelFilterSetForm):
    model = Notice
    fieldsets = (
        SEARCH,
        FieldSet('contract_id', 'kind', 'channel', 'delivered_at', 'asserted_by', name=_('Notice')),
        OWNERSHIP,
    )

    contract_id = filter_by(Notice, 'contract')
    kind = filter_by(Notice, 'kind')
    channel = filter_by(Notice, 'channel')
    delivered_at = filter_by(Notice, 'delivered_at')
    asserted_by = filter_by(Notice, 'asserted_by')
    tag = TagFilterField(model)
