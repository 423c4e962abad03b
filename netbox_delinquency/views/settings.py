"""The one row of enforcement settings, and its switch."""

from typing import TYPE_CHECKING

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.shortcuts import redirect
from django.utils.translation import gettext as _
from django.views.generic import RedirectView
from netbox.object_actions import EditObject
from netbox.views import generic
from netbox.views.generic.base import BaseObjectView
from utilities.permissions import get_permission_for_model
from utilities.views import register_model_view

from ..forms.settings import EnforcementSettingsForm, SwitchForm
from ..models import EnforcementSettings
from ..ui import panels
from ..ui.base import page
from .base import DetailView

__all__ = (
    'EnforcementSettingsEditView',
    'EnforcementSettingsRedirectView',
    'EnforcementSettingsView',
    'SwitchView',
)


if TYPE_CHECKING:
    from netbox.views.generic import ObjectView as _View
else:
    _View = object  # what it is mixed into is one already


class Ensured(_View):
    """Its row is there, even where nobody has saved any settings."""

    def get_object(self, **kwargs):
        EnforcementSettings.ensured()
        return super().get_object(**kwargs)


@register_model_view(EnforcementSettings, 'list', path='', detail=False)
class EnforcementSettingsRedirectView(RedirectView):
    def get_redirect_url(self, *args, **kwargs):
        return EnforcementSettings(pk=1).get_absolute_url()


@register_model_view(EnforcementSettings)
class EnforcementSettingsView(Ensured, DetailView):
    queryset = EnforcementSettings.objects.all()
    actions = (EditObject,)
    layout = page(
        panels.SwitchPanel(),
        panels.CapsPanel(),
        right=(panels.WavesPanel(), panels.BreakerPanel()),
    )


@register_model_view(EnforcementSettings, 'edit')
class EnforcementSettingsEditView(Ensured, generic.ObjectEditView):
    queryset = EnforcementSettings.objects.all()
    form = EnforcementSettingsForm


@register_model_view(EnforcementSettings, 'switch')
class SwitchView(Ensured, BaseObjectView):
    """Throw the switch: a POST, with the reason where it stops."""

    queryset = EnforcementSettings.objects.all()
    http_method_names = ('post',)

    def get_required_permission(self):
        return get_permission_for_model(EnforcementSettings, 'change')

    def post(self, request, pk):
        settings = self.get_object(pk=pk)
        form = SwitchForm(request.POST)
        try:
            form.full_clean()
            stopped, reason = form.cleaned_data.get('stopped'), form.cleaned_data.get('reason', '')
            settings.throw(bool(stopped), reason)
        except ValidationError as error:
            messages.error(request, ' '.join(error.messages))
        else:
            text = _('Enforcement is stopped; restoring goes on.') if stopped else _('Enforcement goes on.')
            messages.success(request, text)
        return redirect(settings.get_absolute_url())
