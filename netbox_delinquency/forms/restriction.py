from django.utils.translation import gettext_lazy as _
from netbox.forms import NetBoxModelFilterSetForm
from utilities.forms.fields import TagFilterField
from utilities.forms.rendering import FieldSet

from ..models import Restriction
from .base import SEARCH, filter_by, yes_or_no

__all__ = ('RestrictionFilterForm',)


class RestrictionFilterForm(NetBoxModelFilterSetForm):
    """Restrictions are written by the engine: there is a form to find them, and none to change them."""

    model = Restriction
    fieldsets = (
        SEARCH,
        FieldSet('is_open', 'left_behind', 'is_owed', 'is_late', 'waits_for_person', name=_('Restriction')),
        FieldSet('point_id', 'side', 'identity', 'state_mode', 'lifted_how', name=_('Place')),
        FieldSet('contract_id', 'line_id', name=_('Taken for')),
    )

    is_open = yes_or_no(_('Still open'))
    left_behind = yes_or_no(_('Left behind'))
    is_owed = yes_or_no(_('Owed back'))
    is_late = yes_or_no(_('Owed for too long'))
    waits_for_person = filter_by(Restriction, 'waits_for_person')
    point_id = filter_by(Restriction, 'point')
    side = filter_by(Restriction, 'side')
    identity = filter_by(Restriction, 'identity')
    state_mode = filter_by(Restriction, 'state_mode')
    lifted_how = filter_by(Restriction, 'lifted_how')
    contract_id = filter_by(Restriction, 'contract')
    line_id = filter_by(Restriction, 'line')
    tag = TagFilterField(model)
