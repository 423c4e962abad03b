from django.utils.translation import gettext_lazy as _
from extras.models import Tag
from netbox.filtersets import NetBoxModelFilterSet, PrimaryModelFilterSet
from utilities.filtersets import register_filterset

from ..choices import (
    ApprovalChoices,
    ChannelChoices,
    ClockChoices,
    EnforcementModeChoices,
    StageActionChoices,
    ThrottleToChoices,
)
from ..models import Calendar, DelinquencyPolicy, GraceRule, PolicyStage
from .base import SearchMixin, StrictMixin, choices, related

__all__ = ('DelinquencyPolicyFilterSet', 'GraceRuleFilterSet', 'PolicyStageFilterSet')


@register_filterset
class DelinquencyPolicyFilterSet(StrictMixin, SearchMixin, PrimaryModelFilterSet):
    search_fields = ('name', 'description', 'comments')

    mode = choices(EnforcementModeChoices)
    calendar_id = related(Calendar, 'calendar', _('Calendar (ID)'))
    calendar = related(Calendar, 'calendar', _('Calendar (name)'), by='name')

    class Meta:
        model = DelinquencyPolicy
        fields = (
            'id',
            'name',
            'auto_approve',
            'repair_drift',
            'preset',
            'preset_version',
            'min_notice_days',
            'throttle_is_suspension',
            'notice_outlasts_relief',
            'min_arrears',
            'min_invoices',
            'no_start_days',
            'start_from',
            'start_until',
            'no_contact_days',
            'contact_from',
            'contact_until',
            'restore_hours',
            'fee_cap',
            'trust_days',
            'trust_gap_days',
            'trust_uses_a_year',
            'description',
        )


@register_filterset
class PolicyStageFilterSet(StrictMixin, SearchMixin, NetBoxModelFilterSet):
    search_fields = ('policy__name',)

    policy_id = related(DelinquencyPolicy, 'policy', _('Policy (ID)'))
    policy = related(DelinquencyPolicy, 'policy', _('Policy (name)'), by='name')
    action = choices(StageActionChoices)
    clock = choices(ClockChoices)
    throttle_to = choices(ThrottleToChoices)
    channel = choices(ChannelChoices)
    approval = choices(ApprovalChoices)

    class Meta:
        model = PolicyStage
        fields = (
            'id',
            'position',
            'after_days',
            'min_arrears',
            'min_invoices',
            'throttle_percent',
            'throttle_down_kbps',
            'throttle_up_kbps',
            'start_from',
            'start_until',
        )


@register_filterset
class GraceRuleFilterSet(StrictMixin, SearchMixin, NetBoxModelFilterSet):
    search_fields = (
        'tier',
        'policy__name',
    )

    policy_id = related(DelinquencyPolicy, 'policy', _('Policy (ID)'))
    policy = related(DelinquencyPolicy, 'policy', _('Policy (name)'), by='name')
    for_tag_id = related(Tag, 'for_tag', _('Contracts tagged (ID)'))
    for_tag = related(Tag, 'for_tag', _('Contracts tagged (slug)'), by='slug')

    class Meta:
        model = GraceRule
        fields = (
            'id',
            'tier',
            'extra_days',
            'exempt',
        )
