"""Waves, breaker, caps, the kill switch, pausing, cancelling: what opens a wave, and what keeps it closed."""

from contextlib import contextmanager
from datetime import timedelta
from unittest import mock

from core.models import Job, ObjectType
from django.db import connection
from django.test import TestCase
from django.utils import timezone
from extras.models import Notification
from users.models import User

from netbox_delinquency.choices import RunStatusChoices
from netbox_delinquency.errors import RunRefusedError
from netbox_delinquency.jobs.recovery import recover
from netbox_delinquency.jobs.retention import purge
from netbox_delinquency.jobs.runs import enqueue_points, release_run
from netbox_delinquency.models import (
    AccessLine,
    EnforcementChange,
    EnforcementPoint,
    EnforcementRun,
    EnforcementSettings,
)
from netbox_delinquency.models.state import state_fields
from netbox_delinquency.reasons import Reason, ReasonCode
from netbox_delinquency.runs.approval import approve_run
from netbox_delinquency.runs.journal import DatabaseJournal
from netbox_delinquency.runs.lifecycle import advance_run, begin_run, cancel_run, pause_run, resume_run, waiting_points
from netbox_delinquency.runs.locks import ENFORCE, LOCK_CLASSES, RESTORE, hold_point
from netbox_delinquency.runs.plan import make_run, plan_row, plan_runs, unplanned_lines
from netbox_delinquency.runs.progress import progress
from netbox_delinquency.runs.worker import probe_points, process_point
from nornir_tasks.change import AccessState, Reading
from nornir_tasks.engine.breaker import Health
from tests.simulators.memory import MemoryPoint

from .engine import execute_run
from .factories import intend, make_contract, make_line, make_point, make_policy, make_source, restrict

NORMAL, BLOCKED = AccessState.normal(), AccessState.blocked()
THROTTLED = AccessState.throttled(1000, 500)
NAMES = 'abcdef'


@contextmanager
def held_elsewhere(point, queue):
    """Another worker's session holds the point."""
    other = connection.copy()
    try:
        with other.cursor() as cursor:
            cursor.execute('SELECT pg_try_advisory_lock(%s, %s)', [LOCK_CLASSES[queue], point.pk])
            assert cursor.fetchone()[0]
            yield
    finally:
        other.close()


class LifecycleTestCase(TestCase):
    """Three lines at each of two points: waves of 1, 2 and 3 rows."""

    @classmethod
    def setUpTestData(cls):
        cls.settings = EnforcementSettings(waves='1, 2, rest', soak_seconds=60)
        cls.settings.save()
        policy, source = make_policy(), make_source()
        cls.points = [make_point(name=f'bras-{number}') for number in (1, 2)]
        cls.lines = {
            name: make_line(
                username=name, bras=cls.points[number % 2], contract=make_contract(policy=policy, source=source),
            )
            for number, name in enumerate(NAMES)
        }  # fmt: skip
        cls.user = User.objects.create_user('engineer')

    def setUp(self):
        self.box = {point.name: MemoryPoint() for point in self.points}
        for line in self.lines.values():
            self.box[line.bras.name].add(line.username)
        patcher = mock.patch(
            'nornir_tasks.engine.tasks.open_driver', side_effect=lambda task: self.box[task.host.name].driver()
        )
        patcher.start()
        self.addCleanup(patcher.stop)
        self.now = timezone.now()

    # Helpers

    def set(self, **values):
        EnforcementSettings.objects.update(**values)

    def intend(self, state, names=NAMES):
        for name in names:
            line = AccessLine.objects.get(pk=self.lines[name].pk)
            intend(line, state)

    def observe(self, state, names=NAMES):
        for name in names:
            line = AccessLine.objects.get(pk=self.lines[name].pk)
            line.observe('bras', state, self.now)
            line.save(update_fields=[*state_fields('observed'), 'observed_at', 'unverified'])
            if state != NORMAL:
                restrict(line, taken_at=self.now)
            self.box[line.bras.name].stored[name] = self.box[line.bras.name].live[name] = state

    def approved(self, state=BLOCKED, names=NAMES):
        self.intend(state, names)
        (run,) = plan_runs(unplanned_lines(), self.now, author=self.user)
        if run.status == RunStatusChoices.PLANNED:
            approve_run(run, run.plan_hash, self.now, approver=self.user)
        return run

    def begun(self, *args, **kwargs):
        return begin_run(self.approved(*args, **kwargs).pk, self.now)

    def step(self, run, steps):
        for point in steps.points:
            process_point(run.pk, point)
        return advance_run(run.pk, steps.again_at or timezone.now(), probed=True)

    def first_wave(self, run):
        """Begin, and work the first wave off; what follows it."""
        return self.step(run, advance_run(run.pk, self.now))

    def row(self, run, name):
        return run.changes.get(line=self.lines[name])

    def closed(self, run):
        return run.changes.exclude(outcome='').count()

    def blocked(self):
        return {name for box in self.box.values() for name, state in box.live.items() if state == BLOCKED}

    def assert_status(self, run, status, reason=''):
        run.refresh_from_db()
        self.assertEqual(run.status, status)
        self.assertIn(reason, run.stop_reason)

    # Waves

    def test_waves_are_opened_one_after_the_other_each_once_the_last_has_soaked(self):
        run = self.begun()
        steps = advance_run(run.pk, self.now)
        self.assertEqual(len(steps.points), 1)
        self.assertEqual(advance_run(run.pk, self.now).points, (), 'who asks second does nothing')
        process_point(run.pk, steps.points[0])
        self.assertEqual(self.closed(run), 1)

        done_at = timezone.now()
        steps = advance_run(run.pk, done_at)
        self.assertEqual((steps.points, steps.again_at), ((), done_at + timedelta(seconds=60)))
        run.refresh_from_db()
        self.assertEqual((run.wave, run.wave_done_at), (1, done_at))
        early = advance_run(run.pk, done_at + timedelta(seconds=59), probed=True)
        self.assertEqual((early.points, early.again_at), ((), done_at + timedelta(seconds=60)))
        unwatched = advance_run(run.pk, done_at + timedelta(seconds=61))
        self.assertEqual(unwatched.points, (), 'the points were not probed since')
        steps = advance_run(run.pk, done_at + timedelta(seconds=61), probed=True)
        self.assertEqual(len(steps.points), 2)
        self.step(run, steps)
        self.assertEqual(self.closed(run), 3)

    def test_without_soaking_the_next_wave_follows_at_once(self):
        self.set(soak_seconds=0)
        run = self.begun()
        steps = self.first_wave(run)
        self.assertTrue(steps.points)
        run = execute_run(run.pk)
        self.assertEqual((run.status, run.wave), (RunStatusChoices.COMPLETED, 3))
        self.assertEqual(self.blocked(), set(NAMES))

    def test_a_restore_has_no_waves_and_nothing_holds_it(self):
        self.observe(BLOCKED)
        self.set(stopped=True, stop_reason='storm', max_rows_per_hour=1, deadline_minutes=1)
        run = execute_run(self.approved(NORMAL).pk)
        self.assertEqual((run.status, run.wave, run.outcomes()), (RunStatusChoices.COMPLETED, 1, {'applied': 6}))
        self.assertEqual(self.blocked(), set())

    def test_a_point_that_another_worker_holds_is_left_to_it_and_lanes_do_not_wait_for_each_other(self):
        run = self.begun(names='cd')
        steps = advance_run(run.pk, self.now)
        self.observe(BLOCKED, 'ab')
        (restore,) = plan_runs(unplanned_lines(), self.now)
        point = EnforcementPoint.objects.get(pk=steps.points[0])
        with held_elsewhere(point, ENFORCE):
            self.assertTrue(process_point(run.pk, point.pk).taken)
            self.assertEqual(waiting_points(EnforcementRun.objects.get(pk=run.pk)), [])
            begin_run(restore.pk, self.now)
            self.assertEqual(set(advance_run(restore.pk, self.now).points), {each.pk for each in self.points})
            self.assertEqual(sum(process_point(restore.pk, point.pk).outcomes.values()), 1)
        run.refresh_from_db()
        self.assertEqual(waiting_points(run), [point.pk])

    def test_a_point_that_is_come_back_to_later_is_not_queued_twice(self):
        run, later = self.begun(names='a'), self.now + timedelta(seconds=15)
        enqueue_points(run, [self.points[0].pk], schedule_at=later)
        enqueue_points(run, [self.points[0].pk])
        job = Job.objects.get(object_id=run.pk)
        self.assertEqual((job.status, job.scheduled), ('scheduled', later))

    # The breaker

    def test_a_first_wave_that_goes_wrong_altogether_pauses_the_run_and_is_seen_by_who_started_it(self):
        Job.objects.create(
            name='Enforcement run', job_id='00000000-0000-0000-0000-000000000001', user=self.user,
            object_type=ObjectType.objects.get_for_model(EnforcementRun),
            object_id=(run := self.begun()).pk,
        )  # fmt: skip
        for box in self.box.values():
            box.lies_about = set(NAMES)
        self.first_wave(run)
        self.assert_status(run, RunStatusChoices.PAUSED, 'the whole first wave went wrong: 1 of 1 rows')
        self.assertEqual((self.closed(run), self.blocked()), (1, set()))
        notified = Notification.objects.get(user=self.user)
        self.assertEqual((notified.object, notified.event_type), (run, 'run.paused'))

        for box in self.box.values():
            box.lies_about = set()
        resume_run(run, timezone.now())
        run = execute_run(run.pk)
        self.assertEqual(run.status, RunStatusChoices.FAILED, 'its first row was not right')
        self.assertEqual(run.outcomes(), {'failed': 1, 'applied': 5})

    def test_a_share_of_failures_pauses_a_run_in_the_middle_of_a_wave(self):
        self.set(waves='rest', min_rows=2, max_failed_percent=40)
        EnforcementPoint.objects.update(batch_size=1)
        run = self.begun()
        self.box['bras-1'].refuses = {'c'}
        advance_run(run.pk, self.now)
        process_point(run.pk, self.points[0].pk)
        self.assert_status(run, RunStatusChoices.PAUSED, 'went wrong: 1 of 2')
        self.assertEqual(self.blocked(), {'a'})
        self.assertEqual(process_point(run.pk, self.points[1].pk).stop_reason, f'paused: {run.stop_reason}')
        self.assertEqual(self.blocked(), {'a'}, 'the other point is held too')

    def test_sessions_that_were_lost_beside_the_run_pause_it_and_those_it_ended_do_not(self):
        self.set(soak_seconds=60)
        for number in range(94):
            self.box['bras-1'].add(f'neighbour{number}')
            self.box['bras-2'].add(f'neighbour{number}')
        run = self.begun()
        steps = advance_run(run.pk, self.now)
        process_point(run.pk, steps.points[0])
        (known,) = run.points.all()
        self.assertEqual((known.sessions_before, known.sessions_now), (97, 97))
        steps = advance_run(run.pk, timezone.now())
        box = self.box[known.point.name]
        for number in range(6):
            box.live[f'neighbour{number}'] = None
        probe_points(run)
        self.assertEqual(advance_run(run.pk, steps.again_at, probed=True).points, ())
        self.assert_status(
            run, RunStatusChoices.PAUSED, f'{known.point} lost sessions that the run did not end: 6 of 97'
        )

        resume_run(run, timezone.now())
        probe_points(run)
        advance_run(run.pk, timezone.now() + timedelta(minutes=5), probed=True)
        run.refresh_from_db()
        self.assertEqual(run.status, RunStatusChoices.RUNNING, 'what is lost by now is what is measured from')

    def test_sessions_that_a_block_ended_are_no_collateral(self):
        self.set(waves='rest')
        run = self.begun()
        now = timezone.now()
        journal = DatabaseJournal(run)
        journal.health('bras-1', Health(10, 0.1))
        run.changes.filter(point=self.points[0]).update(
            sent_at=now, outcome='applied', finished_at=now,
            before={'stored': None, 'live': BLOCKED.as_dict(), 'detail': {}, 'error': ''},
            after={'stored': BLOCKED.as_dict(), 'live': None, 'detail': {}, 'error': ''},
        )  # fmt: skip
        journal.health('bras-1', Health(4, 0.1))
        keys = [str(pk) for pk in run.changes.filter(outcome='').values_list('pk', flat=True)]
        self.assertEqual(journal.claim_rows(keys).stop_reason, '')
        journal.health('bras-1', Health(1, 0.1))
        self.assertIn('lost sessions', journal.claim_rows(keys).stop_reason)

    def test_refusals_and_a_slow_point_pause_it(self):
        self.set(waves='rest', min_rows=1, max_failed_percent=100, max_refused_percent=20)
        run = self.begun()
        self.box['bras-1'].refuses = {'a'}
        advance_run(run.pk, self.now)
        process_point(run.pk, self.points[0].pk)
        self.assertEqual(run.changes.filter(refused=True).count(), 1)
        self.assertIn(
            'refused by their points: 1 of 3', process_point(run.pk, self.points[1].pk).stop_reason or self.reason(run)
        )

    def reason(self, run):
        run.refresh_from_db()
        return run.stop_reason

    # Stop conditions

    def test_the_kill_switch_holds_what_takes_access_and_lets_it_go_on_by_itself(self):
        run = self.begun()
        steps = advance_run(run.pk, self.now)
        self.set(stopped=True, stop_reason='storm')
        self.assertEqual(process_point(run.pk, steps.points[0]).stop_reason, 'enforcement is stopped: storm')
        self.assert_status(run, RunStatusChoices.RUNNING, 'enforcement is stopped: storm')
        self.assertEqual(self.blocked(), set())
        with mock.patch('netbox_delinquency.jobs.runs.ProcessPoint.enqueue') as enqueue, self.no_redis():
            recover(timezone.now())
            enqueue.assert_not_called()
            self.set(stopped=False, stop_reason='')
            recover(timezone.now())
        self.assertEqual(enqueue.call_args.kwargs['point'], steps.points[0])
        run = execute_run(run.pk)
        self.assertEqual((run.status, run.stop_reason), (RunStatusChoices.COMPLETED, ''))

    def test_the_kill_switch_is_asked_between_two_rows(self):
        self.set(waves='rest')
        run = self.begun()
        advance_run(run.pk, self.now)
        self.box['bras-1'].after_row = lambda name: self.set(stopped=True, stop_reason='storm')
        with mock.patch('nornir_tasks.engine.tasks.ASK_SECONDS', 0):
            process_point(run.pk, self.points[0].pk)
        self.assertEqual(self.blocked(), {'a'})
        rows = run.changes.filter(point=self.points[0]).order_by('line_id')
        self.assertEqual(
            [(row.outcome, bool(row.sent_at), bool(row.claimed_at)) for row in rows],
            [('applied', True, True), ('', False, False), ('', False, False)],
        )

    def test_a_cap_an_hour_lets_through_as_many_as_it_says_and_the_run_waits_for_the_rest(self):
        self.set(waves='rest', max_rows_per_hour=4)
        run = self.begun()
        advance_run(run.pk, self.now)
        for point in self.points:
            process_point(run.pk, point.pk)
        self.assertEqual(len(self.blocked()), 4)
        self.assertIn('the cap of 4 rows an hour is reached', process_point(run.pk, self.points[1].pk).stop_reason)
        self.assert_status(run, RunStatusChoices.RUNNING, 'goes on as the hour moves on')
        with mock.patch('netbox_delinquency.jobs.runs.ProcessPoint.enqueue') as enqueue, self.no_redis():
            recover(timezone.now())
            enqueue.assert_not_called()
            EnforcementChange.objects.exclude(sent_at=None).update(sent_at=timezone.now() - timedelta(minutes=61))
            recover(timezone.now())
            enqueue.assert_called_once()
        self.assertEqual(execute_run(run.pk).status, RunStatusChoices.COMPLETED)

    def test_a_point_has_a_cap_of_its_own(self):
        self.set(waves='rest')
        EnforcementPoint.objects.filter(pk=self.points[0].pk).update(max_rows_per_hour=1)
        run = self.begun()
        advance_run(run.pk, self.now)
        for point in self.points:
            process_point(run.pk, point.pk)
        self.assertEqual(len(self.blocked()), 4)
        self.assertIn('the cap of bras-1 of 1 rows an hour', process_point(run.pk, self.points[0].pk).stop_reason)

    def test_a_run_that_takes_too_long_is_paused_and_a_person_may_go_on(self):
        self.set(waves='rest', deadline_minutes=30)
        run = self.begun()
        advance_run(run.pk, self.now)
        EnforcementRun.objects.filter(pk=run.pk).update(resumed_at=self.now - timedelta(minutes=31))
        process_point(run.pk, self.points[0].pk)
        self.assert_status(run, RunStatusChoices.PAUSED, 'longer than its deadline of 30 minutes')
        self.assertEqual(self.blocked(), set())
        resume_run(run, timezone.now())
        self.assertEqual(execute_run(run.pk).status, RunStatusChoices.COMPLETED)

    def test_a_runbook_goes_on_with_a_paused_run_once_no_worker_has_rows_of_it_in_hand(self):
        run = self.begun()
        advance_run(run.pk, self.now)
        pause_run(run, 'look', self.now)
        point = run.changes.filter(wave=1).get().point_id
        run.changes.filter(wave=1).update(claimed_at=self.now)
        with (
            mock.patch('netbox_delinquency.runs.lifecycle.held_points', return_value={point}),
            self.assertRaisesMessage(RunRefusedError, 'a worker is still at bras-'),
        ):
            resume_run(run, timezone.now(), 'runbook of engineer')
        resume_run(run, timezone.now(), 'runbook of engineer')
        self.assertIn('being worked on by runbook of engineer', process_point(run.pk, point).stop_reason)
        keys = [str(pk) for pk in run.changes.values_list('pk', flat=True)]
        self.assertIn('being worked on by runbook of engineer', DatabaseJournal(run).claim_rows(keys).stop_reason)
        self.assertEqual(self.blocked(), set())

    def test_a_restore_that_its_runbook_leaves_is_the_workers_at_once(self):
        self.observe(BLOCKED, 'ab')
        run = self.approved(NORMAL, 'ab')
        run = begin_run(run.pk, self.now, 'runbook of engineer')
        self.assertEqual(waiting_points(run), [])
        with mock.patch('netbox_delinquency.jobs.runs.ProcessPoint.enqueue') as enqueue:
            run = release_run(run, 'it was cancelled', timezone.now())
        self.assertEqual((run.status, run.executor), (RunStatusChoices.RUNNING, ''))
        queued = {call.kwargs['point'] for call in enqueue.call_args_list}
        self.assertEqual(queued, {point.pk for point in self.points})
        for point in queued:
            process_point(run.pk, point)
        self.assertEqual(self.blocked(), set())

    def test_only_what_runs_is_paused_and_only_what_is_paused_resumed(self):
        run = self.approved()
        with self.assertRaisesMessage(RunRefusedError, 'only a running one'):
            pause_run(run, 'no', self.now)
        begin_run(run.pk, self.now)
        with self.assertRaisesMessage(RunRefusedError, 'only a paused one'):
            resume_run(run, self.now)
        pause_run(run, 'the phones ring', self.now)
        pause_run(run, 'again', self.now)
        self.assert_status(run, RunStatusChoices.PAUSED, 'the phones ring')

    # Cancelling

    def test_a_cancelled_run_sends_nothing_more_and_closes_what_was_not_sent(self):
        self.set(waves='rest')
        EnforcementPoint.objects.update(batch_size=1)
        run = self.begun()
        advance_run(run.pk, self.now)
        self.box['bras-1'].after_row = lambda name: cancel_run(run, timezone.now())
        process_point(run.pk, self.points[0].pk)
        self.assertEqual(self.blocked(), {'a'})
        self.assertEqual(self.row(run, 'a').outcome, 'applied', 'what was under way was read back')
        self.assertEqual(run.outcomes(), {'applied': 1, 'skipped': 5})
        self.assert_status(run, RunStatusChoices.CANCELLED)
        self.assertEqual(waiting_points(run), [])
        with self.assertRaisesMessage(RunRefusedError, 'can no longer be cancelled'):
            cancel_run(run, self.now)

    def test_what_a_dead_worker_had_sent_for_a_cancelled_run_is_read_back(self):
        self.set(waves='rest')
        run = self.begun()
        advance_run(run.pk, self.now)
        names = ['a', 'c']
        keys = {str(self.row(run, name).pk): name for name in names}
        journal = DatabaseJournal(run)
        journal.claim_rows(list(keys))
        reading = Reading(NORMAL, NORMAL)
        journal.send_rows(dict.fromkeys(keys, reading))
        self.box['bras-1'].stored['a'] = self.box['bras-1'].live['a'] = BLOCKED
        cancel_run(run, timezone.now())
        self.assertEqual(waiting_points(run), [self.points[0].pk])
        process_point(run.pk, self.points[0].pk)
        self.assertEqual(self.row(run, 'a').outcome, 'applied')
        self.assertEqual(
            (self.row(run, 'c').outcome, self.row(run, 'c').message),
            ('skipped', 'cancelled: the line is as it was before'),
        )
        self.assertEqual(self.box['bras-1'].sent, [])
        self.assertFalse(AccessLine.objects.filter(unverified=True).exists())

    # Claims

    def test_the_claim_of_a_killed_worker_holds_up_no_restore_and_that_of_a_living_one_does(self):
        self.set(waves='rest')
        run = self.begun(names='a')
        advance_run(run.pk, self.now)
        key = str(self.row(run, 'a').pk)
        DatabaseJournal(run).claim_rows([key])
        reading = Reading(NORMAL, NORMAL)
        DatabaseJournal(run).send_rows({key: reading})
        self.intend(NORMAL, 'a')
        (restore,) = plan_runs(unplanned_lines(), self.now)
        restore = begin_run(restore.pk, self.now)
        keys = [str(restore.changes.get().pk)]
        with held_elsewhere(self.points[0], ENFORCE):
            self.assertEqual(DatabaseJournal(restore).claim_rows(keys).busy, set(keys))
        with held_elsewhere(self.points[0], RESTORE):
            self.assertEqual(DatabaseJournal(restore).claim_rows(keys).busy, frozenset())

    def test_whoever_takes_a_point_gives_back_what_the_dead_had_claimed_there(self):
        self.set(waves='rest')
        run = self.begun(names='a')
        advance_run(run.pk, self.now)
        DatabaseJournal(run).claim_rows([str(self.row(run, 'a').pk)])
        other = self.begun(names='c')
        advance_run(other.pk, self.now)
        process_point(other.pk, self.points[0].pk)
        self.assertIsNone(self.row(run, 'a').claimed_at)

    def test_a_worker_holds_its_point_against_others_and_gives_it_back(self):
        with hold_point(self.points[0].pk, ENFORCE) as mine:
            self.assertTrue(mine)
            other = connection.copy()
            with other.cursor() as cursor:
                cursor.execute('SELECT pg_try_advisory_lock(%s, %s)', [LOCK_CLASSES[ENFORCE], self.points[0].pk])
                self.assertFalse(cursor.fetchone()[0])
            other.close()
        with held_elsewhere(self.points[0], ENFORCE), hold_point(self.points[0].pk, ENFORCE) as mine:
            self.assertFalse(mine)

    # Facts

    def revert(self, state, name='a', exact=None):
        line = AccessLine.objects.select_related('contract', 'bras').get(pk=self.lines[name].pk)
        row = plan_row(line, 'bras', state, 'revert')
        row.exact = exact
        run = make_run([row], 'enforce', 'revert', reverts=EnforcementRun.objects.create(name='reverted'))
        approve_run(run, run.plan_hash, self.now, approver=self.user)
        return execute_run(run.pk).changes.get()

    def test_a_revert_is_not_bound_to_policy_but_never_more_restrictive_than_it_and_pins_its_line(self):
        self.observe(BLOCKED, 'a')
        self.intend(BLOCKED, 'a')
        row = self.revert(NORMAL)
        self.assertEqual((row.outcome, row.message), ('applied', ''))
        line = AccessLine.objects.get(pk=self.lines['a'].pk)
        self.assertEqual((line.observed, line.pinned), (NORMAL, True))
        self.assertFalse(unplanned_lines().exists())
        self.intend(NORMAL, 'c')
        row = self.revert(BLOCKED, 'c')
        self.assertEqual(row.outcome, 'skipped')
        self.assertIn('never takes more than policy does', row.message)

    def test_a_line_that_was_pinned_after_the_approval_is_left_alone(self):
        run = self.approved(names='a')
        AccessLine.objects.filter(pk=self.lines['a'].pk).update(pinned=True)
        row = execute_run(run.pk).changes.get()
        self.assertEqual(row.outcome, 'skipped')
        self.assertEqual((row.message_code, row.message), ('pinned', str(Reason.of(ReasonCode.PINNED))))

    # Progress

    def test_progress_says_how_far_it_is_by_wave_and_outcome(self):
        run = self.begun()
        self.assertEqual(progress(run, self.now).eta_s, None)
        self.first_wave(run)
        run.refresh_from_db()
        now = progress(run, timezone.now() + timedelta(seconds=10))
        self.assertEqual((now.wave, now.waves, now.rows, now.done, now.outcomes), (1, 3, 6, 1, {'applied': 1}))
        self.assertEqual([(wave.rows, wave.done) for wave in now.by_wave], [(1, 1), (2, 0), (3, 0)])
        self.assertAlmostEqual(now.rate_per_s, 0.1, delta=0.06)
        self.assertGreater(now.eta_s, 20)

    def test_a_run_is_forgotten_with_all_the_engine_knew_of_it(self):
        run = execute_run(self.approved().pk)
        self.assertTrue(run.points.exists())
        counts = purge(timezone.now() + timedelta(days=2000), 180, 1826)
        self.assertEqual((counts['EnforcementRun'], counts['RunPoint'], counts['EnforcementChange']), (1, 2, 6))

    @contextmanager
    def no_redis(self):
        with mock.patch('netbox_delinquency.jobs.recovery.ensure_system_jobs', return_value=[]):
            yield
