"""What a preview says of a run, and what approval refuses: caps, four eyes, the switch. Restores are bound by none."""

from datetime import UTC, datetime, timedelta
from unittest import mock

from django.db import connection
from django.test import TestCase
from django.test.utils import CaptureQueriesContext
from extras.models import Tag
from users.models import User

from netbox_delinquency.choices import HoldKindChoices, RunKindChoices, RunStatusChoices
from netbox_delinquency.errors import RunRefusedError
from netbox_delinquency.models import (
    AccessLine,
    BillingSource,
    Contract,
    EnforcementChange,
    EnforcementPoint,
    EnforcementRun,
    EnforcementSettings,
    GraceRule,
    Hold,
    RunPoint,
)
from netbox_delinquency.runs.approval import approve_run
from netbox_delinquency.runs.caps import PointPart, refusals_of
from netbox_delinquency.runs.plan import plan_runs, unplanned_lines
from netbox_delinquency.runs.preview import preview_run
from nornir_tasks.change import AccessState

from .factories import (
    make_contract,
    make_line,
    make_plan,
    make_point,
    make_policy,
    make_source,
    make_subscriber,
    restrict_all,
)

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


def settings(stopped=False, stop_reason='', **values):
    saved = EnforcementSettings.ensured()
    for name, value in values.items():
        setattr(saved, name, value)
    saved.save()
    saved.throw(stopped, stop_reason)


class ApprovalTestCase(TestCase):
    @classmethod
    def setUpTestData(cls):
        cls.author, cls.other = User.objects.create_user('author'), User.objects.create_user('other')
        cls.policy = make_policy()
        cls.source = make_source(heartbeat_minutes=1_440, payments_known_at=NOW)
        cls.points = [make_point(name=f'bras-{number}') for number in (1, 2)]
        cls.lines = [cls.make(cls.points[0]) for _ in range(20)] + [cls.make(cls.points[1]) for _ in range(4)]

    @classmethod
    def make(cls, point, **values):
        contract = make_contract(policy=cls.policy, source=cls.source)
        return make_line(bras=point, contract=contract, observed_mode='normal', observed_at=NOW, **values)

    def intend(self, lines, mode='blocked'):
        pks = [line.pk for line in lines]
        rates = (1000, 500) if mode == 'throttled' else (None, None)
        AccessLine.objects.filter(pk__in=pks).update(
            intended_mode=mode, intended_down_kbps=rates[0], intended_up_kbps=rates[1]
        )

    def plan(self, lines, mode='blocked', author=None):
        self.intend(lines, mode)
        (run,) = plan_runs(unplanned_lines(), NOW, author=author)
        return run

    def refused(self, run, text, approver=None):
        with self.assertRaisesMessage(RunRefusedError, text):
            approve_run(run, run.plan_hash, NOW, approver=approver)
        run.refresh_from_db()
        self.assertEqual((run.status, run.approved_hash), (RunStatusChoices.PLANNED, ''))

    def warned(self, run):
        return {warned.kind: warned.rows for warned in preview_run(run, NOW).warnings}


class PreviewTest(ApprovalTestCase):
    def test_the_rows_are_shown_by_point_and_wave_with_their_shares(self):
        self.intend(self.lines[:2], 'throttled')
        run = self.plan([self.lines[2], self.lines[20]])
        RunPoint.objects.create(run=run, point=self.points[0], sessions_now=12, heartbeat_at=NOW - timedelta(hours=2))
        RunPoint.objects.create(
            run=EnforcementRun.objects.create(name='later'), point=self.points[0], sessions_now=10, heartbeat_at=NOW
        )
        preview = preview_run(run, NOW)
        first, second = preview.points
        self.assertEqual((first.name, first.throttle, first.block, first.restore), ('bras-1', 2, 1, 0))
        self.assertEqual((first.lines, first.share, first.sessions, first.session_share), (20, 15.0, 10, 30.0))
        self.assertEqual((second.block, second.lines, second.share, second.session_share), (1, 4, 25.0, None))
        self.assertEqual((preview.rows, preview.throttle, preview.block, preview.restore), (4, 2, 2, 0))
        self.assertEqual(preview.waves, {1: 1, 2: 1, 3: 1, 4: 1})
        self.assertEqual((list(preview.refusals), list(preview.warnings)), ([], []))

    def test_a_restore_has_one_wave_and_no_cap(self):
        AccessLine.objects.update(observed_mode='blocked')
        restrict_all()
        self.intend(self.lines[:10], 'throttled')
        (run,) = plan_runs(unplanned_lines(), NOW)
        settings(max_rows_per_run=1, stopped=True, stop_reason='a test')
        preview = preview_run(run, NOW)
        self.assertEqual((preview.waves, preview.restore, preview.throttle), ({1: 24}, 24, 0))
        self.assertEqual((preview.refusals, preview.max_rows_per_run, preview.hours), ((), None, 0))

    def test_the_hourly_cap_says_how_long_it_takes_at_least(self):
        run = self.plan(self.lines[:5])
        EnforcementChange.objects.filter(pk=run.changes.first().pk).update(sent_at=NOW - timedelta(minutes=59))
        settings(max_rows_per_hour=2)
        preview = preview_run(run, NOW)
        self.assertEqual((preview.hours, preview.sent_last_hour, preview.max_rows_per_hour), (3, 1, 2))
        EnforcementPoint.objects.filter(pk=self.points[0].pk).update(max_rows_per_hour=1)
        self.assertEqual(preview_run(run, NOW).hours, 5)

    def test_it_warns_of_what_one_should_know(self):
        run = self.plan(self.lines[:6])
        self.assertEqual(self.warned(run), {})
        held, tiered, tagged, reviewed, unverified, stale = self.lines[:6]
        Hold.objects.bulk_create(
            [
                Hold(
                    contract=line.contract, kind=kind, reason='x', approver=self.other, starts_at=NOW,
                    ends_at=NOW + timedelta(days=1),
                )
                for line, kind in ((held, HoldKindChoices.ESSENTIAL), (stale, HoldKindChoices.DISPUTE))
            ]
        )  # fmt: skip
        Contract.objects.filter(pk=tiered.contract_id).update(tier='hospital')
        tag = Tag.objects.create(name='Fire brigade', slug='fire')
        tagged.contract.tags.add(tag)
        GraceRule.objects.create(policy=self.policy, tier='hospital', exempt=True)
        GraceRule.objects.create(policy=self.policy, for_tag=tag, exempt=True)
        GraceRule.objects.create(policy=make_policy(), tier='', for_tag=tag, exempt=True)
        self.assertEqual(self.warned(run), {'essential': 3})
        BillingSource.objects.filter(pk=self.source.pk).update(heartbeat_minutes=None)
        self.assertEqual(self.warned(run), {'essential': 3, 'unwatched': 6})
        Contract.objects.filter(pk=reviewed.contract_id).update(review_requested_at=NOW)
        AccessLine.objects.filter(pk=unverified.pk).update(unverified=True)
        AccessLine.objects.filter(pk=stale.pk).update(observed_at=NOW - timedelta(hours=25))
        AccessLine.objects.filter(pk=held.pk).update(observed_mode='', observed_at=None)
        AccessLine.objects.filter(pk=tiered.pk).update(intended_mode='normal')
        EnforcementPoint.objects.filter(pk=self.points[0].pk).update(status='maintenance')
        BillingSource.objects.filter(pk=self.source.pk).update(enabled=False)
        RunPoint.objects.create(run=run, point=self.points[0], sessions_now=6, heartbeat_at=NOW)
        self.assertEqual(
            self.warned(run),
            {
                'essential': 3, 'review': 1, 'unverified': 1, 'stale': 2, 'moved': 1, 'point': 6, 'frozen': 6,
                'sessions': 6,
            },
        )  # fmt: skip

    def test_a_large_run_takes_as_many_queries_as_a_small_one(self):
        small = self.plan(self.lines[:2])
        plan, subscriber = make_plan(), make_subscriber()
        contracts = Contract.objects.bulk_create(
            Contract(external_id=f'L{number}', subscriber=subscriber, source=self.source, plan=plan, policy=self.policy)
            for number in range(10_000)
        )
        points = [make_point() for _ in range(50)]
        lines = AccessLine.objects.bulk_create(
            AccessLine(
                username=f'l{number}', contract=contract, bras=points[number % 50], intended_mode='blocked',
                observed_mode='normal', observed_at=NOW,
            )
            for number, contract in enumerate(contracts)
        )  # fmt: skip
        with connection.cursor() as cursor:
            # What is old is known to the database's planner; the plan is new, and nobody waits before looking at it.
            cursor.execute('ANALYZE netbox_delinquency_accessline, netbox_delinquency_contract')
        (large,) = plan_runs(AccessLine.objects.filter(pk__in=[line.pk for line in lines]), NOW)
        preview_run(small, NOW)
        queries = {}
        for run in (small, large):
            with CaptureQueriesContext(connection) as captured:
                preview = preview_run(run, NOW)
            queries[run.pk] = len(captured)
        self.assertEqual((preview.rows, len(preview.points)), (10_000, 50))
        self.assertEqual(queries[small.pk], queries[large.pk])
        self.assertLessEqual(queries[large.pk], 19)


class CapsTest(ApprovalTestCase):
    def test_no_plan_above_a_cap_is_approved(self):
        run = self.plan(self.lines[:3])
        settings(max_rows_per_run=2)
        self.refused(run, 'it has 3 rows, and a run may have 2', self.other)
        settings(max_rows_per_run=3)
        approve_run(run, run.plan_hash, NOW, approver=self.other)
        self.assertEqual(run.status, RunStatusChoices.APPROVED)

    def test_no_more_of_a_point_is_taken_than_its_share(self):
        run = self.plan(self.lines[:7])
        self.refused(run, 'it changes 35.0 % of the 20 lines of bras-1, and may change 30 %')
        EnforcementPoint.objects.filter(pk=self.points[0].pk).update(max_share_percent=35)
        approve_run(run, run.plan_hash, NOW)

    def test_a_stricter_point_has_its_own_cap(self):
        EnforcementPoint.objects.filter(pk=self.points[0].pk).update(max_share_percent=5)
        self.refused(self.plan(self.lines[:2]), 'may change 5 %')

    def test_a_share_of_a_few_lines_says_nothing(self):
        run = self.plan(self.lines[20:])
        approve_run(run, run.plan_hash, NOW)
        part = PointPart(1, 'bras', 'active', block=6, lines=19, max_share_percent=30)
        self.assertEqual(refusals_of([part], EnforcementSettings()), [])

    def test_what_its_policy_approves_stays_planned_above_a_cap_and_says_why(self):
        self.policy.auto_approve = True
        self.policy.save()
        settings(max_rows_per_run=2)
        run = self.plan(self.lines[:3])
        self.assertEqual(run.status, RunStatusChoices.PLANNED)
        self.assertIn('it has 3 rows', run.stop_reason)
        settings(max_rows_per_run=3)
        approve_run(run, run.plan_hash, NOW, approver=self.other)
        self.assertEqual((run.status, run.stop_reason), (RunStatusChoices.APPROVED, ''))

    def test_the_switch_holds_approval_of_what_takes_access_away_and_never_a_restore(self):
        settings(stopped=True, stop_reason='storm on the ring', max_rows_per_run=1, four_eyes=True)
        AccessLine.objects.filter(pk__in=[line.pk for line in self.lines[:9]]).update(observed_mode='blocked')
        restrict_all()
        self.intend(self.lines[20:22])
        restore, enforce = plan_runs(unplanned_lines(), NOW, author=self.author)
        self.assertEqual((restore.kind, restore.status), (RunKindChoices.RESTORE, RunStatusChoices.APPROVED))
        self.assertEqual(restore.changes.count(), 9)
        self.refused(enforce, 'enforcement is stopped: storm on the ring', self.other)


class FourEyesTest(ApprovalTestCase):
    def setUp(self):
        settings(four_eyes=True)

    def test_nobody_approves_ones_own_plan(self):
        run = self.plan(self.lines[:2], author=self.author)
        self.refused(run, 'by four eyes somebody else approves it', self.author)
        approve_run(run, run.plan_hash, NOW, approver=self.other)
        self.assertEqual(run.approver, self.other)

    def test_who_wrote_a_row_of_anothers_plan_does_not_approve_it_either(self):
        run = self.plan(self.lines[:2], author=self.author)
        run.changes.update(authors=[self.other.pk])
        self.refused(run, 'by four eyes', self.other)

    def test_without_the_setting_one_may(self):
        settings(four_eyes=False)
        run = self.plan(self.lines[:2], author=self.author)
        approve_run(run, run.plan_hash, NOW, approver=self.author)

    def test_a_plan_without_an_author_is_anybodys_and_its_policys(self):
        run = self.plan(self.lines[:2])
        approve_run(run, run.plan_hash, NOW, approver=self.author)
        self.policy.auto_approve = True
        self.policy.save()
        self.assertEqual(self.plan(self.lines[2:4]).status, RunStatusChoices.APPROVED)


class RepairTest(ApprovalTestCase):
    """What drifted from an approved change is put right without a new approval, where policy says so."""

    def setUp(self):
        self.policy.repair_drift = True
        self.policy.save()
        self.line = self.lines[0]

    def closed(self, desired='blocked', outcome='applied', at=NOW, **values):
        run = EnforcementRun.objects.create(name='earlier')
        return EnforcementChange.objects.create(
            run=run, line=self.line, desired_mode=desired, outcome=outcome, finished_at=at, sent_at=at, **values
        )

    def status(self):
        run = self.plan([self.line])
        status, kind = run.status, run.kind
        self.assertEqual(kind, RunKindChoices.ENFORCE)
        run.delete()
        return status

    def test_a_line_that_came_loose_is_repaired_through_the_waves(self):
        self.closed()
        self.assertEqual(self.status(), RunStatusChoices.APPROVED)

    def test_the_first_time_a_person_approves(self):
        self.assertEqual(self.status(), RunStatusChoices.PLANNED)

    def test_only_what_was_reached_is_repaired(self):
        for outcome in ('failed', 'partial', 'unknown'):
            with self.subTest(outcome):
                row = self.closed(outcome=outcome)
                self.assertEqual(self.status(), RunStatusChoices.PLANNED)
                row.run.delete()

    def test_after_something_else_was_reached_it_is_no_repair(self):
        self.closed(at=NOW - timedelta(hours=2))
        self.closed('normal', at=NOW - timedelta(hours=1))
        self.assertEqual(self.status(), RunStatusChoices.PLANNED)

    def test_a_skipped_row_counts_for_nothing(self):
        self.closed(at=NOW - timedelta(hours=2))
        self.closed('normal', outcome='skipped', at=NOW - timedelta(hours=1))
        self.assertEqual(self.status(), RunStatusChoices.APPROVED)

    def test_another_rate_is_not_what_was_approved(self):
        self.closed('throttled', desired_down_kbps=1000, desired_up_kbps=400)
        run = self.plan([self.line], 'throttled')
        self.assertEqual(run.status, RunStatusChoices.PLANNED)

    def test_without_the_policys_word_a_person_approves(self):
        self.policy.repair_drift = False
        self.policy.save()
        self.closed()
        self.assertEqual(self.status(), RunStatusChoices.PLANNED)

    def test_a_repair_above_a_cap_waits_too(self):
        self.closed()
        settings(stopped=True, stop_reason='a test')
        self.assertEqual(self.status(), RunStatusChoices.PLANNED)


class PinnedTest(ApprovalTestCase):
    def test_a_pinned_line_is_left_until_policy_gives_its_access_back(self):
        line = self.lines[0]
        self.intend([line])
        AccessLine.objects.filter(pk=line.pk).update(pinned=True)
        self.assertEqual(plan_runs(unplanned_lines(), NOW), [])
        AccessLine.objects.filter(pk=line.pk).update(intended_mode='normal', observed_mode='blocked')
        restrict_all()
        (run,) = plan_runs(unplanned_lines(), NOW)
        self.assertEqual((run.kind, run.status), (RunKindChoices.RESTORE, RunStatusChoices.APPROVED))

    def test_the_clock_is_passed_in(self):
        run = self.plan(self.lines[:1])
        with mock.patch('django.utils.timezone.now', side_effect=AssertionError('a clock of its own')):
            preview_run(run, NOW)
        self.assertEqual(AccessState(run.changes.get().desired.mode), AccessState.blocked())
