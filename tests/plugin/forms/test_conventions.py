"""Rules every form of the plugin keeps, checked on all of them by reflection."""

import pytest
from netbox.registry import registry
from utilities.forms.rendering import FieldSet, InlineFields, TabbedGroups

from netbox_delinquency import filtersets, forms
from tests.plugin.base import CRUD_MODELS

pytestmark = pytest.mark.django_db

KINDS = ('', 'Import', 'BulkEdit', 'Filter')
# Given by NetBox's base forms, and shown by its templates.
COMMON = {'owner', 'owner_group', 'comments', 'add_tags', 'remove_tags'} | {
    'changelog_message', 'background_job', 'pk', 'id', '_init_time',
}  # fmt: skip


def form_of(model, kind):
    return getattr(forms, f'{model.__name__}{kind}Form')


def names_in(items):
    for item in items:
        match item:
            case str():
                yield item
            case FieldSet():
                yield from names_in(item.items)
            case TabbedGroups():
                yield from names_in(item.groups)
            case InlineFields():
                yield from names_in(item.fields)


def test_every_model_has_every_form():
    named = {f'{model.__name__}{kind}Form' for model in CRUD_MODELS for kind in KINDS}
    named |= {'RestrictionFilterForm'}  # written by the engine alone, and found by whoever looks
    assert {name for name in dir(forms) if name.endswith('Form')} == named


def each(*kinds):
    """Once for every such form of every model, as `model` and `form`."""
    forms_of = [(model, form_of(model, kind)) for model in CRUD_MODELS for kind in kinds]
    return pytest.mark.parametrize(('model', 'form'), forms_of, ids=lambda value: value.__name__)


@each('', 'Import', 'BulkEdit')
def test_no_form_has_a_field_the_engine_writes(model, form):
    written = {field.name for field in model._meta.concrete_fields if not field.editable} - {'id'}
    assert set(form().fields) & (written | set(getattr(model, 'lifecycle_fields', ()))) == set()


@each('')
def test_every_field_one_may_edit_is_in_the_form(model, form):
    editable = {field.name for field in model._meta.concrete_fields if field.editable}
    assert editable - {'id', 'custom_field_data'} - set(form().fields) == set()


@each('Import')
def test_what_can_be_typed_can_be_imported(model, form):
    assert set(form.Meta.fields) == set(form_of(model, '').Meta.fields)


@each('', 'Import', 'BulkEdit', 'Filter')
def test_every_form_can_tag(model, form):
    assert set(form().fields) & {'tags', 'tag', 'add_tags'}


@each('', 'BulkEdit', 'Filter')
def test_every_field_is_shown_and_once(model, form):
    instance = form()
    shown = list(names_in(instance.fieldsets or ()))
    assert len(shown) == len(set(shown))
    assert set(shown) <= set(instance.fields)
    if shown:
        visible = {name for name, field in instance.fields.items() if not field.widget.is_hidden}
        assert visible - set(shown) - COMMON == set()


@each('BulkEdit')
def test_what_can_be_emptied_in_bulk_may_be_empty(model, form):
    instance = form()
    for name in instance.nullable_fields:
        assert model._meta.get_field(name).blank, name
        assert name in instance.fields


@each('BulkEdit')
def test_a_bulk_edit_requires_nothing(model, form):
    assert [name for name, field in form().fields.items() if field.required] == ['pk']


@each('Filter')
def test_every_field_of_a_filter_form_filters(model, form):
    filters = getattr(filtersets, f'{model.__name__}FilterSet').get_filters()
    assert set(form().fields) - {'filter_id'} <= set(filters)


@each('Filter')
def test_no_filter_form_asks_for_the_balance_or_the_body(model, form):
    assert {'open_balance', 'body'} & set(form().fields) == set()


@pytest.mark.parametrize('model', CRUD_MODELS, ids=lambda model: model.__name__)
def test_every_filter_set_is_registered(model):
    label = f'netbox_delinquency.{model._meta.model_name}'
    assert registry['filtersets'][label] is getattr(filtersets, f'{model.__name__}FilterSet')
