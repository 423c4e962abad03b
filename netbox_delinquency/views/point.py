from django.utils.translation import gettext_lazy as _
from netbox.ui.panels import JSONPanel
from utilities.query import count_related
from utilities.views import register_model_view

from ..models import AccessLine, EnforcementPoint
from ..ui import counts, panels
from ..ui.base import CountsPanel, page, table_of
from .base import DetailView, named_devices, register_crud


def line_counts(context):
    user, points = context['request'].user, [context['object']]
    by_state = counts.lines_by_intended_state(user, points)
    return [*by_state, counts.drifting(user, points)] if by_state else []


@register_model_view(EnforcementPoint)
class EnforcementPointView(DetailView):
    queryset = EnforcementPoint.objects.all()
    layout = page(
        panels.PointPanel(),
        panels.PointConnectionPanel(),
        right=(
            CountsPanel(line_counts, title=_('Active lines')),
            JSONPanel('parameters', title=_('Parameters')),
        ),
        bottom=(
            table_of('accessline', 'point_id', add='bras'),
            table_of('enforcementchange', 'point_id', exclude=('point',)),
        ),
    )


__all__ = (
    'EnforcementPointView',
    *register_crud(
        __name__,
        EnforcementPoint,
        EnforcementPoint.objects.select_related(*named_devices('device')).annotate(
            bras_line_count=count_related(AccessLine, 'bras'), acs_line_count=count_related(AccessLine, 'acs')
        ),
    ),
)
