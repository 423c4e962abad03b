"""Contracts: facts and dunning position are shown and not written, and the balance is for few eyes."""

from decimal import Decimal

from core.models import ObjectChange
from extras.events import serialize_for_event

from netbox_delinquency.models import Contract

from ..factories import make_contract, make_line, make_plan, make_policy, make_source, make_subscriber
from .base import APP, PluginViewTestCase


def make_overdue_contract(**values):
    policy = make_policy()
    throttle, block = policy.stages.all()
    facts = {
        'policy': policy,
        'oldest_due_date': '2026-09-01',
        'open_balance': Decimal('129.90'),
        'facts_at': '2026-10-01T12:00:00Z',
        'stage': throttle,
        'stage_since': '2026-09-16T03:00:00Z',
        'next_stage': block,
        'next_action_on': '2026-10-01',
        'dunning_note': 'The feed is late',
    }
    return make_contract(**{**facts, **values})


class ContractAPITest(PluginViewTestCase):
    model = Contract
    user_permissions = tuple(f'{APP}.view_{name}' for name in ('subscriber', 'billingsource', 'serviceplan'))
    brief_fields = ['description', 'display', 'external_id', 'id', 'plan', 'status', 'subscriber', 'url']
    bulk_update_data = {'status': 'terminated'}
    bulk_update_invalid_data = {'external_id': ''}
    derived = ('line_count',)

    @classmethod
    def setUpTestData(cls):
        for number in range(4):
            make_overdue_contract(open_balance=Decimal(f'{number}00.50'))
        subscriber, source, plan, policy = make_subscriber(), make_source(), make_plan(), make_policy()
        cls.create_data = [
            {
                'external_id': f'new-{number}',
                'subscriber': subscriber.pk,
                'source': source.pk,
                'plan': plan.pk,
                'policy': policy.pk,
                'status': 'active',
            }
            for number in range(3)
        ]

    def balances(self, **parameters):
        rows = self.get(self._get_list_url(), **{'ordering': 'id', **parameters})['results']
        return [row['open_balance'] for row in rows]

    def test_the_balance_is_null_without_its_permission(self):
        self.may('view_contract')
        self.may('change_contract')
        assert self.balances() == [None] * 4
        url = self._get_detail_url(Contract.objects.last())
        assert self.get(url)['open_balance'] is None
        assert self.get(url, fields='open_balance') == {'open_balance': None}
        assert self.send('patch', url, {'description': 'x'}, 200)['open_balance'] is None

    def test_the_balance_is_shown_with_its_permission(self):
        self.may('view_contract')
        self.may('view_balance_contract')
        assert self.balances() == [0.5, 100.5, 200.5, 300.5]

    def test_the_balance_is_shown_only_where_its_permission_reaches(self):
        seen = Contract.objects.get(open_balance=Decimal('200.50'))
        self.may('view_contract')
        self.may('view_balance_contract', pk=seen.pk)
        assert self.balances() == [None, None, 200.5, None]

    def test_the_balance_cannot_be_ordered_by_without_its_permission(self):
        self.may('view_contract')
        Contract.objects.filter(open_balance=Decimal('0.50')).update(open_balance=Decimal(999))
        keys = [
            [row['id'] for row in self.get(self._get_list_url(), ordering=order)['results']]
            for order in ('open_balance', '-open_balance')
        ]
        assert keys[0] == keys[1] == sorted(keys[0])

    def test_the_balance_can_be_ordered_by_with_its_permission(self):
        self.may('view_contract')
        self.may('view_balance_contract')
        assert self.balances(ordering='-open_balance') == [300.5, 200.5, 100.5, 0.5]

    def test_the_balance_cannot_be_filtered_by_without_its_permission(self):
        self.may('view_contract')
        for lookup in ('open_balance', 'open_balance__gte', 'open_balance__lt', 'open_balance__n'):
            assert self.balances(**{lookup: 200.5}) == []
        self.may('view_balance_contract')
        assert self.balances(open_balance__gte='200.50') == [200.5, 300.5]

    def test_the_change_log_keeps_no_balance(self):
        self.may('view_contract')
        self.may('change_contract')
        contract = Contract.objects.last()
        self.send('patch', self._get_detail_url(contract), {'description': 'moved'}, 200)
        change = ObjectChange.objects.get(changed_object_id=contract.pk)
        assert change.postchange_data['description'] == 'moved'
        assert 'open_balance' not in {**change.prechange_data, **change.postchange_data}

    def test_an_event_rule_sends_no_balance(self):
        payload = serialize_for_event(Contract.objects.last())
        assert (payload['awaiting_clearing'], payload['open_balance']) == (False, None)

    def test_graphql_knows_no_balance(self):
        self.may('view_contract')
        self.may('view_balance_contract')
        for query in (
            '{delinquency_contract_list {open_balance}}',
            '{delinquency_contract_list(filters: {open_balance: {exact: 1}}) {id}}',
            '{delinquency_contract_list(filters: {AND: {open_balance: {exact: 1}}}) {id}}',
            '{delinquency_access_line_list(filters: {contract: {open_balance: {exact: 1}}}) {id}}',
        ):
            assert 'open_balance' in self.graphql(query)['errors'][0]['message'], query

    def test_a_contract_with_lines_is_not_deleted(self):
        self.may('delete_contract')
        contract = make_line().contract
        assert 'dependent objects' in self.send('delete', self._get_detail_url(contract), None, 409)['detail']
