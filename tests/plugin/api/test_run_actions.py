"""Runs over REST: plan, approve, start, and the journal that a runbook keeps in NetBox."""

from datetime import timedelta
from unittest import mock

from django.urls import reverse
from django.utils import timezone
from utilities.testing import APITestCase

from netbox_delinquency.choices import RunStatusChoices
from netbox_delinquency.jobs.recovery import recover
from netbox_delinquency.models import AccessLine, EnforcementRun, Restriction
from nornir_tasks.change import AccessState, Reading
from tests.plugin.factories import intend, make_line, make_point

NORMAL, BLOCKED = AccessState.normal(), AccessState.blocked()
BEFORE, AFTER = Reading(NORMAL, NORMAL, {'profile': 'fibre'}), Reading(BLOCKED, BLOCKED)


class RunActionsTestCase(APITestCase):
    user_permissions = ('netbox_delinquency.view_enforcementrun',)

    @classmethod
    def setUpTestData(cls):
        cls.lines = [make_line(username=name, bras=make_point(name=f'bras-{name}')) for name in 'ab']
        for line in cls.lines:
            intend(line, BLOCKED)

    def post(self, action, body=None, pk=None, status=200):
        route = 'enforcementrun-' + action
        url = reverse(f'plugins-api:netbox_delinquency-api:{route}', args=[pk] if pk else [])
        response = self.client.post(url, body or {}, format='json', **self.header)
        self.assertHttpStatus(response, status)
        return response.json()

    def allow(self, *actions):
        self.add_permissions(
            'netbox_delinquency.enforce_accessline',
            *(f'netbox_delinquency.{action}_enforcementrun' for action in actions),
        )

    def planned(self):
        self.allow('approve', 'execute', 'cancel')
        (run,) = self.post('plan', {'name': 'tonight'}, status=201)
        return run

    def begun(self):
        run = self.planned()
        self.post('approve', {'plan_hash': run['plan_hash']}, run['id'])
        return self.post('begin', pk=run['id'])

    def keys(self, run):
        changes = EnforcementRun.objects.get(pk=run['id']).changes.order_by('line_id')
        return [str(pk) for pk in changes.values_list('pk', flat=True)]

    def finished(self, keys, **values):
        result = {'outcome': 'applied', 'before': BEFORE.as_dict(), 'after': AFTER.as_dict(), 'message': '', **values}
        return {'results': [{'key': key, **result} for key in keys]}

    def test_every_action_asks_for_its_own_permission(self):
        run = EnforcementRun.objects.create(name='somebody')
        for action in (
            'approve',
            'start',
            'cancel',
            'begin',
            'claim',
            'sending',
            'finished',
            'finish',
            'unsent',
            'health',
            'pause',
            'resume',
        ):
            with self.subTest(action):
                self.post(action, pk=run.pk, status=403)
        self.post('plan', status=403)

    def test_a_token_that_may_not_write_may_not_act(self):
        run = self.planned()
        self.token.write_enabled = False
        self.token.save()
        self.post('approve', {'plan_hash': run['plan_hash']}, run['id'], status=403)

    def test_lines_are_planned_by_the_filters_of_their_list(self):
        self.allow()
        self.add_permissions('netbox_delinquency.view_enforcementpoint', 'netbox_delinquency.view_contract')
        (run,) = self.post('plan', {'filters': {'bras': ['bras-a']}}, status=201)
        self.assertEqual(EnforcementRun.objects.get(pk=run['id']).changes.get().line, self.lines[0])
        self.assertEqual(run['author']['username'], self.user.username)
        self.assertIn('no such filters: brass', str(self.post('plan', {'filters': {'brass': 'x'}}, status=400)))
        self.post('plan', {'filters': {'contract_id': 'x'}}, status=400)
        self.post('plan', {'filters': 'all'}, status=400)
        self.assertEqual(EnforcementRun.objects.count(), 1)

    def test_approval_without_the_hash_of_what_was_seen_is_refused(self):
        run = self.planned()
        self.post('approve', {}, run['id'], status=400)
        self.assertIn('not those', self.post('approve', {'plan_hash': '0' * 64}, run['id'], status=409)['detail'])
        approved = self.post('approve', {'plan_hash': run['plan_hash']}, run['id'])
        self.assertEqual(approved['status']['value'], RunStatusChoices.APPROVED)

    def test_only_an_approved_run_is_queued(self):
        run = self.planned()
        self.assertIn('only an approved', self.post('start', pk=run['id'], status=409)['detail'])
        self.post('approve', {'plan_hash': run['plan_hash']}, run['id'])
        with mock.patch('netbox_delinquency.jobs.runs.ExecuteRun.enqueue') as enqueue:
            self.post('start', pk=run['id'], status=202)
        self.assertEqual(enqueue.call_args.kwargs['queue_name'], 'netbox_delinquency.enforce')

    def test_a_cancelled_run_cannot_be_begun(self):
        run = self.planned()
        self.post('cancel', pk=run['id'])
        self.post('begin', pk=run['id'], status=409)

    def test_a_runbook_journals_a_run_from_claim_to_finish(self):
        run = self.begun()
        self.assertEqual(run['executor'], f'runbook of {self.user.username}')
        keys = self.keys(run)
        self.assertEqual(self.post('claim', {'keys': keys}, run['id']), {'refused': {}, 'busy': [], 'stop_reason': ''})
        sent = self.post('sending', {'before': {key: BEFORE.as_dict() for key in keys}}, run['id'])
        self.assertEqual(sent, {'refused': {}})
        self.assertTrue(all(AccessLine.objects.values_list('unverified', flat=True)))
        with mock.patch('netbox_delinquency.jobs.points.ReconcilePoint.enqueue') as enqueue:
            self.post('finished', self.finished(keys), run['id'])
        self.assertEqual(self.post('finish', pk=run['id'])['status']['value'], RunStatusChoices.COMPLETED)
        for line in AccessLine.objects.all():
            self.assertEqual((line.observed, line.unverified), (None, True), 'it says so; nobody has read it')
        read = sorted(pk for call in enqueue.call_args_list for pk in call.kwargs['lines'])
        self.assertEqual(read, [line.pk for line in self.lines], 'a worker reads what it said it did')

    def test_a_runbook_that_says_it_restored_lifts_nothing_from_what_we_owe(self):
        run = self.begun()
        keys = self.keys(run)
        self.post('claim', {'keys': keys}, run['id'])
        self.post('sending', {'before': {key: BEFORE.as_dict() for key in keys}}, run['id'])
        self.post('finished', self.finished(keys, after=BEFORE.as_dict()), run['id'])
        self.assertEqual(Restriction.objects.open().count(), len(keys))

    def test_a_runbook_that_fell_silent_does_not_go_on_beside_the_one_that_took_over(self):
        """Of the same user, too: the network comes back, and the first does not know that it was taken for dead."""
        plain = dict(self.header)
        first, second = ({**plain, 'HTTP_RUNBOOK_ID': name} for name in ('a1', 'b2'))
        self.header = first
        run = self.begun()
        self.assertEqual(run['executor'], f'runbook of {self.user.username} (a1)')
        keys = self.keys(run)
        self.header = second
        self.assertIn('being worked on', self.post('begin', pk=run['id'], status=409)['detail'])
        EnforcementRun.objects.update(heartbeat_at=timezone.now() - timedelta(hours=1))
        self.post('begin', pk=run['id'])
        self.post('claim', {'keys': keys}, run['id'])
        for self.header in (first, plain):
            for action, body in (
                ('claim', {'keys': keys}),
                ('sending', {'before': {key: BEFORE.as_dict() for key in keys}}),
                ('finish', {}),
            ):
                self.assertIn('(b2)', self.post(action, body, run['id'], status=409)['detail'])
        self.header = {**plain, 'HTTP_RUNBOOK_ID': 'no (such) name'}
        self.post('claim', {'keys': keys}, run['id'], status=400)

    def test_whoever_paid_is_refused_to_the_runbook_too(self):
        run = self.begun()
        keys = self.keys(run)
        AccessLine.objects.filter(pk=self.lines[0].pk).update(intended_mode='normal')
        self.assertIn('paid', self.post('claim', {'keys': keys}, run['id'])['refused'][keys[0]])
        sent = self.post('sending', {'before': {key: BEFORE.as_dict() for key in keys}}, run['id'])
        self.assertEqual(list(sent['refused']), [keys[0]])

    def test_rows_of_another_run_closed_rows_and_nonsense_are_refused(self):
        run = self.begun()
        keys = self.keys(run)
        for wrong in (['0'], ['x'], [*keys, '999999']):
            self.assertIn('no rows', self.post('claim', {'keys': wrong}, run['id'], status=409)['detail'])
        self.assertEqual(self.post('claim', {'keys': []}, run['id']), {'refused': {}, 'busy': [], 'stop_reason': ''})
        for reading in ({}, {'stored': {'mode': 'gone'}}, 'normal', {'live': {'mode': 'throttled'}}):
            with self.subTest(reading):
                body = self.finished(keys, after=reading)
                if reading:
                    self.post('finished', body, run['id'], status=400)
        self.post('finished', self.finished(keys, outcome='fine'), run['id'], status=400)
        self.post('finished', self.finished(keys), run['id'])
        self.post('finished', self.finished(keys, outcome='failed'), run['id'])
        outcomes = EnforcementRun.objects.get(pk=run['id']).outcomes()
        self.assertEqual(outcomes, {'applied': 2}, 'what is closed stays so')

    def test_a_run_with_rows_left_is_paused_and_goes_on_only_where_that_is_asked_for(self):
        run = self.begun()
        left = self.post('finish', {'reason': 'it was cancelled'}, run['id'])
        self.assertEqual(left['status']['value'], RunStatusChoices.PAUSED)
        self.assertEqual(left['stop_reason'], f'runbook of {self.user.username} left it: it was cancelled')
        EnforcementRun.objects.update(heartbeat_at=timezone.now() - timedelta(hours=1))
        recover(timezone.now())
        self.assertEqual(EnforcementRun.objects.get(pk=run['id']).status, RunStatusChoices.PAUSED)
        self.assertIn('only an approved one', self.post('begin', pk=run['id'], status=409)['detail'])
        again = self.post('begin', {'resume': True}, run['id'])
        self.assertEqual(again['status']['value'], RunStatusChoices.RUNNING)
        self.assertEqual(again['executor'], f'runbook of {self.user.username}')
        self.assertGreater(again['resumed_at'], run['resumed_at'])

    def test_a_restore_with_rows_left_is_never_paused_and_the_workers_take_it_up_at_once(self):
        run = self.begun()
        EnforcementRun.objects.filter(pk=run['id']).update(kind='restore')
        self.post('claim', {'keys': self.keys(run)}, run['id'])
        with mock.patch('netbox_delinquency.jobs.runs.ProcessPoint.enqueue') as enqueue:
            left = self.post('finish', {'reason': 'it was cancelled'}, run['id'])
        self.assertEqual((left['status']['value'], left['executor']), (RunStatusChoices.RUNNING, ''))
        queued = {call.kwargs['point'] for call in enqueue.call_args_list}
        self.assertEqual(queued, {line.bras_id for line in self.lines}, 'the workers go on with it')

    def test_a_run_that_was_not_begun_takes_no_journal(self):
        run = self.planned()
        self.assertIn('begin it first', self.post('claim', {'keys': self.keys(run)}, run['id'], status=409)['detail'])

    def test_a_refused_row_keeps_its_code_though_its_runbook_closes_it_by_the_sentence(self):
        run = self.begun()
        first, second = self.keys(run)
        AccessLine.objects.filter(username='a').update(pinned=True)
        refused = self.post('claim', {'keys': [first, second]}, run['id'])['refused']
        self.assertEqual(set(refused), {first})
        closed = self.finished([first], outcome='skipped', message=refused[first], before=None, after=None)
        self.post('finished', closed, run['id'])
        self.post('finished', self.finished([second], message='a word of the driver'), run['id'])
        rows = EnforcementRun.objects.get(pk=run['id']).changes.order_by('line_id')
        found = [(row.message_code, row.message) for row in rows]
        self.assertEqual(found, [('pinned', refused[first]), ('', 'a word of the driver')])

    def test_a_refusal_says_its_code_and_its_parameters(self):
        run = self.planned()
        refused = self.post('start', pk=run['id'], status=409)
        self.assertEqual((refused['code'], refused['params']['status']), ('not_approved', 'planned'))
        self.assertIn('only an approved', refused['detail'])

    def test_a_paused_run_halts_its_runbook_and_its_rows_are_unsent_again(self):
        run = self.begun()
        keys = self.keys(run)
        self.post('claim', {'keys': keys}, run['id'])
        self.post('sending', {'before': {key: BEFORE.as_dict() for key in keys}}, run['id'])
        paused = self.post('pause', {'reason': 'the phones ring'}, run['id'])
        self.assertEqual((paused['status']['value'], paused['stop_reason']), ('paused', 'the phones ring'))
        self.assertEqual(self.post('claim', {'keys': []}, run['id'])['stop_reason'], 'paused: the phones ring')
        self.post('finished', self.finished(keys[:1]), run['id'])
        self.post('unsent', {'keys': keys[1:]}, run['id'])
        rows = EnforcementRun.objects.get(pk=run['id']).changes.order_by('line_id')
        self.assertEqual([(row.outcome, bool(row.sent_at)) for row in rows], [('applied', True), ('', False)])
        self.post('pause', {'reason': ''}, run['id'], status=400)
        with mock.patch('netbox_delinquency.jobs.runs.ProcessPoint.enqueue') as enqueue:
            resumed = self.post('resume', pk=run['id'])
        self.assertEqual(resumed['status']['value'], 'running')
        self.assertEqual(enqueue.call_args.kwargs['run'], run['id'], 'the workers go on with it')
        refused = self.post('claim', {'keys': []}, run['id'], status=409)
        self.assertIn("being worked on by NetBox's workers", refused['detail'])

    def test_the_figures_of_a_point_are_kept_before_and_now(self):
        run = self.begun()
        for sessions in (100, 99):
            self.post('health', {'point': 'bras-a', 'sessions': sessions, 'latency_s': 0.1}, run['id'])
        (known,) = EnforcementRun.objects.get(pk=run['id']).points.all()
        self.assertEqual((known.sessions_before, known.sessions_now), (100, 99))
        self.post('health', {'point': 'nowhere', 'sessions': 1, 'latency_s': None}, run['id'], status=404)

    def test_progress_is_for_those_who_may_see_the_run(self):
        run = self.begun()
        keys = self.keys(run)
        self.post('finished', self.finished(keys[:1]), run['id'])
        url = reverse('plugins-api:netbox_delinquency-api:enforcementrun-progress', args=[run['id']])
        answer = self.client.get(url, **self.header).json()
        self.assertEqual(
            {name: answer[name] for name in ('status', 'waves', 'rows', 'done', 'outcomes', 'stop_reason')},
            {'status': 'running', 'waves': 2, 'rows': 2, 'done': 1, 'outcomes': {'applied': 1}, 'stop_reason': ''},
        )
        self.assertEqual([wave['done'] for wave in answer['by_wave']], [1, 0])
        self.assertGreater(answer['rate_per_s'], 0)
        self.user.object_permissions.all().delete()
        self.assertHttpStatus(self.client.get(url, **self.header), 403)
