"""What can be done with billing events over REST: process those again that were not applied, or review them."""

from __future__ import annotations

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.response import Response
from rest_framework.status import HTTP_200_OK, HTTP_202_ACCEPTED

from ..billing.attention import review
from ..billing.clock import database_now
from ..billing.ingest import process_again
from ..filtersets import BillingEventFilterSet
from ..jobs.inbox import enqueue_inbox
from ..models import BillingEvent
from .actions import ActionsMixin, FiltersRequest, chosen_by, permission_on

__all__ = ('EventActionsMixin',)


class ProcessAnswer(serializers.Serializer):
    queued = serializers.IntegerField()


class ReviewAnswer(serializers.Serializer):
    reviewed = serializers.IntegerField()


class EventActionsMixin(ActionsMixin):
    """Mixed into the viewset of billing events."""

    action_permissions = {
        'process': permission_on(BillingEvent, 'process'),
        'review': permission_on(BillingEvent, 'review'),
    }

    @extend_schema(request=FiltersRequest, responses={HTTP_202_ACCEPTED: ProcessAnswer})
    @action(detail=False, methods=['post'])
    def process(self, request):
        """Put those of these events that are retryable (unmatched, failed) back into the inbox."""
        filters = self.body(FiltersRequest)['filters']
        allowed = BillingEvent.objects.restrict(request.user, 'process')
        chosen = chosen_by(request, filters, BillingEventFilterSet, allowed)
        if count := process_again(chosen.order_by(), database_now()):
            enqueue_inbox()
        return Response({'queued': count}, status=HTTP_202_ACCEPTED)

    @extend_schema(request=FiltersRequest, responses={HTTP_200_OK: ReviewAnswer})
    @action(detail=False, methods=['post'])
    def review(self, request):
        """A person has looked at those of these events that need attention: nobody is exempt for them any longer."""
        filters = self.body(FiltersRequest)['filters']
        allowed = BillingEvent.objects.restrict(request.user, 'review')
        chosen = chosen_by(request, filters, BillingEventFilterSet, allowed)
        return Response({'reviewed': review(chosen.order_by(), request.user, database_now())})
