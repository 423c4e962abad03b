"""The buttons on lines and runs, pressed by those who may and by those who may not."""

from datetime import UTC, datetime
from unittest import mock

from django.urls import reverse
from utilities.testing import TestCase

from netbox_delinquency.choices import RunStatusChoices
from netbox_delinquency.models import AccessLine, EnforcementRun
from netbox_delinquency.models.state import set_state, state_fields
from netbox_delinquency.runs.plan import plan_runs, unplanned_lines
from nornir_tasks.change import AccessState
from tests.plugin.factories import make_line, make_point

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


class RunActionsTestCase(TestCase):
    user_permissions = ('netbox_delinquency.view_enforcementrun', 'netbox_delinquency.view_accessline')

    @classmethod
    def setUpTestData(cls):
        cls.lines = [make_line(bras=make_point()) for _ in range(2)]
        for line in cls.lines:
            set_state(line, 'intended', AccessState.blocked())
            line.save(update_fields=state_fields('intended'))

    def planned(self):
        (run,) = plan_runs(unplanned_lines(), NOW)
        return run

    def press(self, run, action, **data):
        url = reverse(f'plugins:netbox_delinquency:enforcementrun_{action}', args=[run.pk])
        response = self.client.post(url, data)
        run.refresh_from_db()
        return response

    def plan(self, *lines):
        url = reverse('plugins:netbox_delinquency:accessline_bulk_plan')
        return self.client.post(url, {'pk': [line.pk for line in lines]})

    def test_without_the_permission_no_button_is_shown_and_none_works(self):
        run = self.planned()
        page = self.client.get(run.get_absolute_url()).content.decode()
        for action in ('approve', 'start', 'cancel'):
            self.assertNotIn(f'/{action}/', page)
            self.assertEqual(self.press(run, action, plan_hash=run.plan_hash).status_code, 403)
        self.assertEqual(run.status, RunStatusChoices.PLANNED)
        run.delete()
        self.assertEqual(self.plan(*self.lines).status_code, 403)
        self.assertFalse(EnforcementRun.objects.exists())

    def test_lines_are_planned_approved_and_queued(self):
        self.add_permissions(
            'netbox_delinquency.enforce_accessline',
            'netbox_delinquency.approve_enforcementrun',
            'netbox_delinquency.execute_enforcementrun',
        )
        url = reverse('plugins:netbox_delinquency:accessline_bulk_plan')
        page = self.client.get(reverse('plugins:netbox_delinquency:accessline_list')).content.decode()
        self.assertIn(url, page)
        self.assertEqual(self.plan(self.lines[0]).status_code, 302)
        run = EnforcementRun.objects.get()
        self.assertEqual((run.changes.get().line, run.author), (self.lines[0], self.user))
        self.assertIn('/approve/', self.client.get(run.get_absolute_url()).content.decode())
        self.press(run, 'approve', plan_hash=run.plan_hash)
        self.assertEqual((run.status, run.approver), (RunStatusChoices.APPROVED, self.user))
        with mock.patch('netbox_delinquency.views.run_actions.enqueue_run') as enqueue:
            self.press(run, 'start')
        enqueue.assert_called_once_with(run, user=self.user)

    def test_rows_that_changed_since_the_page_was_shown_are_not_approved(self):
        self.add_permissions('netbox_delinquency.approve_enforcementrun')
        run = self.planned()
        seen = run.plan_hash
        run.changes.first().delete()
        self.press(run, 'approve', plan_hash=seen)
        self.assertEqual(run.status, RunStatusChoices.PLANNED)
        page = self.client.get(run.get_absolute_url()).content.decode()
        self.assertIn('not those of the plan you saw', page)

    def test_an_object_permission_with_constraints_covers_only_what_it_names(self):
        self.add_permissions('netbox_delinquency.enforce_accessline')
        permission = self.user.object_permissions.get(name='netbox_delinquency.enforce_accessline')
        permission.constraints = {'username': self.lines[0].username}
        permission.save()
        self.plan(*self.lines)
        self.assertEqual(EnforcementRun.objects.get().changes.get().line, self.lines[0])

    def test_all_lines_that_the_filters_show_are_planned_and_no_other(self):
        self.add_permissions('netbox_delinquency.enforce_accessline')
        url = reverse('plugins:netbox_delinquency:accessline_bulk_plan')
        self.client.post(f'{url}?username={self.lines[1].username}', {'_all': 'on', 'pk': [self.lines[0].pk]})
        self.assertEqual(EnforcementRun.objects.get().changes.get().line, self.lines[1])

    def test_a_run_can_be_cancelled_until_it_starts(self):
        self.add_permissions('netbox_delinquency.cancel_enforcementrun')
        run = self.planned()
        self.press(run, 'cancel')
        self.assertEqual(run.status, RunStatusChoices.CANCELLED)
        self.assertNotIn('/cancel/', self.client.get(run.get_absolute_url()).content.decode())
        self.press(run, 'cancel')
        self.assertEqual(run.status, RunStatusChoices.CANCELLED)

    def test_planning_what_is_as_intended_makes_no_run(self):
        self.add_permissions('netbox_delinquency.enforce_accessline')
        AccessLine.objects.update(intended_mode='normal')
        self.plan(*self.lines)
        self.assertFalse(EnforcementRun.objects.exists())
