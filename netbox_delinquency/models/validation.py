"""Where a model's fields are checked by what the network side says of itself."""

import pydantic
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from nornir_tasks.drivers import get_driver
from nornir_tasks.errors import ConfigurationError

from ..billing.registry import AdapterMissingError, get_adapter

__all__ = ('validate_adapter_parameters', 'validate_driver_parameters')


def validate_driver_parameters(field: str, driver: str, parameters: object, schema: str) -> None:
    """Check `parameters` by a schema of the driver (`PointParameters` or `LineParameters`).

    Raises Django's `ValidationError` on `field`, with a sentence for each parameter that does not fit.
    """
    try:
        model = getattr(get_driver(driver), schema)
        model.model_validate(parameters)
    except ConfigurationError as error:
        raise ValidationError({field: str(error)}) from error
    except pydantic.ValidationError as error:
        raise _as_django(field, driver, schema, model, error) from error


def validate_adapter_parameters(field: str, adapter: str, parameters: object) -> None:
    """The same for a billing source's parameters, by the schema of its adapter."""
    try:
        model = get_adapter(adapter).settings
    except AdapterMissingError as error:
        raise ValidationError({'adapter': str(error)}) from error
    try:
        model.model_validate(parameters)
    except pydantic.ValidationError as error:
        raise _as_django(field, adapter, 'parameters', model, error) from error


def _as_django(
    field: str, owner: str, schema: str, model: type[pydantic.BaseModel], error: pydantic.ValidationError
) -> ValidationError:
    known = ', '.join(model.model_fields) or _('none')
    text = _('{driver}: {name}: {problem} (known parameters: {known})')
    return ValidationError(
        {
            field: [
                text.format(
                    driver=owner,
                    name='.'.join(str(part) for part in item['loc']) or schema,
                    problem=item['msg'],
                    known=known,
                )
                for item in error.errors()
            ]
        }
    )
