"""The views that every model has, declared once."""

import sys
from collections.abc import Mapping

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db.models import Model, QuerySet
from django.shortcuts import redirect
from django.views import View
from netbox.object_actions import AddObject, BulkDelete, BulkEdit, BulkExport, BulkImport, ObjectAction
from netbox.views import generic
from utilities.permissions import get_permission_for_model
from utilities.views import GetReturnURLMixin, ObjectPermissionRequiredMixin, register_model_view

from .. import filtersets, forms, tables
from ..filtersets.base import refusals_of
from ..rights import NOT_PRINTED, may_print_all

__all__ = ('DetailView', 'ListView', 'SelectionView', 'named_devices', 'register_crud')


class ListView(generic.ObjectListView):
    # No bulk rename: what identifies these objects is agreed with other systems.
    actions: tuple[type[ObjectAction], ...] = (AddObject, BulkImport, BulkExport, BulkEdit, BulkDelete)

    def get(self, request):
        # The list is empty then: it would else show, and offer for bulk actions, what nobody asked for.
        for text in refusals_of(self.filterset(request.GET, self.queryset.none(), request=request)):
            messages.error(request, text)
        return super().get(request)

    def export_template(self, template, request):
        if not may_print_all(request.user):
            raise PermissionDenied(NOT_PRINTED)
        return super().export_template(template, request)


class DetailView(generic.ObjectView):
    template_name = 'generic/object.html'


class SelectionView(GetReturnURLMixin, ObjectPermissionRequiredMixin, View):
    """What is done with the objects that were selected in a list, or (`_all`) with all that its filters show.

    Filters that are refused show nothing, and nothing is done.
    """

    filterset: type
    permission = 'enforce'

    def dispatch(self, request, *args, **kwargs):
        if request.method == 'POST' and request.POST.get('_all'):
            refused = refusals_of(self.filterset(request.GET, self.queryset.none(), request=request))
            if refused and request.user.is_authenticated:
                for text in refused:
                    messages.error(request, text)
                return redirect(self.get_return_url(request))
        return super().dispatch(request, *args, **kwargs)

    def get_required_permission(self):
        return get_permission_for_model(self.queryset.model, self.permission)

    def chosen(self, request):
        if request.POST.get('_all'):
            return self.filterset(request.GET, self.queryset, request=request).qs
        return self.queryset.filter(pk__in=[pk for pk in request.POST.getlist('pk') if pk.isdecimal()])


def named_devices(path: str) -> tuple[str, str]:
    """What the name of a device is made of where it has none of its own, as most CPEs."""
    return f'{path}__device_type__manufacturer', f'{path}__virtual_chassis'


BASES = {
    'List': ListView,
    'Edit': generic.ObjectEditView,
    'Delete': generic.ObjectDeleteView,
    'BulkImport': generic.BulkImportView,
    'BulkEdit': generic.BulkEditView,
    'BulkDelete': generic.BulkDeleteView,
}


def register_crud(
    module: str,
    model: type[Model],
    queryset: QuerySet | None = None,
    bases: Mapping[str, type] | None = None,
) -> tuple[str, ...]:
    """Make and register every view of the model but its page: `<Model>ListView`, `<Model>EditView` and so on.

    Their forms, table and filter set are those named after the model. `queryset` adds what the table's columns count.
    `bases` puts another base in the place of one in `BASES`. Answers the names of the views in
    `module`, for its `__all__`: a background job finds its view by module and name.
    """
    if queryset is None:
        queryset = model.objects.all()
    name = model.__name__
    filterset = getattr(filtersets, f'{name}FilterSet')
    table = getattr(tables, f'{name}Table')
    selection = {'queryset': queryset, 'filterset': filterset, 'table': table}
    attributes = {
        'List': {**selection, 'filterset_form': getattr(forms, f'{name}FilterForm')},
        'Edit': {'queryset': model.objects.all(), 'form': getattr(forms, f'{name}Form')},
        'Delete': {'queryset': model.objects.all()},
        'BulkImport': {'queryset': model.objects.all(), 'model_form': getattr(forms, f'{name}ImportForm')},
        'BulkEdit': {**selection, 'form': getattr(forms, f'{name}BulkEditForm')},
        'BulkDelete': selection,
    }
    views = {}
    for kind, base in {**BASES, **(bases or {})}.items():
        class_name = f'{name}{kind}View'
        views[kind] = type(class_name, (base,), {**attributes[kind], '__module__': module})
        setattr(sys.modules[module], class_name, views[kind])

    register_model_view(model, 'list', path='', detail=False)(views['List'])
    register_model_view(model, 'add', detail=False)(views['Edit'])
    register_model_view(model, 'edit')(views['Edit'])
    register_model_view(model, 'delete')(views['Delete'])
    register_model_view(model, 'bulk_import', path='import', detail=False)(views['BulkImport'])
    register_model_view(model, 'bulk_edit', path='edit', detail=False)(views['BulkEdit'])
    register_model_view(model, 'bulk_delete', path='delete', detail=False)(views['BulkDelete'])
    return tuple(view.__name__ for view in views.values())
