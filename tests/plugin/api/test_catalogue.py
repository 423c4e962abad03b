"""Subscribers, plans, policies and their stages, billing sources: what is entered once and referred to."""

from netbox_delinquency.models import BillingSource, Calendar, DelinquencyPolicy, PolicyStage, ServicePlan, Subscriber

from ..factories import make_contract, make_plan, make_policy, make_source, make_subscriber
from .base import APP, PluginViewTestCase


class SubscriberAPITest(PluginViewTestCase):
    model = Subscriber
    brief_fields = ['description', 'display', 'external_id', 'id', 'name', 'url']
    create_data = [{'external_id': f'new-{number}', 'name': 'Ana'} for number in range(3)]
    bulk_update_data = {'description': 'moved'}
    bulk_update_invalid_data = {'external_id': ''}

    @classmethod
    def setUpTestData(cls):
        for _ in range(4):
            make_subscriber(name='Rosa', description='x')

    def test_a_known_external_id_is_refused(self):
        self.may('add_subscriber')
        known = Subscriber.objects.first().external_id
        assert 'external_id' in self.send('post', self._get_list_url(), {'external_id': known}, 400)

    def test_contracts_are_counted(self):
        self.may('view_subscriber')
        subscriber = make_contract().subscriber
        assert self.get(self._get_detail_url(subscriber))['contract_count'] == 1


class ServicePlanAPITest(PluginViewTestCase):
    model = ServicePlan
    brief_fields = [
        'description', 'display', 'down_kbps', 'id', 'name', 'throttled_down_kbps', 'throttled_up_kbps', 'up_kbps',
        'url',
    ]  # fmt: skip
    create_data = [
        {
            'name': f'New {number}',
            'down_kbps': 50_000,
            'up_kbps': 25_000,
            'throttled_down_kbps': 1_000,
            'throttled_up_kbps': 500,
            'parameters': {'routeros': {'profile': 'fibre-50'}},
        }
        for number in range(3)
    ]
    bulk_update_data = {'down_kbps': 200_000, 'description': 'faster'}
    bulk_update_invalid_data = {'down_kbps': 0}

    @classmethod
    def setUpTestData(cls):
        for _ in range(4):
            make_plan(description='x')

    def test_a_throttle_above_the_contracted_rate_is_refused(self):
        self.may('change_serviceplan')
        url = self._get_detail_url(ServicePlan.objects.first())
        answer = self.send('patch', url, {'throttled_down_kbps': 100_001}, 400)
        assert 'throttled rates' in str(answer)

    def test_a_parameter_the_driver_does_not_know_is_refused_by_name(self):
        self.may('change_serviceplan')
        url = self._get_detail_url(ServicePlan.objects.first())
        answer = self.send('patch', url, {'parameters': {'routeros': {'colour': 'red'}}}, 400)
        assert 'colour' in answer['parameters'][0]
        assert 'known parameters' in answer['parameters'][0]


class DelinquencyPolicyAPITest(PluginViewTestCase):
    model = DelinquencyPolicy
    brief_fields = ['description', 'display', 'id', 'name', 'url']
    create_data = [{'name': f'New {number}', 'auto_approve': True} for number in range(3)]
    bulk_update_data = {'auto_approve': True}
    bulk_update_invalid_data = {'name': ''}

    @classmethod
    def setUpTestData(cls):
        for _ in range(4):
            make_policy(description='x')

    def test_closed_days_are_kept_in_one_spelling_for_they_are_compared_as_text(self):
        self.may('change_delinquencypolicy')
        policy = DelinquencyPolicy.objects.first()
        calendar = Calendar.objects.create(name='Here', country='BR', time_zone='America/Sao_Paulo')
        data = {'no_start_days': 'Sun, SAT , holiday', 'no_contact_days': ' sun', 'calendar': calendar.pk}
        self.send('patch', self._get_detail_url(policy), data, 200)
        policy.refresh_from_db()
        assert (policy.no_start_days, policy.no_contact_days) == ('sat,sun,holiday', 'sun')
        self.send('patch', self._get_detail_url(policy), {'no_start_days': 'someday'}, 400)


class PolicyStageAPITest(PluginViewTestCase):
    model = PolicyStage
    user_permissions = (f'{APP}.view_delinquencypolicy',)  # GraphQL shows no stage without its policy
    brief_fields = ['action', 'after_days', 'display', 'id', 'url']
    update_data = {'after_days': 70}
    bulk_update_data = {'action': 'block'}
    bulk_update_invalid_data = {'after_days': 0}

    @classmethod
    def setUpTestData(cls):
        for _ in range(4):
            make_policy(stages=[(15, 'throttle')])
        policy = make_policy(stages=())
        cls.create_data = [
            {'policy': policy.pk, 'after_days': days, 'action': 'throttle'} for days in (10, 20, 30)
        ]  # fmt: skip

    def test_two_stages_on_one_day_are_refused(self):
        self.may('add_policystage')
        stage = PolicyStage.objects.first()
        data = {'policy': stage.policy_id, 'after_days': stage.after_days, 'action': 'block'}
        assert 'already has a stage' in str(self.send('post', self._get_list_url(), data, 400))


class BillingSourceAPITest(PluginViewTestCase):
    model = BillingSource
    brief_fields = ['description', 'display', 'id', 'name', 'slug', 'url']
    create_data = [
        {'name': f'New {number}', 'slug': f'new-{number}', 'credential': 'billing', 'heartbeat_minutes': 30}
        for number in range(3)
    ]
    bulk_update_data = {'enabled': False}
    bulk_update_invalid_data = {'heartbeat_minutes': 0}
    derived = ('contract_count',)

    @classmethod
    def setUpTestData(cls):
        for _ in range(4):
            make_source(heartbeat_minutes=60, payments_known_at='2026-10-01T12:00:00Z')

    def test_a_secret_in_place_of_a_credential_name_is_refused(self):
        self.may('change_billingsource')
        url = self._get_detail_url(BillingSource.objects.first())
        answer = self.send('patch', url, {'credential': 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw=='}, 400)
        assert 'never kept here' in answer['credential'][0]
