"""The permissions beyond view, add, change and delete: declared by their model, and said on the installation page."""

import re
from pathlib import Path

from django.apps import apps
from django.test import SimpleTestCase
from netbox.registry import registry

from netbox_delinquency import object_actions
from netbox_delinquency.api import views as api

PAGE = Path(__file__).parents[2] / 'docs' / 'installation.md'
USUAL = {'view', 'add', 'change', 'delete'}
APP = 'netbox_delinquency'


def declared():
    """Model name → the permissions that it declares."""
    models = apps.get_app_config(APP).get_models()
    return {model._meta.model_name: {name for name, _ in model._meta.permissions} for model in models}


def asked_by_views():
    """Every `action_model` that a page or a REST action asks for."""
    for model, views in registry['views'][APP].items():
        for view in views:
            if isinstance(name := getattr(view['view'], 'permission', None), str) and name:
                yield f'{name}_{model}'
    for viewset in vars(api).values():
        for base in getattr(viewset, '__mro__', ()):
            for name in getattr(base, 'action_permissions', {}).values():
                yield name.partition('.')[2]


class PermissionsTest(SimpleTestCase):
    def test_every_permission_that_is_asked_for_is_declared_by_its_model(self):
        known = {f'{name}_{model}' for model, names in declared().items() for name in USUAL | names}
        self.assertEqual(set(asked_by_views()) - known, set())

    def test_every_button_asks_for_a_permission_that_some_model_declares(self):
        known = USUAL.union(*declared().values())
        for name in object_actions.__all__:
            self.assertEqual(getattr(object_actions, name).permissions_required - known, set(), name)

    def test_the_installation_page_lists_them_all_and_no_other(self):
        listed = set()
        for name, plural in re.findall(r'^\| `(\w+)` on ([\w ]+) \|', PAGE.read_text(), re.MULTILINE):
            listed.add((plural, name))
        models = apps.get_app_config(APP).get_models()
        expected = {
            (str(model._meta.verbose_name_plural), name) for model in models for name, _ in model._meta.permissions
        }
        self.assertEqual(listed, expected)
