from django.core.exceptions import PermissionDenied
from django_filters.rest_framework import DjangoFilterBackend
from netbox.api.viewsets import NetBoxModelViewSet, NetBoxReadOnlyModelViewSet
from rest_framework.filters import OrderingFilter
from rest_framework.routers import APIRootView

from .. import filtersets
from ..models import (
    AccessLine,
    BillingEvent,
    BillingSource,
    Calendar,
    CalendarDate,
    Contract,
    DelinquencyPolicy,
    EnforcementChange,
    EnforcementPoint,
    EnforcementRun,
    EnforcementSettings,
    GraceRule,
    Hold,
    Notice,
    PlanChangeOrder,
    PolicyStage,
    Restriction,
    ServicePlan,
    Subscriber,
)
from ..rights import NOT_PRINTED, may_print_all, related_model, sees_all
from . import serializers
from .cpe_actions import CpeLineActionsMixin, PointCpesMixin, ProfileActionsMixin
from .event_actions import EventActionsMixin
from .line_actions import LineActionsMixin
from .point_actions import PointActionsMixin
from .policy_actions import (
    ContractActionsMixin,
    HoldActionsMixin,
    PlanChangeActionsMixin,
    PolicyActionsMixin,
)
from .restriction_actions import RestrictionActionsMixin
from .run_actions import RunActionsMixin
from .run_plans import RunPlansMixin
from .runbook_actions import RunbookActionsMixin

# What `Device.__str__` reads of a device without a name, as most CPEs are, and what `AccessLine.as_target` reads.
DEVICE_NAME = ('virtual_chassis', 'device_type__manufacturer')
TARGET = ('contract__plan', 'bras', 'acs', 'restriction', 'cpe_restriction')


def below(*paths: str, of: tuple[str, ...]) -> tuple[str, ...]:
    """The lookups `of` a related object, behind each of these paths to it."""
    return tuple(f'{path}__{lookup}' for path in paths for lookup in of)


class SeenOrdering(OrderingFilter):
    """Orders by another object only for whoever may see all of these: an order tells what is ordered by."""

    def get_ordering(self, request, queryset, view):
        ordering = super().get_ordering(request, queryset, view)

        def is_seen(term):
            found = related_model(queryset.model, term.removeprefix('-')) if isinstance(term, str) else None
            return found is None or sees_all(request.user, found[1])

        asked = self.ordering_param in request.query_params
        return [term for term in ordering if is_seen(term)] or None if ordering and asked else ordering


class SeenViewSet:
    """Mixed into a viewset of ours: what shows another object asks for the right to it."""

    filter_backends = (DjangoFilterBackend, SeenOrdering)

    def list(self, request, *args, **kwargs):
        if 'export' in request.GET and not may_print_all(request.user):
            raise PermissionDenied(NOT_PRINTED)
        return super().list(request, *args, **kwargs)  # type: ignore[misc]


class SeenModelViewSet(SeenViewSet, NetBoxModelViewSet):
    pass


class SeenReadOnlyModelViewSet(SeenViewSet, NetBoxReadOnlyModelViewSet):
    pass


class DelinquencyRootView(APIRootView):
    """Delinquency API root view"""

    def get_view_name(self):
        return 'Delinquency'


class SubscriberViewSet(SeenModelViewSet):
    queryset = Subscriber.objects.all()
    serializer_class = serializers.SubscriberSerializer
    filterset_class = filtersets.SubscriberFilterSet


class ServicePlanViewSet(SeenModelViewSet):
    queryset = ServicePlan.objects.all()
    serializer_class = serializers.ServicePlanSerializer
    filterset_class = filtersets.ServicePlanFilterSet


class BalanceOrderingFilter(SeenOrdering):
    """Orders by the balance only as far as the user may see it: an order tells the values."""

    visible = {'open_balance': 'visible_balance', '-open_balance': '-visible_balance'}

    def get_ordering(self, request, queryset, view):
        ordering = super().get_ordering(request, queryset, view)
        return ordering and [*(self.visible.get(term, term) for term in ordering), 'pk']


class ContractViewSet(ContractActionsMixin, SeenModelViewSet):
    queryset = Contract.objects.all()
    serializer_class = serializers.ContractSerializer
    filterset_class = filtersets.ContractFilterSet
    filter_backends = (DjangoFilterBackend, BalanceOrderingFilter)
    field_prefetches = {('stage',): ('stage__policy',), ('next_stage',): ('next_stage__policy',)}

    def get_queryset(self):
        return super().get_queryset().with_visible_balance(self.request.user)


class EnforcementPointViewSet(PointCpesMixin, PointActionsMixin, SeenModelViewSet):
    queryset = EnforcementPoint.objects.all()
    serializer_class = serializers.EnforcementPointSerializer
    filterset_class = filtersets.EnforcementPointFilterSet
    field_prefetches = {
        ('device',): below('device', of=DEVICE_NAME),
        ('host',): below('device', 'virtual_machine', of=('primary_ip4', 'primary_ip6')),
    }


class AccessLineViewSet(CpeLineActionsMixin, LineActionsMixin, SeenModelViewSet):
    queryset = AccessLine.objects.all()
    serializer_class = serializers.AccessLineSerializer
    filterset_class = filtersets.AccessLineFilterSet
    field_prefetches = {
        ('cpe',): below('cpe', of=DEVICE_NAME),
        ('point',): ('bras', 'acs'),
        ('target',): TARGET,
    }


class DelinquencyPolicyViewSet(PolicyActionsMixin, SeenModelViewSet):
    queryset = DelinquencyPolicy.objects.all()
    serializer_class = serializers.DelinquencyPolicySerializer
    filterset_class = filtersets.DelinquencyPolicyFilterSet


class PolicyStageViewSet(SeenModelViewSet):
    queryset = PolicyStage.objects.all()
    serializer_class = serializers.PolicyStageSerializer
    filterset_class = filtersets.PolicyStageFilterSet
    field_prefetches = {('display',): ('policy',)}


class EnforcementRunViewSet(ProfileActionsMixin, RunPlansMixin, RunbookActionsMixin, RunActionsMixin, SeenModelViewSet):
    queryset = EnforcementRun.objects.all()
    serializer_class = serializers.EnforcementRunSerializer
    filterset_class = filtersets.EnforcementRunFilterSet


class EnforcementChangeViewSet(SeenModelViewSet):
    queryset = EnforcementChange.objects.all()
    serializer_class = serializers.EnforcementChangeSerializer
    filterset_class = filtersets.EnforcementChangeFilterSet
    field_prefetches = {('display',): ('run', 'line'), ('target',): below('line', of=TARGET)}


class RestrictionViewSet(RestrictionActionsMixin, SeenReadOnlyModelViewSet):
    queryset = Restriction.objects.all()
    serializer_class = serializers.RestrictionSerializer
    filterset_class = filtersets.RestrictionFilterSet
    field_prefetches = {('display',): ('point',)}


class BillingSourceViewSet(SeenModelViewSet):
    queryset = BillingSource.objects.all()
    serializer_class = serializers.BillingSourceSerializer
    filterset_class = filtersets.BillingSourceFilterSet


class BillingEventViewSet(EventActionsMixin, SeenModelViewSet):
    queryset = BillingEvent.objects.all()
    serializer_class = serializers.BillingEventSerializer
    filterset_class = filtersets.BillingEventFilterSet


class CalendarViewSet(SeenModelViewSet):
    queryset = Calendar.objects.all()
    serializer_class = serializers.CalendarSerializer
    filterset_class = filtersets.CalendarFilterSet


class CalendarDateViewSet(SeenModelViewSet):
    queryset = CalendarDate.objects.all()
    serializer_class = serializers.CalendarDateSerializer
    filterset_class = filtersets.CalendarDateFilterSet


class NoticeViewSet(SeenModelViewSet):
    queryset = Notice.objects.all()
    serializer_class = serializers.NoticeSerializer
    filterset_class = filtersets.NoticeFilterSet


class HoldViewSet(HoldActionsMixin, SeenModelViewSet):
    queryset = Hold.objects.all()
    serializer_class = serializers.HoldSerializer
    filterset_class = filtersets.HoldFilterSet
    field_prefetches = {('successor',): ('successor__policy',)}


class GraceRuleViewSet(SeenModelViewSet):
    queryset = GraceRule.objects.all()
    serializer_class = serializers.GraceRuleSerializer
    filterset_class = filtersets.GraceRuleFilterSet
    field_prefetches = {('display',): ('policy', 'for_tag')}


class PlanChangeOrderViewSet(PlanChangeActionsMixin, SeenModelViewSet):
    queryset = PlanChangeOrder.objects.all()
    serializer_class = serializers.PlanChangeOrderSerializer
    filterset_class = filtersets.PlanChangeOrderFilterSet
    field_prefetches = {('display',): ('contract', 'to_plan')}


class EnforcementSettingsViewSet(SeenModelViewSet):
    queryset = EnforcementSettings.objects.all()
    serializer_class = serializers.EnforcementSettingsSerializer

    def initial(self, request, *args, **kwargs):
        super().initial(request, *args, **kwargs)
        EnforcementSettings.ensured()
