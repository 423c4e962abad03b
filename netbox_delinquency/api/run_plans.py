"""The preview of a plan before it is approved, and the plan of the way back, over REST."""

from __future__ import annotations

from django.shortcuts import get_object_or_404
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.response import Response
from rest_framework.status import HTTP_201_CREATED

from ..models import AccessLine, EnforcementRun
from ..runs.preview import preview_run
from ..runs.revert import plan_revert
from .actions import PLAN, document, refusals
from .run_actions import RunAnswerMixin
from .serializers import EnforcementRunSerializer

__all__ = ('RunPlansMixin',)


class RevertRequest(serializers.Serializer):
    rows = serializers.ListField(
        child=serializers.IntegerField(),
        required=False,
        allow_empty=False,
        help_text='Without them: all that were sent',
    )


class LeftOutAnswer(serializers.Serializer):
    row = serializers.IntegerField()
    line = serializers.CharField()
    reason = serializers.CharField(source='sentence')
    code = serializers.CharField(help_text='The reason for programs; empty where it has none')


class RevertAnswer(serializers.Serializer):
    runs = EnforcementRunSerializer(many=True)
    left_out = LeftOutAnswer(many=True)


class PointPartAnswer(serializers.Serializer):
    pk = serializers.IntegerField(allow_null=True, help_text='null: a point that the user may not see')
    name = serializers.CharField()
    status = serializers.CharField()
    throttle = serializers.IntegerField()
    block = serializers.IntegerField()
    restore = serializers.IntegerField()
    values = serializers.IntegerField()
    rows = serializers.IntegerField()
    lines = serializers.IntegerField(help_text='Active lines of the point')
    share = serializers.FloatField(help_text="Percent of the point's active lines")
    max_share_percent = serializers.IntegerField()
    exceeds_share = serializers.BooleanField()
    sessions = serializers.IntegerField(allow_null=True, help_text='As last known; null: nobody knows')
    session_share = serializers.FloatField(allow_null=True)
    max_rows_per_hour = serializers.IntegerField(allow_null=True)


class WarnedAnswer(serializers.Serializer):
    kind = serializers.CharField()
    rows = serializers.IntegerField()
    text = serializers.CharField()


class PreviewAnswer(serializers.Serializer):
    rows = serializers.IntegerField()
    throttle = serializers.IntegerField()
    block = serializers.IntegerField()
    restore = serializers.IntegerField()
    values = serializers.IntegerField()
    points = PointPartAnswer(many=True)
    waves = serializers.DictField(child=serializers.IntegerField(), help_text='Rows by number of the wave')
    max_rows_per_run = serializers.IntegerField(allow_null=True)
    max_rows_per_hour = serializers.IntegerField(allow_null=True)
    sent_last_hour = serializers.IntegerField()
    hours = serializers.IntegerField(help_text='That it takes at least by the hourly caps; 0: they hold nothing back')
    refusals = serializers.ListField(child=serializers.CharField(), help_text='Why it cannot be approved now')
    warnings = WarnedAnswer(many=True)


class RunPlansMixin(RunAnswerMixin):
    """Mixed into the viewset of runs."""

    action_permissions = {'revert': PLAN}

    @extend_schema(responses=PreviewAnswer)
    @action(detail=True, methods=['get'])
    def preview(self, request, pk):
        """What the run would do: by point and wave, against the caps, and what one should know of it."""
        return Response(PreviewAnswer(preview_run(self.get_object(), timezone.now(), request.user)).data)

    @document(RevertRequest, RevertAnswer, HTTP_201_CREATED)
    @action(detail=True, methods=['post'])
    def revert(self, request, pk):
        """Plan to put lines back as they were before this run: what gives access back apart from what takes it."""
        run = get_object_or_404(EnforcementRun.objects.restrict(request.user, 'view'), pk=pk)
        lines = AccessLine.objects.restrict(request.user, 'enforce')
        rows = self.body(RevertRequest).get('rows')
        with refusals():
            planned = plan_revert(run, timezone.now(), rows, author=request.user, lines=lines)
        answer = {
            'runs': self.answer(planned.runs, many=True).data,
            'left_out': LeftOutAnswer(planned.left_out, many=True).data,
        }
        return Response(answer, status=HTTP_201_CREATED)
