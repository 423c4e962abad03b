from django.utils.translation import gettext_lazy as _
from netbox.filtersets import PrimaryModelFilterSet
from utilities.filtersets import register_filterset

from ..choices import NoticeChannelChoices, NoticeKindChoices
from ..models import Contract, Notice
from .base import SearchMixin, StrictMixin, choices, related

__all__ = ('NoticeFilterSet',)


@register_filterset
class NoticeFilterSet(StrictMixin, SearchMixin, PrimaryModelFilterSet):
    search_fields = (
        'reference',
        'contract__external_id',
        'asserted_by',
        'description',
        'comments',
    )

    contract_id = related(Contract, 'contract', _('Contract (ID)'))
    contract = related(Contract, 'contract', _('Contract (external id)'), by='external_id')
    kind = choices(NoticeKindChoices)
    channel = choices(NoticeChannelChoices)

    class Meta:
        model = Notice
        fields = (
            'id',
            'reference',
            'sent_at',
            'delivered_at',
            'asserted_by',
            'description',
        )
