"""A filter that there is not, or that cannot take its value, never means "all": not in a list, not in an action."""

from django.urls import reverse
from users.models import Token
from utilities.testing import TestCase

from netbox_delinquency import filtersets
from netbox_delinquency.models import AccessLine, EnforcementRun, Subscriber
from nornir_tasks.change import AccessState
from tests.plugin.base import CRUD_MODELS
from tests.plugin.factories import intend, make_line, make_subscriber

UNKNOWN = ('usernam=x', 'line_count=0', 'has_lines=false')
WRONG = (*UNKNOWN, 'tag=gone', 'status=nonsense', 'id=x')


class StrictFiltersTest(TestCase):
    @classmethod
    def setUpTestData(cls):
        cls.lines = [make_line(username=f'line{number}', pinned=True) for number in range(2)]
        for line in cls.lines:
            intend(line, AccessState.blocked())

    def setUp(self):
        super().setUp()
        self.user.is_superuser = True
        self.user.save()

    def do(self, action, query, **data):
        return self.client.post(f'{reverse(f"plugins:netbox_delinquency:accessline_bulk_{action}")}?{query}', data)

    def test_every_list_is_strict(self):
        for model in CRUD_MODELS:
            filterset = getattr(filtersets, f'{model.__name__}FilterSet')
            with self.subTest(model=model.__name__):
                self.assertFalse(filterset({'bogus': ['1']}, model.objects.all()).is_valid())
                self.assertFalse(filterset({'bogus': ['1']}, model.objects.all()).qs.exists())
                self.assertTrue(filterset({'page': ['2'], 'sort': ['pk'], 'q': ['']}, model.objects.all()).is_valid())

    def test_a_list_shows_nothing_and_says_which_filter_it_does_not_know(self):
        url = reverse('plugins:netbox_delinquency:accessline_list')
        for query in WRONG:
            answer = self.client.get(f'{url}?{query}')
            self.assertEqual(len(answer.context['table'].rows), 0, query)
            name = query.partition('=')[0]
            said = f'There is no filter {name}.' if query in UNKNOWN else f'{name}: '
            self.assertTrue(said in answer.text, query)
        answer = self.client.get(f'{url}?username=line1&per_page=10&sort=-pk')
        self.assertEqual([row.record.username for row in answer.context['table'].rows], ['line1'])

    def test_no_action_on_all_that_is_shown_takes_what_such_a_filter_does_not_show(self):
        for query in WRONG:
            for action in ('plan', 'unpin', 'reconcile'):
                self.assertEqual(self.do(action, query, _all='1').status_code, 302)
            answer = self.do('profile', query, _all='1', _apply='1', name='x')
            self.assertEqual(answer.status_code, 302)
            self.do('delete', query, _all='1', confirm='1', _confirm='1')
            self.do('edit', query, _all='1', _apply='1', description='changed')
        self.assertFalse(EnforcementRun.objects.exists())
        self.assertEqual(AccessLine.objects.filter(pinned=True, description='').count(), 2)

    def test_an_action_on_all_that_a_good_filter_shows_takes_those(self):
        self.do('unpin', 'username=line1', _all='1')
        self.assertEqual(AccessLine.objects.get(pinned=True).username, 'line0')

    def test_rest_answers_400_and_names_the_filter(self):
        make_subscriber()
        token = Token.objects.create(user=self.user)
        header = {'HTTP_AUTHORIZATION': f'Bearer nbt_{token.key}.{token.token}'}
        for query in WRONG:
            answer = self.client.get(f'/api/plugins/delinquency/access-lines/?{query}', **header)
            self.assertContains(answer, query.partition('=')[0], status_code=400)
        self.assertEqual(Subscriber.objects.count(), 3)
        good = self.client.get(
            '/api/plugins/delinquency/access-lines/?username=line0&limit=5&brief=1&ordering=pk', **header
        )
        self.assertEqual(good.json()['count'], 1)

    def test_a_rest_action_takes_no_word_that_is_no_filter_for_one(self):
        token = Token.objects.create(user=self.user)
        header = {'HTTP_AUTHORIZATION': f'Bearer nbt_{token.key}.{token.token}'}
        for wrong in ({'usernam': ['x']}, {'limit': 1}, {'tag': ['gone']}, {}):
            for action in ('unpin', 'reconcile'):
                answer = self.client.post(
                    f'/api/plugins/delinquency/access-lines/{action}/',
                    {'filters': wrong},
                    content_type='application/json',
                    **header,
                )
                self.assertEqual(answer.status_code, 400, (action, wrong))
        self.assertEqual(AccessLine.objects.filter(pinned=True).count(), 2)
