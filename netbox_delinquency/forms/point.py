from django.utils.translation import gettext_lazy as _
from netbox.forms import PrimaryModelBulkEditForm, PrimaryModelFilterSetForm, PrimaryModelForm
from utilities.forms import add_blank_choice, get_field_value
from utilities.forms.fields import ChoiceField, CSVChoiceField, MultipleChoiceField, TagFilterField
from utilities.forms.rendering import FieldSet, TabbedGroups
from utilities.forms.widgets import HTMXSelect

from nornir_tasks.drivers import available_drivers

from ..models import EnforcementPoint
from .base import OWNERSHIP, SEARCH, ParametersField, PrimaryImportForm, choice, choose, edit, filter_by, refer
from .parameters import ParametersFormMixin, Section

__all__ = (
    'EnforcementPointBulkEditForm',
    'EnforcementPointFilterForm',
    'EnforcementPointForm',
    'EnforcementPointImportForm',
)

LIMITS = ('max_rows_per_second', 'max_rows_per_hour', 'max_share_percent')
FIELDS = (
    'name',
    'status',
    'mode',
    'driver',
    'device',
    'virtual_machine',
    'address',
    'port',
    'credential',
    'host_key',
    'parameters',
    'timeout',
    'batch_size',
    *LIMITS,
    'description',
    'owner',
    'comments',
    'tags',
)
DRIVER_HELP = _('How this point is spoken to: one of the drivers installed here')
PARAMETERS_HELP = _("An object with the driver's own settings for this point")


def drivers() -> list[tuple[str, str]]:
    return [(name, name) for name in available_drivers()]


class EnforcementPointForm(ParametersFormMixin, PrimaryModelForm):
    fieldsets_before = (
        FieldSet('name', 'status', 'mode', 'description', 'tags', name=_('Enforcement point')),
        FieldSet(
            TabbedGroups(
                FieldSet('device', name=_('Device')),
                FieldSet('virtual_machine', name=_('Virtual machine')),
            ),
            name=_('Host'),
        ),
        FieldSet('driver', 'address', 'port', 'credential', 'host_key', name=_('Connection')),
    )
    fieldsets_after = (FieldSet('timeout', 'batch_size', *LIMITS, name=_('Limits')),)
    driver = ChoiceField(
        label=_('Driver'),
        choices=lambda: add_blank_choice(drivers()),
        help_text=DRIVER_HELP,
        widget=HTMXSelect(),  # choosing another one brings its parameters
    )
    device = choose(EnforcementPoint, 'device', selector=True)
    virtual_machine = choose(EnforcementPoint, 'virtual_machine', selector=True)
    parameters = ParametersField(label=_('Parameters'), help_text=PARAMETERS_HELP)

    class Meta:
        model = EnforcementPoint
        fields = FIELDS

    def sections(self) -> list[Section]:
        driver = get_field_value(self, 'driver')
        return [Section(driver, 'PointParameters')] if driver else []


class EnforcementPointImportForm(PrimaryImportForm):
    status = choice(EnforcementPoint, 'status')
    mode = choice(EnforcementPoint, 'mode')
    driver = CSVChoiceField(label=_('Driver'), choices=drivers(), help_text=DRIVER_HELP)
    device = refer(EnforcementPoint, 'device', 'name')
    virtual_machine = refer(EnforcementPoint, 'virtual_machine', 'name')
    parameters = ParametersField(help_text=PARAMETERS_HELP)

    class Meta:
        model = EnforcementPoint
        fields = FIELDS


class EnforcementPointBulkEditForm(PrimaryModelBulkEditForm):
    model = EnforcementPoint
    fieldsets = (
        FieldSet('status', 'mode', 'description'),
        FieldSet('port', 'credential', name=_('Connection')),
        FieldSet('timeout', 'batch_size', *LIMITS, name=_('Limits')),
    )
    nullable_fields = ('port', 'credential', *LIMITS, 'description', 'comments')

    status = edit(EnforcementPoint, 'status')
    mode = edit(EnforcementPoint, 'mode')
    port = edit(EnforcementPoint, 'port')
    credential = edit(EnforcementPoint, 'credential')
    timeout = edit(EnforcementPoint, 'timeout')
    batch_size = edit(EnforcementPoint, 'batch_size')
    max_rows_per_second = edit(EnforcementPoint, 'max_rows_per_second')
    max_rows_per_hour = edit(EnforcementPoint, 'max_rows_per_hour')
    max_share_percent = edit(EnforcementPoint, 'max_share_percent')


class EnforcementPointFilterForm(PrimaryModelFilterSetForm):
    model = EnforcementPoint
    fieldsets = (
        SEARCH,
        FieldSet('status', 'mode', 'driver', 'address', 'credential', name=_('Enforcement point')),
        FieldSet('device_id', 'virtual_machine_id', name=_('Host')),
        OWNERSHIP,
    )

    status = filter_by(EnforcementPoint, 'status')
    mode = filter_by(EnforcementPoint, 'mode')
    driver = MultipleChoiceField(label=_('Driver'), choices=drivers, required=False)
    address = filter_by(EnforcementPoint, 'address')
    credential = filter_by(EnforcementPoint, 'credential')
    device_id = filter_by(EnforcementPoint, 'device')
    virtual_machine_id = filter_by(EnforcementPoint, 'virtual_machine')
    tag = TagFilterField(model)
