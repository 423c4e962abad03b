"""The filters of what seldom changes: subscribers, plans, policies and points."""

from utilities.testing import create_test_device, create_test_virtualmachine

from netbox_delinquency.choices import PointStatusChoices, StageActionChoices
from netbox_delinquency.filtersets import (
    DelinquencyPolicyFilterSet,
    EnforcementPointFilterSet,
    PolicyStageFilterSet,
    ServicePlanFilterSet,
    SubscriberFilterSet,
)
from netbox_delinquency.models import DelinquencyPolicy, EnforcementPoint, PolicyStage, ServicePlan, Subscriber
from tests.plugin.base import FilterSetTestCase
from tests.plugin.factories import make_plan, make_point, make_policy, make_subscriber


class SubscriberFilterSetTest(FilterSetTestCase):
    queryset = Subscriber.objects.all()
    filterset = SubscriberFilterSet

    @classmethod
    def setUpTestData(cls):
        cls.ana = make_subscriber(external_id='S-1', name='Ana', description='Since 2019')
        cls.bruno = make_subscriber(external_id='S-2', name='Bruno')
        cls.nameless = make_subscriber(external_id='X-3', comments='Moved')

    def test_by_its_own_fields(self):
        self.assertEqual(self.found(external_id=['S-1', 'X-3']), [self.ana, self.nameless])
        self.assertEqual(self.found(name__ic='bru'), [self.bruno])
        self.assertEqual(self.found(description='Since 2019'), [self.ana])

    def test_search(self):
        self.assertEqual(self.found(q='s-'), [self.ana, self.bruno])
        self.assertEqual(self.found(q='moved'), [self.nameless])
        self.assertEqual(self.found(q='nobody'), [])
        self.assertEqual(len(self.found(q='  ')), 3)


class ServicePlanFilterSetTest(FilterSetTestCase):
    queryset = ServicePlan.objects.all()
    filterset = ServicePlanFilterSet
    ignore_fields = ('parameters',)

    @classmethod
    def setUpTestData(cls):
        cls.slow, cls.middle, cls.fast = (
            make_plan(name=f'Fibre {rate}', down_kbps=rate) for rate in (9000, 50000, 70000)
        )

    def test_by_rate(self):
        self.assertEqual(self.found(down_kbps__gte=50000), [self.middle, self.fast])
        self.assertEqual(self.found(throttled_up_kbps__lt=500), [])

    def test_search(self):
        self.assertEqual(self.found(q='fibre 7'), [self.fast])


class DelinquencyPolicyFilterSetTest(FilterSetTestCase):
    queryset = DelinquencyPolicy.objects.all()
    filterset = DelinquencyPolicyFilterSet
    ignore_fields = ('articles',)

    @classmethod
    def setUpTestData(cls):
        cls.homes, cls.firms, cls.schools = (make_policy(name=name) for name in ('Homes', 'Firms', 'Schools'))
        cls.homes.auto_approve = True
        cls.homes.save()

    def test_by_approval(self):
        self.assertEqual(self.found(auto_approve='true'), [self.homes])
        self.assertEqual(self.found(q='schoo'), [self.schools])


class PolicyStageFilterSetTest(FilterSetTestCase):
    queryset = PolicyStage.objects.all()
    filterset = PolicyStageFilterSet

    @classmethod
    def setUpTestData(cls):
        cls.homes, cls.firms = make_policy(name='Homes'), make_policy(name='Firms')

    def test_by_policy_day_and_action(self):
        self.assertEqual(self.found(policy_id=self.homes.pk), list(self.homes.stages.order_by('pk')))
        self.assertEqual(self.found(policy='Firms'), list(self.firms.stages.order_by('pk')))
        self.assertEqual({stage.after_days for stage in self.found(after_days__gt=15)}, {30})
        self.assertEqual({stage.after_days for stage in self.found(action=StageActionChoices.THROTTLE)}, {15})
        self.assertEqual(len(self.found(q='firms')), 2)


class EnforcementPointFilterSetTest(FilterSetTestCase):
    queryset = EnforcementPoint.objects.all()
    filterset = EnforcementPointFilterSet
    ignore_fields = ('parameters',)

    @classmethod
    def setUpTestData(cls):
        cls.device, cls.machine = create_test_device('router-1'), create_test_virtualmachine('vm-1')
        cls.router = make_point(name='bras-1', device=cls.device, address='192.0.2.1')
        cls.virtual = make_point(name='bras-2', virtual_machine=cls.machine, address='192.0.2.2', credential='other')
        cls.resting = make_point(
            name='bras-3', status=PointStatusChoices.MAINTENANCE, address='198.51.100.3', port=2222
        )

    def test_by_host(self):
        self.assertEqual(self.found(device_id=self.device.pk), [self.router])
        self.assertEqual(self.found(device='router-1'), [self.router])
        self.assertEqual(self.found(virtual_machine_id=self.machine.pk), [self.virtual])
        self.assertEqual(self.found(virtual_machine='vm-1'), [self.virtual])

    def test_by_its_own_fields(self):
        self.assertEqual(self.found(status=PointStatusChoices.MAINTENANCE), [self.resting])
        self.assertEqual(self.found(driver='routeros', credential='other'), [self.virtual])
        self.assertEqual(self.found(port=2222), [self.resting])

    def test_search(self):
        self.assertEqual(self.found(q='192.0.2.'), [self.router, self.virtual])
        self.assertEqual(self.found(q='vm-1'), [self.virtual])
