"""Who may do what with a run over REST: each action asks for its own permission, and for it on that very run."""

from core.models import ObjectType
from django.urls import reverse
from users.models import ObjectPermission
from utilities.testing import APITestCase

from netbox_delinquency.api.views import EnforcementRunViewSet
from netbox_delinquency.models import AccessLine, EnforcementRun
from nornir_tasks.change import AccessState
from tests.plugin.factories import intend, make_line, make_point

APPROVE, EXECUTE, CANCEL = 'approve_enforcementrun', 'execute_enforcementrun', 'cancel_enforcementrun'
ENFORCE = 'enforce_accessline'
# What each action on one run asks for. `revert` asks to see the run, and to enforce its lines.
ON_A_RUN = {
    'approve': APPROVE,
    'start': EXECUTE,
    'pause': EXECUTE,
    'resume': EXECUTE,
    'cancel': CANCEL,
    'begin': EXECUTE,
    'claim': EXECUTE,
    'sending': EXECUTE,
    'finished': EXECUTE,
    'unsent': EXECUTE,
    'health': EXECUTE,
    'finish': EXECUTE,
}
ON_LINES = {'plan': ENFORCE, 'plan-profile': ENFORCE}
# A holder of one of these may do nothing else with a run; nor do NetBox's own four let anybody act.
HOLDERS = (APPROVE, EXECUTE, CANCEL, ENFORCE, 'add_enforcementrun', 'change_enforcementrun', 'delete_enforcementrun')
BODIES = {
    'health': {'point': 'bras-1', 'sessions': 1, 'latency_s': 0.1},
    'pause': {'reason': 'a storm'},
    'plan-profile': {'filters': {'username': ['a']}, 'values': [['Device.X', '1', 'xsd:string']]},
}


class RunPermissionsTestCase(APITestCase):
    user_permissions = ()

    @classmethod
    def setUpTestData(cls):
        intend(make_line(username='a', bras=make_point(name='bras-1')), AccessState.blocked())
        cls.mine = EnforcementRun.objects.create(name='mine')
        cls.other = EnforcementRun.objects.create(name="somebody else's")

    def status(self, action, run=None):
        url = reverse(
            f'plugins-api:netbox_delinquency-api:enforcementrun-{action}', args=[run.pk] if run is not None else []
        )
        return self.client.post(url, BODIES.get(action, {}), format='json', **self.header).status_code

    def hold(self, permission, constraints=None):
        ObjectPermission.objects.all().delete()
        action, _, model = permission.rpartition('_')
        held = ObjectPermission.objects.create(name=permission, actions=[action], constraints=constraints)
        held.object_types.add(ObjectType.objects.get_for_model(AccessLine if model == 'accessline' else EnforcementRun))
        held.users.add(self.user)

    def test_the_matrix_names_every_action(self):
        posts = {action.url_path for action in EnforcementRunViewSet.get_extra_actions() if 'post' in action.mapping}
        self.assertEqual(posts, {*ON_A_RUN, *ON_LINES, 'revert'})

    def test_who_holds_one_permission_may_do_what_asks_for_that_one_and_nothing_else(self):
        for permission in HOLDERS:
            self.hold(permission)
            for action, asked in ON_A_RUN.items():
                with self.subTest(permission=permission, action=action):
                    refused = self.status(action, self.mine) == 403
                    self.assertEqual(refused, permission != asked)
            for action, asked in ON_LINES.items():
                with self.subTest(permission=permission, action=action):
                    refused = self.status(action) == 403
                    self.assertEqual(refused, permission != asked)

    def test_a_permission_for_some_runs_is_none_for_the_others(self):
        for action, asked in ON_A_RUN.items():
            self.hold(asked, {'name': 'mine'})
            with self.subTest(action):
                self.assertEqual(self.status(action, self.other), 403)
                self.assertNotEqual(self.status(action, self.mine), 403)

    def test_a_revert_asks_to_see_the_run_and_to_enforce_lines(self):
        self.hold(ENFORCE)
        self.assertEqual(self.status('revert', self.mine), 404)
        seen = ObjectPermission.objects.create(name='see', actions=['view'], constraints={'name': 'mine'})
        seen.object_types.add(ObjectType.objects.get_for_model(EnforcementRun))
        seen.users.add(self.user)
        self.assertEqual(self.status('revert', self.mine), 409)
        self.assertEqual(self.status('revert', self.other), 404)
        self.hold('view_enforcementrun')
        self.assertEqual(self.status('revert', self.mine), 403)
