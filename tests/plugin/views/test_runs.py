from datetime import UTC, datetime

from django.db import transaction
from utilities.exceptions import AbortRequest
from utilities.testing import ViewTestCases, create_tags, post_data

from netbox_delinquency.choices import AccessModeChoices, OutcomeChoices, RunStatusChoices
from netbox_delinquency.models import EnforcementChange, EnforcementRun
from tests.plugin.base import ListViews, ObjectViewTestCase, PluginViews, PluginViewTestCase, sees_everything
from tests.plugin.factories import make_change, make_line, make_run

NOW = datetime(2025, 3, 10, 12, tzinfo=UTC)


def approve(run, **values):
    """As approval leaves a run."""
    fields = {'status': RunStatusChoices.APPROVED, 'approved_at': NOW, 'approved_hash': 'f' * 64, **values}
    EnforcementRun.objects.filter(pk=run.pk).update(**fields)
    run.refresh_from_db()
    return run


class EnforcementRunViewTest(ObjectViewTestCase):
    model = EnforcementRun

    @classmethod
    def setUpTestData(cls):
        first, second, _ = (make_run(name=f'Run {number}') for number in range(1, 4))
        cls.form_data = {
            'name': 'March',
            'description': 'All of March',
            'comments': 'Checked twice',
            'tags': [tag.pk for tag in create_tags('Alpha', 'Bravo')],
        }
        cls.csv_data = ('name,description', 'Run 4,', 'Run 5,Second try')
        cls.csv_update_data = ('id,description', f'{first.pk},Late', f'{second.pk},Late')
        cls.bulk_edit_data = {'description': 'Seen'}

    def test_the_page_counts_its_rows_by_outcome_for_those_who_may_see_them(self):
        run = make_run()
        for outcome in (OutcomeChoices.APPLIED, OutcomeChoices.APPLIED, OutcomeChoices.FAILED):
            make_change(run=run, outcome=outcome, finished_at=NOW)
        make_change(run=run)
        make_change(outcome=OutcomeChoices.UNKNOWN, finished_at=NOW)
        self.add_permissions('netbox_delinquency.view_enforcementrun')
        self.assertNotContains(self.client.get(run.get_absolute_url()), 'Rows by outcome')
        self.add_permissions('netbox_delinquency.view_enforcementchange')
        page = self.client.get(run.get_absolute_url())
        self.assertContains(page, f'/plugins/delinquency/changes/?run_id={run.pk}&amp;outcome=applied')
        self.assertContains(page, '<span class="badge text-bg-green">2</span>', html=True)
        self.assertContains(page, '<span class="badge text-bg-red">1</span>', html=True)
        self.assertContains(page, f'/plugins/delinquency/changes/?run_id={run.pk}&amp;is_closed=false')
        self.assertNotContains(page, 'outcome=unknown')

    @sees_everything
    def test_a_form_cannot_set_how_far_a_run_has_come(self):
        run = make_run()
        self.add_permissions('netbox_delinquency.change_enforcementrun')
        data = {**self.form_data, 'status': 'approved', 'kind': 'restore', 'approved_hash': 'f' * 64}
        self.assertHttpStatus(self.client.post(self._get_url('edit', run), post_data(data)), 302)
        run.refresh_from_db()
        self.assertEqual((run.name, run.status, run.kind, run.approved_hash), ('March', 'planned', 'enforce', ''))

    def test_whoever_adds_or_imports_a_run_is_its_author(self):
        self.add_permissions('netbox_delinquency.add_enforcementrun', 'netbox_delinquency.change_enforcementrun')
        self.client.post(self._get_url('add'), {'name': 'Added'})
        data = {'data': 'name\nImported', 'format': 'csv', 'csv_delimiter': ','}
        self.client.post(self._get_url('bulk_import'), data)
        for name in ('Added', 'Imported'):
            self.assertEqual(EnforcementRun.objects.get(name=name).author, self.user)
        other = make_run()
        self.client.post(self._get_url('edit', other), {'name': 'Edited'})
        self.assertIsNone(EnforcementRun.objects.get(pk=other.pk).author)

    def test_a_run_that_was_started_is_kept(self):
        run = approve(make_run(name='<b>March</b>'), status=RunStatusChoices.RUNNING, started_at=NOW)
        self.add_permissions('netbox_delinquency.delete_enforcementrun', 'netbox_delinquency.view_enforcementrun')
        for action, *instance in (('delete', run), ('bulk_delete',)):
            data = {'pk': [run.pk], 'confirm': True, '_confirm': True}
            response = self.client.post(self._get_url(action, *instance), data, follow=True)
            self.assertContains(response, 'its rows are the journal and are kept')
            self.assertNotContains(response, '<b>March</b>')
        for delete in (run.delete, EnforcementRun.objects.filter(pk=run.pk).delete):
            with self.assertRaises(AbortRequest), transaction.atomic():
                delete()
        self.assertTrue(EnforcementRun.objects.filter(pk=run.pk).exists())

    def test_an_approved_run_that_was_not_started_goes_with_its_rows(self):
        change = make_change()
        run = approve(change.run)
        self.add_permissions('netbox_delinquency.delete_enforcementrun')
        self.assertHttpStatus(self.client.post(self._get_url('delete', run), {'confirm': True}), 302)
        self.assertFalse(EnforcementChange.objects.filter(pk=change.pk).exists())


class EnforcementChangeViewTest(
    ListViews,
    ViewTestCases.GetObjectViewTestCase,
    ViewTestCases.GetObjectChangelogViewTestCase,
    ViewTestCases.CreateObjectViewTestCase,
    ViewTestCases.DeleteObjectViewTestCase,
    ViewTestCases.BulkImportObjectsViewTestCase,
    ViewTestCases.BulkEditObjectsViewTestCase,
    ViewTestCases.BulkDeleteObjectsViewTestCase,
):
    model = EnforcementChange
    user_permissions = ('netbox_delinquency.enforce_accessline',)

    @classmethod
    def setUpTestData(cls):
        run = make_run()
        first, second, _ = (make_change(run=run) for _ in range(3))
        line, *others = (make_line() for _ in range(3))
        cls.form_data = {
            'run': run.pk,
            'line': line.pk,
            'desired_mode': AccessModeChoices.THROTTLED,
            'desired_down_kbps': 1000,
            'desired_up_kbps': 500,
            'reason': 'Stage 1',
            'tags': [tag.pk for tag in create_tags('Alpha', 'Bravo')],
        }
        cls.csv_data = (
            'run,line,desired_mode,desired_down_kbps,desired_up_kbps,reason',
            f'{run.pk},{others[0].pk},blocked,,,Stage 2',
            f'{run.pk},{others[1].pk},throttled,1000,500,Stage 1',
        )
        cls.csv_update_data = ('id,reason', f'{first.pk},Stage 3', f'{second.pk},Stage 3')
        cls.bulk_edit_data = {'desired_mode': AccessModeChoices.NORMAL, 'reason': 'By hand'}


class EnforcementChangeEditTest(PluginViews, ViewTestCases.EditObjectViewTestCase):
    """A row keeps its run and its line; what is desired of the line may change while the run is planned."""

    model = EnforcementChange
    user_permissions = ('netbox_delinquency.enforce_accessline',)

    @classmethod
    def setUpTestData(cls):
        for _ in range(3):
            make_change()
        cls.form_data = {
            'desired_mode': AccessModeChoices.THROTTLED,
            'desired_down_kbps': 2000,
            'desired_up_kbps': 700,
            'reason': 'Stage 1',
            'tags': [tag.pk for tag in create_tags('Alpha', 'Bravo')],
        }


@sees_everything
class FrozenRowsTest(PluginViewTestCase):
    """The rows of a run that left `planned` are what was approved, and then the journal."""

    model = EnforcementChange

    def setUp(self):
        super().setUp()
        self.change = make_change(reason='as approved')
        self.planned = make_run()
        self.run_ = approve(self.change.run)
        self.add_permissions(
            'netbox_delinquency.enforce_accessline',
            *(f'netbox_delinquency.{action}_enforcementchange' for action in ('view', 'add', 'change', 'delete')),
        )

    def assert_kept(self):
        kept = EnforcementChange.objects.get(pk=self.change.pk)
        self.assertEqual((kept.reason, kept.desired_mode, kept.run), ('as approved', 'blocked', self.run_))
        self.assertEqual(self.run_.changes.count(), 1)

    def test_a_row_is_not_added(self):
        data = {'run': self.run_.pk, 'line': make_line().pk, 'desired_mode': 'blocked'}
        self.assertContains(self.client.post(self._get_url('add'), data), 'its rows no longer change')
        self.assert_kept()

    def test_a_row_is_not_imported(self):
        text = f'run,line,desired_mode\n{self.run_.pk},{make_line().pk},blocked'
        data = {'data': text, 'format': 'csv', 'csv_delimiter': ','}
        self.assertContains(self.client.post(self._get_url('bulk_import'), data), 'its rows no longer change')
        self.assert_kept()

    def test_a_row_is_not_edited(self):
        data = {'desired_mode': 'normal', 'reason': 'by hand'}
        self.assertContains(self.client.post(self._get_url('edit', self.change), data), 'its rows no longer change')
        self.assert_kept()

    def test_rows_are_not_edited_in_bulk(self):
        data = {'pk': [self.change.pk], '_apply': True, 'reason': 'by hand'}
        self.assertContains(self.client.post(self._get_url('bulk_edit'), data), 'its rows no longer change')
        self.assert_kept()

    def test_a_row_does_not_leave_by_being_moved_to_a_planned_run(self):
        text = f'id,run\n{self.change.pk},{self.planned.pk}'
        data = {'data': text, 'format': 'csv', 'csv_delimiter': ','}
        self.assertContains(self.client.post(self._get_url('bulk_import'), data), 'A row keeps its run and its line')
        data = {'run': self.planned.pk, 'desired_mode': 'blocked', 'reason': 'moved'}
        self.assertContains(self.client.post(self._get_url('edit', self.change), data), 'its rows no longer change')
        self.assert_kept()

    def test_a_row_is_not_deleted_on_any_way(self):
        one = self.client.post(self._get_url('delete', self.change), {'confirm': True}, follow=True)
        self.assertContains(one, 'its rows are kept')
        bulk = {'pk': [self.change.pk], 'confirm': True, '_confirm': True}
        self.assertContains(self.client.post(self._get_url('bulk_delete'), bulk, follow=True), 'its rows are kept')
        for delete in (self.change.delete, EnforcementChange.objects.filter(pk=self.change.pk).delete):
            with self.assertRaises(AbortRequest), transaction.atomic():
                delete()
        self.assert_kept()

    def test_a_row_of_a_planned_run_is_not_given_another_line(self):
        change = make_change()
        text = f'id,line\n{change.pk},{make_line().pk}'
        data = {'data': text, 'format': 'csv', 'csv_delimiter': ','}
        self.assertContains(self.client.post(self._get_url('bulk_import'), data), 'A row keeps its run and its line')

    def test_a_new_row_remembers_the_point_and_how_the_line_was_last_seen(self):
        line = make_line(observed_mode='throttled', observed_down_kbps=1000, observed_up_kbps=500, observed_at=NOW)
        data = {'run': self.planned.pk, 'line': line.pk, 'desired_mode': 'blocked'}
        self.assertHttpStatus(self.client.post(self._get_url('add'), data), 302)
        change = self.planned.changes.get()
        self.assertEqual((change.point, change.expected), (line.bras, line.observed))
