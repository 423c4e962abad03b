import django_tables2 as tables
from django.utils.translation import gettext_lazy as _
from netbox.tables import NetBoxTable, PrimaryModelTable, columns

from ..models import EnforcementChange, EnforcementRun
from .columns import StateColumn, counted, tags
from .rights import RightsMixin

__all__ = ('EnforcementChangeTable', 'EnforcementRunTable')


class EnforcementRunTable(RightsMixin, PrimaryModelTable):
    name = tables.Column(linkify=True)
    kind = columns.ChoiceFieldColumn()
    status = columns.ChoiceFieldColumn()
    reverts = tables.Column(linkify=True)
    stop_reason = tables.Column(accessor='stop_sentence', order_by=('stop_reason',))
    change_count = counted(EnforcementChange, _('Rows'), run_id='pk')
    tags = tags(EnforcementRun)

    class Meta(PrimaryModelTable.Meta):
        model = EnforcementRun
        fields = (
            'pk',
            'id',
            'name',
            'kind',
            'status',
            'change_count',
            'executor',
            'resumed_at',
            'plan_hash',
            'author',
            'approver',
            'approved_hash',
            'approved_at',
            'started_at',
            'heartbeat_at',
            'finished_at',
            'wave',
            'wave_done_at',
            'stop_reason',
            'stop_code',
            'reverts',
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
            'name',
            'kind',
            'status',
            'change_count',
            'author',
            'approver',
            'created',
            'finished_at',
        )


class EnforcementChangeTable(RightsMixin, NetBoxTable):
    id = tables.Column(linkify=True, verbose_name=_('ID'))
    run = tables.Column(linkify=True)
    line = tables.Column(linkify=True)
    contract = tables.Column(accessor='line__contract', linkify=True)
    restriction = tables.Column(linkify=True)
    point = tables.Column(linkify=True)
    expected_mode = StateColumn()
    desired_mode = StateColumn()
    channel = columns.ChoiceFieldColumn()
    outcome = columns.ChoiceFieldColumn()
    refused = columns.BooleanColumn()
    message = tables.Column(accessor='sentence', order_by=('message',))
    tags = tags(EnforcementChange)

    class Meta(NetBoxTable.Meta):
        model = EnforcementChange
        fields = (
            'pk',
            'id',
            'run',
            'line',
            'identity',
            'restriction',
            'contract',
            'point',
            'channel',
            'wave',
            'expected_mode',
            'expected_down_kbps',
            'expected_up_kbps',
            'desired_mode',
            'desired_down_kbps',
            'desired_up_kbps',
            'reason',
            'outcome',
            'refused',
            'message',
            'message_code',
            'claimed_at',
            'sent_at',
            'finished_at',
            'tags',
            'created',
            'last_updated',
            'actions',
        )
        default_columns = (
            'pk',
            'id',
            'run',
            'line',
            'identity',
            'point',
            'expected_mode',
            'desired_mode',
            'outcome',
            'message',
            'finished_at',
        )
