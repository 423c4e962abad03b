"""What a person does with restrictions over REST: have what was left behind lifted, or say that it is not ours."""

from __future__ import annotations

from django.utils import timezone
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.response import Response
from rest_framework.status import HTTP_202_ACCEPTED

from ..filtersets import RestrictionFilterSet
from ..models import Restriction
from ..runs.lifts import let_go, lift
from ..workflow import start_runs
from .actions import ActionsMixin, FiltersRequest, chosen_by, document, permission_on, refusals
from .serializers import EnforcementRunSerializer

__all__ = ('RestrictionActionsMixin',)

LIFT = permission_on(Restriction, 'lift')


class LetGoAnswer(serializers.Serializer):
    let_go = serializers.IntegerField()


class RestrictionActionsMixin(ActionsMixin):
    """Mixed into the viewset of restrictions."""

    action_permissions = {'lift': LIFT, 'let_go': LIFT}

    def _chosen(self):
        allowed = Restriction.objects.restrict(self.request.user, 'lift')
        return chosen_by(self.request, self.body(FiltersRequest)['filters'], RestrictionFilterSet, allowed)

    @document(FiltersRequest, EnforcementRunSerializer(many=True), HTTP_202_ACCEPTED)
    @action(detail=False, methods=['post'])
    def lift(self, request):
        """Have these lifted where they were left behind; the run is started at once."""
        with refusals():
            runs = start_runs(lift(self._chosen(), request.user, timezone.now()))
        answer = EnforcementRunSerializer(runs, many=True, nested=True, context={'request': request})
        return Response(answer.data, status=HTTP_202_ACCEPTED)

    @document(FiltersRequest, LetGoAnswer)
    @action(detail=False, methods=['post'])
    def let_go(self, request):
        """Say that these are no longer ours to lift."""
        return Response({'let_go': let_go(self._chosen(), timezone.now())})
