import json
from unittest import mock

from core.models import ObjectChange
from django.utils import timezone
from utilities.testing import ViewTestCases, create_tags, post_data

from netbox_delinquency.models import BillingEvent, BillingSource
from tests.plugin.base import ListViews, ObjectViewTestCase, PluginViews, PluginViewTestCase, sees_everything
from tests.plugin.factories import make_contract, make_event, make_source

SECRET = 'Rua das Laranjeiras 77'

PAID = '{"type": "invoice.paid", "timestamp": "2026-11-20T12:00:00Z", "data": {"contract": "C", "invoice": "I"}}'


class BillingSourceViewTest(ObjectViewTestCase):
    model = BillingSource

    @classmethod
    def setUpTestData(cls):
        first, second, _ = (make_source(name=f'Source {number}', slug=f'source-{number}') for number in (1, 2, 3))
        cls.form_data = {
            'name': 'ERP',
            'slug': 'erp',
            'enabled': False,
            'credential': 'erp',
            'adapter': 'standard_webhooks',
            'parameters': json.dumps({'ignored_types': ['invoice.viewed']}),
            'heartbeat_minutes': 60,
            'known_in_full': True,
            'tags': [tag.pk for tag in create_tags('Alpha', 'Bravo')],
        }
        cls.csv_data = ('name,slug,credential,enabled', 'Source 4,source-4,key,', 'Source 5,source-5,key,false')
        cls.csv_update_data = ('id,heartbeat_minutes', f'{first.pk},30', f'{second.pk},40')
        cls.bulk_edit_data = {'enabled': False, 'heartbeat_minutes': 15}

    def test_an_imported_source_is_enabled_unless_it_says_otherwise(self):
        self.add_permissions('netbox_delinquency.add_billingsource')
        data = {'data': 'name,slug,credential\nX,x,key', 'format': 'csv', 'csv_delimiter': ','}
        self.assertHttpStatus(self.client.post(self._get_url('bulk_import'), data), 302)
        self.assertTrue(BillingSource.objects.get(slug='x').enabled)

    def test_a_secret_instead_of_a_credential_name_is_refused(self):
        self.add_permissions('netbox_delinquency.add_billingsource')
        data = post_data({**self.form_data, 'credential': 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw=='})
        self.assertContains(self.client.post(self._get_url('add'), data), 'The secret itself is never kept here.')


class BillingEventViewTest(
    ListViews,
    ViewTestCases.GetObjectViewTestCase,
    ViewTestCases.GetObjectChangelogViewTestCase,
    ViewTestCases.CreateObjectViewTestCase,
    ViewTestCases.DeleteObjectViewTestCase,
    ViewTestCases.BulkImportObjectsViewTestCase,
    ViewTestCases.BulkDeleteObjectsViewTestCase,
):
    model = BillingEvent

    @classmethod
    def setUpTestData(cls):
        source = make_source()
        first, second, _ = (make_event(source=source, contract=make_contract()) for _ in range(3))
        cls.form_data = {
            'source': source.pk,
            'event_id': 'msg_by_hand',
            'event_type': 'invoice.paid',
            'body': PAID,
            'tags': [tag.pk for tag in create_tags('Alpha', 'Bravo')],
        }
        quoted = '"{}"'.format(PAID.replace('"', '""'))
        cls.csv_data = (
            'source,event_id,event_type,body',
            f'{source.slug},msg_4,invoice.paid,{quoted}',
            f'{source.slug},msg_5,,{quoted}',
        )
        cls.csv_update_data = ('id,tags', f'{first.pk},alpha', f'{second.pk},bravo')


class BillingEventEditTest(PluginViews, ViewTestCases.EditObjectViewTestCase):
    """Of an event only the tags (and custom fields) can be edited."""

    model = BillingEvent

    @classmethod
    def setUpTestData(cls):
        for _ in range(3):
            make_event()
        cls.form_data = {'tags': [tag.pk for tag in create_tags('Alpha', 'Bravo')]}


class BillingEventBodyTest(PluginViewTestCase):
    model = BillingEvent

    def setUp(self):
        super().setUp()
        self.event = make_event(body=f'{{"street": "{SECRET}"}}')
        self.add_permissions(*(f'netbox_delinquency.{action}_billingevent' for action in ('view', 'add', 'change')))

    def test_the_body_is_shown_nowhere(self):
        for url in (
            self.event.get_absolute_url(),
            self._get_url('edit', self.event),
            self._get_url('list') + '?include_columns=body',
            self._get_url('list') + '?export',
            self._get_url('list') + '?export=table&include_columns=body',
        ):
            answer = self.client.get(url)
            self.assertHttpStatus(answer, 200)
            self.assertNotIn(SECRET, b''.join(answer).decode(), url)

    def test_the_body_is_not_searched_or_filtered_by(self):
        list_url = self._get_url('list')
        self.assertNotContains(self.client.get(f'{list_url}?q={SECRET}'), self.event.event_id)
        self.assertNotIn('body', [name.split('__')[0] for name in self.filterset_names()])

    def filterset_names(self):
        from netbox_delinquency.filtersets import BillingEventFilterSet

        return BillingEventFilterSet.get_filters()

    @sees_everything
    def test_the_body_does_not_get_into_the_change_log(self):
        body = PAID.replace('"C"', f'"C", "street": "{SECRET}"')
        data = {'source': self.event.source.pk, 'event_id': 'msg_new', 'body': body}
        self.assertHttpStatus(self.client.post(self._get_url('add'), data), 302)
        change = ObjectChange.objects.get(changed_object_id=BillingEvent.objects.get(event_id='msg_new').pk)
        self.assertEqual(change.postchange_data['event_id'], 'msg_new')
        self.assertNotIn('body', change.postchange_data)

    def test_what_came_to_nothing_is_processed_again_by_those_who_may(self):
        worked = {'source': self.event.source, 'processed_at': timezone.now()}
        unmatched = make_event(status='unmatched', message='who?', **worked)
        done = make_event(status='processed', **worked)
        url, bulk = self._get_url('process', unmatched), self._get_url('bulk_process')
        self.assertNotContains(self.client.get(unmatched.get_absolute_url()), url)
        self.assertHttpStatus(self.client.post(url), 403)
        self.assertHttpStatus(self.client.post(bulk, {'pk': [unmatched.pk]}), 403)
        self.add_permissions('netbox_delinquency.process_billingevent')
        self.assertContains(self.client.get(unmatched.get_absolute_url()), url)
        self.assertNotContains(self.client.get(done.get_absolute_url()), self._get_url('process', done))
        with mock.patch('netbox_delinquency.views.billing.enqueue_inbox') as enqueue:
            for address, data in ((url, {}), (bulk, {'pk': [unmatched.pk, done.pk]}), (bulk, {'_all': 'on'})):
                BillingEvent.objects.filter(pk=unmatched.pk).update(status='unmatched', message='who?')
                self.assertHttpStatus(self.client.post(address, data), 302)
                unmatched.refresh_from_db()
                self.assertEqual((unmatched.status, unmatched.message, unmatched.processed_at), ('received', '', None))
                enqueue.assert_called_once_with()
                enqueue.reset_mock()
                BillingEvent.objects.filter(pk=unmatched.pk).update(processed_at=timezone.now())
            self.client.post(bulk, {'pk': [done.pk]})
            enqueue.assert_not_called()
        self.assertEqual(BillingEvent.objects.get(pk=done.pk).status, 'processed', 'what took effect stays so')

    def test_an_edit_does_not_change_what_billing_sent(self):
        data = {'body': '{}', 'event_id': 'msg_other', 'event_type': 'invoice.paid'}
        self.assertHttpStatus(self.client.post(self._get_url('edit', self.event), data), 302)
        kept = BillingEvent.objects.get(pk=self.event.pk)
        self.assertEqual((kept.body, kept.event_id), (self.event.body, self.event.event_id))

    def test_an_import_that_would_change_it_is_refused(self):
        data = {'data': f'id,body\n{self.event.pk},{{}}', 'format': 'csv', 'csv_delimiter': ','}
        response = self.client.post(self._get_url('bulk_import'), data)
        self.assertContains(response, 'An event is kept as billing sent it.')
        self.assertIn(SECRET, BillingEvent.objects.get(pk=self.event.pk).body)

    @sees_everything
    def test_events_can_be_tagged_in_bulk(self):
        (tag,) = create_tags('Checked')
        data = {'pk': [self.event.pk], '_apply': True, 'add_tags': [tag.pk]}
        self.assertHttpStatus(self.client.post(self._get_url('bulk_edit'), data), 302)
        self.assertEqual(list(self.event.tags.all()), [tag])
