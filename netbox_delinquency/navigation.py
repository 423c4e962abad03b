from django.utils.translation import gettext_lazy as _
from netbox.plugins import PluginMenu, PluginMenuButton, PluginMenuItem

PRESETS = PluginMenuButton(
    'plugins:netbox_delinquency:delinquencypolicy_presets',
    _('Presets'),
    'mdi mdi-scale-balance',
    permissions=['netbox_delinquency.view_delinquencypolicy'],
)


def item(model: str, label, *more: PluginMenuButton) -> PluginMenuItem:
    """The list of a model, with its add and import buttons for those who may use them."""
    view = f'plugins:netbox_delinquency:{model}'
    may_add = [f'netbox_delinquency.add_{model}']
    buttons = [
        PluginMenuButton(f'{view}_add', _('Add'), 'mdi mdi-plus-thick', permissions=may_add),
        PluginMenuButton(f'{view}_bulk_import', _('Import'), 'mdi mdi-upload', permissions=may_add),
        *more,
    ]
    return PluginMenuItem(f'{view}_list', label, permissions=[f'netbox_delinquency.view_{model}'], buttons=buttons)


menu = PluginMenu(
    label=_('Delinquency'),
    icon_class='mdi mdi-account-cash-outline',
    groups=(
        (
            _('Subscribers'),
            (
                item('subscriber', _('Subscribers')),
                item('contract', _('Contracts')),
                item('serviceplan', _('Service Plans')),
                item('notice', _('Notices')),
                item('hold', _('Holds')),
                item('planchangeorder', _('Plan Change Orders')),
            ),
        ),
        (
            _('Network'),
            (
                item('accessline', _('Access Lines')),
                item('enforcementpoint', _('Enforcement Points')),
            ),
        ),
        (
            _('Policy'),
            (
                item('delinquencypolicy', _('Policies'), PRESETS),
                item('policystage', _('Stages')),
                item('gracerule', _('Grace Rules')),
                item('calendar', _('Calendars')),
                item('calendardate', _('Calendar Dates')),
            ),
        ),
        (
            _('Runs'),
            (
                item('enforcementrun', _('Enforcement Runs')),
                item('enforcementchange', _('Enforcement Changes')),
                PluginMenuItem(
                    'plugins:netbox_delinquency:restriction_list',
                    _('Restrictions'),
                    permissions=['netbox_delinquency.view_restriction'],
                ),
                PluginMenuItem(
                    'plugins:netbox_delinquency:enforcementsettings_list',
                    _('Enforcement Settings'),
                    permissions=['netbox_delinquency.view_enforcementsettings'],
                ),
            ),
        ),
        (
            _('Billing'),
            (
                item('billingsource', _('Billing Sources')),
                item('billingevent', _('Billing Events')),
            ),
        ),
    ),
)
