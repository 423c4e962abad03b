"""The pages of access lines, and a line on the page of its CPE."""

from django.utils.translation import gettext_lazy as _
from netbox.ui import attrs

from ...models import AccessLine
from ..base import ModelPanel, SelfAttr, StateAttr, WarningAttr

__all__ = (
    'CpePanel',
    'LineIdentityPanel',
    'LinePanel',
    'LineStatePanel',
)


class LinePanel(ModelPanel):
    model = AccessLine
    contract = attrs.RelatedObjectAttr('contract', linkify=True)
    subscriber = attrs.RelatedObjectAttr('contract.subscriber', linkify=True, label=_('Subscriber'))
    plan = attrs.RelatedObjectAttr('contract.plan', linkify=True, label=_('Service plan'))
    stage = attrs.RelatedObjectAttr('contract.stage', linkify=True, label=_('Stage'))
    status = attrs.ChoiceAttr('status')
    cpe = attrs.RelatedObjectAttr('cpe', linkify=True)
    bras = attrs.RelatedObjectAttr('bras', linkify=True)
    acs = attrs.RelatedObjectAttr('acs', linkify=True)
    description = attrs.TextAttr('description')


class LineIdentityPanel(ModelPanel):
    model = AccessLine
    title = _('Identity on the wire')
    username = attrs.TextAttr('username', style='font-monospace', copy_button=True)
    circuit_id = attrs.TextAttr('circuit_id', style='font-monospace', copy_button=True)
    ipv4 = attrs.TextAttr('ipv4', style='font-monospace', copy_button=True)
    ipv6 = attrs.TextAttr('ipv6', style='font-monospace', copy_button=True)
    mac = attrs.TextAttr('mac', style='font-monospace', copy_button=True)
    cwmp_id = attrs.TextAttr('cwmp_id', style='font-monospace', copy_button=True)


class LineStatePanel(ModelPanel):
    model = AccessLine
    title = _('State')
    intended = StateAttr('intended', label=_('Intended'))
    channel = attrs.ChoiceAttr('channel')
    pinned = attrs.BooleanAttr('pinned')
    observed = StateAttr('observed', label=_('Observed'))
    observed_at = attrs.DateTimeAttr('observed_at')
    unverified = WarningAttr('unverified')
    cpe_observed = StateAttr('cpe_observed', label=_('Observed at the CPE'))
    cpe_observed_at = attrs.DateTimeAttr('cpe_observed_at')
    cpe_unverified = WarningAttr('cpe_unverified')
    foreign = attrs.TextAttr('foreign_text', label=_('Foreign block'))
    restriction = attrs.RelatedObjectAttr('restriction', linkify=True)
    cpe_restriction = attrs.RelatedObjectAttr('cpe_restriction', linkify=True)
    drift = WarningAttr('is_drifting', label=_('Drift'))


class CpePanel(ModelPanel):
    """A line on the page of the device in the subscriber's home."""

    model = AccessLine
    title = _('Access line')
    line = SelfAttr(label=_('Line'))
    contract = attrs.RelatedObjectAttr('contract', linkify=True)
    subscriber = attrs.RelatedObjectAttr('contract.subscriber', linkify=True, label=_('Subscriber'))
    stage = attrs.RelatedObjectAttr('contract.stage', linkify=True, label=_('Stage'))
    status = attrs.ChoiceAttr('status')
    intended = StateAttr('intended', label=_('Intended'))
    observed = StateAttr('observed', label=_('Observed'))
    observed_at = attrs.DateTimeAttr('observed_at')
    unverified = WarningAttr('unverified')
    cpe_observed = StateAttr('cpe_observed', label=_('Observed at the CPE'))
    cpe_observed_at = attrs.DateTimeAttr('cpe_observed_at')
    drift = WarningAttr('is_drifting', label=_('Drift'))
