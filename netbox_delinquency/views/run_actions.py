"""What the buttons on lines and runs do. Refusals come back as a message with the reason; nothing is changed then."""

from django.contrib import messages
from django.shortcuts import get_object_or_404, redirect
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views import View
from netbox.views.generic.base import BaseObjectView
from utilities.permissions import get_permission_for_model
from utilities.views import GetReturnURLMixin, ObjectPermissionRequiredMixin, register_model_view

from ..enforcement.errors import RunRefusedError
from ..enforcement.plan import approve_run, cancel_run, plan_runs, unplanned_lines
from ..filtersets import AccessLineFilterSet
from ..jobs import enqueue_run
from ..models import AccessLine, EnforcementRun

__all__ = ('LinePlanView', 'RunApproveView', 'RunCancelView', 'RunStartView')


@register_model_view(AccessLine, 'bulk_plan', path='plan', detail=False)
class LinePlanView(GetReturnURLMixin, ObjectPermissionRequiredMixin, View):
    """Plan the lines that were selected in the list, or (`_all`) all that its filters show."""

    queryset = AccessLine.objects.all()

    def get_required_permission(self):
        return get_permission_for_model(AccessLine, 'enforce')

    def post(self, request):
        if request.POST.get('_all'):
            chosen = AccessLineFilterSet(request.GET, self.queryset, request=request).qs
        else:
            chosen = self.queryset.filter(pk__in=[pk for pk in request.POST.getlist('pk') if pk.isdecimal()])
        lines = unplanned_lines().filter(pk__in=chosen.order_by().values('pk'))
        runs = plan_runs(lines, timezone.now(), author=request.user)
        if not runs:
            messages.info(request, _('Nothing to plan: the selected lines are as intended, or planned already.'))
            return redirect(self.get_return_url(request))
        for run in runs:
            messages.success(request, _('Planned: {run}, {count} lines.').format(run=run, count=run.changes.count()))
        return redirect(runs[-1].get_absolute_url())


class RunActionView(BaseObjectView):
    """A POST on one run that ends on its page. `act(request, run)` does it and says so, or raises `RunRefusedError`."""

    queryset = EnforcementRun.objects.all()
    permission = ''

    def get_required_permission(self):
        return get_permission_for_model(EnforcementRun, self.permission)

    def get(self, request, pk):
        return redirect(get_object_or_404(self.queryset, pk=pk).get_absolute_url())

    def post(self, request, pk):
        run = get_object_or_404(self.queryset, pk=pk)
        try:
            messages.success(request, self.act(request, run))
        except RunRefusedError as error:
            messages.error(request, str(error))
        return redirect(run.get_absolute_url())


@register_model_view(EnforcementRun, 'approve')
class RunApproveView(RunActionView):
    permission = 'approve'

    def act(self, request, run):
        # The hash that the page showed: rows that were changed since are not what was approved.
        approve_run(run, request.POST.get('plan_hash', ''), timezone.now(), approver=request.user)
        return _('Approved: {run}.').format(run=run)


@register_model_view(EnforcementRun, 'start')
class RunStartView(RunActionView):
    permission = 'execute'

    def act(self, request, run):
        job = enqueue_run(run, user=request.user)
        return _('Queued as job {job}: {run}.').format(job=job.pk, run=run)


@register_model_view(EnforcementRun, 'cancel')
class RunCancelView(RunActionView):
    permission = 'cancel'

    def act(self, request, run):
        cancel_run(run, timezone.now())
        return _('Cancelled: {run}.').format(run=run)
