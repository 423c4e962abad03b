"""What is open of ours, in lists and on pages, over REST and GraphQL; and what a person does with it."""

from unittest import mock

from django.urls import reverse
from rest_framework import status
from utilities.testing import APITestCase, TestCase

from netbox_delinquency.models import AccessLine, EnforcementRun, Restriction
from nornir_tasks.change import AccessState
from tests.plugin.factories import make_line, restrict

BLOCKED = AccessState.blocked()
BASE = 'plugins:netbox_delinquency:restriction'
REST = 'plugins-api:netbox_delinquency-api:'


def left_behind(username='ana'):
    """What was taken of somebody who has left since."""
    line = make_line(username=username)
    held = restrict(line, BLOCKED)
    line.contract.status = 'terminated'
    line.contract.save()
    return held


@mock.patch('netbox_delinquency.workflow.start_run', lambda pk: EnforcementRun.objects.get(pk=pk))
class RestrictionPagesTest(TestCase):
    user_permissions = ('netbox_delinquency.view_restriction', 'netbox_delinquency.view_accessline')

    def test_the_list_and_the_page_say_what_is_open_and_where(self):
        held, present = left_behind(), restrict(make_line(username='bob'), BLOCKED)
        page = self.client.get(reverse(f'{BASE}_list'))
        self.assertContains(page, 'username=ana')
        self.assertContains(page, 'username=bob')
        page = self.client.get(reverse(f'{BASE}_list') + '?left_behind=true')
        self.assertContains(page, 'username=ana')
        self.assertNotContains(page, 'username=bob')
        self.assertContains(self.client.get(held.get_absolute_url()), held.point.name)
        self.assertContains(self.client.get(present.line.get_absolute_url()), present.get_absolute_url())

    def test_lifting_and_letting_go_ask_for_their_own_permission(self):
        held = left_behind()
        for action in ('bulk_lift', 'bulk_let_go'):
            answer = self.client.post(reverse(f'{BASE}_{action}'), {'pk': held.pk})
            self.assertHttpStatus(answer, 403)
        self.add_permissions('netbox_delinquency.lift_restriction')
        self.assertHttpStatus(self.client.post(reverse(f'{BASE}_bulk_lift'), {'pk': held.pk}), 302)
        self.assertEqual(EnforcementRun.objects.get().author, self.user)
        row = EnforcementRun.objects.get().changes.get()
        self.assertEqual((row.restriction, row.line, row.identity), (held, None, 'username=ana'))
        other = left_behind('eva')
        self.assertHttpStatus(self.client.post(reverse(f'{BASE}_bulk_let_go'), {'pk': other.pk}), 302)
        other.refresh_from_db()
        self.assertEqual(other.lifted_how, 'disowned')

    def test_a_foreign_block_is_shown_as_that_and_never_as_normal(self):
        line = make_line(username='ana')
        AccessLine.objects.filter(pk=line.pk).update(
            foreign=['list bloqueados'], observed_mode='foreign', observed_at='2026-11-30T12:00:00Z'
        )
        make_line(username='bob')
        page = self.client.get(line.get_absolute_url())
        self.assertContains(page, 'list bloqueados')
        self.assertContains(page, 'Foreign block')
        found = self.client.get(reverse('plugins:netbox_delinquency:accessline_list') + '?foreign=true')
        self.assertContains(found, 'ana')
        self.assertNotContains(found, '>bob<')


class RestrictionRestTest(APITestCase):
    user_permissions = ('netbox_delinquency.view_restriction', 'netbox_delinquency.view_accessline')

    def test_restrictions_are_read_and_filtered_and_written_by_nobody(self):
        left_behind()
        restrict(make_line(username='bob'), BLOCKED)
        url = reverse(f'{REST}restriction-list')
        answer = self.client.get(url, {'left_behind': 'true'}, **self.header)
        self.assertEqual([row['identity'] for row in answer.json()['results']], ['username=ana'])
        self.assertEqual(answer.json()['results'][0]['state']['mode'], 'blocked')
        self.assertHttpStatus(self.client.post(url, {}, format='json', **self.header), status.HTTP_403_FORBIDDEN)

    def test_a_person_lifts_what_was_left_behind_and_not_what_is_a_lines_own(self):
        held, present = left_behind(), restrict(make_line(username='bob'), BLOCKED)
        self.add_permissions('netbox_delinquency.lift_restriction')
        url = reverse(f'{REST}restriction-lift')
        with mock.patch('netbox_delinquency.workflow.start_run', lambda pk: EnforcementRun.objects.get(pk=pk)):
            refused = self.client.post(url, {'filters': {'id': [present.pk]}}, format='json', **self.header)
            self.assertHttpStatus(refused, status.HTTP_409_CONFLICT)
            done = self.client.post(url, {'filters': {'id': [held.pk]}}, format='json', **self.header)
        self.assertHttpStatus(done, status.HTTP_202_ACCEPTED)

    def test_a_foreign_line_is_that_over_rest(self):
        line = make_line(username='ana')
        AccessLine.objects.filter(pk=line.pk).update(
            foreign=['list bloqueados'], observed_mode='foreign', observed_at='2026-11-30T12:00:00Z'
        )
        url = reverse(f'{REST}accessline-detail', args=[line.pk])
        answer = self.client.get(url, **self.header).json()
        self.assertEqual((answer['observed']['mode'], answer['foreign']), ('foreign', ['list bloqueados']))
        self.add_permissions('netbox_delinquency.enforce_accessline')
        adopted = self.client.post(
            reverse(f'{REST}accessline-adopt'), {'filters': {'username': ['ana']}}, format='json', **self.header
        )
        self.assertEqual(adopted.json(), {'adopted': 1})
        self.assertEqual(Restriction.objects.get().noted['foreign'], ['list bloqueados'])
