from utilities.testing import create_tags

from netbox_delinquency.choices import StageActionChoices
from netbox_delinquency.models import DelinquencyPolicy, PolicyStage
from tests.plugin.base import ObjectViewTestCase
from tests.plugin.factories import make_contract, make_policy


class DelinquencyPolicyViewTest(ObjectViewTestCase):
    model = DelinquencyPolicy

    @classmethod
    def setUpTestData(cls):
        first, second, _ = (make_policy(name=f'Policy {number}') for number in range(1, 4))
        cls.form_data = {
            'name': 'Homes',
            'mode': 'assist',
            'auto_approve': True,
            'description': 'All homes',
            'articles': '{}',
            'restore_hours': 24,
            'trust_gap_days': 30,
            'trust_uses_a_year': 3,
            'tags': [tag.pk for tag in create_tags('Alpha', 'Bravo')],
        }
        cls.csv_data = ('name,auto_approve', 'Policy 4,true', 'Policy 5,')
        cls.csv_update_data = ('id,name,auto_approve', f'{first.pk},Policy A,True', f'{second.pk},Policy B,True')
        cls.bulk_edit_data = {'auto_approve': True}

    def test_the_page_shows_its_stages_and_its_contracts(self):
        self.add_permissions(
            'netbox_delinquency.view_delinquencypolicy',
            'netbox_delinquency.view_policystage',
            'netbox_delinquency.view_contract',
        )
        policy = make_policy()
        contract = make_contract(policy=policy)
        page = self.client.get(policy.get_absolute_url())
        for path in ('policy-stages', 'contracts'):
            self.assertContains(page, f'/plugins/delinquency/{path}/?embedded=True&policy_id={policy.pk}')
        self.assertContains(self.client.get(f'/plugins/delinquency/contracts/?policy_id={policy.pk}'), str(contract))


class PolicyStageViewTest(ObjectViewTestCase):
    model = PolicyStage

    @classmethod
    def setUpTestData(cls):
        policy = make_policy(stages=())
        stages = [
            PolicyStage.objects.create(policy=policy, after_days=days, action=StageActionChoices.THROTTLE)
            for days in (10, 20, 30)
        ]
        cls.form_data = {
            'policy': policy.pk,
            'position': 60,
            'clock': 'due',
            'throttle_to': 'plan',
            'channel': 'any',
            'approval': 'policy',
            'after_days': 60,
            'action': StageActionChoices.BLOCK,
            'tags': [tag.pk for tag in create_tags('Alpha', 'Bravo')],
        }
        cls.csv_data = (
            'policy,after_days,action',
            f'{policy.name},40,throttle',
            f'{policy.name},50,block',
        )
        cls.csv_update_data = ('id,after_days', f'{stages[0].pk},11', f'{stages[1].pk},21')
        cls.bulk_edit_data = {'channel': 'cpe'}
