"""From events to facts: late, twice, out of order, for contracts nobody knows."""

import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import count, permutations
from unittest import mock

from django.db import OperationalError
from django.test import TestCase

from netbox_delinquency.billing import ingest
from netbox_delinquency.billing.events import EventRefusedError
from netbox_delinquency.billing.ingest import process_event
from netbox_delinquency.choices import EventStatusChoices
from netbox_delinquency.models import BillingEvent, Contract
from netbox_delinquency.policy.evaluate import evaluate, frozen

from .factories import make_contract, make_line, make_policy, make_source

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
_number = count(1)


class IngestTestCase(TestCase):
    @classmethod
    def setUpTestData(cls):
        cls.source = make_source()
        cls.contract = make_contract(source=cls.source, external_id='C-1', policy=make_policy())
        cls.line = make_line(contract=cls.contract)

    def event(self, kind='invoice.overdue', source=None, at=NOW, **data):
        body = {'type': kind, 'timestamp': at.isoformat(), 'data': {'contract': 'C-1', 'invoice': 'I-1', **data}}
        return BillingEvent.objects.create(
            source=source or self.source, event_id=f'evt_{next(_number)}', event_type=kind, body=json.dumps(body)
        )

    def process(self, event, now=NOW):
        process_event(event.pk, now)
        event.refresh_from_db()
        self.contract.refresh_from_db()
        self.line.refresh_from_db()
        return event

    def test_an_overdue_invoice_sets_the_facts_and_moves_the_contract(self):
        event = self.process(self.event(due_date='2026-11-01', amount='99.90'))
        self.assertEqual((event.status, event.contract), (EventStatusChoices.PROCESSED, self.contract))
        self.assertEqual(self.contract.oldest_due_date, date(2026, 11, 1))
        self.assertEqual(self.contract.open_balance, Decimal('99.90'))
        self.assertEqual(self.contract.stage.action, 'throttle')
        self.assertEqual(self.line.intended_mode, 'throttled')

    def test_paying_the_last_open_invoice_clears_the_facts_and_not_before(self):
        self.process(self.event(due_date='2026-09-01', amount='10'))
        self.process(self.event(invoice='I-2', due_date='2026-11-01', amount='20.50'))
        self.assertEqual(self.contract.open_balance, Decimal('30.50'))
        self.process(self.event('invoice.paid', at=NOW + timedelta(seconds=1)), NOW + timedelta(seconds=1))
        self.assertEqual((self.contract.oldest_due_date, self.line.intended_mode), (date(2026, 11, 1), 'throttled'))
        self.process(self.event('invoice.paid', invoice='I-2', at=NOW + timedelta(seconds=2)), NOW + timedelta(hours=1))
        self.assertIsNone(self.contract.oldest_due_date)
        self.assertIsNone(self.contract.open_balance)
        self.assertEqual(self.line.intended_mode, 'normal')

    def test_events_may_arrive_in_any_order_and_the_newest_word_counts(self):
        history = [
            ('invoice.overdue', NOW - timedelta(hours=3)),
            ('invoice.paid', NOW - timedelta(hours=2)),
            ('invoice.overdue', NOW - timedelta(hours=2)),  # at the same moment the payment counts
        ]
        for order in permutations(history):
            with self.subTest(order=[kind for kind, _ in order]):
                self.contract.invoices.all().delete()
                Contract.objects.filter(pk=self.contract.pk).update(oldest_due_date=None)
                for kind, at in order:
                    self.process(self.event(kind, at=at, due_date='2026-09-01'))
                self.assertIsNone(self.contract.oldest_due_date)

    def test_a_sender_whose_clock_runs_ahead_cannot_make_us_deaf_to_the_payment(self):
        self.process(self.event(at=NOW + timedelta(days=30), due_date='2026-09-01'))
        self.process(self.event('invoice.paid', at=NOW + timedelta(minutes=1)), NOW + timedelta(minutes=1))
        self.assertIsNone(self.contract.oldest_due_date)

    def test_an_event_is_worked_off_once(self):
        event = self.process(self.event(due_date='2026-09-01'))
        self.assertIsNone(process_event(event.pk, NOW + timedelta(hours=1)))
        event.refresh_from_db()
        self.assertEqual(event.processed_at, NOW)

    def test_the_inbox_is_worked_off_at_once_and_a_poisoned_event_holds_up_no_other(self):
        poisoned = self.event(due_date='2026-09-01')
        good = self.event(due_date='2026-09-02', invoice='I-2')
        record = ingest._record

        def fail_once(contract, fact, now):
            if fact.invoice == 'I-1':
                raise ZeroDivisionError
            return record(contract, fact, now)

        with mock.patch.object(ingest, '_record', fail_once), self.assertLogs('netbox_delinquency.billing'):
            self.assertEqual(list(ingest.work_inbox(lambda: NOW)), [{self.contract.pk}])
        for event in (poisoned, good):
            event.refresh_from_db()
        self.assertEqual((poisoned.status, good.status), (EventStatusChoices.FAILED, EventStatusChoices.PROCESSED))
        self.assertIn('ZeroDivisionError', poisoned.message)
        self.assertEqual(list(ingest.work_inbox(lambda: NOW)), [])

    def test_an_event_that_met_a_deadlock_is_worked_the_next_time(self):
        event = self.event('invoice.paid')
        refused = mock.patch.object(ingest, '_record', side_effect=OperationalError('deadlock detected'))
        with refused, self.assertLogs('netbox_delinquency.billing'):
            self.assertEqual(list(ingest.work_inbox(lambda: NOW)), [set()])
        event.refresh_from_db()
        self.assertEqual(event.status, EventStatusChoices.RECEIVED)
        self.assertEqual(list(ingest.work_inbox(lambda: NOW)), [{self.contract.pk}])

    def test_a_payment_goes_before_the_debts_that_came_earlier_and_one_that_comes_meanwhile_too(self):
        debts = [self.event(due_date='2026-09-01', invoice=f'D-{number}') for number in range(3)]
        self.event('invoice.paid', invoice='P-1')
        worked = []
        with mock.patch.object(ingest, 'BATCH', 1):
            for changed in ingest.work_inbox(lambda: NOW):
                worked.append(BillingEvent.objects.exclude(processed_at=None).latest('last_updated').event_type)
                self.assertEqual(changed, {self.contract.pk})
                if len(worked) == 2:
                    self.event('invoice.paid', invoice='P-2')
        overdue, paid = 'invoice.overdue', 'invoice.paid'
        self.assertEqual(worked, [paid, overdue, paid, overdue, overdue])
        self.assertEqual(len(debts) + 2, BillingEvent.objects.filter(status=EventStatusChoices.PROCESSED).count())

    def test_an_unknown_contract_is_kept_and_marked(self):
        event = self.process(self.event(contract='nobody', due_date='2026-09-01'))
        self.assertEqual(event.status, EventStatusChoices.UNMATCHED)
        self.assertIn('no contract "nobody"', event.message)

    def test_another_source_cannot_speak_of_this_contract(self):
        event = self.process(self.event(source=make_source(), due_date='2026-09-01'))
        self.assertEqual(event.status, EventStatusChoices.UNMATCHED)
        self.assertIsNone(self.contract.oldest_due_date)

    def test_an_unknown_type_is_kept_and_has_no_effect(self):
        event = self.process(self.event('subscription.renewed'))
        self.assertEqual(event.status, EventStatusChoices.IGNORED)

    def test_data_that_cannot_be_used_is_kept_with_the_reason(self):
        for wrong, reason in (
            ({}, 'data.due_date'),
            ({'due_date': 'soon'}, 'data.due_date'),
            ({'due_date': '9999-12-31'}, 'data.due_date'),
            ({'due_date': '2026-09-01', 'amount': '-1'}, 'data.amount'),
            ({'due_date': '2026-09-01', 'contract': ''}, 'data.contract'),
            ({'due_date': '2026-09-01', 'invoice': 'a\x00b'}, 'data.invoice'),
        ):
            with self.subTest(wrong):
                event = self.process(self.event(**wrong))
                self.assertEqual(event.status, EventStatusChoices.FAILED)
                self.assertIn(reason, event.message)
                self.assertIsNone(self.contract.oldest_due_date)

    def test_what_came_to_nothing_is_worked_anew_when_billing_sends_it_again(self):
        event = self.process(self.event('invoice.paid', contract='C-2'))
        self.assertEqual(event.status, EventStatusChoices.UNMATCHED)
        Contract.objects.filter(pk=self.contract.pk).update(external_id='C-2')
        self.process(self.event(contract='C-2', due_date='2026-11-01', at=NOW - timedelta(hours=1)))
        again, is_new = ingest.store_event(self.source, event.event_id, event.body, NOW)
        self.assertEqual((again.pk, again.status, is_new), (event.pk, EventStatusChoices.RECEIVED, False))
        self.process(again)
        self.assertEqual((again.status, self.contract.oldest_due_date), (EventStatusChoices.PROCESSED, None))
        done, _ = ingest.store_event(self.source, event.event_id, event.body, NOW)
        self.assertEqual(done.status, EventStatusChoices.PROCESSED)

    def test_a_body_nested_without_end_is_refused(self):
        with self.assertRaisesMessage(EventRefusedError, 'not JSON'):
            ingest.store_event(self.source, 'deep', '[' * 100_000, NOW)

    def test_a_payment_told_late_makes_the_debt_that_came_after_it_a_new_one(self):
        history = [('invoice.overdue', NOW - timedelta(hours=9)), ('invoice.overdue', NOW - timedelta(hours=1))]
        for kind, at in history:
            self.process(self.event(kind, at=at, due_date='2026-09-01'))
        self.assertIsNone(self.contract.notices_from)
        late = self.process(self.event('invoice.paid', at=NOW - timedelta(hours=5)))
        self.assertEqual(self.contract.notices_from, NOW - timedelta(hours=1))
        self.assertEqual(self.contract.oldest_due_date, date(2026, 9, 1))
        self.assertIn('superseded', late.message)

    def test_a_feed_whose_events_nobody_works_off_is_late(self):
        event = self.event('invoice.paid', contract='C-9')
        BillingEvent.objects.filter(pk=event.pk).update(received_at=NOW)
        self.assertFalse(self.source.is_late(NOW + timedelta(minutes=5)))
        later = NOW + timedelta(minutes=6)
        self.assertTrue(self.source.is_late(later))
        Contract.objects.filter(pk=self.contract.pk).update(oldest_due_date=date(2026, 9, 1))
        evaluate(later)
        self.contract.refresh_from_db()
        self.assertIsNone(self.contract.stage)
        self.assertIn(self.contract.pk, frozen(later, [self.contract.pk]))
        process_event(event.pk, later)
        evaluate(later)
        self.contract.refresh_from_db()
        self.assertIsNotNone(self.contract.stage)

    def test_a_time_without_a_zone_is_refused(self):
        event = self.event(due_date='2026-09-01')
        BillingEvent.objects.filter(pk=event.pk).update(body=event.body.replace('+00:00', ''))
        self.assertIn('timestamp', self.process(event).message)

    def test_a_settled_sum_is_forgotten(self):
        self.process(self.event(due_date='2026-09-01', amount='10'))
        self.process(self.event('invoice.paid', at=NOW, amount='10'))
        self.assertIsNone(self.contract.invoices.get().amount)
