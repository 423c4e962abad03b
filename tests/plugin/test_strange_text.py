"""What one box prints of one line never stops the others of its batch: with PostgreSQL's own idea of what it takes."""

import logging
from datetime import UTC, datetime
from unittest import mock

from django.db import OperationalError
from django.test import TestCase
from users.models import User

from netbox_delinquency.models import AccessLine, EnforcementSettings
from netbox_delinquency.runs.approval import approve_run
from netbox_delinquency.runs.plan import plan_runs, unplanned_lines
from nornir_tasks.change import AccessState, Reading
from tests.simulators.memory import MemoryDriver, MemoryPoint

from .engine import execute_run
from .factories import intend, make_contract, make_line, make_point, make_policy, make_source

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
NORMAL, BLOCKED = AccessState.normal(), AccessState.blocked()
STRANGE = {'profile': 'padr\udce3o', 'comment': 'a\0b', 'rate': float('nan'), 'limit': float('inf')}


def unguarded(reading, **values):
    """A reading that nobody made safe: what `nornir_tasks.storable` overlooks some day."""
    for name, value in values.items():
        object.__setattr__(reading, name, value)
    return reading


class StrangeTextTestCase(TestCase):
    @classmethod
    def setUpTestData(cls):
        cls.user = User.objects.create_user('engineer')
        EnforcementSettings(waves='rest', soak_seconds=0).save()
        policy, source, bras = make_policy(), make_source(), make_point(name='bras-1')
        cls.lines = [
            make_line(username=name, bras=bras, contract=make_contract(policy=policy, source=source)) for name in 'abcd'
        ]

    def setUp(self):
        self.point = MemoryPoint()
        for line in self.lines:
            self.point.add(line.username)
        patcher = mock.patch('nornir_tasks.engine.tasks.open_driver', side_effect=lambda task: self.point.driver())
        patcher.start()
        self.addCleanup(patcher.stop)

    def approved(self, state=BLOCKED):
        for line in self.lines:
            intend(line, state)
        (run,) = plan_runs(unplanned_lines(), NOW, author=self.user)
        if state != NORMAL:
            approve_run(run, run.plan_hash, NOW, approver=self.user)
        return run

    def outcomes(self, run):
        return dict(run.changes.values_list('line__username', 'outcome'))

    def readings(self, change):
        """Have the point's readings of line "b" changed by `change`."""
        read = MemoryDriver._reading

        def strange(driver, username):
            reading = read(driver, username)
            return change(reading) if username == 'b' else reading

        patcher = mock.patch.object(MemoryDriver, '_reading', strange)
        patcher.start()
        self.addCleanup(patcher.stop)

    def line(self, name):
        return AccessLine.objects.get(username=name)

    def blocked(self):
        return {name for name, state in self.point.live.items() if state == BLOCKED}

    def test_a_strange_reading_is_stored_and_put_back_as_it_was(self):
        self.readings(lambda reading: Reading(reading.stored, reading.live, STRANGE))
        run = execute_run(self.approved().pk)
        self.assertEqual(self.outcomes(run), dict.fromkeys('abcd', 'applied'))
        before = run.changes.get(line__username='b').before
        kept = {'profile': 'padr␛DCE3o', 'comment': 'a␛0000b', 'rate': 'nan', 'limit': 'inf'}
        self.assertEqual(before['detail'], kept)
        run = execute_run(self.approved(NORMAL).pk)
        self.assertEqual(self.outcomes(run), dict.fromkeys('abcd', 'applied'))
        self.assertEqual(self.blocked(), set())

    def test_a_row_that_could_not_be_put_back_is_not_sent_and_the_others_are(self):
        self.readings(lambda reading: unguarded(reading, detail=STRANGE))
        with self.assertLogs('netbox_delinquency', logging.ERROR):
            run = execute_run(self.approved().pk)
        self.assertEqual(self.outcomes(run), {'a': 'applied', 'b': 'skipped', 'c': 'applied', 'd': 'applied'})
        self.assertIn('no way back', run.changes.get(line__username='b').message)
        self.assertEqual(self.blocked(), set('acd'))

    def test_whoever_paid_is_free_though_nothing_that_the_box_prints_of_them_can_be_stored(self):
        execute_run(self.approved().pk)
        self.assertEqual(self.blocked(), set('abcd'))
        self.readings(lambda reading: unguarded(reading, detail=STRANGE))
        with self.assertLogs('netbox_delinquency', logging.ERROR):
            run = execute_run(self.approved(NORMAL).pk)
        self.assertEqual(self.blocked(), set())
        self.assertEqual(self.outcomes(run), {'a': 'applied', 'b': 'unknown', 'c': 'applied', 'd': 'applied'})
        self.assertTrue(self.line('b').unverified)
        self.assertEqual(self.line('a').observed, NORMAL)

    def test_a_lost_database_is_no_matter_of_a_row(self):
        run = self.approved()
        with (
            mock.patch(
                'netbox_delinquency.models.EnforcementChange.objects.bulk_update', side_effect=OperationalError('gone')
            ),
            self.assertRaises(OperationalError),
        ):
            execute_run(run.pk)
        self.assertEqual(self.point.sent, [])
        self.assertEqual(self.outcomes(run), dict.fromkeys('abcd', ''))
