"""Each field that shows another object asks for the right to see that one: lists, pages, REST, GraphQL.

What is hidden is no filter and no order either: whether a line is found by a name tells the name.
"""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.core.exceptions import FieldDoesNotExist
from django.db.models import Field, Model, QuerySet
from django.utils.translation import gettext_lazy as _

__all__ = ('GUARDED', 'NOT_PRINTED', 'is_hidden', 'may_print_all', 'may_see', 'related_model', 'sees_all', 'visible')

NOT_PRINTED = _('An export template prints what it likes, and you may not see all that it could print.')

# The others (tags, owners, users) NetBox itself shows to everybody.
GUARDED = {'netbox_delinquency', 'dcim', 'virtualization'}


def objects_of(model: type[Model]) -> QuerySet[Any]:
    return model._default_manager.all()  # noqa: SLF001 - Django's documented name for it


def visible(user: Any, model: type[Model]) -> QuerySet[Any] | None:
    """What of a model this user may see; `None`: all of it."""
    everything = objects_of(model)
    seen = everything.restrict(user, 'view') if hasattr(everything, 'restrict') else everything
    return None if seen is everything else seen


def sees_all(user: Any, model: type[Model]) -> bool:
    return visible(user, model) is None


def is_hidden(user: Any, model: type[Model]) -> bool:
    """Whether this user may see no object of a model at all."""
    seen = visible(user, model)
    return seen is not None and seen.query.is_empty()


def may_see(user: Any, instance: Model) -> bool:
    if instance._meta.app_label not in GUARDED:
        return True
    seen = visible(user, type(instance))
    return seen is None or seen.filter(pk=instance.pk).exists()


def may_print_all(user: Any) -> bool:
    """Whether a template may print for this user: it prints what it likes, of an object and of all that it leads to."""
    models = apps.get_app_config('netbox_delinquency').get_models()
    guarded = (model for model in models if hasattr(objects_of(model), 'restrict'))
    # Nobody reads the body of an event but by the right to change what it says.
    rights = ('view_balance_contract', 'change_billingevent')
    return all(user.has_perm(f'netbox_delinquency.{right}') for right in rights) and all(
        sees_all(user, model) for model in guarded
    )


def related_model(model: type[Model], path: str) -> tuple[str, type[Model], bool] | None:
    """The last guarded object on a path of field names (`contract__subscriber__name`): its own path, its model, and
    whether there may be many of it. `None` where the path does not leave the model.
    """
    found, many, names = None, False, []
    for name in path.split('__'):
        try:
            field: Any = model._meta.get_field(name)
        except FieldDoesNotExist:  # a transform, a lookup, a property: no relation any more
            break
        if not field.is_relation or field.related_model is None:
            break
        names.append(name)
        many |= not isinstance(field, Field) or bool(field.many_to_many)
        model = field.related_model
        if model._meta.app_label in GUARDED:
            found = ('__'.join(names), model, many)
    return found
