import json

from utilities.testing import create_tags, post_data

from netbox_delinquency.models import ServicePlan
from tests.plugin.base import ObjectViewTestCase, sees_everything
from tests.plugin.factories import make_plan


class ServicePlanViewTest(ObjectViewTestCase):
    model = ServicePlan

    @classmethod
    def setUpTestData(cls):
        first, second, _ = (make_plan(name=f'Plan {number}') for number in range(1, 4))
        cls.form_data = {
            'name': 'Fibre 300',
            'down_kbps': 300_000,
            'up_kbps': 150_000,
            'throttled_down_kbps': 2_000,
            'throttled_up_kbps': 1_000,
            'parameters': json.dumps({'routeros': {'profile': 'fibre-300'}}),
            'tags': [tag.pk for tag in create_tags('Alpha', 'Bravo')],
        }
        cls.csv_data = (
            'name,down_kbps,up_kbps,throttled_down_kbps,throttled_up_kbps,parameters',
            'Plan 4,1000,500,100,100,',
            'Plan 5,1000,500,100,100,"{""routeros"": {""profile"": ""p5""}}"',
        )
        cls.csv_update_data = (
            'id,name,throttled_up_kbps',
            f'{first.pk},Plan A,250',
            f'{second.pk},Plan B,250',
        )
        cls.bulk_edit_data = {'throttled_down_kbps': 512, 'throttled_up_kbps': 256}

    @sees_everything
    def post(self, **values):
        self.add_permissions('netbox_delinquency.add_serviceplan')
        return self.client.post(self._get_url('add'), post_data({**self.form_data, **values}))

    def test_a_throttled_rate_above_the_contracted_one_is_refused_with_a_sentence(self):
        response = self.post(throttled_down_kbps=300_001)
        self.assertContains(response, 'The throttled rates are at least 1 kbit/s and at most the contracted ones.')
        self.assertFalse(ServicePlan.objects.filter(name='Fibre 300').exists())

    def test_a_parameter_its_driver_does_not_know_is_refused_by_name(self):
        response = self.post(parameters='{"routeros": {"profil": "fibre-300"}}')
        self.assertContains(response, 'profil: Extra inputs are not permitted')
        self.assertFalse(ServicePlan.objects.filter(name='Fibre 300').exists())

    def test_parameters_left_empty_are_none(self):
        self.assertHttpStatus(self.post(parameters=''), 302)
        self.assertEqual(ServicePlan.objects.get(name='Fibre 300').parameters, {})
