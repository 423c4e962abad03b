import csv
import io
from datetime import UTC, date, datetime
from decimal import Decimal

from core.models import ObjectChange, ObjectType
from users.models import ObjectPermission
from utilities.testing import create_tags, post_data

from netbox_delinquency.choices import ContractStatusChoices
from netbox_delinquency.models import Contract
from tests.plugin.base import ObjectViewTestCase, PluginViewTestCase, sees_everything
from tests.plugin.factories import make_contract, make_plan, make_policy, make_source, make_subscriber

VIEW = 'netbox_delinquency.view_contract'
BALANCE = 'netbox_delinquency.view_balance_contract'


def at_its_first_stage():
    policy = make_policy()
    stage, next_stage = policy.stages.all()
    return {
        'policy': policy,
        'stage': stage,
        'stage_since': datetime(2025, 3, 16, tzinfo=UTC),
        'next_stage': next_stage,
    }


class ContractViewTest(ObjectViewTestCase):
    model = Contract

    @classmethod
    def setUpTestData(cls):
        source, plan, policy = make_source(), make_plan(), make_policy()
        subscriber = make_subscriber()
        first, second, _ = (
            make_contract(source=source, external_id=f'C-{number}', **at_its_first_stage()) for number in range(1, 4)
        )
        cls.form_data = {
            'source': source.pk,
            'external_id': 'C-9',
            'subscriber': subscriber.pk,
            'plan': plan.pk,
            'policy': policy.pk,
            'status': ContractStatusChoices.ACTIVE,
            'description': 'A home',
            'tags': [tag.pk for tag in create_tags('Alpha', 'Bravo')],
        }
        cls.csv_data = (
            'source,external_id,subscriber,plan,policy,status',
            f'{source.slug},C-4,{subscriber.external_id},{plan.name},{policy.name},active',
            f'{source.slug},C-5,{subscriber.external_id},{plan.name},,',
        )
        cls.csv_update_data = ('id,description', f'{first.pk},Moved', f'{second.pk},Moved')
        cls.bulk_edit_data = {'plan': plan.pk, 'policy': policy.pk, 'status': ContractStatusChoices.TERMINATED}

    @sees_everything
    def test_an_edit_leaves_what_billing_said_as_it_is(self):
        self.add_permissions('netbox_delinquency.change_contract')
        contract = self._get_queryset().first()
        Contract.objects.filter(pk=contract.pk).update(oldest_due_date=date(2025, 3, 1), open_balance=Decimal('99.90'))
        data = {**self.form_data, 'oldest_due_date': '', 'open_balance': '0', 'stage': '', 'awaiting_clearing': 'on'}
        self.assertHttpStatus(self.client.post(self._get_url('edit', contract), post_data(data)), 302)
        contract.refresh_from_db()
        self.assertEqual(contract.external_id, 'C-9')
        self.assertEqual(contract.oldest_due_date, date(2025, 3, 1))
        self.assertEqual(contract.open_balance, Decimal('99.90'))
        self.assertFalse(contract.awaiting_clearing)

    def test_an_import_cannot_set_what_billing_says(self):
        self.add_permissions('netbox_delinquency.add_contract', 'netbox_delinquency.change_contract')
        contract = self._get_queryset().first()
        data = {'data': f'id,open_balance\n{contract.pk},0', 'format': 'csv', 'csv_delimiter': ','}
        self.assertContains(self.client.post(self._get_url('bulk_import'), data), 'open_balance')
        contract.refresh_from_db()
        self.assertIsNone(contract.open_balance)


class BalanceVisibilityTest(PluginViewTestCase):
    """The balance shows itself neither as a value, nor through an order, a filter or the change log."""

    model = Contract

    @classmethod
    def setUpTestData(cls):
        cls.low, cls.high, cls.middle = (
            make_contract(external_id=f'C-{name}', open_balance=Decimal(value))
            for name, value in (('low', '11.11'), ('high', '933.33'), ('middle', '522.22'))
        )

    def grant_balance_of(self, *contracts):
        permission = ObjectPermission.objects.create(
            name='some balances', actions=['view_balance'], constraints={'pk__in': [c.pk for c in contracts]}
        )
        permission.users.add(self.user)
        permission.object_types.add(ObjectType.objects.get_for_model(Contract))

    def rows(self, query):
        answer = self.client.get(f'{self._get_url("list")}?export=table&{query}')
        return list(csv.DictReader(io.StringIO(b''.join(answer).decode().lstrip('\ufeff'))))

    def order(self, query):
        names = {contract.external_id for contract in (self.low, self.high, self.middle)}
        answer = self.client.get(f'{self._get_url("list")}?{query}')
        return [row.record.external_id for row in answer.context['table'].rows if row.record.external_id in names]

    def test_without_the_permission_no_page_or_export_has_it(self):
        self.add_permissions(VIEW)
        for url in (
            self.high.get_absolute_url(),
            self._get_url('list') + '?include_columns=open_balance',
            self._get_url('list') + '?export',
            self._get_url('list') + '?export=table&include_columns=open_balance',
        ):
            answer = self.client.get(url)
            content = b''.join(answer).decode()
            self.assertHttpStatus(answer, 200)
            self.assertIn('C-high', content)
            self.assertNotIn('933.33', content, url)
            self.assertNotIn('Open balance', content, url)

    def test_with_the_permission_the_page_and_the_table_have_it(self):
        self.add_permissions(VIEW, BALANCE)
        self.assertContains(self.client.get(self.high.get_absolute_url()), '933.33')
        rows = self.rows('include_columns=open_balance')
        self.assertEqual({row['Open balance'] for row in rows}, {'11.11', '933.33', '522.22'})

    def test_the_page_alone_is_not_enough(self):
        """The permission to see a balance is not one to see a contract."""
        self.add_permissions(BALANCE)
        self.assertHttpStatus(self.client.get(self.high.get_absolute_url()), 403)

    def test_without_the_permission_an_order_by_it_is_no_order(self):
        self.add_permissions(VIEW)
        plain = self.order('')
        self.assertEqual(self.order('sort=open_balance'), plain)
        self.assertEqual(self.order('sort=-open_balance'), plain)
        self.assertEqual(self.order('sort=visible_balance'), plain)

    def test_with_the_permission_it_orders(self):
        self.add_permissions(VIEW, BALANCE)
        self.assertEqual(self.order('sort=open_balance'), ['C-low', 'C-middle', 'C-high'])

    def test_without_the_permission_a_filter_by_it_finds_nothing(self):
        self.add_permissions(VIEW)
        for query in (
            'open_balance=933.33',
            'open_balance__gt=500',
            'open_balance__lt=500',
            'open_balance__empty=false',
        ):
            self.assertEqual(self.order(query), [], query)

    def test_with_the_permission_a_filter_by_it_finds(self):
        self.add_permissions(VIEW, BALANCE)
        self.assertEqual(sorted(self.order('open_balance__gt=500')), ['C-high', 'C-middle'])

    def test_who_may_see_one_balance_learns_of_no_other(self):
        self.add_permissions(VIEW)
        self.grant_balance_of(self.low)
        self.assertContains(self.client.get(self.low.get_absolute_url()), '11.11')
        self.assertNotContains(self.client.get(self.high.get_absolute_url()), '933.33')
        rows = {row['External ID']: row['Open balance'] for row in self.rows('include_columns=open_balance')}
        self.assertEqual(rows['C-low'], '11.11')
        self.assertNotIn('933.33', rows.values())
        self.assertNotIn('522.22', rows.values())
        self.assertEqual(self.order('open_balance__gt=1'), ['C-low'])
        first, second = self.order('sort=open_balance'), self.order('sort=-open_balance')
        self.assertEqual(first[0], 'C-low')
        self.assertEqual(second[-1], 'C-low')

    def test_a_search_does_not_find_by_it(self):
        self.add_permissions(VIEW, BALANCE)
        self.assertEqual(self.order('q=933.33'), [])
        self.assertNotContains(self.client.get('/search/?q=933.33'), 'C-high')

    def test_the_change_log_does_not_keep_it(self):
        self.add_permissions(VIEW, 'netbox_delinquency.change_contract', 'netbox_delinquency.delete_contract')
        url = self._get_url('bulk_edit')
        self.client.post(url, {'pk': [self.high.pk], '_apply': True, 'description': 'Seen'})
        self.client.post(self._get_url('delete', self.high), {'confirm': True})
        changes = ObjectChange.objects.filter(changed_object_id=self.high.pk)
        self.assertEqual(changes.count(), 2)
        for change in changes:
            self.assertNotIn('open_balance', change.prechange_data or {})
            self.assertNotIn('open_balance', change.postchange_data or {})
            self.assertEqual(change.prechange_data['external_id'], 'C-high')
