from django.utils.translation import gettext_lazy as _
from netbox.filtersets import PrimaryModelFilterSet
from users.models import User
from utilities.filtersets import register_filterset

from ..choices import HoldKindChoices
from ..models import Contract, Hold, PolicyStage
from .base import SearchMixin, StrictMixin, choices, related

__all__ = ('HoldFilterSet',)


@register_filterset
class HoldFilterSet(StrictMixin, SearchMixin, PrimaryModelFilterSet):
    search_fields = (
        'reason',
        'reference',
        'contract__external_id',
        'description',
        'comments',
    )

    contract_id = related(Contract, 'contract', _('Contract (ID)'))
    contract = related(Contract, 'contract', _('Contract (external id)'), by='external_id')
    approver_id = related(User, 'approver', _('Approver (ID)'))
    approver = related(User, 'approver', _('Approver (username)'), by='username')
    successor_id = related(PolicyStage, 'successor', _('Successor stage (ID)'))
    kind = choices(HoldKindChoices)

    class Meta:
        model = Hold
        fields = (
            'id',
            'reason',
            'reference',
            'starts_at',
            'ends_at',
            'instalments',
            'ended_at',
            'end_reason',
            'asserted_by',
            'description',
        )
