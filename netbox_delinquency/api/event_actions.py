"""What can be done with billing events over REST: process those once more that were not applied."""

from __future__ import annotations

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.response import Response
from rest_framework.status import HTTP_202_ACCEPTED

from ..billing.ingest import process_again
from ..filtersets import BillingEventFilterSet
from ..jobs.inbox import enqueue_inbox
from ..models import BillingEvent
from .actions import ActionsMixin, FiltersRequest, chosen_by, permission_on

__all__ = ('EventActionsMixin',)


class ProcessAnswer(serializers.Serializer):
    queued = serializers.IntegerField()


class EventActionsMixin(ActionsMixin):
    """Mixed into the viewset of billing events."""

    action_permissions = {'process': permission_on(BillingEvent, 'process')}

    @extend_schema(request=FiltersRequest, responses={HTTP_202_ACCEPTED: ProcessAnswer})
    @action(detail=False, methods=['post'])
    def process(self, request):
        """Put those of these events that are retryable (unmatched, failed) back into the inbox."""
        filters = self.body(FiltersRequest)['filters']
        allowed = BillingEvent.objects.restrict(request.user, 'process')
        chosen = chosen_by(request, filters, BillingEventFilterSet, allowed)
        if count := process_again(chosen.order_by(), timezone.now()):
            enqueue_inbox()
        return Response({'queued': count}, status=HTTP_202_ACCEPTED)
