from __future__ import annotations

from typing import Any

from django.db import models

__all__ = ('LifecycleModel',)


class LifecycleModel(models.Model):
    """Columns that the engine writes are left out of an ordinary save of an existing row.

    A form that was opened before a payment came must not write the old intended state back when it is saved.
    """

    lifecycle_fields: tuple[str, ...] = ()

    class Meta:
        abstract = True

    def save(self, *args: Any, **kwargs: Any) -> None:
        if not self._state.adding and kwargs.get('update_fields') is None:
            kwargs['update_fields'] = self.ordinary_fields()
        super().save(*args, **kwargs)

    def ordinary_fields(self) -> list[str]:
        """What an ordinary save of an existing row writes."""
        return [
            field.name
            for field in self._meta.concrete_fields
            if not field.primary_key and field.name not in self.lifecycle_fields
        ]

    def advance(self, **values: Any) -> None:
        """Write these lifecycle columns and no others, with a row in the change log where one is kept."""
        if unknown := set(values) - set(self.lifecycle_fields):
            raise ValueError(f'not lifecycle fields of {type(self).__name__}: {", ".join(sorted(unknown))}')
        self.snapshot()
        for name, value in values.items():
            setattr(self, name, value)
        self.save(update_fields=[*values, 'last_updated'])
