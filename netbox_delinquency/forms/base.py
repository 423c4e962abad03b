"""Form fields declared from the model's: label, choices, help and bounds are said there once.

A field of a model form is `choose`, of an import form `refer` or `choice`, of a bulk edit form `edit`, and of a filter
form `filter_by`. What Django makes of a model field by itself is not declared anywhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms
from django.db import models
from django.utils.dateparse import parse_datetime
from django.utils.text import capfirst, format_lazy
from django.utils.translation import gettext_lazy as _
from netbox.forms import NetBoxModelImportForm, PrimaryModelImportForm
from utilities.forms import BOOLEAN_WITH_BLANK_CHOICES, add_blank_choice
from utilities.forms.fields import (
    ChoiceField,
    CSVChoiceField,
    CSVModelChoiceField,
    DynamicModelChoiceField,
    DynamicModelMultipleChoiceField,
    JSONField,
    MultipleChoiceField,
)
from utilities.forms.rendering import FieldSet
from utilities.forms.widgets import BulkEditNullBooleanSelect, DatePicker, DateTimePicker

__all__ = (
    'OWNERSHIP',
    'SEARCH',
    'NetBoxImportForm',
    'ParametersField',
    'PrimaryImportForm',
    'aware',
    'choice',
    'choose',
    'edit',
    'field_of',
    'filter_by',
    'kept_as_created',
    'refer',
    'yes_or_no',
)

# The first and the last group of every filter form.
SEARCH = FieldSet('q', 'filter_id', 'tag')
OWNERSHIP = FieldSet('owner_group_id', 'owner_id', name=_('Ownership'))


def field_of(model: type[models.Model], name: str) -> models.Field:
    return model._meta.get_field(name)


def _label(field: models.Field):
    return capfirst(field.verbose_name)


def choose(model: type[models.Model], name: str, **options):
    """One related object, found as one types."""
    field = field_of(model, name)
    defaults = {'label': _label(field), 'required': not field.blank, 'help_text': field.help_text}
    return DynamicModelChoiceField(queryset=field.related_model.objects.all(), **{**defaults, **options})


def refer(model: type[models.Model], name: str, by: str | None = None, **options):
    """One related object in an imported record, named by its field `by` (or by its ID)."""
    field = field_of(model, name)
    named = field_of(field.related_model, by).verbose_name if by else _('ID')
    defaults = {
        'label': _label(field),
        'required': not field.blank,
        'help_text': format_lazy(_('{model}, by {field}'), model=_label(field), field=named),
    }
    return CSVModelChoiceField(queryset=field.related_model.objects.all(), to_field_name=by, **{**defaults, **options})


def choice(model: type[models.Model], name: str):
    """One of a field's choices in an imported record."""
    field = field_of(model, name)
    return CSVChoiceField(label=_label(field), choices=field.choices, required=not field.blank)


class AwareDateTimeField(forms.DateTimeField):
    """A moment with its offset: a record comes from elsewhere, and without one nobody knows whose hour it is."""

    def to_python(self, value):
        if isinstance(value, str) and value.strip():
            parsed = parse_datetime(value.strip())
            if parsed is None or parsed.tzinfo is None:
                raise forms.ValidationError(
                    _('Give the time with its offset, for example {example}.').format(
                        example='2026-08-05T12:00:00-03:00'
                    )
                )
        return super().to_python(value)


def aware(model: type[models.Model], name: str):
    """A moment in an imported record."""
    field = field_of(model, name)
    return AwareDateTimeField(label=_label(field), required=not field.blank and not field.has_default())


def edit(model: type[models.Model], name: str):
    """A field of a bulk edit form: never required, since what is left empty stays as it is."""
    field = field_of(model, name)
    options = {'label': _label(field), 'required': False, 'help_text': field.help_text}
    if field.is_relation:
        return choose(model, name, required=False)
    if field.choices:
        return ChoiceField(choices=add_blank_choice(field.choices), **options)
    if isinstance(field, models.BooleanField):
        return forms.NullBooleanField(widget=BulkEditNullBooleanSelect(), **options)
    if isinstance(field, models.IntegerField):
        return forms.IntegerField(min_value=1, **options)
    return forms.CharField(max_length=field.max_length, **options)


def filter_by(model: type[models.Model], name: str):
    """A field of a filter form, fit for the kind of values the model's field has."""
    field = field_of(model, name)
    options = {'label': _label(field), 'required': False}
    if field.is_relation:
        null_option = {'null_option': 'None'} if field.null else {}
        return DynamicModelMultipleChoiceField(queryset=field.related_model.objects.all(), **null_option, **options)
    if field.choices:
        return MultipleChoiceField(choices=field.choices, **options)
    if isinstance(field, models.BooleanField):
        return yes_or_no(**options)
    if isinstance(field, models.DateTimeField):
        return forms.DateTimeField(widget=DateTimePicker(), **options)
    if isinstance(field, models.DateField):
        return forms.DateField(widget=DatePicker(), **options)
    if isinstance(field, models.IntegerField):
        return forms.IntegerField(**options)
    return forms.CharField(**options)


def yes_or_no(label, **options):
    """A filter that is on, off, or not there."""
    return forms.NullBooleanField(
        label=label, widget=forms.Select(choices=BOOLEAN_WITH_BLANK_CHOICES), **{'required': False, **options}
    )


def kept_as_created(form: forms.ModelForm, names: tuple[str, ...], message) -> None:
    """Refuse a change of these fields of an object that exists; called from `clean()`, before the object is touched.

    A page shows them disabled; an import is where a change of them can arrive.
    """
    if form.instance.pk:
        for name in names:
            if name in form.cleaned_data and form.cleaned_data[name] != getattr(form.instance, name):
                form.add_error(name, message)


class ParametersField(JSONField):
    """An object of driver parameters; left empty it is an object without any."""

    def __init__(self, **options):
        super().__init__(required=False, **options)

    def clean(self, value):
        cleaned = super().clean(value)
        return {} if cleaned is None else cleaned


if TYPE_CHECKING:
    from django.forms import ModelForm as _ModelForm
else:
    _ModelForm = object  # what it is mixed into is one already


class _DefaultsMixin(_ModelForm):
    """A field that has a default may be left out of an imported record."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        named = ((name, field_of(self._meta.model, name)) for name in self._meta.fields)
        self._defaults = {name: field.get_default() for name, field in named if field.has_default()}
        for name in self._defaults:
            self.fields[name].required = False

    def clean(self):
        cleaned = super().clean()
        for name, default in self._defaults.items():
            # Django takes an absent checkbox for "no", and an absent number for "none".
            if name in self.fields and name not in self.data:
                self.cleaned_data[name] = default
        return cleaned


class NetBoxImportForm(_DefaultsMixin, NetBoxModelImportForm):
    pass


class PrimaryImportForm(_DefaultsMixin, PrimaryModelImportForm):
    pass
