"""What can be done with runs over REST: plan, approve, start, pause, resume, cancel; and the journal of a runbook.

A refusal that comes of the run's state is a 409 with the sentence; a body that cannot be read is a 400, never taken
for an empty one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict

from django.db.models import QuerySet
from django.shortcuts import get_object_or_404
from django.utils import timezone
from drf_spectacular.utils import OpenApiResponse, extend_schema
from netbox.api.authentication import TokenPermissions
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.exceptions import APIException, PermissionDenied
from rest_framework.response import Response
from rest_framework.status import HTTP_201_CREATED, HTTP_202_ACCEPTED, HTTP_409_CONFLICT

from nornir_tasks.breaker import Vitals
from nornir_tasks.change import ChangeResult, Outcome, Reading

from ..choices import RunStatusChoices
from ..errors import RunRefusedError
from ..filtersets import AccessLineFilterSet
from ..jobs.runs import enqueue_run, leave_run, resume_run
from ..models import AccessLine, EnforcementPoint, EnforcementRun
from ..runs import lifecycle
from ..runs.approval import approve_run
from ..runs.journal import DatabaseJournal
from ..runs.lifecycle import begin_run
from ..runs.plan import plan_runs, unplanned_lines
from ..runs.progress import progress
from .serializers import EnforcementRunSerializer

__all__ = ('RunActionsMixin',)

# The permission each action asks for: on the run it is about, or, for planning, on the lines.
PLAN, APPROVE, EXECUTE, CANCEL = (
    f'netbox_delinquency.{permission}'
    for permission in (
        'enforce_accessline', 'approve_enforcementrun', 'execute_enforcementrun', 'cancel_enforcementrun',
    )
)  # fmt: skip
ACTIONS = {
    'plan': PLAN,
    'approve': APPROVE,
    'start': EXECUTE,
    'begin': EXECUTE,
    'claim': EXECUTE,
    'sending': EXECUTE,
    'finished': EXECUTE,
    'unsent': EXECUTE,
    'vitals': EXECUTE,
    'finish': EXECUTE,
    'pause': EXECUTE,
    'resume': EXECUTE,
    'cancel': CANCEL,
}


class Refused(APIException):
    status_code = HTTP_409_CONFLICT


@contextmanager
def refusals() -> Iterator[None]:
    try:
        yield
    except RunRefusedError as error:
        raise Refused(str(error)) from error


class ReadingField(serializers.JSONField):
    """A `nornir_tasks.change.Reading` as its `as_dict` gives it."""

    def to_internal_value(self, data):
        try:
            return Reading.from_dict(super().to_internal_value(data))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise serializers.ValidationError(f'not a reading: {error}') from error


class PlanRequest(serializers.Serializer):
    """Lines are chosen by the filters of the line list; without any, all that drift are planned."""

    name = serializers.CharField(max_length=100, required=False, allow_blank=True, default='')
    filters = serializers.DictField(required=False, default=dict)


class ApproveRequest(serializers.Serializer):
    plan_hash = serializers.CharField(min_length=64, max_length=64, help_text='Of the plan that was looked at')


class ClaimRequest(serializers.Serializer):
    keys = serializers.ListField(child=serializers.CharField(), help_text='Without any, only whether to halt is asked')


class SendingRequest(serializers.Serializer):
    before = serializers.DictField(child=ReadingField(), allow_empty=False)


class ResultRequest(serializers.Serializer):
    key = serializers.CharField()
    outcome = serializers.ChoiceField(choices=[str(outcome) for outcome in Outcome])
    before = ReadingField(allow_null=True)
    after = ReadingField(allow_null=True)
    message = serializers.CharField(allow_blank=True)
    refused = serializers.BooleanField(default=False, help_text='The point said no')


class FinishedRequest(serializers.Serializer):
    results = ResultRequest(many=True, allow_empty=False)


class UnsentRequest(serializers.Serializer):
    keys = serializers.ListField(child=serializers.CharField(), allow_empty=False)


class VitalsRequest(serializers.Serializer):
    point = serializers.CharField(max_length=100)
    sessions = serializers.IntegerField(min_value=0, allow_null=True)
    latency_s = serializers.FloatField(min_value=0, allow_null=True)


class PauseRequest(serializers.Serializer):
    reason = serializers.CharField(max_length=400)


class BeginRequest(serializers.Serializer):
    resume = serializers.BooleanField(default=False, help_text='Go on with it even where it is paused')


class FinishRequest(serializers.Serializer):
    reason = serializers.CharField(
        max_length=400, default='rows are left open', help_text='Why rows are left open, where any are'
    )


class ClaimAnswer(serializers.Serializer):
    refused = serializers.DictField(child=serializers.CharField())
    busy = serializers.ListField(child=serializers.CharField())
    halt = serializers.CharField(allow_blank=True, help_text='Nothing was claimed: stop, and leave the rows open')


class WaveAnswer(serializers.Serializer):
    wave = serializers.IntegerField()
    rows = serializers.IntegerField()
    done = serializers.IntegerField()


class ProgressAnswer(serializers.Serializer):
    status = serializers.CharField()
    wave = serializers.IntegerField()
    waves = serializers.IntegerField()
    rows = serializers.IntegerField()
    done = serializers.IntegerField()
    outcomes = serializers.DictField(child=serializers.IntegerField())
    by_wave = WaveAnswer(many=True)
    rate_per_s = serializers.FloatField(allow_null=True)
    eta_s = serializers.IntegerField(allow_null=True)
    halt_reason = serializers.CharField(allow_blank=True)
    soak_seconds = serializers.IntegerField()


class SendingAnswer(serializers.Serializer):
    refused = serializers.DictField(child=serializers.CharField())


class ActionPermissions(TokenPermissions):
    """A POST to an action asks for that action's own permission instead of `add`; a token must still allow writing."""

    def __init__(self, permission: str) -> None:
        self.perms_map = {**TokenPermissions.perms_map, 'POST': [permission]}


def chosen_lines(request, filters: dict):
    """The lines that the user may enforce and these filters of the line list find. Raises `ValidationError`."""
    return chosen_by(request, filters, AccessLineFilterSet, AccessLine.objects.restrict(request.user, 'enforce'))


def chosen_by(request, filters: dict, filterset: type, allowed: QuerySet) -> QuerySet:
    """Those of `allowed` that these filters of their list find. Raises `ValidationError`."""
    chosen = filterset(filters, queryset=allowed, request=request)
    if unknown := set(filters) - set(chosen.filters):
        raise serializers.ValidationError({'filters': f'there are no such filters: {", ".join(sorted(unknown))}'})
    if not chosen.is_valid():
        raise serializers.ValidationError({'filters': chosen.errors})
    return chosen.qs


def document(request, answer=None, status: int = 200, **kwargs):
    """OpenAPI's part of an action."""
    return extend_schema(
        request=request,
        responses={status: answer, 409: OpenApiResponse(description='Refused: the sentence says why')},
        **kwargs,
    )


class RunActionsMixin:
    """Mixed into the viewset of runs."""

    def get_permissions(self):
        if self.action in ACTIONS:
            return [ActionPermissions(ACTIONS[self.action])]
        return super().get_permissions()

    def _run(self, pk) -> EnforcementRun:
        # The queryset of a POST is restricted to `add`: the run is taken from the plain manager and asked for itself.
        run = get_object_or_404(EnforcementRun, pk=pk)
        permission = ACTIONS[self.action]
        if not self.request.user.has_perm(permission, obj=run):
            raise PermissionDenied(f'You do not have the permission {permission} for this run.')
        return run

    def _executor(self) -> str:
        """Who works at a run: a user's runbook; where it names itself (`Runbook-Id`), no other one of theirs."""
        name = self.request.headers.get('Runbook-Id', '')
        if not re.fullmatch(r'[0-9A-Za-z-]{0,36}', name):
            raise serializers.ValidationError({'detail': 'Runbook-Id: at most 36 letters, digits and hyphens'})
        return f'runbook of {self.request.user.username}' + (f' ({name})' if name else '')

    def _journal(self, pk) -> DatabaseJournal:
        return DatabaseJournal(self._run(pk), self._executor())

    def _body(self, serializer_class) -> dict:
        serializer = serializer_class(data=self.request.data)
        serializer.is_valid(raise_exception=True)
        return serializer.validated_data

    def _answer(self, runs, status: int = 200, many: bool = False) -> Response:
        nested = not self.request.user.has_perm('netbox_delinquency.view_enforcementrun')
        context = {'request': self.request}
        serializer = EnforcementRunSerializer(runs, many=many, nested=nested, context=context)
        return Response(serializer.data, status=status)

    @document(PlanRequest, EnforcementRunSerializer(many=True), HTTP_201_CREATED)
    @action(detail=False, methods=['post'])
    def plan(self, request):
        """Plan to bring lines to their intended state: a run for what gives access back, one for what takes it."""
        body = self._body(PlanRequest)
        chosen = chosen_lines(request, body['filters'])
        lines = unplanned_lines().filter(pk__in=chosen.order_by().values('pk'))
        runs = plan_runs(lines, timezone.now(), author=request.user, name=body['name'])
        return self._answer(runs, HTTP_201_CREATED, many=True)

    @document(ApproveRequest, EnforcementRunSerializer)
    @action(detail=True, methods=['post'])
    def approve(self, request, pk):
        """Approve the rows that were looked at, by the hash over them."""
        run = self._run(pk)
        with refusals():
            approve_run(run, self._body(ApproveRequest)['plan_hash'], timezone.now(), approver=request.user)
        return self._answer(run)

    @document(None, EnforcementRunSerializer, HTTP_202_ACCEPTED)
    @action(detail=True, methods=['post'])
    def start(self, request, pk):
        """Queue an approved run for the workers."""
        run = self._run(pk)
        with refusals():
            enqueue_run(run, user=request.user)
        return self._answer(run, HTTP_202_ACCEPTED)

    @document(None, EnforcementRunSerializer)
    @action(detail=True, methods=['post'])
    def cancel(self, request, pk):
        """End a run: what was not sent is closed, what was sent is read back."""
        run = self._run(pk)
        with refusals():
            lifecycle.cancel_run(run, timezone.now())
        return self._answer(run)

    @document(BeginRequest, EnforcementRunSerializer)
    @action(detail=True, methods=['post'])
    def begin(self, request, pk):
        """Take an approved run in hand, from a runbook; or one that was paused, where that is asked for."""
        run, resume = self._run(pk), self._body(BeginRequest)['resume']
        with refusals():
            if resume and run.status == RunStatusChoices.PAUSED:
                run = lifecycle.resume_run(run, timezone.now(), self._executor())
            else:
                run = begin_run(run.pk, timezone.now(), self._executor())
        return self._answer(run)

    @document(ClaimRequest, ClaimAnswer)
    @action(detail=True, methods=['post'])
    def claim(self, request, pk):
        """Claim rows before they are read and sent."""
        with refusals():
            claim = self._journal(pk).claim_rows(self._body(ClaimRequest)['keys'])
        return Response({'refused': claim.refused, 'busy': sorted(claim.busy), 'halt': claim.halt})

    @document(SendingRequest, SendingAnswer)
    @action(detail=True, methods=['post'])
    def sending(self, request, pk):
        """Journal rows that are about to be sent, each with its reading before."""
        with refusals():
            refused = self._journal(pk).send_rows(self._body(SendingRequest)['before'])
        return Response({'refused': refused})

    @document(FinishedRequest, EnforcementRunSerializer)
    @action(detail=True, methods=['post'])
    def finished(self, request, pk):
        """Close rows with what came of them."""
        body = self._body(FinishedRequest)
        results = [ChangeResult(**{**row, 'outcome': Outcome(row['outcome'])}) for row in body['results']]
        journal = self._journal(pk)
        with refusals():
            journal.finished(results)
        return self._answer(journal.run)

    @document(UnsentRequest)
    @action(detail=True, methods=['post'])
    def unsent(self, request, pk):
        """Rows that were journaled as sent and were not: the work stopped before them."""
        with refusals():
            self._journal(pk).unsend_rows(self._body(UnsentRequest)['keys'])
        return Response({})

    @document(VitalsRequest)
    @action(detail=True, methods=['post'])
    def vitals(self, request, pk):
        """How a point is: before its first row, and after each batch."""
        body = self._body(VitalsRequest)
        get_object_or_404(EnforcementPoint, name=body['point'])
        with refusals():
            self._journal(pk).vitals(body['point'], Vitals(body['sessions'], body['latency_s']))
        return Response({})

    @document(PauseRequest, EnforcementRunSerializer)
    @action(detail=True, methods=['post'])
    def pause(self, request, pk):
        """Send nothing more until somebody resumes it."""
        run = self._run(pk)
        with refusals():
            lifecycle.pause_run(run, self._body(PauseRequest)['reason'], timezone.now())
        return self._answer(self._run(pk))

    @document(None, EnforcementRunSerializer)
    @action(detail=True, methods=['post'])
    def resume(self, request, pk):
        """Go on with a paused run, by the workers."""
        with refusals():
            run = resume_run(self._run(pk), timezone.now())
        return self._answer(run)

    @document(None, ProgressAnswer)
    @action(detail=True, methods=['get'])
    def progress(self, request, pk):
        """How far a run is."""
        return Response(asdict(progress(self.get_object(), timezone.now())))

    @document(FinishRequest, EnforcementRunSerializer)
    @action(detail=True, methods=['post'])
    def finish(self, request, pk):
        """End a run whose rows are all closed; one with rows left open is paused until somebody resumes it.

        Of one that gives access back they are queued for the workers.
        """
        run = self._run(pk)
        if run.executor != self._executor():
            raise Refused(run.being_worked_on)
        return self._answer(leave_run(run, self._body(FinishRequest)['reason'], timezone.now()))
