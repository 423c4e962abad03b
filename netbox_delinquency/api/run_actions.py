"""What can be done with runs over REST: plan, approve, start, pause, resume, cancel."""

from __future__ import annotations

from dataclasses import asdict

from django.utils import timezone
from rest_framework.decorators import action
from rest_framework.response import Response
from rest_framework.status import HTTP_201_CREATED, HTTP_202_ACCEPTED

from ..jobs.runs import enqueue_run, resume_run
from ..models import EnforcementRun
from ..runs import lifecycle
from ..runs.approval import approve_run
from ..runs.plan import plan_runs, unplanned_lines
from ..runs.progress import progress
from .actions import PLAN, ActionsMixin, chosen_lines, document, permission_on, refusals
from .run_schemas import ApproveRequest, PauseRequest, PlanRequest, ProgressAnswer
from .serializers import EnforcementRunSerializer

__all__ = ('RunActionsMixin', 'RunAnswerMixin')


class RunAnswerMixin(ActionsMixin):
    """An action that answers runs."""

    def answer(self, runs, status: int = 200, many: bool = False) -> Response:
        """These runs, as a user sees them who may not see runs but may do this."""
        nested = not self.request.user.has_perm('netbox_delinquency.view_enforcementrun')
        context = {'request': self.request}
        serializer = EnforcementRunSerializer(runs, many=many, nested=nested, context=context)
        return Response(serializer.data, status=status)


class RunActionsMixin(RunAnswerMixin):
    """Mixed into the viewset of runs."""

    action_permissions = {
        'plan': PLAN,
        'approve': permission_on(EnforcementRun, 'approve'),
        'start': permission_on(EnforcementRun, 'execute'),
        'pause': permission_on(EnforcementRun, 'execute'),
        'resume': permission_on(EnforcementRun, 'execute'),
        'cancel': permission_on(EnforcementRun, 'cancel'),
    }

    @document(PlanRequest, EnforcementRunSerializer(many=True), HTTP_201_CREATED)
    @action(detail=False, methods=['post'])
    def plan(self, request):
        """Plan to bring lines to their intended state: a run for what gives access back, one for what takes it."""
        body = self.body(PlanRequest)
        chosen = chosen_lines(request, body['filters'])
        lines = unplanned_lines().filter(pk__in=chosen.order_by().values('pk'))
        runs = plan_runs(lines, timezone.now(), author=request.user, name=body['name'])
        return self.answer(runs, HTTP_201_CREATED, many=True)

    @document(ApproveRequest, EnforcementRunSerializer)
    @action(detail=True, methods=['post'])
    def approve(self, request, pk):
        """Approve the rows that were reviewed, by the hash over them."""
        run = self.acted_on(pk)
        with refusals():
            approve_run(run, self.body(ApproveRequest)['plan_hash'], timezone.now(), approver=request.user)
        return self.answer(run)

    @document(None, EnforcementRunSerializer, HTTP_202_ACCEPTED)
    @action(detail=True, methods=['post'])
    def start(self, request, pk):
        """Queue an approved run for the workers."""
        run = self.acted_on(pk)
        with refusals():
            enqueue_run(run, user=request.user)
        return self.answer(run, HTTP_202_ACCEPTED)

    @document(None, EnforcementRunSerializer)
    @action(detail=True, methods=['post'])
    def cancel(self, request, pk):
        """End a run: what was not sent is closed, what was sent is read back."""
        run = self.acted_on(pk)
        with refusals():
            lifecycle.cancel_run(run, timezone.now())
        return self.answer(run)

    @document(PauseRequest, EnforcementRunSerializer)
    @action(detail=True, methods=['post'])
    def pause(self, request, pk):
        """Send nothing more until somebody resumes it."""
        run = self.acted_on(pk)
        with refusals():
            lifecycle.pause_run(run, self.body(PauseRequest)['reason'], timezone.now())
        return self.answer(self.acted_on(pk))

    @document(None, EnforcementRunSerializer)
    @action(detail=True, methods=['post'])
    def resume(self, request, pk):
        """Resume a paused run, by the workers."""
        with refusals():
            run = resume_run(self.acted_on(pk), timezone.now())
        return self.answer(run)

    @document(None, ProgressAnswer)
    @action(detail=True, methods=['get'])
    def progress(self, request, pk):
        """How far a run is."""
        return Response(asdict(progress(self.get_object(), timezone.now())))
