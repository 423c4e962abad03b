"""Every SSH driver through the plugin and back, on consoles that keep state; and no secret in anything that is kept."""

import json
import logging
import os
from contextlib import contextmanager
from unittest import mock

import pytest
from core.models import Job
from django.contrib.contenttypes.models import ContentType
from django.urls import reverse
from django.utils import timezone

from dev.lab import Lab
from netbox_delinquency.jobs.points import CheckPoint
from netbox_delinquency.models import AccessLine, EnforcementChange
from netbox_delinquency.runs.approval import approve_run
from netbox_delinquency.runs.plan import plan_runs
from nornir_tasks.change import AccessState
from tests.plugin.engine import execute_run
from tests.simulators.console import console_box
from tests.simulators.fixtures import PROFILES
from tests.simulators.iosxr import IOSXRTerminal
from tests.simulators.junos import JunosTerminal
from tests.simulators.routeros import RouterConfig, simulation
from tests.simulators.sros import SROSTerminal
from tests.simulators.vrp import VRPTerminal

from .api.base import PluginAPITestCase
from .factories import intend, make_contract, make_line, make_plan, make_point

NORMAL, BLOCKED = AccessState.normal(), AccessState.blocked()
THROTTLED = AccessState.throttled(1000, 512)
PLANTED = 'pl4nted-s3cret'
# driver: terminal, names of normal, throttled and blocked policies, further parameters of the point
CONSOLES = {
    'huawei_vrp': (VRPTerminal, ('fast', 'slow', 'walled'), {}),
    'cisco_iosxr': (IOSXRTerminal, ('PM_FAST', 'PM_SLOW', 'PM_WALL'), {}),
    'junos': (JunosTerminal, ('fast', 'throttle(1m,512k)', 'FF-WALL'), {}),
    'nokia_sros': (SROSTerminal, ('fast', 'slow', 'wall'), {'service_id': 100}),
}


class SSHDriverTest(PluginAPITestCase):
    def setUp(self):
        super().setUp()
        secret = json.dumps({'username': 'admin', 'password': PLANTED})
        wrong = json.dumps({'username': 'admin', 'password': f'{PLANTED}-wrong'})
        environment = {'DELINQUENCY_CREDENTIAL_BRAS': secret, 'DELINQUENCY_CREDENTIAL_WRONG': wrong}
        patcher = mock.patch.dict(os.environ, environment)
        patcher.start()
        self.addCleanup(patcher.stop)

    @pytest.mark.root
    @pytest.mark.skipif(bool(Lab.available()), reason=Lab.available())
    def test_a_linux_line_is_shaped_walled_and_freed_in_the_kernel(self):
        with Lab() as lab:
            credential = json.dumps({'username': lab.bras_user, 'key_file': str(lab.key_file)})
            home, neighbour = lab.homes[:2]
            point = make_point(
                driver='linux', address=lab.bras_address, port=lab.bras_port, host_key=lab.bras_host_key,
                credential='lab', parameters=lab.point_parameters,
            )  # fmt: skip
            plan = make_plan(down_kbps=home.down_kbps, up_kbps=home.up_kbps)
            line = make_line(bras=point, ipv4=home.ipv4, circuit_id=home.interface, contract=make_contract(plan=plan))
            with mock.patch.dict(os.environ, {'DELINQUENCY_CREDENTIAL_LAB': credential}):
                reduced = AccessState.throttled(4000, 2000)
                row = self.drive(line, reduced)
                self.assertEqual((row.outcome, row.message, line.observed), ('applied', '', reduced))
                for direction, rate in (('down', 4), ('up', 2)):
                    self.assertAlmostEqual(lab.measure(home, direction, seconds=1), rate, delta=rate * 0.3)
                row = self.drive(line, BLOCKED)
                self.assertEqual((row.outcome, row.message, line.observed), ('applied', '', BLOCKED))
                self.assertTrue(lab.reaches_notice(home, lab.internet_url))
                self.assertEqual(lab.fetch(neighbour, lab.internet_url)[0], 200)
                row = self.drive(line, NORMAL)
                self.assertEqual((row.outcome, line.observed), ('applied', NORMAL))
                self.assertEqual(lab.fetch(home, lab.internet_url)[:2], (200, 'the internet\n'))
                self.assertGreater(lab.measure(home, 'down', seconds=1), home.down_kbps / 1000 * 0.6)

    def line(self, listening, driver, parameters, plan, **values):
        point = make_point(
            driver=driver, address='127.0.0.1', port=listening.port, host_key=listening.host_key, timeout=5,
            parameters=parameters, **values,
        )  # fmt: skip
        plan = make_plan(parameters=plan, throttled_down_kbps=1000, throttled_up_kbps=512)
        return make_line(username='ana', bras=point, contract=make_contract(plan=plan))

    def drive(self, line, state):
        """Plan, approve, execute; answers the row."""
        intend(line, state)
        (run,) = plan_runs(AccessLine.objects.filter(pk=line.pk), timezone.now())
        if run.status == 'planned':
            approve_run(run, run.plan_hash, timezone.now(), approver=self.user)
        execute_run(run.pk)
        line.refresh_from_db()
        return run.changes.get()

    @contextmanager
    def console(self, driver, **values):
        terminal, names, parameters = CONSOLES[driver]
        policies = {
            names[1]: {'mode': 'throttled', 'down_kbps': 1000, 'up_kbps': 512},
            names[2]: {'mode': 'blocked'},
        }
        radius = {'ana': (names[0],), 'bob': (names[0],)}
        with console_box(terminal, users={'admin': PLANTED}, profiles=set(names), radius=radius) as running:
            parameters = {'policies': policies, 'clears_sessions': True, **parameters}
            yield running.box, self.line(running.listening, driver, parameters, {}, **values)

    def test_a_session_is_ended_after_radius_and_read_back(self):
        for driver, (_, names, _) in CONSOLES.items():
            with self.subTest(driver), self.console(driver) as (box, line):
                for state, name in zip((THROTTLED, BLOCKED, NORMAL), (*names[1:], names[0]), strict=True):
                    box.radius['ana'] = (name,)
                    row = self.drive(line, state)
                    self.assertEqual((row.outcome, row.message), ('applied', ''))
                    self.assertEqual((line.observed, [item.policies for item in box.of('ana')]), (state, [(name,)]))
                self.assertEqual(box.cleared, ['ana'] * 3)

    def test_a_routeros_line_is_throttled_blocked_and_restored(self):
        people = [{'name': name, 'profile': 'home'} for name in ('ana', 'bob')]
        for version in (6, 7):
            config = RouterConfig(
                'bras', users={'admin': PLANTED}, profiles=PROFILES, subscribers=people, version=version
            )
            with self.subTest(version=version), simulation(config) as running:
                listening = running.routers['bras']
                service = listening.router.service
                neighbour = service('bob')
                plan = {'routeros': {'profile': 'home', 'throttled_profile': 'slow'}}
                line = self.line(listening, 'routeros', {'ipv6': version == 7}, plan)
                for state, rate in ((THROTTLED, [1000, 512]), (BLOCKED, None), (NORMAL, [20000, 5000])):
                    self.assertEqual(self.drive(line, state).outcome, 'applied')
                    self.assertEqual(line.observed, state)
                    self.assertEqual(rate is None, bool(service('ana')['live'].get('blocked')), service('ana'))
                    if rate:
                        self.assertEqual(service('ana')['live']['rate'], rate)
                self.assertEqual(service('bob'), neighbour)

    def test_a_profile_whose_name_is_latin_1_is_put_back_to_the_byte_from_the_database(self):
        named = b'padr\xe3o'.decode('utf-8', 'surrogateescape')
        profiles = [*PROFILES, {'name': named, 'rate-limit': '5M/20M', 'remote-address': 'pool-a'}]
        people = [{'name': 'ana', 'profile': named}]
        config = RouterConfig('bras', users={'admin': PLANTED}, profiles=profiles, subscribers=people)
        with simulation(config) as running:
            listening = running.routers['bras']
            plan = {'routeros': {'profile': 'home', 'throttled_profile': 'slow'}}
            line = self.line(listening, 'routeros', {}, plan)
            for state in (THROTTLED, BLOCKED, NORMAL):
                self.assertEqual(self.drive(line, state).outcome, 'applied')
                self.assertEqual(line.observed, state)
            self.assertEqual(line.baseline['profile'], 'padr␛DCE3o')
            self.assertEqual(listening.router.service('ana')['stored']['profile'], named)
            self.assertFalse(listening.router.service('ana')['live']['blocked'])

    def test_no_secret_is_in_logs_rows_jobs_or_answers(self):
        self.user.is_superuser = True
        self.user.save()
        with self.assertLogs(level=logging.DEBUG) as logs, self.console('junos') as (box, line):
            logging.getLogger().debug('there is something to look through')
            box.radius['ana'] = ('FF-WALL',)
            self.drive(line, BLOCKED)
            for credential in ('wrong', 'missing', 'bras'):
                line.bras.credential = credential
                line.bras.save()
                if credential != 'bras':
                    self.assertEqual(self.drive(line, NORMAL).outcome, 'failed')
                job = self.check(line.bras)
            box.users.clear()
            self.check(line.bras)
        kept = [*logs.output, *map(repr, Job.objects.values()), *map(repr, EnforcementChange.objects.values())]
        for name in ('enforcementpoint', 'accessline', 'enforcementrun', 'enforcementchange'):
            kept.append(json.dumps(self.get(reverse(f'plugins-api:netbox_delinquency-api:{name}-list'))))
        kept.append(json.dumps(self.get(reverse('core-api:job-list'))))
        kept.append(json.dumps(self.get(reverse('core-api:objectchange-list'))))
        self.assertIn('refused the login', ''.join(kept))
        self.assertEqual(job.status, 'completed')
        self.assertEqual([text for text in kept if PLANTED in text], [])

    # Checks

    def check(self, point):
        url = reverse('plugins-api:netbox_delinquency-api:enforcementpoint-check', args=[point.pk])
        job = Job.objects.get(pk=self.send('post', url, {}, 202)['id'])
        self.assertEqual((job.object, job.user, job.status), (point, self.user, 'pending'))
        CheckPoint.handle(job, point=point.pk)
        job.refresh_from_db()
        return job

    def test_a_check_keeps_what_it_finds_and_the_lines_to_add_in_its_job(self):
        self.may('check_enforcementpoint')
        with simulation(RouterConfig('bras', users={'admin': PLANTED}, profiles=PROFILES[:2])) as running:
            line = self.line(running.routers['bras'], 'routeros', {'ipv6': False}, {})
            job = self.check(line.bras)
        self.assertEqual(job.status, 'failed')
        missing = {item['subject'] for item in job.data['findings'] if item['required'] and not item['ok']}
        self.assertEqual(missing, {'profile "nbd-restricted"', 'ip firewall'})
        self.assertIn('/ip firewall filter add chain=forward', job.data['lines'][1])
        # And the page of the point shows it to who may see the job.
        self.client.force_login(self.user)
        self.may('view_enforcementpoint')
        shown = '<code>delinquency point prepare'
        self.assertNotContains(self.client.get(line.bras.get_absolute_url()), shown)
        self.user.object_permissions.create(name='jobs', actions=['view']).object_types.add(
            ContentType.objects.get_for_model(Job)
        )
        page = self.client.get(line.bras.get_absolute_url())
        self.assertContains(page, shown)
        self.assertContains(page, '/ip firewall filter add chain=forward src-address-list=&quot;nbd-restricted&quot;')
        self.assertContains(page, 'profile &quot;nbd-restricted&quot;')

    def test_it_takes_a_permission_of_its_own_for_that_very_point(self):
        mine, other = make_point(), make_point()
        for name in ('view_enforcementpoint', 'change_enforcementpoint', 'add_enforcementpoint'):
            self.may(name)
        url = reverse('plugins-api:netbox_delinquency-api:enforcementpoint-check', args=[other.pk])
        self.send('post', url, {}, 403)
        self.may('check_enforcementpoint', pk=mine.pk)
        self.send('post', url, {}, 403)
        self.assertFalse(Job.objects.filter(name=CheckPoint.name).exists())

    def test_the_button_shows_for_who_may_and_queues(self):
        self.client.force_login(self.user)
        point = make_point()
        self.may('view_enforcementpoint')
        url = reverse('plugins:netbox_delinquency:enforcementpoint_check', args=[point.pk])
        self.assertNotContains(self.client.get(point.get_absolute_url()), url)
        self.assertEqual(self.client.post(url).status_code, 403)
        self.may('check_enforcementpoint')
        self.assertContains(self.client.get(point.get_absolute_url()), f'action="{url}"')
        job_page = self.client.post(url)
        job = Job.objects.get(name=CheckPoint.name)
        self.assertRedirects(job_page, job.get_absolute_url(), fetch_redirect_response=False)
        self.assertEqual(self.client.get(url).status_code, 405)
