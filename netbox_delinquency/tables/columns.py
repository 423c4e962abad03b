"""Columns that several tables have."""

from django.db.models import Model
from django.utils.html import format_html
from netbox.tables import columns
from utilities.views import get_viewname

__all__ = ('StateColumn', 'counted', 'tags')


def counted(model: type[Model], label, **url_params: str):
    """How many objects of `model` there are, linked to their list; `url_params` name the row's attributes."""
    return columns.LinkedCountColumn(viewname=get_viewname(model, 'list'), url_params=url_params, verbose_name=label)


def tags(model: type[Model]):
    return columns.TagColumn(url_name=get_viewname(model, 'list'))


class StateColumn(columns.ChoiceFieldColumn):
    """The column of a `<name>_mode` field: its badge, and the rates where the state is throttled."""

    def render(self, record, bound_column, value):
        badge = super().render(record, bound_column, value)
        name = bound_column.name.removesuffix('_mode')
        down, up = getattr(record, f'{name}_down_kbps'), getattr(record, f'{name}_up_kbps')
        return badge if down is None else format_html('{} <small class="text-muted">{}/{}</small>', badge, down, up)
