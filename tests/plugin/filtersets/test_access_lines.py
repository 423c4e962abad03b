from datetime import UTC, datetime

from utilities.testing import create_test_device

from netbox_delinquency.choices import LineStatusChoices
from netbox_delinquency.filtersets import AccessLineFilterSet
from netbox_delinquency.models import AccessLine
from tests.plugin.base import FilterSetTestCase
from tests.plugin.factories import make_contract, make_line, make_point, make_policy, restrict

NOW = datetime(2025, 3, 10, tzinfo=UTC)


class AccessLineFilterSetTest(FilterSetTestCase):
    queryset = AccessLine.objects.all()
    filterset = AccessLineFilterSet
    ignore_fields = ('baseline', 'cpe_baseline', 'foreign', 'cpe_foreign')

    @classmethod
    def setUpTestData(cls):
        cls.bras, cls.acs, cls.cpe = make_point(name='bras-1'), make_point(name='acs-1'), create_test_device('cpe-1')
        policy = make_policy()
        cls.contract = make_contract(
            external_id='C-9', policy=policy, stage=policy.stages.get(action='block'), stage_since=NOW
        )
        cls.calm = make_line(
            username='calm', bras=cls.bras, acs=cls.acs, cwmp_id='00005E-Box-1', observed_mode='normal', observed_at=NOW
        )
        cls.blocked = make_line(
            username='due', contract=cls.contract, bras=cls.bras, cpe=cls.cpe, ipv4='198.51.100.7',
            ipv6='2001:db8::/56', mac='00:00:5E:00:53:07', circuit_id='0/1/2', intended_mode='blocked',
            observed_mode='normal', observed_at=NOW,
        )  # fmt: skip
        cls.tr069 = make_line(username='', acs=cls.acs, cwmp_id='00005E-Box-2')
        cls.slowed = make_line(
            username='slow', intended_mode='throttled', intended_down_kbps=1000, intended_up_kbps=500,
            observed_mode='throttled', observed_down_kbps=2000, observed_up_kbps=500, observed_at=NOW,
        )  # fmt: skip
        restrict(cls.slowed)
        cls.retired = make_line(username='old', status=LineStatusChoices.RETIRED, intended_mode='blocked')

    def test_drifting(self):
        self.assertEqual(self.found(drifting='true'), [self.blocked, self.slowed])
        self.assertEqual(self.found(drifting='false'), [self.calm, self.tr069, self.retired])

    def test_a_line_in_doubt_drifts(self):
        AccessLine.objects.filter(pk=self.calm.pk).update(
            unverified=True, intended_mode='blocked', observed_mode='blocked'
        )
        self.assertIn(self.calm, self.found(drifting='true'))
        self.assertEqual(self.found(unverified='true'), [self.calm])

    def test_by_state(self):
        self.assertEqual(self.found(intended_mode='blocked'), [self.blocked, self.retired])
        self.assertEqual(self.found(observed_mode=['normal', 'throttled']), [self.calm, self.blocked, self.slowed])
        self.assertEqual(self.found(observed_mode__empty='true'), [self.tr069, self.retired])
        self.assertEqual(self.found(observed_down_kbps__gt=1500), [self.slowed])
        self.assertEqual(self.found(status='retired'), [self.retired])

    def test_either_point(self):
        self.assertEqual(self.found(point_id=self.bras.pk), [self.calm, self.blocked])
        self.assertEqual(self.found(point_id=self.acs.pk), [self.calm, self.tr069])
        self.assertEqual(self.found(point_id=[self.bras.pk, self.acs.pk]), [self.calm, self.blocked, self.tr069])
        self.assertEqual(self.found(bras='bras-1', acs_id=self.acs.pk), [self.calm])
        self.assertEqual(self.found(bras_id='null'), [self.tr069])

    def test_through_its_contract(self):
        contract = self.contract
        for params in (
            {'contract_id': contract.pk},
            {'contract': 'C-9'},
            {'subscriber_id': contract.subscriber.pk},
            {'subscriber': contract.subscriber.external_id},
            {'plan_id': contract.plan.pk},
            {'plan': contract.plan.name},
            {'policy_id': contract.policy.pk},
            {'policy': contract.policy.name},
            {'source_id': contract.source.pk},
            {'source': contract.source.slug},
            {'stage_id': contract.stage.pk},
            {'stage_action': 'block'},
        ):
            self.assertEqual(self.found(**params), [self.blocked], params)

    def test_by_identity(self):
        for params in (
            {'username': 'due'},
            {'circuit_id': '0/1/2'},
            {'ipv4': '198.51.100.7'},
            {'ipv6__isw': '2001:db8'},
            {'mac': '00:00:5e:00:53:07'},
            {'cpe': 'cpe-1'},
            {'cpe_id': self.cpe.pk},
        ):
            self.assertEqual(self.found(**params), [self.blocked], params)
        self.assertEqual(self.found(cwmp_id__ic='box-2'), [self.tr069])

    def test_what_is_no_address_is_refused_before_the_database_sees_it(self):
        filterset = self.filterset({'ipv4': ["' or 1=1"]}, self.queryset)
        self.assertFalse(filterset.is_valid())
        self.assertIn('ipv4', filterset.errors)

    def test_search(self):
        for text in ('due', '198.51.100', '53:07', 'cpe-1', 'C-9', self.contract.subscriber.external_id):
            self.assertEqual(self.found(q=text), [self.blocked], text)
        self.assertEqual(self.found(q='00005e-box'), [self.calm, self.tr069])
