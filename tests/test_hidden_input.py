"""No validator of ours quotes what it was given: a secret in the wrong place would be in a log, a page or an answer."""

import importlib
import pkgutil

import pydantic

import nornir_tasks
import tr069
from nornir_tasks.credentials import Credential


def modules(package):
    for found in pkgutil.walk_packages(package.__path__, f'{package.__name__}.'):
        if not found.name.endswith('__main__'):
            importlib.import_module(found.name)


def models(base=pydantic.BaseModel):
    for model in base.__subclasses__():
        yield model
        yield from models(model)


def test_every_model_hides_its_input_in_errors():
    for package in (nornir_tasks, tr069):
        modules(package)
    for name in ('settings', 'billing.base', 'billing.adapters.standard_webhooks'):
        importlib.import_module(f'netbox_delinquency.{name}')
    ours = [
        model for model in models() if model.__module__.split('.')[0] in ('nornir_tasks', 'tr069', 'netbox_delinquency')
    ]
    assert Credential in ours
    assert [model.__qualname__ for model in ours if not model.model_config.get('hide_input_in_errors')] == []
