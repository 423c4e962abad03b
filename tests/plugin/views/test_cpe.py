"""The pages of mass updates, and the buttons that have a worker ask an ACS."""

from core.models import Job
from django.urls import reverse
from utilities.testing import TestCase, create_test_device

from netbox_delinquency.jobs.points import MatchCpes, RefreshCpe
from netbox_delinquency.models import EnforcementRun
from tests.plugin.factories import make_line, make_point

VALUES = 'Device.Time.NTPServer1,a.ntp.br\nDevice.WiFi.SSID.1.SSID,"Casa, rede",xsd:string'


class ProfileTestCase(TestCase):
    user_permissions = (
        'netbox_delinquency.view_accessline', 'netbox_delinquency.view_enforcementrun',
        'netbox_delinquency.view_enforcementchange',
    )  # fmt: skip

    @classmethod
    def setUpTestData(cls):
        cls.acs = make_point(name='acs-1', driver='genieacs', host_key='')
        cls.lines = [make_line(acs=cls.acs, cwmp_id=f'00AA11-Router-S{n}') for n in range(2)]
        cls.bras_line = make_line()
        cls.url = reverse('plugins:netbox_delinquency:accessline_bulk_profile')

    def post(self, query='', **data):
        return self.client.post(self.url + query, {'pk': [line.pk for line in self.lines], **data})

    def test_the_form_says_how_many_can_be_reached_and_plans_on_the_second_post(self):
        self.assertEqual(self.post().status_code, 403)
        self.add_permissions('netbox_delinquency.enforce_accessline')
        page = self.client.get(reverse('plugins:netbox_delinquency:accessline_list'))
        self.assertContains(page, self.url)
        page = self.client.post(self.url, {'pk': [self.lines[0].pk, self.bras_line.pk]})
        self.assertContains(page, '2 lines are chosen; the CPEs of 1')
        self.assertFalse(EnforcementRun.objects.exists())
        answer = self.post(_apply='1', values=VALUES, name='Clocks')
        run = EnforcementRun.objects.get()
        self.assertRedirects(answer, run.get_absolute_url())
        self.assertEqual((run.name, run.kind, run.status, run.author), ('Clocks', 'profile', 'planned', self.user))
        self.assertEqual(set(run.changes.values_list('line_id', flat=True)), {line.pk for line in self.lines})
        self.assertEqual(run.changes.first().values[1], ['Device.WiFi.SSID.1.SSID', 'Casa, rede', 'xsd:string'])
        self.assertEqual(self.client.get(run.changes.first().get_absolute_url()).status_code, 200)

    def test_all_that_the_filter_shows_are_planned_and_no_others(self):
        self.add_permissions('netbox_delinquency.enforce_accessline')
        self.post(f'?cwmp_id={self.lines[0].cwmp_id}', _all='1', _apply='1', values='[["Device.X.N", "1", "xsd:int"]]')
        run = EnforcementRun.objects.get()
        self.assertEqual([row.line for row in run.changes.all()], [self.lines[0]])

    def test_what_is_wrong_is_said_in_the_form_and_nothing_is_planned(self):
        self.add_permissions('netbox_delinquency.enforce_accessline')
        for values, words in (
            ('NTPServer1,x', 'row 1'),
            ('', 'required'),
            ('[{"a": 1}]', 'cells'),
            ('[1', 'Expecting'),
        ):
            self.assertContains(self.post(_apply='1', values=values), words)
        page = self.client.post(self.url, {'pk': [self.bras_line.pk], '_apply': '1', 'values': VALUES})
        self.assertContains(page, 'None of these lines')
        self.assertFalse(EnforcementRun.objects.exists())

    def test_matching_and_refreshing_are_left_to_workers(self):
        device = create_test_device('cpe-1')
        line = self.lines[0]
        line.cpe = device
        line.save()
        match = reverse('plugins:netbox_delinquency:enforcementpoint_match_cpes', args=[self.acs.pk])
        refresh = reverse('plugins:netbox_delinquency:accessline_refresh_cpe', args=[line.pk])
        for url in (match, refresh):
            self.assertEqual(self.client.post(url).status_code, 403)
        self.add_permissions(
            'netbox_delinquency.check_enforcementpoint', 'netbox_delinquency.view_enforcementpoint',
            'netbox_delinquency.change_accessline', 'dcim.view_device',
        )  # fmt: skip
        self.assertContains(self.client.get(self.acs.get_absolute_url()), match)
        bras = self.bras_line.bras
        other = reverse('plugins:netbox_delinquency:enforcementpoint_match_cpes', args=[bras.pk])
        self.assertNotContains(self.client.get(bras.get_absolute_url()), other)
        self.assertContains(self.client.get(device.get_absolute_url()), refresh)
        self.client.post(match)
        self.assertRedirects(self.client.post(refresh), device.get_absolute_url())
        self.assertEqual(set(Job.objects.values_list('name', flat=True)), {MatchCpes.name, RefreshCpe.name})
