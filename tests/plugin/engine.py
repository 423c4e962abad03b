"""A run from its start to its end in this thread, as jobs would take it there; soaking takes no time."""

from django.utils import timezone

from netbox_delinquency.choices import RunStatusChoices
from netbox_delinquency.models import EnforcementRun
from netbox_delinquency.runs.lifecycle import Orders, begin_run, conduct, waiting_points
from netbox_delinquency.runs.worker import work_point


def execute_run(pk):
    """Begin a run, or go on with one under way; returns it once nothing is left to do."""
    run = EnforcementRun.objects.get(pk=pk)
    if run.status == RunStatusChoices.RUNNING and not run.executor:
        orders = conduct(pk, timezone.now(), watched=True)
        orders = Orders((*orders.points, *waiting_points(run)), orders.look_at)
    else:
        begin_run(pk, timezone.now())
        orders = conduct(pk, timezone.now())
    while orders.points or orders.look_at:
        for point in orders.points:
            work_point(pk, point)
        orders = conduct(pk, orders.look_at or timezone.now(), watched=True)
    return EnforcementRun.objects.get(pk=pk)
