"""CPEs over REST: plan a mass update, match an ACS's devices to lines, refresh one. No ACS is spoken to from here."""

from __future__ import annotations

from core.api.serializers import JobSerializer
from django.shortcuts import get_object_or_404
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.exceptions import PermissionDenied
from rest_framework.status import HTTP_201_CREATED, HTTP_202_ACCEPTED

from nornir_tasks.cpes import parse_values

from ..cpe.parameters import acs_drivers, plan_profile
from ..jobs.points import enqueue_match_cpes, enqueue_refresh_cpe
from ..models import AccessLine, EnforcementPoint
from .actions import PLAN, ActionsMixin, Refused, chosen_lines, document, permission_on, refusals
from .run_actions import RunAnswerMixin
from .serializers import EnforcementRunSerializer

__all__ = ('CpeLineActionsMixin', 'PointCpesMixin', 'ProfileActionsMixin')

CHECK = permission_on(EnforcementPoint, 'check')


class ProfileRequest(serializers.Serializer):
    """Lines are chosen by the filters of the line list, of which there must be at least one."""

    name = serializers.CharField(max_length=100, required=False, allow_blank=True, default='')
    filters = serializers.DictField(allow_empty=False)
    values = serializers.ListField(
        child=serializers.ListField(child=serializers.CharField(allow_blank=True, trim_whitespace=False)),
        help_text='Rows of full path, value and type (a string without one)',
    )

    def validate_values(self, rows):
        try:
            return parse_values(rows)
        except ValueError as error:
            raise serializers.ValidationError(str(error)) from error


class ProfileActionsMixin(RunAnswerMixin):
    """Mixed into the viewset of runs."""

    action_permissions = {'plan_profile': PLAN}

    @document(ProfileRequest, EnforcementRunSerializer, HTTP_201_CREATED)
    @action(detail=False, methods=['post'], url_path='plan-profile')
    def plan_profile(self, request):
        """Plan to set parameters at the CPEs of the lines chosen; it waits to be approved like any run."""
        body = self.body(ProfileRequest)
        chosen = chosen_lines(request, body['filters'])
        lines = AccessLine.objects.filter(pk__in=chosen.order_by().values('pk'))
        with refusals():
            run = plan_profile(lines, body['values'], timezone.now(), author=request.user, name=body['name'])
        return self.answer(run, HTTP_201_CREATED)


class PointCpesMixin(ActionsMixin):
    """Mixed into the viewset of enforcement points."""

    action_permissions = {'match_cpes': CHECK}

    @extend_schema(request=None, responses={HTTP_202_ACCEPTED: JobSerializer})
    @action(detail=True, methods=['post'], url_path='match-cpes')
    def match_cpes(self, request, pk):
        """Queue a worker that matches the devices of this ACS to lines by serial number; the job's data says which."""
        point = self.acted_on(pk)
        if not request.user.has_perm(permission_on(AccessLine, 'change')):
            raise PermissionDenied('You need change_accessline, too.')
        if point.driver not in acs_drivers():
            raise Refused(f'{point} is no ACS: its driver is "{point.driver}"')
        return self.queued(enqueue_match_cpes(point, user=request.user))


class CpeLineActionsMixin(ActionsMixin):
    """Mixed into the viewset of access lines."""

    action_permissions = {'refresh_cpe': CHECK}

    @extend_schema(request=None, responses={HTTP_202_ACCEPTED: JobSerializer})
    @action(detail=True, methods=['post'], url_path='refresh-cpe')
    def refresh_cpe(self, request, pk):
        """Queue a worker that asks the line's ACS for last Inform, model, software and levers, in `data`."""
        line = get_object_or_404(AccessLine.objects.restrict(request.user, 'view'), pk=pk)
        if line.acs is None or not line.cwmp_id:
            raise Refused(f'{line} has no ACS, or no CWMP ID')
        self.ask_for(CHECK, line.acs)
        return self.queued(enqueue_refresh_cpe(line, user=request.user))
