from django.utils.translation import gettext_lazy as _
from netbox.forms import (
    NetBoxModelBulkEditForm,
    NetBoxModelFilterSetForm,
    NetBoxModelForm,
    PrimaryModelBulkEditForm,
    PrimaryModelFilterSetForm,
    PrimaryModelForm,
)
from utilities.forms import get_field_value
from utilities.forms.fields import ChoiceField, CSVChoiceField, SlugField, TagFilterField
from utilities.forms.rendering import FieldSet
from utilities.forms.widgets import HTMXSelect

from ..billing.registry import DEFAULT_ADAPTER, available_adapters
from ..models import BillingEvent, BillingSource
from .base import (
    OWNERSHIP,
    SEARCH,
    NetBoxImportForm,
    ParametersField,
    PrimaryImportForm,
    choose,
    edit,
    filter_by,
    kept_as_created,
    refer,
)
from .parameters import AdapterSection, ParametersFormMixin

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
    'adapter',
    'parameters',
    'heartbeat_minutes',
    'known_in_full',
    'description',
    'owner',
    'comments',
    'tags',
)
EVENT_FACTS = ('source', 'event_id', 'event_type', 'body')
EVENT_FIELDS = (*EVENT_FACTS, 'tags')


def adapters() -> list[tuple[str, str]]:
    return [(name, name) for name in available_adapters()]


class BillingSourceForm(ParametersFormMixin, PrimaryModelForm):
    fieldsets_before = (
        FieldSet('name', 'slug', 'enabled', 'description', 'tags', name=_('Billing source')),
        FieldSet('adapter', 'credential', 'heartbeat_minutes', 'known_in_full', name=_('Feed')),
    )
    slug = SlugField()
    adapter = ChoiceField(
        label=_('Adapter'), choices=adapters, initial=DEFAULT_ADAPTER,
        help_text=_('How this source speaks: one of the adapters installed here'),
        widget=HTMXSelect(),  # choosing another one brings its parameters
    )  # fmt: skip
    parameters = ParametersField(label=_('Parameters'), help_text=_("An object with the adapter's own settings"))

    def sections(self):
        adapter = get_field_value(self, 'adapter')
        return [AdapterSection(adapter, '')] if adapter else []

    class Meta:
        model = BillingSource
        fields = SOURCE_FIELDS


class BillingSourceImportForm(PrimaryImportForm):
    slug = SlugField()
    adapter = CSVChoiceField(label=_('Adapter'), choices=adapters(), required=False)
    parameters = ParametersField(label=_('Parameters'))

    class Meta:
        model = BillingSource
        fields = SOURCE_FIELDS


class BillingSourceBulkEditForm(PrimaryModelBulkEditForm):
    model = BillingSource
    fieldsets = (
        FieldSet('enabled', 'description'),
        FieldSet('credential', 'heartbeat_minutes', 'known_in_full', name=_('Feed')),
    )
    nullable_fields = ('heartbeat_minutes', 'description', 'comments')

    enabled = edit(BillingSource, 'enabled')
    credential = edit(BillingSource, 'credential')
    heartbeat_minutes = edit(BillingSource, 'heartbeat_minutes')
    known_in_full = edit(BillingSource, 'known_in_full')


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
        FieldSet('source_id', 'status', 'needs_attention', 'event_type', 'contract_id', name=_('Billing event')),
        FieldSet('received_at', 'processed_at', name=_('Times')),
    )

    source_id = filter_by(BillingEvent, 'source')
    status = filter_by(BillingEvent, 'status')
    event_type = filter_by(BillingEvent, 'event_type')
    needs_attention = filter_by(BillingEvent, 'needs_attention')
    contract_id = filter_by(BillingEvent, 'contract')
    received_at = filter_by(BillingEvent, 'received_at')
    processed_at = filter_by(BillingEvent, 'processed_at')
    tag = TagFilterField(model)
