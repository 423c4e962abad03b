"""The ledger as pure functions: whatever order the words come in, however often, a payer is never cut."""

from __future__ import annotations

import random
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netbox_delinquency.billing.accounts import InvoiceStatus
from netbox_delinquency.billing.base import Entry, Meaning, StatementLine, Word
from netbox_delinquency.billing.ledger import read_contract

NOW = datetime(2026, 9, 20, 12, tzinfo=UTC)
DAY, HOUR, SECOND = timedelta(days=1), timedelta(hours=1), timedelta(seconds=1)
DUE = date(2026, 9, 1)
CLEARING_DAYS = 6


def said(meaning, at, received=None, **values):
    values = {'invoice': 'I-1', **({'due_date': DUE} if meaning == 'overdue' else {}), **values}
    return Entry(Word(Meaning(meaning), contract='C-1', at=at, **values), received or at)


def read(entries, now=NOW, statements=()):
    return read_contract(entries, now, CLEARING_DAYS, statements)


def status_of(entries, now=NOW, invoice='I-1'):
    """The invoice's status, which no order and no repetition of the words changes."""
    entries = list(entries)
    first = read(entries, now)
    for order in permutations(entries) if len(entries) < 6 else ():
        assert read([*order, *order[:2]], now) == first
    return str(first.invoices[invoice].status)


WED = datetime(2026, 9, 9, 15, tzinfo=UTC)


class TestRestatingADebt:
    """Only a reinstatement, a reversal or a lapsed clearing reopens what was settled."""

    CLEARED = (said('overdue', WED - 5 * DAY), said('clearing', WED))
    RESTATED = said('overdue', WED + 11 * HOUR)

    def test_clearing_on_wednesday_a_nightly_batch_restates_it_and_it_is_paid_on_thursday(self):
        assert status_of(self.CLEARED, WED) == 'clearing'
        assert status_of([*self.CLEARED, self.RESTATED], WED + 12 * HOUR) == 'clearing'
        assert status_of([*self.CLEARED, self.RESTATED, said('paid', WED + 21 * HOUR)]) == 'settled'

    def test_what_was_to_clear_and_has_not_is_owed_again_and_needs_a_new_notice(self):
        lapse = WED + CLEARING_DAYS * DAY
        assert status_of([*self.CLEARED, self.RESTATED], lapse - SECOND) == 'clearing'
        state = read([*self.CLEARED, self.RESTATED], lapse)
        assert (state.invoices['I-1'].status, state.facts.relief_ended_at) == (InvoiceStatus.OWED, lapse)

    @pytest.mark.parametrize('settling', ['paid', 'cancelled', 'credited'])
    def test_a_debt_that_is_said_again_after_it_was_settled_is_not_owed(self, settling):
        words = [said('overdue', WED), said(settling, WED + HOUR), said('overdue', WED + 9 * DAY)]
        assert status_of(words) == 'settled'

    def test_a_reinstated_debt_is_owed_and_needs_a_new_notice(self):
        words = [said('overdue', WED), said('cancelled', WED + HOUR), said('reinstated', WED + DAY)]
        assert status_of(words) == 'owed'
        assert read(words).facts.notices_from == WED + DAY

    def test_reinstated_and_paid_at_the_same_moment_it_is_paid(self):
        words = [said('overdue', WED), said('reinstated', WED + HOUR), said('paid', WED + HOUR)]
        assert status_of(words) == 'settled'


class TestTimesOfPayments:
    @pytest.mark.parametrize('bank_day', [datetime(2026, 9, 10, tzinfo=UTC), datetime(2026, 9, 9, tzinfo=UTC)])
    def test_a_payment_stamped_with_the_banks_day_settles_a_debt_stamped_after_it(self, bank_day):
        overdue = said('overdue', datetime(2026, 9, 10, 3, tzinfo=UTC))
        paid = said('paid', bank_day, NOW, whole_day=True)
        assert status_of([overdue, paid]) == 'settled'

    def test_a_payment_of_a_day_settles_what_was_reinstated_within_that_day(self):
        day = datetime(2026, 9, 10, tzinfo=UTC)
        words = [
            said('overdue', day - DAY), said('cancelled', day + HOUR), said('reinstated', day + 2 * HOUR),
            said('paid', day, day + 3 * HOUR, whole_day=True),
        ]  # fmt: skip
        assert status_of(words) == 'settled'

    @pytest.mark.parametrize('ahead', [2, 60, 240, 86_400 * 30])
    def test_a_senders_clock_ahead_cannot_hide_the_payment_that_follows(self, ahead):
        ahead = ahead * SECOND
        overdue, paid = said('overdue', WED + ahead, WED), said('paid', WED + SECOND + ahead, WED + SECOND)
        assert status_of([overdue, paid]) == 'settled'
        in_one_batch = said('paid', WED + SECOND + ahead, WED)
        again = said('overdue', WED + ahead, WED + HOUR)
        assert status_of([overdue, in_one_batch, again]) == 'settled'

    def test_of_two_words_from_a_clock_that_is_ahead_the_later_one_counts(self):
        paid, back = said('paid', WED + HOUR, WED), said('reversed', WED + HOUR + SECOND, WED)
        assert status_of([said('overdue', WED - DAY), paid, back]) == 'owed'

    def test_the_sending_of_a_word_again_does_not_make_it_younger(self):
        paid, back = said('paid', WED), said('reinstated', WED + 40 * DAY, WED + HOUR)
        again = said('reinstated', WED + 40 * DAY, WED + 5 * HOUR)
        words = [said('overdue', WED - DAY), paid, back, said('paid', WED + 2 * HOUR, payment='P-2'), again]
        assert status_of(words) == 'settled'


class TestReversals:
    DEBT = said('overdue', WED)

    def test_a_payment_that_went_back_is_owed_again_and_needs_a_new_notice(self):
        words = [self.DEBT, said('paid', WED + HOUR, payment='P-1'), said('reversed', WED + DAY, payment='P-1')]
        assert status_of(words) == 'owed'
        assert read(words).facts.notices_from == WED + DAY

    def test_twice_paid_and_once_refunded_is_still_paid(self):
        paid = [said('paid', WED + HOUR, payment='P-1'), said('paid', WED + 2 * HOUR, payment='P-2')]
        for name in ('P-1', 'P-2', ''):
            assert status_of([self.DEBT, *paid, said('reversed', WED + DAY, payment=name)]) == 'settled'

    def test_a_chargeback_that_the_provider_won_is_paid(self):
        words = [
            self.DEBT, said('paid', WED + HOUR, payment='P'), said('reversed', WED + DAY, payment='P'),
            said('paid', WED + 2 * DAY, payment='P'),
        ]  # fmt: skip
        assert status_of(words) == 'settled'

    def test_a_payment_that_was_not_named_is_the_one_that_a_named_reversal_takes_back(self):
        assert status_of([self.DEBT, said('paid', WED + HOUR), said('reversed', WED + DAY, payment='P')]) == 'owed'

    def test_a_clearing_ends_with_the_payment_that_it_announced(self):
        words = [self.DEBT, said('clearing', WED + HOUR), said('paid', WED + 2 * HOUR), said('reversed', WED + DAY)]
        assert status_of(words, WED + 2 * DAY) == 'owed'

    def test_a_refund_after_which_nothing_is_open_owes_nothing(self):
        words = [self.DEBT, said('paid', WED + HOUR), said('reversed', WED + DAY, amount=Decimal(0))]
        assert status_of(words) == 'settled'


class TestSums:
    def test_an_overdue_sum_of_nothing_owes_nothing(self):
        assert status_of([said('overdue', WED, amount=Decimal(0))]) == 'settled'

    @pytest.mark.parametrize('meaning', ['partially_paid', 'credited'])
    def test_what_part_payments_or_credits_bring_to_nothing_is_not_owed_whatever_is_restated(self, meaning):
        words = [
            said('overdue', WED, amount=Decimal(100)),
            said(meaning, WED - DAY, sum=Decimal(60), payment='P-1'),
            said(meaning, WED + DAY, sum=Decimal(40), payment='P-2'),
            said('overdue', WED + 2 * DAY, amount=Decimal(100)),
        ]
        assert status_of(words) == 'settled'
        assert read([*words[:2], words[3]]).facts.open_balance == 40

    def test_what_a_part_payment_leaves_open_is_owed_and_no_more(self):
        words = [
            said('overdue', WED, amount=Decimal(100)), said('partially_paid', WED + DAY, amount=Decimal('39.90')),
            said('overdue', WED + 2 * DAY, amount=Decimal(100)),
        ]  # fmt: skip
        assert status_of(words) == 'owed'
        assert read(words).facts.open_balance == Decimal('39.90')
        assert status_of([*words, said('partially_paid', WED + DAY, amount=Decimal(0))]) == 'settled'

    def test_a_part_payment_is_counted_once_however_often_it_is_told(self):
        part = said('partially_paid', WED + DAY, sum=Decimal(60), payment='P-1')
        again = said('partially_paid', WED + 2 * DAY, sum=Decimal(60), payment='P-1')
        assert read([said('overdue', WED, amount=Decimal(100)), part, again]).facts.open_balance == 40

    def test_a_part_payment_that_went_back_is_owed(self):
        words = [
            said('overdue', WED, amount=Decimal(100)), said('partially_paid', WED + DAY, sum=Decimal(60), payment='P'),
            said('reversed', WED + 2 * DAY, payment='P'),
        ]  # fmt: skip
        assert read(words).facts.open_balance == 100

    def test_a_later_due_date_counts_until_it_has_passed_too(self):
        words = [
            said('overdue', WED), said('due_changed', WED + HOUR, due_date=date(2026, 9, 15)),
            said('overdue', WED + 2 * HOUR),
        ]  # fmt: skip
        assert status_of(words) == 'issued'
        words.append(said('overdue', datetime(2026, 9, 16, tzinfo=UTC)))
        assert status_of(words) == 'owed'
        assert read(words).facts.oldest_due_date == date(2026, 9, 15)


class TestReplacements:
    OLD = said('overdue', WED)
    LINK = said('replaced', WED + HOUR, replaced_by=('I-2',))

    def test_a_re_issued_boleto_that_is_paid_under_its_own_number_settles_what_it_replaces(self):
        paid = said('paid', WED + DAY, invoice='I-2')
        assert status_of([self.OLD, self.LINK]) == 'owed'
        assert status_of([self.OLD, self.LINK, paid]) == 'settled'
        assert status_of([self.OLD, said('issued', WED, invoice='I-2', replaces=('I-1',)), paid]) == 'settled'

    def test_the_old_number_paid_settles_the_new_one(self):
        words = [self.OLD, self.LINK, said('overdue', WED + DAY, invoice='I-2'), said('paid', WED + DAY)]
        assert status_of(words, invoice='I-2') == 'settled'

    def test_a_chain_is_settled_from_its_end_and_a_circle_does_not_hang(self):
        chain = [self.OLD, self.LINK, said('replaced', WED, invoice='I-2', replaced_by=('I-3',))]
        assert status_of([*chain, said('paid', WED, invoice='I-3')]) == 'settled'
        circle = [*chain, said('replaced', WED, invoice='I-3', replaced_by=('I-1', 'I-3'))]
        assert status_of(circle) == 'owed'
        assert status_of([*circle, said('paid', WED, invoice='I-2')]) == 'settled'

    def test_one_debt_under_two_numbers_counts_once(self):
        words = [self.OLD, self.LINK, said('overdue', WED + DAY, invoice='I-2', due_date=date(2026, 9, 8))]
        facts = read(words).facts
        assert (facts.unpaid_invoices, facts.oldest_due_date) == (1, date(2026, 9, 8))
        back = said('replaced', WED, invoice='I-2', replaced_by=('I-1',))
        assert read([*words, back]).facts == facts

    def test_until_the_new_due_date_has_passed_nothing_is_owed(self):
        issued = said('issued', WED + HOUR, invoice='I-2', due_date=date(2026, 9, 15))
        words = [self.OLD, self.LINK, issued, said('overdue', WED + DAY)]
        assert status_of(words) == 'moved'
        assert status_of([*words, said('overdue', datetime(2026, 9, 16, tzinfo=UTC))]) == 'owed'

    def test_a_second_copy_that_expired_leaves_the_debt_where_it_was(self):
        assert status_of([self.OLD, self.LINK, said('cancelled', WED + DAY, invoice='I-2')]) == 'owed'

    def test_a_debt_that_was_split_is_owed_by_the_parts_that_are_not_paid(self):
        split = said('replaced', WED, replaced_by=('I-2', 'I-3'))
        parts = [said('overdue', WED + DAY, invoice=name) for name in ('I-2', 'I-3')]
        words = [self.OLD, split, *parts, said('paid', WED + DAY, invoice='I-2')]
        assert (status_of(words), status_of(words, invoice='I-3')) == ('settled', 'owed')

    def test_one_of_two_debts_that_were_put_together_does_not_settle_both(self):
        together = said('issued', WED, invoice='I-3', replaces=('I-1', 'I-2'))
        debts = [said('overdue', WED, invoice=name) for name in ('I-1', 'I-2', 'I-3')]
        one = [*debts, together, said('paid', WED + DAY, invoice='I-1')]
        assert status_of(one, invoice='I-3') == 'owed'
        assert status_of([*one, said('paid', WED + DAY, invoice='I-2')], invoice='I-3') == 'settled'

    def test_what_replaces_it_is_to_clear_so_is_it(self):
        words = [self.OLD, self.LINK, said('clearing', WED + DAY, invoice='I-2')]
        assert status_of(words, WED + 2 * DAY) == 'clearing'
        assert read(words, WED + 2 * DAY).invoices['I-1'].clears_until == WED + (1 + CLEARING_DAYS) * DAY
        assert status_of(words, WED + 30 * DAY) == 'owed'


def statement(at, *lines, complete=True, name=''):
    lines = tuple(StatementLine(invoice, DUE, None) for invoice in lines)
    return said('statement', at, invoice='', lines=lines, complete=complete, agreement=name)


class TestStatements:
    DEBTS = [said('overdue', WED, invoice=name) for name in ('I-1', 'I-2')]

    def test_what_a_complete_statement_lacks_is_no_longer_owed(self):
        words = [*self.DEBTS, statement(WED + DAY, 'I-2')]
        assert (status_of(words), status_of(words, invoice='I-2')) == ('settled', 'owed')

    def test_an_incomplete_one_clears_nothing_and_may_add(self):
        words = [*self.DEBTS, statement(WED + DAY, 'I-3', complete=False)]
        assert {status_of(words, invoice=name) for name in ('I-1', 'I-2', 'I-3')} == {'owed'}

    def test_a_statement_reopens_nothing_that_was_paid(self):
        assert status_of([*self.DEBTS, said('paid', WED), statement(WED + DAY, 'I-1', 'I-2')]) == 'settled'

    def test_a_debt_that_a_later_statement_lists_again_is_owed_and_needs_a_new_notice(self):
        words = [*self.DEBTS, statement(WED + DAY, 'I-2'), statement(WED + 2 * DAY, 'I-1', 'I-2')]
        assert status_of(words) == 'owed'
        assert read(words).facts.notices_from == WED + 2 * DAY

    def test_a_debt_that_came_after_the_statement_is_owed(self):
        assert status_of([statement(WED - DAY), *self.DEBTS]) == 'owed'

    def test_a_complete_statement_of_the_source_speaks_of_contracts_that_it_leaves_out(self):
        whole = Entry(Word(Meaning.STATEMENT, at=WED + DAY, complete=True, agreement='S'), WED + DAY)
        assert read(self.DEBTS, statements=[whole]).facts.unpaid_invoices == 0
        told = statement(WED + DAY, 'I-1', name='S')
        assert read([*self.DEBTS, told], statements=[whole]).facts.unpaid_invoices == 1


class TestAgreementsAndDisputes:
    DEBT = said('overdue', WED)
    MADE = said('agreement_made', WED + HOUR, invoice='', agreement='A', until=WED + 60 * DAY)

    def test_an_agreement_relieves_while_it_is_kept(self):
        (relief,) = read([self.DEBT, self.MADE]).reliefs
        assert (relief.starts_at, relief.ends_at, relief.ended_at) == (WED + HOUR, WED + 60 * DAY, None)
        assert read([self.DEBT, self.MADE]).facts.relief_ended_at == WED + 60 * DAY, 'if it runs out'

    def test_a_broken_agreement_ends_and_asks_for_a_new_notice(self):
        state = read([self.DEBT, self.MADE, said('agreement_broken', WED + 9 * DAY, invoice='', agreement='A')])
        assert (state.reliefs[0].ended_at, state.facts.relief_ended_at) == (WED + 9 * DAY, WED + 9 * DAY)
        assert state.facts.unpaid_invoices == 1

    def test_a_kept_agreement_has_paid_what_it_covers(self):
        later = said('overdue', WED + 9 * DAY, invoice='I-2', due_date=date(2026, 9, 15))
        kept = said('agreement_kept', WED + 10 * DAY, invoice='', agreement='A')
        state = read([self.DEBT, self.MADE, later, kept])
        assert [str(state.invoices[name].status) for name in ('I-1', 'I-2')] == ['settled', 'owed']

    def test_an_instalment_may_say_how_long_the_agreement_goes_on(self):
        paid = said('instalment_paid', WED + DAY, invoice='', agreement='A', until=WED + 90 * DAY)
        assert read([self.DEBT, self.MADE, paid]).reliefs[0].ends_at == WED + 90 * DAY

    def test_a_disputed_invoice_is_not_owed_and_asks_for_a_new_notice_once_the_provider_is_right(self):
        opened = said('dispute_opened', WED + HOUR, agreement='D')
        words = [self.DEBT, opened, said('overdue', WED + DAY)]
        assert status_of(words) == 'disputed'
        closed = said('dispute_closed', WED + 2 * DAY, agreement='D')
        assert status_of([*words, closed]) == 'owed'
        assert read([*words, closed]).facts.relief_ended_at == WED + 2 * DAY
        right = said('dispute_closed', WED + 2 * DAY, agreement='D', for_subscriber=True)
        assert status_of([*words, right, said('overdue', WED + 9 * DAY)]) == 'settled'

    def test_a_disputed_sum_is_not_owed(self):
        debt = said('overdue', WED, amount=Decimal(100))
        opened = said('dispute_opened', WED + HOUR, agreement='D', sum=Decimal(30))
        assert read([debt, opened]).facts.open_balance == 70
        closed = said('dispute_closed', WED + DAY, agreement='D', for_subscriber=True)
        assert read([debt, opened, closed]).facts.open_balance == 70
        all_of_it = said('dispute_opened', WED + HOUR, agreement='E', sum=Decimal(100))
        assert status_of([debt, all_of_it]) == 'settled'

    def test_a_dispute_of_all_that_is_owed_relieves(self):
        (relief,) = read([self.DEBT, said('dispute_opened', WED + HOUR, invoice='', agreement='D')]).reliefs
        assert (relief.kind, relief.ends_at) == ('dispute', WED + HOUR + 365 * DAY)

    def test_a_dispute_of_all_that_is_owed_that_the_subscriber_won_is_owed_no_more_whatever_is_restated(self):
        later = said('overdue', WED + 9 * DAY, invoice='I-2', due_date=date(2026, 9, 15))
        opened = said('dispute_opened', WED + HOUR, invoice='', agreement='D')
        for closed_for, expected in ((True, ['settled', 'owed']), (False, ['owed', 'owed'])):
            closed = said('dispute_closed', WED + 10 * DAY, invoice='', agreement='D', for_subscriber=closed_for)
            words = [self.DEBT, opened, later, closed, said('overdue', WED + 11 * DAY)]
            assert [status_of(words, invoice=name) for name in ('I-1', 'I-2')] == expected

    def test_an_agreement_whose_end_is_said_to_lie_before_its_beginning_stays_as_it_was_granted(self):
        slip = said('agreement_made', WED + DAY, invoice='', agreement='A', until=WED - DAY)
        for words in ([self.DEBT, self.MADE, slip], [self.DEBT, slip, self.MADE]):
            assert read(words).reliefs[0].ends_at == WED + 60 * DAY
        assert not read([self.DEBT, slip]).reliefs


class TestNotices:
    def notice(self, meaning, at):
        return said(meaning, at, invoice='', agreement='N', kind='suspension')

    def delivered(self, *words):
        results = {read(order).notices[0].delivered_at for order in permutations(words)}
        assert len(results) == 1
        return results.pop()

    def test_the_first_delivery_counts(self):
        delivered = self.notice('notice_delivered', WED)
        assert self.delivered(delivered, self.notice('notice_delivered', WED + DAY)) == WED

    def test_a_notice_that_came_back_or_was_withdrawn_is_none(self):
        delivered = self.notice('notice_delivered', WED)
        assert self.delivered(delivered, self.notice('notice_failed', WED + HOUR)) is None
        assert self.delivered(delivered, self.notice('notice_withdrawn', WED - HOUR)) is None
        assert self.delivered(self.notice('notice_failed', WED - HOUR), delivered) == WED

    def test_sent_alone_it_is_not_delivered(self):
        (state,) = read([self.notice('notice_sent', WED)]).notices
        assert (state.sent_at, state.delivered_at) == (WED, None)


AMOUNTS = st.none() | st.sampled_from([Decimal(0), Decimal('9.90'), Decimal(40), Decimal(100)])
MOMENTS = st.integers(0, 40).map(lambda hours: WED + hours * 6 * HOUR)
NAMES = st.sampled_from(['I-1', 'I-2', 'I-3'])
PAYMENTS = st.sampled_from(['', 'P-1', 'P-2'])
REFERENCES = st.sampled_from(['A', 'B'])


@st.composite
def entries(draw):
    """A word of any meaning, as an adapter may make it, received at some moment before or after it became so."""
    meaning = draw(st.sampled_from([meaning for meaning in Meaning if meaning is not Meaning.HEARTBEAT]))
    at = draw(st.none() | MOMENTS)
    values = {'invoice': draw(NAMES), 'whole_day': draw(st.booleans()), 'payment': draw(PAYMENTS)}
    if meaning in (Meaning.OVERDUE, Meaning.ISSUED, Meaning.DUE_CHANGED, Meaning.REINSTATED):
        values |= {'due_date': DUE + draw(st.integers(0, 20)) * DAY, 'amount': draw(AMOUNTS)}
    if meaning in (Meaning.PARTIALLY_PAID, Meaning.CREDITED, Meaning.DISPUTE_OPENED):
        values |= {'sum': draw(AMOUNTS), 'amount': draw(AMOUNTS)}
    if meaning is Meaning.REPLACED:
        values['replaced_by'] = tuple(draw(st.lists(NAMES, max_size=2)))
    if meaning.startswith(('agreement', 'instalment', 'dispute', 'notice')):
        values |= {'agreement': draw(REFERENCES), 'until': draw(st.none() | MOMENTS), 'kind': 'suspension'}
        values['invoice'] = draw(st.sampled_from(['', 'I-1'])) if meaning.startswith('dispute') else ''
    if meaning is Meaning.STATEMENT:
        values['lines'] = tuple(StatementLine(name, DUE, draw(AMOUNTS)) for name in draw(st.sets(NAMES)))
        values |= {'complete': draw(st.booleans()), 'invoice': '', 'whole_day': False}
    return Entry(Word(meaning, contract='C-1', at=at, **values), draw(MOMENTS), f'evt_{draw(st.integers(0, 99))}')


@settings(max_examples=600, deadline=None)
@given(st.lists(entries(), min_size=1, max_size=12), st.integers(0, 60), st.randoms(use_true_random=False))
def test_every_permutation_and_duplication_of_a_history_ends_equal(history, hours, chance):
    now = WED + hours * 6 * HOUR
    expected = read(history, now)
    for _ in range(6):
        shuffled = chance.sample(history, len(history)) + chance.choices(history, k=chance.randrange(4))
        chance.shuffle(shuffled)
        assert read(shuffled, now) == expected


@settings(max_examples=600, deadline=None)
@given(st.lists(entries(), min_size=1, max_size=12), st.integers(0, 10**6))
def test_debts_said_again_never_reopen_what_was_settled(history, seed):
    """Whatever was said, a payment said last settles its invoice, and no debt that is restated afterwards undoes it."""
    end = max(max(entry.at, entry.received_at) for entry in history) + 2 * DAY
    paid = said('paid', end, payment='LAST')
    debts = [entry for entry in history if entry.word.meaning in (Meaning.OVERDUE, Meaning.STATEMENT)]
    again = [Entry(entry.of(at=end + DAY).word, end + DAY, 'again') for entry in debts]
    words = [*history, paid, *again]
    random.Random(seed).shuffle(words)
    assert read(words, end + 2 * DAY).invoices['I-1'].status is InvoiceStatus.SETTLED


@settings(max_examples=600, deadline=None)
@given(entries())
def test_a_word_is_read_back_from_the_database_as_it_was_written(entry):
    word = entry.word
    again = Word.from_data(str(word.meaning), word.contract, word.invoice, word.at, word.as_data())
    assert again == word
    assert again.digest('evt') == word.digest('evt')
