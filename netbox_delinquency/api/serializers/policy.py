from extras.api.serializers import TagSerializer
from netbox.api.fields import ChoiceField, RelatedObjectCountField
from netbox.api.serializers import NetBoxModelSerializer, PrimaryModelSerializer
from rest_framework import serializers

from ...choices import (
    ApprovalChoices,
    ChannelChoices,
    ClockChoices,
    EnforcementModeChoices,
    StageActionChoices,
    ThrottleToChoices,
)
from ...models import DelinquencyPolicy, GraceRule, PolicyStage
from .calendar import CalendarSerializer
from .fields import SeenMixin

__all__ = ('DelinquencyPolicySerializer', 'GraceRuleSerializer', 'PolicyStageSerializer')


class DelinquencyPolicySerializer(SeenMixin, PrimaryModelSerializer):
    mode = ChoiceField(choices=EnforcementModeChoices, required=False)
    calendar = CalendarSerializer(nested=True, required=False, allow_null=True, default=None)
    stage_count = RelatedObjectCountField('stages')
    contract_count = RelatedObjectCountField('contracts')

    class Meta:
        model = DelinquencyPolicy
        fields = (
            'id', 'url', 'display_url', 'display', 'name', 'mode', 'auto_approve', 'repair_drift', 'preset',
            'preset_version', 'articles', 'min_notice_days', 'throttle_is_suspension',
            'notice_outlasts_relief', 'min_arrears', 'min_invoices', 'calendar',
            'no_start_days', 'start_from', 'start_until', 'no_contact_days', 'contact_from', 'contact_until',
            'restore_hours', 'fee_cap', 'trust_days', 'trust_gap_days', 'trust_uses_a_year', 'description',
            'owner', 'comments', 'tags', 'custom_fields', 'created', 'last_updated', 'stage_count', 'contract_count',
        )  # fmt: skip
        brief_fields = ('id', 'url', 'display', 'name', 'description')
        model_clean_fields = ('no_start_days', 'no_contact_days')


class PolicyStageSerializer(SeenMixin, NetBoxModelSerializer):
    policy = DelinquencyPolicySerializer(nested=True)
    action = ChoiceField(choices=StageActionChoices)
    clock = ChoiceField(choices=ClockChoices, required=False)
    throttle_to = ChoiceField(choices=ThrottleToChoices, required=False)
    channel = ChoiceField(choices=ChannelChoices, required=False)
    approval = ChoiceField(choices=ApprovalChoices, required=False)
    position = serializers.IntegerField(required=False, allow_null=True, min_value=0, max_value=32767)

    class Meta:
        model = PolicyStage
        fields = (
            'id', 'url', 'display_url', 'display', 'policy', 'position', 'clock', 'after_days', 'min_arrears',
            'min_invoices', 'action', 'throttle_to', 'throttle_percent', 'throttle_down_kbps', 'throttle_up_kbps',
            'channel', 'approval', 'start_from', 'start_until', 'tags', 'custom_fields', 'created', 'last_updated',
        )  # fmt: skip
        brief_fields = ('id', 'url', 'display', 'after_days', 'action')


class GraceRuleSerializer(SeenMixin, NetBoxModelSerializer):
    policy = DelinquencyPolicySerializer(nested=True)
    for_tag = TagSerializer(nested=True, required=False, allow_null=True, default=None)

    class Meta:
        model = GraceRule
        fields = (
            'id', 'url', 'display_url', 'display', 'policy', 'tier', 'for_tag', 'extra_days', 'exempt', 'tags',
            'custom_fields', 'created', 'last_updated',
        )  # fmt: skip
        brief_fields = ('id', 'url', 'display', 'tier', 'extra_days', 'exempt')
