"""Thousands of events are one job in the queue, and what may relieve somebody goes before all that waits."""

from unittest import mock

import django_rq
from django.test import TestCase
from django.utils import timezone

from netbox_delinquency.jobs import inbox
from netbox_delinquency.jobs.queues import RESTORE_QUEUE
from netbox_delinquency.models import EnforcementRun
from netbox_delinquency.runs.preview import preview_run

from .factories import make_change, make_contract, make_line, make_source


class InboxQueueTestCase(TestCase):
    def setUp(self):
        self.redis = django_rq.get_queue(RESTORE_QUEUE).connection
        self.redis.delete(*inbox.QUEUED.values())
        self.addCleanup(self.redis.delete, *inbox.QUEUED.values())
        patcher = mock.patch.object(inbox.ProcessInbox, 'enqueue')
        self.enqueue = patcher.start()
        self.addCleanup(patcher.stop)

    def test_many_events_queue_one_job_and_a_payment_goes_to_the_front(self):
        with self.assertNumQueries(1):  # the rows of jobs are looked at once
            for _ in range(5):
                inbox.enqueue_inbox_soon(urgent=False)
        self.assertEqual(self.enqueue.call_count, 1)
        self.assertNotIn('at_front', self.enqueue.call_args.kwargs)
        with self.assertNumQueries(0):
            for _ in range(5):
                inbox.enqueue_inbox_soon(urgent=True)
        self.assertEqual(self.enqueue.call_count, 2)
        self.assertIs(self.enqueue.call_args.kwargs['at_front'], True)

    def test_an_event_that_is_stored_once_the_job_has_begun_queues_another(self):
        inbox.enqueue_inbox_soon(urgent=True)
        inbox._forget_queued()
        inbox.enqueue_inbox_soon(urgent=True)
        self.assertEqual(self.enqueue.call_count, 2)

    def test_a_mark_that_nobody_takes_away_lapses(self):
        inbox.enqueue_inbox_soon(urgent=True)
        self.assertTrue(0 < self.redis.ttl(inbox.QUEUED[True]) <= inbox.QUEUED_S)


class UnwatchedSourceTestCase(TestCase):
    def test_a_preview_shows_that_nobody_watches_a_source(self):
        for heartbeat, shown in ((None, True), (60, False)):
            source = make_source(heartbeat_minutes=heartbeat)
            change = make_change(line=make_line(contract=make_contract(source=source)))
            run = EnforcementRun.objects.get(pk=change.run_id)
            kinds = {warned.kind for warned in self.warnings(run)}
            self.assertEqual('unwatched' in kinds, shown, kinds)

    @staticmethod
    def warnings(run):
        return preview_run(run, timezone.now()).warnings
