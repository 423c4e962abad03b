"""What the buttons on lines and runs do. Refusals come back as a message with the reason; nothing is changed then."""

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.shortcuts import get_object_or_404, redirect
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from netbox.views.generic.base import BaseObjectView
from utilities.permissions import get_permission_for_model
from utilities.views import register_model_view

from ..errors import RunRefusedError
from ..filtersets import AccessLineFilterSet, EnforcementChangeFilterSet
from ..jobs.points import enqueue_reconcile_of
from ..jobs.runs import enqueue_run, resume_run
from ..models import AccessLine, EnforcementChange, EnforcementRun
from ..runs.approval import approve_run
from ..runs.lifecycle import cancel_run, pause_run
from ..runs.plan import plan_runs, unplanned_lines
from ..runs.revert import plan_revert, unpin
from .base import SelectionView

__all__ = (
    'LinePlanView',
    'LineReconcileView',
    'LineUnpinView',
    'RowsRevertView',
    'RunApproveView',
    'RunCancelView',
    'RunPauseView',
    'RunResumeView',
    'RunRevertView',
    'RunStartView',
)

LEFT_OUT_SHOWN = 10  # of the rows that a revert leaves out; REST names all


@register_model_view(AccessLine, 'bulk_reconcile', path='reconcile', detail=False)
class LineReconcileView(SelectionView):
    queryset = AccessLine.objects.all()
    filterset = AccessLineFilterSet

    def post(self, request):
        jobs = enqueue_reconcile_of(self.chosen(request), user=request.user)
        text = ngettext(
            'Reading back is queued for {count} point: what it finds is in the data of its job.',
            'Reading back is queued for {count} points: what it finds is in the data of their jobs.',
            len(jobs),
        )
        messages.success(request, text.format(count=len(jobs)))
        return redirect(jobs[0].get_absolute_url() if len(jobs) == 1 else self.get_return_url(request))


@register_model_view(AccessLine, 'bulk_unpin', path='unpin', detail=False)
class LineUnpinView(SelectionView):
    queryset = AccessLine.objects.all()
    filterset = AccessLineFilterSet

    def post(self, request):
        count = unpin(self.chosen(request))
        text = ngettext(
            '{count} line is unpinned: policy takes hold of it again.',
            '{count} lines are unpinned: policy takes hold of them again.',
            count,
        )
        messages.success(request, text.format(count=count))
        return redirect(self.get_return_url(request))


@register_model_view(EnforcementChange, 'bulk_revert', path='revert', detail=False)
class RowsRevertView(SelectionView):
    """The rows are seen by who may see them; their lines are changed by who may change those."""

    queryset = EnforcementChange.objects.all()
    filterset = EnforcementChangeFilterSet
    permission = 'view'

    def post(self, request):
        runs: dict[int, list[int]] = {}
        for run, row in self.chosen(request).order_by('run', 'pk').values_list('run', 'pk'):
            runs.setdefault(run, []).append(row)
        shown = self.get_return_url(request)
        for run in EnforcementRun.objects.filter(pk__in=list(runs)):
            shown = revert_and_tell(request, run, runs[run.pk]) or shown
        return redirect(shown)


@register_model_view(AccessLine, 'bulk_plan', path='plan', detail=False)
class LinePlanView(SelectionView):
    queryset = AccessLine.objects.all()
    filterset = AccessLineFilterSet

    def post(self, request):
        lines = unplanned_lines().filter(pk__in=self.chosen(request).order_by().values('pk'))
        runs = plan_runs(lines, timezone.now(), author=request.user)
        if not runs:
            messages.info(request, _('Nothing to plan: the selected lines are as intended, or planned already.'))
            return redirect(self.get_return_url(request))
        for run in runs:
            messages.success(request, _('Planned: {run}, {count} lines.').format(run=run, count=run.changes.count()))
        return redirect(runs[-1].get_absolute_url())


def revert_and_tell(request, run, rows=None) -> str:
    """Plan a revert and say what came of it; the page of the plan, or nothing where nothing was planned."""
    lines = AccessLine.objects.restrict(request.user, 'enforce')
    if not request.user.has_perm(get_permission_for_model(AccessLine, 'enforce')):
        raise PermissionDenied
    try:
        planned = plan_revert(run, timezone.now(), rows, author=request.user, lines=lines)
    except RunRefusedError as error:
        messages.error(request, str(error))
        return ''
    for new in planned.runs:
        messages.success(request, _('Planned: {run}, {count} lines.').format(run=new, count=new.changes.count()))
    shown = planned.left_out[:LEFT_OUT_SHOWN]
    for left in shown:
        messages.warning(request, _('Left out: {line}: {reason}.').format(line=left.line, reason=left.sentence))
    if more := len(planned.left_out) - len(shown):
        messages.warning(request, _('{count} more rows are left out.').format(count=more))
    return planned.runs[0].get_absolute_url() if planned.runs else ''


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


@register_model_view(EnforcementRun, 'pause')
class RunPauseView(RunActionView):
    permission = 'execute'

    def act(self, request, run):
        reason = request.POST.get('reason', '').strip() or str(_('by hand'))
        pause_run(run, f'{request.user}: {reason}', timezone.now())
        return _('Paused: {run}.').format(run=run)


@register_model_view(EnforcementRun, 'resume')
class RunResumeView(RunActionView):
    permission = 'execute'

    def act(self, request, run):
        resume_run(run, timezone.now())
        return _('Resumed: {run}.').format(run=run)


@register_model_view(EnforcementRun, 'revert')
class RunRevertView(RunActionView):
    """One click: the plan that puts back what this run did, to be reviewed and approved."""

    permission = 'view'

    def post(self, request, pk):
        run = get_object_or_404(self.queryset, pk=pk)
        return redirect(revert_and_tell(request, run) or run.get_absolute_url())
