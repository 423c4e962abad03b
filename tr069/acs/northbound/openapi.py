"""Routes of the northbound API, and their OpenAPI description."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from pydantic import BaseModel

from tr069 import __version__
from tr069.acs.northbound import api


@dataclass(frozen=True, slots=True)
class Call:
    """A request, taken apart. `device_id` and the like come from the path, decoded once."""

    path: dict[str, str]
    query: dict[str, str]
    body: Any


@dataclass(frozen=True, slots=True)
class Route:
    """One operation. `body` and `gives` are pydantic models; `open` needs no token."""

    method: str
    template: str
    summary: str
    action: Callable[[Call], Awaitable[BaseModel | bytes]]
    gives: type[BaseModel] | None
    body: type[BaseModel] | None = None
    query: tuple[str, ...] = ()
    open: bool = False

    @property
    def pattern(self) -> re.Pattern[str]:
        return re.compile(re.sub(r'\{(\w+)\}', r'(?P<\1>[^/]+)', self.template))


def describe(routes: Sequence[Route]) -> dict[str, Any]:
    """The OpenAPI 3.1 description of `routes`."""
    schemas: dict[str, Any] = {}

    def reference(model: type[BaseModel]) -> dict[str, Any]:
        schema = model.model_json_schema(ref_template='#/components/schemas/{model}')
        schemas.update(schema.pop('$defs', {}))
        schemas[model.__name__] = schema
        return {'content': {'application/json': {'schema': {'$ref': f'#/components/schemas/{model.__name__}'}}}}

    paths: dict[str, Any] = {}
    for route in routes:
        names = [(name, 'path') for name in re.findall(r'\{(\w+)\}', route.template)]
        names += [(name, 'query') for name in route.query]
        good: dict[str, Any] = {'description': HTTPStatus(200).phrase}
        if route.gives is not None:
            good |= reference(route.gives)
        operation: dict[str, Any] = {
            'summary': route.summary,
            'operationId': f'{route.method.lower()}{re.sub("[^a-z0-9]+", "_", route.template)}',
            'responses': {'200': good, 'default': {'description': 'What went wrong', **reference(api.Error)}},
            'security': [] if route.open else [{'token': []}],
        }
        if names:
            operation['parameters'] = [
                {'name': name, 'in': where, 'required': where == 'path', 'schema': {'type': 'string'}}
                for name, where in names
            ]
        if route.body is not None:
            operation['requestBody'] = {'required': True, **reference(route.body)}
        paths.setdefault(route.template, {})[route.method.lower()] = operation
    return {
        'openapi': '3.1.0',
        'info': {'title': 'tr069-acs', 'version': __version__},
        'paths': paths,
        'components': {'schemas': schemas, 'securitySchemes': {'token': {'type': 'http', 'scheme': 'bearer'}}},
    }
