"""What people do for a contract on its pages, what clears, what is offered, and what is left alone at last."""

import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from core.models import Job, ObjectChange
from django.core.exceptions import ValidationError
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import override

from netbox_delinquency.billing.ingest import lapse_clearing, process_event
from netbox_delinquency.contract_actions import give_trust_unlock
from netbox_delinquency.forms import NoticeImportForm
from netbox_delinquency.jobs.retention import purge
from netbox_delinquency.jobs.system import RenewCalendars
from netbox_delinquency.models import (
    BillingEvent,
    BillingSource,
    Calendar,
    Contract,
    EnforcementChange,
    GraceRule,
    Hold,
    Invoice,
    Notice,
    PlanChangeOrder,
    PolicyStage,
    StartDay,
)
from netbox_delinquency.policy.days import ensure_start_days
from netbox_delinquency.policy.evaluate import evaluate, frozen
from netbox_delinquency.policy.facts import earliest_suspension
from netbox_delinquency.policy.stages import FEED_IS_LATE, ON_HOLD
from netbox_delinquency.runs.journal import refusal_reason
from netbox_delinquency.runs.plan import plan_runs, unplanned_lines

from .api.base import APP, PluginAPITestCase
from .factories import make_contract, make_line, make_plan, make_point, make_policy

DAY = timedelta(days=1)


class ContractActionsTestCase(PluginAPITestCase):
    def setUp(self):
        super().setUp()
        self.client.force_login(self.user)
        self.policy = make_policy(trust_days=3)
        self.contract = make_contract(policy=self.policy)
        self.line = make_line(contract=self.contract)
        self.owe(20)

    def owe(self, days):
        Contract.objects.update(oldest_due_date=timezone.localdate() - timedelta(days=days))
        evaluate(timezone.now())

    def mode(self):
        self.line.refresh_from_db()
        self.contract.refresh_from_db()
        return self.line.intended_mode

    def page(self, instance, action):
        return reverse(f'plugins:{APP}:{instance._meta.model_name}_{action}', args=[instance.pk])

    def hold(self, **values):
        now = timezone.now()
        defaults = {'contract': self.contract, 'kind': 'open_ticket', 'reason': 'T-1', 'approver': self.user,
                    'starts_at': now, 'ends_at': now + 2 * DAY}  # fmt: skip
        return Hold.objects.create(**{**defaults, **values})


class ButtonsTest(ContractActionsTestCase):
    def test_a_trust_unlock_is_given_on_the_page_of_the_contract_by_those_who_may(self):
        self.may('view_contract')
        url = self.page(self.contract, 'trust_unlock')
        assert url not in self.client.get(self.contract.get_absolute_url()).content.decode()
        self.assertHttpStatus(self.client.post(url, {'reason': 'x'}), 403)
        self.may('unlock_contract')
        self.assertContains(self.client.get(self.contract.get_absolute_url()), url)
        self.assertContains(self.client.get(url), 'what follows is')
        self.assertContains(self.client.post(url, {'reason': 'x', 'days': 4}), 'at most 3 days')
        self.assertContains(self.client.post(url, {'days': 1}), 'This field is required')
        assert self.mode() == 'throttled'
        self.assertHttpStatus(self.client.post(url, {'reason': 'pays on Friday'}), 302)
        assert self.mode() == 'normal'
        hold = Hold.objects.get()
        assert (hold.approver, hold.successor.action) == (self.user, 'throttle')

    def test_a_contract_that_is_warned_above_a_throttle_can_be_unlocked_too(self):
        PolicyStage.objects.create(policy=self.policy, after_days=18, action='warn')
        evaluate(timezone.now())
        self.contract.refresh_from_db()
        assert self.contract.stage.action == 'warn'
        hold = give_trust_unlock(self.contract, 'x', self.user, timezone.now())
        assert (hold.successor.action, self.mode()) == ('warn', 'normal')

    def test_a_trust_unlock_begins_when_it_is_given(self):
        later = timezone.now() + DAY
        hold = Hold(contract=self.contract, kind='trust_unlock', reason='x', approver=self.user, starts_at=later,
                    ends_at=later + DAY)  # fmt: skip
        with self.assertRaisesMessage(ValidationError, 'begins when it is given'):
            hold.full_clean()

    def test_a_review_is_asked_for_and_ended_on_the_page(self):
        self.may('view_contract')
        self.may('review_contract')
        url = self.page(self.contract, 'review')
        self.assertHttpStatus(self.client.post(url), 302)
        self.owe(40)
        assert self.mode() == 'throttled'
        assert self.contract.review_requested_at
        self.assertContains(self.client.get(url), 'escalation continues')
        self.assertHttpStatus(self.client.post(url), 302)
        assert self.mode() == 'blocked'

    def test_a_hold_is_ended_on_its_page(self):
        self.may('view_hold')
        self.may('change_hold')
        hold = self.hold(kind='payment_agreement', instalments=3)
        assert self.mode() == 'normal'
        url = self.page(hold, 'end')
        self.assertContains(self.client.get(hold.get_absolute_url()), url)
        self.assertHttpStatus(self.client.post(url, {'reason': 'second part not paid'}), 302)
        assert self.mode() == 'throttled'
        assert url not in self.client.get(hold.get_absolute_url()).content.decode()
        self.assertContains(self.client.post(url, {'reason': 'again'}), 'nothing to end')

    def test_a_smaller_plan_is_offered_taken_and_then_history(self):
        self.may('view_planchangeorder')
        self.may('change_planchangeorder')
        small, big = make_plan(down_kbps=9_000, up_kbps=4_000, throttled_down_kbps=700), self.contract.plan
        order = PlanChangeOrder.objects.create(
            contract=self.contract, to_plan=small, reason='lost the job', offered_until=timezone.localdate()
        )
        assert order.from_plan == big
        url = self.page(order, 'accept')
        self.assertContains(self.client.get(order.get_absolute_url()), url)
        self.assertHttpStatus(self.client.post(url), 302)
        self.contract.refresh_from_db()
        order.refresh_from_db()
        assert (self.contract.plan, order.status) == (small, 'accepted')
        # It is no restriction and lifts none: a throttled line is throttled by its new plan.
        assert self.mode() == 'throttled'
        assert self.line.intended_down_kbps == 700
        self.assertContains(self.client.post(url), 'is history now')
        self.send('post', reverse(f'plugins-api:{APP}-api:planchangeorder-decline', args=[order.pk]), {}, 409)
        with self.assertRaisesMessage(ValidationError, 'is history now'):
            order.full_clean()

    def test_an_offer_is_declined_over_rest_and_one_that_has_run_out_is_not_taken(self):
        self.may('change_planchangeorder')
        small, big = make_plan(down_kbps=9_000, up_kbps=4_000), self.contract.plan
        order = PlanChangeOrder.objects.create(
            contract=self.contract, to_plan=small, reason='x', offered_until=timezone.localdate() - DAY
        )
        url = f'plugins-api:{APP}-api:planchangeorder-'
        assert 'was open until' in self.send('post', reverse(f'{url}accept', args=[order.pk]), {}, 409)['detail']
        assert self.send('post', reverse(f'{url}decline', args=[order.pk]), {}, 200)['status']['value'] == 'declined'
        self.contract.refresh_from_db()
        assert self.contract.plan == big


class PreviewTest(ContractActionsTestCase):
    def setUp(self):
        super().setUp()
        for model in ('policystage', 'gracerule', 'delinquencypolicy'):
            for action in ('view', 'add', 'change', 'delete'):
                self.may(f'{action}_{model}')

    def test_a_stage_added_to_a_live_policy_is_shown_before_it_is_saved(self):
        url = reverse(f'plugins:{APP}:policystage_add')
        data = {'policy': self.policy.pk, 'clock': 'due', 'after_days': 22, 'position': 20, 'action': 'block',
                'throttle_to': 'plan', 'channel': 'any', 'approval': 'policy'}  # fmt: skip
        changes = ObjectChange.objects.count()
        self.assertContains(self.client.post(url, data), 'With the change')
        assert self.policy.stages.count() == 2
        assert ObjectChange.objects.count() == changes, 'what was not done is in no log'
        self.assertHttpStatus(self.client.post(url, {**data, '_confirmed': '1'}), 302)
        assert self.policy.stages.count() == 3

    def test_a_stage_taken_away_and_a_grace_rule_are_shown_too(self):
        stage = self.policy.stages.last()
        url = self.page(stage, 'delete')
        self.assertContains(self.client.post(url, {'confirm': True}), 'With the change')
        assert PolicyStage.objects.filter(pk=stage.pk).exists()
        self.assertHttpStatus(self.client.post(url, {'confirm': True, '_confirmed': '1'}), 302)
        assert not PolicyStage.objects.filter(pk=stage.pk).exists()
        rule = {'policy': self.policy.pk, 'tier': 'gold', 'extra_days': 5}
        self.assertContains(self.client.post(reverse(f'plugins:{APP}:gracerule_add'), rule), 'With the change')
        assert not GraceRule.objects.exists()

    def test_a_stage_on_which_contracts_stand_is_not_deleted(self):
        stage = self.policy.stages.first()
        response = self.client.post(self.page(stage, 'delete'), {'confirm': True, '_confirmed': '1'}, follow=True)
        self.assertContains(response, 'move them to another policy first')
        assert PolicyStage.objects.filter(pk=stage.pk).exists()

    def test_a_policy_in_use_is_not_deleted_and_the_remedy_is_told(self):
        response = self.client.post(self.page(self.policy, 'delete'), {'confirm': True}, follow=True)
        self.assertContains(response, 'give them another one first')


class NeverTest(ContractActionsTestCase):
    """What must not happen, whatever was planned and approved before."""

    def row(self):
        self.line.refresh_from_db()
        return EnforcementChange(
            line=self.line, identity=self.line.bras_identity, point=self.line.bras,
            desired_mode=self.line.intended_mode,
            desired_down_kbps=self.line.intended_down_kbps, desired_up_kbps=self.line.intended_up_kbps,
        )  # fmt: skip

    def why(self, now=None):
        now = now or timezone.now()
        line = type(self.line).objects.select_related('contract__source', 'contract__policy').get()
        return refusal_reason(self.row(), line, now, frozen(now, [line.contract_id]).get(line.contract_id, ''))

    def test_what_a_hold_review_or_silence_freezes_is_not_sent_though_it_was_planned_before(self):
        assert self.why() == ''
        hold = self.hold()
        assert self.mode() == 'throttled', 'the stage was reached, and is kept'
        assert self.why() == f'frozen: {ON_HOLD}'
        hold.advance(ended_at=timezone.now(), end_reason='closed')
        assert self.why() == ''
        # One that was entered in advance begins between two evaluations.
        begins = timezone.now() + timedelta(minutes=5)
        self.hold(starts_at=begins, ends_at=begins + DAY)
        assert self.why() == ''
        assert self.why(begins) == f'frozen: {ON_HOLD}'
        Hold.objects.all().delete()
        self.contract.refresh_from_db()
        self.contract.advance(review_requested_at=timezone.now())
        assert self.why().startswith('frozen: A person')
        self.contract.advance(review_requested_at=None)
        GraceRule.objects.create(policy=self.policy, tier='vip', exempt=True)
        Contract.objects.update(tier='vip')
        assert self.why().startswith('frozen: Exempt')
        Contract.objects.update(tier='')
        BillingSource.objects.update(heartbeat_minutes=5, payments_known_at=timezone.now() - timedelta(minutes=6))
        assert 'too long' in self.why()

    def test_a_late_feed_freezes_the_step_up_is_seen_everywhere_and_lets_the_easier_one_go_on(self):
        BillingSource.objects.update(heartbeat_minutes=5, payments_known_at=timezone.now() - timedelta(minutes=6))
        self.owe(40)
        assert (self.mode(), self.contract.dunning_note) == ('throttled', FEED_IS_LATE)
        for name in ('view_contract', 'view_billingsource'):
            self.may(name)
        source = reverse(f'plugins-api:{APP}-api:billingsource-detail', args=[self.contract.source_id])
        assert self.get(source)['late'] is True
        self.assertContains(self.client.get(self.contract.get_absolute_url()), FEED_IS_LATE)
        self.assertContains(self.client.get(self.contract.source.get_absolute_url()), 'mdi-alert')
        assert self.graphql('{delinquency_billing_source_list {late}}')['data'] == {
            'delinquency_billing_source_list': [{'late': True}]
        }
        Contract.objects.update(oldest_due_date=None)
        evaluate(timezone.now())
        assert self.mode() == 'normal'
        BillingSource.objects.update(payments_known_at=timezone.now() - timedelta(minutes=4))
        self.owe(40)
        assert self.mode() == 'blocked'

    def test_notes_are_kept_in_one_language_and_read_in_the_readers(self):
        self.hold()
        self.owe(40)
        self.contract.refresh_from_db()
        assert self.contract.dunning_note == ON_HOLD
        with override('pt-br'):
            assert self.contract.note != ON_HOLD
        assert self.contract.note == ON_HOLD

    def test_a_withdrawn_notice_gives_access_back_at_once(self):
        now = timezone.now()
        type(self.policy).objects.update(min_notice_days=15)
        notice = Notice.objects.create(
            contract=self.contract, kind='suspension', reference='N', delivered_at=now - 16 * DAY, asserted_by='b'
        )
        assert self.mode() == 'throttled'
        notice.delete()
        assert self.mode() == 'normal'

    def test_a_person_is_asked_where_the_stage_in_force_asks_for_one(self):
        PolicyStage.objects.filter(after_days=15).update(approval='human')
        PolicyStage.objects.create(policy=self.policy, after_days=18, action='warn', approval='auto')
        evaluate(timezone.now())
        assert self.mode() == 'throttled'
        assert self.contract.stage.action == 'warn'
        (run,) = plan_runs(unplanned_lines(), timezone.now())
        assert run.status == 'planned'


class ClearingTest(ContractActionsTestCase):
    def event(self, kind, at, **data):
        body = {'contract': self.contract.external_id, 'invoice': 'I-1', **data}
        event = BillingEvent.objects.create(
            source=self.contract.source, event_id=f'{kind}{at}', event_type=kind,
            body=json.dumps({'type': kind, 'timestamp': at.isoformat(), 'data': body}), received_at=at,
        )  # fmt: skip
        process_event(event.pk, timezone.now())
        self.contract.refresh_from_db()

    def test_what_waits_for_the_bank_is_spared_and_owed_again_where_it_never_clears(self):
        now = timezone.now()
        due = str(timezone.localdate() - timedelta(days=40))
        self.event('invoice.overdue', now - 5 * DAY, due_date=due, amount='70')
        assert self.mode() == 'blocked'
        self.event('invoice.clearing', now - 4 * DAY)
        assert self.mode() == 'normal'
        assert (self.contract.awaiting_clearing, self.contract.open_balance) == (True, Decimal(70))
        assert lapse_clearing(now + DAY) == 0
        assert lapse_clearing(now + 3 * DAY) == 1
        evaluate(now)
        assert self.mode() == 'blocked'
        assert self.contract.awaiting_clearing is False
        self.event('invoice.paid', now)
        assert (self.mode(), self.contract.oldest_due_date) == ('normal', None)

    def test_another_invoice_is_owed_while_one_clears(self):
        now = timezone.now()
        for number, days in ((1, 40), (2, 20)):
            due = str(timezone.localdate() - timedelta(days=days))
            self.event('invoice.overdue', now - number * DAY, invoice=f'I-{number}', due_date=due, amount='10')
        self.event('invoice.clearing', now)
        assert self.mode() == 'throttled'
        assert (self.contract.awaiting_clearing, self.contract.unpaid_invoices) == (False, 1)

    def test_a_payment_that_is_taken_back_asks_for_a_new_notice(self):
        now = timezone.now()
        type(self.policy).objects.update(min_notice_days=15)
        due = str(timezone.localdate() - timedelta(days=40))
        self.event('invoice.overdue', now - 30 * DAY, due_date=due)
        Notice.objects.create(contract=self.contract, kind='suspension', reference='N', asserted_by='b',
                              delivered_at=now - 20 * DAY)  # fmt: skip
        assert self.mode() == 'blocked'
        self.event('invoice.paid', now - 2 * DAY)
        self.event('invoice.overdue', now - DAY, due_date=due)
        assert self.contract.oldest_due_date is None, 'said again, it is still paid'
        self.event('payment.reversed', now - DAY)
        assert self.mode() == 'normal'
        assert self.contract.notices_from == now - DAY


class KeepingTest(ContractActionsTestCase):
    def test_a_debt_paid_lately_keeps_its_notice_and_a_trust_unlock_is_counted_for_a_year(self):
        now = timezone.now()
        old, due = now - 300 * DAY, (now - 310 * DAY).date()
        Contract.objects.update(oldest_due_date=None)
        Notice.objects.create(contract=self.contract, kind='reminder', reference='N', delivered_at=old, asserted_by='b')
        for kind in ('trust_unlock', 'dispute'):
            Hold.objects.bulk_create(
                [Hold(contract=self.contract, kind=kind, reason='x', approver=self.user, starts_at=old,
                      ends_at=old + DAY)]
            )  # fmt: skip
        invoice = Invoice.objects.create(
            contract=self.contract, reference='I', status='settled', due_date=due, changed_at=now - 10 * DAY
        )
        order = PlanChangeOrder.objects.create(
            contract=self.contract, to_plan=make_plan(), reason='x', offered_until=timezone.localdate() - 100 * DAY
        )
        assert sum(purge(now, 180, 1826).values()) == 0
        order.advance(status='declined', decided_at=old)
        Invoice.objects.filter(pk=invoice.pk).update(changed_at=now - 181 * DAY)
        counts = purge(now, 180, 1826)
        assert (counts['Invoice'], counts['Notice'], counts['Hold']) == (1, 1, 1)
        assert Hold.objects.get().kind == 'trust_unlock'
        assert counts['PlanChangeOrder'] == 1

    def test_days_are_written_anew_where_a_date_moves_and_every_day(self):
        today = timezone.localdate()
        one, two = (
            Calendar.objects.create(name=name, country='BR', time_zone='America/Recife') for name in ('one', 'two')
        )
        for calendar in (one, two):
            make_policy(calendar=calendar, no_start_days='holiday')
        own = one.dates.create(date=today, name='ours')
        ensure_start_days(today)
        assert StartDay.objects.get(calendar=one, day=today).next_day > today
        own.calendar = two
        own.save()
        assert not StartDay.objects.exists()
        ensure_start_days(today)
        assert StartDay.objects.get(calendar=one, day=today).next_day == today
        # As a newer library of holidays would find it.
        StartDay.objects.filter(calendar=two, day=today).update(next_day=today)
        RenewCalendars(Job(name='test', job_id='00000000-0000-0000-0000-000000000000')).run()
        assert StartDay.objects.get(calendar=two, day=today).next_day > today

    def test_a_notice_shows_the_earliest_lawful_day(self):
        calendar = Calendar.objects.create(name='SP', country='BR', time_zone='America/Sao_Paulo')
        type(self.policy).objects.update(
            min_notice_days=15, calendar=calendar, no_start_days='fri,sat,sun,holiday,holiday_eve', start_from='09:00'
        )
        ensure_start_days(date(2026, 8, 6))
        notice = Notice.objects.create(contract=self.contract, kind='suspension', reference='N', asserted_by='b',
                                       delivered_at=datetime(2026, 8, 6, 15, tzinfo=UTC))  # fmt: skip
        notice = Notice.objects.get(pk=notice.pk)
        assert earliest_suspension(notice) == datetime(2026, 8, 24, 12, tzinfo=UTC)
        self.may('view_notice')
        self.assertContains(self.client.get(notice.get_absolute_url()), '2026-08-24')
        Notice.objects.update(kind='reminder')
        assert earliest_suspension(Notice.objects.get()) is None

    def test_an_imported_time_without_its_offset_is_refused(self):
        data = {'contract': self.contract.pk, 'kind': 'suspension', 'reference': 'N', 'asserted_by': 'b'}
        for delivered, fits in (('2026-08-05T12:00:00', False), ('2026-08-05T12:00:00-03:00', True), ('', True)):
            form = NoticeImportForm({**data, 'delivered_at': delivered}, headers={'delivered_at': None})
            assert form.is_valid() is fits, (delivered, form.errors)
            assert fits or 'offset' in str(form.errors['delivered_at'])

    def test_grace_holds_for_a_notice_that_came_early(self):
        now = timezone.now()
        type(self.policy).objects.update(min_notice_days=15)
        PolicyStage.objects.filter(after_days=15).update(clock='notice')
        Notice.objects.create(contract=self.contract, kind='suspension', reference='N', asserted_by='b',
                              delivered_at=now - 16 * DAY)  # fmt: skip
        assert self.mode() == 'throttled'
        GraceRule.objects.create(policy=self.policy, tier='gold', extra_days=10)
        Contract.objects.update(tier='gold')
        evaluate(now)
        assert self.mode() == 'normal'
        self.owe(25)
        assert self.mode() == 'throttled'

    def test_a_line_is_enforced_by_the_channel_of_its_stage_and_unpinned_by_a_new_intention(self):
        self.line.acs = make_point(driver='acs')
        self.line.save()
        PolicyStage.objects.filter(action='throttle').update(channel='cpe_else_bras')
        PolicyStage.objects.filter(action='block').update(channel='both')
        type(self.line).objects.update(pinned=True)
        evaluate(timezone.now())
        self.line.refresh_from_db()
        assert (self.line.channel, self.line.pinned) == ('cpe', True)
        self.owe(40)
        assert (self.mode(), self.line.channel, self.line.pinned) == ('blocked', 'both', False)
        sides = {row.channel for run in plan_runs(unplanned_lines(), timezone.now()) for row in run.changes.all()}
        assert sides == {'bras', 'cpe'}
