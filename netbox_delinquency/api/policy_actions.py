"""Explaining, simulating, unlocking in trust, ending holds and asking for review, over REST."""

from __future__ import annotations

from dataclasses import asdict
from datetime import date

from django.utils import timezone
from django.utils.translation import override
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.response import Response
from rest_framework.status import HTTP_201_CREATED

from ..contract_actions import decide_plan_change, end_hold, give_trust_unlock, set_review
from ..models import Contract, Hold, PlanChangeOrder
from ..policy.explain import explain
from ..policy.facts import facts_of
from ..policy.simulate import SimulationError, simulate
from .actions import ActionsMixin, permission_on, refusals

__all__ = ('ContractActionsMixin', 'HoldActionsMixin', 'PlanChangeActionsMixin', 'PolicyActionsMixin', 'explanation_of')


class UnlockRequest(serializers.Serializer):
    days = serializers.IntegerField(min_value=1, required=False, help_text="Empty: the policy's")
    reason = serializers.CharField(max_length=200)


class ReasonRequest(serializers.Serializer):
    reason = serializers.CharField(max_length=200)


class ReviewRequest(serializers.Serializer):
    requested = serializers.BooleanField(help_text='false ends the review')


class VerdictAnswer(serializers.Serializer):
    rule = serializers.CharField()
    facts = serializers.CharField()
    verdict = serializers.CharField()
    article = serializers.CharField()


class ExplainAnswer(serializers.Serializer):
    stage = serializers.IntegerField(allow_null=True)
    next_stage = serializers.IntegerField(allow_null=True)
    next_action_on = serializers.DateField(allow_null=True)
    next_action_at = serializers.DateTimeField(allow_null=True)
    in_relief = serializers.BooleanField()
    note = serializers.CharField()
    preset = serializers.CharField()
    verdicts = VerdictAnswer(many=True)


class DayAnswer(serializers.Serializer):
    day = serializers.DateField()
    throttled = serializers.IntegerField()
    blocked = serializers.IntegerField()
    restored = serializers.IntegerField()


def explanation_of(contract: Contract, now) -> dict:
    facts, rules = facts_of(contract.pk, now)
    policy = contract.policy
    with override('en'):  # the same to every program; the page is in the reader's language
        explanation = explain(facts, rules, now, policy.articles if policy else {})
    position = explanation.position
    return {
        'stage': position.stage and position.stage.pk,
        'next_stage': position.next_stage and position.next_stage.pk,
        'next_action_on': position.next_action_on,
        'next_action_at': position.next_action_at,
        'in_relief': position.in_relief,
        'note': position.note,
        'preset': f'{policy.preset} {policy.preset_version or ""}'.strip() if policy else '',
        'verdicts': [asdict(verdict) for verdict in explanation.verdicts],
    }


class ContractActionsMixin(ActionsMixin):
    action_permissions = {
        'trust_unlock': permission_on(Contract, 'unlock'),
        'review': permission_on(Contract, 'review'),
    }

    @extend_schema(responses=ExplainAnswer)
    @action(detail=True, methods=['get'])
    def explain(self, request, pk):
        """Each rule in turn: the facts it read, its verdict, its article; and what happens next, and when."""
        return Response(explanation_of(self.get_object(), timezone.now()))

    @extend_schema(request=UnlockRequest, responses={201: None, 409: None})
    @action(detail=True, methods=['post'], url_path='trust-unlock')
    def trust_unlock(self, request, pk):
        """Give access back for some days. What follows is the stage the contract has now."""
        from .serializers import HoldSerializer

        contract, body = self.acted_on(pk), self.body(UnlockRequest)
        with refusals():
            hold = give_trust_unlock(contract, body['reason'], request.user, timezone.now(), body.get('days'))
        return Response(HoldSerializer(hold, context={'request': request}).data, status=HTTP_201_CREATED)

    @extend_schema(request=ReviewRequest, responses=ExplainAnswer)
    @action(detail=True, methods=['post'])
    def review(self, request, pk):
        """Send the automatic decision to a person; until the review is ended there is no escalation."""
        contract = self.acted_on(pk)
        set_review(contract, self.body(ReviewRequest)['requested'], timezone.now())
        return Response(explanation_of(contract, timezone.now()))


class HoldActionsMixin(ActionsMixin):
    action_permissions = {'end': permission_on(Hold, 'change')}

    @extend_schema(request=ReasonRequest, responses={200: None, 409: None})
    @action(detail=True, methods=['post'])
    def end(self, request, pk):
        """End a hold before its time, such as an agreement that was broken; its contract is evaluated at once."""
        hold, body = self.acted_on(pk), self.body(ReasonRequest)
        with refusals():
            end_hold(hold, body['reason'], timezone.now())
        return Response(self.get_serializer(hold).data)


class PlanChangeActionsMixin(ActionsMixin):
    action_permissions = dict.fromkeys(('accept', 'decline'), permission_on(PlanChangeOrder, 'change'))

    @extend_schema(request=None, responses={200: None, 409: None})
    @action(detail=True, methods=['post'])
    def accept(self, request, pk):
        """The subscriber takes the smaller plan: the contract has it from now on."""
        return self._decide(pk, True)

    @extend_schema(request=None, responses={200: None, 409: None})
    @action(detail=True, methods=['post'])
    def decline(self, request, pk):
        """The subscriber does not: the contract keeps its plan."""
        return self._decide(pk, False)

    def _decide(self, pk, accepted):
        order = self.acted_on(pk)
        with refusals():
            decide_plan_change(order, accepted, timezone.now())
        return Response(self.get_serializer(order).data)


class PolicyActionsMixin(ActionsMixin):
    @extend_schema(responses=DayAnswer(many=True), parameters=[OpenApiParameter('until', date, required=True)])
    @action(detail=True, methods=['get'])
    def simulate(self, request, pk):
        """How many contracts would be throttled, blocked and restored on each day; nothing is written."""
        policy = self.get_object()
        try:
            until = date.fromisoformat(request.query_params.get('until', ''))
            days = simulate(policy, timezone.now(), until)
        except SimulationError as error:
            raise serializers.ValidationError({'until': str(error).removeprefix('until: ')}) from error
        except ValueError as error:
            raise serializers.ValidationError({'until': 'give a day, such as 2026-12-31'}) from error
        return Response([asdict(day) for day in days])
