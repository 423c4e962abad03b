import django_filters
from django.contrib.auth.models import AnonymousUser
from django.core.validators import EMPTY_VALUES
from django.utils.translation import gettext_lazy as _
from netbox.filtersets import PrimaryModelFilterSet
from utilities.filters import MultiValueCharFilter
from utilities.filtersets import register_filterset

from ..choices import BillingStatusChoices, ContractStatusChoices, StageActionChoices
from ..models import BillingSource, Calendar, Contract, DelinquencyPolicy, PolicyStage, ServicePlan, Subscriber
from .base import SearchMixin, StrictMixin, choices, related

__all__ = ('ContractFilterSet',)


@register_filterset
class ContractFilterSet(StrictMixin, SearchMixin, PrimaryModelFilterSet):
    search_fields = ('external_id', 'subscriber__external_id', 'subscriber__name', 'description', 'comments')

    status = choices(ContractStatusChoices)
    reference = MultiValueCharFilter(label=_('Reference'))
    loose_reference = MultiValueCharFilter(label=_('Loose reference'))
    aliases = django_filters.CharFilter(method='with_alias', label=_('Alias'))
    billing_status = choices(BillingStatusChoices)
    subscriber_id = related(Subscriber, 'subscriber', _('Subscriber (ID)'))
    subscriber = related(Subscriber, 'subscriber', _('Subscriber (external ID)'), by='external_id')
    source_id = related(BillingSource, 'source', _('Billing source (ID)'))
    source = related(BillingSource, 'source', _('Billing source (slug)'), by='slug')
    plan_id = related(ServicePlan, 'plan', _('Service plan (ID)'))
    plan = related(ServicePlan, 'plan', _('Service plan (name)'), by='name')
    policy_id = related(DelinquencyPolicy, 'policy', _('Policy (ID)'))
    policy = related(DelinquencyPolicy, 'policy', _('Policy (name)'), by='name')
    calendar_id = related(Calendar, 'calendar', _('Calendar (ID)'))
    calendar = related(Calendar, 'calendar', _('Calendar (name)'), by='name')
    stage_id = related(PolicyStage, 'stage', _('Stage (ID)'))
    stage_action = choices(StageActionChoices, 'stage__action', label=_('Stage action'))
    next_stage_id = related(PolicyStage, 'next_stage', _('Next stage (ID)'))
    has_stage = django_filters.BooleanFilter(
        field_name='stage', lookup_expr='isnull', exclude=True, label=_('Has reached a stage')
    )
    is_overdue = django_filters.BooleanFilter(
        field_name='oldest_due_date', lookup_expr='isnull', exclude=True, label=_('Has an open due date')
    )

    class Meta:
        model = Contract
        fields = (
            'id',
            'external_id',
            'time_zone',
            'tier',
            'oldest_due_date',
            'open_balance',
            'unpaid_invoices',
            'awaiting_clearing',
            'notices_from',
            'relief_ended_at',
            'facts_at',
            'stage_since',
            'took_effect_at',
            'next_action_on',
            'next_action_at',
            'in_relief',
            'review_requested_at',
            'dunning_note',
            'description',
        )

    def with_alias(self, queryset, name, value):
        return queryset.filter(aliases__contains=[value])

    def filter_queryset(self, queryset):
        """A filter by the balance reveals it, so such a question reaches only contracts whose balance may be seen."""
        queryset = super().filter_queryset(queryset)
        asked = (value for name, value in self.form.cleaned_data.items() if name.startswith('open_balance'))
        if any(value not in EMPTY_VALUES for value in asked):
            user = self.request.user if self.request else AnonymousUser()
            queryset = queryset.filter(pk__in=Contract.objects.restrict(user, 'view_balance').values('pk'))
        return queryset
