import django_filters
from django.utils.translation import gettext_lazy as _
from netbox.filtersets import NetBoxModelFilterSet
from utilities.filtersets import register_filterset

from ..choices import AccessModeChoices, LiftedChoices, LineChannelChoices
from ..models import AccessLine, Contract, EnforcementPoint, Restriction
from .base import SearchMixin, StrictMixin, choices, related

__all__ = ('RestrictionFilterSet',)


@register_filterset
class RestrictionFilterSet(StrictMixin, SearchMixin, NetBoxModelFilterSet):
    search_fields = ('identity', 'point__name', 'contract_name', 'finding', 'address')

    point_id = related(EnforcementPoint, 'point', _('Enforcement point (ID)'))
    point = related(EnforcementPoint, 'point', _('Enforcement point (name)'), by='name')
    line_id = related(AccessLine, 'line', _('Taken from line (ID)'))
    contract_id = related(Contract, 'contract', _('Taken for contract (ID)'))
    side = choices(LineChannelChoices)
    state_mode = choices(AccessModeChoices)
    lifted_how = choices(LiftedChoices)
    is_open = django_filters.BooleanFilter(field_name='lifted_at', lookup_expr='isnull', label=_('Still open'))
    left_behind = django_filters.BooleanFilter(method='filter_left_behind', label=_('Left behind'))
    is_owed = django_filters.BooleanFilter(
        field_name='owed_since', lookup_expr='isnull', exclude=True, label=_('Owed back')
    )
    is_late = django_filters.BooleanFilter(
        field_name='late_at', lookup_expr='isnull', exclude=True, label=_('Owed for too long')
    )

    class Meta:
        model = Restriction
        fields = (
            'id',
            'identity',
            'address',
            'contract_name',
            'run_number',
            'change_number',
            'adopted_by',
            'taken_at',
            'last_read_at',
            'owed_since',
            'late_at',
            'finding',
            'waits_for_person',
            'attempts',
            'retry_at',
            'lifted_at',
        )

    def filter_left_behind(self, queryset, name, value):
        left = Restriction.objects.left_behind().order_by().values('pk')
        return queryset.filter(pk__in=left) if value else queryset.exclude(pk__in=left)
