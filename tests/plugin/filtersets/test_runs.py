from datetime import UTC, datetime

from users.models import User

from netbox_delinquency.choices import OutcomeChoices, RunKindChoices, RunStatusChoices
from netbox_delinquency.filtersets import EnforcementChangeFilterSet, EnforcementRunFilterSet
from netbox_delinquency.models import EnforcementChange, EnforcementRun
from netbox_delinquency.reasons import Reason, ReasonCode, message_columns, stop_columns
from tests.plugin.base import FilterSetTestCase
from tests.plugin.factories import make_change, make_run

NOW = datetime(2025, 3, 10, tzinfo=UTC)


def make_runs(cls):
    """A planned run of two rows, and a restore that ended with one."""
    cls.author, cls.approver = (User.objects.create(username=name) for name in ('author', 'approver'))
    cls.planned = make_run(name='March', author=cls.author)
    cls.ended = make_run(
        name='Restore', kind=RunKindChoices.RESTORE, status=RunStatusChoices.COMPLETED, approver=cls.approver,
        plan_hash='abc', approved_hash='abc', approved_at=NOW, started_at=NOW, finished_at=NOW,
    )  # fmt: skip
    cls.empty = make_run(name='April')
    cls.first, cls.second = make_change(run=cls.planned, reason='Stage 1'), make_change(run=cls.planned)
    cls.applied = make_change(
        run=cls.ended, desired_mode='normal', outcome=OutcomeChoices.APPLIED, sent_at=NOW, finished_at=NOW,
        message='after a while',
    )  # fmt: skip


class EnforcementRunFilterSetTest(FilterSetTestCase):
    queryset = EnforcementRun.objects.all()
    filterset = EnforcementRunFilterSet
    ignore_fields = ('stop_params',)

    @classmethod
    def setUpTestData(cls):
        make_runs(cls)

    def test_by_how_far_it_is(self):
        self.assertEqual(self.found(status='planned'), [self.planned, self.empty])
        self.assertEqual(self.found(kind='restore'), [self.ended])
        self.assertEqual(self.found(finished_at__lte='2025-04-01T00:00:00Z'), [self.ended])
        self.assertEqual(self.found(plan_hash='abc'), [self.ended])

    def test_by_the_code_of_why_it_waits(self):
        reason = Reason.of(ReasonCode.DEADLINE, minutes=30)
        EnforcementRun.objects.filter(pk=self.empty.pk).update(**stop_columns(reason))
        self.assertEqual(self.found(stop_code=['deadline']), [self.empty])

    def test_by_who(self):
        self.assertEqual(self.found(author_id=self.author.pk), [self.planned])
        self.assertEqual(self.found(author='author'), [self.planned])
        self.assertEqual(self.found(approver_id=self.approver.pk), [self.ended])
        self.assertEqual(self.found(approver='approver'), [self.ended])

    def test_by_its_rows_each_run_once(self):
        self.assertEqual(self.found(line_id=[self.first.line.pk, self.second.line.pk]), [self.planned])
        self.assertEqual(self.found(point_id=self.applied.point.pk), [self.ended])
        self.assertEqual(self.found(outcome='applied'), [self.ended])

    def test_search(self):
        self.assertEqual(self.found(q='mar'), [self.planned])


class EnforcementChangeFilterSetTest(FilterSetTestCase):
    queryset = EnforcementChange.objects.all()
    filterset = EnforcementChangeFilterSet
    ignore_fields = ('before', 'after', 'exact', 'values', 'names', 'message_params', 'authors')

    @classmethod
    def setUpTestData(cls):
        make_runs(cls)

    def test_by_run_line_and_point(self):
        self.assertEqual(self.found(run_id=self.planned.pk), [self.first, self.second])
        self.assertEqual(self.found(run_status='completed'), [self.applied])
        self.assertEqual(self.found(run_kind='enforce'), [self.first, self.second])
        self.assertEqual(self.found(line_id=self.second.line.pk), [self.second])
        self.assertEqual(self.found(point_id=self.first.point.pk), [self.first])
        self.assertEqual(self.found(point=self.first.point.name), [self.first])

    def test_by_what_came_of_it(self):
        self.assertEqual(self.found(outcome='applied'), [self.applied])
        self.assertEqual(self.found(is_closed='false'), [self.first, self.second])
        self.assertEqual(self.found(is_closed='true'), [self.applied])
        self.assertEqual(self.found(desired_mode='blocked'), [self.first, self.second])

    def test_by_the_code_of_what_came_of_it(self):
        reason = Reason.of(ReasonCode.NOTHING_OWED)
        EnforcementChange.objects.filter(pk=self.applied.pk).update(**message_columns(reason))
        self.assertEqual(self.found(message_code=['nothing_owed', 'moved']), [self.applied])

    def test_search(self):
        self.assertEqual(self.found(q='stage 1'), [self.first])
        self.assertEqual(self.found(q='a while'), [self.applied])
