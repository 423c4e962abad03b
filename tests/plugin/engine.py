"""A run from its start to its end in this thread, as jobs would take it there; soaking takes no time."""

from django.utils import timezone

from netbox_delinquency.choices import RunStatusChoices
from netbox_delinquency.models import EnforcementRun
from netbox_delinquency.runs.lifecycle import NextSteps, advance_run, begin_run, waiting_points
from netbox_delinquency.runs.worker import process_point


def execute_run(pk):
    """Begin a run, or go on with one under way; returns it once nothing is left to do."""
    run = EnforcementRun.objects.get(pk=pk)
    if run.status == RunStatusChoices.RUNNING and not run.executor:
        steps = advance_run(pk, timezone.now(), probed=True)
        steps = NextSteps((*steps.points, *waiting_points(run)), steps.again_at)
    else:
        begin_run(pk, timezone.now())
        steps = advance_run(pk, timezone.now())
    while steps.points or steps.again_at:
        for point in steps.points:
            process_point(pk, point)
        steps = advance_run(pk, steps.again_at or timezone.now(), probed=True)
    return EnforcementRun.objects.get(pk=pk)
