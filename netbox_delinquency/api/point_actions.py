"""What can be done with enforcement points over REST: have a worker check one."""

from __future__ import annotations

from core.api.serializers import JobSerializer
from django.shortcuts import get_object_or_404
from drf_spectacular.utils import extend_schema
from rest_framework.decorators import action
from rest_framework.exceptions import PermissionDenied
from rest_framework.response import Response
from rest_framework.status import HTTP_202_ACCEPTED

from ..jobs import enqueue_check
from ..models import EnforcementPoint
from .run_actions import ActionPermissions

__all__ = ('PointActionsMixin',)


class PointActionsMixin:
    """Mixed into the viewset of enforcement points."""

    def get_permissions(self):
        if self.action == 'check':
            return [ActionPermissions('netbox_delinquency.check_enforcementpoint')]
        return super().get_permissions()

    @extend_schema(request=None, responses={HTTP_202_ACCEPTED: JobSerializer})
    @action(detail=True, methods=['post'])
    def check(self, request, pk):
        """Queue a check; what it finds, and the exact lines to add, will be in the `data` of the job answered."""
        point = get_object_or_404(EnforcementPoint, pk=pk)
        if not request.user.has_perm('netbox_delinquency.check_enforcementpoint', obj=point):
            raise PermissionDenied('You do not have the permission check_enforcementpoint for this point.')
        job = enqueue_check(point, user=request.user)
        answer = JobSerializer(job, context={'request': request})
        return Response(answer.data, status=HTTP_202_ACCEPTED)
