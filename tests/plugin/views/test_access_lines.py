from datetime import UTC, datetime

from utilities.testing import create_tags, create_test_device, post_data

from netbox_delinquency.choices import AccessModeChoices, ContractStatusChoices, LineStatusChoices
from netbox_delinquency.models import AccessLine
from tests.plugin.base import ObjectViewTestCase, sees_everything
from tests.plugin.factories import make_contract, make_line, make_point, make_policy


def make_full_line(**values):
    """A line with all its relations set, so that a query too many shows."""
    policy = make_policy()
    contract = make_contract(policy=policy, stage=policy.stages.first(), stage_since=datetime(2025, 3, 16, tzinfo=UTC))
    cpe = create_test_device(None)
    return make_line(contract=contract, cpe=cpe, acs=make_point(), **values)


class AccessLineViewTest(ObjectViewTestCase):
    model = AccessLine

    @classmethod
    def setUpTestData(cls):
        contract, bras, acs = make_contract(), make_point(), make_point(name='acs-1')
        device = create_test_device('cpe-1')
        first, second, _ = (make_full_line(bras=bras) for _ in range(3))
        cls.bras = bras
        cls.form_data = {
            'contract': contract.pk,
            'status': LineStatusChoices.ACTIVE,
            'cpe': device.pk,
            'bras': bras.pk,
            'acs': acs.pk,
            'username': 'ana@example',
            'circuit_id': '0/1/2:77',
            'ipv4': '198.51.100.7',
            'ipv6': '2001:db8:7::/56',
            'mac': '00:00:5E:00:53:07',
            'cwmp_id': '00005E-Box-77',
            'tags': [tag.pk for tag in create_tags('Alpha', 'Bravo')],
        }
        cls.csv_data = (
            'source,contract,bras,username,cpe,ipv4,mac',
            f'{contract.source.slug},{contract.external_id},{bras.name},bruno,cpe-1,,',
            f',{contract.external_id},{bras.name},clara,,198.51.100.8,00:00:5e:00:53:08',
        )
        cls.csv_update_data = ('id,username', f'{first.pk},davi', f'{second.pk},elisa')
        cls.bulk_edit_data = {'acs': acs.pk, 'status': LineStatusChoices.PLANNED}

    @sees_everything
    def test_what_identifies_a_line_on_the_wire_may_be_left_empty(self):
        self.add_permissions('netbox_delinquency.add_accessline')
        data = {**self.form_data, 'ipv4': '', 'ipv6': '', 'mac': '', 'cwmp_id': '', 'circuit_id': '', 'acs': ''}
        self.assertHttpStatus(self.client.post(self._get_url('add'), post_data(data)), 302)
        line = AccessLine.objects.get(username='ana@example')
        self.assertIsNone(line.ipv4)
        self.assertIsNone(line.mac)

    @sees_everything
    def test_an_identity_the_point_already_has_is_refused(self):
        self.add_permissions('netbox_delinquency.add_accessline')
        make_line(bras=self.bras, username='ana@example')
        response = self.client.post(self._get_url('add'), post_data(self.form_data))
        self.assertContains(response, 'Another line of this enforcement point has that username.')

    @sees_everything
    def test_a_contract_two_sources_know_by_the_same_name_must_be_told_apart_in_an_import(self):
        contract = make_contract(external_id='C-same')
        other = make_contract(external_id='C-same')
        self.add_permissions('netbox_delinquency.add_accessline')
        data = {'format': 'csv', 'csv_delimiter': ','}
        ambiguous = f'contract,bras,username\nC-same,{self.bras.name},fabio'
        response = self.client.post(self._get_url('bulk_import'), {**data, 'data': ambiguous})
        self.assertContains(response, 'is not a unique value for this field')
        told = f'source,contract,bras,username\n{other.source.slug},C-same,{self.bras.name},fabio'
        self.assertHttpStatus(self.client.post(self._get_url('bulk_import'), {**data, 'data': told}), 302)
        self.assertFalse(contract.lines.exists())
        self.assertEqual(other.lines.get().username, 'fabio')

    @sees_everything
    def test_a_line_of_a_terminated_contract_cannot_be_made_active(self):
        line = make_line(status=LineStatusChoices.RETIRED)
        line.contract.status = ContractStatusChoices.TERMINATED
        line.contract.save()
        self.add_permissions('netbox_delinquency.change_accessline')
        edit = {**self.form_data, 'contract': line.contract.pk}
        message = 'A terminated contract has no active line: retire the line.'
        self.assertContains(self.client.post(self._get_url('edit', line), post_data(edit)), message)
        bulk = {'pk': [line.pk], '_apply': True, 'status': LineStatusChoices.ACTIVE}
        self.assertContains(self.client.post(self._get_url('bulk_edit'), bulk), message)
        line.refresh_from_db()
        self.assertEqual(line.status, LineStatusChoices.RETIRED)

    @sees_everything
    def test_an_edit_changes_neither_the_intended_nor_the_observed_state(self):
        line = make_line(bras=self.bras, intended_mode=AccessModeChoices.BLOCKED)
        self.add_permissions('netbox_delinquency.change_accessline')
        data = {**self.form_data, 'intended_mode': 'normal', 'observed_mode': 'blocked'}
        self.assertHttpStatus(self.client.post(self._get_url('edit', line), post_data(data)), 302)
        line.refresh_from_db()
        self.assertEqual((line.username, line.intended_mode, line.observed_mode), ('ana@example', 'blocked', ''))

    def test_the_page_says_how_the_line_stands_and_should_stand(self):
        line = make_line(intended_mode='throttled', intended_down_kbps=1000, intended_up_kbps=500)
        self.add_permissions('netbox_delinquency.view_accessline', 'netbox_delinquency.view_subscriber')
        page = self.client.get(line.get_absolute_url())
        self.assertContains(page, 'Throttled to 1000/500 kbit/s')
        self.assertContains(page, line.contract.subscriber)

    def test_the_list_shows_the_rates_of_a_throttled_line(self):
        make_line(intended_mode='throttled', intended_down_kbps=1000, intended_up_kbps=500)
        self.add_permissions('netbox_delinquency.view_accessline')
        self.assertContains(self.client.get(self._get_url('list')), '1000/500')
