from django.template.loader import render_to_string
from django.utils.translation import gettext_lazy as _
from extras.dashboard.utils import register_widget
from extras.dashboard.widgets import DashboardWidget

from .ui import counts
from .ui.banner import stopped_banner

__all__ = ('EnforcementWidget',)


@register_widget
class EnforcementWidget(DashboardWidget):
    default_title = _('Enforcement')
    description = _('Active lines by intended state, drift, and runs that have not ended.')
    width = 4
    height = 4

    def render(self, request):
        found = counts.lines_by_intended_state(request.user)
        if request.user.has_perm('netbox_delinquency.view_accessline'):
            found.append(counts.drifting(request.user))
        found += counts.open_runs(request.user)
        found += counts.late_sources(request.user)
        found += counts.events_to_review(request.user)
        context = {'counts': found, 'empty': _('Nothing to show.')}
        page = stopped_banner() + render_to_string('netbox_delinquency/inc/counts.html', context)
        if drift := counts.drift_by_point(request.user):
            page += render_to_string('netbox_delinquency/inc/drift.html', {'drift': drift})
        return page
