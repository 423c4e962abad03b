"""Whole lives of lines, in any order of what can befall them, against the promises that are made about them.

Billing, people, workers and foreigners do what they like; then the network falls quiet, and the boxes are asked.
The model is the promises alone: it knows nothing of restrictions, runs or rows. A failure prints the history, and the
seed to have it again (`--hypothesis-seed`). `LIVES` in the environment is the number of histories.
"""

import os
from contextlib import suppress
from datetime import timedelta
from unittest import mock

from django.db import Error, transaction
from django.test import TestCase
from django.utils import timezone
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from users.models import User

from netbox_delinquency.choices import ContractStatusChoices, LineStatusChoices
from netbox_delinquency.models import (
    AccessLine,
    BillingSource,
    Contract,
    EnforcementPoint,
    EnforcementRun,
    Hold,
    Restriction,
)
from netbox_delinquency.runs.journal import DatabaseJournal, JournalLostError
from netbox_delinquency.runs.lifecycle import cancel_run, waiting_points
from netbox_delinquency.runs.worker import process_point
from netbox_delinquency.workflow import evaluate_all

from .factories import make_contract, make_line
from .ownership import BLOCKED, NORMAL, THROTTLED, World, boxes_answer

HISTORIES = int(os.environ.get('LIVES', '60'))
STEPS = 10
# Making a failure smaller costs as much as finding it a hundred times over: it is asked for by hand.
PHASES = (Phase.generate, Phase.shrink) if os.environ.get('SHRINK') else (Phase.generate,)
NAMES = ('ana', 'bob', 'cid')

which = st.integers(0, 5)
REAL_NOW = timezone.now


class Lives(RuleBasedStateMachine):
    """One provider: three logins, two boxes, three contracts, and whatever befalls them."""

    def __init__(self):
        super().__init__()
        self.atomic = transaction.atomic()
        self.atomic.__enter__()
        self.offset = timedelta()
        self.clock = mock.patch('django.utils.timezone.now', self.now)
        self.clock.start()
        self.world = LivesTest.world
        self.world.renew_boxes()
        self.answer = boxes_answer(self.world.boxes)
        self.answer.__enter__()
        self.broken = []
        self.foreign = {}  # what foreigners put in a way of their own, by place
        self.shaped = {}  # what they put in our way, by place
        self.owing = {}  # since how many days, by contract
        self.left = set()  # contracts that are terminated
        self.held = set()  # contracts that a hold exempts
        self.taken = {}  # by place: the contract that we last took it from
        self.stood = {}  # how each place stood after it was last touched
        self.kept = {}  # by place: what was restricted as its owner left, and nobody came since
        self.contracts = LivesTest.contracts
        for number, box in enumerate(self.world.boxes.values()):
            for name in NAMES:
                box.add(name)
            box.after_row = lambda name, number=number: self.sent(number, name)

    def now(self):
        return REAL_NOW() + self.offset

    def teardown(self):
        try:
            self.fall_quiet()
        finally:
            self.answer.__exit__(None, None, None)
            self.clock.stop()
            transaction.set_rollback(True)
            self.atomic.__exit__(None, None, None)

    # What is promised

    def owes(self, contract):
        return contract.pk in self.owing and contract.pk not in self.left

    def may_take(self, contract):
        """By the facts of this moment: owed for long enough, no hold, and billing is heard."""
        if not self.owes(contract) or contract.pk in self.held or self.owing[contract.pk] < 15:
            return False
        source = BillingSource.objects.get(pk=self.world.source.pk)
        return not (source.is_late(timezone.now()) if hasattr(source, 'is_late') else False)

    def sent(self, number, name):
        """Looked at as each row reaches a box: whom it takes access from must be who owes, and nobody else."""
        box = list(self.world.boxes.values())[number]
        desired = box.sent[-1][1]
        place = (number, name)
        if desired == NORMAL:
            self.stood[place] = box.stored[name]
            return
        point = self.world.points[number]
        line = AccessLine.objects.filter(bras=point, username=name, status=LineStatusChoices.ACTIVE).first()
        if line is None:
            self.broken.append(f'{place} has no line, and was made {desired}')
            return
        contract = line.contract
        self.taken[place] = contract.pk
        was, self.stood[place] = self.stood.get(place, NORMAL), box.stored[name]
        if not self.owes(contract):
            self.broken.append(f'{place} is of a contract that owes nothing, and was made {desired}')
        elif desired.is_more_restrictive_than(was) and not self.may_take(contract):
            self.broken.append(f'{place} was made {desired} on stale billing, in a hold or too early')
        if place in self.shaped:
            self.broken.append(f'{place} is restricted by somebody else in our way, and was made {desired}')
        if EnforcementPoint.objects.get(pk=point.pk).mode == 'observe':
            self.broken.append(f'{place} is only observed, and was made {desired}')

    def fall_quiet(self):
        """Everything answers again, nobody does anything, the periodic jobs run: then the promises are looked at."""
        for box in self.world.boxes.values():
            box.dead, box.hangs_after, box.deaf_after_apply = False, None, False
            box.refuses, box.lies_about, box.half_applies = set(), set(), set()
        for point in EnforcementPoint.objects.all():
            point.status, point.mode = 'active', 'enforce'
            point.save()
        BillingSource.objects.update(heartbeat_minutes=None)
        for run in EnforcementRun.objects.filter(status='paused'):
            cancel_run(run, timezone.now())
            for point in waiting_points(EnforcementRun.objects.get(pk=run.pk)):
                process_point(run.pk, point)
        for _ in range(2):
            self.world.reconcile()
            self.world.work()
        assert not self.broken, self.broken
        before = [list(box.sent) for box in self.world.boxes.values()], EnforcementRun.objects.count()
        self.world.reconcile()
        self.world.work()
        after = [list(box.sent) for box in self.world.boxes.values()], EnforcementRun.objects.count()
        assert before == after, ('doing it twice changed something', before, after)
        for number, box in enumerate(self.world.boxes.values()):
            for name in box.stored:
                self.look_at(number, name, box)

    def look_at(self, number, name, box):
        place = (number, name)
        line = AccessLine.objects.filter(
            bras=self.world.points[number], username=name, status=LineStatusChoices.ACTIVE
        ).first()
        stored = box.stored[name]
        assert box.live[name] in (None, stored), (place, stored, box.live[name])
        assert box.foreign.get(name, ()) == self.foreign.get(place, ()), f'{place}: what is theirs was touched'
        if place in self.shaped:
            assert stored == self.shaped[place], f'{place}: what they did in our way was touched: {stored}'
            return
        holder = line.contract if line else None
        if holder is not None and not self.owes(holder):
            assert stored == NORMAL, f'{place} is of who owes nothing, and is {stored}'
        if holder is not None and holder.pk in self.held:
            assert stored == NORMAL, f'{place} is of who is frozen, and is {stored}'
        if holder is not None and self.owes(holder) and self.owing[holder.pk] >= 30 and holder.pk not in self.held:
            assert stored == BLOCKED, f'{place} owes for {self.owing[holder.pk]} days, and is {stored}'
        if holder is None and place in self.taken:
            contract = self.taken[place]
            if contract not in self.left and contract not in self.owing:
                assert stored == NORMAL, f'{place} was taken from who owes nothing, and is {stored}'
        if place in self.kept:
            assert stored == self.kept[place], f'{place}: who left got it back: {stored}'
        if line is not None:
            line.refresh_from_db()
            assert line.observed == stored, f'{place} is {stored}, and NetBox says {line.observed}'
            assert line.is_foreign == bool(self.foreign.get(place)), f'{place}: {line.all_foreign}'

    @invariant()
    def who_comes_next_has_a_right(self):
        for line in AccessLine.objects.filter(status=LineStatusChoices.ACTIVE).select_related('bras'):
            self.kept.pop(self.place_of(line), None)

    # What befalls them

    def lines(self, *statuses):
        return list(AccessLine.objects.filter(status__in=statuses or ('active',)).order_by('pk'))

    def pick(self, found, number):
        return found[number % len(found)] if found else None

    def place_of(self, line):
        return self.world.points.index(line.bras), line.username

    @initialize(days=st.sampled_from([20, 40]), number=which)
    def somebody_owes(self, days, number):
        self.owe(number, days)
        self.work()

    @rule(number=which, days=st.sampled_from([5, 20, 40]))
    def owe(self, number, days):
        contract = self.contracts[number % 3]
        if contract.pk in self.left:
            return
        due = timezone.localdate() - timedelta(days=days)
        Contract.objects.filter(pk=contract.pk).update(oldest_due_date=due, open_balance=100, unpaid_invoices=1)
        self.owing[contract.pk] = days

    @rule(number=which)
    def pay(self, number):
        contract = self.contracts[number % 3]
        Contract.objects.filter(pk=contract.pk).update(oldest_due_date=None, open_balance=0, unpaid_invoices=0)
        self.owing.pop(contract.pk, None)

    @rule(number=which)
    def dispute(self, number):
        contract = self.contracts[number % 3]
        if contract.pk in self.left or contract.pk in self.held:
            return
        now = timezone.now()
        self.held.add(contract.pk)
        Hold.objects.create(
            contract=contract,
            kind='dispute',
            reason='x',
            approver=LivesTest.user,
            starts_at=now,
            ends_at=now + timedelta(days=400),
        )

    @rule(number=which)
    def decide_the_dispute(self, number):
        contract = self.contracts[number % 3]
        for hold in Hold.objects.filter(contract=contract, ended_at=None):
            hold.advance(ended_at=timezone.now(), end_reason='decided')
        self.held.discard(contract.pk)

    @rule(number=which, name=st.sampled_from(NAMES), point=st.integers(0, 1))
    def rename_or_move(self, number, name, point):
        line = self.pick(self.lines(), number)
        here = AccessLine.objects.filter(bras=self.world.points[point], username=name).exclude(status='retired')
        if line is None or here.exists():
            return
        line.username, line.bras = name, self.world.points[point]
        line.save()

    @rule(one=which, other=which)
    def swap(self, one, other):
        lines = self.lines()
        first, second = self.pick(lines, one), self.pick(lines, other)
        if first is None or first == second:
            return
        names = (first.username, first.bras), (second.username, second.bras)
        first.username = 'between'
        first.save()
        (second.username, second.bras), (first.username, first.bras) = names
        second.save()
        first.save()

    @rule(number=which)
    def retire(self, number):
        line = self.pick(self.lines(), number)
        if line is not None:
            line.status = LineStatusChoices.RETIRED
            line.save()

    @rule(number=which)
    def delete(self, number):
        line = self.pick(self.lines('active', 'retired'), number)
        under_way = {'outcome': '', 'run__status__in': ('approved', 'running', 'paused')}
        if line is not None and not line.changes.filter(**under_way).exists():
            line.delete()

    @rule(number=which)
    def leave(self, number):
        contract = Contract.objects.get(pk=self.contracts[number % 3].pk)
        if len(self.left) == 2:
            return
        for line in self.lines():
            (number, name), box = self.place_of(line), self.world.boxes[line.bras.address]
            is_ours = (number, name) not in self.shaped and self.is_open(number, name)
            is_wanted = contract.pk in self.owing and contract.pk not in self.held
            is_cut = box.stored[name] == box.live[name] != NORMAL
            if line.contract_id == contract.pk and is_ours and is_wanted and is_cut:
                self.kept[number, name] = box.stored[name]
        contract.status = ContractStatusChoices.TERMINATED
        contract.save()
        self.left.add(contract.pk)

    @rule(number=which, name=st.sampled_from(NAMES), point=st.integers(0, 1))
    def come(self, number, name, point):
        """A line for a contract that is active, under a name that nobody else has there."""
        contract = self.contracts[number % 3]
        here = AccessLine.objects.filter(bras=self.world.points[point], username=name).exclude(status='retired')
        if contract.pk in self.left or here.exists():
            return
        make_line(username=name, bras=self.world.points[point], contract=Contract.objects.get(pk=contract.pk))

    @rule(number=which, to=which)
    def hand_over(self, number, to):
        line, contract = self.pick(self.lines(), number), self.contracts[to % 3]
        if line is not None and contract.pk not in self.left:
            line.contract = Contract.objects.get(pk=contract.pk)
            line.save()

    @rule(point=st.integers(0, 1), name=st.sampled_from(NAMES), ours=st.booleans())
    def foreigner_restricts(self, point, name, ours):
        box, place = list(self.world.boxes.values())[point], (point, name)
        if not ours:
            self.foreign[place] = box.foreign[name] = ('list bloqueados',)
        elif box.stored[name] == NORMAL == box.live[name] and not self.is_open(point, name):
            self.shaped[place] = self.stood[place] = box.stored[name] = box.live[name] = THROTTLED

    @rule(point=st.integers(0, 1), name=st.sampled_from(NAMES))
    def foreigner_lets_go(self, point, name):
        box, place = list(self.world.boxes.values())[point], (point, name)
        self.foreign.pop(place, None)
        box.foreign.pop(name, None)
        if self.shaped.pop(place, None):
            self.stood[place] = box.stored[name] = box.live[name] = NORMAL

    def is_open(self, point, name):
        place = {'point': self.world.points[point], 'identity': f'username={name}'}
        return Restriction.objects.open().filter(**place).exists()

    @rule(point=st.integers(0, 1), manner=st.sampled_from(['dead', 'deaf', 'lies', 'half', 'refuses', 'well']))
    def box_behaves(self, point, manner):
        box = list(self.world.boxes.values())[point]
        box.dead, box.deaf_after_apply = manner == 'dead', manner == 'deaf'
        for switch, names in (('lies', box.lies_about), ('half', box.half_applies), ('refuses', box.refuses)):
            names.clear()
            if manner == switch:
                names.update(NAMES[:2])

    @rule(point=st.integers(0, 1), status=st.sampled_from(['active', 'maintenance']),
          mode=st.sampled_from(['observe', 'enforce']))  # fmt: skip
    def point_is(self, point, status, mode):
        chosen = EnforcementPoint.objects.get(pk=self.world.points[point].pk)
        chosen.status, chosen.mode = status, mode
        chosen.save()

    @rule(silent=st.booleans())
    def feed(self, silent):
        BillingSource.objects.update(
            heartbeat_minutes=5 if silent else None, last_event_at=timezone.now() - timedelta(hours=9)
        )

    @rule(days=st.sampled_from([1, 3]))
    def time_passes(self, days):
        self.offset += timedelta(days=days)
        self.owing = {contract: since + days for contract, since in self.owing.items()}

    @rule()
    def work(self):
        self.world.work()

    @rule()
    def plan_only(self):
        evaluate_all(timezone.now())

    @rule()
    def read(self):
        self.world.reconcile()

    @precondition(lambda self: not self.broken)
    @rule()
    def worker_dies(self):
        """The database is lost once what was sent is to be written down: the rows stay open, for the next one."""
        dies = mock.patch.object(DatabaseJournal, '_finish', side_effect=Error('the worker is dead'))
        with dies, suppress(Error, JournalLostError):
            self.world.work()


class LivesTest(TestCase):
    """The provider is made once; each history begins from there, and is forgotten."""

    @classmethod
    def setUpTestData(cls):
        cls.world, cls.user = World(), User.objects.create_user('engineer')
        cls.contracts = [make_contract(policy=cls.world.policy, source=cls.world.source) for _ in NAMES]
        for contract, name in zip(cls.contracts, NAMES, strict=True):
            make_line(username=name, bras=cls.world.points[0], contract=contract)

    def test_promises_hold_over_whole_lives(self):
        run_state_machine_as_test(
            Lives,
            settings=settings(
                max_examples=HISTORIES,
                phases=PHASES,
                stateful_step_count=STEPS,
                deadline=None,
                database=None,
                print_blob=True,
                suppress_health_check=list(HealthCheck),
            ),
        )
