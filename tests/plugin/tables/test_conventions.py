"""Rules every table of the plugin keeps."""

import pytest
from django.apps import apps

from netbox_delinquency import tables
from netbox_delinquency.models import BillingEvent, Invoice, StartDay

# In no table, since every column is exported: what billing said word by word, and documents too large for a cell.
NOT_IN_A_TABLE = {
    'AccessLine': {'baseline'},
    'BillingEvent': {'body'},
    'EnforcementChange': {'before', 'after'},
}
MODELS = [model for model in apps.get_app_config('netbox_delinquency').get_models() if model not in (Invoice, StartDay)]


def table_of(model):
    return getattr(tables, f'{model.__name__}Table')


def test_every_model_has_its_table():
    assert {table_of(model)._meta.model for model in MODELS} == set(MODELS)
    assert len(MODELS) == 16


@pytest.mark.parametrize('model', MODELS, ids=lambda model: model.__name__)
def test_every_field_is_a_column_that_can_be_chosen(model):
    fields = {field.name for field in model._meta.concrete_fields} - {'custom_field_data'}
    assert fields - set(table_of(model)._meta.fields) == NOT_IN_A_TABLE.get(model.__name__, set())


@pytest.mark.parametrize('model', MODELS, ids=lambda model: model.__name__)
def test_every_named_column_exists(model):
    table = table_of(model)
    assert set(table._meta.fields) <= set(table.base_columns)
    assert set(table.Meta.default_columns) <= set(table._meta.fields)


def test_the_body_of_an_event_is_no_column():
    assert 'body' not in table_of(BillingEvent).base_columns
