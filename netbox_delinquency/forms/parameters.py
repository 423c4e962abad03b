"""A driver's parameters as form fields, made from the schema that the driver itself declares.

What is typed is checked by that very schema, and each error is shown at its field. Only what differs from the
defaults is kept. Parameters that are lists or objects are typed as JSON. Where no schema is known (no driver chosen
yet) and where a script posts the object itself, `parameters` is one JSON field.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pydantic
from django import forms
from django.utils.text import capfirst
from django.utils.translation import gettext_lazy as _
from utilities.forms.fields import JSONField
from utilities.forms.rendering import FieldSet

from nornir_tasks.drivers import get_driver
from nornir_tasks.errors import ConfigurationError

from ..billing.registry import AdapterMissingError, get_adapter

__all__ = ('AdapterSection', 'ParametersFormMixin', 'Section')

PREFIX = 'parameter'
Schema = Mapping[str, Any]


@dataclass(frozen=True)
class Section:
    """One driver's parameters in a form: under `key` in the object, or the whole of it where that is empty."""

    driver: str
    schema: str  # `PointParameters` or `LineParameters`
    key: str = ''
    title = _('Parameters of driver {name}')

    @property
    def model(self) -> type[pydantic.BaseModel]:
        """Raises `ConfigurationError` where the driver is not installed."""
        return getattr(get_driver(self.driver), self.schema)

    def name(self, path: tuple[str, ...]) -> str:
        """Of the form field of a parameter."""
        return '__'.join((PREFIX, *filter(None, (self.key,)), *path))

    def properties(self) -> Iterator[tuple[tuple[str, ...], Schema, bool]]:
        """Path, schema and whether it is required, of each parameter; an object within one has its own parameters."""
        whole = self.model.model_json_schema()
        for name, schema in whole.get('properties', {}).items():
            inner = whole.get('$defs', {}).get(str(schema.get('$ref', '')).rpartition('/')[2], {})
            for part, part_schema in inner.get('properties', {}).items():
                yield (name, part), part_schema, part in inner.get('required', ())
            if not inner.get('properties'):
                yield (name,), schema, name in whole.get('required', ())


@dataclass(frozen=True)
class AdapterSection(Section):
    """The same of a billing source's adapter."""

    title = _('Parameters of adapter {name}')

    @property
    def model(self) -> type[pydantic.BaseModel]:
        try:
            return get_adapter(self.driver).settings
        except AdapterMissingError as error:
            raise ConfigurationError(str(error)) from error


def form_field(path: tuple[str, ...], schema: Schema, required: bool) -> forms.Field:
    """The field that fits a parameter's JSON schema."""
    kinds = [part for part in schema.get('anyOf', (schema,)) if part.get('type') != 'null']
    kind = kinds[0] if len(kinds) == 1 else {}
    options = {
        'label': capfirst(' '.join(path).replace('_', ' ')),
        'required': required,
        'help_text': schema.get('description', ''),
        'initial': schema.get('default'),
    }
    if 'enum' in kind or 'enum' in schema:
        return forms.ChoiceField(choices=[(value, value) for value in kind.get('enum') or schema['enum']], **options)
    match kind.get('type'):
        case 'boolean':
            return forms.BooleanField(**{**options, 'required': False})
        case 'integer' | 'number':
            field = forms.IntegerField if kind['type'] == 'integer' else forms.FloatField
            return field(min_value=kind.get('minimum'), max_value=kind.get('maximum'), **options)
        case 'string':
            return forms.CharField(max_length=kind.get('maxLength'), strip=True, **options)
    return JSONField(**options)


if TYPE_CHECKING:
    from django.forms import ModelForm as _ModelForm
else:
    _ModelForm = object  # what it is mixed into is one already


class ParametersFormMixin(_ModelForm):
    """For a model form with a `parameters` field. A subclass says which sections there are."""

    fieldsets_before: tuple[FieldSet, ...] = ()
    fieldsets_after: tuple[FieldSet, ...] = ()

    def sections(self) -> list[Section]:
        raise NotImplementedError

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.parameter_sections: list[tuple[Section, list[str]]] = []
        stored = self.instance.parameters if isinstance(self.instance.parameters, dict) else {}
        for section in self.sections():
            try:
                properties = list(section.properties())
            except ConfigurationError:
                continue
            own = stored.get(section.key, {}) if section.key else stored
            names = []
            for path, schema, required in properties:
                field = form_field(path, schema, required)
                value = _value_at(own, path)
                if value is not None:
                    field.initial = value
                names.append(section.name(path))
                self.fields[names[-1]] = field
            if names:
                self.parameter_sections.append((section, names))
        if self.parameter_sections:
            self.fields['parameters'].widget = forms.HiddenInput()

    @property
    def fieldsets(self) -> list[FieldSet]:
        shown = [
            FieldSet(*names, name=section.title.format(name=section.driver))
            for section, names in self.parameter_sections
        ]
        return [
            *self.fieldsets_before,
            *(shown or [FieldSet('parameters', name=_('Parameters'))]),
            *self.fieldsets_after,
        ]

    def clean(self) -> dict[str, Any]:
        super().clean()
        given = self.cleaned_data.get('parameters')
        if any(name.startswith(f'{PREFIX}__') for name in self.data):
            self.cleaned_data['parameters'] = self._collected()
        elif isinstance(given, dict):
            for section, _names in self.parameter_sections:
                self._check(section, given.get(section.key, {}) if section.key else given)
        return self.cleaned_data

    def _collected(self) -> dict[str, Any]:
        """The object that the fields make; what a driver has against it is said at the field."""
        shown = {section.key for section, _ in self.parameter_sections}
        stored = self.instance.parameters if isinstance(self.instance.parameters, dict) else {}
        kept = {key: value for key, value in stored.items() if '' not in shown and key not in shown}
        for section, _names in self.parameter_sections:
            values: dict[str, Any] = {}
            for path, schema, _required in section.properties():
                name = section.name(path)
                value = self.cleaned_data.get(name)
                # What a page posts is there, be it empty; only an unchecked box is not.
                is_posted = name in self.data or isinstance(self.fields[name], forms.BooleanField)
                is_default = value in (None, schema.get('default')) or (value == '' and schema.get('default') is None)
                if is_default or not is_posted:
                    continue
                at = values
                for part in path[:-1]:
                    at = at.setdefault(part, {})
                at[path[-1]] = value
            self._check(section, values)
            if section.key and values:
                kept[section.key] = values
            elif not section.key:
                kept |= values
        return kept

    def _check(self, section: Section, values: Mapping[str, Any]) -> None:
        try:
            section.model.model_validate(values)
        except pydantic.ValidationError as error:
            for item in error.errors():
                path = tuple(str(part) for part in item['loc'])
                at = next((name for length in (2, 1) if (name := section.name(path[:length])) in self.fields), None)
                self.add_error(at, item['msg'])


def _value_at(values: Any, path: tuple[str, ...]) -> Any:
    for part in path:
        values = values.get(part) if isinstance(values, dict) else None
    return values
