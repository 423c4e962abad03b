from netbox.api.fields import ChoiceField, RelatedObjectCountField
from netbox.api.serializers import PrimaryModelSerializer

from ...choices import BillingStatusChoices, ContractStatusChoices
from ...models import Contract
from .billing_source import BillingSourceSerializer
from .calendar import CalendarSerializer
from .fields import BalanceField, SeenMixin
from .plan import ServicePlanSerializer
from .policy import DelinquencyPolicySerializer, PolicyStageSerializer
from .subscriber import SubscriberSerializer

__all__ = ('ContractSerializer',)


class ContractSerializer(SeenMixin, PrimaryModelSerializer):
    subscriber = SubscriberSerializer(nested=True)
    source = BillingSourceSerializer(nested=True)
    plan = ServicePlanSerializer(nested=True)
    policy = DelinquencyPolicySerializer(nested=True, required=False, allow_null=True, default=None)
    calendar = CalendarSerializer(nested=True, required=False, allow_null=True, default=None)
    status = ChoiceField(choices=ContractStatusChoices, required=False)
    billing_status = ChoiceField(choices=BillingStatusChoices, read_only=True)
    open_balance = BalanceField()
    stage = PolicyStageSerializer(nested=True, read_only=True, allow_null=True)
    next_stage = PolicyStageSerializer(nested=True, read_only=True, allow_null=True)
    line_count = RelatedObjectCountField('lines')

    class Meta:
        model = Contract
        fields = (
            'id', 'url', 'display_url', 'display', 'subscriber', 'source', 'external_id', 'aliases', 'reference',
            'loose_reference', 'plan', 'policy', 'status',
            'calendar', 'time_zone', 'tier', 'oldest_due_date', 'open_balance', 'unpaid_invoices', 'awaiting_clearing',
            'notices_from', 'relief_ended_at', 'billing_status',
            'facts_at', 'stage', 'stage_since', 'took_effect_at', 'next_stage', 'next_action_on',
            'next_action_at', 'in_relief', 'review_requested_at', 'dunning_note', 'description', 'owner', 'comments',
            'tags', 'custom_fields', 'created', 'last_updated', 'line_count',
        )  # fmt: skip
        brief_fields = ('id', 'url', 'display', 'external_id', 'subscriber', 'plan', 'status', 'description')
