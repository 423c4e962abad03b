"""NetBox's generic test cases, told where a plugin's things are."""

from contextlib import nullcontext
from unittest import mock
from urllib.parse import urlencode

from django.apps import apps
from django.db import connection
from django.http import QueryDict
from django.test import override_settings
from django.test.utils import CaptureQueriesContext
from django.utils.module_loading import import_string
from utilities.testing import ChangeLoggedFilterSetTestMixin, TableTestCases, TestCase, ViewTestCases
from utilities.testing.views import ModelViewTestCase

from netbox_delinquency.models import BillingWord, EnforcementSettings, Invoice, Restriction, RunPoint, StartDay

__all__ = (
    'CRUD_MODELS',
    'FilterSetTestCase',
    'ListViews',
    'ObjectViewTestCase',
    'PluginViewTestCase',
    'PluginViews',
    'TableTestCase',
    'sees_everything',
)

# Every model with lists, forms and an API of its own; the others are the engine's memory, or the one row of settings.
CRUD_MODELS = [
    model
    for model in apps.get_app_config('netbox_delinquency').get_models()
    if model not in (BillingWord, EnforcementSettings, Invoice, Restriction, RunPoint, StartDay)
]

# A form refuses related objects its user may not see.
sees_everything = override_settings(EXEMPT_VIEW_PERMISSIONS=['*'])


class Collected:
    """pytest collects the subclasses of a class that is marked `__test__ = False`, not the class itself."""

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        cls.__test__ = cls.__dict__.get('__test__', True)


class PluginViews(Collected):
    def _get_base_url(self):
        return f'plugins:{self.model._meta.app_label}:{self.model._meta.model_name}_{{}}'


class PluginViewTestCase(PluginViews, ModelViewTestCase):
    __test__ = False


class ListViews(PluginViews, ViewTestCases.ListObjectsViewTestCase):
    __test__ = False

    def test_list_objects_with_permission(self):
        # NetBox keeps its baselines inside the package; the test after this one says more.
        with mock.patch('utilities.testing.views.assert_expected_query_count', return_value=nullcontext()):
            super().test_list_objects_with_permission()

    @sees_everything
    def test_a_longer_list_with_every_column_takes_no_more_queries(self):
        url = self._get_url('list')
        table = import_string(f'netbox_delinquency.tables.{self.model.__name__}Table')
        query = {'include_columns': ','.join(table._meta.fields)}
        self.client.get(url, query)  # fills the caches of a first request
        counts = []
        for found in (self._get_queryset()[:1], self._get_queryset()):
            with CaptureQueriesContext(connection) as queries:
                response = self.client.get(url, {**query, 'id': [instance.pk for instance in found]})
            self.assertEqual(len(response.context['table'].rows), len(found))
            counts.append(len(queries))
        self.assertGreater(len(found), 2)
        self.assertEqual(counts[0], counts[1], [query['sql'] for query in queries][-20:])


class ObjectViewTestCase(ListViews, ViewTestCases.PrimaryObjectViewTestCase):
    """Every standard view of a model, and its journal and change log."""

    __test__ = False

    def test_the_journal_and_the_change_log_have_their_tabs(self):
        self.add_permissions(
            f'{self.model._meta.app_label}.view_{self.model._meta.model_name}',
            'extras.view_journalentry',
            'core.view_objectchange',
        )
        instance = self._get_queryset().first()
        page = self.client.get(instance.get_absolute_url()).content.decode()
        for tab in ('journal', 'changelog'):
            url = self._get_url(tab, instance)
            self.assertIn(url, page)
            self.assertHttpStatus(self.client.get(url), 200)


# NetBox's own cases give times without a zone and mean UTC.
@override_settings(TIME_ZONE='UTC')
class FilterSetTestCase(Collected, ChangeLoggedFilterSetTestMixin, TestCase):
    __test__ = False

    def test_missing_filters(self):
        # NetBox looks for the filter set beside the test, which it takes to lie inside the plugin.
        with mock.patch.object(type(self), '__module__', 'netbox_delinquency.tests'):
            super().test_missing_filters()

    def found(self, **params):
        """What the filter set finds, as a list in the order of the primary keys; a value is one or a list of them."""
        data = {name: value if isinstance(value, list) else [value] for name, value in params.items()}
        filterset = self.filterset(QueryDict(urlencode(data, doseq=True)), self.queryset)
        assert filterset.is_valid(), filterset.errors
        unknown = set(params) - set(filterset.filters)
        assert not unknown, f'there is no filter {unknown}'
        return list(filterset.qs.order_by('pk'))


class TableTestCase(Collected, TableTestCases.StandardTableTestCase):
    __test__ = False
