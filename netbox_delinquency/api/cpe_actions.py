"""CPEs over REST: plan a mass update, learn an ACS's devices, have a worker ask one. No ACS is spoken to from here."""

from __future__ import annotations

from core.api.serializers import JobSerializer
from django.shortcuts import get_object_or_404
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.exceptions import PermissionDenied
from rest_framework.response import Response
from rest_framework.status import HTTP_201_CREATED, HTTP_202_ACCEPTED

from nornir_tasks.cpes import parse_values

from ..cpe.parameters import acs_drivers, plan_profile
from ..errors import RunRefusedError
from ..filtersets import AccessLineFilterSet
from ..jobs.points import enqueue_learn, enqueue_look
from ..models import AccessLine, EnforcementPoint
from .run_actions import PLAN, ActionPermissions, Refused, document
from .serializers import EnforcementRunSerializer

__all__ = ('CpeLineActionsMixin', 'PointCpesMixin', 'ProfileActionsMixin')

CHECK = 'netbox_delinquency.check_enforcementpoint'


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


class ProfileActionsMixin:
    """Mixed into the viewset of runs."""

    def get_permissions(self):
        return [ActionPermissions(PLAN)] if self.action == 'plan_profile' else super().get_permissions()

    @document(ProfileRequest, EnforcementRunSerializer, HTTP_201_CREATED)
    @action(detail=False, methods=['post'], url_path='plan-profile')
    def plan_profile(self, request):
        """Plan to set parameters at the CPEs of the lines chosen; it waits to be approved like any run."""
        body = self._body(ProfileRequest)
        allowed = AccessLine.objects.restrict(request.user, 'enforce')
        chosen = AccessLineFilterSet(body['filters'], queryset=allowed, request=request)
        if unknown := set(body['filters']) - set(chosen.filters):
            raise serializers.ValidationError({'filters': f'there are no such filters: {", ".join(sorted(unknown))}'})
        if not chosen.is_valid():
            raise serializers.ValidationError({'filters': chosen.errors})
        lines = AccessLine.objects.filter(pk__in=chosen.qs.order_by().values('pk'))
        try:
            run = plan_profile(lines, body['values'], timezone.now(), author=request.user, name=body['name'])
        except RunRefusedError as error:
            raise Refused(str(error)) from error
        return self._answer(run, HTTP_201_CREATED)


class PointCpesMixin:
    """Mixed into the viewset of enforcement points."""

    def get_permissions(self):
        return [ActionPermissions(CHECK)] if self.action == 'learn' else super().get_permissions()

    @extend_schema(request=None, responses={HTTP_202_ACCEPTED: JobSerializer})
    @action(detail=True, methods=['post'])
    def learn(self, request, pk):
        """Queue a worker that matches the devices of this ACS to lines by serial number; the job's data says which."""
        point = get_object_or_404(EnforcementPoint, pk=pk)
        allowed = request.user.has_perm(CHECK, obj=point) and request.user.has_perm(
            'netbox_delinquency.change_accessline'
        )
        if not allowed:
            raise PermissionDenied(f'You need {CHECK} for this point, and change_accessline.')
        if point.driver not in acs_drivers():
            raise Refused(f'{point} is no ACS: its driver is "{point.driver}"')
        return _queued(enqueue_learn(point, user=request.user), request)


class CpeLineActionsMixin:
    """Mixed into the viewset of access lines."""

    def get_permissions(self):
        return [ActionPermissions(CHECK)] if self.action == 'look' else super().get_permissions()

    @extend_schema(request=None, responses={HTTP_202_ACCEPTED: JobSerializer})
    @action(detail=True, methods=['post'])
    def look(self, request, pk):
        """Queue a worker that asks the line's ACS how its CPE is: last Inform, model, software, levers, in `data`."""
        line = get_object_or_404(AccessLine.objects.restrict(request.user, 'view'), pk=pk)
        if line.acs is None or not line.cwmp_id:
            raise Refused(f'{line} has no ACS, or no CWMP ID')
        if not request.user.has_perm(CHECK, obj=line.acs):
            raise PermissionDenied(f'You need {CHECK} for {line.acs}.')
        return _queued(enqueue_look(line, user=request.user), request)


def _queued(job, request) -> Response:
    return Response(JobSerializer(job, context={'request': request}).data, status=HTTP_202_ACCEPTED)
