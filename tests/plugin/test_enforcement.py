"""Plan, approve, execute, resume: what is written, what is sent, and what must never be."""

from datetime import UTC, datetime, timedelta
from unittest import mock

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.test import TestCase
from users.models import User

from netbox_delinquency.choices import RunKindChoices, RunStatusChoices
from netbox_delinquency.errors import RunRefusedError
from netbox_delinquency.models import (
    AccessLine,
    BillingSource,
    Contract,
    EnforcementChange,
    EnforcementRun,
    EnforcementSettings,
)
from netbox_delinquency.models.state import set_state, state_fields
from netbox_delinquency.runs.approval import approve_run, plan_hash
from netbox_delinquency.runs.journal import DatabaseJournal
from netbox_delinquency.runs.lifecycle import DEAD_AFTER, begin_run, cancel_run, is_abandoned
from netbox_delinquency.runs.plan import plan_runs, unplanned_lines
from nornir_tasks.change import AccessState, Outcome
from nornir_tasks.engine.journal import Claim
from nornir_tasks.errors import PointTimeoutError
from tests.simulators.memory import MemoryPoint

from .engine import execute_run
from .factories import intend, make_change, make_contract, make_line, make_point, make_policy, make_source, restrict

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
NORMAL, BLOCKED = AccessState.normal(), AccessState.blocked()
THROTTLED = AccessState.throttled(1000, 500)


def observe(line, state):
    set_state(line, 'observed', state)
    line.observed_at = NOW if state else None
    line.save(update_fields=[*state_fields('observed'), 'observed_at'])
    if state not in (None, NORMAL):
        restrict(line, taken_at=NOW)


class EnforcementTestCase(TestCase):
    @classmethod
    def setUpTestData(cls):
        cls.user = User.objects.create_user('engineer')
        # One wave: what is tried here is a point's work; waves are tried in `test_conduct`.
        EnforcementSettings(waves='rest', soak_seconds=0).save()
        cls.policy = make_policy()
        cls.source = make_source()
        cls.bras = make_point(name='bras-1', batch_size=2)
        cls.lines = [
            make_line(
                username=name,
                bras=cls.bras,
                contract=make_contract(policy=cls.policy, source=cls.source),
            )
            for name in 'abcd'
        ]

    def setUp(self):
        self.point = MemoryPoint()
        for line in self.lines:
            self.point.add(line.username)
        patcher = mock.patch('nornir_tasks.engine.tasks.open_driver', side_effect=lambda task: self.point.driver())
        patcher.start()
        self.addCleanup(patcher.stop)

    def plan(self, state=BLOCKED, lines=None):
        for line in lines or self.lines:
            intend(line, state)
        (run,) = plan_runs(unplanned_lines(), NOW, author=self.user)
        return run

    def approved(self, *args, **kwargs):
        run = self.plan(*args, **kwargs)
        if run.status == RunStatusChoices.PLANNED:
            approve_run(run, run.plan_hash, NOW, approver=self.user)
        return run

    def outcomes(self, run):
        return dict(run.changes.values_list('line__username', 'outcome'))

    # Planning

    def test_a_plan_has_a_row_for_each_drifting_line_and_no_other(self):
        intend(self.lines[0], BLOCKED)
        intend(self.lines[1], BLOCKED)
        observe(self.lines[1], BLOCKED)
        make_line(status='planned', intended_mode='blocked')
        (run,) = plan_runs(AccessLine.objects.all(), NOW)
        row = run.changes.get()
        self.assertEqual((row.line, row.point, row.desired, row.expected), (self.lines[0], self.bras, BLOCKED, None))

    def test_taking_and_giving_access_are_runs_of_their_own_and_only_taking_waits(self):
        intend(self.lines[0], BLOCKED)
        observe(self.lines[1], BLOCKED)
        restore, enforce = plan_runs(unplanned_lines(), NOW)
        self.assertEqual((restore.kind, restore.status), (RunKindChoices.RESTORE, RunStatusChoices.APPROVED))
        self.assertEqual((enforce.kind, enforce.status), (RunKindChoices.ENFORCE, RunStatusChoices.PLANNED))

    def test_a_relaxing_step_is_a_restore(self):
        observe(self.lines[0], BLOCKED)
        (run,) = [self.plan(THROTTLED, self.lines[:1])]
        self.assertEqual(run.kind, RunKindChoices.RESTORE)

    def test_a_policy_may_approve_by_itself_and_takes_no_other_with_it(self):
        automatic = make_contract(policy=make_policy(auto_approve=True), source=self.source)
        line = make_line(contract=automatic, bras=self.bras)
        intend(line, BLOCKED)
        intend(self.lines[0], BLOCKED)
        runs = {run.status: run.changes.get().line for run in plan_runs(unplanned_lines(), NOW)}
        self.assertEqual(runs, {RunStatusChoices.APPROVED: line, RunStatusChoices.PLANNED: self.lines[0]})

    def test_a_line_is_not_planned_twice_until_policy_wants_something_else(self):
        self.plan(THROTTLED)
        self.assertFalse(unplanned_lines().exists())
        intend(self.lines[0], BLOCKED)
        self.assertEqual(unplanned_lines().get(), self.lines[0])

    # Approval

    def test_approval_is_of_the_rows_that_were_seen(self):
        run = self.plan()
        seen = run.plan_hash
        run.changes.first().delete()
        with self.assertRaisesMessage(RunRefusedError, 'not those of the plan you saw'):
            approve_run(run, seen, NOW, approver=self.user)
        run.refresh_from_db()
        self.assertEqual(run.status, RunStatusChoices.PLANNED)

    def test_rows_changed_behind_an_approval_stop_the_run(self):
        run = self.approved()
        EnforcementChange.objects.filter(pk=run.changes.first().pk).update(desired_mode='normal')
        with self.assertRaisesMessage(RunRefusedError, 'not those that were approved'):
            execute_run(run.pk)
        self.assertEqual(self.point.sent, [])

    def test_an_unapproved_or_cancelled_run_never_starts(self):
        run = self.plan()
        with self.assertRaisesMessage(RunRefusedError, 'only an approved one'):
            execute_run(run.pk)
        cancel_run(run, NOW)
        with self.assertRaisesMessage(RunRefusedError, 'only an approved one'):
            execute_run(run.pk)
        with self.assertRaisesMessage(RunRefusedError, 'only a planned one'):
            approve_run(run, run.plan_hash, NOW)
        self.assertEqual(self.point.sent, [])

    def test_an_empty_run_cannot_be_approved(self):
        run = EnforcementRun.objects.create(name='empty')
        with self.assertRaisesMessage(RunRefusedError, 'has no rows'):
            approve_run(run, plan_hash(run), NOW)

    def test_the_rows_of_an_approved_run_refuse_to_be_edited(self):
        row = self.approved().changes.first()
        with self.assertRaisesMessage(ValidationError, 'no longer change'):
            row.full_clean()

    # Execution

    def test_an_approved_run_changes_the_network_and_what_is_observed(self):
        run = execute_run(self.approved().pk)
        self.assertEqual(run.status, RunStatusChoices.COMPLETED)
        self.assertEqual(self.outcomes(run), dict.fromkeys('abcd', 'applied'))
        self.assertEqual(self.point.live, dict.fromkeys('abcd', BLOCKED))
        for line in AccessLine.objects.filter(pk__in=[line.pk for line in self.lines]):
            self.assertEqual(line.observed, BLOCKED)
            self.assertEqual(line.baseline, {'was': 'normal'})
        row = run.changes.first()
        self.assertEqual(row.before['live'], NORMAL.as_dict())
        self.assertEqual(row.after['live'], BLOCKED.as_dict())

    def test_a_second_run_of_the_same_finds_nothing_to_do(self):
        execute_run(self.approved().pk)
        self.assertFalse(unplanned_lines().exists())

    def test_whoever_paid_after_the_approval_is_skipped(self):
        run = self.approved()
        intend(self.lines[1], NORMAL)
        run = execute_run(run.pk)
        self.assertEqual(self.outcomes(run)['b'], 'skipped')
        self.assertIn('paid', run.changes.get(line=self.lines[1]).message)
        self.assertNotIn('b', dict(self.point.sent))
        self.assertEqual(run.status, RunStatusChoices.COMPLETED)

    def test_nobody_is_cut_on_a_feed_that_fell_silent_but_restores_go_on(self):
        run = self.approved(lines=self.lines[:2])
        observe(self.lines[2], BLOCKED)
        self.point.add('c', BLOCKED)
        (restore,) = plan_runs(unplanned_lines(), NOW)
        BillingSource.objects.filter(pk=self.source.pk).update(
            heartbeat_minutes=5, payments_known_at=datetime.now(tz=UTC) - timedelta(minutes=6)
        )
        self.assertEqual(self.outcomes(execute_run(run.pk)), {'a': 'skipped', 'b': 'skipped'})
        self.assertEqual(self.outcomes(execute_run(restore.pk)), {'c': 'applied'})

    def test_a_retired_line_a_moved_line_and_a_point_in_maintenance_are_not_touched(self):
        run = self.approved()
        AccessLine.objects.filter(pk=self.lines[0].pk).update(status='retired')
        AccessLine.objects.filter(pk=self.lines[1].pk).update(bras=make_point(name='bras-2'))
        execute_run(run.pk)
        self.assertEqual({name for name, _ in self.point.sent}, {'c', 'd'})
        messages = dict(run.changes.values_list('line__username', 'message'))
        self.assertIn('retired', messages['a'])
        self.assertIn('moved', messages['b'])

    def test_a_point_in_maintenance_is_left_alone(self):
        run = self.approved()
        type(self.bras).objects.filter(pk=self.bras.pk).update(status='maintenance')
        self.assertEqual(set(self.outcomes(execute_run(run.pk)).values()), {'skipped'})
        self.assertEqual(self.point.sent, [])

    def test_a_row_that_is_not_right_makes_the_run_failed_and_names_itself(self):
        self.point.lies_about = {'c'}
        run = execute_run(self.approved().pk)
        self.assertEqual(run.status, RunStatusChoices.FAILED)
        self.assertEqual(self.outcomes(run), {'a': 'applied', 'b': 'applied', 'c': 'failed', 'd': 'applied'})
        self.lines[2].refresh_from_db()
        self.assertTrue(self.lines[2].is_drifting)

    def test_an_unknown_row_leaves_the_line_in_doubt_and_drifting(self):
        observe(self.lines[0], NORMAL)

        def die():
            self.point.dead = True
            raise PointTimeoutError('no answer')

        self.point.before_apply = die
        run = execute_run(self.approved(lines=self.lines[:1]).pk)
        self.assertEqual(self.outcomes(run), {'a': 'unknown'})
        self.lines[0].refresh_from_db()
        self.assertEqual((self.lines[0].observed, self.lines[0].unverified), (NORMAL, True))
        self.assertEqual(unplanned_lines().get(), self.lines[0])

    def test_a_line_that_was_partially_applied_tells_nothing_of_what_is_normal_there(self):
        restrict(self.lines[0], THROTTLED)
        self.point.stored['a'] = THROTTLED
        execute_run(self.approved(lines=self.lines[:1]).pk)
        self.lines[0].refresh_from_db()
        self.assertEqual((self.lines[0].observed, self.lines[0].baseline), (BLOCKED, {}))

    def test_a_partially_applied_block_leaves_the_line_in_doubt_and_a_payment_gives_back_what_is_stored(self):
        self.point.half_applies = {'a'}
        run = execute_run(self.approved(lines=self.lines[:1]).pk)
        self.assertEqual(self.outcomes(run), {'a': 'partial'})
        line = AccessLine.objects.get(username='a')
        self.assertEqual((line.observed, line.unverified), (NORMAL, True))
        intend(line, NORMAL)
        (restore,) = plan_runs(unplanned_lines(), NOW)
        self.assertEqual((restore.kind, restore.status), (RunKindChoices.RESTORE, RunStatusChoices.APPROVED))
        self.assertEqual(self.outcomes(execute_run(restore.pk)), {'a': 'applied'})
        self.assertEqual((self.point.stored['a'], self.point.live['a']), (NORMAL, NORMAL))
        line.refresh_from_db()
        self.assertEqual((line.observed, line.unverified), (NORMAL, False))
        self.assertFalse(unplanned_lines().exists())

    def test_a_line_that_never_converges_is_planned_once_a_round_however_it_goes_wrong(self):
        """One unverified since it is partially applied, no more than one that nobody could read."""
        self.point.half_applies = {'a'}
        self.point.lies_about = {'b'}
        for _ in range(3):
            run = execute_run(self.approved(lines=self.lines[:2]).pk)
            self.assertEqual(self.outcomes(run), {'a': 'partial', 'b': 'failed'})
            for line in self.lines:
                line.refresh_from_db()
            (again,) = plan_runs(unplanned_lines(), NOW)
            self.assertEqual((again.kind, again.status), (RunKindChoices.ENFORCE, RunStatusChoices.PLANNED))
            self.assertEqual(plan_runs(unplanned_lines(), NOW), [])
            cancel_run(again, NOW)

    def test_a_partially_applied_relaxing_step_is_still_one_that_gives_back(self):
        """Doubt would make an enforcement of it, which waits for a person."""
        observe(self.lines[0], BLOCKED)
        self.point.stored['a'] = self.point.live['a'] = BLOCKED
        self.point.half_applies = {'a'}
        run = execute_run(self.approved(THROTTLED, self.lines[:1]).pk)
        self.assertEqual(self.outcomes(run), {'a': 'partial'})
        line = AccessLine.objects.get(username='a')
        self.assertEqual((line.observed, line.unverified), (BLOCKED, False))
        (again,) = plan_runs(unplanned_lines(), NOW)
        self.assertEqual((again.kind, again.status), (RunKindChoices.RESTORE, RunStatusChoices.APPROVED))

    def test_a_restore_of_the_stored_policy_is_not_held_because_the_session_has_more(self):
        observe(self.lines[0], BLOCKED)
        self.point.stored['a'] = BLOCKED
        run = self.approved(THROTTLED, self.lines[:1])
        self.assertEqual(run.kind, RunKindChoices.RESTORE)
        self.assertEqual(self.outcomes(execute_run(run.pk)), {'a': 'applied'})
        self.assertEqual((self.point.stored['a'], self.point.live['a']), (THROTTLED, THROTTLED))

    def test_a_box_that_the_line_has_left_meanwhile_says_nothing_of_it(self):
        line = self.lines[0]
        observe(line, NORMAL)
        elsewhere = make_point(name='bras-2')
        self.point.after_row = lambda name: AccessLine.objects.filter(pk=line.pk).update(bras=elsewhere)
        self.assertEqual(self.outcomes(execute_run(self.approved(lines=[line]).pk)), {'a': 'applied'})
        line.refresh_from_db()
        self.assertEqual((line.observed, line.unverified, line.baseline), (NORMAL, True, {}))

    def test_a_block_on_a_line_in_doubt_is_no_restore_however_it_was_last_seen(self):
        line = self.lines[0]
        observe(line, BLOCKED)
        line.advance(unverified=True)
        intend(line, BLOCKED)
        (run,) = plan_runs(unplanned_lines(), NOW)
        self.assertEqual((run.kind, run.status), ('enforce', RunStatusChoices.PLANNED))
        intend(line, NORMAL)
        (run,) = plan_runs(unplanned_lines(), NOW)
        self.assertEqual((run.kind, run.status), ('restore', RunStatusChoices.APPROVED))

    def test_a_relaxing_step_for_a_line_whose_box_forgot_its_block_is_no_restore(self):
        """A router that lost its state gives full access: from there a throttle takes away, and is held as that."""
        observe(self.lines[0], BLOCKED)
        run = self.approved(THROTTLED, self.lines[:1])
        self.assertEqual(run.kind, RunKindChoices.RESTORE)
        self.assertEqual(self.outcomes(execute_run(run.pk)), {'a': 'skipped'})
        self.assertEqual(self.point.sent, [])
        self.assertIn('was found normal', run.changes.get().message)
        self.lines[0].refresh_from_db()
        self.assertEqual(self.lines[0].observed, NORMAL, 'nothing was sent: as it was read, so it is')
        (anew,) = plan_runs(unplanned_lines(), NOW)
        self.assertEqual((anew.kind, anew.status), (RunKindChoices.ENFORCE, RunStatusChoices.PLANNED))

    def test_who_owes_nothing_is_not_blocked_whatever_is_intended(self):
        run = self.approved(lines=self.lines[:2])
        Contract.objects.filter(pk=self.lines[0].contract_id).update(oldest_due_date=None)
        Contract.objects.filter(pk=self.lines[1].contract_id).update(awaiting_clearing=True)
        self.assertEqual(set(self.outcomes(execute_run(run.pk)).values()), {'skipped'})
        self.assertEqual(self.point.sent, [])

    def test_a_payment_between_the_look_and_the_sending_is_still_seen(self):
        run = self.approved(lines=self.lines[:2])
        claim = DatabaseJournal.claim

        def claim_and_pay(journal, changes):
            claimed = claim(journal, changes)
            intend(self.lines[0], NORMAL)
            return claimed

        with mock.patch.object(DatabaseJournal, 'claim', claim_and_pay):
            run = execute_run(run.pk)
        self.assertEqual(self.outcomes(run), {'a': 'skipped', 'b': 'applied'})
        self.assertEqual(self.point.sent, [('b', BLOCKED)])

    def test_a_payment_while_the_block_is_on_its_way_plans_a_restore_that_waits_for_it(self):
        run = self.approved(lines=self.lines[:1])
        planned = []

        def pay():
            intend(AccessLine.objects.get(pk=self.lines[0].pk), NORMAL)
            planned.extend(plan_runs(unplanned_lines(), NOW))

        self.point.before_apply = pay
        execute_run(run.pk)
        self.point.before_apply = lambda: None
        (restore,) = planned
        self.assertEqual(restore.kind, RunKindChoices.RESTORE)
        self.assertEqual(self.point.live['a'], BLOCKED)
        self.assertEqual(self.outcomes(execute_run(restore.pk)), {'a': 'applied'})
        self.assertEqual(self.point.live['a'], NORMAL)

    # Resuming

    def test_a_run_whose_worker_died_is_resumed_and_repeats_nothing(self):
        run = self.approved()

        class Killed(BaseException):
            pass

        def kill():
            if len(self.point.sent) >= 2:
                raise Killed

        # The worker dies with the second batch journaled as sent, and half of it applied.
        self.point.before_apply = kill
        with (
            mock.patch('nornir_tasks.engine.tasks.PointWork._close', autospec=True) as close,
            self.assertRaises(Killed),
        ):
            original = type(self)._close_unless_dead
            close.side_effect = original
            execute_run(run.pk)
        self.assertEqual(self.outcomes(run), {'a': 'applied', 'b': 'applied', 'c': '', 'd': ''})
        self.point.stored['c'] = self.point.live['c'] = BLOCKED
        self.point.sent.clear()
        self.point.before_apply = lambda: None

        run = execute_run(run.pk)

        self.assertEqual(self.outcomes(run), dict.fromkeys('abcd', 'applied'))
        self.assertEqual(self.point.sent, [('d', BLOCKED)])
        self.assertEqual(run.changes.get(line=self.lines[2]).before['live'], NORMAL.as_dict())
        self.lines[2].refresh_from_db()
        self.assertEqual(self.lines[2].baseline, {'was': 'normal'}, 'what to restore was read before the death')

    @staticmethod
    def _close_unless_dead(work, results):
        """What `kill -9` does: nothing is written after it."""
        if results and all(result.outcome is not Outcome.UNKNOWN for result in results):
            work.journal.finished(results)
            work.results.extend(results)

    def test_a_run_that_a_runbook_works_on_is_left_to_it_until_it_falls_silent(self):
        run = self.approved()
        begun = begin_run(run.pk, datetime.now(tz=UTC), 'runbook of engineer')
        with self.assertRaisesMessage(RunRefusedError, 'being worked on by runbook of engineer'):
            execute_run(run.pk)
        self.assertFalse(is_abandoned(begun, datetime.now(tz=UTC)))
        EnforcementRun.objects.filter(pk=run.pk).update(heartbeat_at=datetime.now(tz=UTC) - DEAD_AFTER * 2)
        done = execute_run(run.pk)
        self.assertEqual(set(self.outcomes(done).values()), {'applied'})
        self.assertEqual((done.executor, done.resumed_at), ('', begun.resumed_at), 'no person has resumed it')

    def test_two_runs_never_hold_one_line(self):
        block = self.approved(lines=self.lines[:1])
        block = begin_run(block.pk, datetime.now(tz=UTC), 'runbook of engineer')
        rows = [str(pk) for pk in block.changes.values_list('pk', flat=True)]
        changes = [mock.Mock(key=key) for key in rows]
        self.assertEqual(DatabaseJournal(block, 'runbook of engineer').claim(changes), Claim())

        other = EnforcementRun.objects.create(
            name='other', status='running', approved_hash='x', approved_at=NOW, started_at=NOW
        )
        row = make_change(run=other, line=self.lines[0])
        claim = DatabaseJournal(other).claim([mock.Mock(key=str(row.pk))])
        self.assertEqual(claim.busy, {str(row.pk)})

        EnforcementRun.objects.filter(pk=block.pk).update(heartbeat_at=datetime.now(tz=UTC) - DEAD_AFTER)
        self.assertEqual(DatabaseJournal(other).claim([mock.Mock(key=str(row.pk))]).busy, frozenset())

    def test_a_form_opened_before_the_payment_does_not_write_the_old_state_back(self):
        line, run = self.lines[0], self.approved()
        stale = AccessLine.objects.get(pk=line.pk)
        intend(line, NORMAL)
        stale.circuit_id = 'olt-1/2/3'
        stale.save()
        line.refresh_from_db()
        self.assertEqual((line.intended, line.circuit_id), (NORMAL, 'olt-1/2/3'))
        stale = EnforcementRun.objects.get(pk=run.pk)
        execute_run(run.pk)
        stale.save()
        run.refresh_from_db()
        self.assertEqual(run.status, RunStatusChoices.COMPLETED)

    # The database's own guard

    def test_inconsistent_states_are_refused_by_the_database(self):
        line = self.lines[0]
        contract = line.contract
        for model, pk, values in (
            (AccessLine, line.pk, {'intended_mode': 'throttled'}),
            (AccessLine, line.pk, {'intended_mode': 'blocked', 'intended_down_kbps': 5}),
            (AccessLine, line.pk, {'observed_mode': 'blocked'}),
            (AccessLine, line.pk, {'bras': None}),
            (AccessLine, line.pk, {'username': ''}),
            (AccessLine, line.pk, {'username': 'b'}),
            (type(contract), contract.pk, {'stage_since': NOW}),
            (type(contract.plan), contract.plan_id, {'throttled_up_kbps': 10**6}),
        ):
            with self.subTest(model=model.__name__, **values), self.assertRaises(IntegrityError), transaction.atomic():
                model.objects.filter(pk=pk).update(**values)

    def test_a_run_cannot_skip_its_approval_in_the_database(self):
        run = self.plan()
        for values in ({'status': 'approved'}, {'status': 'running'}, {'status': 'completed', 'finished_at': NOW}):
            with self.subTest(**values), self.assertRaises(IntegrityError), transaction.atomic():
                EnforcementRun.objects.filter(pk=run.pk).update(**values)
