"""What the filter sets of several models share."""

from functools import reduce
from operator import or_

import django_filters
from django import forms
from django.db.models import Model, Q
from utilities.filters import multivalue_field_factory

__all__ = ('MultiValueIPAddressFilter', 'SearchMixin', 'choices', 'related')


def related(model: type[Model], path: str, label, *, by: str = '', distinct: bool = False):
    """Any of these objects at the end of `path`, by primary key or by the field `by`.

    `distinct` is for a path through a reverse relation, which may yield a row more than once.
    """
    return django_filters.ModelMultipleChoiceFilter(
        field_name=f'{path}__{by}' if by else path,
        queryset=model.objects.all(),
        to_field_name=by or None,
        distinct=distinct,
        label=label,
    )


def choices(choice_set, field_name: str | None = None, *, label=None, distinct: bool = False):
    """Any of these values of a field with choices."""
    return django_filters.MultipleChoiceFilter(
        field_name=field_name, choices=choice_set, distinct=distinct, label=label
    )


class MultiValueIPAddressFilter(django_filters.MultipleChoiceFilter):
    """Addresses of an `inet` column: what is no address is refused here, or PostgreSQL would raise."""

    field_class = multivalue_field_factory(forms.GenericIPAddressField)


class SearchMixin:
    """`q` finds what contains the text in any of `search_fields`."""

    search_fields: tuple[str, ...] = ()

    def search(self, queryset, name, value):
        return queryset.filter(
            reduce(or_, (Q(**{f'{field}__icontains': value.strip()}) for field in self.search_fields))
        )
