"""The SQL held equal to the pure function on generated worlds; and what evaluation does besides."""

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal

from core.models import ObjectChange
from django.contrib.auth import get_user_model
from django.contrib.contenttypes.models import ContentType
from django.utils import timezone
from extras.models import TaggedItem
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase
from utilities.testing import create_tags

from netbox_delinquency.models import Calendar, Contract, GraceRule, Hold, Notice, PolicyStage, StartDay
from netbox_delinquency.policy.days import ensure_start_days
from netbox_delinquency.policy.evaluate import Evaluation, evaluate
from netbox_delinquency.policy.facts import facts_from, with_facts
from netbox_delinquency.policy.intended import intended_state, line_channel, throttled_state
from netbox_delinquency.policy.stages import ON_HOLD, dunning_position
from nornir_tasks.change import AccessState

from .factories import make_contract, make_line, make_plan, make_point, make_policy, make_source, restrict

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
TODAY = date(2026, 11, 20)
WORLDS, EXAMPLES = 1_000, 260

# Around clock changes in New York and Lisbon, Easter and carnival, year ends, and ordinary weeks.
moments = st.integers(0, 172 * 86_400).map(
    lambda seconds: datetime(2026, 10, 20, tzinfo=UTC) + timedelta(seconds=seconds)
) | st.sampled_from(
    [
        datetime(2026, 12, 31, 23, 59, tzinfo=UTC),
        datetime(2027, 1, 1, 0, 0, tzinfo=UTC),
        datetime(2027, 1, 1, 3, 0, tzinfo=UTC),
        datetime(2026, 11, 1, 5, 30, tzinfo=UTC),
        datetime(2027, 3, 14, 6, 59, 59, tzinfo=UTC),
        datetime(2027, 3, 28, 1, 0, tzinfo=UTC),
    ]
)
ARRANGED = (
    'policy', 'stage', 'source', 'oldest_due_date', 'awaiting_clearing', 'stage_since', 'took_effect_at', 'in_relief',
    'open_balance', 'unpaid_invoices', 'time_zone', 'tier', 'calendar', 'review_requested_at', 'notices_from',
)  # fmt: skip

contracts = st.fixed_dictionaries(
    {
        'due': st.none() | st.integers(-5, 90),
        'clearing': st.sampled_from([False] * 6 + [True]),
        'policy': st.none() | st.integers(0, 4),
        'stage': st.none() | st.integers(0, 5),
        'since': st.integers(0, 40 * 24),
        'in_effect': st.booleans(),
        'in_relief': st.booleans(),
        'source': st.sampled_from([0, 0, 0, 1, 2, 3]),
        'balance': st.none() | st.sampled_from([Decimal('9.99'), Decimal(10), Decimal(50), Decimal(200)]),
        'invoices': st.integers(0, 3),
        'calendar': st.none() | st.integers(0, 2),
        'zone': st.sampled_from(['', '', 'America/New_York', 'Europe/Lisbon', 'Asia/Kolkata', 'Pacific/Auckland']),
        'tier': st.sampled_from(['', '', 'gold', 'protected']),
        'tagged': st.booleans(),
        'review': st.sampled_from([False] * 6 + [True]),
        'reopened': st.sampled_from([None, None, None, 24, 20 * 24, 60 * 24]),
        'notice': st.none() | st.integers(-2 * 24, 80 * 24),
        'holds': st.lists(
            st.tuples(
                st.sampled_from(['dispute', 'open_ticket', 'trust_unlock', 'outage', 'promise_to_pay']),
                st.integers(-3 * 24, 20 * 24),
                st.integers(1, 40 * 24),
                st.none() | st.integers(0, 30 * 24),
            ),
            max_size=2,
        ),
    }
)
worlds = st.lists(contracts, min_size=1, max_size=12)


def in_hours(hours: int) -> timedelta:
    return timedelta(hours=hours)


class EqualityTestCase(TestCase):
    """A world is a contract on one of five policies under one of three calendars, at some moment.

    Up to twelve that share the moment are evaluated by one statement: that is what it is for, and what makes a
    thousand of them cheap. A failing example shrinks to one contract.
    """

    @classmethod
    def setUpTestData(cls):
        cls.calendars = [
            Calendar.objects.create(name='São Paulo', country='BR', subdivision='SP', time_zone='America/Sao_Paulo'),
            Calendar.objects.create(name='New York', country='US', subdivision='NY', time_zone='America/New_York'),
            Calendar.objects.create(name='Lisboa', country='PT', time_zone='Europe/Lisbon'),
        ]
        cls.calendars[0].dates.create(date=date(2027, 1, 25), name='Aniversário da cidade')
        cls.calendars[0].dates.create(date=date(2026, 11, 20), name='Worked here', is_holiday=False)
        law = {
            'min_notice_days': 15, 'calendar': cls.calendars[0], 'start_from': time(9), 'start_until': time(17),
            'no_start_days': 'fri,sat,sun,holiday,holiday_eve', 'no_contact_days': 'sat,sun,holiday',
            'contact_from': time(9), 'contact_until': time(18),
        }  # fmt: skip
        cls.policies = [
            make_policy(),
            make_policy(stages=((1, 'throttle'), (2, 'block'), (50, 'block'))),
            make_policy(stages=()),
            make_policy(stages=(), **law),
            make_policy(
                stages=(), min_notice_days=10, throttle_is_suspension=False, min_arrears=Decimal(10),
                start_from=time(2, 30), calendar=cls.calendars[1], no_start_days='sun,holiday_eve',
            ),
        ]  # fmt: skip

        def stage(policy, position, clock, after_days, action, **values):
            PolicyStage.objects.create(
                policy=cls.policies[policy],
                position=position,
                clock=clock,
                after_days=after_days,
                action=action,
                **values,
            )

        stage(3, 1, 'due', 1, 'remind')
        stage(3, 2, 'due', 5, 'notice', start_from=time(10))
        stage(3, 3, 'notice', 15, 'throttle', throttle_to='rate', throttle_down_kbps=3_000, throttle_up_kbps=90_000,
              channel='cpe_else_bras')  # fmt: skip
        stage(3, 4, 'previous', 7, 'warn')
        stage(3, 5, 'previous', 10, 'block', min_arrears=Decimal(50), start_until=time(16))
        stage(3, 6, 'previous', 30, 'propose_termination', min_invoices=2)
        stage(4, 1, 'due', 3, 'throttle', throttle_to='percent', throttle_percent=10)
        stage(4, 2, 'notice', 12, 'block', channel='both')
        PolicyStage.objects.filter(policy=cls.policies[1], after_days=2).update(channel='cpe')
        PolicyStage.objects.filter(policy=cls.policies[1], after_days=50).update(channel='bras')
        cls.sources = [
            make_source(),
            make_source(heartbeat_minutes=60, payments_known_at=NOW),
            make_source(enabled=False),
            make_source(heartbeat_minutes=60, payments_known_at=datetime(2027, 5, 1, tzinfo=UTC)),
        ]
        cls.tag = create_tags('Good')[0]
        for number in (0, 3, 4):
            GraceRule.objects.create(policy=cls.policies[number], tier='gold', extra_days=7)
            GraceRule.objects.create(policy=cls.policies[number], tier='protected', exempt=True)
            GraceRule.objects.create(policy=cls.policies[number], for_tag=cls.tag, extra_days=10)
        cls.user = get_user_model().objects.create(username='approver')
        plan, bras, acs = make_plan(throttled_down_kbps=2_000), make_point(), make_point(driver='acs')
        cls.contracts = [make_contract(plan=plan) for _ in range(12)]
        for number, contract in enumerate(cls.contracts):
            sides = [{'bras': bras}, {'acs': acs}, {'bras': bras, 'acs': acs}][number % 3]
            make_line(contract=contract, cwmp_id=f'cpe-{number}', **sides)
        cls.content_type = ContentType.objects.get_for_model(Contract)
        cls.stages = {policy.pk: list(policy.stages.all()) for policy in cls.policies} | {None: []}
        # The days of every world at once: each example would write them anew.
        Contract.objects.filter(pk=cls.contracts[0].pk).update(calendar=cls.calendars[2])
        ensure_start_days(date(2026, 10, 20))
        cls.worlds = 0

    def arrange(self, world, now):
        """Write the world's facts in bulk: without signals, which would evaluate at the clock's own time."""
        contracts = self.contracts[: len(world)]
        tagged, notices, holds = [], [], []
        for contract, facts in zip(contracts, world, strict=True):
            policy = None if facts['policy'] is None else self.policies[facts['policy']]
            stages = self.stages[policy and policy.pk]
            present = stages[facts['stage'] % len(stages)] if stages and facts['stage'] is not None else None
            contract.policy, contract.stage, contract.source = policy, present, self.sources[facts['source']]
            contract.oldest_due_date = None if facts['due'] is None else now.date() - timedelta(days=facts['due'])
            contract.awaiting_clearing = facts['clearing']
            contract.stage_since = now - in_hours(facts['since']) if present else None
            contract.took_effect_at = contract.stage_since if facts['in_effect'] else None
            contract.in_relief = facts['in_relief'] and present is not None
            contract.open_balance, contract.unpaid_invoices = facts['balance'], facts['invoices']
            contract.time_zone, contract.tier = facts['zone'], facts['tier']
            contract.calendar = None if facts['calendar'] is None else self.calendars[facts['calendar']]
            contract.review_requested_at = now if facts['review'] else None
            contract.notices_from = None if facts['reopened'] is None else now - in_hours(facts['reopened'])
            if facts['tagged']:
                tagged.append(TaggedItem(tag=self.tag, object_id=contract.pk, content_type=self.content_type))
            if facts['notice'] is not None:
                delivered = now - in_hours(facts['notice'])
                notices += [
                    Notice(contract=contract, kind=kind, reference='n', delivered_at=delivered, asserted_by='b')
                    for kind in ('suspension', 'reminder')
                ]
            holds += [self.hold(contract, now, *values) for values in facts['holds']]
        Contract.objects.bulk_update(contracts, ARRANGED)
        TaggedItem.objects.bulk_create(tagged)
        Notice.objects.bulk_create(notices)
        Hold.objects.bulk_create(holds)
        return contracts

    def hold(self, contract, now, kind, start, length, ended):
        starts_at = now - in_hours(start)
        return Hold(
            contract=contract, kind=kind, reason='x', approver=self.user, starts_at=starts_at,
            ends_at=starts_at + in_hours(length), ended_at=None if ended is None else starts_at + in_hours(ended),
        )  # fmt: skip

    def check(self, contracts, now, twice=False):
        ensure_start_days(timezone.localdate(now))  # of the calendars that this world uses
        found = with_facts(Contract.objects.filter(pk__in=[contract.pk for contract in contracts]))
        expected = {contract.pk: dunning_position(*facts_from(contract, now), now) for contract in found}
        before = {contract.pk: contract.in_relief for contract in found}
        evaluate(now)
        unlocked = 0
        for contract in self.read(contracts):
            position = expected[contract.pk]
            stage, following = position.stage, position.next_stage
            self.assertEqual(
                (contract.stage_id, contract.next_stage_id, contract.next_action_on, contract.next_action_at,
                 contract.dunning_note, contract.in_relief),
                (stage and stage.pk, following and following.pk, position.next_action_on, position.next_action_at,
                 position.note, position.in_relief),
            )  # fmt: skip
            self.check_line(contract, position)
            unlocked += before[contract.pk] and not contract.in_relief
        # After a relief the contract is first where it was, and is escalated only then.
        if twice and not unlocked:
            self.assertEqual(evaluate(now), Evaluation(0, 0))
        type(self).worlds += len(contracts)

    def read(self, contracts):
        found = Contract.objects.filter(pk__in=[contract.pk for contract in contracts])
        return found.select_related('plan', 'policy').prefetch_related('lines')

    def check_line(self, contract, position):
        (line,) = contract.lines.all()
        stages = self.stages[contract.policy_id]
        reached = [stage for stage in stages if position.stage and stage.position <= position.stage.position]
        force = next((stage for stage in reversed(reached) if stage.is_restricting), None)
        if force is None or position.in_relief:
            state, channel = AccessState.normal(), 'any'
        else:
            plan = contract.plan
            throttled = throttled_state(
                force.throttle_to, (plan.down_kbps, plan.up_kbps), (plan.throttled_down_kbps, plan.throttled_up_kbps),
                force.throttle_percent, (force.throttle_down_kbps, force.throttle_up_kbps),
            )  # fmt: skip
            state, channel = intended_state(force.action, throttled), force.channel
        self.assertEqual(line.intended, state)
        self.assertEqual(line.channel, line_channel(channel, line.bras_id is not None, line.acs_id is not None))

    @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
    @given(world=worlds, now=moments, later=st.integers(1, 40 * 24))
    def test_the_sql_is_the_pure_function(self, world, now, later):
        contracts = self.arrange(world, now)
        self.check(contracts, now)
        # And again from where that left them, some time on: clocks run out, holds end, windows open.
        self.check(contracts, now + in_hours(later), twice=True)

    @classmethod
    def tearDownClass(cls):
        super().tearDownClass()
        # Each is evaluated at two moments.
        assert cls.worlds == 0 or cls.worlds >= 2 * WORLDS, f'{cls.worlds // 2} worlds'


class EvaluateTestCase(TestCase):
    @classmethod
    def setUpTestData(cls):
        cls.policies = [make_policy()]
        cls.contracts = [make_contract() for _ in range(8)]
        for contract in cls.contracts:
            make_line(contract=contract)

    def test_a_second_evaluation_writes_nothing(self):
        Contract.objects.update(oldest_due_date=TODAY - timedelta(days=20), policy=self.policies[0])
        self.assertEqual(evaluate(NOW), Evaluation(8, 8))
        self.assertEqual(evaluate(NOW), Evaluation(0, 0))

    def test_what_changes_the_intended_state_is_in_the_change_log_and_nothing_else_is(self):
        Contract.objects.update(oldest_due_date=TODAY - timedelta(days=20), policy=self.policies[0], open_balance=7)
        evaluate(NOW, [self.contracts[0].pk])
        change = ObjectChange.objects.get(user_name='delinquency')
        self.assertEqual(change.changed_object, self.contracts[0])
        self.assertEqual(
            (change.prechange_data, change.postchange_data),
            ({'intended': 'normal'}, {'intended': 'throttle', 'stage': self.policies[0].stages.first().pk}),
        )
        self.assertTrue(self.contracts[0].get_absolute_url())
        Contract.objects.update(oldest_due_date=TODAY - timedelta(days=21))
        evaluate(NOW, [self.contracts[0].pk])
        self.assertEqual(ObjectChange.objects.filter(user_name='delinquency').count(), 1)

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

    def test_after_a_trust_unlock_the_contract_is_back_where_it_was_and_is_escalated_only_then(self):
        contract, line = self.contracts[0], self.contracts[0].lines.get()
        Contract.objects.filter(pk=contract.pk).update(
            oldest_due_date=TODAY - timedelta(days=29), policy=self.policies[0]
        )
        evaluate(NOW)
        hold = Hold(
            contract=contract, kind='trust_unlock', reason='asked', starts_at=NOW, ends_at=NOW + timedelta(days=3),
            approver=get_user_model().objects.create(username='u'),
        )  # fmt: skip
        Hold.objects.bulk_create([hold])
        seen = []
        for days in (0, 1, 2.99, 3, 3.01):
            evaluate(NOW + timedelta(days=days))
            contract.refresh_from_db()
            line.refresh_from_db()
            seen.append((contract.stage.action, contract.in_relief, line.intended_mode))
        throttled = ('throttle', True, 'normal')
        self.assertEqual(
            seen, [throttled, throttled, throttled, ('throttle', False, 'throttled'), ('block', False, 'blocked')]
        )
        self.assertTrue(hold.is_active(NOW + timedelta(days=2)))

    def test_what_follows_a_stage_counts_from_when_the_lines_were_as_it_wants_them(self):
        policy = make_policy(stages=((10, 'throttle'),))
        policy.stages.create(position=20, clock='previous', after_days=3, action='block')
        contract = make_contract(policy=policy, oldest_due_date=date(2026, 9, 1))
        line = make_line(contract=contract)

        def stage_on(day):
            evaluate(datetime(2026, 9, day, 12, tzinfo=UTC), [contract.pk])
            contract.refresh_from_db()
            return contract.stage.action, contract.took_effect_at and contract.took_effect_at.day

        self.assertEqual(stage_on(15), ('throttle', None))
        self.assertEqual(stage_on(29), ('throttle', None))  # never sent: it leads to no block
        self.assertEqual(contract.next_action_on, date(2026, 10, 2))
        line.refresh_from_db()
        line.advance(
            observed_mode='throttled', observed_down_kbps=line.intended_down_kbps,
            observed_up_kbps=line.intended_up_kbps, observed_at=NOW,
        )  # fmt: skip
        self.assertEqual(stage_on(19), ('throttle', None))  # by somebody else: that leads to no block either
        restrict(line)
        self.assertEqual(stage_on(20), ('throttle', 20))
        self.assertEqual(stage_on(22), ('throttle', 20))
        self.assertEqual(stage_on(23), ('block', None))

    def test_a_hold_says_so_and_says_until_when(self):
        contract = self.contracts[0]
        Contract.objects.filter(pk=contract.pk).update(
            oldest_due_date=TODAY - timedelta(days=20), policy=self.policies[0]
        )
        ends = NOW + timedelta(days=2)
        hold = Hold(
            contract=contract, kind='open_ticket', reason='T-1', starts_at=NOW, ends_at=ends,
            approver=get_user_model().objects.create(username='u'),
        )  # fmt: skip
        Hold.objects.bulk_create([hold])
        evaluate(NOW)
        contract.refresh_from_db()
        self.assertEqual((contract.stage, contract.dunning_note, contract.next_action_at), (None, ON_HOLD, ends))

    def test_the_table_of_days_is_filled_once_and_anew_where_a_calendar_changes(self):
        calendar = Calendar.objects.create(name='SP', country='BR', subdivision='SP', time_zone='America/Sao_Paulo')
        make_policy(calendar=calendar, no_start_days='holiday')
        evaluate(NOW)
        count = StartDay.objects.count()
        evaluate(NOW)
        self.assertEqual(StartDay.objects.count(), count)
        self.assertEqual(StartDay.objects.get(day=date(2026, 12, 25)).next_day, date(2026, 12, 26))
