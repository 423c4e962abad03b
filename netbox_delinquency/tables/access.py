import django_tables2 as tables
from django.utils.translation import gettext_lazy as _
from netbox.tables import PrimaryModelTable, columns

from ..models import AccessLine
from .columns import StateColumn, WarningColumn, tags
from .rights import RightsMixin

__all__ = ('AccessLineTable',)


class AccessLineTable(RightsMixin, PrimaryModelTable):
    line = tables.Column(
        accessor='pk',
        verbose_name=_('Line'),
        linkify=True,
        order_by=('username', 'circuit_id', 'ipv4', 'ipv6', 'mac', 'cwmp_id'),
    )
    contract = tables.Column(linkify=True)
    subscriber = tables.Column(accessor='contract__subscriber', linkify=True)
    plan = tables.Column(accessor='contract__plan', linkify=True)
    policy = tables.Column(accessor='contract__policy', linkify=True)
    stage = tables.Column(accessor='contract__stage', linkify=True)
    status = columns.ChoiceFieldColumn()
    cpe = tables.Column(linkify=True)
    bras = tables.Column(linkify=True)
    acs = tables.Column(linkify=True)
    intended_mode = StateColumn()
    channel = columns.ChoiceFieldColumn()
    pinned = columns.BooleanColumn()
    observed_mode = StateColumn()
    cpe_observed_mode = StateColumn()
    unverified = WarningColumn()
    cpe_unverified = WarningColumn()
    foreign = columns.ArrayColumn(orderable=False)
    cpe_foreign = columns.ArrayColumn(orderable=False)
    is_drifting = WarningColumn(verbose_name=_('Drift'), orderable=False)
    tags = tags(AccessLine)

    class Meta(PrimaryModelTable.Meta):
        model = AccessLine
        fields = (
            'pk',
            'id',
            'line',
            'contract',
            'subscriber',
            'plan',
            'policy',
            'stage',
            'status',
            'intended_mode',
            'intended_down_kbps',
            'intended_up_kbps',
            'channel',
            'pinned',
            'observed_mode',
            'observed_down_kbps',
            'observed_up_kbps',
            'observed_at',
            'unverified',
            'cpe_observed_mode',
            'cpe_observed_down_kbps',
            'cpe_observed_up_kbps',
            'cpe_observed_at',
            'cpe_unverified',
            'foreign',
            'cpe_foreign',
            'restriction',
            'cpe_restriction',
            'bras_identity',
            'acs_identity',
            'is_drifting',
            'cpe',
            'bras',
            'acs',
            'username',
            'circuit_id',
            'ipv4',
            'ipv6',
            'mac',
            'cwmp_id',
            'description',
            'owner_group',
            'owner',
            'comments',
            'tags',
            'created',
            'last_updated',
            'actions',
        )
        default_columns = (
            'pk',
            'line',
            'contract',
            'subscriber',
            'status',
            'intended_mode',
            'observed_mode',
            'is_drifting',
            'bras',
            'cpe',
        )

    def render_line(self, record):
        return str(record)

    def value_line(self, record):
        return str(record)
