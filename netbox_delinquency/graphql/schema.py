import strawberry
import strawberry_django

from . import types

__all__ = ('schema',)


@strawberry.type(name='Query')
class DelinquencyQuery:
    delinquency_subscriber: types.SubscriberType = strawberry_django.field()
    delinquency_subscriber_list: list[types.SubscriberType] = strawberry_django.field()

    delinquency_service_plan: types.ServicePlanType = strawberry_django.field()
    delinquency_service_plan_list: list[types.ServicePlanType] = strawberry_django.field()

    delinquency_contract: types.ContractType = strawberry_django.field()
    delinquency_contract_list: list[types.ContractType] = strawberry_django.field()

    delinquency_access_line: types.AccessLineType = strawberry_django.field()
    delinquency_access_line_list: list[types.AccessLineType] = strawberry_django.field()

    delinquency_enforcement_point: types.EnforcementPointType = strawberry_django.field()
    delinquency_enforcement_point_list: list[types.EnforcementPointType] = strawberry_django.field()

    delinquency_policy: types.DelinquencyPolicyType = strawberry_django.field()
    delinquency_policy_list: list[types.DelinquencyPolicyType] = strawberry_django.field()

    delinquency_policy_stage: types.PolicyStageType = strawberry_django.field()
    delinquency_policy_stage_list: list[types.PolicyStageType] = strawberry_django.field()

    delinquency_enforcement_run: types.EnforcementRunType = strawberry_django.field()
    delinquency_enforcement_run_list: list[types.EnforcementRunType] = strawberry_django.field()

    delinquency_enforcement_settings: types.EnforcementSettingsType = strawberry_django.field()
    delinquency_enforcement_settings_list: list[types.EnforcementSettingsType] = strawberry_django.field()

    delinquency_enforcement_change: types.EnforcementChangeType = strawberry_django.field()
    delinquency_enforcement_change_list: list[types.EnforcementChangeType] = strawberry_django.field()

    delinquency_restriction: types.RestrictionType = strawberry_django.field()
    delinquency_restriction_list: list[types.RestrictionType] = strawberry_django.field()

    delinquency_billing_source: types.BillingSourceType = strawberry_django.field()
    delinquency_billing_source_list: list[types.BillingSourceType] = strawberry_django.field()

    delinquency_billing_event: types.BillingEventType = strawberry_django.field()
    delinquency_billing_event_list: list[types.BillingEventType] = strawberry_django.field()

    delinquency_calendar: types.CalendarType = strawberry_django.field()
    delinquency_calendar_list: list[types.CalendarType] = strawberry_django.field()

    delinquency_calendar_date: types.CalendarDateType = strawberry_django.field()
    delinquency_calendar_date_list: list[types.CalendarDateType] = strawberry_django.field()

    delinquency_notice: types.NoticeType = strawberry_django.field()
    delinquency_notice_list: list[types.NoticeType] = strawberry_django.field()

    delinquency_hold: types.HoldType = strawberry_django.field()
    delinquency_hold_list: list[types.HoldType] = strawberry_django.field()

    delinquency_grace_rule: types.GraceRuleType = strawberry_django.field()
    delinquency_grace_rule_list: list[types.GraceRuleType] = strawberry_django.field()

    delinquency_plan_change_order: types.PlanChangeOrderType = strawberry_django.field()
    delinquency_plan_change_order_list: list[types.PlanChangeOrderType] = strawberry_django.field()


schema = [DelinquencyQuery]
