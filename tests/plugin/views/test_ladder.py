"""Calendars, notices, holds and grace rules on their pages."""

from datetime import UTC, date, datetime, timedelta

from django.contrib.auth import get_user_model
from utilities.testing import create_tags

from netbox_delinquency.models import Calendar, CalendarDate, GraceRule, Hold, Notice, PlanChangeOrder
from tests.plugin.base import ObjectViewTestCase
from tests.plugin.factories import make_contract, make_plan, make_policy

ENDS = datetime.now(UTC) + timedelta(days=20)


class CalendarViewTest(ObjectViewTestCase):
    model = Calendar

    @classmethod
    def setUpTestData(cls):
        first, second, _ = (
            Calendar.objects.create(name=f'C{n}', country='BR', time_zone='America/Recife') for n in range(3)
        )
        cls.form_data = {'name': 'New', 'country': 'BR', 'subdivision': 'PE', 'time_zone': 'America/Recife',
                         'tags': [tag.pk for tag in create_tags('Alpha')]}  # fmt: skip
        cls.csv_data = ('name,country,time_zone', 'C4,PT,Europe/Lisbon', 'C5,BR,America/Manaus')
        cls.csv_update_data = ('id,city', f'{first.pk},Olinda', f'{second.pk},Recife')
        cls.bulk_edit_data = {'city': 'Olinda'}


class CalendarDateViewTest(ObjectViewTestCase):
    model = CalendarDate

    @classmethod
    def setUpTestData(cls):
        calendar = Calendar.objects.create(name='C', country='BR', time_zone='America/Recife')
        first, second, _ = (
            CalendarDate.objects.create(calendar=calendar, date=f'2027-01-0{n}', name='x') for n in (1, 2, 3)
        )
        cls.form_data = {'calendar': calendar.pk, 'date': date(2027, 3, 1), 'name': 'y', 'is_holiday': False,
                         'tags': [tag.pk for tag in create_tags('Alpha')]}  # fmt: skip
        cls.csv_data = ('calendar,date,name', 'C,2027-04-01,a', 'C,2027-04-02,b')
        cls.csv_update_data = ('id,name', f'{first.pk},q', f'{second.pk},r')
        cls.bulk_edit_data = {'name': 'z'}


class NoticeViewTest(ObjectViewTestCase):
    model = Notice
    user_permissions = ('netbox_delinquency.record_notice',)

    @classmethod
    def setUpTestData(cls):
        contract = make_contract()
        first, second, _ = (
            Notice.objects.create(contract=contract, kind='suspension', reference=f'N{n}', asserted_by='b')
            for n in range(3)
        )
        cls.form_data = {'contract': contract.pk, 'kind': 'reminder', 'reference': 'new', 'channel': 'sms',
                         'tags': [tag.pk for tag in create_tags('Alpha')]}  # fmt: skip
        cls.edit_data = {'contract': contract.pk, 'kind': 'suspension', 'reference': 'N0', 'channel': 'other',
                              'description': 'seen'}  # fmt: skip
        cls.csv_data = ('contract,kind,reference', f'{contract.pk},reminder,a', f'{contract.pk},reminder,c')
        cls.csv_update_data = ('id,description', f'{first.pk},q', f'{second.pk},r')
        cls.bulk_edit_data = {'description': 'z'}

    def test_edit_object_with_permission(self):
        self.form_data = self.edit_data
        super().test_edit_object_with_permission()

    def test_edit_object_with_constrained_permission(self):
        self.form_data = self.edit_data
        super().test_edit_object_with_constrained_permission()


class HoldViewTest(ObjectViewTestCase):
    model = Hold
    validation_excluded_fields = ('starts_at', 'ends_at')

    @classmethod
    def setUpTestData(cls):
        contract, user = make_contract(), get_user_model().objects.create(username='approver')
        first, second, _ = (
            Hold.objects.create(contract=contract, kind='dispute', reason=f'{n}', approver=user, ends_at=ENDS)
            for n in range(3)
        )
        cls.form_data = {'contract': contract.pk, 'kind': 'outage', 'reason': 'new',
                         'starts_at': datetime.now(UTC).isoformat(' '), 'ends_at': ENDS.isoformat(' '),
                         'tags': [tag.pk for tag in create_tags('Alpha')]}  # fmt: skip
        cls.csv_data = (
            'contract,kind,reason,ends_at',
            f'{contract.pk},outage,a,{ENDS}',
            f'{contract.pk},outage,b,{ENDS}',
        )
        cls.csv_update_data = ('id,reason', f'{first.pk},q', f'{second.pk},r')
        cls.bulk_edit_data = {'reason': 'z'}


class GraceRuleViewTest(ObjectViewTestCase):
    model = GraceRule

    @classmethod
    def setUpTestData(cls):
        policy = make_policy()
        first, second, _ = (GraceRule.objects.create(policy=policy, tier=f't{n}') for n in range(3))
        cls.form_data = {'policy': policy.pk, 'tier': 'gold', 'extra_days': 5, 'exempt': True,
                         'tags': [tag.pk for tag in create_tags('Alpha')]}  # fmt: skip
        cls.csv_data = ('policy,tier,extra_days', f'{policy.name},a,1', f'{policy.name},b,2')
        cls.csv_update_data = ('id,tier', f'{first.pk},q', f'{second.pk},r')
        cls.bulk_edit_data = {'extra_days': 4}


class PlanChangeOrderViewTest(ObjectViewTestCase):
    model = PlanChangeOrder

    @classmethod
    def setUpTestData(cls):
        small = make_plan(name='Small', down_kbps=10_000, up_kbps=5_000)
        first, second, _ = (
            PlanChangeOrder.objects.create(
                contract=make_contract(), to_plan=small, reason=f'{n}', offered_until=date(2099, 1, 1)
            )
            for n in range(3)
        )
        cls.form_data = {
            'contract': make_contract().pk,
            'to_plan': small.pk,
            'reason': 'new',
            'offered_until': date(2099, 1, 1),
            'tags': [tag.pk for tag in create_tags('Alpha')],
        }
        cls.csv_data = (
            'contract,to_plan,reason,offered_until',
            f'{make_contract().pk},Small,a,2099-01-01',
            f'{make_contract().pk},Small,b,2099-01-01',
        )
        cls.csv_update_data = ('id,reason', f'{first.pk},q', f'{second.pk},r')
        cls.bulk_edit_data = {'reason': 'z'}
