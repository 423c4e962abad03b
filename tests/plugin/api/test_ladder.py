"""Calendars, notices, holds and grace rules over REST and GraphQL."""

from datetime import timedelta

from django.contrib.auth import get_user_model
from django.utils import timezone
from utilities.testing import create_tags

from netbox_delinquency.models import Calendar, CalendarDate, GraceRule, Hold, Notice, PlanChangeOrder

from ..factories import make_contract, make_plan, make_policy
from .base import APP, PluginViewTestCase

DELIVERED = '2026-10-01T12:00:00Z'


def make_calendars(count=4):
    return [
        Calendar.objects.create(name=f'SP {number}', country='BR', subdivision='SP', time_zone='America/Sao_Paulo')
        for number in range(count)
    ]


class CalendarAPITest(PluginViewTestCase):
    model = Calendar
    brief_fields = ['description', 'display', 'id', 'name', 'url']
    create_data = [{'name': f'New {n}', 'country': 'BR', 'time_zone': 'America/Recife'} for n in range(3)]
    bulk_update_data = {'city': 'Olinda'}
    bulk_update_invalid_data = {'time_zone': 'Mars/Olympus'}
    derived = ('date_count', 'contract_count')

    @classmethod
    def setUpTestData(cls):
        make_calendars()

    def test_an_unknown_region_is_refused_with_those_that_are_known(self):
        self.may('add_calendar')
        data = {'name': 'x', 'country': 'BR', 'subdivision': 'XX', 'time_zone': 'America/Recife'}
        assert 'known are' in self.send('post', self._get_list_url(), data, 400)['subdivision'][0]


class CalendarDateAPITest(PluginViewTestCase):
    model = CalendarDate
    user_permissions = (f'{APP}.view_calendar',)
    brief_fields = ['date', 'display', 'id', 'is_holiday', 'name', 'url']
    bulk_update_data = {'is_holiday': False}
    bulk_update_invalid_data = {'name': ''}

    @classmethod
    def setUpTestData(cls):
        calendars = make_calendars()
        for calendar in calendars:
            CalendarDate.objects.create(calendar=calendar, date='2027-01-25', name='Aniversário')
        cls.create_data = [{'calendar': calendars[0].pk, 'date': f'2027-02-0{n}', 'name': 'x'} for n in (1, 2, 3)]


class NoticeAPITest(PluginViewTestCase):
    validation_excluded_fields = ('delivered_at',)
    model = Notice
    user_permissions = (f'{APP}.view_contract', f'{APP}.record_notice')
    update_data = {'description': 'seen'}
    brief_fields = ['delivered_at', 'description', 'display', 'id', 'kind', 'reference', 'url']
    bulk_update_data = {'description': 'z'}
    bulk_update_invalid_data = {'kind': 'x'}

    @classmethod
    def setUpTestData(cls):
        for number in range(4):
            Notice.objects.create(contract=make_contract(), kind='suspension', reference=f'N-{number}',
                                  delivered_at=DELIVERED, asserted_by='b')  # fmt: skip
        contract = make_contract()
        cls.create_data = [
            {'contract': contract.pk, 'kind': 'suspension', 'reference': f'M-{n}',
             'delivered_at': timezone.now().isoformat()} for n in range(3)
        ]  # fmt: skip


class HoldAPITest(PluginViewTestCase):
    validation_excluded_fields = ('starts_at', 'ends_at')
    model = Hold
    user_permissions = (f'{APP}.view_contract', f'{APP}.view_policystage', 'users.view_user')
    brief_fields = ['description', 'display', 'ends_at', 'id', 'kind', 'starts_at', 'url']
    bulk_update_data = {'reason': 'moved'}
    bulk_update_invalid_data = {'kind': 'x'}

    @classmethod
    def setUpTestData(cls):
        approver = get_user_model().objects.create(username='approver')
        policy = make_policy()
        for _ in range(4):
            hold = Hold.objects.create(contract=make_contract(policy=policy), kind='dispute', reason='x',
                                       approver=approver, ends_at=timezone.now() + timedelta(days=20))  # fmt: skip
            hold.advance(successor=policy.stages.first())
        contract = make_contract()
        cls.create_data = [
            {'contract': contract.pk, 'kind': 'outage', 'reason': f'{n}', 'starts_at': timezone.now().isoformat(),
             'ends_at': (timezone.now() + timedelta(days=20)).isoformat()} for n in range(3)
        ]  # fmt: skip


class GraceRuleAPITest(PluginViewTestCase):
    model = GraceRule
    user_permissions = (f'{APP}.view_delinquencypolicy',)
    brief_fields = ['display', 'exempt', 'extra_days', 'id', 'tier', 'url']
    update_data = {'extra_days': 8}
    bulk_update_data = {'extra_days': 9}
    bulk_update_invalid_data = {'extra_days': -1}

    @classmethod
    def setUpTestData(cls):
        tag = create_tags('Good')[0]
        for _ in range(4):
            GraceRule.objects.create(policy=make_policy(), for_tag=tag)
        policy = make_policy()
        cls.create_data = [{'policy': policy.pk, 'tier': f't{n}', 'extra_days': 3} for n in range(3)]

    def test_a_rule_for_nobody_or_for_both_is_refused(self):
        self.may('add_gracerule')
        assert 'one of the two' in str(self.send('post', self._get_list_url(), {'policy': make_policy().pk}, 400))


class PlanChangeOrderAPITest(PluginViewTestCase):
    model = PlanChangeOrder
    user_permissions = (f'{APP}.view_contract', f'{APP}.view_serviceplan')
    brief_fields = ['description', 'display', 'id', 'offered_until', 'status', 'url']
    bulk_update_data = {'reason': 'moved'}
    bulk_update_invalid_data = {'offered_until': 'soon'}

    @classmethod
    def setUpTestData(cls):
        small = make_plan(down_kbps=10_000, up_kbps=5_000)
        for _ in range(4):
            PlanChangeOrder.objects.create(
                contract=make_contract(), to_plan=small, reason='lost the job', offered_until='2099-01-01'
            )
        cls.create_data = [
            {'contract': make_contract().pk, 'to_plan': small.pk, 'reason': f'{n}', 'offered_until': '2099-01-01'}
            for n in range(3)
        ]

    def test_a_plan_that_is_not_smaller_is_no_downgrade(self):
        self.may('add_planchangeorder')
        contract = make_contract()
        for plan in (contract.plan, make_plan(down_kbps=10_000, up_kbps=60_000)):
            data = {'contract': contract.pk, 'to_plan': plan.pk, 'reason': 'x', 'offered_until': '2099-01-01'}
            assert 'smaller plan' in self.send('post', self._get_list_url(), data, 400)['to_plan'][0]
