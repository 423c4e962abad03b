"""The page of a run from plan to end: preview, progress, and the buttons that its status and one's permissions give."""

from datetime import UTC, datetime
from unittest import mock

from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from utilities.testing import TestCase

from netbox_delinquency.choices import RunStatusChoices
from netbox_delinquency.dashboard import EnforcementWidget
from netbox_delinquency.models import AccessLine, EnforcementChange, EnforcementRun, EnforcementSettings, RunPoint
from netbox_delinquency.runs.plan import plan_runs, unplanned_lines
from netbox_delinquency.ui.counts import drift_by_point
from tests.plugin.factories import make_line, make_point, make_run, restrict, restrict_all

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
BEFORE = {'stored': {'mode': 'normal'}, 'live': {'mode': 'normal'}, 'detail': {}, 'error': ''}


class RunPagesTestCase(TestCase):
    user_permissions = ('netbox_delinquency.view_enforcementrun',)

    @classmethod
    def setUpTestData(cls):
        cls.point = make_point(name='bras-1')
        cls.lines = [make_line(bras=cls.point, username=f'user-{number}') for number in range(4)]
        AccessLine.objects.update(intended_mode='blocked', observed_mode='normal', observed_at=NOW)

    def planned(self):
        (run,) = plan_runs(unplanned_lines(), NOW)
        return run

    def advance(self, run, status, **values):
        """As the engine leaves a run."""
        fields = {'status': status, 'approved_at': NOW, 'approved_hash': run.plan_hash, **values}
        if status not in (RunStatusChoices.PLANNED, RunStatusChoices.APPROVED):
            fields.setdefault('started_at', NOW)
        if status in RunStatusChoices.ENDED:
            fields['finished_at'] = NOW
        EnforcementRun.objects.filter(pk=run.pk).update(**fields)
        run.refresh_from_db()
        return run

    def close(self, rows, outcome='applied'):
        rows.update(outcome=outcome, finished_at=NOW, sent_at=NOW, before=BEFORE)

    def page(self, run):
        response = self.client.get(run.get_absolute_url())
        self.assertHttpStatus(response, 200)
        return response.content.decode()

    def press(self, run, action, **data):
        return self.client.post(reverse(f'plugins:netbox_delinquency:enforcementrun_{action}', args=[run.pk]), data)

    def buttons(self, run):
        page = self.page(run)
        names = ('approve', 'start', 'pause', 'resume', 'cancel', 'revert')
        return {name for name in names if f'/runs/{run.pk}/{name}/' in page}


class PagesTest(RunPagesTestCase):
    def test_a_plan_shows_what_it_would_do_and_why_it_cannot_be_approved(self):
        run = self.planned()
        page = self.page(run)
        self.assertIn('Of its active lines', page)
        self.assertIn('100.0 % of 4', page)
        self.assertNotIn('Cannot be approved', page)
        EnforcementSettings(max_rows_per_run=3).save()
        self.assertIn('Cannot be approved: it has 4 rows, and a run may have 3', ' '.join(self.page(run).split()))
        AccessLine.objects.update(unverified=True)
        self.assertIn('4 lines are unverified', self.page(run))

    def test_an_empty_run_has_a_page(self):
        page = self.page(make_run())
        self.assertIn('This run has no rows yet.', page)
        self.assertNotIn('Of its active lines', page)

    def test_the_reason_why_a_plan_waits_for_a_person_is_on_its_page(self):
        run = self.planned()
        EnforcementRun.objects.filter(pk=run.pk).update(stop_reason='it has 4 rows, and a run may have 3')
        self.assertIn('a run may have 3', self.page(run))

    def test_a_running_run_looks_again_and_an_ended_one_does_not(self):
        run = self.advance(self.planned(), 'running', wave=2)
        self.close(run.changes.filter(wave=1))
        RunPoint.objects.create(
            run=run, point=self.point, sessions_before=40, sessions_now=39, latency_before_s=0.02, latency_now_s=0.03,
            executor='worker-7',
        )  # fmt: skip
        page = self.page(run)
        self.assertIn(f'hx-get="/plugins/delinquency/runs/{run.pk}/progress/?status=running"', page)
        self.assertIn('hx-trigger="every 2s"', page)
        for text in ('40 → 39', '0.02 → 0.03', 'worker-7', '<strong>1</strong> / 4'):
            self.assertIn(text, page)
        self.assertNotIn('Of its active lines', page)
        self.close(run.changes.all())
        page = self.page(self.advance(run, 'completed'))
        self.assertNotIn('hx-trigger="every 2s"', page)
        self.assertIn('<strong>4</strong> / 4', page)

    def test_the_progress_alone_reloads_the_page_when_the_status_is_another(self):
        run = self.advance(self.planned(), 'running', wave=1)
        url = reverse('plugins:netbox_delinquency:enforcementrun_progress', args=[run.pk])
        answer = self.client.get(url, {'status': 'running'})
        self.assertContains(answer, 'id="run-progress"')
        self.assertNotContains(answer, '<html')
        self.assertNotIn('HX-Refresh', answer)
        self.advance(run, 'paused', stop_reason='too many rows went wrong')
        answer = self.client.get(url, {'status': 'running'})
        self.assertEqual(answer['HX-Refresh'], 'true')
        self.assertContains(answer, 'too many rows went wrong')
        self.remove_permissions('netbox_delinquency.view_enforcementrun')
        self.assertHttpStatus(self.client.get(url), 403)

    def test_bars_have_the_outcomes_of_their_wave(self):
        run = self.advance(self.planned(), 'failed')
        self.close(run.changes.filter(wave__lte=3))
        self.close(run.changes.filter(wave=4), 'unknown')
        page = self.page(run)
        self.assertIn('bg-purple" style="width: 100.000%" title="Unknown: 1"', page)
        self.assertIn('bg-green" style="width: 75.000%" title="Applied: 3"', page)

    def test_the_page_takes_as_many_queries_for_many_rows_as_for_few(self):
        small = self.advance(self.planned(), 'running', wave=1)
        AccessLine.objects.filter(pk__in=[line.pk for line in self.lines]).update(intended_mode='normal')
        for _ in range(20):
            make_line(bras=self.point, intended_mode='blocked')
        large = self.advance(self.planned(), 'running', wave=1)
        url = 'plugins:netbox_delinquency:enforcementrun_progress'
        self.client.get(reverse(url, args=[small.pk]))
        counts = []
        for run in (small, large):
            with CaptureQueriesContext(connection) as queries:
                self.client.get(reverse(url, args=[run.pk]))
            counts.append(len(queries))
        self.assertEqual(counts[0], counts[1])


class ButtonsTest(RunPagesTestCase):
    def all_permissions(self):
        self.add_permissions(
            'netbox_delinquency.enforce_accessline',
            *(f'netbox_delinquency.{action}_enforcementrun' for action in ('approve', 'execute', 'cancel')),
        )

    def test_each_status_has_its_buttons_for_those_who_may(self):
        run = self.planned()
        for status in RunStatusChoices.values():
            self.advance(run, status)
            self.assertEqual(self.buttons(run), set(), status)
        self.all_permissions()
        for status, expected in (
            ('planned', {'approve', 'cancel'}),
            ('approved', {'start', 'cancel'}),
            ('running', {'pause', 'cancel'}),
            ('paused', {'resume', 'cancel', 'revert'}),
            ('completed', {'revert'}),
            ('failed', {'revert'}),
        ):
            EnforcementRun.objects.filter(pk=run.pk).update(started_at=None, finished_at=None, status='planned')
            self.assertEqual(self.buttons(self.advance(run, status)), expected, status)

    def test_none_works_without_its_permission(self):
        run = self.advance(self.planned(), 'running')
        for action in ('pause', 'resume', 'cancel', 'revert'):
            self.assertEqual(self.press(run, action).status_code, 403, action)

    def test_a_run_is_paused_with_a_reason_and_resumed(self):
        self.all_permissions()
        run = self.advance(self.planned(), 'running', resumed_at='2026-11-23T12:00:00+00:00')
        self.press(run, 'pause', reason='phones are ringing')
        run.refresh_from_db()
        self.assertEqual(run.status, 'paused')
        self.assertIn('phones are ringing', run.stop_reason)
        self.assertIn('phones are ringing', self.page(run))
        with mock.patch('netbox_delinquency.views.run_actions.resume_run') as resume:
            self.press(run, 'resume')
        self.assertEqual(resume.call_args.args[0], run)

    def test_one_click_plans_the_way_back_and_says_what_is_left_out(self):
        self.all_permissions()
        run = self.advance(self.planned(), 'completed')
        self.close(run.changes.all())
        run.changes.filter(line=self.lines[3]).update(before=None)
        AccessLine.objects.update(observed_mode='blocked')
        restrict_all()
        answer = self.client.post(
            reverse('plugins:netbox_delinquency:enforcementrun_revert', args=[run.pk]), follow=True
        )
        (revert,) = EnforcementRun.objects.filter(reverts=run)
        self.assertRedirects(answer, revert.get_absolute_url())
        self.assertContains(answer, 'Left out: user-3: it was not read before it was sent.')
        self.assertEqual((revert.author, revert.changes.count(), revert.status), (self.user, 3, 'planned'))
        self.assertContains(answer, 'Of its active lines')

    def test_selected_rows_are_reverted_from_their_list(self):
        self.add_permissions('netbox_delinquency.view_enforcementchange')
        run = self.advance(self.planned(), 'completed')
        self.close(run.changes.all())
        row = run.changes.first()
        url = reverse('plugins:netbox_delinquency:enforcementchange_bulk_revert')
        listed = reverse('plugins:netbox_delinquency:enforcementchange_list')
        self.assertNotContains(self.client.get(listed), url)
        self.assertHttpStatus(self.client.post(url, {'pk': [row.pk]}), 403)
        self.all_permissions()
        self.assertContains(self.client.get(listed), url)
        self.client.post(url, {'pk': [row.pk]})
        (revert,) = EnforcementRun.objects.filter(reverts=run)
        self.assertEqual(revert.changes.get().line, row.line)

    def test_only_lines_that_are_ones_own_to_change_go_back(self):
        self.all_permissions()
        permission = self.user.object_permissions.get(name='netbox_delinquency.enforce_accessline')
        permission.constraints = {'username': 'user-0'}
        permission.save()
        run = self.advance(self.planned(), 'completed')
        self.close(run.changes.all())
        answer = self.client.post(
            reverse('plugins:netbox_delinquency:enforcementrun_revert', args=[run.pk]), follow=True
        )
        self.assertContains(answer, 'its line is not yours to change')
        self.assertEqual(EnforcementRun.objects.get(reverts=run).changes.get().line, self.lines[0])


class LinesTest(RunPagesTestCase):
    def post(self, action, *lines):
        url = reverse(f'plugins:netbox_delinquency:accessline_bulk_{action}')
        return self.client.post(url, {'pk': [line.pk for line in lines]})

    def test_lines_are_unpinned_by_those_who_may(self):
        AccessLine.objects.update(pinned=True)
        self.assertHttpStatus(self.post('unpin', self.lines[0]), 403)
        self.add_permissions('netbox_delinquency.enforce_accessline', 'netbox_delinquency.view_accessline')
        self.assertContains(self.client.get(reverse('plugins:netbox_delinquency:accessline_list')), 'Unpin Selected')
        self.post('unpin', self.lines[0])
        self.assertEqual(AccessLine.objects.filter(pinned=True).count(), 3)

    def test_selected_lines_are_read_back_point_by_point(self):
        other = make_line(bras=make_point())
        self.assertHttpStatus(self.post('reconcile', other), 403)
        self.add_permissions('netbox_delinquency.enforce_accessline')
        with mock.patch('netbox_delinquency.jobs.points.ReconcilePoint.enqueue') as enqueue:
            enqueue.return_value.get_absolute_url.return_value = '/'
            self.post('reconcile', self.lines[0], self.lines[1], other)
        queued = {call.kwargs['point']: call.kwargs['lines'] for call in enqueue.call_args_list}
        self.assertEqual({point: sorted(lines) for point, lines in queued.items()}, {
            self.point.pk: [self.lines[0].pk, self.lines[1].pk], other.bras.pk: [other.pk],
        })  # fmt: skip

    def test_a_point_has_its_button_and_its_drift(self):
        self.add_permissions('netbox_delinquency.view_enforcementpoint', 'netbox_delinquency.view_accessline')
        url = reverse('plugins:netbox_delinquency:enforcementpoint_reconcile', args=[self.point.pk])
        page = self.client.get(self.point.get_absolute_url())
        self.assertContains(page, 'Under-enforced')
        self.assertNotContains(page, url)
        self.assertHttpStatus(self.client.post(url), 403)
        self.add_permissions('netbox_delinquency.reconcile_enforcementpoint')
        self.assertContains(self.client.get(self.point.get_absolute_url()), url)
        with mock.patch('netbox_delinquency.views.point.enqueue_reconcile') as enqueue:
            enqueue.return_value.get_absolute_url.return_value = '/'
            self.client.post(url)
        enqueue.assert_called_once_with(self.point, user=self.user)

    def test_drift_is_counted_by_point_of_what_the_user_may_see(self):
        other = make_point(name='bras-2')
        restrict(make_line(bras=other, observed_mode='blocked', observed_at=NOW))
        AccessLine.objects.filter(pk=self.lines[0].pk).update(unverified=True)
        AccessLine.objects.filter(pk=self.lines[1].pk).update(intended_mode='normal')
        self.assertEqual(drift_by_point(self.user), [])
        self.add_permissions('netbox_delinquency.view_accessline')
        self.user = type(self.user).objects.get(pk=self.user.pk)
        rows = [(row.point, row.over_enforced, row.under_enforced, row.unverified) for row in drift_by_point(self.user)]
        self.assertEqual(rows, [('bras-1', 0, 2, 1), ('bras-2', 1, 0, 0)])
        self.assertEqual(len(drift_by_point(self.user, other)), 1)
        request = mock.Mock(user=self.user)
        self.assertIn('bras-2', EnforcementWidget().render(request))


class ChangeListTest(RunPagesTestCase):
    def test_rows_of_a_run_without_anything_sent_say_so(self):
        self.add_permissions('netbox_delinquency.enforce_accessline', 'netbox_delinquency.view_enforcementchange')
        run = self.planned()
        url = reverse('plugins:netbox_delinquency:enforcementchange_bulk_revert')
        answer = self.client.post(url, {'pk': [run.changes.first().pk]}, follow=True)
        self.assertContains(answer, 'only what was sent can be reverted')
        self.assertEqual(EnforcementChange.objects.values('run').distinct().count(), 1)
