"""From events to facts: late, twice, out of order, for contracts nobody knows yet, or ever."""

import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import count, permutations
from unittest import mock

from django.core.exceptions import ValidationError
from django.db import OperationalError, connection
from django.test import TestCase
from django.test.utils import CaptureQueriesContext
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase as HypothesisTestCase
from rq.timeouts import JobTimeoutException

from netbox_delinquency.billing import ingest, posting
from netbox_delinquency.billing.attention import review
from netbox_delinquency.billing.ingest import lapse_clearing, process_again, process_event, process_events
from netbox_delinquency.billing.ledger import read_contract
from netbox_delinquency.choices import EventStatusChoices
from netbox_delinquency.jobs.retention import purge
from netbox_delinquency.models import BillingEvent, BillingWord, Contract, Hold, Invoice, Notice
from netbox_delinquency.policy.evaluate import evaluate, frozen

from .factories import make_contract, make_line, make_policy, make_source

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
_number = count(1)


class BillingTestCase:
    """A contract with a line, and events of its source as they lie in the inbox."""

    @classmethod
    def setUpTestData(cls):
        cls.source = make_source()
        cls.contract = make_contract(source=cls.source, external_id='C-1', policy=make_policy())
        cls.line = make_line(contract=cls.contract)

    def event(self, *args, **data):
        event = self.unsaved(*args, **data)
        event.save()
        return event

    def unsaved(self, kind='invoice.overdue', source=None, at=NOW, received=None, **data):
        data = {'contract': 'C-1', 'invoice': 'I-1', **data}
        if kind == 'invoice.overdue':
            data.setdefault('due_date', '2026-09-01')
        body = {'type': kind, 'timestamp': at.isoformat(), 'data': data}
        return BillingEvent(
            source=source or self.source, event_id=f'evt_{next(_number)}', event_type=kind, body=json.dumps(body),
            received_at=received or at,
        )  # fmt: skip

    def process(self, event, now=NOW):
        process_event(event.pk, now)
        event.refresh_from_db()
        self.refresh()
        return event

    def process_all(self, now=NOW):
        changed = set().union(*process_events(lambda: now))
        self.refresh()
        return changed

    def refresh(self):
        self.contract.refresh_from_db()
        self.line.refresh_from_db()

    def assertPaid(self, message=''):
        self.assertEqual((self.contract.oldest_due_date, self.line.intended_mode), (None, 'normal'), message)

    def assertOwed(self, message=''):
        self.assertIsNotNone(self.contract.oldest_due_date, message)


class IngestTestCase(BillingTestCase, TestCase):
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
        self.assertPaid()
        self.assertIsNone(self.contract.open_balance)

    def test_events_may_arrive_in_any_order_and_twice(self):
        history = [
            ('invoice.overdue', NOW - timedelta(hours=3)),
            ('invoice.paid', NOW - timedelta(hours=2)),
            ('invoice.overdue', NOW - timedelta(hours=1)),  # said again by a nightly batch
        ]
        for order in permutations(history):
            with self.subTest(order=[kind for kind, _ in order]):
                BillingWord.objects.all().delete()
                Invoice.objects.all().delete()
                for kind, at in [*order, order[0]]:
                    self.process(self.event(kind, at=at))
                self.assertPaid()
                self.assertEqual(BillingWord.objects.count(), 3, 'the same word is kept once')

    def test_a_senders_clock_ahead_cannot_make_us_deaf_to_the_payment(self):
        for ahead in (timedelta(seconds=2), timedelta(seconds=240), timedelta(days=30)):
            with self.subTest(ahead):
                BillingWord.objects.all().delete()
                self.event(at=NOW + ahead, received=NOW)
                self.event('invoice.paid', at=NOW + ahead + timedelta(seconds=1), received=NOW)
                self.process_all(NOW + timedelta(minutes=1))
                self.process(self.event(at=NOW + ahead, received=NOW + timedelta(hours=1)))
                self.assertPaid()

    def test_a_workers_clock_behind_changes_nothing(self):
        self.process(self.event(at=NOW - timedelta(seconds=3)), NOW - timedelta(minutes=2))
        self.process(self.event('invoice.paid', at=NOW), NOW - timedelta(minutes=2))
        self.assertPaid()

    def test_an_event_is_processed_once(self):
        event = self.process(self.event(due_date='2026-09-01'))
        self.assertEqual(process_event(event.pk, NOW + timedelta(hours=1)), set())
        event.refresh_from_db()
        self.assertEqual(event.processed_at, NOW)

    def test_a_poisoned_event_holds_up_no_other_of_its_batch(self):
        poisoned = self.event(due_date='2026-09-01')
        good = self.event(due_date='2026-09-02', invoice='I-2')
        read = ingest._read

        def fail(event):
            if event.pk == poisoned.pk:
                raise ZeroDivisionError
            return read(event)

        with mock.patch.object(ingest, '_read', fail), self.assertLogs('netbox_delinquency.billing'):
            self.assertEqual(self.process_all(), {self.contract.pk})
        for event in (poisoned, good):
            event.refresh_from_db()
        self.assertEqual((poisoned.status, good.status), (EventStatusChoices.FAILED, EventStatusChoices.PROCESSED))
        self.assertIn('ZeroDivisionError', poisoned.message)
        self.assertEqual(self.process_all(), set())

    def test_an_event_that_met_a_deadlock_is_processed_the_next_time(self):
        event = self.event('invoice.paid')
        refused = mock.patch.object(ingest, '_read', side_effect=OperationalError('deadlock detected'))
        with refused, self.assertLogs('netbox_delinquency.billing'):
            self.assertEqual(self.process_all(), set())
        event.refresh_from_db()
        self.assertEqual(event.status, EventStatusChoices.RECEIVED)
        self.assertEqual(self.process_all(), {self.contract.pk})

    def test_an_inbox_that_runs_into_the_jobs_time_limit_keeps_its_events(self):
        event = self.event('invoice.paid')
        for where in ('_read', 'post_contracts', 'evaluate'):
            with (
                self.subTest(where),
                mock.patch.object(ingest, where, side_effect=JobTimeoutException),
                self.assertRaises(JobTimeoutException),
            ):
                self.process_all()
            event.refresh_from_db()
            self.assertEqual(event.status, EventStatusChoices.RECEIVED)
        with (
            mock.patch.object(ingest, '_read', side_effect=JobTimeoutException),
            self.assertRaises(JobTimeoutException),
        ):
            process_event(event.pk, NOW)
        event.refresh_from_db()
        self.assertEqual(event.status, EventStatusChoices.RECEIVED)

    def test_a_payment_goes_before_the_debts_that_came_earlier_and_one_that_comes_meanwhile_too(self):
        debts = [self.event(due_date='2026-09-01', invoice=f'D-{number}') for number in range(3)]
        self.event('invoice.paid', invoice='P-1')
        done, seen = [], set()
        with mock.patch.object(ingest, 'BATCH', 1):
            for changed in process_events(lambda: NOW):
                event = BillingEvent.objects.exclude(processed_at=None).exclude(pk__in=seen).get()
                seen.add(event.pk)
                done.append(event.event_type)
                self.assertEqual(changed, {self.contract.pk})
                if len(done) == 2:
                    self.event('invoice.paid', invoice='P-2')
        overdue, paid = 'invoice.overdue', 'invoice.paid'
        self.assertEqual(done, [paid, overdue, paid, overdue, overdue])
        self.assertEqual(len(debts) + 2, BillingEvent.objects.filter(status=EventStatusChoices.PROCESSED).count())

    def test_a_long_inbox_costs_the_same_each_batch(self):
        for number in range(6):
            self.event(invoice=f'I-{number}')
        counts = []
        with mock.patch.object(ingest, 'BATCH', 2):
            batches = process_events(lambda: NOW)
            for _ in range(3):
                with CaptureQueriesContext(connection) as queries:
                    next(batches)
                counts.append((len(queries), max(len(query['sql']) for query in queries)))
        self.assertEqual(counts[1][0], counts[2][0])
        self.assertLess(abs(counts[1][1] - counts[2][1]), 200, 'no list of what was seen grows')

    def test_an_unknown_contract_is_kept_and_marked(self):
        event = self.process(self.event(contract='nobody', due_date='2026-09-01'))
        self.assertEqual(event.status, EventStatusChoices.UNMATCHED)
        self.assertIn('no contract "nobody"', event.message)

    def test_another_source_cannot_speak_of_this_contract(self):
        event = self.process(self.event(source=make_source(), due_date='2026-09-01'))
        self.assertEqual(event.status, EventStatusChoices.UNMATCHED)
        self.assertIsNone(self.contract.oldest_due_date)

    def test_a_type_that_is_not_about_money_is_kept_and_has_no_effect(self):
        event = self.process(self.event('subscription.renewed'))
        self.assertEqual((event.status, event.needs_attention), (EventStatusChoices.IGNORED, False))

    def test_data_that_cannot_be_used_is_kept_with_the_reason(self):
        for wrong, reason in (
            ({'due_date': ''}, 'data.due_date'),
            ({'due_date': 'soon'}, 'data.due_date'),
            ({'due_date': '9999-12-31'}, 'data.due_date'),
            ({'amount': '-1'}, 'data.amount'),
            ({'contract': ''}, 'data.contract'),
            ({'invoice': 'a\x00b'}, 'data.invoice'),
        ):
            with self.subTest(wrong):
                event = self.process(self.event(**wrong))
                self.assertEqual(event.status, EventStatusChoices.FAILED)
                self.assertIn(reason, event.message)
                self.assertIsNone(self.contract.oldest_due_date)

    def test_a_debt_whose_time_has_no_zone_is_refused(self):
        event = self.event(due_date='2026-09-01')
        BillingEvent.objects.filter(pk=event.pk).update(body=event.body.replace('+00:00', ''))
        self.assertIn('timestamp', self.process(event).message)

    def test_a_payment_told_late_settles_the_debt_that_was_said_again_since(self):
        for at in (NOW - timedelta(hours=9), NOW - timedelta(hours=1)):
            self.process(self.event(at=at))
        self.process(self.event('invoice.paid', at=NOW - timedelta(hours=5), received=NOW))
        self.assertPaid()

    def test_a_feed_whose_events_nobody_processes_is_late(self):
        event = self.event('invoice.paid', contract='C-9')
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

    def test_a_settled_sum_is_forgotten(self):
        self.process(self.event(due_date='2026-09-01', amount='10'))
        self.process(self.event('invoice.paid', at=NOW, amount='10'))
        self.assertIsNone(self.contract.invoices.get().amount)

    def test_what_was_to_clear_and_has_not_is_owed_again(self):
        self.process(self.event(at=NOW - timedelta(days=1)))
        self.process(self.event('invoice.clearing'))
        self.assertTrue(self.contract.awaiting_clearing)
        self.assertEqual(lapse_clearing(NOW + timedelta(days=5, hours=23)), 0)
        self.assertEqual(lapse_clearing(NOW + timedelta(days=6)), 1)
        self.refresh()
        self.assertFalse(self.contract.awaiting_clearing)
        self.assertOwed()
        self.assertEqual(self.contract.relief_ended_at, NOW + timedelta(days=6))


class WaitingWordsTestCase(BillingTestCase, TestCase):
    """What is said of a contract before it is here."""

    def test_a_payment_that_came_before_its_contract_is_known_when_an_older_debt_comes(self):
        event = self.process(self.event('invoice.paid', contract='C-2'))
        self.assertEqual(event.status, EventStatusChoices.UNMATCHED)
        for create in (self.by_save, self.in_bulk):
            with self.subTest(create.__name__):
                contract = create()
                self.process(self.event(contract='C-2', at=NOW - timedelta(hours=1)))
                contract.refresh_from_db()
                self.assertIsNone(contract.oldest_due_date)
                event.refresh_from_db()
                self.assertEqual((event.status, event.contract), (EventStatusChoices.PROCESSED, contract))
                contract.delete()
                BillingEvent.objects.update(status=EventStatusChoices.UNMATCHED)

    def by_save(self):
        return make_contract(source=self.source, external_id='C-2')

    def in_bulk(self):
        other = Contract(
            source=self.source, external_id='C-2', subscriber=self.contract.subscriber, plan=self.contract.plan
        )
        return Contract.objects.bulk_create([other])[0]

    def test_a_contract_that_appears_is_read_at_once(self):
        self.process(self.event(contract='C-2', due_date='2026-09-01'))
        contract = make_contract(source=self.source, external_id='C-2', policy=self.contract.policy)
        contract.refresh_from_db()
        self.assertEqual((contract.oldest_due_date, contract.stage.action), (date(2026, 9, 1), 'block'))

    def test_a_contract_that_gets_its_right_name_is_read_at_once(self):
        self.process(self.event(contract='C-3'))
        self.contract.external_id = 'C-3'
        self.contract.save()
        self.refresh()
        self.assertOwed()

    def test_case_and_spaces_make_no_other_contract(self):
        for name in ('c-1', ' C-1 ', 'C- 1', 'Ｃ-1'):
            with self.subTest(name):
                event = self.process(self.event(contract=name, invoice=name.strip()))
                self.assertEqual(event.contract, self.contract)

    def test_two_contracts_that_differ_in_case_alone_are_refused_with_both_names(self):
        other = Contract(
            source=self.source, external_id='c 1', subscriber=self.contract.subscriber, plan=self.contract.plan
        )
        # As NetBox's forms and API do: a space between letters.
        other.external_id = 'c -1'
        with self.assertRaises(ValidationError) as refused:
            other.full_clean()
        self.assertIn('"c -1" and contract "C-1"', str(refused.exception))

    def test_an_alias_is_the_contract(self):
        self.contract.aliases = ['4711']
        self.contract.save()
        self.assertEqual(self.process(self.event(contract='4711')).contract, self.contract)

    def test_an_alias_that_two_contracts_have_means_neither(self):
        for contract in (self.contract, make_contract(source=self.source)):
            contract.aliases = ['4711']
            contract.save()
        self.assertEqual(self.process(self.event(contract='4711')).status, EventStatusChoices.UNMATCHED)


class AttentionTestCase(BillingTestCase, TestCase):
    """A word about money that we hold, and cannot read or match."""

    def spared(self, contract=None):
        contract = contract or self.contract
        Contract.objects.filter(pk=contract.pk).update(oldest_due_date=date(2026, 9, 1))
        evaluate(NOW)
        contract.refresh_from_db()
        assert (contract.pk in frozen(NOW, [contract.pk])) == (contract.stage is None)
        return contract.stage is None

    def test_a_payment_that_could_mean_a_contract_spares_it_and_no_other_until_a_person_has_looked(self):
        other = make_contract(source=self.source, external_id='C-2', policy=self.contract.policy)
        event = self.process(self.event('invoice.paid', contract='C-0001'))
        self.assertEqual((event.status, event.needs_attention), (EventStatusChoices.UNMATCHED, True))
        self.assertTrue(self.spared())
        self.assertFalse(self.spared(other))
        self.assertEqual(review(BillingEvent.objects.all(), None, NOW), 1)
        self.assertFalse(self.spared())

    def test_a_payment_of_a_contract_that_resembles_nothing_spares_nobody(self):
        event = self.process(self.event('invoice.paid', contract='X-777'))
        self.assertEqual((event.status, event.needs_attention), (EventStatusChoices.UNMATCHED, False))
        self.assertFalse(self.spared())

    def test_of_a_source_that_is_known_in_full_such_a_payment_raises_an_alarm(self):
        self.source.known_in_full = True
        self.source.save()
        event = self.process(self.event('invoice.paid', contract='X-777'))
        self.assertTrue(event.needs_attention)
        self.assertFalse(self.spared())

    def test_a_debt_of_an_unknown_contract_spares_nobody(self):
        self.assertFalse(self.process(self.event(contract='C-0001')).needs_attention)

    def test_a_misspelt_payment_is_unrecognised_and_spares_its_contract(self):
        other = make_contract(source=self.source, external_id='C-2', policy=self.contract.policy)
        for kind in ('invoice.payed', 'Invoice.Paid', 'payment.received', 'agreement.signed'):
            with self.subTest(kind):
                event = self.process(self.event(kind))
                self.assertEqual((event.status, event.needs_attention), (EventStatusChoices.UNRECOGNISED, True))
                self.assertTrue(self.spared())
                self.assertFalse(self.spared(other))
                review(BillingEvent.objects.all(), None, NOW)

    def test_a_payment_that_names_no_contract_we_can_read_spares_the_whole_source(self):
        elsewhere = make_contract(policy=self.contract.policy)
        event = self.event('invoice.paid', contract={'id': 1})
        self.process(event)
        self.assertEqual((event.status, event.needs_attention), (EventStatusChoices.FAILED, True))
        self.assertTrue(self.spared())
        self.assertFalse(self.spared(elsewhere))

    def test_it_reaches_whoever_asked_to_be_told(self):
        with mock.patch('netbox_delinquency.billing.attention.send_event') as send:
            event = self.process(self.event('invoice.payed'))
        send.assert_called_once_with(event, 'billing.needs_attention')

    def test_what_was_put_right_and_processed_again_needs_no_attention(self):
        event = self.process(self.event('invoice.paid', contract='C-0001'))
        self.contract.aliases = ['C-0001']
        self.contract.save()
        event.refresh_from_db()
        self.assertEqual((event.status, event.needs_attention), (EventStatusChoices.PROCESSED, False))

    def test_a_contract_that_appears_and_could_be_meant_is_spared(self):
        self.process(self.event('invoice.paid', contract='X-0777'))
        late = make_contract(source=self.source, external_id='X-777', policy=self.contract.policy)
        self.assertTrue(self.spared(late))

    def test_processed_again_it_may_still_need_attention(self):
        event = self.process(self.event('invoice.payed'))
        self.assertEqual(process_again(BillingEvent.objects.all(), NOW), 1)
        self.assertTrue(self.process(event).needs_attention)


class MeaningsTestCase(BillingTestCase, TestCase):
    """Words that become holds, notices and the contract's status."""

    def test_an_agreement_relieves_while_it_is_kept_and_asks_for_a_new_notice_once_broken(self):
        self.process(self.event(at=NOW - timedelta(days=2)))
        self.assertEqual(self.line.intended_mode, 'blocked')
        self.process(self.event('agreement.made', at=NOW - timedelta(days=1), agreement='A-1', until='2027-01-31'))
        self.assertEqual((self.line.intended_mode, self.contract.in_relief), ('normal', True))
        hold = Hold.objects.get()
        self.assertEqual((hold.kind, hold.reference, hold.asserted_by), ('payment_agreement', 'A-1', self.source.name))
        self.process(self.event('agreement.broken', at=NOW, agreement='A-1'))
        self.assertEqual(Hold.objects.get().ended_at, NOW)
        self.assertEqual(self.contract.relief_ended_at, NOW)

    def test_the_end_of_an_agreement_is_a_fact_before_any_debt_is_heard_of_and_asks_for_a_new_notice_then(self):
        self.process(self.event('agreement.made', at=NOW - timedelta(days=2), agreement='A-1', until='2027-01-31'))
        self.assertEqual(self.contract.relief_ended_at, datetime(2027, 2, 1, 11, 59, 59, tzinfo=UTC))
        self.process(self.event('agreement.broken', agreement='A-1'))
        self.assertEqual(self.contract.relief_ended_at, NOW)

    def test_a_dispute_of_an_invoice_relieves_until_it_is_closed(self):
        self.process(self.event(at=NOW - timedelta(days=2)))
        self.process(self.event('dispute.opened', at=NOW - timedelta(days=1), dispute='D-1'))
        self.assertPaid()
        self.process(self.event('dispute.closed', at=NOW, dispute='D-1', closed_for='provider'))
        self.assertOwed()

    def test_a_notice_is_kept_once_and_one_that_failed_is_none(self):
        at = NOW - timedelta(days=1)
        values = {'notice': 'N-1', 'delivered_at': at.isoformat(), 'channel': 'email'}
        self.process(self.event('notice.delivered', **values))
        self.process(self.event('notice.delivered', **{**values, 'delivered_at': NOW.isoformat()}))
        notice = Notice.objects.get()
        self.assertEqual((notice.delivered_at, notice.channel, notice.asserted_by), (at, 'email', self.source.name))
        self.process(self.event('notice.failed', notice='N-1'))
        notice.refresh_from_db()
        self.assertIsNone(notice.delivered_at)

    def test_a_notice_that_a_person_entered_is_theirs(self):
        Notice.objects.create(
            contract=self.contract, kind='suspension', reference='N-1', delivered_at=NOW, asserted_by='Post office'
        )
        self.process(self.event('notice.withdrawn', notice='N-1'))
        self.assertEqual(Notice.objects.get().delivered_at, NOW)

    def test_a_closed_contract_is_terminated_and_one_that_is_opened_again_is_active(self):
        self.process(self.event('contract.closed', at=NOW - timedelta(days=1)))
        self.assertEqual((self.contract.status, self.contract.billing_status), ('terminated', 'closed'))
        self.process(self.event('contract.opened'))
        self.assertEqual((self.contract.status, self.contract.billing_status), ('active', 'open'))

    def test_a_complete_statement_of_the_source_settles_what_it_leaves_out_even_told_late(self):
        other = make_contract(source=self.source, external_id='C-2')
        for name in ('C-1', 'C-2'):
            self.process(self.event(contract=name, at=NOW - timedelta(days=2)))
        invoices = [{'invoice': 'I-1', 'due_date': '2026-09-01', 'amount': '5'}]
        contracts = [{'contract': 'C-2', 'invoices': invoices}]
        self.process(self.event('statement', contracts=contracts, complete=True))
        other.refresh_from_db()
        self.assertPaid()
        self.assertEqual((other.oldest_due_date, other.open_balance), (date(2026, 9, 1), 5))
        self.process(self.event(invoice='I-9', at=NOW - timedelta(days=1), received=NOW))
        self.assertPaid('it was said before the statement')

    def test_an_incomplete_statement_clears_nothing(self):
        self.process(self.event(at=NOW - timedelta(days=2)))
        self.process(self.event('statement', invoices=[], complete=False))
        self.assertOwed()
        self.process(self.event('statement', invoices=[], complete=True))
        self.assertPaid()

    def test_voided_credited_and_cancelled_invoices_restore(self):
        for kind in ('voided', 'cancelled', 'written_off', 'credited'):
            with self.subTest(kind):
                self.process(self.event(invoice=kind, at=NOW - timedelta(days=2)))
                self.assertOwed()
                self.process(self.event(f'invoice.{kind}', invoice=kind))
                self.assertPaid()

    def test_a_re_issued_boleto_paid_under_its_own_number_restores(self):
        self.process(self.event(at=NOW - timedelta(days=2)))
        self.process(self.event('invoice.replaced', replaced_by='I-2'))
        self.process(self.event('invoice.paid', invoice='I-2'))
        self.assertPaid()


class ForgottenWordsTestCase(BillingTestCase, TestCase):
    """What is purged after its term takes nothing back from a payer, and gives nobody's contract a new life."""

    def settle_by_statement(self, at):
        self.process(self.event('statement', at=at, invoices=[], complete=True), at)

    def settle_by_agreement(self, at):
        self.process(self.event('agreement.made', at=at, agreement='A', until='2027-01-31'), at)
        self.process(self.event('agreement.kept', at=at + timedelta(days=1), agreement='A'), at + timedelta(days=1))

    def settle_by_dispute(self, at):
        self.process(self.event('dispute.opened', at=at, dispute='D', invoice=''), at)
        at += timedelta(days=1)
        closed = self.event('dispute.closed', at=at, dispute='D', invoice='', closed_for='subscriber')
        self.process(closed, at)

    def settle_by_parts(self, at):
        self.process(self.event('invoice.partially_paid', at=at, sum='10', payment='P-1'), at)

    def test_a_debt_told_again_after_all_was_forgotten_is_still_settled_however_it_was(self):
        for settle in (
            self.settle_by_statement, self.settle_by_agreement, self.settle_by_dispute, self.settle_by_parts,
        ):  # fmt: skip
            for is_restated_meanwhile in (False, True):
                with self.subTest(settle.__name__, restated=is_restated_meanwhile):
                    BillingWord.objects.all().delete()
                    Invoice.objects.all().delete()
                    Hold.objects.all().delete()
                    start = NOW - timedelta(days=300)
                    self.process(self.event(at=start, due_date='2026-01-10', amount='10'), start)
                    self.assertOwed()
                    settle(start + timedelta(days=1))
                    self.assertPaid()
                    if is_restated_meanwhile:
                        self.process(self.event(at=NOW - timedelta(days=3), due_date='2026-01-10', amount='10'))
                    purge(NOW, 180, 1826)
                    self.process(self.event(at=NOW, due_date='2026-01-10'))
                    self.assertPaid()

    def test_a_closed_contract_stays_closed_when_the_word_of_it_is_forgotten(self):
        closed = NOW - timedelta(days=300)
        self.process(self.event('contract.closed', at=closed), closed)
        purge(NOW, 180, 1826)
        self.assertFalse(BillingWord.objects.exists())
        self.process(self.event('invoice.paid'))
        self.assertEqual((self.contract.status, self.contract.billing_status), ('terminated', 'closed'))


# Words as the inbox gets them, of which histories are made; those of an invoice are of one of two.
SAID = (
    ('invoice.issued', {'due_date': '2026-09-10', 'amount': '100'}),
    ('invoice.overdue', {'amount': '100'}),
    ('invoice.overdue', {'amount': '0'}),
    ('invoice.due_changed', {'due_date': '2026-11-19'}),
    ('invoice.paid', {}),
    ('invoice.paid', {'payment': 'P-1'}),
    ('invoice.clearing', {}),
    ('invoice.cancelled', {}),
    ('invoice.credited', {'sum': '60', 'payment': 'CN-1'}),
    ('invoice.replaced', {'replaced_by': 'I-2'}),
    ('invoice.reinstated', {}),
    ('invoice.partially_paid', {'amount': '40'}),
    ('payment.reversed', {'payment': 'P-1'}),
    ('agreement.made', {'agreement': 'A', 'until': '2027-01-31'}),
    ('agreement.made', {'agreement': 'A', 'until': '2026-11-14'}),
    ('agreement.instalment_paid', {'agreement': 'A', 'until': '2027-02-28'}),
    ('agreement.kept', {'agreement': 'A'}),
    ('agreement.broken', {'agreement': 'A'}),
    ('dispute.opened', {'dispute': 'D'}),
    ('dispute.opened', {'dispute': 'E', 'invoice': ''}),
    ('dispute.closed', {'dispute': 'D', 'closed_for': 'provider'}),
    ('dispute.closed', {'dispute': 'E', 'invoice': '', 'closed_for': 'subscriber'}),
    ('statement', {'invoices': [{'invoice': 'I-2', 'due_date': '2026-09-05'}], 'complete': True}),
)
HISTORIES, ORDERS = 12, 3


class HistoriesTestCase(BillingTestCase, HypothesisTestCase):
    """The same through the inbox and the database: what is stored is what the pure function says.

    The pure function carries the permutations (test_ledger.py). Here many histories go through one inbox, each in
    several orders, as contracts of their own.
    """

    FACTS = (
        'oldest_due_date', 'open_balance', 'unpaid_invoices', 'awaiting_clearing', 'notices_from', 'relief_ended_at',
    )  # fmt: skip
    RELIEF = ('kind', 'reference', 'starts_at', 'ends_at', 'ended_at', 'end_reason', 'instalments')

    @classmethod
    def setUpTestData(cls):
        super().setUpTestData()
        given_ = {'source': cls.source, 'subscriber': cls.contract.subscriber, 'plan': cls.contract.plan}
        cls.contracts = [
            [Contract(external_id=f'H-{history}-{order}', **given_) for order in range(ORDERS)]
            for history in range(HISTORIES)
        ]
        Contract.objects.bulk_create(contract for contracts in cls.contracts for contract in contracts)

    # The message names the one history; to make it shorter would take minutes.
    @settings(
        max_examples=5, deadline=None, suppress_health_check=list(HealthCheck),
        phases=(Phase.explicit, Phase.reuse, Phase.generate),
    )  # fmt: skip
    @given(
        st.lists(
            st.lists(
                st.tuples(st.sampled_from(SAID), st.sampled_from(['I-1', 'I-2']), st.integers(-240, 0)),
                min_size=1, max_size=7,
            ),
            min_size=HISTORIES, max_size=HISTORIES,
        ),
        st.sampled_from([1, 3, 10]),
        st.randoms(use_true_random=False),
    )  # fmt: skip
    def test_every_order_and_repetition_ends_equal_and_as_the_pure_function_says(self, histories, at_once, chance):
        told = []
        for history, contracts in zip(histories, self.contracts, strict=True):
            for contract in contracts:
                words = [*history, chance.choice(history)]
                chance.shuffle(words)
                told += [(place, contract, word) for place, word in enumerate(words)]
        # In turns: a batch holds so many words of each contract.
        told.sort(key=lambda item: item[0])
        BillingEvent.objects.bulk_create(self.told(contract, *word) for _, contract, word in told)
        with mock.patch.object(ingest, 'BATCH', at_once * HISTORIES * ORDERS):
            self.process_all()
        self.assertFalse(BillingEvent.objects.exclude(status=EventStatusChoices.PROCESSED).exists())
        for history, contracts in zip(histories, self.contracts, strict=True):
            stored = [self.stored(contract.pk) for contract in contracts]
            assert stored[0] == stored[1] == stored[2], history
            assert stored[0] == self.computed(contracts[0].pk), history

    def told(self, contract, said, invoice, hours):
        (kind, data), at = said, NOW + timedelta(hours=hours)
        return self.unsaved(kind, at=at, **{'contract': contract.external_id, 'invoice': invoice, **data})

    def stored(self, pk):
        facts = Contract.objects.values(*self.FACTS).get(pk=pk)
        invoices = Invoice.objects.filter(contract=pk).values_list('reference', *posting.INVOICE_FIELDS)
        return facts, sorted(invoices), sorted(Hold.objects.filter(contract=pk).values_list(*self.RELIEF))

    def computed(self, pk):
        state = read_contract(posting._entries_of([pk])[pk], NOW, 6)
        invoices = [
            (invoice.reference, *(getattr(invoice, name) for name in posting.INVOICE_FIELDS))
            for invoice in state.invoices.values()
        ]
        reliefs = [tuple(getattr(relief, name) for name in self.RELIEF) for relief in state.reliefs]
        return {name: getattr(state.facts, name) for name in self.FACTS}, sorted(invoices), sorted(reliefs)
