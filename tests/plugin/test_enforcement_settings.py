"""The one row of settings and its switch: pages, REST, GraphQL, who may, and what is remembered."""

from core.models import ObjectChange
from django.test import RequestFactory
from django.urls import reverse
from utilities.testing import TestCase

from netbox_delinquency.dashboard import EnforcementWidget
from netbox_delinquency.forms.settings import EnforcementSettingsForm
from netbox_delinquency.models import EnforcementSettings

from .api.base import PluginAPITestCase
from .factories import make_run

PAGE = 'plugins:netbox_delinquency:enforcementsettings'
DATA = {
    'waves': '5, 20%, rest', 'soak_seconds': 30, 'max_failed_percent': 5, 'min_rows': 20, 'max_refused_percent': 20,
    'max_session_drop_percent': 5, 'max_latency_factor': 10, 'max_rows_per_run': 100, 'max_share_percent': 30,
    'max_rows_per_hour': 1000, 'reconcile_percent': 10, 'check_days': 7,
}  # fmt: skip


def url(name=''):
    return reverse(f'{PAGE}_{name}' if name else PAGE, args=[1])


class SettingsPagesTest(TestCase):
    def may(self, *actions):
        self.add_permissions(*(f'netbox_delinquency.{action}_enforcementsettings' for action in actions))

    def test_there_is_one_row_with_its_defaults_before_anybody_saved_it(self):
        self.may('view')
        self.assertRedirects(self.client.get(reverse(f'{PAGE}_list')), url())
        self.assertContains(self.client.get(url()), '1, 1%, 10%, rest')
        self.assertEqual(EnforcementSettings.objects.count(), 1)
        self.assertFalse(ObjectChange.objects.exists())

    def test_who_may_see_them_is_a_permission_and_who_may_change_them_another(self):
        for name in ('', 'edit'):
            self.assertHttpStatus(self.client.get(url(name)), 403)
        self.may('view')
        page = self.client.get(url())
        self.assertNotContains(page, 'Stop enforcement</button>')
        self.assertNotContains(page, url('switch'))
        self.assertHttpStatus(self.client.get(url('edit')), 403)
        self.assertHttpStatus(self.client.post(url('switch'), {'stopped': 'on', 'reason': 'x'}), 403)
        self.assertFalse(EnforcementSettings.load().stopped)

    def test_they_are_edited_and_the_change_is_logged(self):
        self.may('view', 'change')
        self.assertHttpStatus(self.client.get(url('edit')), 200)
        self.assertRedirects(self.client.post(url('edit'), DATA), url())
        self.assertEqual(EnforcementSettings.load().waves, '5, 20%, rest')
        (change,) = ObjectChange.objects.all()
        self.assertEqual(change.postchange_data['max_rows_per_run'], 100)
        self.add_permissions('core.view_objectchange')
        self.assertHttpStatus(self.client.get(url('changelog')), 200)
        self.assertHttpStatus(self.client.get(url('journal')), 200)

    def test_waves_that_cannot_be_read_are_refused_with_the_reason(self):
        self.may('view', 'change')
        answer = self.client.post(url('edit'), {**DATA, 'waves': '10%, half'})
        self.assertContains(answer, '&quot;half&quot; is no size')
        self.assertFalse(EnforcementSettingsForm({**DATA, 'waves': '1, 10%'}).is_valid())
        self.assertFalse(EnforcementSettingsForm({**DATA, 'max_share_percent': 101}).is_valid())
        self.assertEqual(EnforcementSettings.load().waves, '1, 1%, 10%, rest')

    def test_the_switch_wants_a_reason_and_shows_it_everywhere_until_it_is_thrown_back(self):
        self.may('view', 'change')
        self.add_permissions('netbox_delinquency.view_enforcementrun')
        run = make_run()
        answer = self.client.post(url('switch'), {'stopped': 'on', 'reason': ' '}, follow=True)
        self.assertContains(answer, 'those who wonder tonight')
        self.assertNotContains(self.client.get(run.get_absolute_url()), 'Enforcement is stopped')
        self.client.post(url('switch'), {'stopped': 'on', 'reason': 'storm <b>on</b> the ring'})
        saved = EnforcementSettings.load()
        self.assertEqual((saved.stopped, saved.stop_reason), (True, 'storm <b>on</b> the ring'))
        for page in (run.get_absolute_url(), url()):
            self.assertContains(self.client.get(page), 'storm &lt;b&gt;on&lt;/b&gt; the ring')
        self.assertIn('Enforcement is stopped', self.dashboard())
        change = ObjectChange.objects.get(changed_object_id=1)
        self.assertEqual((change.prechange_data['stopped'], change.postchange_data['stopped']), (False, True))
        self.client.post(url('switch'))
        self.assertEqual((EnforcementSettings.load().stopped, EnforcementSettings.load().stop_reason), (False, ''))
        self.assertNotContains(self.client.get(run.get_absolute_url()), 'storm')
        self.assertNotIn('stopped', self.dashboard())

    def dashboard(self):
        request = RequestFactory().get('/')
        request.user = self.user
        return EnforcementWidget().render(request)

    def test_a_form_opened_before_the_switch_was_thrown_does_not_throw_it_back(self):
        opened = EnforcementSettings.ensured()
        EnforcementSettings.ensured().throw(True, 'now')
        form = EnforcementSettingsForm(DATA, instance=opened)
        self.assertTrue(form.is_valid(), form.errors)
        form.save()
        saved = EnforcementSettings.load()
        self.assertEqual((saved.stopped, saved.max_rows_per_run), (True, 100))

    def test_the_menu_leads_there(self):
        self.may('view')
        self.assertContains(self.client.get(reverse('home')), '/plugins/delinquency/settings/')


class SettingsAPITest(PluginAPITestCase):
    url = '/api/plugins/delinquency/settings/'

    def test_they_are_read_and_patched_and_nothing_else(self):
        self.assertHttpStatus(self.client.get(self.url, **self.header), 403)
        self.may('view_enforcementsettings')
        self.assertEqual(self.get(self.url)['waves'], '1, 1%, 10%, rest')
        self.send('patch', self.url, {'four_eyes': True}, 403)
        self.may('change_enforcementsettings')
        answer = self.send('patch', self.url, {'four_eyes': True, 'waves': '3, rest'}, 200)
        self.assertEqual((answer['four_eyes'], answer['waves'], answer['stopped']), (True, '3, rest', False))
        self.assertEqual(self.get(answer['url']), self.get(self.url))
        self.send('patch', self.url, {'waves': 'rest, 3'}, 400)
        self.may('add_enforcementsettings')
        self.may('delete_enforcementsettings')
        for method in ('post', 'put', 'delete'):
            self.send(method, self.url, {}, 405)

    def test_the_switch_is_thrown_with_a_reason_and_back(self):
        self.may('view_enforcementsettings')
        self.may('change_enforcementsettings')
        self.send('patch', self.url, {'stopped': True}, 400)
        answer = self.send('patch', self.url, {'stopped': True, 'stop_reason': 'storm'}, 200)
        self.assertEqual((answer['stopped'], answer['stop_reason']), (True, 'storm'))
        self.assertTrue(EnforcementSettings.load().stopped)
        change = ObjectChange.objects.get(changed_object_id=1)
        self.assertEqual((change.prechange_data['stopped'], change.postchange_data['stopped']), (False, True))
        answer = self.send('patch', self.url, {'stopped': False}, 200)
        self.assertEqual((answer['stopped'], answer['stop_reason']), (False, ''))

    def test_graphql_has_them_for_those_who_may_see_them(self):
        EnforcementSettings.ensured()
        query = '{delinquency_enforcement_settings_list {id stopped waves}}'
        self.assertEqual(self.graphql(query)['data']['delinquency_enforcement_settings_list'], [])
        self.may('view_enforcementsettings')
        (found,) = self.graphql(query)['data']['delinquency_enforcement_settings_list']
        self.assertEqual((found['stopped'], found['waves']), (False, '1, 1%, 10%, rest'))
