"""What the jobs do with what they find, and what they leave to others."""

import json
from datetime import UTC, datetime, timedelta
from unittest import mock

from core.exceptions import JobFailed
from core.models import Job
from django.test import TestCase
from rq.job import JobStatus
from users.models import User

from netbox_delinquency.choices import RunKindChoices, RunStatusChoices
from netbox_delinquency.errors import RunRefusedError
from netbox_delinquency.jobs.inbox import ProcessInbox, enqueue_inbox
from netbox_delinquency.jobs.recovery import Housekeeping
from netbox_delinquency.jobs.runs import ExecuteRun, ProcessPoint, enqueue_run, start_run
from netbox_delinquency.jobs.system import Evaluate
from netbox_delinquency.models import AccessLine, BillingEvent, Contract, EnforcementRun
from netbox_delinquency.runs.journal import DatabaseJournal
from netbox_delinquency.runs.lifecycle import DEAD_AFTER, waiting_points, waiting_runs
from netbox_delinquency.runs.plan import plan_runs, unplanned_lines
from netbox_delinquency.runs.progress import progress
from netbox_delinquency.runs.worker import process_point
from nornir_tasks.change import AccessState
from tests.plugin.factories import make_contract, make_line, make_point, make_policy, make_source, restrict_all
from tests.simulators.memory import MemoryPoint

NOW = datetime.now(tz=UTC)
BLOCKED, NORMAL = AccessState.blocked(), AccessState.normal()


class JobsTestCase(TestCase):
    @classmethod
    def setUpTestData(cls):
        cls.source = make_source()
        cls.contracts = [
            make_contract(source=cls.source, policy=make_policy(auto_approve=automatic), external_id=f'C-{automatic}')
            for automatic in (False, True)
        ]
        point = make_point()
        cls.lines = [make_line(contract=contract, bras=point) for contract in cls.contracts]

    def setUp(self):
        self.point = MemoryPoint()
        for line in self.lines:
            self.point.add(line.username)
        patcher = mock.patch('netbox_delinquency.jobs.recovery.ensure_system_jobs', return_value=[])
        patcher.start()
        self.addCleanup(patcher.stop)
        for target in ('nornir_tasks.engine.tasks.open_driver', 'netbox_delinquency.jobs.runs.ProcessPoint.enqueue'):
            patcher = mock.patch(target)
            setattr(self, target.rsplit('.', 1)[1], patcher.start())
            self.addCleanup(patcher.stop)
        self.open_driver.side_effect = lambda task: self.point.driver()

    def work(self, job_class, **kwargs):
        job_class(Job(name='test', job_id='00000000-0000-0000-0000-000000000000')).run(**kwargs)

    def queued(self):
        return [call.kwargs['run'] for call in self.enqueue.call_args_list]

    def work_queued(self):
        calls, self.enqueue.call_args_list[:] = list(self.enqueue.call_args_list), []
        for call in calls:
            self.work(ProcessPoint, run=call.kwargs['run'], point=call.kwargs['point'])

    def owe(self, days=40):
        Contract.objects.update(oldest_due_date=(NOW - timedelta(days=days)).date())

    def event(self, kind, contract, at=NOW, **data):
        body = {'type': kind, 'timestamp': at.isoformat(), 'data': {'contract': contract, 'invoice': 'I', **data}}
        BillingEvent.objects.create(
            source=self.source, event_id=f'{kind}-{contract}', event_type=kind, body=json.dumps(body)
        )

    def test_evaluation_queues_what_its_policy_approves_and_leaves_the_rest_to_a_person(self):
        self.owe()
        self.work(Evaluate)
        runs = {run.changes.get().line: run for run in EnforcementRun.objects.all()}
        self.assertEqual(runs[self.lines[0]].status, RunStatusChoices.PLANNED)
        self.assertEqual(runs[self.lines[1]].status, RunStatusChoices.RUNNING)
        self.assertEqual(self.queued(), [runs[self.lines[1]].pk])
        self.work(Evaluate)
        self.assertEqual(EnforcementRun.objects.count(), 2)

    def test_an_overdue_event_alone_never_starts_anything(self):
        self.event('invoice.overdue', 'C-True', due_date='2026-01-01')
        self.work(ProcessInbox)
        self.lines[1].refresh_from_db()
        self.assertEqual(self.lines[1].intended, BLOCKED)
        self.assertFalse(EnforcementRun.objects.exists())
        self.assertEqual(self.point.sent, [])

    def test_a_payment_restores_without_waiting_for_anybody(self):
        self.event('invoice.overdue', 'C-True', due_date='2026-01-01', at=NOW - timedelta(days=1))
        self.work(ProcessInbox)
        self.work(Evaluate)
        self.work_queued()
        self.assertEqual(self.point.live[self.lines[1].username], BLOCKED)

        self.event('invoice.paid', 'C-True')
        self.work(ProcessInbox)
        self.assertEqual(self.enqueue.call_args.kwargs['queue_name'], 'netbox_delinquency.restore')
        self.work_queued()

        self.assertEqual(self.point.live[self.lines[1].username], NORMAL)
        restore = EnforcementRun.objects.get(kind=RunKindChoices.RESTORE)
        self.assertEqual((restore.status, restore.approver), (RunStatusChoices.COMPLETED, None))
        self.assertEqual(AccessLine.objects.get(pk=self.lines[1].pk).observed, NORMAL)

    def test_a_flood_of_events_is_one_job_in_the_queue_not_thousands_before_a_payment(self):
        def entry(status):
            return [status and mock.Mock(get_status=lambda refresh: status, last_heartbeat=None)]

        with mock.patch('netbox_delinquency.jobs.lost.RQJob.fetch_many') as entries:
            first = enqueue_inbox()
            entries.return_value = entry(JobStatus.QUEUED)
            self.assertEqual([enqueue_inbox().pk for _ in range(3)], [first.pk] * 3)
            entries.return_value = entry(JobStatus.STARTED)
            second = enqueue_inbox()
            self.assertNotEqual(second.pk, first.pk, 'who has taken it may be dead, or have looked already')
            Job.objects.filter(pk=first.pk).update(created=NOW - timedelta(hours=1))
            entries.return_value = entry(None)
            self.assertNotIn(enqueue_inbox().pk, (first.pk, second.pk), 'what Redis lost is not waited for')
        self.assertEqual(Job.objects.get(pk=first.pk).status, 'errored')

    def test_lines_come_back_before_the_rest_of_a_long_inbox(self):
        self.event('invoice.overdue', 'C-True', due_date='2026-01-01', at=NOW - timedelta(days=1))
        self.work(ProcessInbox)
        self.work(Evaluate)
        self.work_queued()
        self.event('invoice.paid', 'C-True')
        for number in range(3):
            self.event('invoice.overdue', f'C-nobody-{number}', due_date='2026-01-01')
        waiting = BillingEvent.objects.filter(status='received')
        with mock.patch('netbox_delinquency.billing.ingest.BATCH', 1):
            self.work(ProcessInbox)
            self.assertEqual((len(self.queued()), waiting.count()), (1, 3))
            self.assertEqual(ProcessInbox.get_jobs().filter(status='pending').count(), 1, 'it goes on after that')
            self.work(ProcessInbox)
        self.assertEqual(waiting.count(), 0)

    def test_a_restore_of_a_line_in_a_slow_batch_is_not_dropped_but_comes_again(self):
        self.owe()
        self.work(Evaluate)
        self.work_queued()
        self.event('invoice.paid', 'C-True')
        self.work(ProcessInbox)
        held = mock.patch.object(
            DatabaseJournal, '_held_by_others', lambda journal, rows, now: {row.line_id for row in rows}
        )
        with held, mock.patch('netbox_delinquency.runs.worker.PATIENCE_SECONDS', 0):
            self.work_queued()
        restore = EnforcementRun.objects.get(kind=RunKindChoices.RESTORE)
        self.assertEqual((restore.status, restore.outcomes()), (RunStatusChoices.RUNNING, {'': 1}))
        self.assertEqual(self.queued(), [restore.pk])
        wait = self.enqueue.call_args.kwargs['schedule_at'] - datetime.now(tz=UTC)
        self.assertTrue(timedelta(seconds=10) < wait < timedelta(seconds=20), wait)
        self.assertIn('another run is changing lines of bras-', restore.stop_reason)
        self.work_queued()
        self.assertEqual(self.point.live[self.lines[1].username], NORMAL)
        restore.refresh_from_db()
        self.assertEqual((restore.status, restore.stop_reason), (RunStatusChoices.COMPLETED, ''))

    def test_a_worker_lets_go_of_a_busy_line_in_seconds_and_who_waits_for_the_point_is_queued_at_once(self):
        AccessLine.objects.update(observed_mode='blocked', observed_at=NOW)
        restrict_all()
        runs = [plan_runs(unplanned_lines().filter(pk=line.pk), NOW)[0] for line in self.lines]
        for run in runs:
            start_run(run.pk)
        self.enqueue.reset_mock()
        busy, other = runs
        held = mock.patch.object(
            DatabaseJournal, '_held_by_others', lambda journal, rows, now: {row.line_id for row in rows}
        )
        with held, mock.patch('nornir_tasks.engine.tasks.BUSY_PAUSE', 1.0):
            started = datetime.now(tz=UTC)
            self.work(ProcessPoint, run=busy.pk, point=self.lines[0].bras_id)
        self.assertLess(datetime.now(tz=UTC) - started, timedelta(seconds=10))
        later = {call.kwargs['run']: bool(call.kwargs['schedule_at']) for call in self.enqueue.call_args_list}
        self.assertEqual(later, {busy.pk: True, other.pk: False})
        self.assertEqual(self.queued(), [other.pk, busy.pk])

    def test_a_run_whose_lines_stay_busy_does_not_keep_a_newer_one_from_the_point(self):
        """Two workers, one point: who ends there queues both, and the other worker's job finds the point taken."""
        AccessLine.objects.update(observed_mode='blocked', observed_at=NOW)
        restrict_all()
        older, newer = (plan_runs(unplanned_lines().filter(pk=line.pk), NOW)[0] for line in self.lines)
        for run in (older, newer):
            start_run(run.pk)
        point = self.lines[0].bras_id
        self.assertEqual(waiting_runs(point, ['restore']), [older, newer])
        held = mock.patch.object(
            DatabaseJournal, '_held_by_others', lambda journal, rows, now: {row.line_id for row in rows}
        )
        with held, mock.patch('netbox_delinquency.runs.worker.PATIENCE_SECONDS', 0):
            for had, turns in ((older, [newer, older]), (newer, [older, newer]), (older, [newer, older])):
                process_point(had.pk, point)
                self.assertEqual(waiting_runs(point, ['restore']), turns)

    def test_a_point_no_longer_busy_says_nothing_of_it_while_its_run_goes_on_elsewhere(self):
        elsewhere = make_line(contract=self.contracts[1], bras=make_point(name='bras-other'))
        self.point.add(elsewhere.username, BLOCKED)
        AccessLine.objects.update(observed_mode='blocked', observed_at=NOW)
        restrict_all()
        lines = AccessLine.objects.filter(pk__in=[self.lines[0].pk, elsewhere.pk])
        (restore,) = plan_runs(lines, NOW)
        start_run(restore.pk)
        held = mock.patch.object(
            DatabaseJournal, '_held_by_others', lambda journal, rows, now: {row.line_id for row in rows}
        )
        with held, mock.patch('netbox_delinquency.runs.worker.PATIENCE_SECONDS', 0):
            self.assertTrue(process_point(restore.pk, self.lines[0].bras_id).busy)
        self.assertIn('another run is changing lines', progress(self.fresh(restore), NOW).stop_reason)
        self.assertFalse(process_point(restore.pk, self.lines[0].bras_id).busy)
        restore = self.fresh(restore)
        self.assertEqual((restore.status, restore.stop_reason), (RunStatusChoices.RUNNING, ''))

    def fresh(self, run):
        return EnforcementRun.objects.get(pk=run.pk)

    def test_a_run_with_a_wrong_row_fails_its_job_and_names_the_counts(self):
        self.owe()
        self.work(Evaluate)
        self.point.lies_about = {self.lines[1].username}
        with self.assertLogs('netbox.jobs.ProcessPoint') as log, self.assertRaises(JobFailed):
            self.work_queued()
        self.assertIn('1 failed', log.output[-1])
        self.assertEqual(EnforcementRun.objects.get(status=RunStatusChoices.FAILED).outcomes(), {'failed': 1})

    def test_a_run_that_may_not_start_fails_its_job_with_the_sentence(self):
        run = EnforcementRun.objects.create(name='not approved')
        with self.assertLogs('netbox.jobs.ExecuteRun') as log, self.assertRaises(JobFailed):
            self.work(ExecuteRun, run=run.pk)
        self.assertIn('only an approved one can be started', log.output[-1])
        with self.assertRaises(RunRefusedError):
            enqueue_run(run)

    def test_housekeeping_takes_up_what_was_left_behind_and_nothing_else(self):
        self.owe()
        self.work(Evaluate)
        run = EnforcementRun.objects.get(status=RunStatusChoices.RUNNING)
        self.event('invoice.paid', 'C-True')
        with (
            mock.patch('netbox_delinquency.jobs.inbox.ProcessInbox.enqueue') as inbox,
            mock.patch('netbox_delinquency.jobs.recovery.waiting_points', return_value=[]) as waiting,
        ):
            self.enqueue.reset_mock()
            self.work(Housekeeping)
            inbox.assert_not_called()
            self.assertEqual(self.queued(), [])

            BillingEvent.objects.update(received_at=NOW - timedelta(minutes=2))
            waiting.side_effect = waiting_points
            self.work(Housekeeping)
            inbox.assert_called_once()
            self.assertEqual(self.queued(), [run.pk])

            self.enqueue.reset_mock()
            run.advance(executor='runbook of engineer', heartbeat_at=datetime.now(tz=UTC))
            self.work(Housekeeping)
            self.assertEqual(self.queued(), [])
            run.advance(heartbeat_at=datetime.now(tz=UTC) - DEAD_AFTER * 2)
            self.work(Housekeeping)
            self.assertEqual(self.queued(), [run.pk], 'a runbook that fell silent')

    def test_housekeeping_begins_what_the_engine_approved_and_no_queue_took(self):
        AccessLine.objects.update(observed_mode='blocked', observed_at=NOW)
        restrict_all()
        (restore,) = plan_runs(unplanned_lines(), datetime.now(tz=UTC))
        self.work(Housekeeping)
        self.assertEqual(self.queued(), [])
        EnforcementRun.objects.update(approved_at=NOW - timedelta(minutes=2))
        self.work(Housekeeping)
        self.assertEqual(set(self.queued()), {restore.pk})

    def test_a_run_that_a_person_planned_waits_for_that_person(self):
        AccessLine.objects.update(observed_mode='blocked', observed_at=NOW)
        restrict_all()
        plan_runs(unplanned_lines(), NOW, author=User.objects.create_user('engineer'))
        EnforcementRun.objects.update(approved_at=NOW - timedelta(minutes=2))
        self.work(Housekeeping)
        self.assertEqual(self.queued(), [])

    def test_a_plan_that_nobody_starts_holds_no_restore_up(self):
        AccessLine.objects.update(observed_mode='blocked', observed_at=NOW)
        restrict_all()
        (mine,) = plan_runs(unplanned_lines(), NOW, author=User.objects.create_user('engineer'))
        self.work(Evaluate)
        restore = EnforcementRun.objects.exclude(pk=mine.pk).get()
        self.assertEqual((restore.kind, restore.status), (RunKindChoices.RESTORE, RunStatusChoices.RUNNING))
        self.work(Evaluate)
        self.assertEqual(EnforcementRun.objects.count(), 2)

    def test_a_payment_in_the_inbox_comes_before_any_debt(self):
        self.owe()
        self.event('invoice.paid', 'C-True')
        self.work(Evaluate)
        self.assertFalse(BillingEvent.objects.filter(status='received').exists())
        self.assertIsNone(AccessLine.objects.get(contract__external_id='C-True').contract.stage)

    def test_restores_and_blocks_go_to_queues_of_their_own(self):
        self.owe()
        self.work(Evaluate)
        self.assertEqual(self.enqueue.call_args.kwargs['queue_name'], 'netbox_delinquency.enforce')
        AccessLine.objects.filter(pk=self.lines[0].pk).update(
            intended_mode='normal', observed_mode='blocked', observed_at=NOW
        )
        restrict_all()
        (restore,) = plan_runs(unplanned_lines().filter(pk=self.lines[0].pk), NOW)
        start_run(restore.pk)
        self.assertEqual(self.enqueue.call_args.kwargs['queue_name'], 'netbox_delinquency.restore')
