"""What a person may claim by hand: a notice that is theirs and of now, a hold that is theirs and ends."""

from datetime import timedelta

from core.models import ObjectChange
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import ValidationError
from django.test import SimpleTestCase
from django.urls import reverse
from django.utils import timezone
from users.models import ObjectPermission, Token, User
from utilities.testing import TestCase

from netbox_delinquency.errors import RunRefusedError
from netbox_delinquency.models import (
    AccessLine,
    BillingEvent,
    BillingSource,
    EnforcementChange,
    EnforcementPoint,
    EnforcementSettings,
    Hold,
    Notice,
)
from netbox_delinquency.runs.approval import approve_run, plan_hash
from tests.plugin.factories import make_contract, make_line, make_policy, make_run, make_source

APP = 'netbox_delinquency'


class ByHandTestCase(TestCase):
    user_permissions = (f'{APP}.view_contract', f'{APP}.add_notice', f'{APP}.add_hold', f'{APP}.view_hold',
                        f'{APP}.view_notice', f'{APP}.change_notice')  # fmt: skip

    def setUp(self):
        super().setUp()
        self.contract = make_contract(policy=make_policy(trust_days=3, trust_uses_a_year=1))
        token = Token.objects.create(user=self.user)
        self.header = {'HTTP_AUTHORIZATION': f'Bearer nbt_{token.key}.{token.token}'}

    def send(self, method, path, **body):
        url = f'/api/plugins/delinquency/{path}/'
        return getattr(self.client, method)(url, body, content_type='application/json', **self.header)

    def notice(self, **values):
        values = {'kind': 'suspension', 'reference': 'N', 'contract': self.contract.pk, **values}
        return self.send('post', 'notices', **values)

    def hold(self, **values):
        ends = (timezone.now() + timedelta(days=2)).isoformat()
        return self.send('post', 'holds', **{'contract': self.contract.pk, 'reason': 'x', 'ends_at': ends, **values})


class NoticesByHandTest(ByHandTestCase):
    def test_to_add_notices_is_not_to_record_them_by_hand(self):
        self.assertContains(self.notice(), 'by hand', status_code=400)
        page = self.client.post(
            reverse(f'plugins:{APP}:notice_add'),
            {'contract': self.contract.pk, 'kind': 'suspension', 'reference': 'N', 'channel': 'other'},
        )
        self.assertEqual(page.status_code, 200)
        self.assertFalse(Notice.objects.exists())

    def test_who_records_one_asserts_it(self):
        self.add_permissions(f'{APP}.record_notice')
        answer = self.notice(asserted_by='The Post Office', delivered_at=timezone.now().isoformat())
        self.assertEqual(answer.status_code, 201, answer.content)
        self.assertEqual(Notice.objects.get().asserted_by, self.user.username)

    def test_it_counts_from_now_on(self):
        self.add_permissions(f'{APP}.record_notice')
        for days in (1, 40):
            at = timezone.now() - timedelta(days=days)
            self.assertContains(self.notice(delivered_at=at.isoformat()), 'counts from now', status_code=400)
        self.assertFalse(Notice.objects.exists())

    def test_none_is_changed_but_what_is_written_beside_it(self):
        self.add_permissions(f'{APP}.record_notice')
        at = timezone.now()
        notice = Notice.objects.create(
            contract=self.contract, kind='reminder', reference='R', asserted_by='billing', delivered_at=at
        )
        early = (at - timedelta(days=40)).isoformat()
        for change in ({'delivered_at': early}, {'kind': 'suspension'}, {'channel': 'letter'}, {'reference': 'S'}):
            answer = self.send('patch', f'notices/{notice.pk}', **change)
            self.assertContains(answer, 'is not changed', status_code=400)
        self.assertEqual(self.send('patch', f'notices/{notice.pk}', description='x').status_code, 200)
        notice.refresh_from_db()
        self.assertEqual((notice.delivered_at, notice.kind, notice.asserted_by), (at, 'reminder', 'billing'))


class HoldsByHandTest(ByHandTestCase):
    def test_the_approver_is_who_acts(self):
        other = type(self.user).objects.create(username='the-director')
        answer = self.hold(kind='dispute', approver=other.pk)
        self.assertEqual(answer.status_code, 201, answer.content)
        self.assertEqual(Hold.objects.get().approver, self.user)

    def test_no_hold_is_for_ever(self):
        for kind in ('dispute', 'promise_to_pay', 'court_order', 'essential_service', 'awaiting_clearing'):
            answer = self.hold(kind=kind, ends_at='2099-01-01T00:00:00Z')
            self.assertContains(answer, 'lasts at most', status_code=400)

    def test_billings_own_that_lasts_longer_can_still_be_described(self):
        self.add_permissions(f'{APP}.change_hold')
        ends = timezone.now() + timedelta(days=365)
        hold = Hold.objects.create(
            contract=self.contract, kind='dispute', reason='D', reference='D', asserted_by='ERP', ends_at=ends
        )
        self.assertEqual(self.send('patch', f'holds/{hold.pk}', description='seen').status_code, 200)
        later = (ends + timedelta(days=1)).isoformat()
        self.assertContains(self.send('patch', f'holds/{hold.pk}', ends_at=later), 'lasts at most', status_code=400)

    def test_a_trust_unlock_is_not_given_by_adding_a_hold(self):
        self.contract.advance(stage=self.contract.policy.stages.first(), stage_since=timezone.now())
        self.assertContains(self.hold(kind='trust_unlock'), 'may unlock the contract', status_code=400)
        self.add_permissions(f'{APP}.unlock_contract')
        self.assertEqual(self.hold(kind='trust_unlock').status_code, 201)


class RowsByHandTest(ByHandTestCase):
    user_permissions = tuple(
        f'{APP}.{name}' for name in ('view_enforcementrun', 'view_accessline', 'add_enforcementchange',
                                     'view_enforcementchange', 'change_enforcementchange')
    )  # fmt: skip

    def setUp(self):
        super().setUp()
        self.run_, self.line = make_run(), make_line()

    def enforce_on(self, line):
        permission = ObjectPermission.objects.create(
            name='enforce here', actions=['enforce'], constraints={'pk': line.pk}
        )
        permission.object_types.add(ContentType.objects.get_for_model(AccessLine))
        permission.users.add(self.user)

    def row(self, **values):
        body = {'run': self.run_.pk, 'line': self.line.pk, 'desired': {'mode': 'blocked'}, **values}
        return self.send('post', 'changes', **body)

    def test_who_may_not_enforce_on_a_line_adds_and_changes_no_row_of_it(self):
        self.assertContains(self.row(), 'may not enforce', status_code=400)
        self.enforce_on(make_line())
        self.assertContains(self.row(), 'may not enforce', status_code=400)
        data = {'run': self.run_.pk, 'line': self.line.pk, 'desired_mode': 'blocked'}
        page = self.client.post(reverse(f'plugins:{APP}:enforcementchange_add'), data)
        self.assertContains(page, 'may not enforce')
        of_another = EnforcementChange.objects.create(run=self.run_, line=self.line, desired_mode='normal')
        answer = self.send('patch', f'changes/{of_another.pk}', desired={'mode': 'blocked'})
        self.assertContains(answer, 'may not enforce', status_code=400)
        of_another.refresh_from_db()
        self.assertEqual(of_another.desired_mode, 'normal')

    def test_who_wrote_a_row_is_kept_on_it_when_the_change_log_is_pruned(self):
        self.enforce_on(self.line)
        EnforcementSettings.objects.update_or_create(defaults={'four_eyes': True})
        self.assertEqual(self.row().status_code, 201)
        ObjectChange.objects.all().delete()
        with self.assertRaisesMessage(RunRefusedError, 'by four eyes'):
            approve_run(self.run_, plan_hash(self.run_), timezone.now(), User.objects.get(pk=self.user.pk))

    def test_a_row_that_wants_nothing_is_refused(self):
        self.enforce_on(self.line)
        self.assertEqual(self.row(desired=None).status_code, 400)
        row = EnforcementChange.objects.create(run=self.run_, line=self.line, desired_mode='normal')
        url = reverse(f'plugins:{APP}:enforcementchange_edit', args=[row.pk])
        self.assertContains(self.client.post(url, {'desired_mode': ''}), 'Which state is it to have?')
        data = {'pk': [row.pk], '_apply': True, '_nullify': ['desired_mode'], 'desired_mode': ''}
        self.client.post(reverse(f'plugins:{APP}:enforcementchange_bulk_edit'), data)
        row.refresh_from_db()
        self.assertEqual(row.desired_mode, 'normal')


class EventsByHandTest(ByHandTestCase):
    user_permissions = (f'{APP}.view_billingsource', f'{APP}.add_billingevent', f'{APP}.view_billingevent')

    def event(self, body, **values):
        body = {'source': make_source().pk, 'event_id': 'by-hand', 'body': body, **values}
        return self.send('post', 'billing-events', **body)

    def test_an_event_is_of_the_type_that_its_body_is(self):
        body = '{"type": "%s", "timestamp": "2026-11-20T12:00:00Z", "data": {"contract": "C", "invoice": "I"}}'
        answer = self.event(body % 'invoice.paid', event_type='invoice.overdue')
        self.assertContains(answer, 'this event is \\"invoice.paid\\"', status_code=400)
        self.assertEqual(self.event(body % 'invoice.paid').status_code, 201)
        self.assertEqual(BillingEvent.objects.get().event_type, 'invoice.paid')

    def test_what_the_webhook_refuses_is_refused(self):
        for body in ('', 'paid', '{}', '[]', '{"type": "invoice.paid", "timestamp": "yesterday", "data": {}}'):
            self.assertEqual(self.event(body, event_type='invoice.paid').status_code, 400, body)
        self.assertFalse(BillingEvent.objects.exists())


class CredentialNamesTest(SimpleTestCase):
    def test_a_name_has_no_end_of_line(self):
        for model in (BillingSource, EnforcementPoint):
            field = model._meta.get_field('credential')
            field.run_validators('erp.main_2-x')
            for name in ('x\n', '\nx', 'x\r\n', 'x ', '../x', '.x'):
                with self.assertRaises(ValidationError, msg=repr(name)):
                    field.run_validators(name)
