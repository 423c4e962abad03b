"""What can be done with access lines over REST, beside planning them: read them back, unpin them."""

from __future__ import annotations

from core.api.serializers import JobSerializer
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.response import Response
from rest_framework.status import HTTP_202_ACCEPTED

from ..jobs.points import enqueue_reconcile_of
from ..runs.revert import unpin
from .run_actions import PLAN, ActionPermissions, chosen_lines

__all__ = ('FiltersRequest', 'LineActionsMixin')


class FiltersRequest(serializers.Serializer):
    """Objects are chosen by the filters of their list; there must be some, for without any it would be all of them."""

    filters = serializers.DictField(allow_empty=False)


class UnpinAnswer(serializers.Serializer):
    unpinned = serializers.IntegerField()


class LineActionsMixin:
    """Mixed into the viewset of access lines."""

    def get_permissions(self):
        if self.action in ('reconcile', 'unpin'):
            return [ActionPermissions(PLAN)]
        return super().get_permissions()

    def _chosen(self):
        body = FiltersRequest(data=self.request.data)
        body.is_valid(raise_exception=True)
        return chosen_lines(self.request, body.validated_data['filters'])

    @extend_schema(request=FiltersRequest, responses={HTTP_202_ACCEPTED: JobSerializer(many=True)})
    @action(detail=False, methods=['post'])
    def reconcile(self, request):
        """Have workers read these lines back: a job for each of their points, with what it found in its `data`."""
        jobs = enqueue_reconcile_of(self._chosen(), user=request.user)
        answer = JobSerializer(jobs, many=True, context={'request': request})
        return Response(answer.data, status=HTTP_202_ACCEPTED)

    @extend_schema(request=FiltersRequest, responses=UnpinAnswer)
    @action(detail=False, methods=['post'])
    def unpin(self, request):
        """Let policy take hold of these lines again, which were reverted by hand."""
        return Response({'unpinned': unpin(self._chosen())})
