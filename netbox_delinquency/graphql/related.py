"""Filters by another object: found among those that the reader sees."""

import strawberry_django
from django.db.models import Q
from strawberry.scalars import ID
from strawberry.types import Info
from strawberry_django.filters import process_filters

__all__ = ('related', 'related_id')


def seen_by(info: Info, model):
    return model.objects.restrict(info.context.request.user, 'view').order_by()


def related(name: str, filter_type):
    """What a filter finds of another object is found among those that the reader sees: else it would tell the rest."""

    def found(self, info: Info, value, prefix: str) -> Q:
        model = filter_type.__strawberry_django_definition__.model
        queryset, matching = process_filters(value, seen_by(info, model), info)
        return Q(**{f'{prefix}{name}__in': queryset.filter(matching).values('pk')})

    found.__annotations__['value'] = filter_type
    return strawberry_django.filter_field(found)


def related_id(name: str, filter_type):
    def found(self, info: Info, value: ID, prefix: str) -> Q:
        model = filter_type.__strawberry_django_definition__.model
        return Q(**{f'{prefix}{name}__in': seen_by(info, model).filter(pk=value).values('pk')})

    return strawberry_django.filter_field(found)
