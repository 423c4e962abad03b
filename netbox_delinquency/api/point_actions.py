"""What can be done with enforcement points over REST: have a worker check one, or read its lines back."""

from __future__ import annotations

from core.api.serializers import JobSerializer
from django.shortcuts import get_object_or_404
from drf_spectacular.utils import extend_schema
from rest_framework.decorators import action
from rest_framework.exceptions import PermissionDenied
from rest_framework.response import Response
from rest_framework.status import HTTP_202_ACCEPTED

from ..jobs.points import enqueue_check, enqueue_reconcile
from ..models import EnforcementPoint
from .run_actions import ActionPermissions

__all__ = ('PointActionsMixin',)


class PointActionsMixin:
    """Mixed into the viewset of enforcement points."""

    def get_permissions(self):
        if self.action in ('check', 'reconcile'):
            return [ActionPermissions(f'netbox_delinquency.{self.action}_enforcementpoint')]
        return super().get_permissions()

    @extend_schema(request=None, responses={HTTP_202_ACCEPTED: JobSerializer})
    @action(detail=True, methods=['post'])
    def check(self, request, pk):
        """Queue a check; what it finds, and the exact lines to add, will be in the `data` of the job answered."""
        return self._queued(enqueue_check(self._point(pk), user=request.user))

    @extend_schema(request=None, responses={HTTP_202_ACCEPTED: JobSerializer})
    @action(detail=True, methods=['post'])
    def reconcile(self, request, pk):
        """Queue the reading of all its lines; what it finds will be in the `data` of the job answered."""
        return self._queued(enqueue_reconcile(self._point(pk), user=request.user))

    def _point(self, pk) -> EnforcementPoint:
        # The queryset of a POST is restricted to `add`: the point is taken plainly and asked for itself.
        point = get_object_or_404(EnforcementPoint, pk=pk)
        permission = f'{self.action}_enforcementpoint'
        if not self.request.user.has_perm(f'netbox_delinquency.{permission}', obj=point):
            raise PermissionDenied(f'You do not have the permission {permission} for this point.')
        return point

    def _queued(self, job) -> Response:
        answer = JobSerializer(job, context={'request': self.request})
        return Response(answer.data, status=HTTP_202_ACCEPTED)
