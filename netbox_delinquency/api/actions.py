"""What the actions of every viewset stand on: each asks for a permission of its own, on the very object it is about.

A refusal that comes of an object's state is a 409 with the sentence; a body that cannot be read is a 400, never taken
for an empty one.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from core.api.serializers import JobSerializer
from django.core.exceptions import ValidationError as DjangoValidationError
from django.db.models import Model, QuerySet
from django.shortcuts import get_object_or_404
from drf_spectacular.utils import OpenApiResponse, extend_schema
from netbox.api.authentication import TokenPermissions
from rest_framework import serializers
from rest_framework.exceptions import APIException, PermissionDenied
from rest_framework.response import Response
from rest_framework.status import HTTP_202_ACCEPTED, HTTP_409_CONFLICT

from ..errors import RunRefusedError
from ..filtersets import AccessLineFilterSet
from ..models import AccessLine
from ..reasons import stored, translated

__all__ = (
    'PLAN',
    'ActionsMixin',
    'FiltersRequest',
    'Refused',
    'chosen_by',
    'chosen_lines',
    'document',
    'permission_on',
    'refusals',
)


def permission_on(model: type[Model], name: str) -> str:
    """The full name of one of our own permissions: `netbox_delinquency.approve_enforcementrun`."""
    return f'netbox_delinquency.{name}_{model._meta.model_name}'


PLAN = permission_on(AccessLine, 'enforce')


class Refused(APIException):
    """Why it is not done: `detail` is the sentence, `code` the reason for programs, with its `params`."""

    status_code = HTTP_409_CONFLICT

    def __init__(self, reason: str) -> None:
        super().__init__()
        code, params = stored(reason)
        self.detail = {'detail': translated(reason), **({'code': code, 'params': params} if code else {})}


@contextmanager
def refusals() -> Iterator[None]:
    """What the state of an object does not allow is answered with a 409 and the sentence."""
    try:
        yield
    except RunRefusedError as error:
        raise Refused(error.reason) from error
    except DjangoValidationError as error:
        raise Refused(' '.join(error.messages)) from error


class FiltersRequest(serializers.Serializer):
    """Objects are chosen by the filters of their list; there must be some, for without any it would be all of them."""

    filters = serializers.DictField(allow_empty=False)


class ActionPermissions(TokenPermissions):
    """A POST to an action asks for that action's own permission instead of `add`; a token must still allow writing."""

    def __init__(self, permission: str) -> None:
        self.perms_map = {**TokenPermissions.perms_map, 'POST': [permission]}


if TYPE_CHECKING:
    from netbox.api.viewsets import NetBoxModelViewSet as _ViewSet
else:
    _ViewSet = object  # what it is mixed into is one already


class ActionsMixin(_ViewSet):
    """A viewset some of whose POST actions ask for a permission of their own, by the name of the action.

    Each class that is mixed into a viewset names its own; an action without one asks for what NetBox would.
    """

    action_permissions: dict[str, str] = {}

    @property
    def action_permission(self) -> str | None:
        """The permission that the action under way asks for."""
        for each in type(self).__mro__:
            if permission := vars(each).get('action_permissions', {}).get(self.action):
                return permission
        return None

    def get_permissions(self) -> list[Any]:
        if permission := self.action_permission:
            return [ActionPermissions(permission)]
        return super().get_permissions()

    def filter_queryset(self, queryset: QuerySet) -> QuerySet:
        """The filters are those of the list: what is asked of one object may have parameters of its own."""
        return queryset if self.detail else super().filter_queryset(queryset)

    def acted_on(self, pk: Any, model: type[Model] | None = None) -> Any:
        """The object with this key, where the user has the action's permission for that one, too."""
        # The queryset of a POST is restricted to `add`: the object is taken plainly and asked for itself.
        instance = get_object_or_404(model or self.queryset.model, pk=pk)
        self.ask_for(self.action_permission, instance)
        return instance

    def ask_for(self, permission: str | None, instance: Model) -> None:
        """Raises `PermissionDenied` where the user does not have the permission for this object."""
        if permission is None or not self.request.user.has_perm(permission, obj=instance):
            what = instance._meta.verbose_name
            raise PermissionDenied(f'You do not have the permission {permission} for this {what}.')

    def body(self, serializer_class: type[serializers.Serializer]) -> dict[str, Any]:
        serializer = serializer_class(data=self.request.data)
        serializer.is_valid(raise_exception=True)
        return serializer.validated_data

    def queued(self, job: Any, many: bool = False) -> Response:
        """202 with the job, or the jobs, that will do it."""
        answer = JobSerializer(job, many=many, context={'request': self.request})
        return Response(answer.data, status=HTTP_202_ACCEPTED)


def chosen_lines(request: Any, filters: dict[str, Any]) -> QuerySet[AccessLine]:
    """The lines that the user may enforce and these filters of the line list find. Raises `ValidationError`."""
    return chosen_by(request, filters, AccessLineFilterSet, AccessLine.objects.restrict(request.user, 'enforce'))


def chosen_by(request: Any, filters: dict[str, Any], filterset: type, allowed: QuerySet) -> QuerySet:
    """Those of `allowed` that these filters of their list find. Raises `ValidationError`."""
    chosen = filterset(filters, queryset=allowed, request=request)
    if unknown := set(filters) - set(chosen.filters):
        raise serializers.ValidationError({'filters': f'there are no such filters: {", ".join(sorted(unknown))}'})
    if not chosen.is_valid():
        raise serializers.ValidationError({'filters': chosen.errors})
    return chosen.qs


def document(request: Any, answer: Any = None, status: int = 200, **kwargs: Any) -> Any:
    """OpenAPI's part of an action."""
    return extend_schema(
        request=request,
        responses={status: answer, 409: OpenApiResponse(description='Refused: the sentence says why')},
        **kwargs,
    )
