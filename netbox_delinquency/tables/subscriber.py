import django_tables2 as tables
from django.utils.translation import gettext_lazy as _
from netbox.tables import PrimaryModelTable

from ..models import Contract, Subscriber
from .columns import counted, tags
from .rights import RightsMixin

__all__ = ('SubscriberTable',)


class SubscriberTable(RightsMixin, PrimaryModelTable):
    external_id = tables.Column(linkify=True)
    contract_count = counted(Contract, _('Contracts'), subscriber_id='pk')
    tags = tags(Subscriber)

    class Meta(PrimaryModelTable.Meta):
        model = Subscriber
        fields = (
            'pk',
            'id',
            'external_id',
            'name',
            'contract_count',
            'description',
            'owner_group',
            'owner',
            'comments',
            'tags',
            'created',
            'last_updated',
            'actions',
        )
        default_columns = ('pk', 'external_id', 'name', 'contract_count', 'description')
