from datetime import UTC, datetime

from netbox_delinquency.choices import EventStatusChoices
from netbox_delinquency.filtersets import BillingEventFilterSet, BillingSourceFilterSet
from netbox_delinquency.models import BillingEvent, BillingSource
from tests.plugin.base import FilterSetTestCase
from tests.plugin.factories import make_contract, make_event, make_source

NOW = datetime(2025, 3, 10, tzinfo=UTC)


class BillingSourceFilterSetTest(FilterSetTestCase):
    queryset = BillingSource.objects.all()
    filterset = BillingSourceFilterSet
    ignore_fields = ('parameters',)

    @classmethod
    def setUpTestData(cls):
        cls.erp = make_source(name='ERP', slug='erp', heartbeat_minutes=60)
        cls.old = make_source(name='Old', slug='old', enabled=False)
        cls.seen = make_source(name='Bank', slug='bank', last_event_at=NOW)

    def test_by_its_own_fields(self):
        self.assertEqual(self.found(enabled='false'), [self.old])
        self.assertEqual(self.found(heartbeat_minutes__lte=60), [self.erp])
        self.assertEqual(self.found(last_event_at__lt='2025-04-01T00:00:00Z'), [self.seen])
        self.assertEqual(self.found(slug=['erp', 'bank']), [self.erp, self.seen])
        self.assertEqual(self.found(q='ban'), [self.seen])


class BillingEventFilterSetTest(FilterSetTestCase):
    queryset = BillingEvent.objects.all()
    filterset = BillingEventFilterSet
    ignore_fields = ('body',)

    @classmethod
    def setUpTestData(cls):
        cls.contract = make_contract()
        cls.received = make_event(event_id='msg_1', body='{"word": "xylophone"}')
        cls.processed = make_event(
            event_id='msg_2', event_type='invoice.paid', contract=cls.contract, source=cls.contract.source,
            status=EventStatusChoices.PROCESSED, processed_at=NOW,
        )  # fmt: skip
        cls.unmatched = make_event(
            event_id='msg_3', status=EventStatusChoices.UNMATCHED, processed_at=NOW, message='no contract C-77'
        )

    def test_by_source_status_type_and_contract(self):
        self.assertEqual(self.found(source_id=self.contract.source.pk), [self.processed])
        self.assertEqual(self.found(source=self.contract.source.slug), [self.processed])
        self.assertEqual(self.found(status=['received', 'unmatched']), [self.received, self.unmatched])
        self.assertEqual(self.found(event_type='invoice.paid'), [self.processed])
        self.assertEqual(self.found(contract_id=self.contract.pk), [self.processed])
        self.assertEqual(self.found(contract=self.contract.external_id), [self.processed])
        self.assertEqual(self.found(subscriber_id=self.contract.subscriber.pk), [self.processed])

    def test_search_reads_the_message_and_not_the_body(self):
        self.assertEqual(self.found(q='c-77'), [self.unmatched])
        self.assertEqual(self.found(q='xylophone'), [])
