"""Notices, holds, trust unlock, review, explanation and simulation: over REST, by webhook, and on their pages."""

import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from core.models import ObjectChange
from django.urls import reverse
from django.utils import timezone

from netbox_delinquency.billing.ingest import process_event
from netbox_delinquency.choices import EventStatusChoices
from netbox_delinquency.jobs.retention import purge
from netbox_delinquency.models import (
    AccessLine,
    BillingEvent,
    Calendar,
    Contract,
    EnforcementChange,
    Hold,
    Invoice,
    Notice,
)
from netbox_delinquency.policy.days import ensure_start_days
from netbox_delinquency.policy.evaluate import evaluate
from netbox_delinquency.runs.preconditions import refusal_reason

from .api.base import APP, PluginAPITestCase
from .factories import make_contract, make_line, make_policy


class LadderActionTest(PluginAPITestCase):
    def setUp(self):
        super().setUp()
        self.policy = make_policy(trust_days=3, trust_gap_days=30, trust_uses_a_year=2)
        today = timezone.localdate()
        self.contract = make_contract(policy=self.policy, oldest_due_date=today - timedelta(days=20),
                                      open_balance=Decimal('77.70'))  # fmt: skip
        self.line = make_line(contract=self.contract)
        evaluate(timezone.now())

    def url(self, model, pk, action):
        return reverse(f'plugins-api:{APP}-api:{model}-{action}', kwargs={'pk': pk})

    def mode(self):
        self.line.refresh_from_db()
        self.contract.refresh_from_db()
        return self.line.intended_mode

    def owe(self, days):
        Contract.objects.update(oldest_due_date=timezone.localdate() - timedelta(days=days))
        evaluate(timezone.now())

    def test_a_trust_unlock_is_given_from_throttled_and_from_blocked_and_its_successor_is_fixed(self):
        self.may('unlock_contract')
        self.may('view_policystage')
        url = self.url('contract', self.contract.pk, 'trust-unlock')
        for days, before in ((20, 'throttled'), (40, 'blocked')):
            self.owe(days)
            assert self.mode() == before
            answer = self.send('post', url, {'reason': 'pays on Friday'}, 201)
            assert self.mode() == 'normal'
            assert answer['successor']['action']['value'] == {'throttled': 'throttle', 'blocked': 'block'}[before]
            Hold.objects.update(
                starts_at=timezone.now() - timedelta(days=99), ends_at=timezone.now() - timedelta(days=96)
            )
            evaluate(timezone.now())
            assert self.mode() == before
        # Two within a year were all.
        assert 'within a year' in self.send('post', url, {'reason': 'again'}, 409)['detail']

    def test_a_trust_unlock_keeps_its_gap_its_length_and_its_permission(self):
        url = self.url('contract', self.contract.pk, 'trust-unlock')
        self.send('post', url, {'reason': 'x'}, 403)
        self.may('unlock_contract')
        assert 'at most 3 days' in self.send('post', url, {'reason': 'x', 'days': 4}, 409)['detail']
        self.send('post', url, {'days': 1}, 400)
        self.send('post', url, {'reason': 'x', 'days': 1}, 201)
        assert 'at least 30 days' in self.send('post', url, {'reason': 'x'}, 409)['detail']
        assert Hold.objects.count() == 1

    def test_nothing_restricted_is_nothing_to_unlock(self):
        self.may('unlock_contract')
        self.owe(1)
        url = self.url('contract', self.contract.pk, 'trust-unlock')
        assert 'Nothing is restricted' in self.send('post', url, {'reason': 'x'}, 409)['detail']

    def test_a_broken_agreement_ends_at_once_and_the_contract_is_evaluated_again(self):
        now = timezone.now()
        hold = Hold.objects.create(
            contract=self.contract, kind='payment_agreement', reason='3 parts', approver=self.user, instalments=3,
            starts_at=now, ends_at=now + timedelta(days=90),
        )  # fmt: skip
        assert self.mode() == 'normal'
        self.may('change_hold')
        answer = self.send('post', self.url('hold', hold.pk, 'end'), {'reason': 'second part not paid'}, 200)
        assert answer['end_reason'] == 'second part not paid'
        assert self.mode() == 'throttled'
        self.send('post', self.url('hold', hold.pk, 'end'), {'reason': 'again'}, 409)
        assert ObjectChange.objects.filter(changed_object_id=hold.pk, action='update').exists()

    def test_a_review_stops_the_climb_until_it_ends(self):
        self.may('review_contract')
        url = self.url('contract', self.contract.pk, 'review')
        assert 'A person' in self.send('post', url, {'requested': True}, 200)['note']
        self.owe(40)
        assert self.mode() == 'throttled'
        self.send('post', url, {'requested': False}, 200)
        assert self.mode() == 'blocked'
        self.send('post', url, {}, 400)

    def test_the_explanation_names_rules_facts_and_articles_and_no_sum(self):
        self.policy.articles = {'clock': 'Law art. 7'}
        self.policy.min_arrears = Decimal(10)
        self.policy.save()
        self.may('view_contract')
        answer = self.get(self.url('contract', self.contract.pk, 'explain'))
        verdicts = {verdict['rule']: verdict for verdict in answer['verdicts']}
        assert verdicts['clock']['article'] == 'Law art. 7'
        assert answer['next_action_on'] == str(self.contract.oldest_due_date + timedelta(days=30))
        assert '77' not in json.dumps(answer['verdicts'])
        page = reverse(f'plugins:{APP}:contract_explain', kwargs={'pk': self.contract.pk})
        self.client.force_login(self.user)
        self.assertContains(self.client.get(page), 'Law art. 7')

    def test_a_simulation_counts_by_day_and_writes_nothing(self):
        self.may('view_delinquencypolicy')
        before = list(Contract.objects.values())
        url = self.url('delinquencypolicy', self.policy.pk, 'simulate')
        until = timezone.localdate() + timedelta(days=12)
        days = self.get(url, until=until)
        blocked = {day['day']: day['blocked'] for day in days if day['blocked']}
        assert blocked == {str(self.contract.oldest_due_date + timedelta(days=30)): 1}
        assert len(days) == 13
        assert list(Contract.objects.values()) == before
        for wrong in ('', '2020-01-01', 'soon', '2999-01-01'):
            response = self.client.get(url, {'until': wrong}, **self.header)
            self.assertHttpStatus(response, 400)
        self.client.force_login(self.user)
        page = reverse(f'plugins:{APP}:delinquencypolicy_simulate', kwargs={'pk': self.policy.pk})
        self.assertContains(self.client.get(page, {'until': until}), '<svg')

    def test_a_policy_in_use_shows_what_a_change_does_before_it_is_saved(self):
        for name in ('view_policystage', 'change_policystage', 'view_delinquencypolicy'):
            self.may(name)
        self.client.force_login(self.user)
        stage = self.policy.stages.last()
        url = reverse(f'plugins:{APP}:policystage_edit', kwargs={'pk': stage.pk})
        data = {'policy': self.policy.pk, 'position': 30, 'clock': 'due', 'after_days': 22, 'action': 'block',
                'throttle_to': 'plan', 'channel': 'any', 'approval': 'policy'}  # fmt: skip
        self.assertContains(self.client.post(url, data), 'With the change')
        stage.refresh_from_db()
        assert stage.after_days == 30
        self.assertHttpStatus(self.client.post(url, {**data, '_confirmed': '1'}), 302)
        stage.refresh_from_db()
        assert stage.after_days == 22

    def test_the_presets_page_makes_a_policy(self):
        for name in ('view_delinquencypolicy', 'add_delinquencypolicy'):
            self.may(name)
        self.client.force_login(self.user)
        url = reverse(f'plugins:{APP}:delinquencypolicy_presets')
        self.assertContains(self.client.get(url), 'anatel_765')
        self.assertHttpStatus(self.client.post(url, {'preset': 'de'}), 302)
        assert type(self.policy).objects.get(preset='de').stages.count() == 4

    def notice(self, **data):
        now = timezone.now()
        body = {'type': 'notice.delivered', 'timestamp': now.isoformat(),
                'data': {'contract': self.contract.external_id, 'notice': 'N-1',
                         'delivered_at': (now - timedelta(days=16)).isoformat(), **data}}  # fmt: skip
        event = BillingEvent.objects.create(
            source=self.contract.source, event_id=f'n{BillingEvent.objects.count()}', event_type='notice.delivered',
            body=json.dumps(body),
        )  # fmt: skip
        process_event(event.pk, now)
        event.refresh_from_db()
        return event

    def test_a_notice_by_webhook_starts_the_clock_and_only_once(self):
        self.policy.min_notice_days = 15
        self.policy.save()
        evaluate(timezone.now())
        assert self.mode() == 'normal', 'a policy that comes to ask for notice softens'
        for _ in range(2):
            assert self.notice().status == EventStatusChoices.PROCESSED
        assert Notice.objects.get().asserted_by == self.contract.source.name
        assert self.mode() == 'throttled'

    def test_a_naive_or_future_notice_is_refused(self):
        future = (timezone.now() + timedelta(hours=1)).isoformat()
        for wrong in (future, '2026-10-01T12:00:00'):
            assert self.notice(delivered_at=wrong).status == EventStatusChoices.FAILED
        self.may('add_notice')
        self.may('record_notice')
        self.may('view_contract')
        url = reverse(f'plugins-api:{APP}-api:notice-list')
        data = {'contract': self.contract.pk, 'kind': 'suspension', 'reference': 'N'}
        assert 'offset' in str(self.send('post', url, {**data, 'delivered_at': '2026-10-01T12:00:00'}, 400))
        assert 'has passed' in str(self.send('post', url, {**data, 'delivered_at': future}, 400))
        assert not Notice.objects.exists()

    def test_a_hold_that_ends_before_it_starts_is_refused(self):
        self.may('add_hold')
        self.may('view_contract')
        self.add_permissions('users.view_user')
        url = reverse(f'plugins-api:{APP}-api:hold-list')
        data = {'contract': self.contract.pk, 'kind': 'dispute', 'reason': 'x', 'approver': self.user.pk,
                'starts_at': '2026-10-02T12:00:00Z', 'ends_at': '2026-10-01T12:00:00Z'}  # fmt: skip
        assert 'ends after it starts' in str(self.send('post', url, data, 400))

    def test_a_policy_in_use_is_not_deleted(self):
        self.may('delete_delinquencypolicy')
        url = self.url('delinquencypolicy', self.policy.pk, 'detail')
        assert 'another one first' in self.send('delete', url, None, 400)['detail']

    def test_retention_forgets_what_is_settled_and_keeps_what_a_debt_stands_on(self):
        now = timezone.now()
        paid = make_contract()
        old = now - timedelta(days=400)
        for contract in (paid, self.contract):
            Invoice.objects.create(contract=contract, reference='I', status='settled', changed_at=old)
            Notice.objects.create(contract=contract, kind='reminder', reference='N', delivered_at=old, asserted_by='b')
        counts = purge(now, 180, 1826)
        assert (counts['Invoice'], counts['Notice']) == (1, 1)
        assert Notice.objects.get().contract == self.contract
        assert Invoice.objects.get().contract == self.contract

    def test_what_was_approved_in_time_is_not_sent_on_a_closed_day(self):
        calendar = Calendar.objects.create(name='SP', country='BR', time_zone='America/Sao_Paulo')
        type(self.policy).objects.update(calendar=calendar, no_start_days='sat,sun')
        ensure_start_days(date(2026, 11, 20))
        self.line.refresh_from_db()
        row = EnforcementChange(line=self.line, identity=self.line.bras_identity, point=self.line.point,
                                desired_mode='throttled',
                                desired_down_kbps=1000, desired_up_kbps=500)  # fmt: skip
        line = AccessLine.objects.select_related('contract__policy__calendar').get()
        assert refusal_reason(row, line, datetime(2026, 11, 20, 15, tzinfo=UTC)) == ''
        assert refusal_reason(row, line, datetime(2026, 11, 21, 15, tzinfo=UTC)).startswith('closed')
        # A restore is sent on any day.
        Contract.objects.update(oldest_due_date=None)
        evaluate(timezone.now())
        back = EnforcementChange(
            line=line, identity=line.bras_identity, point=line.point, expected_mode='blocked', desired_mode='normal'
        )
        assert refusal_reason(back, AccessLine.objects.get(), datetime(2026, 11, 21, 15, tzinfo=UTC)) == ''
