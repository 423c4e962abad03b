"""Access lines: the wire identities, intended and observed, and all that a runbook's driver needs."""

from dataclasses import asdict

from utilities.testing import create_test_device

from netbox_delinquency.models import AccessLine
from nornir_tasks.change import AccessTarget

from ..factories import make_contract, make_line, make_point
from .base import APP, PluginViewTestCase

NORMAL = {'mode': 'normal', 'down_kbps': None, 'up_kbps': None}
THROTTLED = {'mode': 'throttled', 'down_kbps': 1_000, 'up_kbps': 500}


class AccessLineAPITest(PluginViewTestCase):
    model = AccessLine
    user_permissions = (f'{APP}.view_contract',)
    brief_fields = ['description', 'display', 'id', 'status', 'url', 'username']
    update_data = {'username': 'renamed', 'ipv4': '203.0.113.77', 'mac': '02:00:00:00:0A:FF'}
    bulk_update_data = {'status': 'retired', 'circuit_id': 'olt-9/1'}
    bulk_update_invalid_data = {'contract': None}
    derived = ('intended', 'observed', 'drifting', 'target', 'point')

    @classmethod
    def setUpTestData(cls):
        for number in range(1, 5):
            make_line(
                bras=make_point(),
                acs=make_point(),
                cpe=create_test_device(None),
                username=f'user-{number}',
                circuit_id=f'olt-1/{number}',
                ipv4=f'203.0.113.{number}',
                ipv6=f'2001:db8:{number}::/56',
                mac=f'02:00:00:00:00:0{number}',
                cwmp_id=f'00259E-HG8245-{number}',
                intended_mode='throttled',
                intended_down_kbps=1_000,
                intended_up_kbps=500,
                observed_mode='normal',
                observed_at='2026-10-01T12:00:00Z',
                baseline={'profile': 'fibre-100'},
            )
        contract, bras, acs = make_contract(), make_point(), make_point()
        cls.create_data = [
            {
                'contract': contract.pk,
                'bras': bras.pk,
                'acs': acs.pk,
                'username': f'new-{number}',
                'ipv4': f'203.0.113.1{number}',
                'mac': f'02:00:00:00:01:0{number}',
                'cwmp_id': f'00259E-HG8245-1{number}',
            }
            for number in range(3)
        ]

    def change(self, line, data, status=200):
        self.may('change_accessline')
        return self.send('patch', self._get_detail_url(line), data, status)

    def test_a_list_has_all_that_a_driver_needs(self):
        self.may('view_accessline')
        self.may('view_enforcementpoint')
        for row in self.get(self._get_list_url())['results']:
            line = AccessLine.objects.get(pk=row['id'])
            assert row['target'] | {'values': ()} == asdict(line.as_target())
            assert AccessTarget(**row['target']) == line.as_target()
            assert row['target']['parameters'] == {'profile': 'fibre-100', 'throttled_profile': 'reduced'}
            assert row['target']['baseline'] == row['baseline'] == {'profile': 'fibre-100'}
            assert (row['point']['id'], row['point']['driver']) == (line.bras_id, 'routeros')

    def test_a_line_without_a_bras_is_enforced_at_its_acs(self):
        self.may('view_accessline')
        line = make_line(acs=make_point(driver='acs'), cwmp_id='00259E-HG8245-9', username='')
        row = self.get(self._get_detail_url(line))
        assert (row['bras'], row['point']['id'], row['target']['parameters']) == (None, line.acs_id, {})

    def test_a_line_without_any_point_has_none(self):
        self.may('view_accessline')
        line = make_line(bras=None, status='planned')
        row = self.get(self._get_detail_url(line))
        assert (row['point'], row['target']['parameters']) == (None, {})

    def test_intended_and_observed_are_states(self):
        self.may('view_accessline')
        row = self.get(self._get_detail_url(AccessLine.objects.first()))
        assert (row['intended'], row['observed'], row['drifting']) == (THROTTLED, NORMAL, True)

    def test_a_line_that_was_never_seen_has_no_observed_state(self):
        self.may('view_accessline')
        row = self.get(self._get_detail_url(make_line()))
        assert (row['intended'], row['observed'], row['drifting']) == (NORMAL, None, False)

    def test_an_active_line_needs_a_point(self):
        answer = self.change(AccessLine.objects.first(), {'bras': None, 'acs': None}, 400)
        assert 'has a BRAS or an ACS' in str(answer)

    def test_an_identity_names_one_line_at_its_point(self):
        one, other = AccessLine.objects.all()[:2]
        answer = self.change(other, {'bras': one.bras_id, 'username': one.username}, 400)
        assert 'has that username' in str(answer)
        other.refresh_from_db()
        assert other.username != one.username

    def test_an_ipv6_prefix_is_kept_in_its_short_form(self):
        line = AccessLine.objects.first()
        assert self.change(line, {'ipv6': '2001:0db8:0000::/56'}) is not None
        line.refresh_from_db()
        assert line.ipv6 == '2001:db8::/56'

    def test_addresses_that_are_none_are_refused_each_by_its_field(self):
        line = AccessLine.objects.first()
        for field, value in (('ipv4', '2001:db8::1'), ('ipv6', '2001:db8::/129'), ('mac', '02:00:zz'), ('mac', '')):
            assert list(self.change(line, {field: value}, 400)) == [field]

    def test_an_unknown_mac_is_null(self):
        line = AccessLine.objects.first()
        self.change(line, {'mac': None})
        line.refresh_from_db()
        assert line.mac is None

    def test_filters_reach_the_api(self):
        self.may('view_accessline')
        make_line()
        assert self.get(self._get_list_url(), drifting=True)['count'] == 4
        assert self.get(self._get_list_url(), drifting=False)['count'] == 1
        assert self.get(self._get_list_url(), username='user-2')['count'] == 1

    def test_graphql_finds_drift(self):
        self.may('view_accessline')
        calm = make_line()
        answer = self.graphql('{delinquency_access_line_list(filters: {drifting: false}) {id drifting mac}}')
        rows = answer['data']['delinquency_access_line_list']
        assert rows == [{'id': str(calm.pk), 'drifting': False, 'mac': None}]
        answer = self.graphql('{delinquency_access_line_list(filters: {drifting: true}) {drifting mac}}')
        rows = answer['data']['delinquency_access_line_list']
        assert all(row['drifting'] for row in rows)
        assert {row['mac'] for row in rows} == {f'02:00:00:00:00:0{number}' for number in range(1, 5)}

    def test_graphql_filters_by_state_and_address(self):
        for model in ('accessline', 'contract', 'serviceplan'):
            self.may(f'view_{model}')
        make_line()
        for filters, count in (
            ('intended_mode: {exact: MODE_THROTTLED}', 4),
            ('observed_mode: {exact: MODE_BLOCKED}', 0),
            ('ipv4: {exact: "203.0.113.2"}', 1),
            ('mac: {exact: "02:00:00:00:00:03"}', 1),
            ('contract: {plan: {down_kbps: {comparison_lookup: {gte: 100000}}}}', 5),
            ('status: {exact: STATUS_RETIRED}', 0),
        ):
            answer = self.graphql(f'{{delinquency_access_line_list(filters: {{{filters}}}) {{id}}}}')
            assert len(answer['data']['delinquency_access_line_list']) == count, filters
