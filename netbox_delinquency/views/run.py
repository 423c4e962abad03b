from django.shortcuts import render
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from netbox.object_actions import DeleteObject, EditObject
from netbox.ui.panels import JSONPanel
from netbox.views import generic
from netbox.views.generic.base import BaseObjectView
from utilities.permissions import get_permission_for_model
from utilities.query import count_related
from utilities.views import register_model_view

from ..models import EnforcementChange, EnforcementRun
from ..object_actions import ApproveRun, CancelRun, PauseRun, ResumeRun, RevertRows, RevertRun, StartRun
from ..ui import counts, panels
from ..ui.base import CountsPanel, page, table_of
from ..ui.progress import is_live, run_view
from .base import DetailView, ListView, register_crud


def outcome_counts(context):
    return counts.rows_by_outcome(context['request'].user, context['object'])


@register_model_view(EnforcementRun)
class EnforcementRunView(DetailView):
    queryset = EnforcementRun.objects.all()
    actions = (ApproveRun, StartRun, PauseRun, ResumeRun, CancelRun, RevertRun, EditObject, DeleteObject)
    layout = page(
        panels.RunPanel(),
        top=(panels.ProgressPanel(), panels.PreviewPanel()),
        right=(panels.RunApprovalPanel(), CountsPanel(outcome_counts, title=_('Rows by outcome'))),
        bottom=(table_of('enforcementchange', 'run_id', add='run', exclude=('run',)),),
    )


@register_model_view(EnforcementRun, 'progress')
class RunProgressView(BaseObjectView):
    """The progress panel alone, asked for every two seconds; where the status is another, the page is loaded anew."""

    queryset = EnforcementRun.objects.all()

    def get_required_permission(self):
        return get_permission_for_model(EnforcementRun, 'view')

    def get(self, request, pk):
        run = self.get_object(pk=pk)
        context = {'run': run, 'view': run_view(run, timezone.now(), request.user), 'live': is_live(run)}
        response = render(request, 'netbox_delinquency/inc/progress.html', context)
        if request.GET.get('status', run.status) != run.status:
            response['HX-Refresh'] = 'true'
        return response


class ChangeListView(ListView):
    actions = (*ListView.actions, RevertRows)


class ValuesPanel(JSONPanel):
    """What a row of a profile run sets; other rows have a desired state."""

    def should_render(self, context):
        return context['object'].values is not None


@register_model_view(EnforcementChange)
class EnforcementChangeView(DetailView):
    queryset = EnforcementChange.objects.all()
    layout = page(
        panels.ChangePanel(),
        panels.ChangeResultPanel(),
        under=('run',),
        right=(
            ValuesPanel('values', title=_('Parameters')),
            JSONPanel('before', title=_('Read before')),
            JSONPanel('after', title=_('Read after')),
        ),
        comments=False,
    )


class RunEditView(generic.ObjectEditView):
    def alter_object(self, obj, request, url_args, url_kwargs):
        if not obj.pk:
            obj.author = request.user
        return obj


class RunBulkImportView(generic.BulkImportView):
    def save_object(self, object_form, request):
        if not object_form.instance.pk:
            object_form.instance.author = request.user
        return super().save_object(object_form, request)


__all__ = (
    'EnforcementChangeView',
    'EnforcementRunView',
    'RunProgressView',
    *register_crud(
        __name__,
        EnforcementRun,
        EnforcementRun.objects.annotate(change_count=count_related(EnforcementChange, 'run')),
        bases={'Edit': RunEditView, 'BulkImport': RunBulkImportView},
    ),
    *register_crud(__name__, EnforcementChange, bases={'List': ChangeListView}),
)
