"""What a person may claim by hand: a notice that is theirs and of now, a hold that is theirs and ends."""

from datetime import timedelta

from django.urls import reverse
from django.utils import timezone
from users.models import Token
from utilities.testing import TestCase

from netbox_delinquency.models import Hold, Notice
from tests.plugin.factories import make_contract, make_policy

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

    def test_a_trust_unlock_is_not_given_by_adding_a_hold(self):
        self.contract.advance(stage=self.contract.policy.stages.first(), stage_since=timezone.now())
        self.assertContains(self.hold(kind='trust_unlock'), 'may unlock the contract', status_code=400)
        self.add_permissions(f'{APP}.unlock_contract')
        self.assertEqual(self.hold(kind='trust_unlock').status_code, 201)
