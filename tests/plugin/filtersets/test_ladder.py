"""The filters of calendars, notices, holds and grace rules."""

from datetime import UTC, date, datetime

from django.contrib.auth import get_user_model
from utilities.testing import create_tags

from netbox_delinquency import filtersets
from netbox_delinquency.models import Calendar, CalendarDate, GraceRule, Hold, Notice, PlanChangeOrder
from tests.plugin.base import FilterSetTestCase
from tests.plugin.factories import make_contract, make_plan, make_policy


class CalendarFilterSetTest(FilterSetTestCase):
    queryset = Calendar.objects.all()
    filterset = filtersets.CalendarFilterSet

    @classmethod
    def setUpTestData(cls):
        for number in range(3):
            Calendar.objects.create(name=f'X{number}', country='US', time_zone='America/New_York')

    def test_by_place(self):
        recife = Calendar.objects.create(
            name='R', country='BR', subdivision='PE', city='Recife', time_zone='America/Recife'
        )
        lisbon = Calendar.objects.create(name='L', country='PT', time_zone='Europe/Lisbon')
        self.assertEqual(self.found(country='PT'), [lisbon])
        self.assertEqual(self.found(subdivision='PE'), [recife])
        self.assertEqual(self.found(q='recif'), [recife])


class CalendarDateFilterSetTest(FilterSetTestCase):
    queryset = CalendarDate.objects.all()
    filterset = filtersets.CalendarDateFilterSet

    @classmethod
    def setUpTestData(cls):
        calendar = Calendar.objects.create(name='X', country='US', time_zone='America/New_York')
        for number in (1, 2, 3):
            calendar.dates.create(date=f'2020-05-0{number}', name='x')

    def test_by_calendar_and_day(self):
        calendar = Calendar.objects.create(name='R', country='BR', time_zone='America/Recife')
        early, late = (calendar.dates.create(date=day, name=day) for day in ('2027-01-01', '2027-02-01'))
        self.assertEqual(self.found(calendar='R', date__gt='2027-01-15'), [late])
        self.assertEqual(self.found(calendar_id=calendar.pk, q='01-01'), [early])


class NoticeFilterSetTest(FilterSetTestCase):
    queryset = Notice.objects.all()
    filterset = filtersets.NoticeFilterSet

    @classmethod
    def setUpTestData(cls):
        for number in range(3):
            Notice.objects.create(contract=make_contract(), kind='termination', reference=f'X{number}', asserted_by='z')

    def test_by_contract_kind_and_time(self):
        one = Notice.objects.create(contract=make_contract(), kind='suspension', reference='A', asserted_by='b',
                                    delivered_at='2026-10-01T12:00:00Z')  # fmt: skip
        two = Notice.objects.create(
            contract=make_contract(), kind='reminder', reference='B', channel='sms', asserted_by='b'
        )
        self.assertEqual(self.found(contract_id=one.contract_id), [one])
        self.assertEqual(self.found(contract=two.contract.external_id), [two])
        self.assertEqual(self.found(kind='reminder', channel='sms'), [two])
        self.assertEqual(self.found(delivered_at__lt='2026-10-02T00:00:00Z'), [one])


class HoldFilterSetTest(FilterSetTestCase):
    queryset = Hold.objects.all()
    filterset = filtersets.HoldFilterSet

    @classmethod
    def setUpTestData(cls):
        user = get_user_model().objects.create(username='other')
        for number in range(3):
            Hold.objects.create(
                contract=make_contract(),
                kind='court_order',
                reason=f'x{number}',
                approver=user,
                ends_at=datetime(2099, 1, 1, tzinfo=UTC),
            )

    def test_by_contract_kind_and_approver(self):
        user = get_user_model().objects.create(username='approver')
        policy = make_policy()
        one, two = (
            Hold.objects.create(
                contract=make_contract(policy=policy),
                kind=kind,
                reason=kind,
                approver=user,
                ends_at=datetime(2099, 1, 1, tzinfo=UTC),
            )
            for kind in ('dispute', 'outage')
        )
        two.advance(successor=policy.stages.first())
        self.assertEqual(self.found(kind='outage'), [two])
        self.assertEqual(self.found(contract=one.contract.external_id, approver='approver'), [one])
        self.assertEqual(self.found(approver_id=user.pk), [one, two])
        self.assertEqual(self.found(successor_id=policy.stages.first().pk), [two])
        self.assertEqual(self.found(q='disp'), [one])


class GraceRuleFilterSetTest(FilterSetTestCase):
    queryset = GraceRule.objects.all()
    filterset = filtersets.GraceRuleFilterSet

    @classmethod
    def setUpTestData(cls):
        for number in range(3):
            GraceRule.objects.create(policy=make_policy(), tier=f'x{number}', exempt=True)

    def test_by_policy_tier_and_tag(self):
        tag, policy = create_tags('Good')[0], make_policy()
        gold, tagged = (
            GraceRule.objects.create(policy=policy, tier='gold'),
            GraceRule.objects.create(policy=policy, for_tag=tag),
        )
        self.assertEqual(self.found(tier='gold'), [gold])
        self.assertEqual(self.found(for_tag='good'), [tagged])
        self.assertEqual(self.found(for_tag_id=tag.pk, policy=policy.name), [tagged])
        self.assertEqual(self.found(policy_id=policy.pk, exempt='false'), [gold, tagged])


class PlanChangeOrderFilterSetTest(FilterSetTestCase):
    queryset = PlanChangeOrder.objects.all()
    filterset = filtersets.PlanChangeOrderFilterSet

    @classmethod
    def setUpTestData(cls):
        cls.orders = [
            PlanChangeOrder.objects.create(
                contract=make_contract(), to_plan=make_plan(), reason=f'why {number}', offered_until=date(2099, 1, 1)
            )
            for number in range(3)
        ]

    def test_by_contract_plan_and_status(self):
        first, second, third = self.orders
        third.advance(status='declined', decided_at='2026-10-01T12:00:00Z')
        self.assertEqual(self.found(contract_id=first.contract_id), [first])
        self.assertEqual(self.found(contract=second.contract.external_id), [second])
        self.assertEqual(self.found(to_plan=first.to_plan.name), [first])
        self.assertEqual(self.found(to_plan_id=first.to_plan_id), [first])
        self.assertEqual(self.found(from_plan=second.contract.plan.name), [second])
        self.assertEqual(self.found(from_plan_id=second.contract.plan_id), [second])
        self.assertEqual(self.found(status='declined'), [third])
        self.assertEqual(self.found(q='why 1'), [second])
