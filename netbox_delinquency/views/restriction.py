from django.contrib import messages
from django.shortcuts import redirect
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from netbox.object_actions import BulkExport
from netbox.ui.panels import JSONPanel
from netbox.views import generic
from utilities.views import register_model_view

from ..errors import RunRefusedError
from ..filtersets import AccessLineFilterSet, RestrictionFilterSet
from ..forms import RestrictionFilterForm
from ..models import AccessLine, Restriction
from ..object_actions import LetGoRestrictions, LiftRestrictions
from ..runs.lifts import adopt, let_go, lift
from ..tables import RestrictionTable
from ..ui import panels
from ..ui.base import page, table_of
from ..workflow import start_runs
from .base import DetailView, SelectionView

__all__ = (
    'AdoptLinesView',
    'LetGoRestrictionsView',
    'LiftRestrictionsView',
    'RestrictionListView',
    'RestrictionView',
)


@register_model_view(Restriction)
class RestrictionView(DetailView):
    queryset = Restriction.objects.all()
    actions = ()
    layout = page(
        panels.RestrictionPanel(),
        right=(
            panels.RestrictionOriginPanel(),
            JSONPanel('baseline', title=_('Read just before')),
            JSONPanel('noted', title=_('Noted')),
        ),
        bottom=(table_of('enforcementchange', 'restriction_id'),),
        comments=False,
    )


@register_model_view(Restriction, 'list', path='', detail=False)
class RestrictionListView(generic.ObjectListView):
    queryset = Restriction.objects.all()
    filterset = RestrictionFilterSet
    filterset_form = RestrictionFilterForm
    table = RestrictionTable
    actions = (BulkExport, LiftRestrictions, LetGoRestrictions)


class RestrictionSelectionView(SelectionView):
    queryset = Restriction.objects.all()
    filterset = RestrictionFilterSet
    permission = 'lift'


@register_model_view(Restriction, 'bulk_lift', path='lift', detail=False)
class LiftRestrictionsView(RestrictionSelectionView):
    """A person has what was left behind lifted, by a run that is started at once."""

    def post(self, request):
        try:
            runs = start_runs(lift(self.chosen(request), request.user, timezone.now()))
        except RunRefusedError as error:
            messages.error(request, str(error))
        else:
            rows = sum(run.changes.count() for run in runs)
            messages.success(request, _('{rows} restrictions are being lifted.').format(rows=rows))
        return redirect(self.get_return_url(request))


@register_model_view(Restriction, 'bulk_let_go', path='let-go', detail=False)
class LetGoRestrictionsView(RestrictionSelectionView):
    """A person says that these are no longer ours to lift."""

    def post(self, request):
        count = let_go(self.chosen(request), timezone.now())
        messages.success(request, _('{count} restrictions are no longer ours to lift.').format(count=count))
        return redirect(self.get_return_url(request))


@register_model_view(AccessLine, 'bulk_adopt', path='adopt', detail=False)
class AdoptLinesView(SelectionView):
    """A person takes what others restrict on these lines for ours: policy gives it back from now on."""

    queryset = AccessLine.objects.all()
    filterset = AccessLineFilterSet
    permission = 'enforce'

    def post(self, request):
        adopted = adopt(self.chosen(request), request.user, timezone.now())
        text = _('{count} foreign blocks are ours from now on, and given back as policy wants it.')
        messages.success(request, text.format(count=len(adopted)))
        return redirect(self.get_return_url(request))
