"""What a person does for a contract: trust unlock, human review, the early end of a hold."""

from django import forms
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from netbox.views.generic.base import BaseObjectView
from utilities.permissions import get_permission_for_model
from utilities.views import register_model_view

from ..contract_actions import end_hold, give_trust_unlock, set_review
from ..models import Contract, Hold

__all__ = ('ContractReviewView', 'ContractTrustUnlockView', 'HoldEndView')


class ReasonForm(forms.Form):
    reason = forms.CharField(label=_('Reason'), max_length=200)


class UnlockForm(ReasonForm):
    days = forms.IntegerField(label=_('Days'), min_value=1, required=False, help_text=_("Empty: the policy's"))


class AskingView(BaseObjectView):
    """A form on one object, whose page it ends on. `act(obj, data)` does it and says so, or is refused."""

    form_class: type[forms.Form] = ReasonForm
    permission = ''
    title = ''

    def get_required_permission(self):
        return get_permission_for_model(self.queryset.model, self.permission)

    def show(self, request, obj, form):
        context = {'object': obj, 'form': form, 'title': self.title, 'about': self.about(obj)}
        return render(request, 'netbox_delinquency/contract_action.html', context)

    def about(self, obj) -> str:
        return ''

    def get(self, request, pk):
        return self.show(request, self.get_object(pk=pk), self.form_class())

    def post(self, request, pk):
        obj, form = self.get_object(pk=pk), self.form_class(request.POST)
        if not form.is_valid():
            return self.show(request, obj, form)
        try:
            messages.success(request, self.act(obj, form.cleaned_data))
        except ValidationError as error:
            form.add_error(None, error.messages)
            return self.show(request, obj, form)
        return redirect(obj.get_absolute_url())


@register_model_view(Contract, 'trust_unlock', path='trust-unlock')
class ContractTrustUnlockView(AskingView):
    queryset = Contract.objects.all()
    form_class = UnlockForm
    permission = 'unlock'
    title = _('Trust Unlock')

    def about(self, obj):
        return _('Access is given back at once. When it ends and nothing was paid, what follows is: {stage}.').format(
            stage=obj.stage or '–'
        )

    def act(self, obj, data):
        hold = give_trust_unlock(obj, data['reason'], self.request.user, timezone.now(), data['days'])
        ends = timezone.localtime(hold.ends_at)
        return _('Unlocked until {moment}.').format(moment=f'{ends:%Y-%m-%d %H:%M}')


@register_model_view(Contract, 'review')
class ContractReviewView(AskingView):
    queryset = Contract.objects.all()
    form_class = forms.Form
    permission = 'review'
    title = _('Human Review')

    def about(self, obj):
        if obj.review_requested_at:
            return _('A person is asked to review it. Confirm to end the review: escalation continues.')
        return _('Confirm to have a person review this automatic decision: until then nothing escalates.')

    def act(self, obj, data):
        set_review(obj, obj.review_requested_at is None, timezone.now())
        return _('A review is asked for.') if obj.review_requested_at else _('The review has ended.')


@register_model_view(Hold, 'end')
class HoldEndView(AskingView):
    queryset = Hold.objects.all()
    permission = 'change'
    title = _('End Hold')

    def about(self, obj):
        return _('Its contract is evaluated at once, as it is then.')

    def act(self, obj, data):
        end_hold(obj, data['reason'], timezone.now())
        return _('Ended: {hold}.').format(hold=obj)
