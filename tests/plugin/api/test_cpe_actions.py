"""CPEs over REST: mass updates are planned, ACSs are asked by workers."""

from django.urls import reverse

from netbox_delinquency.choices import RunKindChoices
from netbox_delinquency.jobs.points import MatchCpes, RefreshCpe
from netbox_delinquency.models import EnforcementChange, EnforcementRun
from nornir_tasks.change import AccessTarget, CpeValue, ValueSet
from nornir_tasks.netbox import _desired, _target
from tests.plugin.factories import make_line, make_point

from .base import PluginAPITestCase

ROW = ['Device.Time.NTPServer1', 'a.ntp.br']


class CpeActionsTestCase(PluginAPITestCase):
    user_permissions = ('netbox_delinquency.view_enforcementrun', 'netbox_delinquency.view_enforcementchange')

    @classmethod
    def setUpTestData(cls):
        cls.acs = make_point(name='acs-1', driver='acs_embedded', host_key='')
        cls.line = make_line(acs=cls.acs, cwmp_id='00AA11-Router-S1', username='ana')
        cls.bras_line = make_line(username='bob')
        cls.url = reverse('plugins-api:netbox_delinquency-api:enforcementrun-plan-profile')

    def setUp(self):
        super().setUp()
        self.may('view_enforcementpoint')  # whose name the lines are chosen by

    def plan(self, status=201, **body):
        return self.send('post', self.url, {'filters': {'acs': ['acs-1']}, 'values': [ROW], **body}, status)

    def test_a_profile_run_is_planned_for_the_lines_chosen(self):
        self.plan(status=403)
        self.may('enforce_accessline')
        run = self.plan(name='Clocks')
        self.assertEqual((run['kind']['value'], run['status']['value'], run['name']), ('profile', 'planned', 'Clocks'))
        row = EnforcementChange.objects.get(run=run['id'])
        self.assertEqual((row.line, row.channel, row.desired), (self.line, 'cpe', None))
        self.assertEqual(row.values, [[*ROW, 'xsd:string']])

        (shown,) = self.get(reverse('plugins-api:netbox_delinquency-api:enforcementchange-list'))['results']
        change = row.as_change()
        # What a runbook makes of it is what a worker works with.
        self.assertEqual((_target(shown['target']), _desired(shown)), (change.target, change.desired))
        self.assertEqual(change.desired, ValueSet((CpeValue(*ROW),)))
        self.assertIsInstance(change.target, AccessTarget)

    def test_lines_one_may_not_enforce_are_not_planned(self):
        self.may('enforce_accessline', username='bob')
        self.assertIn('None of these lines', self.plan(status=409)['detail'])
        self.assertFalse(EnforcementRun.objects.filter(kind=RunKindChoices.PROFILE).exists())

    def test_bad_rows_are_refused_one_by_one(self):
        self.may('enforce_accessline')
        for values, words in (
            ([], 'has 1 to'),
            ([['Device.Time.NTPServer1']], 'name, value and type'),
            ([['NTPServer1', 'x']], 'full path'),
            ([['Device.Time..NTPServer1', 'x']], 'full path'),
            ([['Device.Time.NTPServer1.', 'x']], 'full path'),
            ([['Device.Time.<b>', 'x']], 'full path'),
            ([[*ROW, 'xsd:duration']], 'no type'),
            ([[*ROW, 'string']], 'no type'),
            ([['Device.Time.Enable', 'yes', 'xsd:boolean']], 'is a boolean'),
            ([['Device.X.N', '1.5', 'xsd:int']], 'whole number'),
            ([['Device.X.N', '-1', 'xsd:unsignedInt']], 'whole number'),
            ([['Device.X.N', '4294967296', 'xsd:unsignedInt']], 'whole number'),
            ([['Device.X.N', '٣', 'xsd:int']], 'whole number'),
            ([['Device.X.N', 'a\x07b']], 'control character'),
            ([['Device.X.N', 'x' * 5000]], '4096'),
            ([ROW, ROW], 'twice'),
            ([ROW, ['InternetGatewayDevice.Time.NTPServer1', 'x']], 'one data model'),
            ([[f'Device.X.N{n}', 'x'] for n in range(65)], 'has 1 to'),
            ([['Device.ManagementServer.URL', 'http://elsewhere/']], 'carries management'),
            ([['Device.ManagementServer.PeriodicInformEnable', '0', 'xsd:boolean']], 'carries management'),
            ([['Device.QoS.Shaper.1.ShapingRate', '64', 'xsd:int']], 'percent'),
        ):
            text = str(self.plan(status=400, values=values))
            self.assertIn(words, text, values)
        self.assertIn('no such filters', str(self.plan(status=400, filters={'nonsense': 1})))
        self.plan(status=400, filters={})
        self.assertFalse(EnforcementRun.objects.exists())

    def test_workers_are_asked_to_match_and_to_refresh(self):
        match = reverse('plugins-api:netbox_delinquency-api:enforcementpoint-match-cpes', args=[self.acs.pk])
        refresh = reverse('plugins-api:netbox_delinquency-api:accessline-refresh-cpe', args=[self.line.pk])
        for url in (match, refresh):
            self.send('post', url, {}, 403)
        self.may('check_enforcementpoint')
        self.send('post', match, {}, 403)
        self.may('change_accessline')
        self.may('view_accessline')
        job = self.send('post', match, {}, 202)
        self.assertEqual((job['object_id'], job['name']), (self.acs.pk, MatchCpes.name))
        job = self.send('post', refresh, {}, 202)
        self.assertEqual((job['object_id'], job['name']), (self.line.pk, RefreshCpe.name))
        bras = self.bras_line.bras
        other = reverse('plugins-api:netbox_delinquency-api:enforcementpoint-match-cpes', args=[bras.pk])
        self.assertIn('no ACS', self.send('post', other, {}, 409)['detail'])
        none = reverse('plugins-api:netbox_delinquency-api:accessline-refresh-cpe', args=[self.bras_line.pk])
        self.assertIn('has no ACS', self.send('post', none, {}, 409)['detail'])
