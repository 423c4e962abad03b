"""What the pages of several models are made of."""

from collections.abc import Callable
from typing import Any

from django.db.models import Model
from django.utils.safestring import mark_safe
from django.utils.text import capfirst
from django.utils.translation import gettext_lazy as _
from extras.ui.panels import CustomFieldsPanel, TagsPanel
from netbox.ui import actions, attrs, layout, panels
from netbox.ui.breadcrumbs import Breadcrumb
from utilities.data import resolve_attr_path

from ..rights import may_see, related_model

__all__ = ('WARNING_MARK', 'CountsPanel', 'ModelPanel', 'SelfAttr', 'StateAttr', 'WarningAttr', 'page', 'table_of')


WARNING_MARK = mark_safe('<span class="text-warning"><i class="mdi mdi-alert"></i></span>')


class ModelPanel(panels.ObjectAttributesPanel):
    """Attributes of a model, each labelled like the field whose name it has, or else by itself."""

    model: type[Model]

    def _name_to_label(self, name):
        return capfirst(self.model._meta.get_field(name).verbose_name)

    def get_context(self, context):
        """Without the attributes that show an object which the reader may not see."""
        found = super().get_context(context)
        user, shown = context['request'].user, found['object']
        names = [name for name in self._attrs if (name in self.only if self.only else name not in self.exclude)]
        attributes = zip(names, found['attrs'], strict=True)
        return {**found, 'attrs': [item for name, item in attributes if self._may_see(user, shown, self._attrs[name])]}

    @staticmethod
    def _may_see(user, shown, attribute):
        path = related_model(type(shown), attribute.accessor.replace('.', '__')) if attribute.accessor else None
        value = resolve_attr_path(shown, path[0].replace('__', '.')) if path else None
        return not isinstance(value, Model) or may_see(user, value)


class SeenBreadcrumb(Breadcrumb):
    """What an object belongs to, for those who may see that."""

    def render(self, context=None):
        value = self.resolve(context['object']) if context and context.get('object') else None
        if isinstance(value, Model) and not may_see(context['request'].user, value):
            return ''
        return super().render(context)


class SelfAttr(attrs.RelatedObjectAttr):
    """A link to the object itself, for a panel on another object's page."""

    def __init__(self, **kwargs):
        super().__init__('pk', linkify=True, **kwargs)

    def get_value(self, obj):
        return obj


class StateAttr(attrs.ChoiceAttr):
    """A state kept as `<name>_mode` and its rates, in one badge."""

    def __init__(self, name: str, **kwargs):
        super().__init__(f'{name}_mode', **kwargs)
        self.rates = (f'{name}_down_kbps', f'{name}_up_kbps')

    def get_value(self, obj):
        label = super().get_value(obj)
        down, up = (getattr(obj, rate) for rate in self.rates)
        if down is None:
            return label
        return _('{state} to {down}/{up} kbit/s').format(state=label, down=down, up=up)


class WarningAttr(attrs.ObjectAttribute):
    """A boolean whose truth is a warning; a placeholder where it is false."""

    def render(self, obj, context):
        return WARNING_MARK if self.get_value(obj) else self.placeholder


class CountsPanel(panels.Panel):
    """Counts as linked badges; `get_counts` is given the template context."""

    template_name = 'netbox_delinquency/panels/counts.html'

    def __init__(self, get_counts: Callable[[Any], list], **kwargs):
        super().__init__(**kwargs)
        self.get_counts = get_counts

    def get_context(self, context):
        return {**super().get_context(context), 'counts': self.get_counts(context)}

    def should_render(self, context):
        return bool(context['counts'])


def table_of(model: str, parameter: str, *, add: str = '', exclude: tuple[str, ...] = (), **kwargs):
    """The table of this plugin's objects whose filter `parameter` names the page's object.

    With `add` there is a button that adds one, whose form field of that name is filled in with the page's object.
    """
    label = f'netbox_delinquency.{model}'

    def primary_key(context):
        return context['object'].pk

    buttons = [actions.AddObject(label, url_params={add: primary_key})] if add else []
    return panels.ObjectsTablePanel(
        label, filters={parameter: primary_key}, exclude_columns=list(exclude), actions=buttons, **kwargs
    )


def page(*left, right=(), bottom=(), top=(), under: tuple[str, ...] = (), comments=True) -> layout.SimpleLayout:
    """The layout of a detail page: what it is on the left, what comes of it on the right, its tables below.

    `top` is what is to be seen first, over the whole width.
    `under` are the attributes that name what the object belongs to, outermost first: its breadcrumbs.
    """
    made = layout.SimpleLayout(
        left_panels=[*left, TagsPanel()],
        right_panels=[*right, CustomFieldsPanel(), *([panels.CommentsPanel()] if comments else [])],
        bottom_panels=list(bottom),
        breadcrumbs=[SeenBreadcrumb(accessor) for accessor in under],
    )
    if top:
        made.rows = (layout.Row(layout.Column(*top)), *made.rows)
    return made
