"""What the pages of devices and virtual machines say of the lines they carry, and to whom."""

from datetime import UTC, datetime

from django.test import override_settings
from users.models import ObjectPermission
from utilities.testing import TestCase, create_test_device, create_test_virtualmachine

from netbox_delinquency.choices import AccessModeChoices, LineStatusChoices
from tests.plugin.factories import make_contract, make_line, make_point, make_policy, make_subscriber

NOW = datetime(2025, 3, 10, tzinfo=UTC)


def may(*models):
    return [f'netbox_delinquency.view_{model}' for model in models]


class CpePageTest(TestCase):
    user_permissions = ('dcim.view_device',)

    @classmethod
    def setUpTestData(cls):
        cls.device = create_test_device('cpe-1')
        policy = make_policy(name='Homes')
        cls.contract = make_contract(
            external_id='C-77', subscriber=make_subscriber(external_id='S-77', name='Ana Ribeiro'), policy=policy,
            stage=policy.stages.get(action='throttle'), stage_since=NOW,
        )  # fmt: skip
        cls.line = make_line(
            username='ana@example', contract=cls.contract, cpe=cls.device, observed_mode='normal', observed_at=NOW,
            intended_mode='throttled', intended_down_kbps=1000, intended_up_kbps=500,
        )  # fmt: skip

    def page(self, device=None):
        response = self.client.get((device or self.device).get_absolute_url())
        self.assertHttpStatus(response, 200)
        return response

    def test_it_shows_the_subscriber_the_contract_and_how_the_line_stands(self):
        self.add_permissions(*may('accessline', 'contract', 'subscriber', 'policystage'))
        page = self.page()
        for text in ('ana@example', 'Ana Ribeiro', 'C-77', 'Homes: Throttle (15)', 'Throttled to 1000/500 kbit/s'):
            self.assertContains(page, text)
        for related in (self.line, self.contract, self.contract.subscriber, self.contract.stage):
            self.assertContains(page, f'href="{related.get_absolute_url()}"')

    def test_who_may_see_devices_only_learns_nothing_of_the_subscriber(self):
        page = self.page()
        for text in ('ana@example', 'Ana Ribeiro', 'C-77', 'Throttle', 'Access line'):
            self.assertNotContains(page, text)

    def test_who_may_see_lines_learns_neither_whose_it_is_nor_how_far_behind(self):
        self.add_permissions(*may('accessline'))
        page = self.page()
        self.assertContains(page, 'ana@example')
        for text in ('Ana Ribeiro', 'C-77', 'Homes'):
            self.assertNotContains(page, text)

    def test_a_permission_for_other_lines_is_none_for_this_one(self):
        permission = ObjectPermission.objects.create(
            name='others', actions=['view'], constraints={'username__startswith': 'zoe'}
        )
        permission.users.add(self.user)
        permission.object_types.add(permission.object_types.model.objects.get_for_model(self.line))
        self.assertNotContains(self.page(), 'ana@example')

    def test_a_retired_line_is_history_and_not_shown(self):
        self.add_permissions(*may('accessline'))
        self.line.status = LineStatusChoices.RETIRED
        self.line.save()
        self.assertNotContains(self.page(), 'ana@example')

    def test_a_device_without_a_line_is_left_as_it_is(self):
        self.add_permissions(*may('accessline', 'contract', 'subscriber', 'enforcementpoint'))
        page = self.page(create_test_device('switch-1'))
        self.assertNotContains(page, 'Access line')
        self.assertNotContains(page, 'netbox_delinquency')

    @override_settings(LOGIN_REQUIRED=False, EXEMPT_VIEW_PERMISSIONS=['dcim.device'])
    def test_an_anonymous_visitor_learns_nothing(self):
        self.client.logout()
        self.assertNotContains(self.page(), 'ana@example')


class BrasPageTest(TestCase):
    user_permissions = ('dcim.view_device', 'virtualization.view_virtualmachine')

    @classmethod
    def setUpTestData(cls):
        cls.hosts = {'device': create_test_device('router-1'), 'virtual_machine': create_test_virtualmachine('vm-1')}
        cls.points = {field: make_point(**{field: host}) for field, host in cls.hosts.items()}
        for point in cls.points.values():
            make_line(bras=point, observed_mode='normal', observed_at=NOW)
            make_line(bras=point, intended_mode=AccessModeChoices.BLOCKED, observed_mode='blocked', observed_at=NOW)
            make_line(bras=point, intended_mode=AccessModeChoices.BLOCKED, observed_mode='normal', observed_at=NOW)
            make_line(bras=point, intended_mode=AccessModeChoices.BLOCKED, status=LineStatusChoices.RETIRED)
            make_line(intended_mode=AccessModeChoices.BLOCKED)

    def pages(self):
        for field, host in self.hosts.items():
            with self.subTest(host=field):
                response = self.client.get(host.get_absolute_url())
                self.assertHttpStatus(response, 200)
                yield self.points[field], response

    def test_it_counts_its_active_lines_by_intended_state_and_drift(self):
        self.add_permissions(*may('accessline', 'enforcementpoint'))
        for point, page in self.pages():
            base = f'/plugins/delinquency/access-lines/?status=active&amp;point_id={point.pk}'
            for query, badge in (
                ('intended_mode=normal', '<span class="badge text-bg-green">1</span>'),
                ('intended_mode=blocked', '<span class="badge text-bg-red">2</span>'),
                ('drifting=true', '<span class="badge text-bg-yellow">1</span>'),
            ):
                self.assertContains(page, f'{base}&amp;{query}')
                self.assertContains(page, badge, html=True)

    def test_it_has_the_table_of_its_lines(self):
        self.add_permissions(*may('accessline', 'enforcementpoint'))
        for point, page in self.pages():
            url = f'/plugins/delinquency/access-lines/?embedded=True&point_id={point.pk}'
            self.assertContains(page, url)
            table = self.client.get(url, headers={'HX-Request': 'true'})
            self.assertEqual(len(table.context['table'].rows), 4)

    def test_who_may_not_see_lines_or_points_sees_neither_counts_nor_table(self):
        for permissions in ((), may('enforcementpoint'), may('accessline')):
            self.remove_permissions(*may('enforcementpoint', 'accessline'))
            self.add_permissions(*permissions)
            for _, page in self.pages():
                self.assertNotContains(page, 'enforced here')
                self.assertNotContains(page, 'access-lines/?')

    def test_only_the_lines_a_user_may_see_are_counted(self):
        self.add_permissions(*may('enforcementpoint', 'accessline'))
        ObjectPermission.objects.filter(name='netbox_delinquency.view_accessline').update(
            constraints={'intended_mode': 'normal'}
        )
        for _, page in self.pages():
            self.assertContains(page, '<span class="badge text-bg-green">1</span>', html=True)
            self.assertNotContains(page, 'intended_mode=blocked')
