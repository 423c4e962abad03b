"""What NetBox's event rules get to see of runs and lines, and what they never do."""

import json
from unittest import mock

from core.models import ObjectType
from django.test import TestCase
from django.utils import timezone
from django_rq import get_queue
from extras.models import EventRule, Webhook
from redis.exceptions import ConnectionError as RedisConnectionError

from netbox_delinquency import events
from netbox_delinquency.models import AccessLine, Contract, EnforcementRun, EnforcementSettings
from netbox_delinquency.runs.approval import approve_run
from netbox_delinquency.runs.plan import plan_runs, unplanned_lines
from nornir_tasks.change import AccessState
from nornir_tasks.errors import PointTimeoutError
from tests.simulators.memory import MemoryPoint

from .engine import execute_run
from .factories import intend, make_contract, make_line, make_point

NORMAL, BLOCKED = AccessState.normal(), AccessState.blocked()
THROTTLED = AccessState.throttled(1000, 500)


class EventsTestCase(TestCase):
    @classmethod
    def setUpTestData(cls):
        EnforcementSettings(waves='rest', soak_seconds=0).save()
        bras = make_point()
        cls.lines = [make_line(username=name, bras=bras, contract=make_contract()) for name in 'ab']
        Contract.objects.update(open_balance='417.93')
        cls.webhook = Webhook.objects.create(name='out', payload_url='http://127.0.0.1:9/')

    def setUp(self):
        self.queue = get_queue('default')
        self.queue.empty()
        self.addCleanup(self.queue.empty)
        self.point = MemoryPoint()
        for line in self.lines:
            self.point.add(line.username)
        patcher = mock.patch('nornir_tasks.engine.tasks.open_driver', side_effect=lambda task: self.point.driver())
        patcher.start()
        self.addCleanup(patcher.stop)

    def rule(self, model, *event_types):
        rule = EventRule.objects.create(
            name=f'{model} {event_types}', event_types=list(event_types), action_type='webhook',
            action_object_type=ObjectType.objects.get_for_model(Webhook), action_object_id=self.webhook.pk,
        )  # fmt: skip
        rule.object_types.set([ObjectType.objects.get_for_model(model)])

    def drive(self, state):
        for line in AccessLine.objects.all():
            intend(line, state)
        with self.captureOnCommitCallbacks(execute=True):
            (run,) = plan_runs(unplanned_lines(), timezone.now())
            if run.status == 'planned':
                approve_run(run, run.plan_hash, timezone.now())
            return execute_run(run.pk)

    def queued(self):
        """(event type, payload), in order; what was queued is taken out."""
        sent = [(job.kwargs['event_type'], job.kwargs) for job in self.queue.jobs]
        self.queue.empty()
        return sent

    def test_the_types_are_there_for_rules(self):
        from netbox.registry import registry

        names = {
            'run.started', 'run.paused', 'run.completed', 'line.blocked', 'line.throttled', 'line.restored',
            'line.unknown', 'line.foreign', 'restore.late', 'billing.needs_attention',
        }  # fmt: skip
        self.assertLessEqual(names, set(registry['event_types']))
        self.assertEqual({event_type.name for event_type in events.TYPES}, names)

    def test_a_run_tells_of_its_start_and_its_end(self):
        self.rule(EnforcementRun, 'run.started', 'run.completed')
        run = self.drive(BLOCKED)
        started, ended = self.queued()
        self.assertEqual([started[0], ended[0]], ['run.started', 'run.completed'])
        self.assertEqual(ended[1]['data']['id'], run.pk)
        self.assertEqual(ended[1]['data']['status']['value'], 'completed')
        self.assertEqual(ended[1]['snapshots']['prechange']['status'], 'running')
        self.assertEqual(ended[1]['snapshots']['postchange']['status'], 'completed')

    def test_lines_tell_what_became_of_them_with_how_they_were_and_without_any_debt(self):
        self.rule(AccessLine, 'line.blocked', 'line.throttled', 'line.restored')
        for state, event_type in ((THROTTLED, 'line.throttled'), (BLOCKED, 'line.blocked'), (NORMAL, 'line.restored')):
            with self.subTest(event_type):
                self.drive(state)
                sent = self.queued()
                self.assertEqual([name for name, _ in sent], [event_type, event_type])
                self.assertEqual({each['data']['username'] for _, each in sent}, {'a', 'b'})
                self.assertEqual(sent[0][1]['data']['observed']['mode'], str(state.mode))
                self.assertEqual(sent[0][1]['snapshots']['postchange']['observed_mode'], str(state.mode))
                self.assertNotEqual(sent[0][1]['snapshots']['prechange']['observed_mode'], str(state.mode))
                text = json.dumps([{**each, 'event_rule': ''} for _, each in sent], default=str)
                self.assertNotIn('417.93', text)
                self.assertNotIn('balance', text)

    def test_a_line_that_nobody_can_read_is_told_of(self):
        self.rule(AccessLine, 'line.unknown')

        def die():
            self.point.dead = True
            raise PointTimeoutError('no answer')

        self.point.before_apply = die
        self.drive(BLOCKED)
        self.assertEqual({name for name, _ in self.queued()}, {'line.unknown'})

    def test_without_a_rule_nothing_is_built_and_a_rule_for_one_type_brings_no_other(self):
        with mock.patch('netbox_delinquency.events._context') as context:
            self.drive(BLOCKED)
            context.assert_not_called()
        self.rule(AccessLine, 'line.blocked')
        self.drive(NORMAL)
        self.assertEqual(self.queued(), [])

    def test_a_dead_queue_does_not_break_the_run(self):
        self.rule(AccessLine, 'line.blocked')
        with (
            mock.patch('extras.event_rules.get_queue', side_effect=RedisConnectionError('no Redis')),
            self.assertLogs('netbox_delinquency.events', 'ERROR') as log,
        ):
            run = self.drive(BLOCKED)
        self.assertEqual(run.status, 'completed')
        self.assertIn('2 events were lost', log.output[0])
