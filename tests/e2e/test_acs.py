"""Overdue → CPE throttled → verified in a later session → paid → restored exactly, through NetBox and real ACSs."""

import json
import os
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from unittest import mock

from core.models import Job
from dcim.models import Device
from django.core.management import call_command
from django.core.management.base import CommandError
from django.test import TestCase, override_settings
from django.utils import timezone
from users.models import User
from utilities.testing import create_test_device

from netbox_delinquency.choices import LineChannelChoices, RunKindChoices, RunStatusChoices, StageActionChoices
from netbox_delinquency.cpe.parameters import plan_profile
from netbox_delinquency.jobs.points import MatchCpes, RefreshCpe
from netbox_delinquency.models import AccessLine, Contract, EnforcementChange, EnforcementSettings
from netbox_delinquency.policy.evaluate import evaluate
from netbox_delinquency.runs.approval import approve_run
from netbox_delinquency.runs.checks import note_check
from netbox_delinquency.runs.plan import plan_runs, unplanned_lines
from netbox_delinquency.runs.preview import preview_run
from netbox_delinquency.runs.revert import plan_revert
from nornir_tasks.change import AccessState
from nornir_tasks.cpes import parse_values
from tests.plugin.engine import execute_run
from tests.plugin.factories import intend, make_contract, make_line, make_plan, make_point, make_policy
from tests.simulators.acs import CREDENTIAL, ENVIRONMENT, embedded_acs, genie_acs
from tests.simulators.cpe_trees import IGD, INTERNET_098
from tr069.genieacs import GenieAcsClient

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
TODAY = NOW.date()
NORMAL = AccessState.normal()
UP, DOWN = f'{INTERNET_098}.ShapingRate', f'{IGD}.QueueManagement.Queue.2.ShapingRate'
SSID = f'{IGD}.LANDevice.1.WLANConfiguration.1.SSID'
THROTTLE = ((15, StageActionChoices.THROTTLE),)


def execute(run):
    """Approve where a person must, and work it off."""
    run.refresh_from_db()
    if run.status == RunStatusChoices.PLANNED:
        approve_run(run, run.plan_hash, NOW)
    return execute_run(run.pk)


def outcomes(run):
    return dict(run.changes.values_list('line__cwmp_id', 'outcome'))


def truth(cpe):
    plain = {'true': '1', 'false': '0'}
    return {path: plain.get(cpe.value(path), cpe.value(path)) for path in cpe.paths() if 'ManagementServer' not in path}


class AcsScenarios:
    """What holds with either ACS. `open_acs` is a context manager that gives an `AcsWorld`."""

    def setUp(self):
        super().setUp()
        self.enterContext(mock.patch.dict(os.environ, ENVIRONMENT))
        self.enterContext(
            mock.patch.dict(GenieAcsClient.__init__.__kwdefaults__, {'preset_delay_s': 0})  # the simulated one has none
        )
        self.world = self.enterContext(self.open_acs())
        self.acs = make_point(
            name='acs-1', driver=self.world.driver, address='127.0.0.1', credential=CREDENTIAL, host_key='',
            parameters=dict(self.world.point().parameters),
        )  # fmt: skip
        self.policy = make_policy(stages=THROTTLE)
        self.policy.stages.update(channel='cpe')
        self.plan = make_plan(throttled_down_kbps=256, throttled_up_kbps=128)
        EnforcementSettings.ensured()
        EnforcementSettings.objects.update(waves='1, rest', max_share_percent=100)

    def home(self, serial, **values):
        """A CPE at the ACS, and its line in NetBox."""
        cpe = self.world.add(serial)
        contract = make_contract(plan=self.plan, policy=self.policy)
        line = make_line(**{'acs': self.acs, 'cwmp_id': cpe.id, 'username': serial, 'contract': contract, **values})
        return cpe, line

    def test_overdue_throttled_verified_paid_restored_exactly(self):
        cpe, line = self.home('S-1')
        other, _ = self.home('S-2')
        before, others = truth(cpe), truth(other)
        Contract.objects.filter(pk=line.contract_id).update(oldest_due_date=TODAY - timedelta(days=20))
        evaluate(NOW)
        line.refresh_from_db()
        self.assertEqual((line.intended.mode, line.channel), ('throttled', LineChannelChoices.CPE))

        (run,) = plan_runs(unplanned_lines(), NOW)
        self.assertEqual(run.kind, RunKindChoices.ENFORCE)
        run = execute(run)
        self.assertEqual(outcomes(run), {cpe.id: 'applied'}, list(run.changes.values_list('message')))
        self.assertEqual((cpe.value(UP), cpe.value(DOWN)), ('128000', '256000'))
        # Set in one session, read back in another one.
        self.assertGreaterEqual(len(cpe.sessions) if self.world.driver == 'acs_embedded' else 2, 2)
        line.refresh_from_db()
        self.assertEqual((line.seen_at('cpe'), line.is_drifting), (line.intended, False))

        Contract.objects.filter(pk=line.contract_id).update(oldest_due_date=None)
        evaluate(NOW)
        (run,) = plan_runs(unplanned_lines(), NOW)
        self.assertEqual((run.kind, run.status), (RunKindChoices.RESTORE, RunStatusChoices.APPROVED))
        run = execute(run)
        self.assertEqual(outcomes(run), {cpe.id: 'applied'})
        self.assertEqual((truth(cpe), truth(other)), (before, others))
        self.assertFalse(AccessLine.objects.drifting().exists())

    def test_a_line_enforced_at_both_sides_drifts_where_either_differs(self):
        _, line = self.home('S-1')
        line.bras = make_point()
        line.save()
        line.advance(channel=LineChannelChoices.BOTH)
        self.assertEqual(line.sides, ['bras', 'cpe'])
        line.advance(intended_mode='blocked')
        rows = EnforcementChange.objects.filter(run__in=plan_runs(unplanned_lines(), NOW))
        self.assertEqual(sorted(rows.values_list('channel', flat=True)), ['bras', 'cpe'])
        line.observe('cpe', AccessState.blocked(), NOW)
        line.save(update_fields=['cpe_observed_mode', 'cpe_observed_at', 'cpe_unverified'])
        self.assertEqual((line.drifts_at('bras'), line.drifts_at('cpe'), line.is_drifting), (True, False, True))

    def test_a_mass_update_is_previewed_approved_sent_in_waves_and_reverted(self):
        homes = [self.home(f'M{number}') for number in range(3)]
        for number, (cpe, _) in enumerate(homes):
            cpe.force(SSID, f'Casa {number}')
        before = [truth(cpe) for cpe, _ in homes]
        stranger = make_line()
        values = parse_values([[SSID, 'Nova, rede', 'xsd:string'], [f'{IGD}.DeviceInfo.ProvisioningCode', 'A7']])
        run = plan_profile(AccessLine.objects.all(), values, NOW)
        self.assertEqual((run.kind, run.status), (RunKindChoices.PROFILE, RunStatusChoices.PLANNED))
        self.assertNotIn(stranger.pk, run.changes.values_list('line_id', flat=True))
        self.assertEqual(sorted(run.changes.values_list('wave', flat=True)), [1, 2, 2])
        preview = preview_run(run, NOW)
        self.assertEqual((preview.rows, preview.values, preview.block), (3, 3, 0))
        self.assertEqual([cpe.value(SSID) for cpe, _ in homes], ['Casa 0', 'Casa 1', 'Casa 2'])

        run = execute(run)
        self.assertEqual(set(outcomes(run).values()), {'applied'}, list(run.changes.values_list('message')))
        self.assertEqual({cpe.value(SSID) for cpe, _ in homes}, {'Nova, rede'})
        for _, line in homes:
            line.refresh_from_db()
            self.assertEqual((line.cpe_observed_mode, line.cpe_unverified), ('', False))

        # A payment or a debt in between neither undoes it nor is undone by its revert.
        cpe, line = homes[0]
        Contract.objects.filter(pk=line.contract_id).update(oldest_due_date=TODAY - timedelta(days=20))
        evaluate(NOW)
        (throttling,) = plan_runs(unplanned_lines().filter(pk=line.pk), NOW)
        self.assertEqual(outcomes(execute(throttling)), {cpe.id: 'applied'})
        self.assertEqual((cpe.value(SSID), cpe.value(UP)), ('Nova, rede', '128000'))
        (revert,) = plan_revert(run, NOW).runs
        revert = execute(revert)
        self.assertEqual(set(outcomes(revert).values()), {'applied'}, list(revert.changes.values_list('message')))
        self.assertEqual((cpe.value(SSID), cpe.value(UP)), ('Casa 0', '128000'))
        Contract.objects.update(oldest_due_date=None)
        evaluate(NOW)
        (restore,) = plan_runs(unplanned_lines().filter(pk=line.pk), NOW)
        self.assertEqual(outcomes(execute(restore)), {cpe.id: 'applied'})
        self.assertEqual([truth(cpe) for cpe, _ in homes], before)

    def test_cpes_are_matched_by_serial_and_what_is_not_sure_is_left_alone(self):
        for serial in ('GOOD1', 'TWICE', 'NOBODY'):
            self.world.add(serial)
        self.world.add('TWICE', product_class='Other')
        lines = {}
        for name, serial in (('one', ' good1 '), ('two', 'TWICE'), ('three', 'ABSENT'), ('four', '')):
            device = create_test_device(name)
            Device.objects.filter(pk=device.pk).update(serial=serial)
            lines[name] = make_line(acs=self.acs, cpe=device, username=name)
        job = Job.objects.create(name='t', job_id='00000000-0000-0000-0000-000000000001', object=self.acs)
        MatchCpes(job).run(point=self.acs.pk)
        for line in lines.values():
            line.refresh_from_db()
        self.assertEqual(
            {name: line.cwmp_id for name, line in lines.items()},
            {'one': '00AA11-Router-GOOD1', 'two': '', 'three': '', 'four': ''},
        )
        self.assertEqual({name: job.data[name] for name in ('devices', 'filled', 'ambiguous')}, {
            'devices': 4, 'filled': 1, 'ambiguous': 1,
        })  # fmt: skip
        self.assertIn('2 devices of the ACS', job.data['ambiguous_rows'][0]['reason'])
        self.assertEqual({row['device'] or row['name'] for row in job.data['unmatched_rows']},
                         {'three', 'four', '00AA11-Router-NOBODY'})  # fmt: skip
        # Once more: nothing changes, and it is known. The command does the same.
        with tempfile.TemporaryFile('w+') as out:
            call_command('delinquency_match_cpes', 'acs-1', stdout=out)
            out.seek(0)
            self.assertIn('0 filled, 1 known, 1 ambiguous', out.read())
        with self.assertRaises(CommandError):
            call_command('delinquency_match_cpes', 'nowhere')

    def test_two_devices_in_netbox_with_one_serial_change_nothing(self):
        self.world.add('SAME')
        for name in ('one', 'two'):
            device = create_test_device(name)
            Device.objects.filter(pk=device.pk).update(serial='SAME')
            make_line(acs=self.acs, cpe=device, username=name)
        job = Job.objects.create(name='t', job_id='00000000-0000-0000-0000-000000000002', object=self.acs)
        MatchCpes(job).run(point=self.acs.pk)
        self.assertEqual((job.data['filled'], job.data['ambiguous']), (0, 2))
        self.assertFalse(AccessLine.objects.exclude(cwmp_id='').exists())

    def test_the_page_of_a_device_shows_what_a_worker_heard_of_it(self):
        device = create_test_device('cpe-1')
        cpe, line = self.home('S-1', cpe=device)
        user = User.objects.create_superuser('admin')
        self.client.force_login(user)
        # Nothing was asked yet, and the page asks nobody.
        self.assertContains(self.client.get(device.get_absolute_url()), cpe.id)
        job = Job.objects.create(name=RefreshCpe.name, job_id='00000000-0000-0000-0000-000000000003', object=line)
        RefreshCpe(job).run(line=line.pk)
        job.save()
        page = self.client.get(device.get_absolute_url())
        for text in ('Acme Router', 'S1', UP, job.data['info']['last_inform']):
            self.assertContains(page, text)
        self.assertNotIn('very-private', json.dumps(job.data))

    def test_a_dead_acs_fails_its_rows_and_its_jobs_and_no_page(self):
        device = create_test_device('cpe-1')
        _, line = self.home('S-1', cpe=device)
        self.acs.parameters['url'] = 'http://127.0.0.1:9'
        self.acs.save()
        note_check(self.acs, [], timezone.now())  # it died after its check
        intend(line, AccessState.blocked())
        (run,) = plan_runs(unplanned_lines(), NOW)
        run = execute(run)
        row = run.changes.get()
        self.assertEqual((row.outcome, 'did not answer' in row.message), ('failed', True), row.message)
        self.client.force_login(User.objects.create_superuser('admin'))
        page = self.client.get(device.get_absolute_url())
        self.assertContains(page, line.cwmp_id)
        self.assertNotContains(page, 'An error occurred')


@override_settings(PLUGINS_CONFIG={'netbox_delinquency': {'parallel_points': 1}})
class EmbeddedAcsTestCase(AcsScenarios, TestCase):
    def open_acs(self):
        folder = self.enterContext(tempfile.TemporaryDirectory())
        return embedded_acs(f'sqlite:///{Path(folder) / "acs.sqlite3"}')


@override_settings(PLUGINS_CONFIG={'netbox_delinquency': {'parallel_points': 1}})
class GenieAcsTestCase(AcsScenarios, TestCase):
    def open_acs(self):
        return genie_acs()
