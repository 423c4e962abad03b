"""Columns that show another object are shown, ordered by and exported to whoever may see that object."""

from collections.abc import Callable
from typing import Any

from django.db.models import Model, QuerySet
from django_tables2.utils import call_with_appropriate

from ..rights import related_model, visible

__all__ = ('RightsMixin',)


class Seen:
    """Which objects of a column its reader may see: asked once, where anything is shown at all."""

    def __init__(self, queryset: QuerySet[Any]) -> None:
        self.queryset = queryset
        self.pks: set[int] | None = None

    def __contains__(self, instance: object) -> bool:
        if not isinstance(instance, Model):
            return False
        if self.pks is None:
            self.pks = set(self.queryset.order_by().values_list('pk', flat=True))
        return instance.pk in self.pks


class RightsMixin:
    """Mixed into a table. Without a request nothing is hidden: no reader is known there.

    `reveals` names the columns of its own that say something of another model.
    """

    reveals: dict[str, type[Model]] = {}

    def configure(self, request: Any) -> None:
        hidden = []
        for column in self.columns.iterall():  # type: ignore[attr-defined]
            found = related_model(self.Meta.model, str(column.accessor))  # type: ignore[attr-defined]
            shown = self.reveals.get(column.name) or (found[1] if found else None)
            if shown is None or (seen := visible(request.user, shown)) is None:
                continue
            if column.name in self.reveals or seen.query.is_empty():
                hidden.append(column.name)
                continue
            column.column.orderable = False  # the order of what is hidden would tell it
            guard(column, Seen(seen))
        self.exclude: tuple[str, ...] = (*self.exclude, *hidden)
        super().configure(request)  # type: ignore[misc]


def guard(column: Any, seen: Seen) -> None:
    """Leave the cells of a column empty where their object is not `seen`."""

    def guarded(show: Callable[..., Any], empty: Any) -> Callable[..., Any]:
        return lambda **given: call_with_appropriate(show, given) if given['value'] in seen else empty

    column.render = guarded(column.render, column.default)
    column.value = guarded(column.value, None)
    if column.link:
        link = column.link
        column.link = lambda content, **given: link(content, **given) if given['value'] in seen else content
