"""Reading back though nothing was sent: what is found, what is put right, and what is never overwritten."""

import json
import os
from datetime import UTC, datetime, timedelta
from io import StringIO
from unittest import mock

from core.models import Job
from django.core.management import CommandError, call_command
from django.test import TestCase
from django.utils import timezone

from netbox_delinquency.choices import RunStatusChoices
from netbox_delinquency.errors import RunRefusedError
from netbox_delinquency.jobs.points import ReconcilePoint
from netbox_delinquency.jobs.queues import ENFORCE_QUEUE
from netbox_delinquency.jobs.system import Reconcile
from netbox_delinquency.models import AccessLine, EnforcementPoint, EnforcementRun, Restriction
from netbox_delinquency.models.sides import is_over_enforced
from netbox_delinquency.models.state import set_state, state_fields
from netbox_delinquency.runs.approval import approve_run
from netbox_delinquency.runs.lifts import adopt
from netbox_delinquency.runs.plan import plan_runs, unplanned_lines
from netbox_delinquency.runs.reconcile import lines_to_read, reconcile_point
from nornir_tasks.change import AccessState, Reading
from tests.simulators.fixtures import PROFILES
from tests.simulators.memory import MemoryDriver, MemoryPoint
from tests.simulators.routeros import RouterConfig, simulation
from tests.simulators.routeros_script import Interpreter

from .engine import execute_run
from .factories import (
    intend,
    make_change,
    make_contract,
    make_line,
    make_plan,
    make_point,
    make_policy,
    make_source,
    restrict,
)

NORMAL, BLOCKED = AccessState.normal(), AccessState.blocked()
THROTTLED, SLOWER = AccessState.throttled(1000, 500), AccessState.throttled(500, 500)
EARLIER = datetime(2026, 11, 1, tzinfo=UTC)


class ReconcileTestCase(TestCase):
    @classmethod
    def setUpTestData(cls):
        cls.policy = make_policy(repair_drift=True)
        cls.bras = make_point(name='bras-1', batch_size=2)
        source = make_source()
        cls.lines = [
            make_line(username=name, bras=cls.bras, contract=make_contract(policy=cls.policy, source=source))
            for name in 'abcd'
        ]

    def setUp(self):
        self.box = MemoryPoint()
        for line in self.lines:
            self.box.add(line.username)
        patcher = mock.patch('nornir_tasks.engine.tasks.open_driver', side_effect=lambda task: self.box.driver())
        patcher.start()
        self.addCleanup(patcher.stop)

    def stand(self, name, state):
        """How a line really stands."""
        self.box.stored[name] = self.box.live[name] = state

    def line(self, name='a'):
        return AccessLine.objects.get(username=name)

    def put(self, name, intended=NORMAL, observed=None, at=EARLIER, **values):
        line = self.line(name)
        intend(line, intended)
        set_state(line, 'observed', observed)
        line.observed_at = at if observed else None
        for field, value in values.items():
            setattr(line, field, value)
        line.save(update_fields=[*state_fields('observed'), 'observed_at', *values])
        if observed not in (None, NORMAL):
            line.restriction = None
            Restriction.objects.filter(line=line).delete()
            restrict(line, taken_at=EARLIER)


class ReadingTest(ReconcileTestCase):
    def test_what_is_read_is_written_with_the_moment_before_it_was_read(self):
        self.put('a', BLOCKED, BLOCKED)
        self.stand('a', BLOCKED)
        started = timezone.now()
        report = reconcile_point(self.bras)
        self.assertEqual((report.read, report.over_enforced, report.under_enforced, report.unreadable), (4, 0, 0, 0))
        line = self.line()
        self.assertEqual((line.observed, line.unverified, line.baseline), (BLOCKED, False, {}))
        self.assertLessEqual(started, line.observed_at)
        self.assertEqual((self.line('b').observed, self.line('b').baseline), (NORMAL, {'was': 'normal'}))
        self.assertEqual(self.box.sent, [])

    def test_doubt_ends_with_a_reading(self):
        self.put('a', NORMAL, NORMAL, unverified=True)
        reconcile_point(self.bras)
        self.assertFalse(self.line().unverified)

    def test_the_lines_longest_unseen_come_first_and_no_more_than_asked(self):
        for day, name in enumerate('bca', start=1):
            self.put(name, NORMAL, NORMAL, EARLIER + timedelta(days=day))
        self.assertEqual([line.username for line in lines_to_read(self.bras, 'bras')], list('dbca'))
        self.assertEqual(reconcile_point(self.bras, percent=50).read, 2)
        self.assertGreater(self.line('b').observed_at, EARLIER + timedelta(days=10))
        self.assertEqual(self.line('c').observed_at, EARLIER + timedelta(days=2))

    def test_chosen_lines_are_read_and_no_other(self):
        report = reconcile_point(self.bras, lines=[self.lines[1].pk])
        self.assertEqual((report.read, self.line('b').observed, self.line('a').observed), (1, NORMAL, None))

    def test_a_line_that_cannot_be_read_keeps_what_is_known_and_is_named(self):
        self.put('a', BLOCKED, BLOCKED)
        del self.box.stored['a']
        report = reconcile_point(self.bras)
        self.assertEqual((report.read, report.unreadable), (3, 1))
        self.assertEqual(dict(report.errors), {'a': 'no line "a" on this point'})
        self.assertEqual((self.line().observed, self.line().observed_at), (BLOCKED, EARLIER))

    def test_a_line_without_session_and_stored_policy_says_nothing(self):
        self.put('a', BLOCKED, BLOCKED)
        with mock.patch.object(MemoryDriver, '_reading', return_value=Reading()):
            report = reconcile_point(self.bras)
        self.assertEqual((report.absent, report.read, self.line().observed), (4, 0, BLOCKED))

    def test_a_dead_point_is_asked_once(self):
        self.box.dead = True
        with mock.patch('netbox_delinquency.runs.reconcile.read_all', wraps=self.read_all) as read:
            report = reconcile_point(self.bras)
        self.assertEqual((report.unreadable, report.read, read.call_count), (2, 0, 1))

    @property
    def read_all(self):
        from nornir_tasks.run import read_all

        return read_all

    def test_a_point_in_maintenance_is_left_alone(self):
        EnforcementPoint.objects.filter(pk=self.bras.pk).update(status='maintenance')
        with self.assertRaisesMessage(RunRefusedError, 'its lines are not read'):
            reconcile_point(EnforcementPoint.objects.get(pk=self.bras.pk))
        self.assertEqual(self.box.reads, 0)

    def test_a_stored_policy_that_came_loose_shows_before_the_line_reconnects(self):
        self.put('a', BLOCKED, BLOCKED)
        self.box.stored['a'], self.box.live['a'] = NORMAL, BLOCKED
        self.assertEqual(reconcile_point(self.bras).under_enforced, 1)
        self.assertEqual(self.line().observed, NORMAL)

    def test_a_line_found_partially_applied_is_in_doubt_and_a_payment_is_not_lost_on_it(self):
        for stored, live, seen in ((BLOCKED, NORMAL, NORMAL), (NORMAL, BLOCKED, NORMAL)):
            with self.subTest(stored=stored, live=live):
                self.put('a', BLOCKED, BLOCKED)
                self.box.stored['a'], self.box.live['a'] = stored, live
                self.assertEqual(reconcile_point(self.bras).under_enforced, 1)
                self.assertEqual((self.line().observed, self.line().unverified), (seen, True))
                intend(self.line(), NORMAL)
                (restore,) = plan_runs(unplanned_lines(), timezone.now())
                self.assertEqual((restore.kind, restore.status), ('restore', RunStatusChoices.APPROVED))
                execute_run(restore.pk)
                self.assertEqual((self.box.stored['a'], self.line().unverified), (NORMAL, False))

    def test_a_line_half_of_which_has_less_than_it_should_is_given_back_at_once(self):
        for stored, live in ((BLOCKED, THROTTLED), (THROTTLED, BLOCKED), (BLOCKED, NORMAL)):
            with self.subTest(stored=stored, live=live):
                self.put('a', THROTTLED, THROTTLED)
                self.box.stored['a'], self.box.live['a'] = stored, live
                report = reconcile_point(self.bras)
                self.assertEqual(
                    (report.over_enforced, self.line().observed, self.line().unverified), (1, BLOCKED, False)
                )
                execute_run(report.restores[0])
                self.assertEqual((self.box.stored['a'], self.box.live['a']), (THROTTLED, THROTTLED))

    def test_a_cpe_is_asked_only_where_it_was_to_have_something(self):
        acs = make_point(name='acs')
        AccessLine.objects.update(acs=acs)
        AccessLine.objects.filter(username='b').update(channel='cpe')
        AccessLine.objects.filter(username='c').update(cpe_observed_mode='blocked', cpe_observed_at=EARLIER)
        AccessLine.objects.filter(username='d').update(cpe_unverified=True)
        self.assertEqual(set(lines_to_read(acs, 'cpe').values_list('username', flat=True)), set('bcd'))
        reconcile_point(acs)
        self.assertEqual((self.line('b').seen_at('cpe'), self.line('b').observed), (NORMAL, None))

    def test_too_hard_means_in_sql_what_it_means_in_python(self):
        states = [NORMAL, THROTTLED, SLOWER, BLOCKED]
        for channel in ('bras', 'cpe'):
            AccessLine.objects.filter(username='a').update(channel=channel)
            for intended in states:
                for observed in [*states, None]:
                    self.put('a', intended, observed)
                    line = self.line()
                    over = (observed or NORMAL).is_more_restrictive_than(line.intended_at('bras'))
                    found = AccessLine.objects.filter(is_over_enforced('bras'), pk=line.pk).exists()
                    self.assertEqual(found, over, (channel, intended, observed))


class RaceTest(ReconcileTestCase):
    """A run works on a line while it is read."""

    def change(self, **values):
        run = EnforcementRun.objects.create(
            name='now', status='running', approved_hash='f' * 64, approved_at=EARLIER, started_at=EARLIER
        )
        return make_change(run=run, line=self.line(), **values)

    def while_reading(self, act):
        """Reconcile, with something done between the reading and its writing."""
        read = ReadingTest.read_all.fget(self)

        def read_and_act(*args, **kwargs):
            readings = read(*args, **kwargs)
            act()
            return readings

        with mock.patch('netbox_delinquency.runs.reconcile.read_all', read_and_act):
            return reconcile_point(self.bras, lines=[self.line().pk])

    def kept(self, report):
        self.assertEqual((report.busy, report.read), (1, 0))

    def test_a_line_that_a_run_holds_is_not_even_read(self):
        self.change(claimed_at=timezone.now())
        self.kept(reconcile_point(self.bras, lines=[self.line().pk]))
        self.assertEqual(self.box.reads, 0)

    def test_a_newer_observation_is_not_overwritten(self):
        self.put('a', BLOCKED, NORMAL)
        later = timezone.now() + timedelta(minutes=1)
        self.kept(self.while_reading(lambda: self.put('a', BLOCKED, BLOCKED, later)))
        self.assertEqual((self.line().observed, self.line().observed_at), (BLOCKED, later))

    def test_a_line_claimed_while_it_is_read_is_left_to_the_run(self):
        self.kept(self.while_reading(lambda: self.change(claimed_at=timezone.now())))
        self.assertIsNone(self.line().observed)

    def test_doubt_that_came_while_it_was_read_stays(self):
        self.kept(self.while_reading(lambda: AccessLine.objects.update(unverified=True)))
        self.assertTrue(self.line().unverified)

    def test_what_was_sent_while_it_was_read_is_not_undone_by_what_was_read_before(self):
        self.put('a', BLOCKED, NORMAL, unverified=True)
        now = timezone.now() + timedelta(seconds=1)
        self.kept(
            self.while_reading(lambda: self.change(claimed_at=now, sent_at=now, finished_at=now, outcome='unknown'))
        )
        self.assertTrue(self.line().unverified)

    def test_a_line_that_moved_while_it_was_read_is_not_written(self):
        other = make_point(name='bras-2')
        self.kept(self.while_reading(lambda: AccessLine.objects.filter(username='a').update(bras=other)))


class RepairTest(ReconcileTestCase):
    def test_who_has_less_than_policy_wants_is_restored_at_once(self):
        self.put('a', NORMAL, BLOCKED)
        self.stand('a', BLOCKED)
        report = reconcile_point(self.bras)
        self.assertEqual((report.over_enforced, len(report.restores)), (1, 1))
        run = execute_run(report.restores[0])
        self.assertEqual((run.kind, self.box.live['a'], self.line().observed), ('restore', NORMAL, NORMAL))

    def test_what_came_loose_waits_for_the_evaluation_and_is_repaired_through_waves(self):
        self.put('a', BLOCKED, BLOCKED)
        earlier = EnforcementRun.objects.create(name='earlier')
        make_change(run=earlier, line=self.line(), outcome='applied', sent_at=EARLIER, finished_at=EARLIER)
        report = reconcile_point(self.bras)
        self.assertEqual((report.under_enforced, report.restores), (1, ()))
        (run,) = plan_runs(unplanned_lines(), timezone.now())
        self.assertEqual((run.kind, run.status), ('enforce', RunStatusChoices.APPROVED))
        self.assertEqual(self.box.sent, [])

    def test_a_pinned_line_is_read_and_left(self):
        self.put('a', THROTTLED, THROTTLED, pinned=True)
        self.stand('a', BLOCKED)
        report = reconcile_point(self.bras)
        self.assertEqual((report.over_enforced, report.restores), (1, ()))


class RouterTest(TestCase):
    """On a simulated router over SSH, by its own state."""

    def setUp(self):
        secret = json.dumps({'username': 'admin', 'password': 'admin'})
        patcher = mock.patch.dict(os.environ, {'DELINQUENCY_CREDENTIAL_BRAS': secret})
        patcher.start()
        self.addCleanup(patcher.stop)

    def test_lines_that_were_reset_behind_our_back_are_put_right(self):
        names = ('ana', 'bob')
        config = RouterConfig(
            'bras', profiles=PROFILES, subscribers=[{'name': name, 'profile': 'home'} for name in names]
        )
        with simulation(config) as running:
            listening = running.routers['bras']
            router = listening.router
            point = make_point(
                name='bras', address='127.0.0.1', port=listening.port, host_key=listening.host_key, timeout=5
            )
            plan = make_plan(parameters={'routeros': {'profile': 'home', 'throttled_profile': 'slow'}})
            policy, source = make_policy(repair_drift=True), make_source()
            ana, bob = (
                make_line(username=name, bras=point, contract=make_contract(plan=plan, policy=policy, source=source))
                for name in names
            )
            intend(ana, BLOCKED)
            (run,) = plan_runs(unplanned_lines(), timezone.now())
            approve_run(run, run.plan_hash, timezone.now())
            self.assertEqual(execute_run(run.pk).status, RunStatusChoices.COMPLETED)
            blocked, normal = (self.live(router, name) for name in names)
            self.assertNotEqual(blocked, normal)

            # Somebody restores the router from a backup: ana is free again, and bob, who owes nothing, is blocked.
            console = Interpreter(router)
            console.run('/ppp secret set [find name="ana"] profile=home')
            console.run('/ppp secret set [find name="bob"] profile=nbd-restricted')
            for session in [row for row in router.rows('ppp active') if row['name'] in names]:
                router.disconnect(session)
            router.tick()
            for name in names:
                if not self.live(router, name):
                    router.connect(name)
            self.assertEqual((self.live(router, 'ana'), self.live(router, 'bob')), (normal, blocked))

            # What we did not take is not ours to give back, until a person takes it for ours.
            report = reconcile_point(point)
            self.assertEqual((report.read, report.foreign, report.under_enforced, report.restores), (2, 1, 1, ()))
            self.assertEqual(self.live(router, 'bob'), blocked)
            self.assertEqual(AccessLine.objects.foreign().get(), bob)
            adopt(AccessLine.objects.filter(pk=bob.pk), 'engineer', timezone.now())
            (restore,) = plan_runs(unplanned_lines().filter(pk=bob.pk), timezone.now())
            execute_run(restore.pk)
            self.assertEqual(self.live(router, 'bob'), normal)
            (repair,) = plan_runs(unplanned_lines(), timezone.now())
            self.assertEqual(repair.status, RunStatusChoices.APPROVED)
            execute_run(repair.pk)
            self.assertEqual((self.live(router, 'ana'), self.live(router, 'bob')), (blocked, normal))
            report = reconcile_point(point)
            self.assertEqual((report.read, report.over_enforced, report.under_enforced, report.foreign), (2, 0, 0, 0))

    def live(self, router, name):
        """What the line's session really gets: its rate, and whether it is walled."""
        live = router.service(name)['live']
        return live and {key: value for key, value in live.items() if key in ('rate', 'restricted', 'profile')}


class JobsTest(ReconcileTestCase):
    def job(self):
        return Job(name='test', job_id='00000000-0000-0000-0000-000000000000')

    def test_every_active_point_with_lines_is_read_in_a_job_of_its_own(self):
        make_point(name='no lines')
        make_line(bras=make_point(name='maintenance', status='maintenance'))
        make_line(bras=make_point(name='bras-2'))
        with mock.patch.object(ReconcilePoint, 'enqueue') as enqueue:
            Reconcile(self.job()).run()
        self.assertEqual(
            {call.kwargs['instance'].name: call.kwargs['percent'] for call in enqueue.call_args_list},
            {'bras-1': 10, 'bras-2': 10},
        )
        self.assertEqual({call.kwargs['queue_name'] for call in enqueue.call_args_list}, {ENFORCE_QUEUE})

    def test_jobs_do_not_pile_up_while_nobody_works_them_off(self):
        with self.captureOnCommitCallbacks():
            Reconcile(self.job()).run()
            Reconcile(self.job()).run()
        self.assertEqual(Job.objects.filter(name='Reconcile').count(), 1)

    def test_the_job_says_what_it_found_and_queues_the_restores(self):
        self.put('a', NORMAL, BLOCKED)
        self.stand('a', BLOCKED)
        del self.box.stored['b']
        job = self.job()
        with mock.patch('netbox_delinquency.workflow.start_run') as start:
            ReconcilePoint(job).run(point=self.bras.pk)
        self.assertEqual((job.data['read'], job.data['over_enforced'], job.data['unreadable']), (3, 1, 1))
        self.assertEqual(job.data['errors'], {'b': 'no line "b" on this point'})
        self.assertEqual([call.args[0] for call in start.call_args_list], job.data['restores'])

    def test_the_command_reads_points_or_the_lines_a_filter_finds(self):
        def run(*args):
            out, err = StringIO(), StringIO()
            with mock.patch('netbox_delinquency.workflow.start_run') as start:
                call_command('delinquency_reconcile', *args, stdout=out, stderr=err)
            return out.getvalue(), err.getvalue(), start.call_count

        self.put('a', NORMAL, BLOCKED)
        self.stand('a', BLOCKED)
        out, err, queued = run('--point', 'bras-1')
        self.assertIn('bras-1: 4 read, 1 over enforced', out)
        self.assertEqual((err, queued), ('', 1))
        self.assertIn('all: 1 read', run('--filter', 'username=b')[0])
        self.assertIn('all: 1 read', run('--percent', '1')[0])
        for wrong in (('--point', 'bras-9'), ('--filter', 'username'), ('--filter', 'x=y'), ('--percent', '0')):
            with self.assertRaises(CommandError):
                run(*wrong)
