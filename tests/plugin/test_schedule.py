"""Periodic jobs come back after Redis forgot them or their worker died; on the real Redis."""

from datetime import timedelta
from unittest import mock

from core.models import Job
from django.core.management import CommandError, call_command
from django.test import TestCase
from django.utils import timezone
from django_rq import get_queue
from netbox.registry import registry
from redis.exceptions import ConnectionError as RedisConnectionError
from rq.job import Job as RQJob
from rq.job import JobStatus

from netbox_delinquency.jobs import periodic
from netbox_delinquency.jobs.lost import is_lost
from netbox_delinquency.jobs.periodic import ensure_now_and_then, ensure_system_jobs
from netbox_delinquency.jobs.recovery import Housekeeping

NAMES = {
    str(runner.name) for runner in registry['system_jobs'] if runner.__module__.startswith('netbox_delinquency.jobs.')
}


class ScheduleTestCase(TestCase):
    def setUp(self):
        self.queue = get_queue('default')
        self.queue.empty()
        self.addCleanup(self.queue.empty)

    def ensure(self):
        with self.captureOnCommitCallbacks(execute=True):
            return set(ensure_system_jobs())

    def age(self, minutes=5):
        Job.objects.update(created=timezone.now() - timedelta(minutes=minutes))

    def lose(self):
        for job_id in self.open_ids():
            RQJob.fetch(str(job_id), connection=self.queue.connection).delete()

    def entry(self, runner):
        job = Job.objects.filter(name=runner.name).order_by('-pk').first()
        return job, RQJob.fetch(str(job.job_id), connection=self.queue.connection)

    def test_all_are_scheduled_once(self):
        self.assertEqual(self.ensure(), NAMES)
        self.age()
        self.assertEqual(self.ensure(), set())
        self.assertEqual(Job.objects.count(), len(NAMES))

    def test_what_redis_lost_is_scheduled_anew_and_the_row_says_so(self):
        self.ensure()
        self.age()
        self.lose()
        self.assertEqual(self.ensure(), NAMES)
        self.assertEqual(set(Job.objects.filter(status='errored').values_list('name', flat=True)), NAMES)
        self.assertEqual(set(self.queue.job_ids), {str(pk) for pk in self.open_ids()})

    def open_ids(self):
        return Job.objects.filter(status='pending').values_list('job_id', flat=True)

    def test_a_worker_that_starts_does_the_same(self):
        self.ensure()
        self.age()
        self.lose()
        with self.captureOnCommitCallbacks(execute=True):
            Housekeeping.enqueue_once(interval=1)
        job, entry = self.entry(Housekeeping)
        self.assertEqual((job.status, entry.get_status()), ('pending', JobStatus.QUEUED))

    def test_a_job_whose_worker_died_with_it_is_lost_and_one_that_lives_is_not(self):
        self.ensure()
        self.age()
        job, entry = self.entry(Housekeeping)
        self.assertFalse(is_lost(job, timezone.now()), 'it waits for a worker')
        entry.set_status(JobStatus.STARTED)
        for seconds, lost in ((5, False), (120, True)):
            entry.last_heartbeat = timezone.now() - timedelta(seconds=seconds)
            entry.save()
            self.assertEqual(is_lost(job, timezone.now()), lost, seconds)
        entry.set_status(JobStatus.FAILED)
        self.assertTrue(is_lost(job, timezone.now()))

    def test_a_job_that_has_just_been_made_is_given_time(self):
        self.ensure()
        self.lose()
        self.assertEqual(self.ensure(), set())

    def test_whoever_comes_by_looks_at_most_once_a_minute(self):
        with (
            mock.patch.object(periodic, '_ensured_at', -1e9),
            mock.patch.object(periodic, 'ensure_system_jobs', return_value=['x']) as ensure,
            self.assertLogs('netbox_delinquency.jobs', 'WARNING'),
        ):
            ensure_now_and_then()
            ensure_now_and_then()
        ensure.assert_called_once()

    def test_the_command_for_cron_takes_everything_up_or_says_that_there_is_no_redis(self):
        with self.captureOnCommitCallbacks(execute=True):
            call_command('delinquency_recover')
        self.assertEqual(Job.objects.filter(status='pending').count(), len(NAMES))
        with (
            mock.patch('netbox_delinquency.jobs.lost.django_rq.get_queue', side_effect=RedisConnectionError('refused')),
            self.assertRaisesMessage(CommandError, 'there is no Redis'),
        ):
            self.age()
            call_command('delinquency_recover')
