"""What can be done with access lines over REST, beside planning them: read them back, unpin them."""

from __future__ import annotations

from core.api.serializers import JobSerializer
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.response import Response
from rest_framework.status import HTTP_202_ACCEPTED

from ..jobs.points import enqueue_reconcile_of
from ..runs.lifts import adopt
from ..runs.revert import unpin
from .actions import PLAN, ActionsMixin, FiltersRequest, chosen_lines

__all__ = ('LineActionsMixin',)


class UnpinAnswer(serializers.Serializer):
    unpinned = serializers.IntegerField()


class AdoptAnswer(serializers.Serializer):
    adopted = serializers.IntegerField()


class LineActionsMixin(ActionsMixin):
    """Mixed into the viewset of access lines."""

    action_permissions = {'reconcile': PLAN, 'unpin': PLAN, 'adopt': PLAN}

    def _chosen(self):
        return chosen_lines(self.request, self.body(FiltersRequest)['filters'])

    @extend_schema(request=FiltersRequest, responses={HTTP_202_ACCEPTED: JobSerializer(many=True)})
    @action(detail=False, methods=['post'])
    def reconcile(self, request):
        """Have workers read these lines back: a job for each of their points, with what it found in its `data`."""
        return self.queued(enqueue_reconcile_of(self._chosen(), user=request.user), many=True)

    @extend_schema(request=FiltersRequest, responses=UnpinAnswer)
    @action(detail=False, methods=['post'])
    def unpin(self, request):
        """Let policy take hold of these lines again, which were reverted by hand."""
        return Response({'unpinned': unpin(self._chosen())})

    @extend_schema(request=FiltersRequest, responses=AdoptAnswer)
    @action(detail=False, methods=['post'])
    def adopt(self, request):
        """Take what others restrict on these lines for ours: it is given back as policy wants it from now on."""
        return Response({'adopted': len(adopt(self._chosen(), request.user, timezone.now()))})
