from netbox.search import SearchIndex

from .models import (
    AccessLine,
    BillingEvent,
    BillingSource,
    Calendar,
    Contract,
    DelinquencyPolicy,
    EnforcementPoint,
    EnforcementRun,
    Hold,
    Notice,
    PlanChangeOrder,
    ServicePlan,
    Subscriber,
)

# What a result shows of another object, NetBox shows to whoever finds it: `display_attrs` are the object's own.

# Not indexed: a policy's stages, which have no text, and the rows of a run. Those are written by the hundred thousand,
# twice each, and are found through their run, their line or their point.

PROSE = (('description', 500), ('comments', 5000))


class SubscriberIndex(SearchIndex):
    model = Subscriber
    fields = (('external_id', 60), ('name', 100), *PROSE)
    display_attrs = ('external_id', 'description')


class ServicePlanIndex(SearchIndex):
    model = ServicePlan
    fields = (('name', 100), *PROSE)
    display_attrs = ('down_kbps', 'up_kbps', 'description')


class ContractIndex(SearchIndex):
    model = Contract
    fields = (('external_id', 60), *PROSE)
    display_attrs = ('status', 'description')


class AccessLineIndex(SearchIndex):
    model = AccessLine
    fields = (
        ('username', 60),
        ('circuit_id', 60),
        ('ipv4', 60),
        ('ipv6', 60),
        ('mac', 60),
        ('cwmp_id', 60),
        *PROSE,
    )
    display_attrs = ('status', 'description')


class EnforcementPointIndex(SearchIndex):
    model = EnforcementPoint
    fields = (('name', 100), ('address', 200), *PROSE)
    display_attrs = ('status', 'driver', 'description')


class DelinquencyPolicyIndex(SearchIndex):
    model = DelinquencyPolicy
    fields = (('name', 100), *PROSE)
    display_attrs = ('auto_approve', 'description')


class EnforcementRunIndex(SearchIndex):
    model = EnforcementRun
    fields = (('name', 100), *PROSE)
    display_attrs = ('kind', 'status', 'description')


class BillingSourceIndex(SearchIndex):
    model = BillingSource
    fields = (('name', 100), ('slug', 110), *PROSE)
    display_attrs = ('enabled', 'description')


class BillingEventIndex(SearchIndex):
    model = BillingEvent
    fields = (('event_id', 60),)
    display_attrs = ('event_type', 'status')


class CalendarIndex(SearchIndex):
    model = Calendar
    fields = (('name', 100), ('city', 200), *PROSE)
    display_attrs = ('country', 'subdivision', 'description')


class NoticeIndex(SearchIndex):
    model = Notice
    fields = (('reference', 60), *PROSE)
    display_attrs = ('kind', 'description')


class HoldIndex(SearchIndex):
    model = Hold
    fields = (('reference', 60), ('reason', 300), *PROSE)
    display_attrs = ('kind', 'description')


class PlanChangeOrderIndex(SearchIndex):
    model = PlanChangeOrder
    fields = (('reason', 300), *PROSE)
    display_attrs = ('status', 'description')


indexes = (
    PlanChangeOrderIndex,
    CalendarIndex,
    NoticeIndex,
    HoldIndex,
    SubscriberIndex,
    ServicePlanIndex,
    ContractIndex,
    AccessLineIndex,
    EnforcementPointIndex,
    DelinquencyPolicyIndex,
    EnforcementRunIndex,
    BillingSourceIndex,
    BillingEventIndex,
)
