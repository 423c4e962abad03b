"""Bodies of requests about runs, and of the answers that are no object of NetBox."""

from __future__ import annotations

from rest_framework import serializers

from nornir_tasks.change import Outcome, Reading


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
    plan_hash = serializers.CharField(min_length=64, max_length=64, help_text='Of the plan that was reviewed')


class ClaimRequest(serializers.Serializer):
    keys = serializers.ListField(child=serializers.CharField(), help_text='Without any, only whether to stop is asked')


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


class HealthRequest(serializers.Serializer):
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
    stop_reason = serializers.CharField(
        allow_blank=True, help_text='Nothing was claimed: stop, and leave the rows open'
    )


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
    stop_reason = serializers.CharField(allow_blank=True)
    stop_code = serializers.CharField(allow_blank=True)
    soak_seconds = serializers.IntegerField()


class SendingAnswer(serializers.Serializer):
    refused = serializers.DictField(child=serializers.CharField())
