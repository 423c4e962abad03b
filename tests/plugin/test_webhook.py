"""The inbound webhook: nothing unsigned gets in, nothing signed gets lost, whatever is wrong is answered clearly."""

import base64
import json
import time
from datetime import UTC, datetime, timedelta
from unittest import mock

from django.test import TestCase, override_settings
from django.urls import reverse
from standardwebhooks import Webhook

from netbox_delinquency.choices import EventStatusChoices
from netbox_delinquency.models import BillingEvent

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
        patcher = mock.patch('netbox_delinquency.api.webhooks.enqueue_inbox')
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
        self.enqueue.assert_called_once_with()
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
        with mock.patch('netbox_delinquency.api.webhooks.standard_webhooks.verify') as verify:
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

    def test_an_event_is_answered_within_a_second(self):
        started = time.monotonic()
        self.post()
        self.assertLess(time.monotonic() - started, 1)
