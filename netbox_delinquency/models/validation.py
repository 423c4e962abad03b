"""Where a model's fields are checked by what the network side says of itself."""

import pydantic
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from nornir_tasks.drivers import get_driver
from nornir_tasks.errors import ConfigurationError

__all__ = ('validate_driver_parameters',)


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
        known = ', '.join(model.model_fields) or _('none')
        raise ValidationError(
            {
                field: [
                    _('{driver}: {name}: {problem} (known parameters: {known})').format(
                        driver=driver,
                        name='.'.join(str(part) for part in item['loc']) or schema,
                        problem=item['msg'],
                        known=known,
                    )
                    for item in error.errors()
                ]
            }
        ) from error
