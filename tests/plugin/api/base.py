"""NetBox's own API test cases, told where a plugin's API and GraphQL fields are."""

from contextlib import nullcontext
from unittest.mock import patch

from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import resolve, reverse
from users.models import ObjectPermission
from utilities.testing.api import APITestCase, APIViewTestCases

APP = 'netbox_delinquency'


def graphql_field(model):
    return f'delinquency_{model._meta.verbose_name.removeprefix("delinquency ").replace(" ", "_")}'


class PluginAPITestCase(APITestCase):
    view_namespace = f'plugins-api:{APP}'

    def may(self, action, **constraints):
        """Let the test user do `action` on the model (`view_contract`), on the objects that `constraints` match."""
        self.add_permissions(f'{APP}.{action}')
        if constraints:
            ObjectPermission.objects.filter(name=f'{APP}.{action}').update(constraints=constraints)

    def get(self, url, **parameters):
        response = self.client.get(url, parameters, **self.header)
        self.assertHttpStatus(response, 200)
        return response.json()

    def send(self, method, url, data, status):
        response = getattr(self.client, method)(url, data, format='json', **self.header)
        self.assertHttpStatus(response, status)
        return response.json() if response.content else None

    def graphql(self, query):
        """The body of the answer; whether it has `errors` is the test's business."""
        response = self.client.post(reverse('graphql'), {'query': query}, format='json', **self.header)
        self.assertHttpStatus(response, 200)
        return response.json()


class PluginViewTestCase(PluginAPITestCase, APIViewTestCases.APIViewTestCase):
    """Every test fixture has all its relations set, so that a query too many shows.

    `derived` are the fields that are no columns: like columns that forms do not edit, nothing comes of sending them.
    `notes_who_writes` are columns in which a write notes its user.
    """

    __test__ = False
    derived: tuple[str, ...] = ()
    notes_who_writes: tuple[str, ...] = ()

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        cls.__test__ = cls.model is not None

    def _get_graphql_base_name(self):
        return graphql_field(self.model)

    # NetBox's baseline files lie in the package itself; the test after this one says more.
    @patch('utilities.testing.api.assert_expected_query_count', lambda *_: nullcontext())
    def test_list_objects(self):
        super().test_list_objects()

    def test_a_longer_list_takes_no_more_queries(self):
        self.may(f'view_{self.model._meta.model_name}')
        declared = resolve(self._get_list_url()).func.cls.field_prefetches
        for parameters in ({}, {'brief': 1}, *({'fields': name} for names in declared for name in names)):
            self.get(self._get_list_url(), limit=1, **parameters)  # fills the caches of a first request
            one = self.count_queries(limit=1, **parameters)
            every = self.count_queries(limit=0, **parameters)
            assert every == one, f'{one} queries for one, {every} for {self.model.objects.count()} ({parameters})'

    def count_queries(self, **parameters):
        with CaptureQueriesContext(connection) as queries:
            self.get(self._get_list_url(), **parameters)
        return len(queries)

    def test_what_the_engine_writes_cannot_be_written_here(self):
        name = self.model._meta.model_name
        self.may(f'view_{name}')
        self.may(f'change_{name}')
        url = self._get_detail_url(self.model.objects.first())
        before = self.get(url)
        fields = {field.name for field in self.model._meta.fields if not field.editable} & set(before)
        fields |= set(self.derived)
        options = self.client.options(url, **self.header).json()['actions']['PUT']
        assert {field for field in fields if not options[field]['read_only']} == set()
        self.send('patch', url, dict.fromkeys(fields, 'forged'), 200)
        after = self.get(url)
        fields -= {'last_updated', *self.notes_who_writes}
        assert {field: after[field] for field in fields} == {field: before[field] for field in fields}
