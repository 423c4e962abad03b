"""Every RADIUS driver and dialect through NetBox: plan, approve, run, read back, on NASes that keep sessions."""

import contextlib
import json
import logging
import os
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from unittest import mock, skipIf

from core.models import Job
from django.urls import reverse

from netbox_delinquency.jobs.points import CheckPoint, enqueue_check
from netbox_delinquency.models import AccessLine, EnforcementChange
from netbox_delinquency.runs.approval import approve_run
from netbox_delinquency.runs.plan import plan_runs, unplanned_lines
from netbox_delinquency.runs.reconcile import reconcile_point
from nornir_tasks.change import AccessState, Mode
from tests.plugin.api.base import PluginAPITestCase
from tests.plugin.engine import execute_run
from tests.plugin.factories import intend, make_contract, make_line, make_plan, make_point
from tests.simulators.bng import bng
from tests.simulators.dialects import PROVIDERS, SLOW, STATES, provider_network
from tests.simulators.freeradius import SECRET, freeradius_server, missing
from tests.simulators.radius_sql import postgres_database

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
NORMAL = AccessState.normal()
PLANTED = 'pl4nted-s3cret'


@skipIf(missing(), missing())
class RadiusDialectsTestCase(PluginAPITestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        stack = contextlib.ExitStack()
        cls.addClassCleanup(stack.close)
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        cls.db = stack.enter_context(postgres_database())
        server = stack.enter_context(freeradius_server(folder, cls.db.kind, cls.db.where, cls.db.database))
        cls.server = (server.auth, server.acct)

    def setUp(self):
        super().setUp()
        self.db.empty()
        secret = {'username': self.db.username, 'password': PLANTED, 'secret': SECRET}
        environment = {
            'DELINQUENCY_CREDENTIAL_RADIUS': json.dumps(secret),
            'DELINQUENCY_CREDENTIAL_CONSOLE': json.dumps({'username': 'admin', 'password': PLANTED}),
        }
        self.enterContext(mock.patch.dict(os.environ, environment))
        self.plan = make_plan(
            down_kbps=20_000, up_kbps=10_000, throttled_down_kbps=1000, throttled_up_kbps=512, parameters={}
        )

    def line(self, driver, port, parameters, name='ana'):
        """A line at a point of its own."""
        number = AccessLine.objects.count()
        point = make_point(
            name=f'{driver}-{number}', driver=driver, address='127.0.0.1', port=port, credential='radius', host_key='',
            parameters=parameters,
        )  # fmt: skip
        point.full_clean()
        return make_line(username=name, bras=point, contract=make_contract(plan=self.plan))

    def drive(self, line, state):
        """The row of an approved run, executed."""
        line.refresh_from_db()
        intend(line, state)
        (run,) = plan_runs(unplanned_lines().filter(pk=line.pk), NOW, author=self.user)
        if run.status == 'planned':
            approve_run(run, run.plan_hash, NOW, approver=self.user)
        execute_run(run.pk)
        line.refresh_from_db()
        return run.changes.get()

    def test_every_dialect_throttles_blocks_and_restores(self):
        for dialect, provider in PROVIDERS.items():
            with self.subTest(dialect):
                provider.fill(self.db)
                for name in ('ana', 'bob'):
                    self.db.user(name, 'home')
                truth = self.db.truth()
                with provider_network(provider, self.server, 'ana', 'bob') as at:
                    line = self.line('radius', self.db.port, provider.parameters(self.db, at))
                    for state in STATES:
                        row = self.drive(line, state)
                        self.assertEqual((row.outcome, row.message, line.observed), ('applied', '', state))
                        held = (at.nas.policies('ana'), at.nas.rates('ana'))
                        self.assertEqual(held, provider.holds[state.mode])
                    self.assertEqual(self.db.truth(), truth)
                    self.assertEqual(at.nas.policies('bob'), provider.holds[Mode.NORMAL][0])
                    self.assertEqual((at.nas.lines['bob'].changes, at.nas.dropped), (0, []))

    def test_an_acknowledgement_without_effect_drifts_until_the_console_shows_it(self):
        for dialect in (name for name, provider in PROVIDERS.items() if provider.console):
            with self.subTest(dialect):
                provider = PROVIDERS[dialect]
                provider.fill(self.db)
                self.db.user('ana', 'home')
                with provider_network(provider, self.server, 'ana') as at:
                    line = self.line('radius', self.db.port, provider.parameters(self.db, at))
                    at.nas.lies = {'ana'}
                    row = self.drive(line, SLOW)
                    self.assertEqual((row.outcome, line.observed), ('partial', NORMAL))
                    self.assertIn(line, AccessLine.objects.drifting())
                    at.nas.lies = set()
                    self.assertEqual(self.drive(line, SLOW).outcome, 'applied')
                    self.assertNotIn(line, AccessLine.objects.drifting())

    def test_coa_alone_changes_the_session_and_reads_it_at_the_console(self):
        provider = PROVIDERS['nokia']
        provider.fill(self.db)
        self.db.user('ana', 'home')
        with provider_network(provider, self.server, 'ana') as at:
            console = at.console_parameters(provider)
            parameters = {
                'dialect': 'nokia',
                'identity': ['User-Name'],
                'names': dict(provider.names),
                'console': console,
            }
            line = self.line('radius_coa', at.nas.port, parameters)
            for state in STATES:
                row = self.drive(line, state)
                self.assertEqual((row.outcome, row.message, line.observed), ('applied', '', state))
                self.assertEqual(at.nas.policies('ana'), provider.holds[state.mode][0])
            # It keeps nothing: the session that comes back is as the RADIUS server has it.
            self.drive(line, SLOW)
            at.nas.hang_up('ana')
            at.nas.dial('ana')
            self.assertEqual(at.nas.policies('ana'), provider.holds[Mode.NORMAL][0])

    def test_coa_alone_without_a_console_is_unknown_unless_trusted(self):
        with bng(server=None) as box:
            box.add('ana')
            line = self.line('radius_coa', box.port, {'dialect': 'mikrotik'})
            row = self.drive(line, SLOW)
            self.assertEqual((row.outcome, box.lines['ana'].rate), ('unknown', '512k/1000k'))
            self.assertIn('proves nothing', row.message)
            line.bras.parameters |= {'trust_acknowledgement': True}
            line.bras.save()
            self.assertEqual(self.drive(line, NORMAL).outcome, 'applied')
            self.assertEqual(box.lines['ana'].rate, '10000k/20000k')

    def test_a_stored_policy_alone_takes_effect_at_the_next_session(self):
        provider = PROVIDERS['accel_ppp']
        provider.fill(self.db)
        self.db.user('ana', 'home')
        truth = self.db.truth()
        with provider_network(provider, self.server, 'ana') as at:
            parameters = self.db.parameters | {'dialect': 'accel_ppp', 'throttled_group': 'slow'}
            line = self.line('freeradius_sql', self.db.port, parameters)
            for state in STATES:
                row = self.drive(line, state)
                self.assertEqual(
                    (row.outcome, line.observed != state), ('partial', True)
                )  # the session has what it had
                at.nas.hang_up('ana')
                at.nas.dial('ana')
                self.assertEqual((at.nas.policies('ana'), at.nas.rates('ana')), provider.holds[state.mode])
                if state.mode == Mode.NORMAL:  # what was given back and has not come is read, not sent again at once
                    reconcile_point(line.bras)
                    line.refresh_from_db()
                    self.assertEqual((line.observed, line.restriction), (state, None))
                else:
                    row = self.drive(line, state)
                    self.assertEqual((row.outcome, line.observed), ('noop', state))
            self.assertEqual((self.db.truth(), at.nas.requests), (truth, []))

    def test_no_secret_is_in_logs_rows_jobs_or_answers(self):
        """Of the database, of dynamic authorization and of a console; where all goes well, and where nothing does."""
        self.user.is_superuser = True
        self.user.save()
        wrong = {'username': 'nobody-here', 'password': PLANTED, 'secret': PLANTED}
        self.enterContext(mock.patch.dict(os.environ, {'DELINQUENCY_CREDENTIAL_WRONG': json.dumps(wrong)}))
        quick = mock.patch('nornir_tasks.radius.client.Retransmission.__init__.__defaults__', (0.1, 0.2, 2, 0.5, 150.0))
        self.enterContext(quick)
        provider = PROVIDERS['juniper']
        provider.fill(self.db)
        self.db.user('ana', 'home')
        with self.assertLogs(level=logging.DEBUG) as logs, provider_network(provider, self.server, 'ana') as at:
            logging.getLogger().debug('there is something to look through')
            line = self.line('radius', self.db.port, provider.parameters(self.db, at))
            self.assertEqual(self.drive(line, SLOW).outcome, 'applied')
            point = line.bras
            for credential, parameters, outcome in (
                ('radius', {'credential': 'wrong'}, 'partial'),  # of the NAS: its answers cannot be believed
                ('wrong', {}, 'failed'),
                ('missing', {}, 'failed'),
            ):
                self.check(point)
                point.credential = credential
                point.parameters = provider.parameters(self.db, at, **parameters)
                point.save()
                self.assertEqual(self.drive(line, NORMAL).outcome, outcome)
                self.check(point)
            at.nas.box.users.clear()  # the console refuses its login
            point.credential = 'radius'
            point.save()
            job = self.check(point)
        self.assertIn('refused the login', json.dumps(job.data))
        kept = [*logs.output, *map(repr, Job.objects.values()), *map(repr, EnforcementChange.objects.values())]
        for name in ('enforcementpoint', 'accessline', 'enforcementrun', 'enforcementchange'):
            kept.append(json.dumps(self.get(reverse(f'plugins-api:netbox_delinquency-api:{name}-list'))))
        kept += [json.dumps(self.get(reverse(f'core-api:{name}-list'))) for name in ('job', 'objectchange')]
        self.assertEqual([text for text in kept if PLANTED in text or SECRET in text], [])

    def check(self, point):
        """A worker's check of the point; answers its job."""
        job = enqueue_check(point, self.user)
        CheckPoint.handle(job, point=point.pk)
        job.refresh_from_db()
        return job
