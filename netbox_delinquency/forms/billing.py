from django.utils.translation import gettext_lazy as _
from netbox.forms import (
    NetBoxModelBulkEditForm,
    NetBoxModelFilterSetForm,
    NetBoxModelForm,
    PrimaryModelBulkEditForm,
    PrimaryModelFilterSetForm,
    PrimaryModelForm,
)
from utilities.forms.fields import SlugField, TagFilterField
from utilities.forms.rendering import FieldSet

from ..models import BillingEvent, BillingSource
from .base import (
    OWNERSHIP,
    SEARCH,
    NetBoxImportForm,
    PrimaryImportForm,
    choose,
    edit,
    filter_by,
    kept_as_created,
    refer,
)

__all__ = (
    'BillingEventBulkEditForm',
    'BillingEventFilterForm',
    'BillingEventForm',
    'BillingEventImportForm',
    'BillingSourceBulkEditForm',
    'BillingSourceFilterForm',
    'BillingSourceForm',
    'BillingSourceImportForm',
)

SOURCE_FIELDS = (
    'name',
    'slug',
    'enabled',
    'credential',
    'heartbeat_minutes',
    'description',
    'owner',
    'comments',
    'tags',
)
EVENT_FACTS = ('source', 'event_id', 'event_type', 'body')
EVENT_FIELDS = (*EVENT_FACTS, 'tags')


class BillingSourceForm(PrimaryModelForm):
    fieldsets = (
        FieldSet('name', 'slug', 'enabled', 'description', 'tags', name=_('Billing source')),
        FieldSet('credential', 'heartbeat_minutes', name=_('Feed')),
    )
    slug = SlugField()

    class Meta:
        model = BillingSource
        fields = SOURCE_FIELDS


class BillingSourceImportForm(PrimaryImportForm):
    slug = SlugField()

    class Meta:
        model = BillingSource
        fields = SOURCE_FIELDS


class BillingSourceBulkEditForm(PrimaryModelBulkEditForm):
    model = BillingSource
    fieldsets = (FieldSet('enabled', 'description'), FieldSet('credential', 'heartbeat_minutes', name=_('Feed')))
    nullable_fields = ('heartbeat_minutes', 'description', 'comments')

    enabled = edit(BillingSource, 'enabled')
    credential = edit(BillingSource, 'credential')
    heartbeat_minutes = edit(BillingSource, 'heartbeat_minutes')


class BillingSourceFilterForm(PrimaryModelFilterSetForm):
    model = BillingSource
    fieldsets = (SEARCH, FieldSet('enabled', 'credential', 'last_event_at', name=_('Billing source')), OWNERSHIP)

    enabled = filter_by(BillingSource, 'enabled')
    credential = filter_by(BillingSource, 'credential')
    last_event_at = filter_by(BillingSource, 'last_event_at')
    tag = TagFilterField(model)


class BillingEventForm(NetBoxModelForm):
    """An event is kept as billing sent it: of one that is there only tags and custom fields can be edited."""

    fieldsets = (FieldSet(*EVENT_FIELDS, name=_('Billing event')),)
    source = choose(BillingEvent, 'source')

    class Meta:
        model = BillingEvent
        fields = EVENT_FIELDS

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        if self.instance.pk:
            self.fieldsets = (FieldSet('tags', name=_('Billing event')),)
            for name in EVENT_FACTS:
                del self.fields[name]


class BillingEventImportForm(NetBoxImportForm):
    source = refer(BillingEvent, 'source', 'slug')

    class Meta:
        model = BillingEvent
        fields = EVENT_FIELDS

    def clean(self):
        cleaned = super().clean()
        kept_as_created(self, EVENT_FACTS, _('An event is kept as billing sent it.'))
        return cleaned


class BillingEventBulkEditForm(NetBoxModelBulkEditForm):
    model = BillingEvent


class BillingEventFilterForm(NetBoxModelFilterSetForm):
    model = BillingEvent
    fieldsets = (
        SEARCH,
        FieldSet('source_id', 'status', 'event_type', 'contract_id', name=_('Billing event')),
        FieldSet('received_at', 'processed_at', name=_('Times')),
    )

    source_id = filter_by(BillingEvent, 'source')
    status = filter_by(BillingEvent, 'status')
    event_type = filter_by(BillingEvent, 'event_type')
    contract_id = filter_by(BillingEvent, 'contract')
    received_at = filter_by(BillingEvent, 'received_at')
    processed_at = filter_by(BillingEvent, 'processed_at')
    tag = TagFilterField(model)
