"""Rules every table of the plugin keeps."""

import pytest

from netbox_delinquency import tables
from netbox_delinquency.models import BillingEvent
from tests.plugin.base import CRUD_MODELS

# In no table, since every column is exported: what billing said word by word, and documents too large for a cell.
NOT_IN_A_TABLE = {
    'AccessLine': {'baseline', 'cpe_baseline'},
    'BillingEvent': {'body'},
    # What a reason's sentence is made of stands in the sentence; a row's names are in what it was planned for.
    'EnforcementRun': {'stop_params'},
    'EnforcementChange': {'before', 'after', 'exact', 'values', 'names', 'message_params', 'authors'},
}


def table_of(model):
    return getattr(tables, f'{model.__name__}Table')


def test_every_model_has_its_table():
    assert {table_of(model)._meta.model for model in CRUD_MODELS} == set(CRUD_MODELS)
    assert len(CRUD_MODELS) == 17


@pytest.mark.parametrize('model', CRUD_MODELS, ids=lambda model: model.__name__)
def test_every_field_is_a_column_that_can_be_chosen(model):
    fields = {field.name for field in model._meta.concrete_fields} - {'custom_field_data'}
    assert fields - set(table_of(model)._meta.fields) == NOT_IN_A_TABLE.get(model.__name__, set())


@pytest.mark.parametrize('model', CRUD_MODELS, ids=lambda model: model.__name__)
def test_every_named_column_exists(model):
    table = table_of(model)
    assert set(table._meta.fields) <= set(table.base_columns)
    assert set(table.Meta.default_columns) <= set(table._meta.fields)


def test_the_body_of_an_event_is_no_column():
    assert 'body' not in table_of(BillingEvent).base_columns
