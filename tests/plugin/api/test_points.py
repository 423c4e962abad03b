"""Enforcement points: everything about them but a secret, which is not there."""

from dcim.models import Interface
from django.contrib.contenttypes.models import ContentType
from ipam.models import IPAddress
from utilities.testing import create_test_device, create_test_virtualmachine

from netbox_delinquency.models import EnforcementPoint

from ..factories import make_line, make_point
from .base import PluginViewTestCase

HOST_KEY = 'SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU'


def give_address(device, address):
    interface = Interface.objects.create(device=device, name='lo', type='virtual')
    kind = ContentType.objects.get_for_model(Interface)
    device.primary_ip4 = IPAddress.objects.create(
        address=address, assigned_object_type=kind, assigned_object_id=interface.pk
    )
    device.save()
    return device


class EnforcementPointAPITest(PluginViewTestCase):
    model = EnforcementPoint
    brief_fields = ['description', 'display', 'driver', 'id', 'name', 'status', 'url']
    create_data = [
        {
            'name': f'new-{number}',
            'status': 'maintenance',
            'driver': 'routeros',
            'address': '192.0.2.7',
            'port': 2222,
            'credential': 'bras',
            'host_key': HOST_KEY,
            'timeout': 20,
            'batch_size': 50,
        }
        for number in range(3)
    ]
    bulk_update_data = {'timeout': 30, 'status': 'retired'}
    bulk_update_invalid_data = {'timeout': 0}
    derived = ('host', 'bras_line_count', 'acs_line_count')

    @classmethod
    def setUpTestData(cls):
        for number in range(1, 5):
            device = give_address(create_test_device(None), f'192.0.2.{number}/32')
            make_point(device=device, address='')

    def test_the_host_is_the_primary_address_of_the_device(self):
        self.may('view_enforcementpoint')
        rows = self.get(self._get_list_url())['results']
        assert [row['host'] for row in rows] == ['192.0.2.1', '192.0.2.2', '192.0.2.3', '192.0.2.4']
        assert [row['address'] for row in rows] == [''] * 4

    def test_lines_are_counted_by_what_the_point_is_to_them(self):
        self.may('view_enforcementpoint')
        point = make_point()
        make_line(bras=point)
        make_line(acs=point, cwmp_id='00259E-HG8245-1')
        row = self.get(self._get_detail_url(point))
        assert (row['bras_line_count'], row['acs_line_count']) == (1, 1)

    def test_a_point_is_a_device_or_a_virtual_machine_and_not_both(self):
        self.may('change_enforcementpoint')
        machine = create_test_virtualmachine('bng')
        url = self._get_detail_url(EnforcementPoint.objects.first())
        assert 'not both' in str(self.send('patch', url, {'virtual_machine': machine.pk}, 400))

    def test_a_point_without_any_address_is_refused(self):
        self.may('change_enforcementpoint')
        url = self._get_detail_url(EnforcementPoint.objects.first())
        assert 'address' in self.send('patch', url, {'device': None}, 400)

    def test_a_driver_that_is_not_installed_is_refused_by_name(self):
        self.may('change_enforcementpoint')
        url = self._get_detail_url(EnforcementPoint.objects.first())
        assert 'no driver "ios"' in str(self.send('patch', url, {'driver': 'ios'}, 400)['driver'])

    def test_a_point_that_carries_lines_is_not_deleted(self):
        self.may('delete_enforcementpoint')
        point = make_line().bras
        self.send('delete', self._get_detail_url(point), None, 409)
        assert EnforcementPoint.objects.filter(pk=point.pk).exists()
