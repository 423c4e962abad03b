"""The inbound webhook: nothing unsigned gets in, nothing signed gets lost, whatever is wrong is answered clearly."""

import base64
import json
from datetime import UTC, datetime, timedelta
from unittest import mock

from django.core.exceptions import ValidationError
from django.db import connection
from django.test import TestCase, override_settings
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from standardwebhooks import Webhook

from netbox_delinquency.billing.adapters.standard_webhooks import StandardWebhooks
from netbox_delinquency.choices import EventStatusChoices
from netbox_delinquency.models import BillingEvent, BillingSource

from .factories import make_source

KEY = 'whsec_' + base64.b64encode(b'the present key of the source').decode()
OLD_KEY = 'whsec_' + base64.b64encode(b'the previous key of the source').decode()
FOREIGN_KEY = 'whsec_' + base64.b64encode(b'the key of somebody else').decode()
CREDENTIAL = {'DELINQUENCY_CREDENTIAL_BILLING': json.dumps({'secret': KEY, 'previous_secret': OLD_KEY})}
EVENT = {
    'type': 'invoice.overdue',
    'timestamp': '2026-11-23T12:00:00Z',
    'data': {'contract': 'C-1', 'invoice': 'I-1', 'due_date': '2026-10-10', 'amount': '99.90'},
}


@mock.patch.dict('os.environ', CREDENTIAL)
class WebhookTestCase(TestCase):
    @classmethod
    def setUpTestData(cls):
        cls.source = make_source(slug='erp', credential='billing')

    def setUp(self):
        patcher = mock.patch('netbox_delinquency.api.webhooks.enqueue_inbox_soon')
        self.enqueue = patcher.start()
        self.addCleanup(patcher.stop)

    def post(self, body=None, *, key=KEY, event_id='evt_1', at=None, headers=None, slug='erp', sign=None):
        body = json.dumps(EVENT) if body is None else body
        at = at or datetime.now(tz=UTC)
        if headers is None:
            signature = Webhook(key).sign(event_id, at, sign if sign is not None else body)
            headers = {
                'webhook-id': event_id, 'webhook-timestamp': str(int(at.timestamp())), 'webhook-signature': signature,
            }  # fmt: skip
        url = reverse('plugins-api:netbox_delinquency-api:webhook', args=[slug])
        return self.client.post(url, body, content_type='application/json', headers=headers)

    def assertNothingStored(self):
        self.assertFalse(BillingEvent.objects.exists())
        self.enqueue.assert_not_called()

    def test_a_signed_event_is_stored_raw_answered_and_queued(self):
        body = json.dumps(EVENT, indent=3) + '\n'
        self.assertEqual(self.post(body).status_code, 200)
        event = BillingEvent.objects.get()
        self.assertEqual(
            (event.body, event.event_type, event.status), (body, 'invoice.overdue', EventStatusChoices.RECEIVED)
        )
        self.enqueue.assert_called_once_with(False)
        self.source.refresh_from_db()
        self.assertIsNotNone(self.source.last_event_at)

    def test_the_previous_key_is_accepted_while_it_is_rotated(self):
        self.assertEqual(self.post(key=OLD_KEY).status_code, 200)

    def test_one_of_several_signatures_is_enough(self):
        at, body = datetime.now(tz=UTC), json.dumps(EVENT)
        signatures = ' '.join(Webhook(key).sign('evt_1', at, body) for key in (FOREIGN_KEY, KEY))
        headers = {
            'webhook-id': 'evt_1',
            'webhook-timestamp': str(int(at.timestamp())),
            'webhook-signature': signatures,
        }
        self.assertEqual(self.post(body, headers=headers).status_code, 200)

    def test_a_duplicate_is_answered_and_kept_once(self):
        self.post()
        BillingEvent.objects.update(status=EventStatusChoices.PROCESSED, processed_at=datetime.now(tz=UTC))
        self.assertEqual(self.post().json(), {'detail': 'known already'})
        self.assertEqual(BillingEvent.objects.count(), 1)
        self.enqueue.assert_called_once()

    def test_a_duplicate_that_was_never_queued_is_queued_now(self):
        self.enqueue.side_effect = [ConnectionError, None]
        with self.assertRaises(ConnectionError):
            self.post()
        self.assertEqual(self.post().status_code, 200)
        self.assertEqual(self.enqueue.call_count, 2)

    def test_two_sources_may_use_the_same_event_id(self):
        make_source(slug='other', credential='billing')
        self.post()
        self.assertEqual(self.post(slug='other').json(), {'detail': 'stored'})

    def test_what_is_not_signed_is_refused_without_a_word_of_why(self):
        now = datetime.now(tz=UTC)
        good = Webhook(KEY).sign('evt_1', now, json.dumps(EVENT))
        stamp = str(int(now.timestamp()))
        for name, refused in {
            'unsigned': {'headers': {}},
            'foreign key': {'key': FOREIGN_KEY},
            'other body': {'sign': '{}'},
            'stale': {'at': now - timedelta(minutes=6)},
            'from the future': {'at': now + timedelta(minutes=6)},
            'other id': {'headers': {'webhook-id': 'evt_2', 'webhook-timestamp': stamp, 'webhook-signature': good}},
            'not base64': {
                'headers': {'webhook-id': 'evt_1', 'webhook-timestamp': stamp, 'webhook-signature': 'v1,???'}
            },
            'no version': {
                'headers': {'webhook-id': 'evt_1', 'webhook-timestamp': stamp, 'webhook-signature': 'garbage'}
            },
            'no number': {'headers': {'webhook-id': 'evt_1', 'webhook-timestamp': 'nan', 'webhook-signature': good}},
        }.items():
            with self.subTest(name):
                response = self.post(**refused)
                self.assertEqual(response.status_code, 401)
                self.assertEqual(response.json(), {'detail': 'The signature was refused.'})
                self.assertNothingStored()

    def test_a_body_that_is_no_event_is_refused_with_a_reason(self):
        for body in ('not json', '[]', '{}', '{"type": 7}', '{"type": "a\\u0000b"}', 'null', '"text"'):
            with self.subTest(body):
                response = self.post(body)
                self.assertEqual(response.status_code, 400)
                self.assertIn('body', response.json()['detail'])
                self.assertNothingStored()

    def test_a_body_that_is_not_text_is_refused(self):
        response = self.post(b'\xff\xfe', sign='x')
        self.assertEqual(response.status_code, 401)
        self.assertNothingStored()

    @override_settings(PLUGINS_CONFIG={'netbox_delinquency': {'webhook_max_bytes': 1024}})
    def test_an_oversized_body_is_refused_before_it_is_read(self):
        with mock.patch.object(StandardWebhooks, 'verify') as verify:
            self.assertEqual(self.post(json.dumps(EVENT | {'fill': 'x' * 1024})).status_code, 413)
        verify.assert_not_called()
        self.assertNothingStored()

    def test_an_unknown_source_and_a_disabled_one_are_told_apart(self):
        self.assertEqual(self.post(slug='nobody').status_code, 404)
        make_source(slug='off', credential='billing', enabled=False)
        self.assertEqual(self.post(slug='off').status_code, 410)
        self.assertNothingStored()

    def test_a_missing_key_of_ours_asks_the_sender_to_try_again_and_says_no_more(self):
        make_source(slug='keyless', credential='nowhere')
        with self.assertLogs('netbox_delinquency.webhooks', 'ERROR'):
            response = self.post(slug='keyless')
        self.assertEqual(response.status_code, 503)
        self.assertNotIn('nowhere', response.content.decode())

    def test_only_post_is_served(self):
        url = reverse('plugins-api:netbox_delinquency-api:webhook', args=['erp'])
        self.assertEqual(self.client.get(url).status_code, 405)

    def test_a_payment_is_urgent_whatever_it_is_called(self):
        self.post(self.body('invoice.paid'))
        self.enqueue.assert_called_once_with(True)
        event = BillingEvent.objects.get()
        self.assertEqual((event.meaning, event.is_urgent, event.reference), ('paid', True, 'c1'))

    def body(self, kind='invoice.overdue', data=None, **values):
        return json.dumps(EVENT | {'type': kind, 'data': EVENT['data'] | values if data is None else data})

    def test_the_same_id_with_another_body_is_a_conflict_and_kept_for_a_person_to_see(self):
        self.post()
        other = self.body('invoice.paid')
        for _ in range(2):
            response = self.post(other)
            self.assertEqual(response.status_code, 409)
        conflict = BillingEvent.objects.get(status=EventStatusChoices.CONFLICT)
        self.assertEqual((conflict.body, conflict.needs_attention, conflict.reference), (other, True, 'c1'))
        self.assertEqual(self.post().json(), {'detail': 'known already'})
        self.assertEqual(BillingEvent.objects.count(), 2)

    def test_what_a_payment_does_not_need_never_loses_it(self):
        for number, wrong in enumerate([
            {'amount': ''}, {'amount': '-99.90'}, {'amount': '99,90'}, {'amount': '99.905'}, {'due_date': ''},
            {'due_date': '2026-09-01T00:00:00Z'}, {'due_date': '01/09/2026'}, {'payment': ['P']}, {'amount': None},
        ]):  # fmt: skip
            for kind in ('invoice.paid', 'invoice.clearing', 'invoice.cancelled'):
                with self.subTest(kind=kind, **wrong):
                    response = self.post(self.body(kind, **wrong), event_id=f'{kind}-{number}')
                    self.assertEqual(response.status_code, 200, response.content)
        for number, at in enumerate(['', '10/09/2026', '2026-09-10', 1_789_000_000]):
            body = json.dumps({'type': 'invoice.paid', 'timestamp': at, 'data': EVENT['data']})
            self.assertEqual(self.post(body, event_id=f'at-{number}').status_code, 200, at)
        self.assertFalse(BillingEvent.objects.exclude(meaning__in=('paid', 'clearing', 'cancelled')).exists())

    def test_whatever_is_wrong_and_can_be_known_is_refused_by_the_name_of_its_field(self):
        day, sum_ = {'due_date': '2026-09-01'}, {'amount': '9.90'}
        for kind, field, data in (
            ('invoice.overdue', 'data.due_date', {'due_date': '20260901'}),
            ('invoice.overdue', 'data.due_date', {'due_date': 1_788_220_800}),
            ('invoice.overdue', 'data.due_date', {'due_date': '2026-09-01T00:00:00Z'}),
            ('invoice.overdue', 'data.due_date', {'due_date': '2026-02-30'}),
            ('invoice.overdue', 'data.due_date', {}),
            ('invoice.overdue', 'data.amount', {**day, 'amount': '-1'}),
            ('invoice.overdue', 'data.amount', {**day, 'amount': '99,90'}),
            ('invoice.overdue', 'data.amount', {**day, 'amount': '9.905'}),
            ('invoice.overdue', 'data.amount', {**day, 'amount': True}),
            ('invoice.overdue', 'data.amount', {**day, 'amount': 'NaN'}),
            ('invoice.overdue', 'data.amount', {**day, 'amount': '9' * 30}),
            ('invoice.due_changed', 'data', {}),
            ('invoice.partially_paid', 'data', {}),
            ('invoice.partially_paid', 'payment', {'sum': '5'}),
            ('invoice.credited', 'payment', {'sum': '5'}),
            ('invoice.replaced', 'data.replaced_by', {}),
            ('invoice.paid', 'data.contract', {'contract': '', **sum_}),
            ('invoice.paid', 'data.invoice', {'invoice': None}),
            ('invoice.paid', 'data.invoice', {'invoice': 'a\x00b'}),
            ('invoice.paid', 'data.invoice', {'invoice': '\ud800'}),
            ('agreement.made', 'data.until', {'agreement': 'A'}),
            ('dispute.closed', 'data.closed_for', {'dispute': 'D'}),
            ('dispute.opened', 'invoice', {'dispute': 'D', 'invoice': '', 'sum': '5'}),
            ('notice.delivered', 'data.delivered_at', {'notice': 'N'}),
            ('notice.delivered', 'sent_at', {
                'notice': 'N', 'delivered_at': '2026-09-01T00:00:00Z', 'sent_at': '2026-09-02T00:00:00Z'}),
            ('notice.delivered', 'data.delivered_at', {'notice': 'N', 'delivered_at': '2090-09-01T00:00:00Z'}),
            ('statement', 'data.complete', {'invoices': []}),
            ('statement', 'data.complete', {'invoices': [], 'complete': 'yes'}),
            ('statement', 'data.invoices.0.due_date', {'invoices': [{'invoice': 'I'}], 'complete': True}),
            ('heartbeat', 'data.payments_known_until', {}),
        ):  # fmt: skip
            with self.subTest(kind=kind, **data):
                response = self.post(self.body(kind, {'contract': 'C-1', 'invoice': 'I-1', **data}))
                self.assertEqual(response.status_code, 400, response.content)
                self.assertIn(field, response.json()['detail'])
        for at in ('', '2026-09-01', '2026-09-01T12:00:00', 1_788_220_800):
            response = self.post(json.dumps(EVENT | {'timestamp': at}))
            self.assertEqual((response.status_code, 'timestamp' in response.json()['detail']), (400, True), at)
        self.assertNothingStored()

    def test_a_contract_that_is_a_number_is_taken_as_it_is_written(self):
        self.assertEqual(self.post(self.body('invoice.paid', contract=4711)).status_code, 200)
        self.assertEqual(BillingEvent.objects.get().reference, '4711')

    def test_an_event_id_that_is_too_long_is_refused(self):
        self.assertEqual(self.post(event_id='x' * 201).status_code, 400)

    def test_a_signing_key_that_cannot_be_used_asks_the_sender_to_try_again(self):
        for name, key in {
            'one byte': 'whsec_' + base64.b64encode(b'x').decode(),
            '23 bytes': 'whsec_' + base64.b64encode(b'x' * 23).decode(),
            'empty': '',
            'prefix': 'whsec_',
            'not base64': 'whsec_ key!',
        }.items():
            variable = {'DELINQUENCY_CREDENTIAL_BILLING': json.dumps({'secret': key})}
            with (
                self.subTest(name),
                mock.patch.dict('os.environ', variable),
                self.assertLogs('netbox_delinquency.webhooks', 'ERROR') as log,
            ):
                response = self.post()
                self.assertEqual(response.status_code, 503)
                self.assertNotIn(
                    key or 'whsec', response.content.decode() + ''.join(log.output).replace('"whsec_"', '')
                )
                with self.assertRaises(ValidationError) as refused:
                    self.source.full_clean()
                self.assertEqual(set(refused.exception.message_dict), {'credential'})
        self.assertNothingStored()

    def test_a_source_without_a_key_of_its_own_may_be_set_up_before_the_key_is_there(self):
        make_source(slug='early', credential='nowhere').full_clean()

    def test_an_old_key_that_is_broken_stops_nothing(self):
        variable = {'DELINQUENCY_CREDENTIAL_BILLING': json.dumps({'secret': KEY, 'previous_secret': 'x'})}
        with mock.patch.dict('os.environ', variable), self.assertLogs('netbox_delinquency.billing'):
            self.assertEqual(self.post(key=FOREIGN_KEY).status_code, 401)
        with mock.patch.dict('os.environ', variable):
            self.assertEqual(self.post().status_code, 200)

    def test_word_of_payments_counts_and_word_of_debts_does_not(self):
        make_source(slug='watched', credential='billing', heartbeat_minutes=60)
        source = BillingSource.objects.get(slug='watched')
        now = datetime.now(tz=UTC)
        self.post(slug='watched')
        source.refresh_from_db()
        self.assertTrue(source.is_silent(now), 'only a debt was heard')
        until = (now - timedelta(minutes=30)).isoformat()
        self.post(self.body('heartbeat', {'payments_known_until': until}), slug='watched', event_id='beat')
        source.refresh_from_db()
        self.assertEqual(source.is_silent(now), False)
        self.assertTrue(source.is_silent(now + timedelta(minutes=31)))
        self.post(self.body('invoice.paid'), slug='watched', event_id='paid')
        source.refresh_from_db()
        self.assertFalse(source.is_silent(datetime.now(tz=UTC) + timedelta(minutes=59)))

    def test_a_heartbeat_cannot_promise_the_future(self):
        self.post(self.body('heartbeat', {'payments_known_until': '2090-01-01T00:00:00Z'}))
        self.source.refresh_from_db()
        self.assertLessEqual(self.source.payments_known_at, datetime.now(tz=UTC))

    def test_a_source_is_watched_unless_somebody_chooses_otherwise(self):
        self.assertEqual(BillingSource().heartbeat_minutes, 24 * 60)

    def test_an_event_takes_no_more_than_eight_statements(self):
        self.post(event_id='first')
        for name, answered in (('new', 200), ('new', 200), ('conflict', 409)):
            body = self.body('invoice.paid') if answered == 409 else None
            with CaptureQueriesContext(connection) as queries:
                self.assertEqual(self.post(body, event_id='first' if answered == 409 else name).status_code, answered)
            self.assertLessEqual(len(queries), 8, [query['sql'] for query in queries])
