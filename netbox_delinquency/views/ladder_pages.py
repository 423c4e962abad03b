"""The pages that show what policy does: why a contract stands where it does, and what a policy would do."""

from copy import copy
from datetime import date, timedelta

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import ProtectedError
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from netbox.context import current_request
from netbox.views import generic
from utilities.exceptions import AbortRequest
from utilities.views import ViewTab, register_model_view

from ..models import Calendar, Contract, DelinquencyPolicy
from ..policy.apply_preset import create_policy, differences
from ..policy.explain import RULES, VERDICTS, explain
from ..policy.facts import facts_of
from ..policy.presets import PresetError, load_preset, load_presets
from ..policy.simulate import SimulationError, simulate
from ..ui.chart import simulation_chart

__all__ = ('ContractExplainView', 'PolicyPresetsView', 'PolicySimulateView', 'PreviewedDeleteView', 'PreviewedEditView')

DAYS = 60


@register_model_view(Contract, 'explain')
class ContractExplainView(generic.ObjectView):
    queryset = Contract.objects.all()
    template_name = 'netbox_delinquency/explain.html'
    tab = ViewTab(label=_('Explanation'), weight=500)

    def get_extra_context(self, request, instance):
        now = timezone.now()
        facts, rules = facts_of(instance.pk, now)
        explanation = explain(facts, rules, now, instance.policy.articles if instance.policy else {})
        rows = [
            (RULES[found.rule], found.facts, VERDICTS[found.verdict], found.article) for found in explanation.verdicts
        ]
        return {'position': explanation.position, 'rows': rows}


@register_model_view(DelinquencyPolicy, 'simulate')
class PolicySimulateView(generic.ObjectView):
    queryset = DelinquencyPolicy.objects.all()
    template_name = 'netbox_delinquency/simulate.html'
    tab = ViewTab(label=_('Simulation'), weight=500)

    def get_extra_context(self, request, instance):
        now = timezone.now()
        default = timezone.localdate(now) + timedelta(days=30)
        try:
            until = date.fromisoformat(request.GET['until']) if request.GET.get('until') else default
            days = simulate(instance, now, until)
        except (SimulationError, ValueError) as error:
            return {'error': str(error), 'until': default}
        return {'days': days, 'chart': simulation_chart(days), 'until': until}


def preview_of(policy: int | None, change) -> dict | None:
    """What `change()` would do to the contracts of that policy, and what happens without it; None: no contract has it.

    The change is made and rolled back, outside of the request: no change log and no event rule hears of it. Only
    copies of the contracts are evaluated.
    """
    now = timezone.now()
    until = timezone.localdate(now) + timedelta(days=DAYS)
    if policy is None or not Contract.objects.filter(policy=policy, status='active').exists():
        return None
    before = simulate(DelinquencyPolicy.objects.get(pk=policy), now, until)
    request = current_request.set(None)
    try:
        with transaction.atomic():
            change()
            after = simulate(DelinquencyPolicy.objects.get(pk=policy), now, until)
            transaction.set_rollback(True)
    finally:
        current_request.reset(request)
    return {
        'before': simulation_chart(before),
        'after': simulation_chart(after),
        'days': list(zip(before, after, strict=True)),
    }


def show_preview(request, obj, preview: dict):
    fields = [(name, value) for name, values in request.POST.lists() for value in values]
    back = obj.get_absolute_url() if obj.pk else reverse('plugins:netbox_delinquency:delinquencypolicy_list')
    return render(
        request, 'netbox_delinquency/preview.html', {'object': obj, 'fields': fields, 'back': back, **preview}
    )


def policy_of(instance) -> int | None:
    """The policy that a policy, or something of one, belongs to."""
    return getattr(instance, 'policy_id', instance.pk)


class PreviewedEditView(generic.ObjectEditView):
    """Editing, or adding to, what contracts are bound by shows what follows before it is saved."""

    def post(self, request, *args, **kwargs):
        if '_confirmed' in request.POST:
            return super().post(request, *args, **kwargs)
        instance = self.alter_object(self.get_object(**kwargs), request, args, kwargs)
        if self.has_permission():
            form = self.form(data=request.POST, files=request.FILES, instance=instance)
            if form.is_valid():
                # A copy: a new object that was saved and rolled back would keep its key.
                preview = preview_of(policy_of(form.instance), copy(form.instance).save)
                if preview is not None:
                    return show_preview(request, self.get_object(**kwargs), preview)
        return super().post(request, *args, **kwargs)


class PreviewedDeleteView(generic.ObjectDeleteView):
    """Taking away from what contracts are bound by shows what follows, too."""

    def post(self, request, *args, **kwargs):
        instance = self.get_object(**kwargs)
        if '_confirmed' not in request.POST and self.has_permission():
            try:
                preview = preview_of(policy_of(instance), self.get_object(**kwargs).delete)
            except (AbortRequest, ProtectedError):
                preview = None  # refused, and told so, below
            if preview is not None:
                return show_preview(request, instance, preview)
        return super().post(request, *args, **kwargs)


@register_model_view(DelinquencyPolicy, 'presets', detail=False)
class PolicyPresetsView(generic.base.BaseMultiObjectView):
    """The presets with their sources, a button that makes a policy of one, and where policies differ from theirs."""

    queryset = DelinquencyPolicy.objects.all()

    def get_required_permission(self):
        action = 'view' if self.request.method == 'GET' else 'add'
        return f'netbox_delinquency.{action}_delinquencypolicy'

    def get(self, request):
        changed = []
        for policy in self.queryset.exclude(preset=''):
            try:
                found = differences(policy, load_preset(policy.preset))
            except PresetError as error:
                messages.warning(request, f'{policy}: {error}')
                continue
            if found:
                changed.append((policy, found))
        context = {'presets': load_presets(), 'calendars': Calendar.objects.restrict(request.user), 'changed': changed}
        return render(request, 'netbox_delinquency/presets.html', context)

    def post(self, request):
        calendar = Calendar.objects.restrict(request.user).filter(pk=request.POST.get('calendar') or 0).first()
        try:
            policy = create_policy(load_preset(request.POST.get('preset', '')), calendar)
        except (PresetError, ValidationError) as error:
            text = ' '.join(error.messages) if isinstance(error, ValidationError) else str(error)
            messages.error(request, text)
            return redirect('plugins:netbox_delinquency:delinquencypolicy_presets')
        return redirect(policy.get_absolute_url())
