"""What can be done with enforcement points over REST: have a worker check one, or read its lines back."""

from __future__ import annotations

from core.api.serializers import JobSerializer
from drf_spectacular.utils import extend_schema
from rest_framework.decorators import action
from rest_framework.status import HTTP_202_ACCEPTED

from ..jobs.points import enqueue_check, enqueue_reconcile
from ..models import EnforcementPoint
from .actions import ActionsMixin, permission_on

__all__ = ('PointActionsMixin',)


class PointActionsMixin(ActionsMixin):
    """Mixed into the viewset of enforcement points."""

    action_permissions = {name: permission_on(EnforcementPoint, name) for name in ('check', 'reconcile')}

    @extend_schema(request=None, responses={HTTP_202_ACCEPTED: JobSerializer})
    @action(detail=True, methods=['post'])
    def check(self, request, pk):
        """Queue a check; what it finds, and the exact lines to add, will be in the `data` of the job answered."""
        return self.queued(enqueue_check(self.acted_on(pk), user=request.user))

    @extend_schema(request=None, responses={HTTP_202_ACCEPTED: JobSerializer})
    @action(detail=True, methods=['post'])
    def reconcile(self, request, pk):
        """Queue the reading of all its lines; what it finds will be in the `data` of the job answered."""
        return self.queued(enqueue_reconcile(self.acted_on(pk), user=request.user))
