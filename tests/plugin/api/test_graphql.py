"""GraphQL across models: related objects are as hidden as they are by themselves."""

from netbox_delinquency.models import Contract

from ..factories import make_contract, make_line
from .base import PluginAPITestCase


class RelatedObjectsTest(PluginAPITestCase):
    model = Contract

    def test_lists_of_related_objects_show_only_what_may_be_seen(self):
        contract = make_contract()
        seen, _hidden = make_line(contract=contract), make_line(contract=contract)
        query = '{delinquency_contract_list {lines {id}}}'
        self.may('view_contract')
        assert self.graphql(query)['data']['delinquency_contract_list'] == [{'lines': []}]
        self.may('view_accessline', pk=seen.pk)
        assert self.graphql(query)['data']['delinquency_contract_list'] == [{'lines': [{'id': str(seen.pk)}]}]

    def test_an_invoice_is_not_there(self):
        from netbox.graphql.schema import schema

        assert not [name for name in schema._schema.type_map if 'invoice' in name.lower()]
