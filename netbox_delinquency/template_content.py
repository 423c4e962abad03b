"""What the page of a device or virtual machine says of the lines it carries."""

from django.utils.translation import gettext_lazy as _
from netbox.plugins import PluginTemplateExtension
from netbox.ui.panels import ObjectsTablePanel

from .choices import LineStatusChoices
from .jobs.points import RefreshCpe
from .models import AccessLine, EnforcementPoint
from .rights import may_see
from .ui import counts, panels
from .ui.banner import stopped_banner
from .ui.base import CountsPanel

CHECK = 'netbox_delinquency.check_enforcementpoint'


class HostContent(PluginTemplateExtension):
    """On the host of an enforcement point: the state of its lines, and which they are."""

    host_field: str

    @property
    def user(self):
        return self.context['request'].user

    def points(self):
        """The points on this host that the user may see, where the user may see lines at all."""
        if not self.user.has_perm('netbox_delinquency.view_accessline'):
            return []
        return list(
            EnforcementPoint.objects.restrict(self.user, 'view').filter(**{self.host_field: self.context['object']})
        )

    def right_page(self):
        points = self.points()
        if not points:
            return ''

        def line_counts(context):
            return [
                *counts.lines_by_intended_state(self.user, points),
                counts.drifting(self.user, points),
            ]

        return CountsPanel(line_counts, title=_('Active lines enforced here')).render(self.context)

    def full_width_page(self):
        points = self.points()
        if not points:
            return ''
        return ObjectsTablePanel(
            'netbox_delinquency.accessline',
            title=_('Access lines enforced here'),
            filters={'point_id': [point.pk for point in points]},
        ).render(self.context)


class VirtualMachineContent(HostContent):
    models = ('virtualization.virtualmachine',)
    host_field = 'virtual_machine'


class DeviceContent(HostContent):
    """A device may also be a CPE: then whose line it is, and its state."""

    models = ('dcim.device',)
    host_field = 'device'

    def right_page(self):
        lines = (
            AccessLine.objects.restrict(self.user, 'view')
            .filter(cpe=self.context['object'])
            .exclude(status=LineStatusChoices.RETIRED)
            .select_related('contract__subscriber', 'contract__stage__policy', 'acs')
        )
        return ''.join(self.render_line(line) + self.render_cpe(line) for line in lines) + super().right_page()

    def render_cpe(self, line: AccessLine) -> str:
        """What a worker last heard of the CPE; asking it anew is a button, for an ACS may take its time, or be dead."""
        if line.acs is None:
            return ''
        job = line.jobs.filter(name=RefreshCpe.name).order_by('-created').first()
        answered = line.jobs.filter(name=RefreshCpe.name, data__isnull=False).order_by('-created').first()
        context = {
            'line': line,
            'job': job,
            'cpe': answered.data if answered else None,
            'may_refresh': bool(line.cwmp_id)
            and self.user.has_perm('netbox_delinquency.check_enforcementpoint', line.acs),
        }
        return self.render('netbox_delinquency/panels/cpe.html', extra_context=context)

    def render_line(self, line: AccessLine) -> str:
        # Many may see a device; who its subscriber is, and how far behind, is for those who may see these objects.
        hidden = [] if may_see(self.user, line.contract) else ['contract', 'stage']
        return panels.CpePanel(exclude=hidden).render({**self.context, 'object': line})


class StoppedContent(PluginTemplateExtension):
    """A banner on the pages of runs, of points and of the settings while the switch holds enforcement."""

    models = tuple(
        f'netbox_delinquency.{model}' for model in ('enforcementrun', 'enforcementpoint', 'enforcementsettings')
    )

    def alerts(self):
        return stopped_banner()


template_extensions = (DeviceContent, VirtualMachineContent, StoppedContent)
