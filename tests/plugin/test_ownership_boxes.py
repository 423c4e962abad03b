"""Ours and foreign at boxes that are real: RouterOS over SSH, and a FreeRADIUS on its tables with a BNG before it."""

import contextlib
import json
import os
import tempfile
from pathlib import Path
from unittest import mock, skipIf

from django.test import TestCase

from netbox_delinquency.models import AccessLine, Contract, EnforcementRun, EnforcementSettings, Restriction
from netbox_delinquency.runs.reconcile import reconcile_point
from tests.simulators.bng import bng
from tests.simulators.fixtures import PROFILES
from tests.simulators.freeradius import SECRET, freeradius_server, missing
from tests.simulators.radius_sql import postgres_database
from tests.simulators.routeros import RouterConfig, simulation
from tests.simulators.routeros_script import Interpreter

from .factories import make_contract, make_line, make_plan, make_point, make_policy, make_source
from .ownership import World


class BoxWorld(World):
    """Billing and the periodic jobs, over whatever points the test has made."""

    def __init__(self, plan):
        EnforcementSettings(waves='rest', soak_seconds=0, max_share_percent=100, min_rows=1000).save()
        self.policy = make_policy(auto_approve=True, repair_drift=True)
        self.source, self.plan = make_source(), plan

    def line(self, username, point, **values):
        contract = make_contract(plan=self.plan, policy=self.policy, source=self.source)
        return make_line(username=username, bras=point, **{'contract': contract, **values})


class BoxTestCase(TestCase):
    def setUp(self):
        self.enterContext(
            mock.patch('netbox_delinquency.workflow.start_run', lambda pk: EnforcementRun.objects.get(pk=pk))
        )

    def open_places(self):
        return sorted(Restriction.objects.open().values_list('point__name', 'identity'))

    def terminate(self, line):
        contract = Contract.objects.get(pk=line.contract_id)
        contract.status = 'terminated'
        contract.save()


class RouterTest(BoxTestCase):
    def setUp(self):
        super().setUp()
        secret = json.dumps({'username': 'admin', 'password': 'admin'})
        self.enterContext(mock.patch.dict(os.environ, {'DELINQUENCY_CREDENTIAL_BRAS': secret}))
        names = ('ana', 'ana2', 'bob')
        configs = [
            RouterConfig(name, profiles=PROFILES, subscribers=[{'name': user, 'profile': 'home'} for user in names])
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
        self.world = BoxWorld(make_plan(parameters={'routeros': {'profile': 'home', 'throttled_profile': 'slow'}}))
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
