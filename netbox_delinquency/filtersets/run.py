import django_filters
from django.contrib.auth import get_user_model
from django.utils.translation import gettext_lazy as _
from netbox.filtersets import NetBoxModelFilterSet, PrimaryModelFilterSet
from utilities.filtersets import register_filterset

from ..choices import AccessModeChoices, LineChannelChoices, OutcomeChoices, RunKindChoices, RunStatusChoices
from ..models import AccessLine, EnforcementChange, EnforcementPoint, EnforcementRun, Restriction
from .base import SearchMixin, StrictMixin, choices, related

__all__ = ('EnforcementChangeFilterSet', 'EnforcementRunFilterSet')


@register_filterset
class EnforcementRunFilterSet(StrictMixin, SearchMixin, PrimaryModelFilterSet):
    search_fields = ('name', 'plan_hash', 'executor', 'description', 'comments')

    kind = choices(RunKindChoices)
    status = choices(RunStatusChoices)
    author_id = related(get_user_model(), 'author', _('Author (ID)'))
    author = related(get_user_model(), 'author', _('Author (name)'), by='username')
    approver_id = related(get_user_model(), 'approver', _('Approver (ID)'))
    approver = related(get_user_model(), 'approver', _('Approver (name)'), by='username')
    reverts_id = related(EnforcementRun, 'reverts', _('Reverts (ID)'))
    line_id = related(AccessLine, 'changes__line', _('Access line (ID)'), distinct=True)
    point_id = related(EnforcementPoint, 'changes__point', _('Enforcement point (ID)'), distinct=True)
    outcome = choices(OutcomeChoices, 'changes__outcome', label=_('Outcome of a row'), distinct=True)

    class Meta:
        model = EnforcementRun
        fields = (
            'id',
            'name',
            'executor',
            'resumed_at',
            'plan_hash',
            'approved_hash',
            'approved_at',
            'started_at',
            'heartbeat_at',
            'finished_at',
            'wave',
            'wave_done_at',
            'stop_reason',
            'stop_code',
            'description',
        )


@register_filterset
class EnforcementChangeFilterSet(StrictMixin, SearchMixin, NetBoxModelFilterSet):
    search_fields = ('run__name', 'identity', 'line__username', 'line__circuit_id', 'point__name', 'reason', 'message')

    run_id = related(EnforcementRun, 'run', _('Run (ID)'))
    run_kind = choices(RunKindChoices, 'run__kind', label=_('Kind of the run'))
    run_status = choices(RunStatusChoices, 'run__status', label=_('Status of the run'))
    line_id = related(AccessLine, 'line', _('Access line (ID)'))
    restriction_id = related(Restriction, 'restriction', _('Restriction (ID)'))
    point_id = related(EnforcementPoint, 'point', _('Enforcement point (ID)'))
    point = related(EnforcementPoint, 'point', _('Enforcement point (name)'), by='name')
    channel = choices(LineChannelChoices)
    expected_mode = choices(AccessModeChoices)
    desired_mode = choices(AccessModeChoices)
    outcome = choices(OutcomeChoices)
    is_closed = django_filters.BooleanFilter(
        field_name='finished_at', lookup_expr='isnull', exclude=True, label=_('Has an outcome')
    )

    class Meta:
        model = EnforcementChange
        fields = (
            'id',
            'identity',
            'wave',
            'expected_down_kbps',
            'expected_up_kbps',
            'desired_down_kbps',
            'desired_up_kbps',
            'reason',
            'claimed_at',
            'sent_at',
            'finished_at',
            'refused',
            'message',
            'message_code',
        )
