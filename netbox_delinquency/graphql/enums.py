import strawberry
from utilities.choices import ChoiceSet

from .. import choices
from .names import graphql_name

__all__ = (
    'AccessModeEnum',
    'ApprovalEnum',
    'ChannelEnum',
    'ClockEnum',
    'ContractStatusEnum',
    'EnforcementModeEnum',
    'EventStatusEnum',
    'HoldKindEnum',
    'LiftedEnum',
    'LineChannelEnum',
    'LineStatusEnum',
    'NoticeChannelEnum',
    'NoticeKindEnum',
    'ObservedModeEnum',
    'OutcomeEnum',
    'PlanChangeStatusEnum',
    'PointStatusEnum',
    'RunKindEnum',
    'RunStatusEnum',
    'StageActionEnum',
    'ThrottleToEnum',
)


def enum(choice_set: type[ChoiceSet], prefix: str):
    name = graphql_name(choice_set.__name__.replace('Choices', 'Enum'))
    return strawberry.enum(choice_set.as_enum(name=name, prefix=prefix))


AccessModeEnum = enum(choices.AccessModeChoices, 'mode')
EnforcementModeEnum = enum(choices.EnforcementModeChoices, 'mode')
ObservedModeEnum = enum(choices.ObservedModeChoices, 'mode')
LiftedEnum = enum(choices.LiftedChoices, 'lifted')
ContractStatusEnum = enum(choices.ContractStatusChoices, 'status')
EventStatusEnum = enum(choices.EventStatusChoices, 'status')
LineChannelEnum = enum(choices.LineChannelChoices, 'channel')
LineStatusEnum = enum(choices.LineStatusChoices, 'status')
OutcomeEnum = enum(choices.OutcomeChoices, 'outcome')
PlanChangeStatusEnum = enum(choices.PlanChangeStatusChoices, 'status')
PointStatusEnum = enum(choices.PointStatusChoices, 'status')
RunKindEnum = enum(choices.RunKindChoices, 'kind')
RunStatusEnum = enum(choices.RunStatusChoices, 'status')
StageActionEnum = enum(choices.StageActionChoices, 'action')
ApprovalEnum = enum(choices.ApprovalChoices, 'approval')
ChannelEnum = enum(choices.ChannelChoices, 'channel')
ClockEnum = enum(choices.ClockChoices, 'clock')
HoldKindEnum = enum(choices.HoldKindChoices, 'kind')
NoticeChannelEnum = enum(choices.NoticeChannelChoices, 'channel')
NoticeKindEnum = enum(choices.NoticeKindChoices, 'kind')
ThrottleToEnum = enum(choices.ThrottleToChoices, 'to')
