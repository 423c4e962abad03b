"""Billing events: written once, never changed, and their body never shown."""

from datetime import timedelta
from unittest import mock

from core.models import ObjectChange
from django.utils import timezone
from utilities.testing import create_tags

from netbox_delinquency.models import BillingEvent

from ..factories import make_contract, make_source
from .base import APP, PluginViewTestCase

BODY = (
    '  {"type": "invoice.paid", "timestamp": "2026-11-20T12:00:00Z",'
    ' "data": {"contract": "C", "invoice": "I", "payer": "Ana"}}\n'
)


class BillingEventAPITest(PluginViewTestCase):
    model = BillingEvent
    user_permissions = (f'{APP}.view_billingsource',)
    brief_fields = ['display', 'event_id', 'event_type', 'id', 'status', 'url']
    validation_excluded_fields = ['body']  # never shown
    bulk_update_invalid_data = {'body': '{}'}

    @classmethod
    def setUpTestData(cls):
        for number in range(4):
            contract = make_contract()
            BillingEvent.objects.create(
                source=contract.source,
                event_id=f'evt-{number}',
                event_type='invoice.paid',
                body=BODY,
                status='processed',
                message='done',
                contract=contract,
                processed_at=timezone.now(),
            )
        source = make_source()
        cls.create_data = [
            {'source': source.pk, 'event_id': f'new-{number}', 'event_type': 'invoice.paid', 'body': BODY}
            for number in range(3)
        ]
        cls.update_data = cls.bulk_update_data = {'tags': [create_tags('seen')[0].pk]}

    def test_an_event_is_not_changed_after_it_was_received(self):
        self.may('change_billingevent')
        event = BillingEvent.objects.first()
        url = self._get_detail_url(event)
        for field, value in (
            ('source', make_source().pk),
            ('event_id', 'evt-99'),
            ('event_type', 'invoice.overdue'),
            ('body', '{}'),
        ):
            answer = self.send('patch', url, {field: value}, 400)
            assert list(answer) == [field]
            assert 'kept as it was received' in answer[field][0]
            answer = self.send('patch', self._get_list_url(), [{'id': event.pk, field: value}], 400)
            assert 'kept as it was received' in str(answer['errors'])
        stored = BillingEvent.objects.get(pk=event.pk)
        assert [getattr(stored, field) for field in ('source', 'event_id', 'event_type', 'body')] == [
            getattr(event, field) for field in ('source', 'event_id', 'event_type', 'body')
        ]

    def test_the_body_is_kept_to_the_byte_and_never_shown(self):
        self.may('add_billingevent')
        self.may('view_billingevent')
        row = self.send('post', self._get_list_url(), self.create_data[0], 201)
        event = BillingEvent.objects.get(pk=row['id'])
        assert event.body == BODY
        answers = [
            row,
            self.get(self._get_detail_url(event)),
            self.get(self._get_list_url()),
            self.get(self._get_list_url(), fields='body,id'),
            ObjectChange.objects.get(changed_object_id=event.pk).postchange_data,
        ]
        for answer in answers:
            assert 'Ana' not in str(answer)
        for query in (
            '{delinquency_billing_event_list {body}}',
            '{delinquency_billing_event_list(filters: {body: {i_contains: "Ana"}}) {id}}',
        ):
            assert 'body' in self.graphql(query)['errors'][0]['message']

    def test_the_body_is_neither_filtered_nor_searched_nor_ordered_by(self):
        self.may('view_billingevent')
        assert self.get(self._get_list_url(), q='Ana')['count'] == 0
        assert self.client.get(self._get_list_url(), {'body__ic': 'nobody'}, **self.header).status_code == 400
        BillingEvent.objects.filter(event_id='evt-0').update(body='zzz')
        by_body, by_default = (
            [row['id'] for row in self.get(self._get_list_url(), ordering=order)['results']] for order in ('body', '')
        )
        assert by_body == by_default

    def test_what_came_to_nothing_is_processed_again_by_filter_and_never_all_by_mistake(self):
        url = f'{self._get_list_url()}process/'
        events = BillingEvent.objects.order_by('pk')
        for event, status in zip(events, ('failed', 'unmatched', 'processed', 'unmatched'), strict=True):
            long_ago = timezone.now() - timedelta(days=7)
            BillingEvent.objects.filter(pk=event.pk).update(status=status, received_at=long_ago)
        self.send('post', url, {'filters': {'status': ['unmatched']}}, 403)
        self.may('process_billingevent')
        with mock.patch('netbox_delinquency.api.event_actions.enqueue_inbox') as enqueue:
            for body in ({}, {'filters': {}}, {'filters': {'nonsense': 'x'}}, {'filters': {'body': 'Ana'}}):
                self.send('post', url, body, 400)
            enqueue.assert_not_called()
            wanted = {'filters': {'status': ['unmatched', 'processed'], 'source_id': [events[1].source_id]}}
            assert self.send('post', url, wanted, 202) == {'queued': 1}
            enqueue.assert_called_once_with()
        assert list(events.values_list('status', flat=True)) == ['failed', 'received', 'processed', 'unmatched']
        assert not events[1].source.is_late(timezone.now()), 'it lies in the inbox since now'

    def test_an_event_received_already_is_refused(self):
        self.may('add_billingevent')
        event = BillingEvent.objects.first()
        data = {'source': event.source_id, 'event_id': event.event_id, 'body': '{}'}
        assert 'received already' in str(self.send('post', self._get_list_url(), data, 400))
