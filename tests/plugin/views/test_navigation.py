"""Where one finds things: the menu, the views, the search, the dashboard."""

import pickle

from django.test import RequestFactory
from django.urls import reverse
from netbox.registry import registry
from netbox.search.backends import search_backend
from users.models import ObjectPermission
from utilities.testing import TestCase

from netbox_delinquency.dashboard import EnforcementWidget
from netbox_delinquency.navigation import menu
from netbox_delinquency.search import indexes
from tests.plugin.base import CRUD_MODELS
from tests.plugin.factories import make_contract, make_line, make_run, make_subscriber

ALL_ITEMS = [item for group in menu.groups for item in group.items]
# There is one row of settings, and restrictions are the engine's: neither is added or imported.
ITEMS = [item for item in ALL_ITEMS if 'enforcementsettings' not in item.link and 'restriction' not in item.link]


class MenuTest(TestCase):
    def test_every_model_is_in_the_menu_for_those_who_may_see_it(self):
        names = {item.link.split(':')[-1].removesuffix('_list'): item for item in ITEMS}
        self.assertEqual(set(names), {model._meta.model_name for model in CRUD_MODELS})
        for name, item in names.items():
            self.assertEqual(item.permissions, [f'netbox_delinquency.view_{name}'])
            add, bulk_import = item.buttons[:2]
            for button in (add, bulk_import):
                self.assertEqual(button.permissions, [f'netbox_delinquency.add_{name}'])
            for link in (item, *item.buttons):
                self.assertEqual(str(link.url), reverse(link.link))

    def test_the_menu_shows_only_what_the_user_may_see(self):
        self.add_permissions('netbox_delinquency.view_contract')
        page = self.client.get(reverse('home'))
        self.assertContains(page, '/plugins/delinquency/contracts/')
        self.assertNotContains(page, '/plugins/delinquency/contracts/add/')
        self.assertNotContains(page, '/plugins/delinquency/runs/')


class ViewsTest(TestCase):
    def test_a_background_job_can_find_every_view_again(self):
        for model in CRUD_MODELS:
            views = {
                entry['name']: entry['view']
                for entry in registry['views']['netbox_delinquency'][model._meta.model_name]
            }
            for name in ('', 'list', 'add', 'edit', 'delete', 'bulk_import', 'bulk_edit', 'bulk_delete'):
                self.assertIs(pickle.loads(pickle.dumps(views[name])), views[name])

    def test_a_page_leads_back_to_what_its_object_belongs_to(self):
        line = make_line()
        self.add_permissions(*(f'netbox_delinquency.view_{name}' for name in ('accessline', 'contract', 'subscriber')))
        page = self.client.get(line.get_absolute_url()).content.decode()
        trail = page[page.index('class="breadcrumb"') : page.index('page-title')]
        for parent in (line.contract.subscriber, line.contract):
            self.assertIn(f'href="{parent.get_absolute_url()}"', trail)


class SearchTest(TestCase):
    def test_an_object_is_found_by_what_it_is_known_by(self):
        contract = make_contract(external_id='C-7788', subscriber=make_subscriber(external_id='S-7788'))
        line = make_line(contract=contract, username='ana7788', ipv4='198.51.100.78', mac='00:00:5E:00:53:78')
        for instance in (contract, contract.subscriber, line):
            search_backend.cache([instance], remove_existing=True)
        self.add_permissions(
            *(f'netbox_delinquency.view_{model}' for model in ('contract', 'subscriber', 'accessline'))
        )
        for text, found in (
            ('C-7788', contract),
            ('S-7788', contract.subscriber),
            ('ana7788', line),
            ('198.51.100.78', line),
            ('00:00:5E:00:53:78', line),
        ):
            page = self.client.get(reverse('search'), {'q': text})
            self.assertContains(page, f'href="{found.get_absolute_url()}"', msg_prefix=text)

    def test_no_index_has_the_balance_or_the_body(self):
        for index in indexes:
            named = {name for name, _ in index.fields} | set(index.display_attrs)
            self.assertEqual(named & {'open_balance', 'body'}, set())


class DashboardTest(TestCase):
    @classmethod
    def setUpTestData(cls):
        make_line()
        make_line(intended_mode='blocked')
        make_run()

    def render(self):
        request = RequestFactory().get('/')
        request.user = self.user
        return EnforcementWidget().render(request)

    def test_the_widget_can_be_put_on_a_dashboard(self):
        self.assertIs(registry['widgets']['netbox_delinquency.EnforcementWidget'], EnforcementWidget)

    def test_it_counts_lines_drift_and_open_runs(self):
        self.add_permissions('netbox_delinquency.view_accessline', 'netbox_delinquency.view_enforcementrun')
        html = self.render()
        for query in ('intended_mode=normal', 'intended_mode=blocked', 'drifting=true', 'runs/?status=planned'):
            self.assertIn(query, html)
        self.assertInHTML('<span class="badge text-bg-yellow">1</span>', html)

    def test_it_shows_nothing_to_who_may_see_nothing(self):
        html = self.render()
        self.assertNotIn('badge', html)
        self.assertIn('Nothing to show.', html)

    def test_it_counts_only_what_the_user_may_see(self):
        self.add_permissions('netbox_delinquency.view_accessline')
        ObjectPermission.objects.update(constraints={'intended_mode': 'normal'})
        html = self.render()
        self.assertIn('intended_mode=normal', html)
        self.assertNotIn('intended_mode=blocked', html)
        self.assertInHTML('<span class="badge text-bg-green">0</span>', html)
