"""A column added to a model is in the API, or is left out on purpose."""

import pytest
from utilities.api import get_graphql_type_for_model, get_serializer_for_model

from netbox_delinquency.models.state import state_fields
from tests.plugin.base import CRUD_MODELS

from .base import graphql_field

AS_OBJECTS = {
    field for state in ('intended', 'observed', 'cpe_observed', 'expected', 'desired') for field in state_fields(state)
}
HIDDEN_IN_GRAPHQL = {'open_balance', 'body'}


def columns(model):
    return {field.name for field in model._meta.fields} - {'custom_field_data'}


@pytest.mark.parametrize('model', CRUD_MODELS, ids=lambda model: model.__name__)
class TestEveryModel:
    def test_rest_has_all_its_columns_and_writes_only_those_that_forms_edit(self, model):
        fields = get_serializer_for_model(model)().fields
        assert columns(model) - AS_OBJECTS - set(fields) == set()
        engine = {field.name for field in model._meta.fields if not field.editable} & set(fields)
        assert {name for name in engine if not fields[name].read_only} == set()

    def test_graphql_has_all_its_columns_but_two(self, model):
        definition = get_graphql_type_for_model(model).__strawberry_definition__
        assert columns(model) - {field.name for field in definition.fields} == columns(model) & HIDDEN_IN_GRAPHQL

    def test_graphql_has_it_under_a_name_no_other_plugin_has(self, model):
        from netbox.graphql.schema import schema

        name = f'Delinquency{model.__name__.removeprefix("Delinquency")}'
        assert {f'{name}Type', f'{name}Filter'} <= set(schema._schema.type_map)
        field = graphql_field(model)
        assert {field, f'{field}_list'} <= set(schema._schema.query_type.fields)
