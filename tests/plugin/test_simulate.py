"""A simulation held equal to what evaluation does from moment to moment, when nothing is paid."""

from collections import Counter
from datetime import UTC, date, datetime, time, timedelta

from django.contrib.auth import get_user_model
from django.db import transaction
from django.test import TestCase
from django.utils import timezone

from netbox_delinquency.models import Calendar, Contract, Hold, Notice, PolicyStage
from netbox_delinquency.policy.evaluate import evaluate
from netbox_delinquency.policy.simulate import _moments, simulate

from .factories import make_contract, make_plan, make_policy, make_source

NOW = datetime(2026, 11, 18, 13, 30, tzinfo=UTC)  # a Wednesday, half past ten in São Paulo
UNTIL = date(2026, 12, 3)
DAY = timedelta(days=1)


class SimulationTest(TestCase):
    @classmethod
    def setUpTestData(cls):
        sao_paulo, manaus = (
            Calendar.objects.create(name=zone, country='BR', subdivision=state, time_zone=f'America/{zone}')
            for zone, state in (('Sao_Paulo', 'SP'), ('Manaus', 'AM'))
        )
        cls.policy = make_policy(
            stages=(), min_notice_days=15, calendar=sao_paulo, no_start_days='fri,sat,sun,holiday,holiday_eve',
            start_from=time(9), start_until=time(17), no_contact_days='sat,sun', contact_from=time(9),
        )  # fmt: skip
        stages = (('due', 1, 'remind'), ('notice', 15, 'throttle'), ('previous', 2, 'warn'), ('notice', 18, 'block'))
        for position, (clock, days, action) in enumerate(stages, 1):
            PolicyStage.objects.create(
                policy=cls.policy, position=position, clock=clock, after_days=days, action=action
            )
        plan, source = make_plan(), make_source()
        user = get_user_model().objects.create(username='approver')
        contracts = [
            make_contract(
                plan=plan, source=source, policy=cls.policy, calendar=manaus if number % 3 == 0 else None,
                oldest_due_date=date(2026, 10, 20) - timedelta(days=number),
            )
            for number in range(15)
        ]  # fmt: skip
        Notice.objects.bulk_create(
            Notice(contract=contract, kind='suspension', reference='N', asserted_by='b',
                   delivered_at=NOW - timedelta(days=12 + number % 9, hours=number))
            for number, contract in enumerate(contracts) if number % 5
        )  # fmt: skip
        kinds = ('dispute', 'open_ticket', 'trust_unlock')
        # Some stand, some begin later, and they end at odd hours.
        Hold.objects.bulk_create(
            Hold(contract=contract, kind=kinds[number % 3], reason='x', approver=user,
                 starts_at=NOW + timedelta(days=number - 6, hours=3),
                 ends_at=NOW + timedelta(days=number - 3, hours=5 * number % 24))
            for number, contract in enumerate(contracts) if number % 2
        )  # fmt: skip

    def states(self):
        found = {}
        for contract in Contract.objects.select_related('policy', 'stage').prefetch_related('policy__stages'):
            force = None if contract.in_relief else contract.policy.in_force(contract.stage)
            found[contract.pk] = {'throttle': 'throttled', 'block': 'blocked'}.get(force and force.action, 'restored')
        return found

    def step_by_step(self):
        days = {NOW.date() + offset * DAY: Counter() for offset in range((UNTIL - NOW.date()).days + 1)}
        with transaction.atomic():
            before = self.states()
            for moment in [NOW, *_moments(self.policy, NOW, UNTIL)]:
                evaluate(moment)
                after = self.states()
                days[timezone.localdate(moment)].update(after[pk] for pk in after if after[pk] != before[pk])
                before = after
            transaction.set_rollback(True)
        return days

    def test_it_is_what_happens_step_by_step_and_writes_nothing(self):
        rows = list(Contract.objects.values())
        simulated = simulate(self.policy, NOW, UNTIL)
        self.assertEqual(list(Contract.objects.values()), rows)
        expected = self.step_by_step()
        self.assertEqual(
            [(found.day, found.throttled, found.blocked, found.restored) for found in simulated],
            [(day, count['throttled'], count['blocked'], count['restored']) for day, count in expected.items()],
        )
        totals = sum(expected.values(), Counter())
        self.assertTrue(all(totals[state] for state in ('throttled', 'blocked', 'restored')), totals)
