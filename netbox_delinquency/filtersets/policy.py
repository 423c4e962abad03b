from django.utils.translation import gettext_lazy as _
from netbox.filtersets import NetBoxModelFilterSet, PrimaryModelFilterSet
from utilities.filtersets import register_filterset

from ..choices import StageActionChoices
from ..models import DelinquencyPolicy, PolicyStage
from .base import SearchMixin, choices, related

__all__ = ('DelinquencyPolicyFilterSet', 'PolicyStageFilterSet')


@register_filterset
class DelinquencyPolicyFilterSet(SearchMixin, PrimaryModelFilterSet):
    search_fields = ('name', 'description', 'comments')

    class Meta:
        model = DelinquencyPolicy
        fields = ('id', 'name', 'auto_approve', 'description')


@register_filterset
class PolicyStageFilterSet(SearchMixin, NetBoxModelFilterSet):
    search_fields = ('policy__name',)

    policy_id = related(DelinquencyPolicy, 'policy', _('Policy (ID)'))
    policy = related(DelinquencyPolicy, 'policy', _('Policy (name)'), by='name')
    action = choices(StageActionChoices)

    class Meta:
        model = PolicyStage
        fields = ('id', 'after_days')
