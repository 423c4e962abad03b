"""What shows another object asks for the right to that object: in lists, pages, search, exports, REST and GraphQL."""

from core.models import ObjectType
from django.urls import reverse
from django.utils import timezone
from extras.models import ExportTemplate

from netbox_delinquency.models import AccessLine, Contract, EnforcementPoint, EnforcementRun, Subscriber
from netbox_delinquency.search import indexes

from .api.base import APP, PluginAPITestCase
from .factories import make_change, make_contract, make_line, make_point, make_run, make_subscriber

SECRETS = ('Ana Planted', 'Bob Planted')


class RightsTest(PluginAPITestCase):
    @classmethod
    def setUpTestData(cls):
        cls.points = [make_point(name=f'bras-planted-{number}') for number in (1, 2)]
        cls.subscribers = [make_subscriber(name=name) for name in SECRETS]
        cls.contracts = [
            make_contract(external_id=f'K-planted-{number}', subscriber=subscriber, open_balance=4711 + number)
            for number, subscriber in enumerate(cls.subscribers)
        ]
        cls.lines = [
            make_line(username=f'login{number}', contract=contract, bras=cls.points[number])
            for number, contract in enumerate(cls.contracts)
        ]
        cls.run_ = make_run(name='night')
        for line in cls.lines:
            make_change(run=cls.run_, line=line)

    def setUp(self):
        super().setUp()
        self.client.force_login(self.user)
        self.may('view_accessline')

    def page(self, url, **parameters):
        response = self.client.get(url, parameters)
        self.assertHttpStatus(response, 200)
        return response.content.decode()

    def url(self, name, *args):
        return reverse(f'plugins:{APP}:{name}', args=args)

    def api(self, name, **parameters):
        return self.get(reverse(f'plugins-api:{APP}-api:{name}'), **parameters)

    def assertHides(self, text, *hidden):
        for each in hidden or (*SECRETS, 'K-planted'):
            self.assertNotIn(each, text)

    ALL = ','.join(('line', 'contract', 'subscriber', 'plan', 'policy', 'stage', 'bras', 'acs', 'cpe'))

    def test_the_list_of_lines_and_its_csv_show_only_what_each_field_may(self):
        for parameters in ({'include_columns': self.ALL}, {'export': 'table'}, {'export': ''}):
            text = self.page(self.url('accessline_list'), **parameters)
            self.assertIn('login0', text)
            self.assertHides(text, *SECRETS, 'K-planted', 'bras-planted')
        self.may('view_subscriber', pk=self.subscribers[0].pk)
        for parameters in ({'include_columns': self.ALL}, {'export': ''}):
            text = self.page(self.url('accessline_list'), **parameters)
            self.assertIn(SECRETS[0], text)
            self.assertHides(text, SECRETS[1], 'K-planted')
            self.assertNotIn(self.subscribers[1].get_absolute_url(), text)

    def test_the_order_does_not_tell_names(self):
        self.may('view_subscriber', pk=self.subscribers[0].pk)
        self.may('view_contract')
        for model in ('accessline', 'contract'):
            up, down = (
                [
                    row.record.pk
                    for row in self.client.get(self.url(f'{model}_list'), {'sort': sort}).context['table'].rows
                ]
                for sort in ('subscriber', '-subscriber')
            )
            self.assertEqual(up, down)
        up, down = (
            [item['id'] for item in self.api('contract-list', ordering=ordering)['results']]
            for ordering in ('subscriber', '-subscriber')
        )
        self.assertEqual(up, down)

    def test_pages_and_breadcrumbs_ask_for_each_object(self):
        text = self.page(self.lines[0].get_absolute_url())
        self.assertIn('login0', text)
        self.assertHides(text, *SECRETS, 'K-planted', 'bras-planted')
        self.may('view_contract', pk=self.contracts[0].pk)
        text = self.page(self.lines[0].get_absolute_url())
        self.assertIn('K-planted-0', text)
        self.assertHides(text, *SECRETS)
        self.assertHides(self.page(self.lines[1].get_absolute_url()))
        self.assertHides(self.page(self.contracts[0].get_absolute_url()), *SECRETS)

    def test_a_filter_or_a_search_by_what_is_hidden_finds_nothing(self):
        subscriber = self.subscribers[1]
        for query in (
            {'q': 'Bob Plan'},
            {'q': 'K-planted-1'},
            {'subscriber_id': subscriber.pk},
            {'subscriber': subscriber.external_id},
            {'contract': 'K-planted-1'},
            {'contract_id': self.contracts[1].pk},
            {'plan': self.contracts[1].plan.name},
            {'stage_action': 'block'},
            {'bras': 'bras-planted-2'},
        ):
            response = self.client.get(self.url('accessline_list'), query)
            self.assertEqual([row.record for row in response.context['table'].rows], [], query)
            answer = self.client.get(reverse(f'plugins-api:{APP}-api:accessline-list'), query, **self.header)
            self.assertEqual(answer.json().get('results', []), [], query)
        # The complement tells as much.
        self.may('view_subscriber', pk=self.subscribers[0].pk)
        url = reverse(f'plugins-api:{APP}-api:accessline-list')
        self.assertEqual(self.client.get(url, {'subscriber_id__n': subscriber.pk}, **self.header).status_code, 400)
        found = self.api('accessline-list', subscriber_id=self.subscribers[0].pk)['results']
        self.assertEqual([line['id'] for line in found], [self.lines[0].pk])
        self.assertEqual(self.api('accessline-list', q='Planted')['results'][0]['id'], self.lines[0].pk)

    def test_an_action_on_all_that_a_hidden_filter_finds_is_refused(self):
        self.may('enforce_accessline')
        url = reverse(f'plugins-api:{APP}-api:accessline-unpin')
        AccessLine.objects.update(pinned=True)
        answer = self.send('post', url, {'filters': {'contract_id': [self.contracts[1].pk]}}, 400)
        self.assertIn('contract_id', str(answer))
        self.assertEqual(AccessLine.objects.filter(pinned=True).count(), 2)

    def test_search_results_show_nothing_but_the_object_itself(self):
        for index in indexes:
            relations = [name for name in index.display_attrs if index.model._meta.get_field(name).is_relation]
            self.assertEqual(relations, [], index)

    def test_rest_names_a_hidden_object_by_its_key_alone(self):
        for parameters in ({}, {'fields': 'id,contract,bras'}):
            line = self.api('accessline-list', **parameters)['results'][0]
            self.assertEqual(set(line['contract']), {'id', 'url', 'display'})
            self.assertHides(str(line), *SECRETS, 'K-planted', 'bras-planted')
        self.may('view_contract', pk=self.contracts[0].pk)
        shown = {item['id']: item['contract']['display'] for item in self.api('accessline-list')['results']}
        self.assertEqual(shown[self.lines[0].pk], 'K-planted-0')
        self.assertEqual(shown[self.lines[1].pk], f'#{self.contracts[1].pk}')
        self.assertHides(str(self.api('contract-list')), *SECRETS)

    def test_graphql_hides_the_object_and_not_the_list(self):
        query = '{delinquency_access_line_list {username bras {name} contract {external_id subscriber {name}}}}'
        answer = self.graphql(query)
        self.assertNotIn('errors', answer)
        lines = answer['data']['delinquency_access_line_list']
        self.assertEqual([line['contract'] for line in lines], [None, None])
        self.may('view_contract', pk=self.contracts[0].pk)
        self.may('view_subscriber', pk=self.subscribers[1].pk)
        lines = {line['username']: line for line in self.graphql(query)['data']['delinquency_access_line_list']}
        self.assertEqual(lines['login0']['contract'], {'external_id': 'K-planted-0', 'subscriber': None})
        self.assertEqual((lines['login1']['contract'], lines['login1']['bras']), (None, None))

    def test_a_graphql_filter_finds_nothing_through_what_is_hidden(self):
        def found(filters):
            answer = self.graphql(f'{{delinquency_access_line_list(filters: {filters}) {{username}}}}')
            self.assertNotIn('errors', answer)
            return [line['username'] for line in answer['data']['delinquency_access_line_list']]

        subscriber = '{contract: {subscriber: {name: {i_contains: "Planted"}}}}'
        contract = f'{{contract_id: {self.contracts[1].pk}}}'
        self.assertEqual((found(subscriber), found(contract)), ([], []))
        self.assertEqual(found(f'{{NOT: {subscriber}}}'), ['login0', 'login1'])
        self.may('view_contract')
        self.assertEqual((found(subscriber), found(contract)), ([], ['login1']))
        self.may('view_subscriber', pk=self.subscribers[0].pk)
        self.assertEqual(found(subscriber), ['login0'])

    def test_an_export_template_prints_only_for_who_may_see_all_it_could_print(self):
        template = ExportTemplate.objects.create(
            name='all', template_code='{% for line in queryset %}{{ line.contract.open_balance }}{% endfor %}'
        )
        template.object_types.add(ObjectType.objects.get_for_model(AccessLine))
        self.add_permissions('extras.view_exporttemplate')
        api = reverse(f'plugins-api:{APP}-api:accessline-list')
        for url in (self.url('accessline_list'), api):
            self.assertHttpStatus(self.client.get(url, {'export': 'all'}, **self.header), 403)
        self.user.is_superuser = True
        self.user.save()
        for url in (self.url('accessline_list'), api):
            self.assertContains(self.client.get(url, {'export': 'all'}, **self.header), '4711')

    def test_previews_and_progress_count_hidden_points_and_do_not_name_them(self):
        self.may('view_enforcementrun')
        self.may('view_enforcementpoint', pk=self.points[0].pk)
        EnforcementPoint.objects.update(checked_at=None)
        url = reverse(f'plugins-api:{APP}-api:enforcementrun-preview', args=[self.run_.pk])
        for text in (self.page(self.run_.get_absolute_url()), str(self.get(url))):
            self.assertIn('bras-planted-1', text)
            self.assertNotIn('bras-planted-2', text)
        now = timezone.now()
        values = {'status': 'running', 'started_at': now, 'approved_at': now, 'approved_hash': 'a' * 64}
        EnforcementRun.objects.update(**values)
        text = self.page(self.run_.get_absolute_url())
        self.assertIn('bras-planted-1', text)
        self.assertNotIn('bras-planted-2', text)

    def test_the_change_log_names_a_subscriber_by_number(self):
        change = self.subscribers[0].to_objectchange('create')
        self.assertHides(f'{change.object_repr} {change.postchange_data}')

    def test_the_reader_of_everything_sees_everything(self):
        for model in (Contract, Subscriber, EnforcementPoint):
            self.may(f'view_{model._meta.model_name}')
        text = self.page(self.url('accessline_list'), include_columns=self.ALL, subscriber_id=self.subscribers[0].pk)
        self.assertIn(SECRETS[0], text)
