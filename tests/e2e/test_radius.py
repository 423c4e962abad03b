"""Plan → approve → run → read back through NetBox, with the network played by FreeRADIUS on SQL and a strict BNG."""

import contextlib
import json
import os
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from unittest import mock, skipIf

from django.test import TestCase
from users.models import User

from netbox_delinquency.choices import RunStatusChoices
from netbox_delinquency.models import AccessLine
from netbox_delinquency.runs.approval import approve_run
from netbox_delinquency.runs.plan import plan_runs, unplanned_lines
from nornir_tasks.change import AccessState
from tests.plugin.engine import execute_run
from tests.plugin.factories import intend, make_contract, make_line, make_plan, make_point
from tests.simulators.bng import bng
from tests.simulators.freeradius import SECRET, freeradius_server, missing
from tests.simulators.radius_sql import postgres_database

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
NORMAL, BLOCKED, SLOW = AccessState.normal(), AccessState.blocked(), AccessState.throttled(1000, 512)
HOME, REDUCED = '10000k/20000k', '512k/1000k'


@skipIf(missing(), missing())
class RadiusEndToEndTestCase(TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.stack = contextlib.ExitStack()
        cls.addClassCleanup(cls.stack.close)
        folder = Path(cls.stack.enter_context(tempfile.TemporaryDirectory()))
        cls.db = cls.stack.enter_context(postgres_database())
        cls.server = cls.stack.enter_context(freeradius_server(folder, cls.db.kind, cls.db.where, cls.db.database))

    def setUp(self):
        self.db.empty()
        self.db.group('home', Mikrotik_Rate_Limit=HOME)
        self.db.group('slow', Mikrotik_Rate_Limit=REDUCED)
        self.db.group('nbd-restricted', Mikrotik_Address_List='nbd-restricted')
        self.box = self.enterContext(bng(server=(self.server.auth, self.server.acct)))
        secret = json.dumps({'username': self.db.username, 'password': self.db.password, 'secret': SECRET})
        self.enterContext(mock.patch.dict(os.environ, {'DELINQUENCY_CREDENTIAL_RADIUS_1': secret}))
        self.user = User.objects.create_user('engineer')
        point = make_point(
            name='radius-1', driver='radius', address='127.0.0.1', port=self.db.port, credential='radius-1',
            host_key='',
            parameters=self.db.parameters
            | {'dialect': 'mikrotik', 'coa_port': self.box.port, 'trust_acknowledgement': True, 'settle_seconds': 2},
        )  # fmt: skip
        plan = make_plan(
            down_kbps=20_000, up_kbps=10_000, throttled_down_kbps=1000, throttled_up_kbps=512,
            parameters={'radius': {'group': 'home', 'throttled_group': 'slow'}},
        )  # fmt: skip
        self.lines = []
        for name in ('ana', 'bob', 'eva'):
            self.db.user(name, 'home')
            self.box.add(name)
            self.lines.append(make_line(username=name, bras=point, contract=make_contract(plan=plan)))

    def drive(self, state, *lines):
        for line in lines:
            line.refresh_from_db()
            intend(line, state)
        (run,) = plan_runs(unplanned_lines(), NOW, author=self.user)
        if run.status == RunStatusChoices.PLANNED:
            approve_run(run, run.plan_hash, NOW, approver=self.user)
        run = execute_run(run.pk)
        return dict(run.changes.values_list('line__username', 'outcome')), run

    def test_lines_are_throttled_blocked_and_restored_and_nobody_else_is(self):
        ana, bob, _ = self.lines
        at = self.box.lines
        before = self.db.truth()
        self.box.hang_up('bob')

        outcomes, run = self.drive(SLOW, ana, bob)
        self.assertEqual(outcomes, {'ana': 'applied', 'bob': 'offline'}, list(run.changes.values_list('message')))
        self.assertEqual((at['ana'].rate, at['eva'].rate), (REDUCED, HOME))
        self.box.dial('bob')
        self.assertEqual(at['bob'].rate, REDUCED)

        outcomes, _ = self.drive(BLOCKED, ana)
        self.assertEqual(outcomes, {'ana': 'applied'})
        self.assertEqual(at['ana'].address_list, 'nbd-restricted')

        outcomes, run = self.drive(NORMAL, ana, bob)
        self.assertEqual(outcomes, {'ana': 'applied', 'bob': 'applied'}, list(run.changes.values_list('message')))
        self.assertEqual(run.status, RunStatusChoices.COMPLETED)
        self.assertEqual({line.rate for line in at.values()}, {HOME})
        self.assertEqual({line.address_list for line in at.values()}, {''})
        self.assertEqual(self.db.truth(), before)
        self.assertEqual((at['eva'].changes, self.box.dropped), (0, []))
        self.assertFalse(AccessLine.objects.drifting().exists())

    def test_a_row_whose_nas_refuses_says_so_and_drifts_until_it_is_done(self):
        ana = self.lines[0]
        self.enterContext(mock.patch('nornir_tasks.drivers.radius.sessions.RETRY_PAUSES', (0.1,)))
        self.box.refuse = {'ana': 506}
        outcomes, run = self.drive(SLOW, ana)
        self.assertEqual(outcomes, {'ana': 'partial'})
        self.assertIn('resources unavailable (506)', run.changes.get().message)
        self.assertTrue(AccessLine.objects.drifting().exists())
        self.box.refuse = {}
        (run,) = plan_runs(unplanned_lines(), NOW)
        if run.status == RunStatusChoices.PLANNED:
            approve_run(run, run.plan_hash, NOW, approver=self.user)
        self.assertEqual(execute_run(run.pk).changes.get().outcome, 'applied')
        self.assertEqual(self.box.lines['ana'].rate, REDUCED)

    def test_no_secret_is_in_what_is_kept(self):
        _, run = self.drive(BLOCKED, *self.lines)
        kept = json.dumps(list(run.changes.values('before', 'after', 'message', 'reason')), default=str)
        self.assertNotIn(SECRET, kept)
