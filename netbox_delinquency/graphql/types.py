from typing import Annotated

import strawberry
import strawberry_django
from dcim.graphql.types import DeviceType
from django.utils import timezone
from extras.graphql.types import TagType
from netbox.graphql.types import NetBoxObjectType, PrimaryObjectType, register_type
from users.graphql.types import UserType
from virtualization.graphql.types import VirtualMachineType

from .. import models
from ..models.state import state_fields
from . import filters
from .names import graphql_name

__all__ = (
    'AccessLineType',
    'BillingEventType',
    'BillingSourceType',
    'CalendarDateType',
    'CalendarType',
    'ContractType',
    'DelinquencyPolicyType',
    'EnforcementChangeType',
    'EnforcementPointType',
    'EnforcementRunType',
    'EnforcementSettingsType',
    'GraceRuleType',
    'HoldType',
    'NoticeType',
    'PlanChangeOrderType',
    'PolicyStageType',
    'ServicePlanType',
    'SubscriberType',
)

# Every related object may be hidden from the reader, and is null then: else the whole list would be.
HERE = strawberry.lazy('netbox_delinquency.graphql.types')


def model_type(model, **fields):
    return register_type(
        model,
        name=graphql_name(f'{model.__name__}Type'),
        filters=getattr(filters, f'{model.__name__}Filter'),
        pagination=True,
        **(fields or {'fields': '__all__'}),
    )


@model_type(models.Subscriber)
class SubscriberType(PrimaryObjectType):
    contracts: list[Annotated['ContractType', HERE]]


@model_type(models.ServicePlan)
class ServicePlanType(PrimaryObjectType):
    contracts: list[Annotated['ContractType', HERE]]


@model_type(models.DelinquencyPolicy)
class DelinquencyPolicyType(PrimaryObjectType):
    calendar: Annotated['CalendarType', HERE] | None
    grace_rules: list[Annotated['GraceRuleType', HERE]]
    stages: list[Annotated['PolicyStageType', HERE]]
    contracts: list[Annotated['ContractType', HERE]]


@model_type(models.PolicyStage)
class PolicyStageType(NetBoxObjectType):
    policy: Annotated['DelinquencyPolicyType', HERE] | None


@model_type(models.BillingSource)
class BillingSourceType(PrimaryObjectType):
    contracts: list[Annotated['ContractType', HERE]]
    events: list[Annotated['BillingEventType', HERE]]

    @strawberry_django.field(only=['heartbeat_minutes', 'payments_known_at'])
    def late(self) -> bool:
        return self.is_silent(timezone.now())


# The open balance is for few eyes, and GraphQL knows no permission on a field: REST shows it.
@model_type(models.Contract, exclude=['open_balance'])
class ContractType(PrimaryObjectType):
    subscriber: Annotated['SubscriberType', HERE] | None
    aliases: list[str]
    reference: str
    loose_reference: str
    source: Annotated['BillingSourceType', HERE] | None
    plan: Annotated['ServicePlanType', HERE] | None
    policy: Annotated['DelinquencyPolicyType', HERE] | None
    calendar: Annotated['CalendarType', HERE] | None
    notices: list[Annotated['NoticeType', HERE]]
    holds: list[Annotated['HoldType', HERE]]
    plan_changes: list[Annotated['PlanChangeOrderType', HERE]]
    stage: Annotated['PolicyStageType', HERE] | None
    next_stage: Annotated['PolicyStageType', HERE] | None
    lines: list[Annotated['AccessLineType', HERE]]
    billing_events: list[Annotated['BillingEventType', HERE]]


@model_type(models.EnforcementPoint)
class EnforcementPointType(PrimaryObjectType):
    device: DeviceType | None
    virtual_machine: VirtualMachineType | None
    bras_lines: list[Annotated['AccessLineType', HERE]]
    acs_lines: list[Annotated['AccessLineType', HERE]]


@model_type(models.AccessLine)
class AccessLineType(PrimaryObjectType):
    contract: Annotated['ContractType', HERE] | None
    cpe: DeviceType | None
    bras: Annotated['EnforcementPointType', HERE] | None
    acs: Annotated['EnforcementPointType', HERE] | None
    mac: str | None
    restriction: Annotated['RestrictionType', HERE] | None
    cpe_restriction: Annotated['RestrictionType', HERE] | None
    changes: list[Annotated['EnforcementChangeType', HERE]]

    @strawberry_django.field(
        only=[
            'status', 'channel', 'bras', 'acs', 'unverified', 'cpe_unverified', 'restriction', 'cpe_restriction',
            *state_fields('intended'),
            *state_fields('observed'), *state_fields('cpe_observed'),
        ]
    )  # fmt: skip
    def drifting(self) -> bool:
        return self.is_drifting


@model_type(models.EnforcementRun)
class EnforcementRunType(PrimaryObjectType):
    author: UserType | None
    approver: UserType | None
    reverts: Annotated['EnforcementRunType', HERE] | None
    changes: list[Annotated['EnforcementChangeType', HERE]]


@model_type(models.EnforcementSettings)
class EnforcementSettingsType(PrimaryObjectType):
    pass


@model_type(models.EnforcementChange)
class EnforcementChangeType(NetBoxObjectType):
    run: Annotated['EnforcementRunType', HERE] | None
    line: Annotated['AccessLineType', HERE] | None
    restriction: Annotated['RestrictionType', HERE] | None
    point: Annotated['EnforcementPointType', HERE] | None


@model_type(models.Restriction)
class RestrictionType(NetBoxObjectType):
    point: Annotated['EnforcementPointType', HERE] | None
    line: Annotated['AccessLineType', HERE] | None
    contract: Annotated['ContractType', HERE] | None
    change: Annotated['EnforcementChangeType', HERE] | None


@model_type(models.BillingEvent, exclude=['body'])
class BillingEventType(NetBoxObjectType):
    source: Annotated['BillingSourceType', HERE] | None
    contract: Annotated['ContractType', HERE] | None
    reviewed_by: UserType | None


@model_type(models.Calendar)
class CalendarType(PrimaryObjectType):
    dates: list[Annotated['CalendarDateType', HERE]]
    policies: list[Annotated['DelinquencyPolicyType', HERE]]
    contracts: list[Annotated['ContractType', HERE]]


@model_type(models.CalendarDate)
class CalendarDateType(NetBoxObjectType):
    calendar: Annotated['CalendarType', HERE] | None


@model_type(models.Notice)
class NoticeType(PrimaryObjectType):
    contract: Annotated['ContractType', HERE] | None


@model_type(models.Hold)
class HoldType(PrimaryObjectType):
    contract: Annotated['ContractType', HERE] | None
    approver: UserType | None
    successor: Annotated['PolicyStageType', HERE] | None


@model_type(models.GraceRule)
class GraceRuleType(NetBoxObjectType):
    policy: Annotated['DelinquencyPolicyType', HERE] | None
    for_tag: TagType | None


@model_type(models.PlanChangeOrder)
class PlanChangeOrderType(PrimaryObjectType):
    contract: Annotated['ContractType', HERE] | None
    from_plan: Annotated['ServicePlanType', HERE] | None
    to_plan: Annotated['ServicePlanType', HERE] | None
