import json

from utilities.testing import create_tags, create_test_device, create_test_virtualmachine, post_data

from netbox_delinquency.choices import AccessModeChoices, PointStatusChoices
from netbox_delinquency.models import EnforcementPoint
from tests.plugin.base import ObjectViewTestCase, sees_everything
from tests.plugin.factories import make_line, make_point


class EnforcementPointViewTest(ObjectViewTestCase):
    model = EnforcementPoint

    @classmethod
    def setUpTestData(cls):
        first, second, _ = (make_point(name=f'bras-{letter}', device=create_test_device(None)) for letter in 'abc')
        device = create_test_device('router-1')
        create_test_virtualmachine('vm-1')
        cls.form_data = {
            'name': 'bras-x',
            'status': PointStatusChoices.MAINTENANCE,
            'mode': 'enforce',
            'driver': 'routeros',
            'device': device.pk,
            'virtual_machine': None,
            'address': '192.0.2.7',
            'port': 2222,
            'credential': 'bras-x',
            'host_key': 'SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU',
            'parameters': json.dumps({}),
            'timeout': 5,
            'batch_size': 50,
            'tags': [tag.pk for tag in create_tags('Alpha', 'Bravo')],
        }
        cls.csv_data = (
            'name,driver,address,device,virtual_machine,status',
            'bras-d,routeros,192.0.2.8,router-1,,active',
            'bras-e,routeros,192.0.2.9,,vm-1,',
        )
        cls.csv_update_data = ('id,address,timeout', f'{first.pk},192.0.2.10,20', f'{second.pk},192.0.2.11,30')
        cls.bulk_edit_data = {'status': PointStatusChoices.MAINTENANCE, 'timeout': 33}

    @sees_everything
    def post(self, **values):
        self.add_permissions('netbox_delinquency.add_enforcementpoint')
        return self.client.post(self._get_url('add'), post_data({**self.form_data, **values}))

    def test_a_driver_that_is_not_installed_cannot_be_chosen(self):
        self.assertContains(self.post(driver='telnet'), 'telnet is not one of the available choices')
        self.assertFalse(EnforcementPoint.objects.filter(name='bras-x').exists())

    def test_a_parameter_that_does_not_fit_the_driver_is_refused_with_its_name(self):
        self.assertContains(self.post(parameters='{"queue_colour": "red"}'), 'queue_colour')
        self.assertFalse(EnforcementPoint.objects.filter(name='bras-x').exists())

    @sees_everything
    def test_choosing_a_driver_brings_its_parameters_as_fields_and_they_are_saved(self):
        self.add_permissions('netbox_delinquency.add_enforcementpoint')
        self.assertNotContains(self.client.get(self._get_url('add')), 'parameter__')
        page = self.client.get(self._get_url('add'), {'driver': 'linux'}, headers={'hx-request': 'true'})
        self.assertContains(page, 'name="parameter__ssh__jump_host"')
        self.assertContains(page, 'Where blocked lines see the notice page')
        form_data = {name: value for name, value in self.form_data.items() if name != 'parameters'}
        fields = {'driver': 'linux', 'parameter__portal_ipv4': '192.0.2.80', 'parameter__sudo': 'on'}
        response = self.client.post(self._get_url('add'), post_data({**form_data, **fields}))
        self.assertHttpStatus(response, 302)
        point = EnforcementPoint.objects.get(name='bras-x')
        self.assertEqual(point.parameters, {'sudo': True, 'portal_ipv4': '192.0.2.80'})

    def test_a_point_on_both_a_device_and_a_virtual_machine_is_refused(self):
        machine = create_test_virtualmachine('vm-2')
        self.assertContains(
            self.post(virtual_machine=machine.pk), 'A point is a device or a virtual machine, not both.'
        )

    def test_the_page_counts_the_lines_of_the_point_by_intended_state(self):
        point = make_point()
        make_line(bras=point)
        make_line(bras=point, intended_mode=AccessModeChoices.BLOCKED)
        make_line(intended_mode=AccessModeChoices.BLOCKED)
        self.add_permissions('netbox_delinquency.view_enforcementpoint')
        self.assertNotContains(self.client.get(point.get_absolute_url()), 'Active lines')
        self.add_permissions('netbox_delinquency.view_accessline')
        page = self.client.get(point.get_absolute_url())
        self.assertContains(page, 'Active lines')
        self.assertContains(page, f'status=active&amp;point_id={point.pk}&amp;intended_mode=blocked')
        self.assertContains(page, '<span class="badge text-bg-red">1</span>', html=True)
        self.assertContains(page, f'/plugins/delinquency/access-lines/?embedded=True&point_id={point.pk}')
        self.assertNotContains(page, f'/plugins/delinquency/changes/?embedded=True&point_id={point.pk}')

    @sees_everything
    def test_points_can_be_imported_as_json_and_as_yaml(self):
        self.add_permissions('netbox_delinquency.add_enforcementpoint')
        record = {'name': 'bras-json', 'driver': 'routeros', 'address': '192.0.2.20', 'parameters': {}}
        text = 'name: bras-yaml\ndriver: routeros\naddress: 192.0.2.21\nbatch_size: 25\ntags: alpha\n'
        for kind, data in (('json', json.dumps([record])), ('yaml', text)):
            response = self.client.post(self._get_url('bulk_import'), {'format': kind, 'data': data})
            self.assertHttpStatus(response, 302)
        imported = EnforcementPoint.objects.filter(name__in=('bras-json', 'bras-yaml')).order_by('name')
        self.assertEqual([(point.status, point.timeout) for point in imported], [('active', 10)] * 2)
        self.assertEqual([point.batch_size for point in imported], [100, 25])
        self.assertEqual([tag.slug for tag in imported[1].tags.all()], ['alpha'])
