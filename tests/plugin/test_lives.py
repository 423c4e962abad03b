"""Whole lives of lines, in any order of what can befall them, against the promises that are made about them.

Billing, people, workers and foreigners do what they like; then the network falls quiet, and the boxes are asked.
The model is the promises alone: it knows nothing of restrictions, runs or rows.

A history is what befalls one neighbourhood: three contracts, their lines, three logins on either of two boxes. Many
neighbourhoods that know nothing of each other live through the same days, so that what is costly (evaluating all
contracts, reading a box, working runs off) is done once for all of them, in batches as at a provider; what befalls each
is drawn for itself. A failure prints the days, and the seed to have them again (`LIVES_SEED`). `LIVES` in the
environment is the number of histories.
"""

import logging
import os
import random
from contextlib import ExitStack, suppress
from datetime import timedelta
from unittest import mock

from django.db import Error, transaction
from django.db.models import Q
from django.test import TestCase
from django.utils import timezone
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test
from netbox.search.backends import search_backend
from users.models import User

from netbox_delinquency.choices import ContractStatusChoices, LineStatusChoices
from netbox_delinquency.models import (
    AccessLine,
    BillingSource,
    Contract,
    EnforcementChange,
    EnforcementPoint,
    EnforcementRun,
    Hold,
    Restriction,
)
from netbox_delinquency.runs.journal import DatabaseJournal, JournalLostError
from netbox_delinquency.runs.lifecycle import cancel_run, waiting_points
from netbox_delinquency.runs.worker import process_point
from netbox_delinquency.workflow import evaluate_all, reevaluate

from .factories import make_contract, make_line, make_plan, make_subscriber
from .ownership import BLOCKED, NORMAL, THROTTLED, World, boxes_answer

HISTORIES = int(os.environ.get('LIVES', '500'))
# As all properties: in CI the same lives each time, elsewhere others.
SEED = int(os.environ.get('LIVES_SEED') or (0 if os.environ.get('CI') else random.randrange(2**32)))
NEIGHBOURHOODS = 40
DAYS = 7
# Making a failure smaller costs as much as finding it a hundred times over: it is asked for by hand.
PHASES = (Phase.generate, Phase.shrink) if os.environ.get('SHRINK') else (Phase.generate,)
NAMES = ('ana', 'bob', 'cid')
PLACES = tuple((point, name) for point in (0, 1) for name in NAMES)
REAL_NOW = timezone.now


class Neighbourhood:
    """One history: what befalls three contracts and their lines, and what was promised to them."""

    deeds = (
        'owe', 'pay', 'dispute', 'decide_the_dispute', 'rename_or_move', 'swap', 'retire', 'delete', 'leave', 'come',
        'hand_over', 'foreigner_restricts', 'foreigner_lets_go',
    )  # fmt: skip

    def __init__(self, number, provider):
        self.number, self.provider = number, provider
        self.broken = []
        self.foreign = {}  # what foreigners put in a way of their own, by place
        self.shaped = {}  # what they put in our way, by place
        self.owing = {}  # since how many days, by contract
        self.left = set()  # contracts that are terminated
        self.held = set()  # contracts that a hold exempts
        self.taken = {}  # by place: the contract that we last took it from
        self.stood = {}  # how each place stood after it was last touched
        self.kept = {}  # by place: what was restricted as its owner left, and nobody came since
        self.done = []  # every deed, for who has to explain a failure
        self.contracts = LivesTest.contracts[number]

    def login(self, name):
        return f'{name}-{self.number}'

    def place(self, b):
        point, name = PLACES[b]
        return point, self.login(name)

    def box(self, point):
        return self.provider.boxes[point]

    def does(self, deed, a, b):
        """One deed; `a` and `b` choose what it is done to, and where."""
        self.done.append((deed, a, b))
        getattr(self, deed)(a, b)

    def story(self, place):
        """What was done here and what was sent, in order: what explains a failure."""
        rows = EnforcementChange.objects.filter(Q(names__contains=[place[1]]) | Q(identity__endswith=f'={place[1]}'))
        rows = rows.order_by('pk').values_list(
            'pk', 'run_id', 'run__kind', 'run__status', 'point__name', 'identity', 'line_id', 'desired_mode',
            'outcome', 'message', 'reason', 'restriction_id', 'sent_at', 'finished_at',
        )  # fmt: skip
        taken = Restriction.objects.filter(identity__endswith=f'={place[1]}').order_by('pk').values_list(
            'pk', 'point__name', 'identity', 'state_mode', 'line_id', 'contract_id', 'change_number', 'taken_at',
            'owed_since', 'lifted_at', 'noted',
        )  # fmt: skip
        lines = self.here(place).values_list('pk', 'contract_id', 'status', 'observed_mode', 'intended_mode')
        parts = {'deeds': self.done, 'lines': lines, 'rows': rows, 'restrictions': taken}
        return '\n'.join(f'{name}: ' + '\n  '.join(map(str, part)) for name, part in parts.items())

    # What is promised

    def owes(self, contract):
        return contract in self.owing and contract not in self.left

    def sent(self, place, desired):
        """Looked at as each row reaches a box: whom it takes access from must be who owes, and nobody else."""
        stored = self.box(place[0]).stored[place[1]]
        if desired == NORMAL:
            self.stood[place] = stored
            return
        holder = self.holder(place)
        if holder is None:
            self.broken.append(f'{place} has no line, and was made {desired}')
            return
        contract = holder.contract_id
        self.taken[place] = contract
        was, self.stood[place] = self.stood.get(place, NORMAL), stored
        if not self.owes(contract):
            self.broken.append(f'{place} is of a contract that owes nothing, and was made {desired}')
        elif desired.is_more_restrictive_than(was) and (contract in self.held or self.owing[contract] < 15):
            self.broken.append(f'{place} was made {desired} in a hold or too early')
        elif desired.is_more_restrictive_than(was) and self.provider.is_unheard():
            self.broken.append(f'{place} was made {desired} on stale billing')
        if place in self.shaped:
            self.broken.append(f'{place} is restricted by somebody else in our way, and was made {desired}')
        is_observed = EnforcementPoint.objects.get(pk=self.provider.points[place[0]].pk).mode == 'observe'
        if is_observed and desired.is_more_restrictive_than(was):
            self.broken.append(f'{place} is only observed, and was made {desired} from {was}')

    def look_at(self, place, line):
        point, name = place
        box = self.box(point)
        stored = box.stored[name]
        assert box.live[name] in (None, stored), (place, stored, box.live[name])
        assert box.foreign.get(name, ()) == self.foreign.get(place, ()), f'{place}: what is theirs was touched'
        if place in self.shaped:
            assert stored == self.shaped[place], f'{place}: what they did in our way was touched: {stored}'
            return
        holder = line.contract_id if line else None
        if holder is not None and not self.owes(holder):
            assert stored == NORMAL, f'{place} is of who owes nothing, and is {stored}'
        if holder is not None and holder in self.held:
            assert stored == NORMAL, f'{place} is of who is frozen, and is {stored}'
        if holder is not None and self.owes(holder) and self.owing[holder] >= 30 and holder not in self.held:
            LivesTest.debtors += 1
            if stored != BLOCKED:
                LivesTest.free.append(f'{place} owes for {self.owing[holder]} days, and is {stored}')
        if holder is None and place in self.taken:
            contract = self.taken[place]
            if contract not in self.left and contract not in self.owing:
                assert stored == NORMAL, f'{place} was taken from who owes nothing, and is {stored}'
        if place in self.kept:
            assert stored == self.kept[place], f'{place}: who left got it back: {stored}'
        if line is not None:
            assert line.observed == stored, f'{place} is {stored}, and NetBox says {line.observed}'
            assert line.is_foreign == bool(self.foreign.get(place)), f'{place}: {line.all_foreign}'

    # What befalls them

    def lines(self, *statuses):
        mine = AccessLine.objects.filter(username__endswith=f'-{self.number}', status__in=statuses or ('active',))
        return list(mine.select_related('bras', 'contract').order_by('pk'))

    def here(self, place):
        return AccessLine.objects.filter(bras=self.provider.points[place[0]], username=place[1])

    def holder(self, place):
        return self.here(place).filter(status=LineStatusChoices.ACTIVE).first()

    def pick(self, found, number):
        return found[number % len(found)] if found else None

    def place_of(self, line):
        return self.provider.points.index(line.bras), line.username

    def somebody_comes_to(self, place, contract):
        """Whoever has a right to a place now is not who left, and answers for what is restricted there."""
        self.kept.pop(place, None)
        if place in self.taken:
            self.taken[place] = contract

    def owe(self, a, b):
        contract, days = self.contracts[a % 3].pk, (5, 20, 40)[b % 3]
        if contract in self.left:
            return
        due = timezone.localdate() - timedelta(days=days)
        Contract.objects.filter(pk=contract).update(oldest_due_date=due, open_balance=100, unpaid_invoices=1)
        is_relief = self.owing.get(contract, 0) > days
        self.owing[contract] = days
        if is_relief:
            reevaluate(contract)  # a younger debt is an older one that was paid: the inbox does so within that event

    def pay(self, a, b):
        contract = self.contracts[a % 3].pk
        Contract.objects.filter(pk=contract).update(oldest_due_date=None, open_balance=0, unpaid_invoices=0)
        self.owing.pop(contract, None)

    def dispute(self, a, b):
        contract = self.contracts[a % 3]
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

    def decide_the_dispute(self, a, b):
        contract = self.contracts[a % 3]
        for hold in Hold.objects.filter(contract=contract, ended_at=None):
            hold.advance(ended_at=timezone.now(), end_reason='decided')
        self.held.discard(contract.pk)

    def rename_or_move(self, a, b):
        line, place = self.pick(self.lines(), a), self.place(b)
        if line is None or self.here(place).exclude(status='retired').exists():
            return
        line.username, line.bras = place[1], self.provider.points[place[0]]
        line.save()
        self.somebody_comes_to(place, line.contract_id)

    def swap(self, a, b):
        lines = self.lines()
        first, second = self.pick(lines, a), self.pick(lines, b)
        if first is None or first == second:
            return
        names = (first.username, first.bras), (second.username, second.bras)
        first.username = f'between-{self.number}'
        first.save()
        (second.username, second.bras), (first.username, first.bras) = names
        second.save()
        first.save()
        for line in (first, second):
            self.somebody_comes_to(self.place_of(line), line.contract_id)

    def retire(self, a, b):
        line = self.pick(self.lines(), a)
        if line is not None:
            line.status = LineStatusChoices.RETIRED
            line.save()

    def delete(self, a, b):
        line = self.pick(self.lines('active', 'retired'), a)
        under_way = {'outcome': '', 'run__status__in': ('approved', 'running', 'paused')}
        if line is not None and not line.changes.filter(**under_way).exists():
            line.delete()

    def leave(self, a, b):
        contract = Contract.objects.get(pk=self.contracts[a % 3].pk)
        if len(self.left) == 2:
            return
        for line in self.lines():
            place = self.place_of(line)
            box, name = self.box(place[0]), place[1]
            is_ours = place not in self.shaped and self.is_open(place)
            is_wanted = contract.pk in self.owing and contract.pk not in self.held
            is_cut = box.stored[name] == box.live[name] != NORMAL
            if line.contract_id == contract.pk and is_ours and is_wanted and is_cut:
                self.kept[place] = box.stored[name]
        contract.status = ContractStatusChoices.TERMINATED
        contract.save()
        self.left.add(contract.pk)
        for line in self.lines():  # by whatever way: a line that is active has its place
            self.somebody_comes_to(self.place_of(line), line.contract_id)

    def come(self, a, b):
        """A line for a contract that is active, under a name that nobody else has there."""
        contract, place = self.contracts[a % 3].pk, self.place(b)
        if contract in self.left or self.here(place).exclude(status='retired').exists():
            return
        make_line(username=place[1], bras=self.provider.points[place[0]], contract=Contract.objects.get(pk=contract))
        self.somebody_comes_to(place, contract)

    def hand_over(self, a, b):
        line, contract = self.pick(self.lines(), a), self.contracts[b % 3].pk
        if line is not None and contract not in self.left:
            line.contract = Contract.objects.get(pk=contract)
            line.save()
            self.somebody_comes_to(self.place_of(line), contract)

    def foreigner_restricts(self, a, b):
        place = point, name = self.place(b)
        box = self.box(point)
        if a % 2:
            self.foreign[place] = box.foreign[name] = ('list bloqueados',)
        elif box.stored[name] == NORMAL == box.live[name] and not self.is_open(place):
            self.shaped[place] = self.stood[place] = box.stored[name] = box.live[name] = THROTTLED

    def foreigner_lets_go(self, a, b):
        place = point, name = self.place(b)
        box = self.box(point)
        self.foreign.pop(place, None)
        box.foreign.pop(name, None)
        if self.shaped.pop(place, None):
            self.stood[place] = box.stored[name] = box.live[name] = NORMAL

    def is_open(self, place):
        at = {'point': self.provider.points[place[0]], 'identity': f'username={place[1]}'}
        return Restriction.objects.open().filter(**at).exists()


# For each neighbourhood one deed, and what it is done to.
day = st.lists(
    st.tuples(st.sampled_from(Neighbourhood.deeds), st.integers(0, 5), st.integers(0, 5)),
    min_size=NEIGHBOURHOODS,
    max_size=NEIGHBOURHOODS,
)


def common(**values):
    """What befalls all of them, after each has had a deed of its own."""
    return rule(deeds=day, **values)


class Lives(RuleBasedStateMachine):
    """One provider of two boxes, and the neighbourhoods on them."""

    def __init__(self):
        super().__init__()
        self.atomic = transaction.atomic()
        self.atomic.__enter__()
        self.offset = timedelta()
        self.clock = mock.patch('django.utils.timezone.now', self.now)
        self.clock.start()
        self.lost = ExitStack()
        self.world = LivesTest.world
        self.world.renew_boxes()
        self.boxes, self.points = list(self.world.boxes.values()), self.world.points
        self.answer = boxes_answer(self.world.boxes)
        self.answer.__enter__()
        self.neighbourhoods = [Neighbourhood(number, self) for number in range(NEIGHBOURHOODS)]
        for number, box in enumerate(self.boxes):
            for neighbourhood in self.neighbourhoods:
                for name in NAMES:
                    box.add(neighbourhood.login(name))
            box.after_row = lambda name, number=number: self.sent(number, name)

    def now(self):
        return REAL_NOW() + self.offset

    def teardown(self):
        self.lost.close()
        try:
            self.fall_quiet()
            LivesTest.lived += NEIGHBOURHOODS
        finally:
            self.answer.__exit__(None, None, None)
            self.clock.stop()
            transaction.set_rollback(True)
            self.atomic.__exit__(None, None, None)

    def sent(self, number, name):
        desired = self.boxes[number].sent[-1][1]
        self.neighbourhoods[int(name.rpartition('-')[2])].sent((number, name), desired)

    def is_unheard(self):
        return BillingSource.objects.get(pk=self.world.source.pk).is_late(timezone.now())

    @property
    def broken(self):
        return [fault for neighbourhood in self.neighbourhoods for fault in neighbourhood.broken]

    def fall_quiet(self):
        """Everything answers again, nobody does anything, the periodic jobs run: then the promises are looked at."""
        for box in self.boxes:
            box.dead, box.hangs_after, box.deaf_after_apply = False, None, False
            box.refuses, box.lies_about, box.half_applies = set(), set(), set()
        for point in EnforcementPoint.objects.all():
            point.status, point.mode = 'active', 'enforce'
            point.save()
            point.advance(checked_at=timezone.now())  # days have passed
        Restriction.objects.open().update(retry_at=None)  # and what a point refused is tried again each day
        BillingSource.objects.update(heartbeat_minutes=None)
        for run in EnforcementRun.objects.filter(status='paused'):
            cancel_run(run, timezone.now())
            for point in waiting_points(EnforcementRun.objects.get(pk=run.pk)):
                process_point(run.pk, point)
        for _ in range(2):
            self.world.reconcile()
            self.world.work()
        for each in self.neighbourhoods:
            assert not each.broken, '\n'.join([*each.broken, *map(each.story, map(each.place, range(6)))])
        before = [list(box.sent) for box in self.boxes], EnforcementRun.objects.count()
        self.world.reconcile()
        self.world.work()
        after = [list(box.sent) for box in self.boxes], EnforcementRun.objects.count()
        assert before == after, ('doing it twice changed something', before, after)
        points = {point.pk: number for number, point in enumerate(self.points)}
        lines = {(points[line.bras_id], line.username): line for line in AccessLine.objects.filter(status='active')}
        for neighbourhood in self.neighbourhoods:
            for name in map(neighbourhood.login, NAMES):
                for number in points.values():
                    place = number, name
                    try:
                        neighbourhood.look_at(place, lines.get(place))
                    except AssertionError as error:
                        error.add_note(neighbourhood.story(place))
                        raise

    def everybody(self, deeds):
        for neighbourhood, (deed, a, b) in zip(self.neighbourhoods, deeds, strict=True):
            neighbourhood.does(deed, a, b)

    @initialize(
        days=st.lists(
            st.tuples(st.integers(0, 2), st.sampled_from([1, 2])), min_size=NEIGHBOURHOODS, max_size=NEIGHBOURHOODS
        ),
        batch=st.sampled_from([10, 30, 100]),
        follows=st.sampled_from([True, False, False]),
    )
    def somebody_owes(self, days, batch, follows):
        """A provider; what follows at once where a line or hold is written may be lost: the periodic jobs find it."""
        if not follows:
            for name in ('reevaluate', 'start_lifts'):
                self.lost.enter_context(mock.patch(f'netbox_delinquency.signals.{name}'))
        EnforcementPoint.objects.update(batch_size=batch)
        for neighbourhood, (contract, since) in zip(self.neighbourhoods, days, strict=True):
            neighbourhood.owe(contract, since)
        self.work()

    @common(point=st.integers(0, 1), manner=st.sampled_from(['dead', 'deaf', 'lies', 'half', 'refuses', 'well']))
    def box_behaves(self, deeds, point, manner):
        self.everybody(deeds)
        box = self.boxes[point]
        box.dead, box.deaf_after_apply = manner == 'dead', manner == 'deaf'
        for switch, names in (('lies', box.lies_about), ('half', box.half_applies), ('refuses', box.refuses)):
            names.clear()
            if manner == switch:
                names.update(each.login(name) for each in self.neighbourhoods for name in NAMES[:2])

    @common(point=st.integers(0, 1), status=st.sampled_from(['active', 'maintenance']),
            mode=st.sampled_from(['observe', 'enforce']))  # fmt: skip
    def point_is(self, deeds, point, status, mode):
        self.everybody(deeds)
        chosen = EnforcementPoint.objects.get(pk=self.points[point].pk)
        chosen.status, chosen.mode = status, mode
        chosen.save()

    @common(silent=st.booleans())
    def feed(self, deeds, silent):
        self.everybody(deeds)
        BillingSource.objects.update(
            heartbeat_minutes=5 if silent else None, last_event_at=timezone.now() - timedelta(hours=9)
        )

    @common(days=st.sampled_from([1, 3]))
    def time_passes(self, deeds, days):
        self.everybody(deeds)
        self.offset += timedelta(days=days)
        for each in self.neighbourhoods:
            each.owing = {contract: since + days for contract, since in each.owing.items()}

    @common()
    def works(self, deeds):
        self.everybody(deeds)
        self.work()

    def work(self):
        self.world.work()

    @common()
    def plan_only(self, deeds):
        self.everybody(deeds)
        evaluate_all(timezone.now())

    @common()
    def read(self, deeds):
        self.everybody(deeds)
        self.world.reconcile()

    @precondition(lambda self: not self.broken)
    @common()
    def worker_dies(self, deeds):
        """The database is lost once what was sent is to be written down: the rows stay open, for the next one."""
        self.everybody(deeds)
        dies = mock.patch.object(DatabaseJournal, '_finish', side_effect=Error('the worker is dead'))
        with dies, suppress(Error, JournalLostError):
            self.world.work()


class LivesTest(TestCase):
    """The provider is made once; each history begins from there, and is forgotten."""

    lived = debtors = 0
    free: tuple | list = ()

    @classmethod
    def setUpTestData(cls):
        cls.world, cls.user = World(), User.objects.create_user('engineer')
        values = {'plan': make_plan(), 'subscriber': make_subscriber()}
        cls.contracts = []
        for number in range(NEIGHBOURHOODS):
            contracts = [make_contract(policy=cls.world.policy, source=cls.world.source, **values) for _ in NAMES]
            for contract, name in zip(contracts, NAMES, strict=True):
                make_line(username=f'{name}-{number}', bras=cls.world.points[0], contract=contract)
            cls.contracts.append(contracts)

    def setUp(self):
        # What NetBox finds by its search has no part in this, and is a third of what writing a line costs.
        self.enterContext(mock.patch.object(search_backend, 'cache'))
        logging.disable(logging.CRITICAL)  # of workers that die and boxes that do not answer: that is what is tried
        self.addCleanup(logging.disable, logging.NOTSET)

    def test_promises_hold_over_whole_lives(self):
        LivesTest.lived, LivesTest.debtors, LivesTest.free = 0, 0, []
        try:
            run_state_machine_as_test(
                seed(SEED)(Lives),
                settings=settings(
                    max_examples=-(-HISTORIES // NEIGHBOURHOODS),
                    phases=PHASES,
                    stateful_step_count=DAYS,
                    deadline=None,
                    database=None,
                    print_blob=True,
                    suppress_health_check=list(HealthCheck),
                ),
            )
        except BaseException as error:
            error.add_note(f'these lives again: LIVES_SEED={SEED} LIVES={HISTORIES}')
            raise
        self.assertGreaterEqual(LivesTest.lived, HISTORIES)
        # That nobody is cut wrongly is a promise; that whoever owes is cut within these days is an effect, measured.
        self.assertLessEqual(len(LivesTest.free) * 100, LivesTest.debtors, f'LIVES_SEED={SEED}: {LivesTest.free}')
