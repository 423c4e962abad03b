"""Preview and revert of runs, reading back and unpinning of lines, over REST."""

from datetime import UTC, datetime
from unittest import mock

from core.models import Job

from netbox_delinquency.models import AccessLine, EnforcementChange, EnforcementRun
from netbox_delinquency.runs.plan import plan_runs, unplanned_lines
from tests.plugin.api.base import PluginAPITestCase
from tests.plugin.factories import make_line, make_point, restrict_all

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
BASE = '/api/plugins/delinquency'
BEFORE = {'stored': {'mode': 'normal'}, 'live': {'mode': 'normal'}, 'detail': {'profile': 'home'}, 'error': ''}


class RunPlansTest(PluginAPITestCase):
    @classmethod
    def setUpTestData(cls):
        cls.point = make_point(name='bras-1')
        cls.lines = [make_line(bras=cls.point, username=name) for name in 'abc']
        AccessLine.objects.update(intended_mode='blocked', observed_mode='normal', observed_at=NOW)
        (cls.run_,) = plan_runs(unplanned_lines(), NOW)
        cls.url = f'{BASE}/runs/{cls.run_.pk}'

    def done(self):
        EnforcementRun.objects.update(
            status='completed', approved_at=NOW, approved_hash='f' * 64, started_at=NOW, finished_at=NOW
        )
        EnforcementChange.objects.update(outcome='applied', finished_at=NOW, sent_at=NOW, before=BEFORE)
        AccessLine.objects.update(observed_mode='blocked')
        restrict_all()

    def test_a_preview_is_for_those_who_may_see_the_run(self):
        self.send('get', f'{self.url}/preview/', {}, 403)
        self.may('view_enforcementrun')
        self.may('view_enforcementpoint')
        self.may('view_billingsource')
        preview = self.get(f'{self.url}/preview/')
        self.assertEqual((preview['rows'], preview['block'], preview['waves']), (3, 3, {'1': 1, '2': 1, '3': 1}))
        (point,) = preview['points']
        self.assertEqual((point['name'], point['share'], point['lines'], point['sessions']), ('bras-1', 100, 3, None))
        self.assertEqual({warned['kind'] for warned in preview['warnings']}, {'stale', 'unwatched'})
        self.assertEqual((preview['refusals'], preview['max_rows_per_run']), ([], 5000))

    def test_a_run_is_reverted_whole_or_by_its_rows(self):
        self.done()
        self.send('post', f'{self.url}/revert/', {}, 403)
        self.may('enforce_accessline')
        self.send('post', f'{self.url}/revert/', {}, 404)
        self.may('view_enforcementrun')
        row = self.run_.changes.get(line=self.lines[0])
        answer = self.send('post', f'{self.url}/revert/', {'rows': [row.pk]}, 201)
        (revert,) = answer['runs']
        self.assertEqual(
            (revert['kind']['value'], revert['status']['value'], answer['left_out']), ('restore', 'planned', [])
        )
        self.assertEqual(revert['author']['username'], self.user.username)
        planned = EnforcementChange.objects.get(run=revert['id'])
        self.assertEqual((planned.line, planned.exact), (self.lines[0], {'profile': 'home'}))
        AccessLine.objects.filter(username='b').update(status='retired')
        answer = self.send('post', f'{self.url}/revert/', {}, 201)
        self.assertEqual([left['line'] for left in answer['left_out']], ['b'])
        self.assertEqual(EnforcementChange.objects.filter(run=answer['runs'][0]['id']).count(), 2)

    def test_a_revert_is_refused_in_a_sentence(self):
        self.may('enforce_accessline')
        self.may('view_enforcementrun')
        refused = self.send('post', f'{self.url}/revert/', {}, 409)
        self.assertIn('only what was sent', refused['detail'])
        self.done()
        self.assertIn('has no rows 0', self.send('post', f'{self.url}/revert/', {'rows': [0]}, 409)['detail'])
        self.send('post', f'{self.url}/revert/', {'rows': []}, 400)
        self.send('post', f'{self.url}/revert/', {'rows': 'all'}, 400)
        self.token.write_enabled = False
        self.token.save()
        self.send('post', f'{self.url}/revert/', {}, 403)

    def test_lines_are_unpinned_by_filter_and_never_all_by_mistake(self):
        AccessLine.objects.update(pinned=True)
        url = f'{BASE}/access-lines/unpin/'
        self.send('post', url, {'filters': {'username': ['a']}}, 403)
        self.may('enforce_accessline')
        for body in ({}, {'filters': {}}, {'filters': {'nonsense': 'x'}}):
            self.send('post', url, body, 400)
        self.assertEqual(self.send('post', url, {'filters': {'username': ['a', 'b']}}, 200), {'unpinned': 2})
        self.assertEqual(AccessLine.objects.get(pinned=True).username, 'c')

    def test_reading_back_is_queued_for_lines_and_for_a_point(self):
        url = f'{BASE}/access-lines/reconcile/'
        self.send('post', url, {'filters': {'username': ['a']}}, 403)
        self.may('enforce_accessline')
        with mock.patch('core.models.jobs.transaction.on_commit'):
            (job,) = self.send('post', url, {'filters': {'username': ['a']}}, 202)
            self.assertEqual(Job.objects.get(pk=job['id']).object, self.point)
            url = f'{BASE}/enforcement-points/{self.point.pk}/reconcile/'
            self.may('check_enforcementpoint')
            self.send('post', url, {}, 403)
            self.may('reconcile_enforcementpoint')
            self.send('post', url, {}, 202)
        self.assertEqual(Job.objects.filter(name='Reconcile').count(), 2)
