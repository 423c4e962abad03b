"""Relief that ended unpaid: nothing is cut again without a new notice, unless the policy names its article."""

from datetime import UTC, datetime, timedelta

from django.core.exceptions import ValidationError
from django.test import TestCase

from netbox_delinquency.billing.ingest import lapse_clearing
from netbox_delinquency.models import BillingWord, Invoice
from netbox_delinquency.policy.evaluate import evaluate
from netbox_delinquency.policy.facts import facts_of

from .factories import make_contract, make_line, make_policy, make_source
from .test_ingest import BillingTestCase

DAY = timedelta(days=1)
NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


class ReliefEndsTestCase(BillingTestCase, TestCase):
    @classmethod
    def setUpTestData(cls):
        cls.source = make_source()
        cls.policy = make_policy(min_notice_days=5)
        cls.contract = make_contract(source=cls.source, external_id='C-1', policy=cls.policy)
        cls.line = make_line(contract=cls.contract)

    def setUp(self):
        self.process(self.event(at=NOW - 40 * DAY, amount='70'), NOW - 40 * DAY)
        self.notice('N-1', NOW - 30 * DAY)
        self.judge(NOW - 20 * DAY)
        self.assertEqual(self.line.intended_mode, 'blocked')

    def notice(self, name, at):
        self.process(self.event('notice.delivered', at=at, notice=name, delivered_at=at.isoformat()), at)

    def judge(self, now):
        evaluate(now)
        self.refresh()
        # The rule as a pure function reads the same facts.
        noticed = facts_of(self.contract.pk, now)[0].notice_at
        self.assertEqual(noticed is None, self.line.intended_mode == 'normal', 'it is blocked where a notice counts')

    def assertNewNoticeIsAskedFor(self, ended):
        self.judge(ended + DAY)
        self.assertOwed()
        self.assertEqual(self.line.intended_mode, 'normal')
        self.notice('N-2', ended + DAY)
        evaluate(ended + 5 * DAY)
        self.refresh()
        self.assertEqual(self.line.intended_mode, 'normal', 'the days of the new notice have not passed')
        self.judge(ended + 6 * DAY)
        self.assertEqual(self.line.intended_mode, 'blocked')

    def clear_and_lapse(self):
        self.process(self.event('invoice.clearing', at=NOW - 10 * DAY), NOW - 10 * DAY)
        self.assertEqual(self.line.intended_mode, 'normal')
        ended = NOW - 4 * DAY
        self.assertEqual(lapse_clearing(ended), 1)
        return ended

    def test_a_notice_is_withdrawn_by_a_source_that_was_renamed(self):
        self.source.name = 'The new ERP'
        self.source.save()
        self.contract.refresh_from_db()  # with its source
        self.process(self.event('notice.withdrawn', at=NOW - 10 * DAY, notice='N-1'), NOW - 10 * DAY)
        self.judge(NOW - 9 * DAY)
        self.assertEqual(self.line.intended_mode, 'normal')

    def test_after_a_clearing_that_lapsed(self):
        self.assertNewNoticeIsAskedFor(self.clear_and_lapse())

    def test_after_a_broken_agreement(self):
        self.process(self.event('agreement.made', at=NOW - 10 * DAY, agreement='A', until='2027-01-31'), NOW - 10 * DAY)
        self.assertEqual(self.line.intended_mode, 'normal')
        self.process(self.event('agreement.broken', at=NOW - 4 * DAY, agreement='A'), NOW - 4 * DAY)
        self.assertNewNoticeIsAskedFor(NOW - 4 * DAY)

    def test_after_a_broken_agreement_about_a_debt_that_billing_did_not_say(self):
        Invoice.objects.all().delete()
        BillingWord.objects.all().delete()
        self.process(self.event('agreement.made', at=NOW - 10 * DAY, agreement='A', until='2027-01-31'), NOW - 10 * DAY)
        self.assertEqual(self.line.intended_mode, 'normal')
        self.assertOwed('an agreement says nothing of what is owed')
        self.process(self.event('agreement.broken', at=NOW - 4 * DAY, agreement='A'), NOW - 4 * DAY)
        self.assertNewNoticeIsAskedFor(NOW - 4 * DAY)

    def test_after_an_agreement_that_ran_out(self):
        until = (NOW - 4 * DAY).isoformat()
        self.process(self.event('agreement.made', at=NOW - 10 * DAY, agreement='A', until=until), NOW - 10 * DAY)
        self.assertEqual(self.line.intended_mode, 'normal')
        self.assertNewNoticeIsAskedFor(NOW - 4 * DAY)

    def test_after_a_dispute_that_was_closed_for_the_provider(self):
        self.process(self.event('dispute.opened', at=NOW - 10 * DAY, dispute='D'), NOW - 10 * DAY)
        self.assertEqual(self.line.intended_mode, 'normal')
        closed = self.event('dispute.closed', at=NOW - 4 * DAY, dispute='D', closed_for='provider')
        self.process(closed, NOW - 4 * DAY)
        self.assertNewNoticeIsAskedFor(NOW - 4 * DAY)

    def test_a_policy_that_names_its_article_needs_no_new_notice_for_that(self):
        self.policy.notice_outlasts_relief = True
        self.policy.save()
        self.judge(self.clear_and_lapse() + DAY)
        self.assertEqual(self.line.intended_mode, 'blocked')

    def test_a_policy_that_does_not_name_it_is_refused(self):
        self.policy.notice_outlasts_relief = True
        with self.assertRaisesMessage(ValidationError, 'Name the article'):
            self.policy.full_clean()
        self.policy.articles = {'notice_outlasts_relief': 'Contract, clause 9'}
        self.policy.full_clean()
