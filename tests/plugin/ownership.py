"""A small provider: lives of lines are played through NetBox, and its boxes are asked for the truth."""

from contextlib import contextmanager
from datetime import timedelta
from unittest import mock

from django.test import TestCase
from django.utils import timezone

from netbox_delinquency.choices import RunStatusChoices
from netbox_delinquency.models import (
    AccessLine,
    Contract,
    EnforcementPoint,
    EnforcementRun,
    EnforcementSettings,
    Restriction,
)
from netbox_delinquency.runs.reconcile import reconcile_point
from netbox_delinquency.workflow import evaluate_all
from nornir_tasks.change import AccessState
from tests.simulators.memory import MemoryPoint

from .engine import execute_run
from .factories import make_contract, make_line, make_point, make_policy, make_source

NORMAL, BLOCKED = AccessState.normal(), AccessState.blocked()
THROTTLED = AccessState.throttled(1000, 500)

__all__ = ('BLOCKED', 'NORMAL', 'THROTTLED', 'World', 'WorldTestCase', 'boxes_answer')


@contextmanager
def boxes_answer(boxes):
    """Points lead to these boxes, by address: whatever a point is called, its address says where it leads."""

    def open_driver(task):
        return boxes[task.host.data['point'].address].driver()

    with (
        mock.patch('nornir_tasks.engine.tasks.open_driver', side_effect=open_driver),
        mock.patch('netbox_delinquency.workflow.start_run', lambda pk: EnforcementRun.objects.get(pk=pk)),
    ):
        yield


class World:
    """Two BRASes, and subscribers who owe or pay; `boxes` hold what really is, by address."""

    def __init__(self, addresses=('10.0.0.1', '10.0.0.2')):
        EnforcementSettings(waves='rest', soak_seconds=0, max_share_percent=100, min_rows=1000).save()
        self.policy = make_policy(auto_approve=True, repair_drift=True)
        self.source = make_source()
        self.boxes = {address: MemoryPoint() for address in addresses}
        self.points = [
            make_point(name=f'bras-{number}', address=address, batch_size=1)
            for number, address in enumerate(addresses, start=1)
        ]

    def renew_boxes(self):
        for address in self.boxes:
            self.boxes[address] = MemoryPoint()

    def box(self, point=0):
        return self.boxes[EnforcementPoint.objects.get(pk=self.points[point].pk).host]

    def subscriber(self, username, point=0, contract=None, **values):
        """A line on the box and in NetBox."""
        box = self.box(point)
        if username not in box.stored:
            box.add(username)
        contract = contract or make_contract(policy=self.policy, source=self.source)
        return make_line(username=username, bras=self.points[point], contract=contract, **values)

    def owe(self, line, days=40):
        due = timezone.localdate() - timedelta(days=days)
        Contract.objects.filter(pk=line.contract_id).update(oldest_due_date=due, open_balance=100, unpaid_invoices=1)

    def pay(self, line):
        Contract.objects.filter(pk=line.contract_id).update(oldest_due_date=None, open_balance=0, unpaid_invoices=0)

    def work(self):
        """What the periodic jobs do: evaluate, plan, and process what is approved. Returns the runs that were made."""
        known = set(EnforcementRun.objects.values_list('pk', flat=True))
        evaluate_all(timezone.now())
        self.run_all()
        return list(EnforcementRun.objects.exclude(pk__in=known).order_by('pk'))

    def run_all(self):
        for run in EnforcementRun.objects.filter(
            status__in=(RunStatusChoices.APPROVED, RunStatusChoices.RUNNING)
        ).order_by('pk'):
            execute_run(run.pk)

    def reconcile(self):
        """Every point that is worked is read; what follows from it is done."""
        reports = []
        for point in EnforcementPoint.objects.filter(status='active').order_by('pk'):
            reports.append(reconcile_point(point))
        self.run_all()
        return reports

    def states(self, point=0):
        """The truth: stored and live state by user name."""
        box = self.box(point)
        return {name: (box.stored[name], box.live[name]) for name in sorted(box.stored)}

    def is_free(self, username, point=0):
        return self.box(point).stored[username] == NORMAL and self.box(point).live[username] in (None, NORMAL)


class WorldTestCase(TestCase):
    """Its `world` has two BRASes; nothing is queued: `work` does what jobs would."""

    def setUp(self):
        self.world = World()
        self.enterContext(boxes_answer(self.world.boxes))

    def line(self, username):
        return AccessLine.objects.get(username=username)

    def blocked(self, username, point=0, **values):
        """A subscriber whom we have blocked."""
        line = self.world.subscriber(username, point, **values)
        self.world.owe(line)
        self.world.work()
        self.assertEqual(self.world.box(point).stored[username], BLOCKED)
        line.refresh_from_db()
        self.assertTrue(line.is_ours_at('bras'))
        return line

    def assertFree(self, username, point=0):
        self.assertTrue(self.world.is_free(username, point), f'{username}: {self.world.states(point)}')

    def assertCut(self, username, point=0):
        self.assertEqual(self.world.box(point).stored[username], BLOCKED, self.world.states(point))

    def open_restrictions(self):
        return sorted(Restriction.objects.open().values_list('point__name', 'identity'))
