"""Columns that several tables have."""

from django.db.models import Model
from django.utils.html import format_html
from netbox.tables import columns
from utilities.views import get_viewname

from ..ui.base import WARNING_MARK

__all__ = ('StateColumn', 'WarningColumn', 'counted', 'tags')


def counted(model: type[Model], label, **url_params: str):
    """How many objects of `model` there are, linked to their list; `url_params` name the row's attributes."""
    return columns.LinkedCountColumn(viewname=get_viewname(model, 'list'), url_params=url_params, verbose_name=label)


def tags(model: type[Model]):
    return columns.TagColumn(url_name=get_viewname(model, 'list'))


class WarningColumn(columns.BooleanColumn):
    """A boolean whose truth is a warning: no check mark for it, and nothing at all where it is false."""

    def __init__(self, **kwargs):
        super().__init__(true_mark=WARNING_MARK, false_mark=None, **kwargs)


class StateColumn(columns.ChoiceFieldColumn):
    """The column of a `<name>_mode` field: its badge, and the rates where the state is throttled."""

    def render(self, record, bound_column, value):
        badge = super().render(record, bound_column, value)
        name = bound_column.name.removesuffix('_mode')
        down, up = getattr(record, f'{name}_down_kbps'), getattr(record, f'{name}_up_kbps')
        return badge if down is None else format_html('{} <small class="text-muted">{}/{}</small>', badge, down, up)
