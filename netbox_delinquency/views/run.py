from django.utils.translation import gettext_lazy as _
from netbox.object_actions import DeleteObject, EditObject
from netbox.ui.panels import JSONPanel
from netbox.views import generic
from utilities.query import count_related
from utilities.views import register_model_view

from ..models import EnforcementChange, EnforcementRun
from ..object_actions import ApproveRun, CancelRun, StartRun
from ..ui import counts, panels
from ..ui.base import CountsPanel, page, table_of
from .base import DetailView, register_crud


def outcome_counts(context):
    return counts.rows_by_outcome(context['request'].user, context['object'])


@register_model_view(EnforcementRun)
class EnforcementRunView(DetailView):
    queryset = EnforcementRun.objects.all()
    actions = (ApproveRun, StartRun, CancelRun, EditObject, DeleteObject)
    layout = page(
        panels.RunPanel(),
        right=(panels.RunApprovalPanel(), CountsPanel(outcome_counts, title=_('Rows by outcome'))),
        bottom=(table_of('enforcementchange', 'run_id', add='run', exclude=('run',)),),
    )


@register_model_view(EnforcementChange)
class EnforcementChangeView(DetailView):
    queryset = EnforcementChange.objects.all()
    layout = page(
        panels.ChangePanel(),
        panels.ChangeResultPanel(),
        under=('run',),
        right=(JSONPanel('before', title=_('Read before')), JSONPanel('after', title=_('Read after'))),
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
    *register_crud(
        __name__,
        EnforcementRun,
        EnforcementRun.objects.annotate(change_count=count_related(EnforcementChange, 'run')),
        bases={'Edit': RunEditView, 'BulkImport': RunBulkImportView},
    ),
    *register_crud(__name__, EnforcementChange),
)
