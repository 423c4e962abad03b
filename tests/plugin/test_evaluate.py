"""The ladder: dated cases a reader can check, and the SQL held equal to the pure function on generated worlds."""

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase

from netbox_delinquency.models import AccessLine, Contract, PolicyStage
from netbox_delinquency.policy.evaluate import evaluate
from netbox_delinquency.policy.ladder import (
    FEED_IS_LATE,
    ContractFacts,
    Stage,
    Standing,
    intended_state,
    stand,
)
from nornir_tasks.change import AccessState

from .factories import make_contract, make_line, make_policy, make_source

THROTTLE, BLOCK = Stage(1, 15, 'throttle'), Stage(2, 30, 'block')
DUE = date(2026, 10, 1)


@pytest.mark.parametrize(
    ('today', 'expected'),
    [
        (date(2026, 10, 1), Standing(None, THROTTLE, date(2026, 10, 16))),
        (date(2026, 10, 15), Standing(None, THROTTLE, date(2026, 10, 16))),
        (date(2026, 10, 16), Standing(THROTTLE, BLOCK, date(2026, 10, 31))),
        (date(2026, 10, 30), Standing(THROTTLE, BLOCK, date(2026, 10, 31))),
        (date(2026, 10, 31), Standing(BLOCK, None, None)),
        (date(2027, 10, 31), Standing(BLOCK, None, None)),
    ],
)
def test_a_contract_climbs_on_the_day_and_not_before(today, expected):
    facts = ContractFacts(DUE, False, False, (BLOCK, THROTTLE), None)
    assert stand(facts, today) == expected


def test_nothing_owed_or_awaiting_clearing_stands_at_the_foot_of_the_ladder():
    paid = ContractFacts(None, False, False, (THROTTLE, BLOCK), BLOCK)
    clearing = ContractFacts(DUE, True, False, (THROTTLE, BLOCK), BLOCK)
    assert stand(paid, date(2027, 1, 1)) == stand(clearing, date(2027, 1, 1)) == Standing(None, None, None)


def test_a_late_feed_holds_the_step_up_but_not_the_step_down():
    climbing = ContractFacts(DUE, False, True, (THROTTLE, BLOCK), THROTTLE)
    assert stand(climbing, date(2026, 11, 5)) == Standing(THROTTLE, BLOCK, date(2026, 10, 31), FEED_IS_LATE)
    paid = ContractFacts(None, False, True, (THROTTLE, BLOCK), BLOCK)
    assert stand(paid, date(2026, 11, 5)).stage is None


def test_intended_state_follows_the_stage():
    throttled = AccessState.throttled(1000, 500)
    assert intended_state(None, throttled) == AccessState.normal()
    assert intended_state('throttle', throttled) == throttled
    assert intended_state('block', throttled) == AccessState.blocked()


NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
TODAY = date(2026, 11, 20)

worlds = st.lists(
    st.fixed_dictionaries(
        {
            'due': st.none() | st.integers(-5, 60).map(lambda days: TODAY - timedelta(days=days)),
            'clearing': st.booleans(),
            'policy': st.none() | st.integers(0, 2),
            'stage': st.none() | st.integers(0, 2),
            'source': st.integers(0, 2),
        }
    ),
    min_size=1,
    max_size=8,
)


class EvaluateTestCase(TestCase):
    @classmethod
    def setUpTestData(cls):
        cls.policies = [
            make_policy(),
            make_policy(stages=((1, 'throttle'), (2, 'block'), (50, 'block'))),
            make_policy(stages=()),
        ]
        cls.sources = [
            make_source(),
            make_source(heartbeat_minutes=60, last_event_at=NOW - timedelta(minutes=60)),
            make_source(heartbeat_minutes=60, last_event_at=NOW - timedelta(minutes=61)),
        ]
        cls.contracts = [make_contract() for _ in range(8)]
        for contract in cls.contracts:
            make_line(contract=contract)

    @settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(world=worlds)
    def test_the_sql_is_the_pure_function(self, world):
        expected = {}
        for contract, facts in zip(self.contracts, world, strict=False):
            policy = None if facts['policy'] is None else self.policies[facts['policy']]
            stages = list(PolicyStage.objects.filter(policy=policy)) if policy else []
            present = stages[facts['stage'] % len(stages)] if stages and facts['stage'] is not None else None
            Contract.objects.filter(pk=contract.pk).update(
                oldest_due_date=facts['due'], awaiting_clearing=facts['clearing'], policy=policy, stage=present,
                stage_since=NOW - timedelta(days=1) if present else None, source=self.sources[facts['source']],
            )  # fmt: skip
            ladder = [Stage(stage.pk, stage.after_days, stage.action) for stage in stages]
            on = next((stage for stage in ladder if present and stage.pk == present.pk), None)
            late = self.sources[facts['source']].is_late(NOW)
            expected[contract.pk] = stand(ContractFacts(facts['due'], facts['clearing'], late, ladder, on), TODAY)

        evaluate(NOW)

        for pk, standing in expected.items():
            contract = Contract.objects.select_related('plan').get(pk=pk)
            got = (contract.stage_id, contract.next_stage_id, contract.next_action_on, contract.standing_note)
            stage, following = standing.stage, standing.next_stage
            self.assertEqual(
                got, (stage and stage.pk, following and following.pk, standing.next_action_on, standing.note)
            )
            line = AccessLine.objects.get(contract=pk)
            self.assertEqual(line.intended, intended_state(stage and stage.action, contract.plan.throttled_state))
        self.assertEqual(evaluate(NOW), type(evaluate(NOW))(0, 0), 'a second evaluation writes nothing')

    def test_a_terminated_contract_is_left_alone(self):
        contract = self.contracts[0]
        Contract.objects.filter(pk=contract.pk).update(
            oldest_due_date=TODAY - timedelta(days=40), policy=self.policies[0], status='terminated'
        )
        evaluate(NOW)
        contract.refresh_from_db()
        self.assertIsNone(contract.stage)

    def test_only_the_asked_for_contracts_are_evaluated(self):
        Contract.objects.update(oldest_due_date=TODAY - timedelta(days=40), policy=self.policies[0])
        evaluate(NOW, [self.contracts[1].pk])
        self.assertEqual(
            list(Contract.objects.filter(stage__isnull=False).values_list('pk', flat=True)), [self.contracts[1].pk]
        )

    def test_the_day_is_that_of_the_installation_not_of_utc(self):
        # 2026-10-17 01:00 UTC is still the 16th in São Paulo, the fifteenth day after the 1st.
        Contract.objects.filter(pk=self.contracts[0].pk).update(
            oldest_due_date=date(2026, 10, 2), policy=self.policies[0]
        )
        evaluate(datetime(2026, 10, 17, 1, tzinfo=UTC))
        self.contracts[0].refresh_from_db()
        self.assertIsNone(self.contracts[0].stage)
        evaluate(datetime(2026, 10, 17, 4, tzinfo=UTC))
        self.contracts[0].refresh_from_db()
        self.assertEqual(self.contracts[0].stage.after_days, 15)
