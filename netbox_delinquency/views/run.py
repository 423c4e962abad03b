from django.utils.translation import gettext_lazy as _
from netbox.ui.panels import JSONPanel
from utilities.query import count_related
from utilities.views import register_model_view

from ..models import EnforcementChange, EnforcementRun
from ..ui import counts, panels
from ..ui.base import CountsPanel, page, table_of
from .base import DetailView, register_crud


def outcome_counts(context):
    return counts.rows_by_outcome(context['request'].user, context['object'])


@register_model_view(EnforcementRun)
class EnforcementRunView(DetailView):
    queryset = EnforcementRun.objects.all()
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
        right=(JSONPanel('before', title=_('Read before')), JSONPanel('after', title=_('Read after'))),
        comments=False,
    )


__all__ = (
    'EnforcementChangeView',
    'EnforcementRunView',
    *register_crud(
        __name__, EnforcementRun, EnforcementRun.objects.annotate(change_count=count_related(EnforcementChange, 'run'))
    ),
    *register_crud(__name__, EnforcementChange),
)
