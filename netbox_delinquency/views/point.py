from django.contrib import messages
from django.shortcuts import redirect
from django.utils.translation import gettext_lazy as _
from netbox.ui.panels import JSONPanel
from netbox.views.generic.base import BaseObjectView
from utilities.query import count_related
from utilities.views import register_model_view

from .. import object_actions
from ..jobs.points import CheckPoint, enqueue_check, enqueue_reconcile
from ..models import AccessLine, EnforcementPoint
from ..ui import counts, panels
from ..ui.base import CountsPanel, page, table_of
from .base import DetailView, named_devices, register_crud


def line_counts(context):
    user, points = context['request'].user, [context['object']]
    by_state = counts.lines_by_intended_state(user, points)
    return [*by_state, counts.drifting(user, points)] if by_state else []


@register_model_view(EnforcementPoint, 'reconcile')
class EnforcementPointReconcileView(BaseObjectView):
    """Have all lines of this point read back, and show the job."""

    queryset = EnforcementPoint.objects.all()
    http_method_names = ('post',)

    def get_required_permission(self):
        return 'netbox_delinquency.reconcile_enforcementpoint'

    def post(self, request, pk):
        point = self.get_object(pk=pk)
        job = enqueue_reconcile(point, user=request.user)
        text = _('Reading the lines of {point} back is queued: what it finds is in the data of this job.')
        messages.success(request, text.format(point=point))
        return redirect(job.get_absolute_url())


@register_model_view(EnforcementPoint, 'check')
class EnforcementPointCheckView(BaseObjectView):
    """Queue a check of this point, and show its job."""

    queryset = EnforcementPoint.objects.all()
    http_method_names = ('post',)

    def get_required_permission(self):
        return 'netbox_delinquency.check_enforcementpoint'

    def post(self, request, pk):
        point = self.get_object(pk=pk)
        job = enqueue_check(point, user=request.user)
        messages.success(
            request, _('The check of {point} is queued: what it finds is shown at the point.').format(point=point)
        )
        return redirect(job.get_absolute_url())


@register_model_view(EnforcementPoint)
class EnforcementPointView(DetailView):
    queryset = EnforcementPoint.objects.all()
    actions = (object_actions.CheckPoint, object_actions.MatchCpes, object_actions.ReconcilePoint, *DetailView.actions)
    layout = page(
        panels.PointPanel(),
        panels.PointConnectionPanel(),
        right=(
            CountsPanel(line_counts, title=_('Active lines')),
            panels.DriftPanel(),
            JSONPanel('parameters', title=_('Parameters')),
        ),
        bottom=(
            panels.LastCheckPanel(CheckPoint.name, title=_('Last check')),
            table_of('accessline', 'point_id', add='bras'),
            table_of('enforcementchange', 'point_id', exclude=('point',)),
        ),
    )


__all__ = (
    'EnforcementPointCheckView',
    'EnforcementPointReconcileView',
    'EnforcementPointView',
    *register_crud(
        __name__,
        EnforcementPoint,
        EnforcementPoint.objects.select_related(*named_devices('device')).annotate(
            bras_line_count=count_related(AccessLine, 'bras'), acs_line_count=count_related(AccessLine, 'acs')
        ),
    ),
)
