from utilities.testing import create_tags

from netbox_delinquency.models import Subscriber
from tests.plugin.base import ObjectViewTestCase
from tests.plugin.factories import make_subscriber


class SubscriberViewTest(ObjectViewTestCase):
    model = Subscriber

    @classmethod
    def setUpTestData(cls):
        first, second, _ = (make_subscriber(external_id=f'S-{number}') for number in range(1, 4))
        cls.form_data = {
            'external_id': 'S-9',
            'name': 'Ana',
            'description': 'Since 2019',
            'tags': [tag.pk for tag in create_tags('Alpha', 'Bravo')],
        }
        cls.csv_data = (
            'external_id,name,description',
            'S-4,Bruno,',
            'S-5,,Moved',
        )
        cls.csv_update_data = (
            'id,name',
            f'{first.pk},Clara',
            f'{second.pk},Davi',
        )
        cls.bulk_edit_data = {'description': 'Seen'}
