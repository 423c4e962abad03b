"""Ours and foreign at boxes that are real: RouterOS over SSH, FreeRADIUS on its tables with a BNG before it, an ACS."""

import contextlib
import json
import os
import tempfile
from pathlib import Path
from unittest import mock, skipIf

from django.test import TestCase
from django.utils import timezone

from netbox_delinquency.models import AccessLine, Contract, EnforcementRun, EnforcementSettings, Restriction
from netbox_delinquency.runs.checks import note_check
from netbox_delinquency.runs.reconcile import reconcile_point
from netbox_delinquency.workflow import evaluate_all
from nornir_tasks.change import AccessState
from nornir_tasks.connections.acs import AcsConnection
from tests.simulators.acs import CREDENTIAL, ENVIRONMENT, embedded_acs
from tests.simulators.bng import bng
from tests.simulators.cpe_trees import INTERNET_098
from tests.simulators.fixtures import PROFILES, truth_of
from tests.simulators.freeradius import SECRET, freeradius_server, missing
from tests.simulators.radius_login import log_in
from tests.simulators.radius_sql import postgres_database
from tests.simulators.routeros import RouterConfig, simulation
from tests.simulators.routeros_script import Interpreter
from tr069.client import ValueProfile
from tr069.cwmp.messages import ParameterValue

from .factories import make_contract, make_line, make_plan, make_point, make_policy, make_source
from .ownership import BLOCKED, World

SLOW = AccessState.throttled(1000, 512)
# An ERP's own ways: a profile with a rate, one that only fills a list, an entry in a list, no access at all.
ERP_PROFILES = (
    *PROFILES,
    {'name': 'bloqueado', 'rate-limit': '64k/64k', 'remote-address': 'pool-a'},
    {'name': 'corte', 'address-list': 'bloqueados', 'remote-address': 'pool-a'},
)
ERP = {
    'disabled': ('/ppp secret disable [find name=disabled]', 'secret disabled'),
    'rate': ('/ppp secret set [find name=rate] profile=bloqueado', 'profile bloqueado'),
    'listed': ('/ppp secret set [find name=listed] profile=corte', 'profile corte'),
    'entry': ('/ip firewall address-list add list=bloqueados address=10.9.0.7', 'list bloqueados'),
}
UP = f'{INTERNET_098}.ShapingRate'


class BoxWorld(World):
    """Billing and the periodic jobs, over whatever points the test has made."""

    def __init__(self, plan):
        EnforcementSettings(waves='rest', soak_seconds=0, max_share_percent=100, min_rows=1000).save()
        self.policy = make_policy(auto_approve=True, repair_drift=True)
        self.source, self.plan = make_source(), plan

    def line(self, username, point, **values):
        contract = make_contract(plan=self.plan, policy=self.policy, source=self.source)
        return make_line(**{'username': username, 'bras': point, 'contract': contract, **values})


class BoxTestCase(TestCase):
    def setUp(self):
        self.enterContext(
            mock.patch('netbox_delinquency.workflow.start_run', lambda pk: EnforcementRun.objects.get(pk=pk))
        )

    def open_places(self):
        return sorted(Restriction.objects.open().values_list('point__name', 'identity'))

    def assertForeign(self, expected):
        """What is theirs is shown as theirs, by user name; none of these lines is taken for normal."""
        lines = AccessLine.objects.filter(username__in=expected)
        self.assertEqual({line.username: line.all_foreign for line in lines}, expected)
        self.assertEqual({line.observed_mode for line in lines}, {'foreign'})

    def assertTheirsStays(self, expected, truth):
        """First contact, a debt of ours on top, and its payment: the box ends as the foreigner left it."""
        lines, before = list(AccessLine.objects.filter(username__in=expected)), truth()
        self.world.reconcile()
        self.world.work()
        self.assertForeign(expected)
        self.assertEqual((truth(), EnforcementRun.objects.count()), (before, 0))
        for line in lines:
            self.world.owe(line)
        self.world.work()
        self.assertNotEqual(truth(), before)
        held = Restriction.objects.open()
        self.assertEqual((len(held), [each.baseline for each in held if each.baseline]), (len(expected), []))
        for line in lines:
            self.world.pay(line)
        self.world.work()
        self.assertEqual((truth(), self.open_places()), (before, []))
        self.assertForeign(expected)
        self.world.reconcile()
        self.world.work()
        self.assertEqual(truth(), before)
        self.assertForeign(expected)

    def terminate(self, line):
        contract = Contract.objects.get(pk=line.contract_id)
        contract.status = 'terminated'
        contract.save()


class RouterTest(BoxTestCase):
    def setUp(self):
        super().setUp()
        secret = json.dumps({'username': 'admin', 'password': 'admin'})
        self.enterContext(mock.patch.dict(os.environ, {'DELINQUENCY_CREDENTIAL_BRAS': secret}))
        names = ('ana', 'ana2', 'bob', *ERP)
        configs = [
            RouterConfig(name, profiles=ERP_PROFILES, subscribers=[{'name': user, 'profile': 'home'} for user in names])
            for name in ('bras-1', 'bras-2')
        ]
        running = self.enterContext(simulation(*configs))
        self.routers = {name: running.routers[name].router for name in ('bras-1', 'bras-2')}
        self.points = {
            name: make_point(
                name=name, address='127.0.0.1', port=running.routers[name].port, timeout=5,
                host_key=running.routers[name].host_key,
            )
            for name in ('bras-1', 'bras-2')
        }  # fmt: skip
        plan = make_plan(
            throttled_down_kbps=1000,
            throttled_up_kbps=512,
            parameters={'routeros': {'profile': 'home', 'throttled_profile': 'slow'}},
        )
        self.world = BoxWorld(plan)
        self.normal = self.seen('bras-1', 'bob')

    def seen(self, router, user):
        """What the line's stored policy and its session really are."""
        live = self.routers[router].service(user)['live']
        secret = next(row for row in self.routers[router].rows('ppp secret') if row['name'] == user)
        kept = live and {key: value for key, value in live.items() if key in ('rate', 'restricted', 'profile')}
        return secret['profile'], kept

    def blocked(self, user='ana'):
        line = self.world.line(user, self.points['bras-1'])
        self.world.owe(line)
        self.world.work()
        self.assertNotEqual(self.seen('bras-1', user), self.normal)
        return AccessLine.objects.get(pk=line.pk)

    def test_a_renamed_line_leaves_neither_login_free_until_it_is_paid_and_then_both(self):
        ana = self.blocked()
        ana.username = 'ana2'
        ana.save()
        self.world.work()
        self.assertNotEqual(self.seen('bras-1', 'ana'), self.normal)
        self.assertNotEqual(self.seen('bras-1', 'ana2'), self.normal)
        self.world.pay(ana)
        self.world.work()
        for user in ('ana', 'ana2', 'bob'):
            self.assertEqual(self.seen('bras-1', user), self.normal, user)
        self.assertEqual(self.open_places(), [])

    def test_a_moved_line_is_free_at_both_routers_once_it_is_paid(self):
        ana = self.blocked()
        ana.bras = self.points['bras-2']
        ana.save()
        self.world.work()
        self.assertEqual(self.open_places(), [('bras-1', 'username=ana'), ('bras-2', 'username=ana')])
        self.world.pay(ana)
        self.world.work()
        for router in ('bras-1', 'bras-2'):
            self.assertEqual(self.seen(router, 'ana'), self.normal, router)

    def test_who_leaves_gets_nothing_back_and_the_next_of_that_login_is_free(self):
        ana = self.blocked()
        self.terminate(ana)
        self.world.pay(ana)
        self.world.work()
        self.assertNotEqual(self.seen('bras-1', 'ana'), self.normal)
        self.world.line('ana', self.points['bras-1'])
        self.world.run_all()
        self.assertEqual(self.seen('bras-1', 'ana'), self.normal)
        self.assertEqual(self.open_places(), [])

    def test_a_login_that_is_gone_from_the_router_is_closed_as_gone(self):
        ana = self.blocked()
        Interpreter(self.routers['bras-1']).run('/ppp secret remove [find name="ana"]')
        for session in [row for row in self.routers['bras-1'].rows('ppp active') if row['name'] == 'ana']:
            self.routers['bras-1'].disconnect(session)
        ana.username = 'ana2'
        ana.save()
        self.world.pay(ana)
        self.world.work()
        (restriction,) = Restriction.objects.all()
        self.assertEqual(restriction.lifted_how, 'gone', restriction.finding)

    def test_a_line_in_our_own_profile_by_another_hand_is_foreign_and_stays(self):
        self.world.line('bob', self.points['bras-1'])
        Interpreter(self.routers['bras-1']).run('/ppp secret set [find name="bob"] profile=nbd-restricted')
        before = self.seen('bras-1', 'bob')
        report = reconcile_point(self.points['bras-1'])
        self.assertEqual((report.foreign, report.restores), (1, ()))
        self.world.work()
        self.assertEqual(self.seen('bras-1', 'bob'), before)
        self.assertTrue(AccessLine.objects.get(username='bob').is_foreign)

    def run_at(self, command, router='bras-1'):
        return Interpreter(self.routers[router]).run(command)

    def test_an_erps_blocks_are_foreign_never_normal_never_a_baseline_and_stay(self):
        self.run_at('/ppp secret set [find name=entry] remote-address=10.9.0.7')
        self.run_at('/ppp active remove [find name=entry]')
        for user, (command, _) in ERP.items():
            self.world.line(user, self.points['bras-1'])
            self.run_at(command)
            if user != 'entry':
                self.run_at(f'/ppp active remove [find name={user}]')
        expected = {user: [name] for user, (_, name) in ERP.items()}
        self.assertTheirsStays(expected, lambda: truth_of(self.routers['bras-1']))

    def test_lists_and_profiles_that_were_renamed_while_lines_are_in_them_are_known_again_and_given_back(self):
        self.run_at('/ppp profile add name=hold address-list=hold remote-address=pool-a')
        self.run_at('/ppp profile add name=slower rate-limit=64k/64k remote-address=pool-a')
        free = truth_of(self.routers['bras-1'])
        lines = {user: self.world.line(user, self.points['bras-1']) for user in ('ana', 'bob')}
        for user, days in (('ana', 40), ('bob', 20)):
            self.world.owe(lines[user], days)
        self.world.work()
        point, plan = self.points['bras-1'], self.world.plan
        point.parameters = {'restricted_list': 'hold', 'blocked_profile': 'hold'}
        point.save()
        plan.parameters = {'routeros': {'profile': 'home', 'throttled_profile': 'slower'}}
        plan.save()
        self.world.reconcile()
        seen = {line.username: line.observed for line in AccessLine.objects.all()}
        self.assertEqual(seen, {'ana': BLOCKED, 'bob': SLOW})
        for line in lines.values():
            self.world.pay(line)
        self.world.work()
        self.assertEqual((truth_of(self.routers['bras-1']), self.open_places()), (free, []))

    def test_a_restore_that_would_lead_to_no_normal_profile_is_refused_by_both_names_and_tried_by_no_new_run(self):
        ana = self.blocked()
        plan = self.world.plan
        self.run_at('/ppp profile set [find name=home] name=home-2')
        plan.parameters = {'routeros': {'profile': 'fibra', 'throttled_profile': 'slow'}}
        plan.save()
        cut = self.seen('bras-1', 'ana')
        self.world.pay(ana)
        self.world.work()
        self.world.reconcile()
        held = Restriction.objects.open().get()
        self.assertIn('"home"', held.finding)
        self.assertIn('"fibra"', held.finding)
        self.assertTrue(held.waits_for_person)
        self.assertEqual(self.seen('bras-1', 'ana'), cut)
        known = EnforcementRun.objects.count()
        self.world.reconcile()
        self.world.work()
        self.assertEqual(EnforcementRun.objects.count(), known)
        plan.parameters = {'routeros': {'profile': 'home-2', 'throttled_profile': 'slow'}}
        plan.save()
        self.points['bras-1'].save()  # whoever repaired it says so
        self.world.work()
        self.assertEqual((self.seen('bras-1', 'ana')[0], self.open_places()), ('home-2', []))


@skipIf(missing(), missing())
class RadiusTest(BoxTestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        stack = contextlib.ExitStack()
        cls.addClassCleanup(stack.close)
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        cls.db = stack.enter_context(postgres_database())
        cls.server = stack.enter_context(freeradius_server(folder, cls.db.kind, cls.db.where, cls.db.database))

    def setUp(self):
        super().setUp()
        self.db.empty()
        self.db.group('home', Mikrotik_Rate_Limit='10000k/20000k')
        self.db.group('slow', Mikrotik_Rate_Limit='512k/1000k')
        self.db.group('nbd-restricted', Mikrotik_Address_List='nbd-restricted')
        self.box = self.enterContext(bng(server=(self.server.auth, self.server.acct)))
        secret = json.dumps({'username': self.db.username, 'password': self.db.password, 'secret': SECRET})
        self.enterContext(mock.patch.dict(os.environ, {'DELINQUENCY_CREDENTIAL_RADIUS_1': secret}))
        self.point = make_point(
            name='radius-1', driver='radius', address='127.0.0.1', port=self.db.port, credential='radius-1',
            host_key='',
            parameters=self.db.parameters
            | {'dialect': 'mikrotik', 'coa_port': self.box.port, 'trust_acknowledgement': True, 'settle_seconds': 2},
        )  # fmt: skip
        plan = make_plan(
            down_kbps=20_000, up_kbps=10_000, throttled_down_kbps=1000, throttled_up_kbps=512,
            parameters={'radius': {'group': 'home', 'throttled_group': 'slow'}},
        )  # fmt: skip
        self.world = BoxWorld(plan)
        for name in ('ana', 'ana2', 'bob'):
            self.db.user(name, 'home')
            self.box.add(name)
        self.before = self.db.truth()

    def groups(self, name):
        return [group for group, _ in self.db.groups_of(name)]

    def blocked(self, user='ana'):
        line = self.world.line(user, self.point)
        self.world.owe(line)
        self.world.work()
        self.assertEqual(self.box.lines[user].address_list, 'nbd-restricted')
        return AccessLine.objects.get(pk=line.pk)

    def test_a_renamed_line_leaves_neither_login_free_until_it_is_paid_and_then_both(self):
        ana = self.blocked()
        ana.username = 'ana2'
        ana.save()
        self.world.work()
        self.assertEqual([self.box.lines[name].address_list for name in ('ana', 'ana2')], ['nbd-restricted'] * 2)
        self.world.pay(ana)
        self.world.work()
        self.assertEqual({line.address_list for line in self.box.lines.values()}, {''})
        self.assertEqual((self.db.truth(), self.open_places()), (self.before, []))

    def test_who_leaves_gets_nothing_back_and_the_next_of_that_login_is_free(self):
        ana = self.blocked()
        self.terminate(ana)
        self.world.pay(ana)
        self.world.work()
        self.assertEqual(self.box.lines['ana'].address_list, 'nbd-restricted')
        self.world.line('ana', self.point)
        self.world.run_all()
        self.assertEqual(self.box.lines['ana'].address_list, '')
        self.assertEqual(self.db.truth(), self.before)

    def test_a_user_in_our_own_group_by_another_hand_is_foreign_and_stays(self):
        self.world.line('bob', self.point)
        self.db.execute("UPDATE radusergroup SET groupname = 'nbd-restricted' WHERE username = 'bob'")
        before = self.db.truth()
        report = reconcile_point(self.point)
        self.assertEqual((report.foreign, report.restores), (1, ()))
        self.world.work()
        self.assertEqual(self.db.truth(), before)
        self.assertTrue(AccessLine.objects.get(username='bob').is_foreign)

    def execute(self, table, owner, name, attribute, value):
        self.db.execute(
            f"INSERT INTO {table} ({owner}, attribute, op, value) VALUES (:n, :a, ':=', :v)",
            {'n': name, 'a': attribute, 'v': value},
        )

    def test_an_erps_blocks_are_foreign_never_normal_never_a_baseline_and_stay(self):
        self.point.parameters = self.point.parameters | {'foreign_groups': ['bloqueado']}
        self.point.save()
        note_check(self.point, [], timezone.now())
        self.db.group('bloqueado', Mikrotik_Address_List='bloqueados')
        self.execute('radgroupcheck', 'groupname', 'disabled', 'Auth-Type', 'Reject')
        self.db.user('group', 'bloqueado', 'home')
        self.db.user('rejecting', 'disabled', 'home')
        self.db.user('rejected', 'home')
        self.execute('radcheck', 'username', 'rejected', 'Auth-Type', 'Reject')
        self.db.user('listed', 'home', Mikrotik_Address_List='bloqueados')
        expected = {
            'group': ['group bloqueado'],
            'rejecting': ['group disabled (Auth-Type := Reject)'],
            'rejected': ['Auth-Type := Reject (radcheck)'],
            'listed': ['Mikrotik-Address-List := bloqueados (radreply)'],
        }
        for name in expected:
            self.world.line(name, self.point)

        def answers():
            said = log_in(self.server.auth, list(expected))
            return {name: dict(said[name].pairs) if said[name].accepted else None for name in expected}

        answered = answers()
        self.assertTheirsStays(expected, self.db.truth)
        self.assertEqual(answers(), answered)

    def test_groups_that_were_renamed_while_lines_are_in_them_are_known_again_and_given_back(self):
        self.db.group('hold', Mikrotik_Address_List='hold')
        self.db.group('slower', Mikrotik_Rate_Limit='64k/64k')
        free = self.db.truth()
        lines = {user: self.world.line(user, self.point) for user in ('ana', 'bob')}
        for user, days in (('ana', 40), ('bob', 20)):
            self.world.owe(lines[user], days)
        self.world.work()
        self.assertNotEqual(self.db.truth(), free)
        plan = self.world.plan
        self.point.parameters = self.point.parameters | {'blocked_group': 'hold'}
        self.point.save()
        plan.parameters = {'radius': {'group': 'home', 'throttled_group': 'slower'}}
        plan.save()
        self.world.reconcile()
        seen = {line.username: line.observed for line in AccessLine.objects.all()}
        self.assertEqual(seen, {'ana': BLOCKED, 'bob': SLOW})
        for line in lines.values():
            self.world.pay(line)
        self.world.work()
        self.assertEqual((self.db.truth(), self.open_places()), (free, []))
        self.assertEqual({self.box.lines[name].address_list for name in lines}, {''})


class AcsTest(BoxTestCase):
    """CPEs behind two ACSs: what is shaped there is asked of the CPEs themselves."""

    def setUp(self):
        super().setUp()
        self.enterContext(mock.patch.dict(os.environ, ENVIRONMENT))
        folder = Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.acss, self.points = {}, {}
        for name in ('acs-1', 'acs-2'):
            self.acss[name] = self.enterContext(embedded_acs(f'sqlite:///{folder / name}.sqlite3'))
            self.points[name] = make_point(
                name=name, driver='acs_embedded', address='127.0.0.1', credential=CREDENTIAL, host_key='',
                parameters=self.acss[name].point().parameters,
            )  # fmt: skip
        self.world = BoxWorld(make_plan())
        self.ana, self.bob = self.acss['acs-1'].add('ANA'), self.acss['acs-1'].add('BOB')
        self.free = self.ana.value(UP)

    def line(self, cpe):
        return self.world.line('', self.points['acs-1'], bras=None, acs=self.points['acs-1'], cwmp_id=cpe.id)

    def blocked(self, cpe):
        line = self.line(cpe)
        self.world.owe(line)
        self.world.work()
        self.assertEqual(cpe.value(UP), '64000')
        return AccessLine.objects.get(pk=line.pk)

    def test_devices_swapped_while_a_run_is_under_way_shape_nobody_who_pays(self):
        debtor, payer = self.line(self.ana), self.line(self.bob)
        self.world.owe(debtor)
        evaluate_all(timezone.now())
        for line, cwmp_id in ((debtor, 'between'), (payer, self.ana.id), (debtor, self.bob.id)):
            line = AccessLine.objects.get(pk=line.pk)
            line.cwmp_id = cwmp_id
            line.save()
        self.world.run_all()
        self.assertEqual([cpe.value(UP) for cpe in (self.ana, self.bob)], [self.free] * 2)
        self.world.work()
        self.assertEqual([cpe.value(UP) for cpe in (self.ana, self.bob)], [self.free, '64000'])

    def test_a_line_that_moved_to_another_acs_and_device_is_free_wherever_it_was_once_it_paid(self):
        moved, line = self.acss['acs-2'].add('ANA'), self.blocked(self.ana)
        line.acs = self.points['acs-2']
        line.save()
        self.world.work()
        self.assertEqual([cpe.value(UP) for cpe in (self.ana, moved)], ['64000'] * 2)
        line = AccessLine.objects.get(pk=line.pk)
        line.acs, line.cwmp_id = self.points['acs-1'], self.bob.id
        line.save()
        self.world.work()
        cpes = self.ana, moved, self.bob
        self.assertEqual([cpe.value(UP) for cpe in cpes], ['64000'] * 3)
        self.world.pay(line)
        self.world.work()
        self.assertEqual([cpe.value(UP) for cpe in cpes], [self.free] * 3)
        self.assertEqual(self.open_places(), [])

    def test_who_leaves_gets_nothing_back_and_whoever_has_the_device_next_is_free(self):
        line = self.blocked(self.ana)
        self.terminate(line)
        self.world.pay(line)
        self.world.work()
        self.assertEqual(self.ana.value(UP), '64000')
        self.line(self.ana)
        self.world.run_all()
        self.world.work()
        self.assertEqual((self.ana.value(UP), self.open_places()), (self.free, []))

    def test_a_profile_that_somebody_else_keeps_at_the_acs_is_foreign_and_stays(self):
        acs, line = self.acss['acs-1'], self.line(self.ana)
        connection = AcsConnection()
        connection.open('acs-1', extras={'point': acs.point()})
        with contextlib.closing(connection.connection) as session:
            theirs = ValueProfile('theirs', 'r1', (ParameterValue(UP, '5000000', 'xsd:int'),))
            session.run(lambda client: client.apply(theirs, [self.ana.id]))
        acs.comes(self.ana)
        self.world.owe(line)
        for _ in range(2):
            self.world.work()
            self.world.reconcile()
            self.world.pay(line)
        self.assertEqual(self.ana.value(UP), '5000000')
        self.assertTrue(AccessLine.objects.get(pk=line.pk).is_foreign)
