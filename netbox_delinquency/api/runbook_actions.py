"""The journal of a runbook over REST: it takes a run in hand, claims rows, says what it sends, and lets go."""

from __future__ import annotations

import logging
import re

from django.shortcuts import get_object_or_404
from django.utils import timezone
from redis.exceptions import RedisError
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.response import Response

from nornir_tasks.change import ChangeResult, Outcome
from nornir_tasks.engine.breaker import Health

from ..choices import RunStatusChoices
from ..jobs.points import enqueue_reconcile_of
from ..jobs.runs import release_run
from ..models import AccessLine, EnforcementPoint, EnforcementRun
from ..runs import lifecycle
from ..runs.journal import DatabaseJournal
from ..runs.lifecycle import begin_run
from .actions import Refused, document, permission_on, refusals
from .run_actions import RunAnswerMixin
from .run_schemas import (
    BeginRequest,
    ClaimAnswer,
    ClaimRequest,
    FinishedRequest,
    FinishRequest,
    HealthRequest,
    SendingAnswer,
    SendingRequest,
    UnsentRequest,
)
from .serializers import EnforcementRunSerializer

__all__ = ('RunbookActionsMixin',)

logger = logging.getLogger(__name__)


class RunbookActionsMixin(RunAnswerMixin):
    """Mixed into the viewset of runs."""

    action_permissions = dict.fromkeys(
        ('begin', 'claim', 'sending', 'finished', 'unsent', 'health', 'finish'),
        permission_on(EnforcementRun, 'execute'),
    )

    def _executor(self) -> str:
        """Who works at a run: a user's runbook; where it names itself (`Runbook-Id`), no other one of theirs."""
        name = self.request.headers.get('Runbook-Id', '')
        if not re.fullmatch(r'[0-9A-Za-z-]{0,36}', name):
            raise serializers.ValidationError({'detail': 'Runbook-Id: at most 36 letters, digits and hyphens'})
        return f'runbook of {self.request.user.username}' + (f' ({name})' if name else '')

    def _journal(self, pk) -> DatabaseJournal:
        return DatabaseJournal(self.acted_on(pk), self._executor())

    @document(BeginRequest, EnforcementRunSerializer)
    @action(detail=True, methods=['post'])
    def begin(self, request, pk):
        """Take an approved run in hand, from a runbook; or one that was paused, where that is asked for."""
        run, resume = self.acted_on(pk), self.body(BeginRequest)['resume']
        with refusals():
            if resume and run.status == RunStatusChoices.PAUSED:
                run = lifecycle.resume_run(run, timezone.now(), self._executor())
            else:
                run = begin_run(run.pk, timezone.now(), self._executor())
        return self.answer(run)

    @document(ClaimRequest, ClaimAnswer)
    @action(detail=True, methods=['post'])
    def claim(self, request, pk):
        """Claim rows before they are read and sent."""
        with refusals():
            claim = self._journal(pk).claim_rows(self.body(ClaimRequest)['keys'])
        return Response({'refused': claim.refused, 'busy': sorted(claim.busy), 'stop_reason': claim.stop_reason})

    @document(SendingRequest, SendingAnswer)
    @action(detail=True, methods=['post'])
    def sending(self, request, pk):
        """Journal rows that are about to be sent, each with its reading before."""
        with refusals():
            refused = self._journal(pk).send_rows(self.body(SendingRequest)['before'])
        return Response({'refused': refused})

    @document(FinishedRequest, EnforcementRunSerializer)
    @action(detail=True, methods=['post'])
    def finished(self, request, pk):
        """Close rows with what came of them."""
        journal = self._journal(pk)
        rows = self.body(FinishedRequest)['results']
        results = [ChangeResult(**{**row, 'outcome': Outcome(row['outcome'])}) for row in rows]
        with refusals():
            journal.finished(results)
        self._read_back([row['key'] for row in rows])
        return self.answer(journal.run)

    def _read_back(self, keys: list[str]) -> None:
        """Have workers read what the runbook says it did. Where they cannot be asked now, the hourly round does."""
        try:
            enqueue_reconcile_of(AccessLine.objects.filter(changes__in=[int(key) for key in keys]), self.request.user)
        except RedisError:
            logger.exception('run rows %s: not queued to be read back', ', '.join(keys))

    @document(UnsentRequest)
    @action(detail=True, methods=['post'])
    def unsent(self, request, pk):
        """Rows that were journaled as sent and were not: the work stopped before them."""
        with refusals():
            self._journal(pk).unsend_rows(self.body(UnsentRequest)['keys'])
        return Response({})

    @document(HealthRequest)
    @action(detail=True, methods=['post'])
    def health(self, request, pk):
        """How a point is: before its first row, and after each batch."""
        journal, body = self._journal(pk), self.body(HealthRequest)
        get_object_or_404(EnforcementPoint, name=body['point'])
        with refusals():
            journal.health(body['point'], Health(body['sessions'], body['latency_s']))
        return Response({})

    @document(FinishRequest, EnforcementRunSerializer)
    @action(detail=True, methods=['post'])
    def finish(self, request, pk):
        """End a run whose rows are all closed; one with rows left open is paused until somebody resumes it.

        Of one that gives access back they are queued for the workers.
        """
        run = self.acted_on(pk)
        if run.executor != self._executor():
            raise Refused(run.being_worked_on)
        return self.answer(release_run(run, self.body(FinishRequest)['reason'], timezone.now()))
