"""The page of a restriction."""

from django.utils.translation import gettext_lazy as _
from netbox.ui import attrs

from ...models import Restriction
from ..base import ModelPanel, StateAttr, WarningAttr

__all__ = ('RestrictionOriginPanel', 'RestrictionPanel')


class RestrictionPanel(ModelPanel):
    model = Restriction
    point = attrs.RelatedObjectAttr('point', linkify=True)
    identity = attrs.TextAttr('identity', style='font-monospace', copy_button=True)
    side = attrs.ChoiceAttr('side')
    state = StateAttr('state', label=_('State'))
    owed_since = attrs.DateTimeAttr('owed_since')
    late_at = attrs.DateTimeAttr('late_at')
    finding = attrs.TextAttr('finding')
    waits_for_person = WarningAttr('waits_for_person')
    retry_at = attrs.DateTimeAttr('retry_at')
    last_read_at = attrs.DateTimeAttr('last_read_at')
    lifted_at = attrs.DateTimeAttr('lifted_at')
    lifted_how = attrs.ChoiceAttr('lifted_how')


class RestrictionOriginPanel(ModelPanel):
    model = Restriction
    title = _('Taken')
    taken_at = attrs.DateTimeAttr('taken_at')
    contract = attrs.RelatedObjectAttr('contract', linkify=True)
    contract_name = attrs.TextAttr('contract_name')
    line = attrs.RelatedObjectAttr('line', linkify=True)
    run_number = attrs.NumericAttr('run_number')
    change = attrs.RelatedObjectAttr('change', linkify=True)
    adopted_by = attrs.TextAttr('adopted_by')
    address = attrs.TextAttr('address')
