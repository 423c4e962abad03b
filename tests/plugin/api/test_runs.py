"""Runs and their rows: made by clients, moved on only by the engine, fixed once approved."""

from django.utils import timezone
from users.models import User

from netbox_delinquency.models import EnforcementChange, EnforcementRun

from ..factories import make_line, make_run
from .base import APP, PluginViewTestCase

NORMAL = {'mode': 'normal', 'down_kbps': None, 'up_kbps': None}
BLOCKED = {'mode': 'blocked', 'down_kbps': None, 'up_kbps': None}
THROTTLED = {'mode': 'throttled', 'down_kbps': 1_000, 'up_kbps': 500}


def approve(run):
    now = timezone.now()
    EnforcementRun.objects.filter(pk=run.pk).update(status='approved', approved_at=now, approved_hash='0' * 64)
    return run


class EnforcementRunAPITest(PluginViewTestCase):
    model = EnforcementRun
    brief_fields = ['description', 'display', 'id', 'kind', 'name', 'status', 'url']
    create_data = [{'name': f'New {number}', 'description': 'x', 'comments': 'y'} for number in range(3)]
    bulk_update_data = {'description': 'checked'}
    bulk_update_invalid_data = {'name': ''}
    derived = ('change_count',)

    @classmethod
    def setUpTestData(cls):
        for number in range(4):
            author = User.objects.create_user(f'author-{number}')
            approver = User.objects.create_user(f'approver-{number}')
            approve(make_run(author=author, approver=approver))

    def test_who_posts_a_run_is_its_author(self):
        self.may('add_enforcementrun')
        self.may('view_enforcementrun')
        row = self.send('post', self._get_list_url(), {'name': 'October', 'status': 'approved', 'kind': 'restore'}, 201)
        assert row['author']['username'] == self.user.username
        assert (row['status']['value'], row['kind']['value'], row['approver']) == ('planned', 'enforce', None)

    def test_a_run_that_was_started_is_kept(self):
        self.may('delete_enforcementrun')
        run = EnforcementRun.objects.first()
        EnforcementRun.objects.filter(pk=run.pk).update(started_at=timezone.now())
        answer = self.send('delete', self._get_detail_url(run), None, 400)
        assert 'its rows are the journal' in answer['detail']
        answer = self.send('delete', self._get_list_url(), [{'id': run.pk}], 400)
        assert 'its rows are the journal' in str(answer['errors'])
        assert EnforcementRun.objects.filter(pk=run.pk).exists()


class EnforcementChangeAPITest(PluginViewTestCase):
    model = EnforcementChange
    user_permissions = (
        *(f'{APP}.view_{name}' for name in ('enforcementrun', 'accessline', 'enforcementpoint')),
        f'{APP}.enforce_accessline',
    )
    brief_fields = ['desired', 'display', 'id', 'outcome', 'url']
    update_data = {'reason': 'checked by hand'}
    bulk_update_data = {'reason': 'checked by hand'}
    bulk_update_invalid_data = {'desired': {'mode': 'throttled'}}
    validation_excluded_fields = ['desired']  # an object here, three columns there
    derived = ('expected', 'target')
    notes_who_writes = ('authors',)

    @classmethod
    def setUpTestData(cls):
        for _ in range(4):
            EnforcementChange.objects.create(
                run=make_run(), line=make_line(), desired_mode='throttled', desired_down_kbps=1_000, desired_up_kbps=500
            )
        run = make_run()
        cls.create_data = [
            {'run': run.pk, 'line': make_line().pk, 'desired': BLOCKED, 'reason': '30 days'} for _ in range(3)
        ]

    def setUp(self):
        super().setUp()
        self.row = EnforcementChange.objects.first()
        self.url = self._get_detail_url(self.row)

    def test_a_row_takes_its_point_and_what_is_expected_from_its_line(self):
        self.may('add_enforcementchange')
        self.may('view_enforcementchange')
        line = make_line(observed_mode='normal', observed_at=timezone.now())
        data = {'run': make_run().pk, 'line': line.pk, 'desired': THROTTLED, 'point': self.row.point_id}
        row = self.send('post', self._get_list_url(), data, 201)
        assert (row['point']['id'], row['expected'], row['desired']) == (line.bras_id, NORMAL, THROTTLED)
        stored = EnforcementChange.objects.get(pk=row['id'])
        assert (stored.desired.as_dict(), stored.point_id) == (THROTTLED, line.bras_id)

    def test_a_list_has_all_that_a_driver_needs(self):
        self.may('view_enforcementchange')
        for row in self.get(self._get_list_url())['results']:
            assert row['target']['key'] == str(row['line']['id'])
            assert row['target']['down_kbps'] == 100_000
            assert row['target']['parameters'] == {'profile': 'fibre-100', 'throttled_profile': 'reduced'}

    def test_half_a_state_is_refused(self):
        self.may('change_enforcementchange')
        for desired in (
            {'mode': 'throttled'},
            {'mode': 'throttled', 'down_kbps': 0, 'up_kbps': 500},
            {'mode': 'throttled', 'down_kbps': 'fast', 'up_kbps': 500},
            {'mode': 'blocked', 'down_kbps': 1_000, 'up_kbps': 500},
            {'mode': 'suspended'},
            {'down_kbps': 2_000, 'up_kbps': 500},
            {},
            None,
            'blocked',
        ):
            assert list(self.send('patch', self.url, {'desired': desired}, 400)) == ['desired'], desired
        self.row.refresh_from_db()
        assert self.row.desired.as_dict() == THROTTLED

    def test_a_row_can_be_changed_while_its_run_is_planned(self):
        self.may('change_enforcementchange')
        self.may('view_enforcementchange')
        assert self.send('patch', self.url, {'desired': {'mode': 'blocked'}}, 200)['desired'] == BLOCKED

    def test_no_row_is_added_changed_or_deleted_once_its_run_is_approved(self):
        for action in ('add', 'change', 'delete'):
            self.may(f'{action}_enforcementchange')
        run = approve(self.row.run)
        sentence = f'Run {run} is Approved'
        data = {'run': run.pk, 'line': make_line().pk, 'desired': BLOCKED}
        assert sentence in str(self.send('post', self._get_list_url(), data, 400))
        assert sentence in str(self.send('patch', self.url, {'desired': BLOCKED}, 400))
        assert sentence in str(self.send('patch', self.url, {'reason': 'x'}, 400))
        assert sentence in self.send('delete', self.url, None, 400)['detail']
        assert sentence in str(self.send('patch', self._get_list_url(), [{'id': self.row.pk, 'reason': 'x'}], 400))
        assert sentence in str(self.send('delete', self._get_list_url(), [{'id': self.row.pk}], 400))
        self.row.refresh_from_db()
        assert (self.row.desired.as_dict(), self.row.reason, run.changes.count()) == (THROTTLED, '', 1)

    def test_a_row_does_not_leave_the_journal_of_an_approved_run(self):
        self.may('change_enforcementchange')
        run = approve(self.row.run)
        self.send('patch', self.url, {'run': make_run().pk}, 400)
        self.row.refresh_from_db()
        assert self.row.run_id == run.pk

    def test_a_line_has_one_row_in_a_run(self):
        self.may('add_enforcementchange')
        data = {'run': self.row.run_id, 'line': self.row.line_id, 'desired': BLOCKED}
        assert 'already has a row' in str(self.send('post', self._get_list_url(), data, 400))

    def test_a_line_without_a_point_gets_no_row(self):
        self.may('add_enforcementchange')
        line = make_line(bras=None, status='planned')
        data = {'run': make_run().pk, 'line': line.pk, 'desired': BLOCKED}
        assert 'no enforcement point' in self.send('post', self._get_list_url(), data, 400)['line'][0]

    def test_graphql_filters_by_what_came_of_a_row(self):
        self.may('view_enforcementchange')
        EnforcementChange.objects.filter(pk=self.row.pk).update(outcome='unknown', finished_at=timezone.now())
        answer = self.graphql(
            '{delinquency_enforcement_change_list(filters: {outcome: {exact: OUTCOME_UNKNOWN}}) {id outcome}}'
        )
        rows = answer['data']['delinquency_enforcement_change_list']
        assert rows == [{'id': str(self.row.pk), 'outcome': 'unknown'}]
