"""Going back to what was read before: what is put back, what is left out, and what never happens."""

from datetime import UTC, datetime
from unittest import mock

from django.test import TestCase
from users.models import User

from netbox_delinquency.choices import LineChannelChoices, RunKindChoices, RunStatusChoices
from netbox_delinquency.errors import RunRefusedError
from netbox_delinquency.models import AccessLine, EnforcementChange, EnforcementRun, EnforcementSettings
from netbox_delinquency.models.state import set_state
from netbox_delinquency.runs.approval import RESTRICTING, approve_run, plan_hash
from netbox_delinquency.runs.plan import plan_runs, unplanned_lines
from netbox_delinquency.runs.preview import preview_run
from netbox_delinquency.runs.revert import may_revert_to, plan_revert, unpin
from nornir_tasks.change import AccessState
from tests.simulators.memory import MemoryPoint

from .engine import execute_run
from .factories import intend, make_change, make_contract, make_line, make_point, make_policy, make_source, restrict
from .test_enforcement import BLOCKED, NORMAL, THROTTLED, observe

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
SLOWER = AccessState.throttled(500, 250)


class RevertTest(TestCase):
    @classmethod
    def setUpTestData(cls):
        cls.user = User.objects.create_user('engineer')
        EnforcementSettings(soak_seconds=0).save()
        policy, source, bras = make_policy(), make_source(), make_point(name='bras-1', batch_size=2)
        cls.lines = [
            make_line(username=name, bras=bras, contract=make_contract(policy=policy, source=source)) for name in 'abcd'
        ]

    def setUp(self):
        self.point = MemoryPoint()
        for line in self.lines:
            self.point.add(line.username)
        patcher = mock.patch('nornir_tasks.engine.tasks.open_driver', side_effect=lambda task: self.point.driver())
        patcher.start()
        self.addCleanup(patcher.stop)

    def approved(self, state=BLOCKED, lines=None):
        for line in lines or self.lines:
            intend(line, state)
        (run,) = plan_runs(unplanned_lines(), NOW, author=self.user)
        if run.status == RunStatusChoices.PLANNED:
            approve_run(run, run.plan_hash, NOW, approver=self.user)
        return run

    def outcomes(self, run):
        return dict(run.changes.values_list('line__username', 'outcome'))

    def blocked(self, **kwargs):
        return execute_run(self.approved(**kwargs).pk)

    def revert(self, run, rows=None):
        """Planned, approved and executed; answers the runs."""
        runs = plan_revert(run, NOW, rows, author=self.user).runs
        for planned in runs:
            approve_run(planned, planned.plan_hash, NOW, approver=self.user)
        return [execute_run(planned.pk) for planned in runs]

    def line(self, name):
        return AccessLine.objects.get(username=name)

    def test_a_run_goes_back_to_exactly_what_was_read_before_it(self):
        run = self.blocked()
        planned = plan_revert(run, NOW, author=self.user)
        (revert,) = planned.runs
        self.assertEqual(planned.left_out, ())
        self.assertEqual((revert.kind, revert.status, revert.reverts), ('restore', RunStatusChoices.PLANNED, run))
        row = revert.changes.get(line__username='a')
        self.assertEqual((row.desired, row.expected, row.exact), (NORMAL, BLOCKED, {'was': 'normal'}))
        self.assertEqual((preview_run(revert, NOW).restore, preview_run(revert, NOW).waves), (4, {1: 4}))
        approve_run(revert, revert.plan_hash, NOW, approver=self.user)
        self.assertEqual(set(self.outcomes(execute_run(revert.pk)).values()), {'applied'})
        self.assertEqual(set(self.point.live.values()), {NORMAL})
        self.assertEqual(set(self.point.stored.values()), {NORMAL})

    def test_what_was_reverted_is_pinned_and_not_done_again_until_it_is_unpinned(self):
        self.revert(self.blocked())
        self.assertTrue(self.line('a').pinned)
        self.assertTrue(self.line('a').is_drifting)
        self.assertEqual(plan_runs(unplanned_lines(), NOW), [])
        self.assertEqual(unpin(AccessLine.objects.filter(username__in='ab')), 2)
        (run,) = plan_runs(unplanned_lines(), NOW)
        self.assertEqual(set(run.changes.values_list('line__username', flat=True)), {'a', 'b'})

    def test_a_plan_from_before_the_revert_does_not_block_a_pinned_line(self):
        run = self.blocked(lines=self.lines[:1])
        observe(self.lines[0], NORMAL)
        (again,) = plan_runs(unplanned_lines(), NOW)
        approve_run(again, again.plan_hash, NOW)
        self.revert(run)
        self.point.sent.clear()
        self.assertEqual(self.outcomes(execute_run(again.pk)), {'a': 'skipped'})
        self.assertIn('pinned', again.changes.get().message)
        self.assertEqual((self.point.sent, self.point.live['a']), ([], NORMAL))

    def test_a_selection_of_rows_goes_back_and_no_other(self):
        run = self.blocked()
        rows = list(run.changes.filter(line__username__in='bc').values_list('pk', flat=True))
        self.revert(run, rows)
        self.assertEqual([self.point.live[name] for name in 'abcd'], [BLOCKED, NORMAL, NORMAL, BLOCKED])
        self.assertEqual([self.line(name).pinned for name in 'abcd'], [False, True, True, False])

    def test_a_revert_never_takes_access_from_who_paid(self):
        for line in self.lines:
            observe(line, BLOCKED)
        for name in 'abcd':
            self.point.stored[name] = self.point.live[name] = BLOCKED
        restore = execute_run(self.approved(NORMAL).pk)
        self.assertEqual(set(self.outcomes(restore).values()), {'applied'})
        planned = plan_revert(restore, NOW)
        self.assertEqual((planned.runs, {left.line for left in planned.left_out}), ((), set('abcd')))
        self.assertIn('a revert takes no access away', planned.left_out[0].reason)
        self.assertEqual(set(self.point.live.values()), {NORMAL})

    def test_who_pays_between_the_revert_and_its_sending_is_not_taken_back(self):
        for name, line in zip('abcd', self.lines, strict=True):
            observe(line, BLOCKED)
            self.point.stored[name] = self.point.live[name] = BLOCKED
        softened = execute_run(self.approved(THROTTLED).pk)
        intend(self.lines[0], BLOCKED)
        (revert,) = plan_revert(softened, NOW).runs
        self.assertEqual([row.line for row in revert.changes.all()], [self.lines[0]])
        self.assertEqual(revert.kind, RunKindChoices.ENFORCE)
        approve_run(revert, revert.plan_hash, NOW, approver=self.user)
        intend(self.lines[0], NORMAL)
        self.point.sent.clear()
        self.assertEqual(self.outcomes(execute_run(revert.pk)), {'a': 'skipped'})
        self.assertIn('policy now wants this line normal', revert.changes.get().message)
        self.assertEqual((self.point.sent, self.point.live['a']), ([], THROTTLED))

    def test_more_restrictive_than_now_and_not_than_intended_goes_through_waves_and_caps(self):
        for name, line in zip('abcd', self.lines, strict=True):
            observe(line, BLOCKED)
            self.point.stored[name] = self.point.live[name] = BLOCKED
        softened = execute_run(self.approved(THROTTLED).pk)
        for line in self.lines:
            intend(line, BLOCKED)
        (revert,) = plan_revert(softened, NOW, author=self.user).runs
        self.assertEqual((revert.kind, preview_run(revert, NOW).waves), ('enforce', {1: 1, 2: 1, 3: 1, 4: 1}))
        approve_run(revert, revert.plan_hash, NOW, approver=self.user)
        self.assertEqual(set(self.outcomes(execute_run(revert.pk)).values()), {'applied'})
        self.assertEqual(set(self.point.live.values()), {BLOCKED})
        self.assertFalse(AccessLine.objects.filter(pinned=True).exists())

    def test_what_was_not_sent_or_cannot_go_back_is_left_out_with_the_reason(self):
        self.point.live['d'] = self.point.stored['d'] = BLOCKED
        run = self.blocked()
        self.assertEqual(self.outcomes(run)['d'], 'noop')
        AccessLine.objects.filter(username='a').update(status='retired')
        AccessLine.objects.filter(username='b').update(bras=make_point(name='bras-9'))
        EnforcementChange.objects.filter(run=run, line__username='c').update(before=None)
        planned = plan_revert(run, NOW)
        reasons = {left.line: left.reason for left in planned.left_out}
        self.assertEqual(planned.runs, ())
        self.assertEqual(
            reasons,
            {
                'a': 'the line is no longer active',
                'b': 'the line is now at bras-9',
                'c': 'it was not read before it was sent',
            },
        )

    def test_an_unknown_row_is_put_back_too(self):
        def vanish():
            self.point.deaf_after_apply = True
            self.point.dead = False

        self.point.before_apply = vanish
        run = self.blocked(lines=self.lines[:1])
        EnforcementChange.objects.filter(run=run).update(outcome='unknown')
        self.point.deaf_after_apply = False
        self.point.before_apply = lambda: None
        self.revert(run)
        self.assertEqual((self.point.live['a'], self.line('a').pinned), (NORMAL, True))

    def test_a_line_found_with_more_than_its_revert_gives_keeps_it_and_is_blocked_by_nobody_anew(self):
        """Its box forgot the block: the subscriber whom a person wanted to have more is not cut by the evaluation."""
        observe(self.lines[0], THROTTLED)
        self.point.stored['a'] = self.point.live['a'] = THROTTLED
        run = self.blocked(lines=self.lines[:1])
        (revert,) = plan_revert(run, NOW, author=self.user).runs
        self.assertEqual((revert.kind, revert.changes.get().desired), (RunKindChoices.RESTORE, THROTTLED))
        approve_run(revert, revert.plan_hash, NOW, approver=self.user)
        self.point.stored['a'] = self.point.live['a'] = NORMAL
        self.point.sent.clear()
        row = execute_run(revert.pk).changes.get()
        self.assertEqual((row.outcome, self.point.sent), ('skipped', []))
        self.assertIn('found normal: this would take access away, and a revert takes none', row.message)
        self.assertEqual((self.line('a').observed, self.line('a').pinned), (NORMAL, True))
        self.assertEqual(plan_runs(unplanned_lines(), NOW), [])

    def test_a_row_that_was_partially_applied_before_is_left_out(self):
        restrict(self.lines[0], THROTTLED)
        self.point.stored['a'] = THROTTLED
        reverting = plan_revert(self.blocked(lines=self.lines[:2]), NOW)
        self.assertEqual([row.line.username for run in reverting.runs for row in run.changes.all()], ['b'])
        self.assertIn('partially applied', reverting.left_out[0].reason)

    def test_a_plan_to_give_access_back_is_not_a_way_around_the_caps(self):
        run = self.blocked(lines=self.lines[:2])
        (revert,) = plan_revert(run, NOW).runs
        intend(self.lines[3], BLOCKED)
        EnforcementChange.objects.create(run=revert, line=self.lines[3], desired_mode='blocked')
        with self.assertRaisesMessage(RunRefusedError, 'gives access back, and 1 of its rows take it'):
            approve_run(revert, plan_hash(revert), NOW, approver=self.user)

    def test_what_takes_access_means_in_sql_what_it_means_in_python(self):
        run = EnforcementRun.objects.create(name='all')
        states = [NORMAL, THROTTLED, SLOWER, BLOCKED]
        for desired in states:
            for expected in [*states, None]:
                row = EnforcementChange(run=run, line=self.lines[0])
                row.point = self.lines[0].bras
                set_state(row, 'desired', desired)
                set_state(row, 'expected', expected)
                row.save()
                found = run.changes.filter(RESTRICTING).exists()
                self.assertEqual(found, desired.is_more_restrictive_than(expected or NORMAL), (desired, expected))
                row.delete()

    def test_only_a_run_that_sent_something_and_stands_still_is_reverted(self):
        run = self.approved()
        with self.assertRaisesMessage(RunRefusedError, 'only what was sent can be reverted'):
            plan_revert(run, NOW)
        EnforcementRun.objects.filter(pk=run.pk).update(status='running', started_at=NOW)
        with self.assertRaisesMessage(RunRefusedError, 'a running run is paused first'):
            plan_revert(EnforcementRun.objects.get(pk=run.pk), NOW)
        EnforcementRun.objects.filter(pk=run.pk).update(status='paused')
        with self.assertRaisesMessage(RunRefusedError, 'sent nothing that could be reverted'):
            plan_revert(EnforcementRun.objects.get(pk=run.pk), NOW)
        other = EnforcementChange.objects.create(
            run=EnforcementRun.objects.create(name='other'), line=self.lines[0], desired_mode='blocked'
        )
        with self.assertRaisesMessage(RunRefusedError, f'has no rows {other.pk}'):
            plan_revert(EnforcementRun.objects.get(pk=run.pk), NOW, [other.pk])

    def test_only_the_lines_that_a_user_may_enforce_go_back(self):
        run = self.blocked()
        lines = AccessLine.objects.filter(username='a')
        (revert,) = plan_revert(run, NOW, lines=lines).runs
        self.assertEqual(revert.changes.get().line, self.lines[0])

    def test_values_of_cpes_go_back_to_the_old_ones(self):
        acs = make_point(name='acs', driver='acs')
        AccessLine.objects.filter(username='a').update(acs=acs)
        run = EnforcementRun.objects.create(
            name='profile', kind='profile', status='completed', plan_hash='f' * 64, approved_hash='f' * 64,
            approved_at=NOW, started_at=NOW, finished_at=NOW,
        )  # fmt: skip
        name = 'Device.ManagementServer.PeriodicInformInterval'
        old = {'values': [[name, '86400', 'xsd:unsignedInt']]}
        make_change(
            run=run, line=AccessLine.objects.get(username='a'), point=acs, channel='cpe',
            values=[[name, '300', 'xsd:unsignedInt']],
            desired_mode='', sent_at=NOW, finished_at=NOW, outcome='applied',
            before={'stored': None, 'live': old, 'detail': {'note': 'x'}, 'error': ''},
        )  # fmt: skip
        (revert,) = plan_revert(run, NOW).runs
        row = revert.changes.get()
        self.assertEqual((revert.kind, row.values, row.exact), ('profile', old['values'], {'note': 'x'}))
        self.assertEqual((row.desired_mode, row.channel), ('', LineChannelChoices.CPE))

    def test_nothing_more_restrictive_than_intended_on_that_side_is_ever_reverted_to(self):
        line = self.lines[0]
        states = [NORMAL, THROTTLED, SLOWER, BLOCKED]
        for place, intended in enumerate(states):
            intend(line, intended)
            line.channel = LineChannelChoices.BRAS
            allowed = [may_revert_to(state, line, 'bras') for state in states]
            self.assertEqual(allowed, [number <= place for number in range(4)])
            self.assertEqual([may_revert_to(state, line, 'cpe') for state in states], [True, False, False, False])
