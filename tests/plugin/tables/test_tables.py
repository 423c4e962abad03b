from netbox_delinquency import tables
from tests.plugin.base import TableTestCase


class SubscriberTableTest(TableTestCase):
    table = tables.SubscriberTable


class ServicePlanTableTest(TableTestCase):
    table = tables.ServicePlanTable


class ContractTableTest(TableTestCase):
    table = tables.ContractTable
    # Ordered by what only the list view's own request can add to the query.
    excluded_orderable_columns = frozenset({'actions', 'open_balance'})


class AccessLineTableTest(TableTestCase):
    table = tables.AccessLineTable


class EnforcementPointTableTest(TableTestCase):
    table = tables.EnforcementPointTable


class DelinquencyPolicyTableTest(TableTestCase):
    table = tables.DelinquencyPolicyTable


class PolicyStageTableTest(TableTestCase):
    table = tables.PolicyStageTable


class EnforcementRunTableTest(TableTestCase):
    table = tables.EnforcementRunTable


class EnforcementChangeTableTest(TableTestCase):
    table = tables.EnforcementChangeTable


class BillingSourceTableTest(TableTestCase):
    table = tables.BillingSourceTable


class BillingEventTableTest(TableTestCase):
    table = tables.BillingEventTable


class CalendarTableTest(TableTestCase):
    table = tables.CalendarTable


class CalendarDateTableTest(TableTestCase):
    table = tables.CalendarDateTable


class PlanChangeOrderTableTest(TableTestCase):
    table = tables.PlanChangeOrderTable


class GraceRuleTableTest(TableTestCase):
    table = tables.GraceRuleTable


class HoldTableTest(TableTestCase):
    table = tables.HoldTable


class NoticeTableTest(TableTestCase):
    table = tables.NoticeTable
