"""What the filter sets of several models share."""

from functools import reduce
from operator import or_

import django_filters
from django import forms
from django.core.exceptions import ValidationError
from django.db.models import Model, Q, QuerySet
from django.utils.translation import gettext as _
from django_filters.constants import EMPTY_VALUES
from utilities.filters import multivalue_field_factory

from ..rights import GUARDED, related_model, visible

__all__ = ('MultiValueIPAddressFilter', 'SearchMixin', 'StrictMixin', 'choices', 'refusals_of', 'related')

# What else a list is asked for, in its address: how it is cut, ordered, shown and exported, by pages and by REST.
NO_FILTERS = frozenset(
    (
        'brief', 'cursor', 'embedded', 'exclude', 'exclude_columns', 'export', 'fields', 'format', 'include',
        'include_columns', 'limit', 'offset', 'omit', 'ordering', 'page', 'per_page', 'return_url', 'sort', 'start',
        'tab', 'tableconfig_id',
    )
)  # fmt: skip


def user_of(filterset):
    """Who asks, where somebody does: the command line and jobs ask for nobody."""
    return getattr(getattr(filterset, 'request', None), 'user', None)


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
            reduce(or_, (self._matches(queryset.model, field, value) for field in self.search_fields))
        )

    def _matches(self, model, field, value):
        """What a reader does not see of another object is not found by it either."""
        found = Q(**{f'{field}__icontains': value.strip()})
        user = user_of(self)
        if user is None or (path := related_model(model, field)) is None or (seen := visible(user, path[1])) is None:
            return found
        return found & Q(**{f'{path[0]}__in': seen.order_by().values('pk')})


class StrictMixin(django_filters.FilterSet):
    """A filter that there is not, or whose value is none of its own, finds nothing, and is an error over REST.

    Left out as django-filter does it, it would find everything: an action on "all that the filter shows" would be one
    on all there are.
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        user = user_of(self)
        for found in self.filters.values() if user is not None else ():
            choices = getattr(found, 'queryset', None)
            if isinstance(choices, QuerySet) and choices.model._meta.app_label in GUARDED:
                found.queryset = choices.restrict(user, 'view')

    def filter_queryset(self, queryset):
        """By a field of another object only those are found whose object the reader may see."""
        for name in self._asked():
            path, seen = self._reach(name)
            if seen is not None:
                queryset = queryset.filter(**{f'{path[0]}__in': seen.order_by().values('pk')})
        return super().filter_queryset(queryset)

    def _asked(self):
        return [name for name in self.filters if self.form.cleaned_data.get(name) not in EMPTY_VALUES]

    def _reach(self, name):
        """The other object that a filter reads, as `related_model` has it, and what the reader sees of its model."""
        found, user = self.filters[name], user_of(self)
        if user is None or found.method or isinstance(found, django_filters.ModelMultipleChoiceFilter):
            return None, None  # the choices of the latter are those that the reader sees
        path = related_model(self._meta.model, found.field_name)
        if path is None or path[0] == found.field_name:
            return None, None
        return path, visible(user, path[1])

    def _is_hidden(self, name):
        """Whether the reader sees nothing of what a filter reads, or not all of what there are many of."""
        path, seen = self._reach(name)
        return seen is not None and (path[2] or seen.query.is_empty())

    @property
    def unknown(self) -> list[str]:
        """The names in the request that are no filters of this list."""
        return sorted(name for name in self.data if name not in self.filters and name not in NO_FILTERS)

    def get_form_class(self):
        filterset, unknown, form = self, self.unknown, super().get_form_class()

        class StrictForm(form):  # type: ignore[misc, valid-type]
            def clean(self):
                cleaned = super().clean()
                for name in unknown:
                    self.add_error(None, ValidationError(_('There is no filter {name}.').format(name=name)))
                for name in filterset.filters:
                    if cleaned.get(name) not in EMPTY_VALUES and filterset._is_hidden(name):
                        text = _('The filter {name} reads what you may not see.')
                        self.add_error(None, ValidationError(text.format(name=name)))
                return cleaned

        return StrictForm

    @property
    def qs(self):
        return super().qs if not self.is_bound or self.is_valid() else self.queryset.none()


def refusals_of(filterset) -> list[str]:
    """A sentence for each filter that is refused; none where all of them are good."""
    if not filterset.is_bound or filterset.is_valid():
        return []
    return [
        text if name == '__all__' else f'{name}: {text}' for name, texts in filterset.errors.items() for text in texts
    ]
