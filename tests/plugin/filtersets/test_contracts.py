from datetime import UTC, date, datetime
from decimal import Decimal

from django.test import RequestFactory
from users.models import User

from netbox_delinquency.choices import ContractStatusChoices
from netbox_delinquency.filtersets import ContractFilterSet
from netbox_delinquency.models import Contract
from tests.plugin.base import FilterSetTestCase
from tests.plugin.factories import make_contract, make_policy


class ContractFilterSetTest(FilterSetTestCase):
    queryset = Contract.objects.all()
    filterset = ContractFilterSet

    @classmethod
    def setUpTestData(cls):
        cls.policy = make_policy()
        cls.throttle, cls.block = cls.policy.stages.order_by('after_days')
        since = datetime(2025, 3, 16, tzinfo=UTC)
        cls.paid = make_contract(external_id='C-paid')
        cls.late = make_contract(
            external_id='C-late', policy=cls.policy, oldest_due_date=date(2025, 3, 1), open_balance=Decimal('80'),
            stage=cls.throttle, stage_since=since, next_stage=cls.block, next_action_on=date(2025, 3, 31),
        )  # fmt: skip
        cls.gone = make_contract(
            external_id='C-gone', policy=cls.policy, status=ContractStatusChoices.TERMINATED,
            oldest_due_date=date(2025, 1, 10), stage=cls.block, stage_since=since, awaiting_clearing=True,
        )  # fmt: skip

    def test_by_what_it_belongs_to(self):
        for name, to_field in (('subscriber', 'external_id'), ('source', 'slug'), ('plan', 'name')):
            related = getattr(self.late, name)
            self.assertEqual(self.found(**{f'{name}_id': related.pk}), [self.late], name)
            self.assertEqual(self.found(**{name: getattr(related, to_field)}), [self.late], name)
        self.assertEqual(self.found(policy_id=self.policy.pk), [self.late, self.gone])
        self.assertEqual(self.found(policy=self.policy.name), [self.late, self.gone])
        self.assertEqual(self.found(policy_id='null'), [self.paid])

    def test_by_how_long_it_is_overdue(self):
        self.assertEqual(self.found(is_overdue='true'), [self.late, self.gone])
        self.assertEqual(self.found(is_overdue='false'), [self.paid])
        self.assertEqual(self.found(oldest_due_date__lte='2025-02-01'), [self.gone])
        self.assertEqual(self.found(oldest_due_date__gt='2025-02-01', oldest_due_date__lt='2025-04-01'), [self.late])
        self.assertEqual(self.found(awaiting_clearing='true'), [self.gone])

    def test_by_its_standing(self):
        self.assertEqual(self.found(has_stage='true'), [self.late, self.gone])
        self.assertEqual(self.found(has_stage='false'), [self.paid])
        self.assertEqual(self.found(stage_id=self.throttle.pk), [self.late])
        self.assertEqual(self.found(stage_action='block'), [self.gone])
        self.assertEqual(self.found(next_stage_id=self.block.pk), [self.late])
        self.assertEqual(self.found(next_action_on='2025-03-31'), [self.late])
        self.assertEqual(self.found(status=ContractStatusChoices.TERMINATED), [self.gone])

    def test_search(self):
        self.assertEqual(self.found(q='c-la'), [self.late])
        self.assertEqual(self.found(q=self.gone.subscriber.external_id), [self.gone])

    def test_who_asks_about_the_balance_must_be_known(self):
        self.assertEqual(self.found(open_balance__gte=1), [])
        request = RequestFactory().get('/')
        request.user = User.objects.create(username='root', is_superuser=True)
        filterset = ContractFilterSet({'open_balance__gte': ['1']}, self.queryset, request=request)
        self.assertEqual(list(filterset.qs), [self.late])
