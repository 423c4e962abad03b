import django_filters
from dcim.models import Device
from django.db.models import Q
from django.utils.translation import gettext_lazy as _
from netbox.filtersets import PrimaryModelFilterSet
from utilities.filters import MultiValueMACAddressFilter
from utilities.filtersets import register_filterset

from ..choices import (
    AccessModeChoices,
    LineChannelChoices,
    LineStatusChoices,
    ObservedModeChoices,
    StageActionChoices,
)
from ..models import (
    AccessLine,
    BillingSource,
    Contract,
    DelinquencyPolicy,
    EnforcementPoint,
    PolicyStage,
    Restriction,
    ServicePlan,
    Subscriber,
)
from .base import MultiValueIPAddressFilter, SearchMixin, StrictMixin, choices, related

__all__ = ('AccessLineFilterSet',)


@register_filterset
class AccessLineFilterSet(StrictMixin, SearchMixin, PrimaryModelFilterSet):
    search_fields = (
        'username',
        'circuit_id',
        'ipv4',
        'ipv6',
        'mac',
        'cwmp_id',
        'contract__external_id',
        'contract__subscriber__external_id',
        'contract__subscriber__name',
        'cpe__name',
        'description',
        'comments',
    )

    status = choices(LineStatusChoices)
    intended_mode = choices(AccessModeChoices)
    channel = choices(LineChannelChoices)
    observed_mode = choices(ObservedModeChoices)
    cpe_observed_mode = choices(ObservedModeChoices)
    drifting = django_filters.BooleanFilter(method='filter_drifting', label=_('Not as intended'))
    foreign = django_filters.BooleanFilter(method='filter_foreign', label=_('Restricted by somebody else'))
    restriction_id = related(Restriction, 'restriction', _('Restriction (ID)'))
    cpe_restriction_id = related(Restriction, 'cpe_restriction', _('Restriction at the CPE (ID)'))
    contract_id = related(Contract, 'contract', _('Contract (ID)'))
    contract = related(Contract, 'contract', _('Contract (external ID)'), by='external_id')
    subscriber_id = related(Subscriber, 'contract__subscriber', _('Subscriber (ID)'))
    subscriber = related(Subscriber, 'contract__subscriber', _('Subscriber (external ID)'), by='external_id')
    source_id = related(BillingSource, 'contract__source', _('Billing source (ID)'))
    source = related(BillingSource, 'contract__source', _('Billing source (slug)'), by='slug')
    policy_id = related(DelinquencyPolicy, 'contract__policy', _('Policy (ID)'))
    policy = related(DelinquencyPolicy, 'contract__policy', _('Policy (name)'), by='name')
    stage_id = related(PolicyStage, 'contract__stage', _('Stage (ID)'))
    stage_action = choices(StageActionChoices, 'contract__stage__action', label=_('Stage action'))
    plan_id = related(ServicePlan, 'contract__plan', _('Service plan (ID)'))
    plan = related(ServicePlan, 'contract__plan', _('Service plan (name)'), by='name')
    cpe_id = related(Device, 'cpe', _('CPE (ID)'))
    cpe = related(Device, 'cpe', _('CPE (name)'), by='name')
    bras_id = related(EnforcementPoint, 'bras', _('BRAS (ID)'))
    bras = related(EnforcementPoint, 'bras', _('BRAS (name)'), by='name')
    acs_id = related(EnforcementPoint, 'acs', _('ACS (ID)'))
    acs = related(EnforcementPoint, 'acs', _('ACS (name)'), by='name')
    point_id = django_filters.ModelMultipleChoiceFilter(
        queryset=EnforcementPoint.objects.all(), method='filter_point', label=_('BRAS or ACS (ID)')
    )
    ipv4 = MultiValueIPAddressFilter(label=_('IPv4 address'))
    mac = MultiValueMACAddressFilter(label=_('MAC address'))

    class Meta:
        model = AccessLine
        fields = (
            'id',
            'username',
            'circuit_id',
            'ipv6',
            'mac',
            'cwmp_id',
            'intended_down_kbps',
            'intended_up_kbps',
            'observed_down_kbps',
            'observed_up_kbps',
            'observed_at',
            'unverified',
            'cpe_observed_down_kbps',
            'cpe_observed_up_kbps',
            'cpe_observed_at',
            'cpe_unverified',
            'pinned',
            'bras_identity',
            'acs_identity',
            'description',
        )

    def filter_drifting(self, queryset, name, value):
        lines = AccessLine.objects.drifting().values('pk')
        return queryset.filter(pk__in=lines) if value else queryset.exclude(pk__in=lines)

    def filter_foreign(self, queryset, name, value):
        lines = AccessLine.objects.foreign().order_by().values('pk')
        return queryset.filter(pk__in=lines) if value else queryset.exclude(pk__in=lines)

    def filter_point(self, queryset, name, value):
        return queryset.filter(Q(bras__in=value) | Q(acs__in=value)) if value else queryset
