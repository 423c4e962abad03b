"""Mass updates of CPEs, and what is matched from an ACS. The ACS itself is spoken to by workers, never from here."""

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from netbox.views.generic.base import BaseObjectView
from utilities.permissions import get_permission_for_model
from utilities.views import GetReturnURLMixin, register_model_view

from ..cpe.parameters import plan_profile, reachable_lines
from ..errors import RunRefusedError
from ..filtersets import AccessLineFilterSet
from ..forms.profile import ProfileForm
from ..jobs.points import enqueue_match_cpes, enqueue_refresh_cpe
from ..models import AccessLine, EnforcementPoint
from .base import SelectionView

__all__ = ('LineProfileView', 'LineRefreshCpeView', 'PointMatchCpesView')


@register_model_view(AccessLine, 'bulk_profile', path='profile', detail=False)
class LineProfileView(SelectionView):
    """Ask for the parameters to set at the lines that were selected in the list, or (`_all`) all its filters show."""

    queryset = AccessLine.objects.all()
    filterset = AccessLineFilterSet

    def post(self, request):
        lines = AccessLine.objects.filter(pk__in=self.chosen(request).order_by().values('pk'))
        is_sent = '_apply' in request.POST
        form = ProfileForm(request.POST if is_sent else None)
        if is_sent and form.is_valid():
            values, name = form.cleaned_data['values'], form.cleaned_data['name']
            try:
                run = plan_profile(lines, values, timezone.now(), author=request.user, name=name)
            except RunRefusedError as error:
                messages.error(request, str(error))
            else:
                count = run.changes.count()
                messages.success(request, _('Planned: {run}, {count} lines.').format(run=run, count=count))
                return redirect(run.get_absolute_url())
        context = {
            'form': form,
            'pks': [] if request.POST.get('_all') else request.POST.getlist('pk'),
            'all': request.POST.get('_all', ''),
            'total': lines.count(),
            'reachable': reachable_lines(lines).count(),
            'return_url': self.get_return_url(request),
        }
        return render(request, 'netbox_delinquency/profile.html', context)


@register_model_view(EnforcementPoint, 'match_cpes', path='match-cpes')
class PointMatchCpesView(BaseObjectView):
    """Queue a worker that matches the ACS's devices to lines by serial number, and show its job."""

    queryset = EnforcementPoint.objects.all()
    http_method_names = ('post',)

    def get_required_permission(self):
        return 'netbox_delinquency.check_enforcementpoint'

    def post(self, request, pk):
        point = self.get_object(pk=pk)
        if not request.user.has_perm('netbox_delinquency.change_accessline'):
            raise PermissionDenied
        job = enqueue_match_cpes(point, user=request.user)
        text = _('Matching the CPEs of {point} is queued: what was matched is in the data of this job.')
        messages.success(request, text.format(point=point))
        return redirect(job.get_absolute_url())


@register_model_view(AccessLine, 'refresh_cpe', path='refresh-cpe')
class LineRefreshCpeView(GetReturnURLMixin, BaseObjectView):
    """Queue a worker that asks the line's ACS how its CPE is; the device's page shows what it found."""

    queryset = AccessLine.objects.all()
    http_method_names = ('post',)

    def get_required_permission(self):
        return get_permission_for_model(AccessLine, 'view')

    def post(self, request, pk):
        line = get_object_or_404(self.queryset, pk=pk)
        if line.acs is None or not request.user.has_perm('netbox_delinquency.check_enforcementpoint', line.acs):
            raise PermissionDenied
        enqueue_refresh_cpe(line, user=request.user)
        messages.success(request, _('A worker asks the CPE; its answer will be shown on the page of the device.'))
        return redirect(line.cpe.get_absolute_url() if line.cpe else line.get_absolute_url())
